//! Sets the dispositions of signals, for which there is no safe wrapper.

#![allow(unsafe_code)]

use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};
use std::{mem::MaybeUninit, ptr};

extern "C" fn handler(signal: i32) {
    super::note(signal);
}

/// Hands `signal` to [`note`](super::note), with all signals blocked meanwhile.
pub(super) fn handle(signal: Signal) -> nix::Result<()> {
    set(signal, SigHandler::Handler(handler))
}

/// Ignores `signal`. Programs executed from this process inherit that.
pub(super) fn ignore(signal: Signal) -> nix::Result<()> {
    set(signal, SigHandler::SigIgn)
}

/// Restores the default action of `signal`.
pub(super) fn reset(signal: Signal) -> nix::Result<()> {
    set(signal, SigHandler::SigDfl)
}

fn set(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::all());
    // SAFETY: the only handler touches atomics, reads a clock and ends the process by _exit: all of that is safe in a handler.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Whether `signal` is ignored.
pub(super) fn is_ignored(signal: Signal) -> nix::Result<bool> {
    let mut old = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action sigaction only writes the old one, and `old` has room for it.
    Errno::result(unsafe { libc::sigaction(signal as i32, ptr::null(), old.as_mut_ptr()) })?;
    // SAFETY: the call above has succeeded and filled it in.
    Ok(unsafe { old.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Ends the process at once, without running destructors or flushing buffers.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: _exit may be called at any time.
    unsafe { libc::_exit(code) }
}
