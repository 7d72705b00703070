//! Signals that ask the program to stop: a flag that the supervising loops look at, so that what was measured is kept.
//!
//! SIGINT and SIGTERM are sent by people and by `timeout`, SIGHUP by a terminal that closes, SIGXCPU by the kernel where processor
//! time runs out, SIGALRM by an `alarm` that was set before this program started, SIGUSR1 and SIGUSR2 by batch systems ahead of
//! their limit. SIGQUIT stays what it is: the end at once.

mod sys;

use nix::{
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
    },
    time::{ClockId, clock_gettime},
};
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::Relaxed};

/// What asks to stop.
const STOPS: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGXCPU,
    Signal::SIGALRM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
/// Of these what ends the process at once when it comes again. A closing terminal and spent time make themselves heard several times.
const URGENT: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];
/// Within this time a signal is the same request: `timeout` sends one to its child and one to the group.
const SAME_MS: i64 = 250;
/// As shells report a SIGINT.
pub const EXIT_CODE: i32 = 130;

/// The first signal, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// When it came.
static CAME_MS: AtomicI64 = AtomicI64::new(0);

/// Runs in the handler, with all signals blocked.
fn note(signal: i32) {
    let now = now_ms();
    if SIGNAL.compare_exchange(0, signal, Relaxed, Relaxed).is_ok() {
        CAME_MS.store(now, Relaxed);
    } else if URGENT.iter().any(|urgent| *urgent as i32 == signal) && now - CAME_MS.load(Relaxed) >= SAME_MS {
        sys::exit(EXIT_CODE);
    }
}

/// The monotonic clock, which a handler may read.
fn now_ms() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

/// Makes this process independent of two signals' dispositions, which it inherits: a write beyond the limit on files fails with EFBIG,
/// and children wait to be reaped.
///
/// # Errors
/// As sigaction(2).
pub fn prepare() -> nix::Result<()> {
    sys::ignore(Signal::SIGXFSZ)?;
    sys::reset(Signal::SIGCHLD)
}

/// Installs the handlers. A second SIGINT or SIGTERM ends the process at once; its children die with it. A signal that was ignored
/// when the process started, as under nohup(1), stays ignored; one that was blocked is let through.
///
/// # Errors
/// As sigaction(2).
pub fn install() -> nix::Result<()> {
    for signal in STOPS {
        if !sys::is_ignored(signal)? {
            sys::handle(signal)?;
        }
    }
    STOPS.into_iter().collect::<SigSet>().thread_unblock()?;
    leave_time_to_write()
}

/// At the hard limit on processor time the kernel kills; lowers the soft one, of which it warns, so that there is time to write.
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

/// What asked it to.
pub fn cause() -> Option<String> {
    let signal = Signal::try_from(SIGNAL.load(Relaxed)).ok()?;
    let why = if signal == Signal::SIGXCPU { ": the limit on processor time (ulimit -t)" } else { "" };
    Some(format!("{signal}{why}"))
}
