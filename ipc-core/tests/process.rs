//! Forking, supervising and pinning.

use ipc_conformance::{
    Suite, Verdict, on_time, run_all,
    surroundings::{own_namespaces, schedule},
};
use ipc_core::{
    Error,
    process::{self, Exit, PANICKED, Policy, Schedule, fork, with_watchdog},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, raise},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, getppid},
};
use std::{
    env::temp_dir,
    ffi::OsStr,
    fs,
    io::{Read, Write, pipe},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

fn main() {
    run_all([Suite::new("process")
        .within(Duration::from_secs(120))
        .test("a_child_dies_with_its_parent", a_child_dies_with_its_parent)
        .test("a_child_ends_as_it_says", a_child_ends_as_it_says)
        .test("a_dropped_child_is_killed_and_reaped", a_dropped_child_is_killed_and_reaped)
        .test("wait_gives_up_at_its_limit", wait_gives_up_at_its_limit)
        .test("a_process_with_threads_cannot_fork", a_process_with_threads_cannot_fork)
        .test("a_peer_has_only_its_own_end", a_peer_has_only_its_own_end)
        .test("the_watchdog_reports", the_watchdog_reports)
        .test("a_child_is_the_first_that_the_kernel_kills", a_child_is_the_first_that_the_kernel_kills)
        .test("a_child_is_treated_as_its_parent", || a_child_has(Schedule::current()))
        .prepared("a_child_leaves_fifo", schedule(Policy::FIFO, 10), || {
            a_child_has(Schedule { nice: Schedule::current().nice, ..Schedule::ORDINARY })
        })
        .prepared("a_child_leaves_rr", schedule(Policy::RR, 1), || {
            a_child_has(Schedule { nice: Schedule::current().nice, ..Schedule::ORDINARY })
        })
        .prepared("a_child_stays_idle", schedule(Policy::IDLE, 0), || a_child_has(Schedule::current()))
        .prepared("a_child_stays_batch", schedule(Policy::BATCH, 0), || a_child_has(Schedule::current()))
        .test("pinning", pinning)
        .test("the_tests_have_a_folder_of_their_own", the_tests_have_a_folder_of_their_own)
        .prepared("the_tests_have_a_namespace_of_their_own", own_namespaces, the_tests_have_a_namespace_of_their_own)]);
}

const LONG: Duration = Duration::from_secs(60);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ensure(holds: bool, what: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn a_child_dies_with_its_parent() -> Verdict {
    let (mut reader, mut writer) = pipe().map_err(text)?;
    let mut parent = fork(|| {
        let child = fork(|| {
            sleep(LONG);
            0
        });
        let pid = child.as_ref().map_or(0, |child| child.pid().as_raw());
        let _ = writer.write_all(&pid.to_ne_bytes());
        sleep(LONG);
        0
    })
    .map_err(text)?;
    drop(writer);
    let mut pid = [0; 4];
    reader.read_exact(&mut pid).map_err(text)?;
    // A pidfd stays with the child; its process id may be reused.
    let child = process::pidfd_open(Pid::from_raw(i32::from_ne_bytes(pid))).map_err(text)?;
    let ends_within = |limit: PollTimeout| {
        poll(&mut [PollFd::new(child.as_fd(), PollFlags::POLLIN)], limit).map(|ready| ready == 1).map_err(text)
    };
    ensure(!ends_within(PollTimeout::ZERO)?, "the child does not run")?;
    parent.kill().map_err(text)?;
    // Both processes hold the writing end: its end is theirs.
    ensure(reader.read(&mut [0]).map_err(text)? == 0, "the child wrote something")?;
    ensure(ends_within(PollTimeout::try_from(LONG / 2).map_err(text)?)?, "the child outlives its parent")
}

fn a_child_ends_as_it_says() -> Verdict {
    std::panic::set_hook(Box::new(|_| {}));
    let ways: [(fn() -> i32, Exit); 4] = [
        (|| 0, Exit::Code(0)),
        (|| 42, Exit::Code(42)),
        (|| panic!("as it should"), Exit::Code(PANICKED)),
        (|| raise(Signal::SIGKILL).map_or(1, |()| 2), Exit::Signal(Signal::SIGKILL)),
    ];
    for (main, expected) in ways {
        let mut child = fork(main).map_err(text)?;
        let exit = child.wait(Duration::MAX).map_err(text)?;
        ensure(exit == Some(expected), format!("{exit:?} and not {expected:?}"))?;
        // Asking again, or killing what has ended, changes nothing.
        ensure(child.wait(Duration::ZERO).map_err(text)? == exit, "another exit the second time")?;
        ensure(child.kill().map_err(text)? == expected, "another exit after a kill")?;
    }
    Ok(())
}

fn a_dropped_child_is_killed_and_reaped() -> Verdict {
    let child = fork(|| {
        sleep(LONG);
        0
    })
    .map_err(text)?;
    let pid = child.pid();
    drop(child);
    let found = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    ensure(found == Err(Errno::ECHILD), format!("the child is still there: {found:?}"))
}

fn wait_gives_up_at_its_limit() -> Verdict {
    let mut child = fork(|| {
        sleep(LONG);
        0
    })
    .map_err(text)?;
    for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
        on_time("wait", limit, || {
            let began = Instant::now();
            ensure(child.wait(limit).map_err(text)?.is_none(), "the child has ended")?;
            Ok(began.elapsed())
        })?;
    }
    Ok(())
}

fn a_child_is_the_first_that_the_kernel_kills() -> Verdict {
    let own = || fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default().trim().parse().unwrap_or(0);
    let parent: i32 = own();
    let mut child = fork(|| i32::from(own() != (parent + 500).min(1000))).map_err(text)?;
    ensure(child.wait(LONG).map_err(text)? == Some(Exit::Code(0)), format!("the parent has {parent}"))
}

/// Whether a child that is forked here finds itself treated so.
fn a_child_has(schedule: Schedule) -> Verdict {
    let mut child = fork(|| i32::from(Schedule::current() != schedule)).map_err(text)?;
    ensure(child.wait(LONG).map_err(text)? == Some(Exit::Code(0)), format!("it is not under {schedule}"))
}

fn a_process_with_threads_cannot_fork() -> Verdict {
    std::thread::scope(|scope| {
        let (reader, writer) = pipe().map_err(text)?;
        // Runs until the writing end is closed.
        scope.spawn(move || (&reader).read(&mut [0]));
        let refused = matches!(fork(|| 0), Err(Error::Unsupported { what: "fork", .. }));
        drop(writer);
        ensure(refused, "a process with two threads has forked")
    })
}

fn a_peer_has_only_its_own_end() -> Verdict {
    let (mut here, there) = pipe().map_err(text)?;
    let (mut child, ()) = process::fork_peer(((), there), |mut there| {
        let _ = there.write_all(b"x");
        0
    })
    .map_err(text)?;
    // The end of the pipe shows: neither process kept a copy of the writing end.
    let mut all = Vec::new();
    here.read_to_end(&mut all).map_err(text)?;
    ensure(all == b"x", format!("{all:?} came"))?;
    ensure(child.wait(Duration::MAX).map_err(text)? == Some(Exit::Code(0)), "the peer failed")
}

fn the_watchdog_reports() -> Verdict {
    std::panic::set_hook(Box::new(|_| {}));
    let limit = Duration::from_millis(200);
    let hang = || {
        sleep(LONG);
        Ok(())
    };
    let killed = || {
        let _ = raise(Signal::SIGKILL);
        Ok(())
    };
    let (fails, panics) = (|| Err("these facts".to_owned()), || panic!("as it should"));
    ensure(with_watchdog(LONG, || Ok(())).is_ok(), "a test that passes fails")?;
    let reports = [
        (with_watchdog(limit, hang), "hung"),
        (with_watchdog(LONG, fails), "these facts"),
        (with_watchdog(LONG, panics), "exited with 101"),
        (with_watchdog(LONG, killed), "SIGKILL"),
    ];
    for (verdict, fact) in reports {
        match verdict {
            Err(why) if why.contains(fact) => {}
            other => return Err(format!("{other:?} does not tell '{fact}'")),
        }
    }
    Ok(())
}

fn pinning() -> Verdict {
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).map_err(text)?;
    let cpu = (0..).find(|&cpu| allowed.is_set(cpu).unwrap_or(true)).unwrap_or_default();
    process::pin(cpu).map_err(text)?;
    let now = nix::sched::sched_getaffinity(Pid::from_raw(0)).map_err(text)?;
    let others = (0..1024).filter(|&other| other != cpu && now.is_set(other) == Ok(true)).count();
    ensure(now.is_set(cpu) == Ok(true) && others == 0, "pinned to something else")?;
    // The last that a set can name, and one that it cannot.
    for nowhere in [1023, 1 << 20] {
        match process::pin(nowhere) {
            Err(Error::Unsupported { what: "placement", why }) if why.contains(&nowhere.to_string()) => {}
            other => return Err(format!("pin to CPU {nowhere}: {other:?}")),
        }
    }
    Ok(())
}

/// `/proc/self/environ` holds the environment at the start of the program (proc_pid_environ(5)).
fn the_tests_have_a_folder_of_their_own() -> Verdict {
    let environment = fs::read("/proc/self/environ").map_err(text)?;
    let at_start = environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(b"TMPDIR="));
    let shared = at_start.map_or(Path::new("/tmp"), |path| Path::new(OsStr::from_bytes(path)));
    let own = temp_dir();
    ensure(own != shared && own.parent() == Some(shared), format!("{} in {}", own.display(), shared.display()))?;
    ensure(fs::read_dir(&own).map_err(text)?.count() == 0, "somebody else has left something there")
}

/// If this process can have one, so could its parent, the test binary.
fn the_tests_have_a_namespace_of_their_own() -> Verdict {
    let binary = getppid();
    let status = fs::read_to_string(format!("/proc/{binary}/status")).map_err(text)?;
    let caller = status.lines().find_map(|line| line.strip_prefix("PPid:")).ok_or("no parent")?.trim();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/ipc")).map_err(text);
    let (own, callers) = (namespace(&binary.to_string())?, namespace(caller)?);
    ensure(own != callers, format!("{} is the caller's as well", own.display()))
}
