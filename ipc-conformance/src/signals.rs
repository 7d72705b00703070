//! Signals at short intervals, whose handler lets system calls fail with `EINTR`.

#![allow(unsafe_code)]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::{
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Time between two signals.
pub(crate) const INTERVAL: Duration = Duration::from_micros(100);

static COUNT: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: i32) {
    COUNT.fetch_add(1, Relaxed);
}

/// Signals that keep coming to this process until this is dropped.
#[derive(Debug)]
pub(crate) struct Signals;

impl Signals {
    /// A signal every `interval`.
    pub fn start(interval: Duration) -> Result<Self, String> {
        // No SA_RESTART: the calls that the manual lets restart must be interrupted, too (signal(7)).
        let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only adds to an atomic, which is async-signal-safe (signal-safety(7)).
        unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(|errno| format!("sigaction: {errno}"))?;
        set_interval(interval)?;
        Ok(Self)
    }

    /// How many signals this process has had.
    pub fn count(&self) -> u64 {
        COUNT.load(Relaxed)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = set_interval(Duration::ZERO);
    }
}

fn set_interval(interval: Duration) -> Result<(), String> {
    let interval = libc::timeval { tv_sec: interval.as_secs() as _, tv_usec: interval.subsec_micros() as _ };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: `timer` is a live itimerval that the kernel reads; the old value is not asked for.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(format!("setitimer: {}", std::io::Error::last_os_error())),
    }
}
