//! What tests of the program share: surroundings of their own, and runs that are stopped. Each test target uses a part.

#![allow(dead_code)]

use ipc_core::conformance::surroundings::{fresh_folder, own_namespaces};
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

/// A temporary folder, and where that is permitted namespaces, for what this thread starts and for nobody else: neither other
/// tests nor the user's own runs.
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

/// Starts a run of latencies that would take minutes, with `dir` as the temporary folder for everything it makes.
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

/// A limit that nothing should need, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until a run has something in the journal in `dir`. The first pairs of a run are those of the anchors, which have nothing.
pub fn await_journal(dir: &Path) {
    let journal = dir.join(format!("ipc-bench-{}", geteuid()));
    within(LONG, "a run makes something", || journal.read_dir().is_ok_and(|entries| entries.count() > 0));
}

/// The processes that `of` has started and not yet reaped.
pub fn children(of: &Child) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.id())).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Kills a run with `SIGKILL`, and waits until its children have died of that as well.
pub fn kill_run(run: &mut Child) {
    // Stopped first, so that it starts no other child.
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGSTOP).expect("it can be stopped");
    within(LONG, "the run stops", || state(run.id()).is_none_or(|state| "TtZ".contains(state)));
    let children = children(run);
    run.kill().expect("it can be killed");
    run.wait().expect("it can be reaped");
    // One that waits to be reaped by init is dead.
    within(LONG, "the children die", || children.iter().all(|&pid| state(pid).is_none_or(|state| state == 'Z')));
}

/// What the process does, as one letter (proc_pid_stat(5)); `None` where there is none.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
