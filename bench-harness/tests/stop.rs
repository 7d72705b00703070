//! What is left when a run is stopped: by Ctrl-C and other signals, by a limit, by `kill -9`.

mod common;

use common::{LONG, PROGRAM, await_journal, children, kill_run, own_folder, program, start_run, within};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

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

/// Starts a run of minutes through `wrapper`, as the leader of a group, and waits until some of its pairs are done.
fn start_group(dir: &Path, wrapper: &[&str]) -> Child {
    let words = [wrapper, &[PROGRAM, "run", "--forks", "1000", "--size", "64"]].concat();
    let mut run = Command::new(words[0])
        .args(&words[1..])
        .args(["--mechanism", "sysv-msgq,posix-shm,fifo", "--workload", "latency", "--out"])
        .arg(dir.join("out"))
        .env("TMPDIR", dir)
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("err")).unwrap())
        .process_group(0)
        .spawn()
        .expect("the program starts");
    let mut seen = BTreeSet::new();
    // The anchors fork two pairs before.
    within(LONG, "pairs are measured", || {
        assert_eq!(run.try_wait().unwrap(), None, "{}", fs::read_to_string(dir.join("err")).unwrap());
        seen.extend(children(&run));
        seen.len() > 8
    });
    run
}

/// Waits for the end of `run`, which `signal` asked for: what was measured is there, and no row is about the signal.
fn kept(dir: &Path, mut run: Child, signal: Signal) {
    let mut status = None;
    within(LONG, "the run stops", || {
        status = run.try_wait().unwrap();
        status.is_some()
    });
    let said = fs::read_to_string(dir.join("err")).unwrap();
    assert_eq!(status.unwrap().code(), Some(130), "{signal}: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("stopped by {signal}")), "{signal}: {said}");
    let csv = fs::read_to_string(dir.join("out/latency.csv")).unwrap();
    assert!(csv.contains("partial") && !csv.contains("killed by"), "{signal}: {csv}");
    assert!(fs::metadata(dir.join("out/report.html")).unwrap().len() > 0);
    assert_eq!(sweep(dir, &["--dry-run"]).trim(), "nothing left behind");
}

/// Whether the test itself was started with `signal` ignored, as what a script starts in the background has SIGINT.
fn is_ignored_here(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (signal as u64 - 1)) != 0
}

#[test]
fn a_signal_that_asks_to_stop_keeps_what_was_measured() {
    let signals = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGXCPU];
    let started = signals.map(|signal| {
        let dir = own_folder();
        (!is_ignored_here(signal)).then(|| {
            let run = start_group(dir.path(), &[]);
            let pid = Pid::from_raw(run.id().cast_signed());
            kill(pid, signal).unwrap();
            // As `timeout` does, and a terminal that closes.
            let _ = killpg(pid, signal);
            (signal, dir, run)
        })
    });
    for (signal, started) in signals.into_iter().zip(started) {
        match started {
            Some((signal, dir, run)) => kept(dir.path(), run, signal),
            None => println!("{signal} is ignored here, and so it is by the program: not tested"),
        }
    }
}

#[test]
fn inherited_dispositions_and_masks() {
    let sh = |script| ["sh", "-c", script, "sh"].map(str::to_owned);
    let dir = own_folder();
    let wrapper = sh(r#"trap "" HUP CHLD; exec "$@""#);
    let run = start_group(dir.path(), &wrapper.each_ref().map(String::as_str));
    let pid = Pid::from_raw(run.id().cast_signed());
    kill(pid, Signal::SIGHUP).unwrap();
    let had = children(&run);
    within(LONG, "the run goes on after a SIGHUP that is ignored", || {
        let has = children(&run);
        !has.is_empty() && has.iter().all(|child| !had.contains(child))
    });
    kill(pid, Signal::SIGTERM).unwrap();
    // The exit codes of children were there to be read, with SIGCHLD ignored.
    kept(dir.path(), run, Signal::SIGTERM);

    let block = ["env", "--block-signal=TERM"];
    if Command::new(block[0]).args([block[1], "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
        let dir = own_folder();
        let run = start_group(dir.path(), &block);
        kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGTERM).unwrap();
        kept(dir.path(), run, Signal::SIGTERM);
    } else {
        println!("this env cannot block signals: a blocked SIGTERM is not tested");
    }
}

#[test]
fn a_limit_on_files_is_an_error_with_the_path_and_the_limit() {
    let dir = own_folder();
    let limited = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -f 1; exec "$@""#, "sh", PROGRAM]).args(args);
        command.env("TMPDIR", dir.path()).current_dir(&dir).output().expect("the program starts")
    };
    let run = "run --quick --forks 1 --size 64 --workload latency --mechanism pipe,memfd,mmap-file --placement same-core --wait block";
    let output = limited(&[&run.split(' ').collect::<Vec<_>>()[..], &["--format", "json", "--out", "out"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: out/") && last.contains("File too large") && last.contains("(ulimit -f)"),
        "{said}"
    );
    // What was measured is printed though it could not be written, and what could not be measured says why.
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let row = |name: &str| printed["latency"].as_array().unwrap().iter().find(|row| row["mechanism"] == name).unwrap();
    assert!(row("pipe")["p50_ns"].is_number(), "{printed}");
    for name in ["memfd", "mmap-file"] {
        assert!(row(name)["error"].as_str().unwrap().contains("(ulimit -f)"), "{printed}");
    }
    let output = limited(&["doctor", "--format", "json"]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}", output.status);
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap().as_array().unwrap().len() > 20);
    assert_eq!(limited(&["sweep", "--dry-run"]).stdout, b"nothing left behind\n");
}

#[test]
fn what_kill_9_leaves_is_swept_and_no_child_lives() {
    let dir = own_folder();
    let mut left = 0;
    for round in 0..40 {
        // Continues until at least one kill has left something.
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
