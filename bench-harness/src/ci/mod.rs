//! Compares a change with its base: chooses base and head in a git repository, builds both, and lets the gate measure
//! them in turns.
//!
//! The checkout and the index are not changed. The builds are in worktrees below the target folder, in a `work` folder
//! that is removed at the end. `base` chooses the two revisions by `git`. `build` makes the programs. `child` runs the
//! commands for all of that.

mod base;
mod build;
mod child;
mod git;
mod work;

use base::Sides;
use bench_gate::plan::Plan;
use bench_lab::{interrupt, say};
use build::Builds;
use git::Git;
use ipc_core::process::Exit;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use work::Work;

/// The comparison that the user asks for.
pub struct Request {
    /// The top folder of the repository.
    pub repository: PathBuf,
    /// The base's revision. `None` if it is to be chosen.
    pub base: Option<String>,
    /// The head's revision. `None` for the working tree.
    pub head: Option<String>,
    /// How the sides are built and measured.
    pub what: What,
    /// Only cells or figures whose name contains this text are measured.
    pub filter: Option<String>,
    /// The folder of the reports.
    pub out: Option<PathBuf>,
    /// Further options for the gate.
    pub gate_options: Vec<OsString>,
}

/// How the sides are built and measured.
pub enum What {
    /// The workspace of this program.
    Workspace {
        /// The cells to measure.
        plan: Plan,
        /// Number of builds per side.
        builds: u32,
    },
    /// Any repository. The commands are for `sh -c` in the top folder of a side.
    Commands {
        /// The command that builds a side.
        build: Option<String>,
        /// The command that prints the figures of a side.
        measure: String,
    },
}

/// Why there is no verdict, with the exit code.
#[derive(Debug)]
pub struct Stop {
    /// 2 usage or environment, 3 inconclusive, 4 no base.
    pub code: u8,
    /// The text for the user.
    pub why: String,
}

impl Stop {
    fn new(code: u8, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

/// Time limit of the gate. A whole plan takes ten minutes; commands may take longer.
const LONGEST_GATE: Duration = Duration::from_secs(12 * 3600);
/// The text in a report of a gate that passed.
const PASSED: &str = "\"outcome\":\"passed\"";

/// Compares both sides, and returns the gate's exit code: 0 to 4.
///
/// # Errors
/// [`Stop`] if the gate gave no verdict.
pub fn compare(request: &Request) -> Result<u8, Stop> {
    let git = Git::open(&request.repository)?;
    let target = target(&git.top)?;
    let out = match &request.out {
        Some(out) => resolved(out)?,
        None => git.top.join("results/gate"),
    };
    let work = Work::start(&git, &target.join("ipc-bench"))?;
    let is_workspace = matches!(request.what, What::Workspace { .. });
    let paths = git.paths(&[&target, &out], is_workspace.then_some("results"))?;
    let sides = Sides::choose(&git, &work.reference(), request, &paths)?;
    sides.announce(&git)?;
    work.check_out(&sides, &paths)?;
    let builds = build::both(&git, &work, &sides, &request.what)?;
    let gate = gate(request, &git, &work, &builds, &out)?;
    let _measuring = work.measuring()?;
    let report = out.join("gate.json");
    match fs::remove_file(&report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let report = report.display();
            return Err(Stop::new(2, format!("cannot remove the report of an earlier run, '{report}': {error}")));
        }
        _ => {}
    }
    let code = verdict(child::run(gate, LONGEST_GATE)?)?;
    // The judging program also comes from the head, so an exit code of 0 does not prove that it measured.
    if code == 0 && !fs::read_to_string(&report).is_ok_and(|text| text.contains(PASSED)) {
        let head = git.short(&sides.head)?;
        return Err(Stop::new(
            2,
            format!("head {head} ended with 0 and left no report that says so: nothing was measured"),
        ));
    }
    if matches!(code, 0 | 1 | 3) {
        say!("reports: {}", out.display());
    }
    Ok(code)
}

/// The command line of the gate.
fn gate(request: &Request, git: &Git, work: &Work, builds: &Builds, out: &Path) -> Result<Command, Stop> {
    let mut gate = match builds {
        Builds::Programs { gate, base, head } => {
            let mut command = git.unset(Command::new(gate));
            command.arg("gate");
            for (side, builds) in [("--base", base), ("--head", head)] {
                builds.iter().for_each(|build| _ = command.arg(side).arg(build));
            }
            command
        }
        Builds::Commands { measure } => {
            let own = std::env::current_exe().map_err(|error| Stop::new(2, format!("/proc/self/exe: {error}")))?;
            let mut command = git.unset(Command::new(own));
            command.arg("gate");
            for side in base::SIDES {
                command.arg(format!("--{side}-command")).arg(measure);
                command.arg(format!("--{side}-directory")).arg(work.tree(side));
            }
            // Both sides would share this target folder.
            command.env_remove(TARGET);
            command
        }
    };
    if let What::Workspace { plan, .. } = &request.what {
        gate.args(["--plan", plan.name()]);
    }
    gate.arg("--out").arg(out).args(&request.filter).args(&request.gate_options);
    Ok(gate)
}

fn verdict(exit: Exit) -> Result<u8, Stop> {
    match exit {
        Exit::Code(code @ 0..=4) => Ok(code as u8),
        Exit::Code(code) => Err(Stop::new(2, format!("the gate ended with {code}, which is no verdict"))),
        Exit::Signal(_) if interrupt::requested() => Err(Stop::new(3, "interrupted: inconclusive")),
        Exit::Signal(signal) => Err(Stop::new(2, format!("the gate was killed by {signal}, which is no verdict"))),
    }
}

/// The variable that tells cargo its target folder.
const TARGET: &str = "CARGO_TARGET_DIR";

/// The target folder of the repository at `top`.
fn target(top: &Path) -> Result<PathBuf, Stop> {
    let asked = std::env::var_os(TARGET).filter(|folder| !folder.is_empty());
    resolved(&top.join(asked.unwrap_or_else(|| "target".into())))
}

/// The absolute form of `path`, without symbolic links as far as the path exists.
fn resolved(path: &Path) -> Result<PathBuf, Stop> {
    let path = std::path::absolute(path).map_err(|error| Stop::new(2, format!("'{}': {error}", path.display())))?;
    let existing = path.ancestors().find_map(|folder| Some((folder, fs::canonicalize(folder).ok()?)));
    let Some((folder, found)) = existing else { return Ok(path) };
    Ok(path.strip_prefix(folder).map_or(found.clone(), |rest| found.join(rest)))
}

impl Sides {
    /// Tells the user which revisions are compared.
    fn announce(&self, git: &Git) -> Result<(), Stop> {
        say!("base {} ({})", git.short(&self.base)?, self.base_is);
        say!("head {} ({})", git.short(&self.head)?, self.head_is);
        if self.overlooked {
            say!("note: uncommitted changes are not looked at, since a head is given");
        }
        if self.base == self.head && !self.changed {
            say!("warning: base and head are the same commit: whatever is found is an error of the measurement");
        }
        let settings = [".cargo", "rust-toolchain", "rust-toolchain.toml"];
        if !git.succeeds(&[&["diff", "--quiet", &self.base, &self.head, "--"], &settings[..]].concat())? {
            let top = git.top.display();
            say!(
                "warning: base and head have another configuration of cargo or the toolchain; both are built with that of {top}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        std::os::unix::fs::symlink(&top, top.join("link")).unwrap();
        assert_eq!(resolved(&top.join("link/new/folder")).unwrap(), top.join("new/folder"));
        assert!(resolved(Path::new("new")).unwrap().is_absolute());
    }

    #[test]
    fn only_five_codes_are_verdicts() {
        assert!((0..=4).all(|code| verdict(Exit::Code(code)).is_ok_and(|found| i32::from(found) == code)));
        for exit in [Exit::Code(5), Exit::Code(101), Exit::Signal(nix::sys::signal::Signal::SIGSEGV)] {
            assert_eq!(verdict(exit).unwrap_err().code, 2);
        }
    }
}
