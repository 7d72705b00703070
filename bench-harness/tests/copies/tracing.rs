//! The tracer on its own: what it counts, what it passes on, and that it always comes to an end.

use bench_harness::{
    STANDARD,
    experiments::copies::{SIZES, measure},
};
use bench_lab::copies::{
    self,
    trace::{Tracee, Untraced, begin, end, trace},
};
use bench_record::cell::Access;
use ipc_conformance::Verdict;
use ipc_core::process::Exit;
use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal, raise},
        signalfd::SignalFd,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{Read, Write, pipe},
    thread,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(10);

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// Runs one child that counts what `part` calls.
fn counted(part: impl FnOnce() -> std::io::Result<()>) -> Result<copies::counts::Counts, String> {
    let child = Tracee::fork(|| {
        begin();
        let done = part();
        end();
        i32::from(done.is_err())
    });
    let [counts] = trace([child.map_err(|e| e.to_string())?], LIMIT).map_err(|e| e.to_string())?;
    Ok(counts)
}

/// Only what lies between the marks counts, with its bytes.
pub fn what_lies_between_the_marks_counts() -> Verdict {
    let (mut reader, mut writer) = pipe().map_err(|e| e.to_string())?;
    let child = Tracee::fork(|| {
        let mut bytes = [7; 300];
        let mut part = || {
            writer.write_all(&bytes[..100])?;
            begin();
            writer.write_all(&bytes[..200])?;
            reader.read_exact(&mut bytes)?;
            end();
            writer.write_all(&bytes)
        };
        i32::from(part().is_err())
    });
    let [counts] = trace([child.map_err(|e| e.to_string())?], LIMIT).map_err(|e| e.to_string())?;
    let found = (counts.calls(), counts.moved(), counts.copied());
    must(found == (2, 500, Ok(500)), || format!("{found:?}: {counts:?}"))
}

/// What a thread of the child moves is the child's.
pub fn threads_are_followed() -> Verdict {
    let counts = counted(|| {
        let (_reader, mut writer) = pipe()?;
        thread::spawn(move || writer.write_all(&[7; 1000])).join().expect("the thread does not panic")
    })?;
    must(counts.moved() == 1000, || format!("{counts:?}"))
}

/// A call that moves bytes and has no rule is named, and there is no sum.
pub fn an_unknown_call_is_named() -> Verdict {
    let counts = counted(|| File::open("/dev/zero")?.read_exact(&mut [0; 4096]))?;
    match counts.copied() {
        Err(call) if call.to_string() == "unknown call read (device)" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// A child gets the signals that are meant for it, and nothing else.
pub fn signals_are_passed_on() -> Verdict {
    let counts = counted(|| {
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR1);
        set.thread_block()?;
        raise(Signal::SIGUSR1)?;
        match SignalFd::new(&set)?.read_signal()? {
            Some(info) if info.ssi_signo == Signal::SIGUSR1 as u32 => Ok(()),
            _ => Err(Errno::ENOMSG.into()),
        }
    });
    // The read from the signalfd is a call, whatever it is taken for.
    counts?;
    let child = Tracee::fork(|| i32::from(raise(Signal::SIGTERM).is_ok())).map_err(|e| e.to_string())?;
    match trace([child], LIMIT) {
        Err(Untraced::Died(0, Exit::Signal(Signal::SIGTERM))) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// A child that does not end is given up, and nothing of any child remains.
pub fn a_hang_is_given_up() -> Verdict {
    let limit = Duration::from_millis(100);
    let sleeper = || {
        Tracee::fork(|| {
            let _beside = thread::spawn(|| thread::sleep(Duration::MAX));
            thread::sleep(Duration::MAX);
            0
        })
    };
    let ends = Tracee::fork(|| 0);
    match trace([sleeper().map_err(|e| e.to_string())?, ends.map_err(|e| e.to_string())?], limit) {
        Err(Untraced::Hung(hung)) if hung == limit => {}
        other => return Err(format!("{other:?}")),
    }
    match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
        Err(Errno::ECHILD) => Ok(()),
        other => Err(format!("a child is left: {other:?}")),
    }
}

/// Where nobody may trace, the figures are absent and the row says why. A process that is traced already cannot be traced by
/// another: here by this one.
pub fn a_refusal_is_the_reason() -> Verdict {
    let child = Tracee::fork(|| {
        let mechanism = STANDARD.named("pipe").expect("it is in the table");
        let row = measure(mechanism, SIZES[0], Access::Copy);
        let absent = row.kernel_copies.is_none() && row.total_copies.is_none() && row.by_reference.is_none();
        i32::from(!(absent && row.error.starts_with("EPERM ")))
    });
    trace([child.map_err(|e| e.to_string())?], LIMIT).map(drop).map_err(|e| e.to_string())
}
