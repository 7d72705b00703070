//! What is left when a run is stopped: by Ctrl-C, by `kill -9`.

mod common;

use common::{LONG, await_journal, children, kill_run, own_folder, program, start_run, within};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{collections::BTreeSet, fs, path::Path, thread::sleep, time::Duration};

fn sweep(dir: &Path, more: &[&str]) -> String {
    let output = program(dir).arg("sweep").args(more).output().expect("the program starts");
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
    let dir = own_folder();
    let mut run = start_run(dir.path(), "sysv-msgq,posix-shm,fifo");
    await_journal(dir.path());
    // Some pairs later something has been measured.
    let mut seen = BTreeSet::new();
    within(LONG, "pairs run", || {
        seen.extend(children(&run));
        seen.len() > 10
    });
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    let mut status = None;
    // A second to stop, and some more for a debug build on a busy machine to draw the charts.
    within(LONG, "the run stops", || {
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
    let dir = own_folder();
    let mut left = 0;
    for round in 0..40 {
        // More only where no kill has met a moment at which there is something to leave.
        if round >= 10 && left > 0 {
            break;
        }
        let before = objects();
        // System V queues have names for as long as they live, the others for a moment only.
        let mut run =
            start_run(dir.path(), if round % 2 == 0 { "sysv-msgq" } else { "posix-shm,fifo,sysv-shm,mmap-file" });
        within(LONG, "a pair runs", || children(&run).len() == 2);
        if round == 0 {
            // At once, when it has something to leave.
            await_journal(dir.path());
        }
        sleep(Duration::from_millis(37 * (round % 10)));
        kill_run(&mut run);
        let found = sweep(dir.path(), &["--dry-run"]);
        left += found.lines().filter(|line| line.starts_with("found ")).count();
        sweep(dir.path(), &[]);
        assert_eq!(sweep(dir.path(), &[]).trim(), "nothing left behind");
        // What another run on this machine has right now goes with its pair; what is left behind stays.
        let mut after = objects();
        after.retain(|object| !before.contains(object));
        within(LONG, &format!("{after:?} vanish"), || {
            let now = objects();
            !after.iter().any(|object| now.contains(object))
        });
        let folder: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(folder.iter().all(|name| name == "out"), "{folder:?}");
    }
    assert!(left > 0, "no kill left anything to sweep, so the sweep was not tested");
}
