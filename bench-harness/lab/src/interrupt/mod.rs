//! Handles the signals that ask the program to stop. The handler sets a flag, and the supervising loops check it. So results
//! that were already measured are kept.
//!
//! - SIGINT and SIGTERM come from people and from `timeout`.
//! - SIGHUP comes from a terminal that closes.
//! - SIGXCPU comes from the kernel when processor time runs out.
//! - SIGALRM comes from an `alarm` that was set before this program started.
//! - SIGUSR1 and SIGUSR2 come from batch systems ahead of their limit.
//!
//! SIGQUIT keeps its default: it ends the process at once.

mod sys;

use nix::{
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
    },
    time::{ClockId, clock_gettime},
};
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::Relaxed};

/// The signals that ask the program to stop.
const STOPS: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGXCPU,
    Signal::SIGALRM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
/// Signals that end the process at once if they come again. The others may repeat: a closing terminal and an exhausted time
/// limit send several.
const URGENT: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];
/// A signal within this time, in milliseconds, is the same request: `timeout` sends one to its child and one to the group.
const SAME_MS: i64 = 250;
/// The exit code that shells report for SIGINT.
pub const EXIT_CODE: i32 = 130;

/// The first signal that came, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// The time of the first signal, in milliseconds of the monotonic clock.
static CAME_MS: AtomicI64 = AtomicI64::new(0);

/// Records a signal. Runs in the handler, with all signals blocked.
fn note(signal: i32) {
    let now = now_ms();
    if SIGNAL.compare_exchange(0, signal, Relaxed, Relaxed).is_ok() {
        CAME_MS.store(now, Relaxed);
    } else if URGENT.iter().any(|urgent| *urgent as i32 == signal) && now - CAME_MS.load(Relaxed) >= SAME_MS {
        sys::exit(EXIT_CODE);
    }
}

/// Milliseconds of the monotonic clock, which a signal handler may read.
fn now_ms() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

/// Replaces two inherited signal dispositions. SIGXFSZ is ignored, so a write beyond the file size limit fails with EFBIG.
/// SIGCHLD gets its default, so children wait to be reaped.
///
/// # Errors Those of sigaction(2).
pub fn prepare() -> nix::Result<()> {
    sys::ignore(Signal::SIGXFSZ)?;
    sys::reset(Signal::SIGCHLD)
}

/// Installs the handlers. A second SIGINT or SIGTERM ends the process at once, and its children die with it. A signal that was
/// ignored when the process started, as under nohup(1), stays ignored. A signal that was blocked is unblocked.
///
/// # Errors Those of sigaction(2).
pub fn install() -> nix::Result<()> {
    for signal in STOPS {
        if !sys::is_ignored(signal)? {
            sys::handle(signal)?;
        }
    }
    STOPS.into_iter().collect::<SigSet>().thread_unblock()?;
    leave_time_to_write()
}

/// Lowers the soft limit on processor time, of which the kernel warns. At the hard limit it kills, with no time to write
/// results.
fn leave_time_to_write() -> nix::Result<()> {
    const SECONDS: u64 = 5;
    let (soft, hard) = getrlimit(Resource::RLIMIT_CPU)?;
    let early = (hard / 2).max(hard.saturating_sub(SECONDS));
    if hard != RLIM_INFINITY && soft > early {
        setrlimit(Resource::RLIMIT_CPU, early, hard)?;
    }
    Ok(())
}

/// Whether the process was asked to stop.
pub fn requested() -> bool {
    SIGNAL.load(Relaxed) != 0
}

/// The signal that asked the process to stop, as text. `None` if there was none.
pub fn cause() -> Option<String> {
    let signal = Signal::try_from(SIGNAL.load(Relaxed)).ok()?;
    let why = if signal == Signal::SIGXCPU { ": the limit on processor time (ulimit -t)" } else { "" };
    Some(format!("{signal}{why}"))
}
