//! Sleeping on a word of shared memory, across processes, with a deadline (futex(2), `kernel/futex/`).
//!
//! nix has no wrapper of futex(2). Nor has it one of pidfd_open(2), pidfd_send_signal(2) and close_range(2), which
//! [`process`](crate::process) calls.

#![allow(unsafe_code)]

use crate::{Error, Result, ledger};
use nix::errno::Errno;
use std::{ptr, sync::atomic::AtomicU32, time::Duration};

/// Sleeps while `word` holds `expected`, for at most `limit` (`None`: without end). Returns on a wake-up, at the limit,
/// on a signal, or at once where the word holds something else; the caller looks at its condition again in each case.
///
/// System call: `futex(FUTEX_WAIT)`, not private, so that it works on any shared mapping.
///
/// # Errors
/// [`Error::Os`] for anything but those, such as `EFAULT`.
pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> Result<()> {
    let limit = limit.map(|d| libc::timespec { tv_sec: d.as_secs() as _, tv_nsec: d.subsec_nanos() as _ });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    ledger::call();
    // SAFETY: `word` is a live, aligned 32-bit word for the whole call, and `limit` is null or points to a live timespec;
    // the kernel only reads both.
    let r = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, limit) };
    match if r == -1 { Errno::last() } else { return Ok(()) } {
        Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT => Ok(()),
        errno => Err(Error::os("futex", errno)),
    }
}

/// Wakes one sleeper on `word`.
///
/// # Errors
/// [`Error::Os`], such as `EFAULT`.
pub fn wake(word: &AtomicU32) -> Result<()> {
    wake_some(word, 1)
}

/// Wakes every process that sleeps on `word`. System call: `futex`.
///
/// # Errors
/// As [`wake`].
pub fn wake_all(word: &AtomicU32) -> Result<()> {
    wake_some(word, i32::MAX)
}

fn wake_some(word: &AtomicU32, most: i32) -> Result<()> {
    ledger::call();
    // SAFETY: `word` is a live, aligned 32-bit word; FUTEX_WAKE uses its address only as a key.
    let r = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most) };
    if r == -1 { Err(Error::os("futex", Errno::last())) } else { Ok(()) }
}
