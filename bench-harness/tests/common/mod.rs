//! Shared by the tests that start `ipc-bench`: isolation from other tests, and runs that get killed. Each test target uses a part.

#![allow(dead_code)]

use ipc_conformance::surroundings::{fresh_folder, own_namespaces};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ipc-bench");

/// A fresh temporary folder. What this thread starts from now on also has its own IPC namespace, where permitted.
pub fn own_folder() -> TempDir {
    let _ = own_namespaces();
    fresh_folder().expect("a temporary folder")
}

/// The program, with `dir` as its temporary folder.
pub fn program(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env("TMPDIR", dir);
    command
}

/// Starts a latency run that would take minutes, with `dir` as its temporary folder.
pub fn start_run(dir: &Path, mechanisms: &str) -> Child {
    program(dir)
        .args(["run", "--forks", "100", "--size", "64", "--workload", "latency", "--mechanism", mechanisms, "--out"])
        .arg(dir.join("out"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Waits until `done`, or fails.
pub fn within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(1));
    }
}

/// A generous time limit, for busy machines.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until a run has journalled an object in `dir`. The first pairs of a run, those of the anchors, create none.
pub fn await_journal(dir: &Path) {
    let journal = dir.join(format!("ipc-bench-{}", geteuid()));
    within(LONG, "a run makes something", || journal.read_dir().is_ok_and(|entries| entries.count() > 0));
}

/// The children of `of` that are not yet reaped.
pub fn children(of: &Child) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.id())).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Kills a run with `SIGKILL`, and waits until its children are dead as well.
pub fn kill_run(run: &mut Child) {
    // Stopped first, so that the list of children is complete.
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGSTOP).expect("it can be stopped");
    within(LONG, "the run stops", || state(run.id()).is_none_or(|state| "TtZ".contains(state)));
    let children = children(run);
    run.kill().expect("it can be killed");
    run.wait().expect("it can be reaped");
    // A zombie waits to be reaped by init.
    within(LONG, "the children die", || children.iter().all(|&pid| state(pid).is_none_or(|state| state == 'Z')));
}

/// The state letter of a process (proc_pid_stat(5)); `None` if it does not exist.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
