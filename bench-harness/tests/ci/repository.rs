//! A repository of somebody else's, whose figures are known.

use crate::common::PROGRAM;
use bench_gate::report::Report;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What builds a side: it needs a `speed` that is a number.
const BUILD: &str = "#!/bin/sh\ngrep -qx '[0-9]*' speed || { echo \"error: bad speed\"; exit 1; }\ncp speed built\n";
/// What measures it: about as many as the speed, another number in each run, the same ones in each run of the test.
const BENCH: &str = "#!/bin/sh
printf . >>\"$COUNT\"
n=$(wc -c <\"$COUNT\")
echo $(( $(cat built) * (9900 + n * 7919 % 201) / 100 ))
";

/// A repository whose figures are known.
pub struct Repository {
    pub dir: tempfile::TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "-q", "-b", "main"]);
        for (name, text) in [("build.sh", BUILD), ("bench.sh", BENCH)] {
            let file = repository.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        repository
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// A command in the repository, apart from the settings of whoever runs the tests.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("TMPDIR", self.dir.path()).env("COUNT", self.dir.path().join("count"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
        }
        for name in ["GIT_DIR", "GIT_INDEX_FILE", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "CARGO_TARGET_DIR"] {
            command.env_remove(name);
        }
        command
    }

    pub fn git(&self, words: &[&str]) -> String {
        let output = self.command("git").args(words).output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a source of such speed; anything but a number does not build.
    pub fn commit(&self, speed: &str) -> String {
        let text = self.git(&["rev-list", "--all", "--count"]);
        fs::write(self.path().join("speed"), speed).unwrap();
        fs::write(self.path().join("text"), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", speed]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs the verb, and expects exit code `code`; returns what it said.
    pub fn ci(&self, code: i32, words: &[&str], gate: &[&str]) -> String {
        let mut ci = self.command(PROGRAM);
        ci.args(["ci", "--build", "./build.sh", "--measure", "./bench.sh"]).args(words);
        ci.arg("--").args(["--unit", "ns", "--seed", "7"]).args(gate);
        let output = ci.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        self.is_clean();
        said(&output)
    }

    /// Nothing of a run is left but the reports.
    pub fn is_clean(&self) {
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
        assert_eq!(self.git(&["for-each-ref", "refs/ci-latency"]), "");
        let left = fs::read_dir(self.path().join("target/ipc-bench")).into_iter().flatten().flatten();
        let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub fn report(&self) -> Option<Report> {
        let text = fs::read(self.path().join("results/gate/gate.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// The text of a file of this repository.
pub fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}
