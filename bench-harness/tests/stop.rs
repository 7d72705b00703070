//! What is left when a run is stopped: by Ctrl-C, by `kill -9`.

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

const SECOND: Duration = Duration::from_secs(1);

/// Starts a run that would take minutes, with a temporary folder of its own for everything it makes.
fn start(dir: &Path, mechanisms: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ipc-bench"))
        .args(["run", "--forks", "100", "--size", "64", "--mechanism", mechanisms, "--out"])
        .arg(dir.join("out"))
        .env("TMPDIR", dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Waits until `done`, or fails.
fn within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(5));
    }
}

fn children(of: &Child) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.id())).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether the process runs, and is not merely waiting to be reaped by init.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn sweep(dir: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ipc-bench")).arg("sweep").args(more).env("TMPDIR", dir).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Keys of the System V objects in the system, and the names under /dev/shm that are ours.
fn objects() -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["msg", "shm"] {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        let keys = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        found.extend(keys.map(|key| format!("{kind} {key}")));
    }
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(name.starts_with("ipc-bench-").then_some(name));
    }
    found
}

#[test]
fn ctrl_c_stops_a_run_and_keeps_what_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = start(dir.path(), "sysv-msgq,posix-shm,fifo");
    sleep(2 * SECOND);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    let mut status = None;
    // A second to stop, and some more for a debug build on a busy machine to draw the charts.
    within(20 * SECOND, "the run stops", || {
        status = run.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(130));
    let csv = fs::read_to_string(dir.path().join("out/latency.csv")).unwrap();
    assert!(csv.contains("partial"), "{csv}");
    assert!(fs::metadata(dir.path().join("out/report.html")).unwrap().len() > 0);
    assert_eq!(sweep(dir.path(), &["--dry-run"]).trim(), "nothing left behind");
}

#[test]
fn what_kill_9_leaves_is_swept_and_no_child_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut left = 0;
    for round in 0..10 {
        let before = objects();
        // System V queues have names for as long as they live, the others for a moment only.
        let mut run = start(dir.path(), if round % 2 == 0 { "sysv-msgq" } else { "posix-shm,fifo,sysv-shm,mmap-file" });
        within(60 * SECOND, "a pair runs", || children(&run).len() == 2);
        if round == 0 {
            // At once, when it has something to leave: the first pair is of the anchors, which have nothing.
            let journal = dir.path().join(format!("ipc-bench-{}", geteuid()));
            within(60 * SECOND, "a queue is made", || journal.read_dir().is_ok_and(|entries| entries.count() > 0));
        }
        sleep(Duration::from_millis(37 * round));
        let pair = children(&run);
        run.kill().unwrap();
        run.wait().unwrap();
        within(20 * SECOND, "the children die", || !pair.iter().any(|&pid| runs(pid)));
        let found = sweep(dir.path(), &["--dry-run"]);
        left += found.lines().filter(|line| line.starts_with("found ")).count();
        sweep(dir.path(), &[]);
        assert_eq!(sweep(dir.path(), &[]).trim(), "nothing left behind");
        // What another run on this machine has right now goes with its pair; what is left behind stays.
        let mut after = objects();
        after.retain(|object| !before.contains(object));
        within(20 * SECOND, &format!("{after:?} vanish"), || {
            let now = objects();
            !after.iter().any(|object| now.contains(object))
        });
        let folder: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(folder.iter().all(|name| name == "out"), "{folder:?}");
    }
    assert!(left > 0, "no kill left anything to sweep, so the sweep was not tested");
}
