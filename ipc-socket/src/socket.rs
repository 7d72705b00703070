//! What every socket here needs: buffers of the size asked for, and how its calls wait.

use crate::sys::ZeroCopy;
use ipc_core::{Error, Options, Result, Wait, stream::set_nonblocking, wait::PEER_CHECK, wait::WaitPolicy};
use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, MsgFlags, SetSockOpt, SockFlag, SockType, getsockopt, setsockopt, socket, sockopt},
        time::{TimeVal, TimeValLike},
    },
};
use std::{os::fd::OwnedFd, time::Duration};

/// A socket with the buffers that `options` ask for. System calls: `socket`; `setsockopt` and `getsockopt` where
/// [`Options::capacity`] is set.
///
/// # Errors
/// As [`resize`].
pub fn open(family: AddressFamily, kind: SockType, options: &Options) -> Result<OwnedFd> {
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map_err(|e| Error::os("socket", e))?;
    resize(&socket, options)?;
    Ok(socket)
}

/// Sets `SO_SNDBUF` and `SO_RCVBUF` to [`Options::capacity`]. The kernel grants less without saying so, and doubles what
/// it grants to make room for its own records (socket(7)).
///
/// # Errors
/// [`Error::TooLarge`] above `net.core.wmem_max` or `net.core.rmem_max`.
pub fn resize(socket: &OwnedFd, options: &Options) -> Result<()> {
    let Some(asked) = options.capacity else { return Ok(()) };
    set(socket, sockopt::SndBuf, &asked)?;
    set(socket, sockopt::RcvBuf, &asked)?;
    let received = getsockopt(socket, sockopt::RcvBuf).map_err(|e| Error::os("getsockopt", e))?;
    match send_buffer(socket)?.min(received) / 2 {
        granted if granted < asked => Err(Error::TooLarge { len: asked, max: granted }),
        _ => Ok(()),
    }
}

/// The kernel's own measure of the send buffer, in bytes: twice what was asked for.
///
/// # Errors
/// [`Error::Os`] of `getsockopt`.
pub fn send_buffer(socket: &OwnedFd) -> Result<usize> {
    getsockopt(socket, sockopt::SndBuf).map_err(|e| Error::os("getsockopt", e))
}

/// Sets a socket option.
///
/// # Errors
/// [`Error::Os`] of `setsockopt`.
pub fn set<O: SetSockOpt>(socket: &OwnedFd, option: O, value: &O::Val) -> Result<()> {
    setsockopt(socket, option, value).map_err(|e| Error::os("setsockopt", e))
}

/// Lets `mechanism` send from where the payload is (`SO_ZEROCOPY`, socket(7)).
///
/// # Errors
/// [`Error::Unsupported`] where the kernel does not know it (Linux 4.14), else [`Error::Os`] of `setsockopt`.
pub fn zero_copy(socket: &OwnedFd, mechanism: &'static str) -> Result<()> {
    match setsockopt(socket, ZeroCopy, &true) {
        Err(errno @ (Errno::ENOPROTOOPT | Errno::EOPNOTSUPP)) => {
            let why = format!(
                "setsockopt(SO_ZEROCOPY): {errno}; it needs Linux 4.14 and no sandbox that replaces the kernel"
            );
            Err(Error::Unsupported { what: mechanism, why })
        }
        result => result.map_err(|e| Error::os("setsockopt", e)),
    }
}

/// Lets the calls on `socket` wait as `policy` says, and returns the flags for a call's attempts after its first.
///
/// - Without a deadline a blocking call sleeps in the kernel for as long as it takes.
/// - With a deadline the first attempt sleeps for at most [`PEER_CHECK`] (`SO_RCVTIMEO`, `SO_SNDTIMEO`). So a message that
///   comes soon costs one system call. Later attempts do not wait, and [`Waiter`](ipc_core::wait::Waiter) sleeps in `ppoll` until
///   the deadline. That is exact, while the timers of sockets are as coarse as the kernel's tick.
/// - A deadline shorter than that, and every other strategy, never sleeps in the call.
///
/// # Errors
/// [`Error::Os`] of `fcntl` or `setsockopt`.
pub fn set_patience(socket: &OwnedFd, policy: &WaitPolicy) -> Result<MsgFlags> {
    let sleeps = policy.wait == Wait::Block && policy.timeout.is_none_or(|timeout| timeout >= PEER_CHECK);
    set_nonblocking(socket, !sleeps)?;
    if policy.timeout.is_some() {
        set_limit(socket, PEER_CHECK)?;
        Ok(MsgFlags::MSG_DONTWAIT)
    } else {
        // Zero is no limit (socket(7)).
        set_limit(socket, Duration::ZERO)?;
        Ok(MsgFlags::empty())
    }
}

/// Lets every blocking call on `socket` fail with `EAGAIN` after `limit`.
///
/// # Errors
/// [`Error::Os`] of `setsockopt`.
pub fn set_limit(socket: &OwnedFd, limit: Duration) -> Result<()> {
    let limit = TimeVal::microseconds(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
    set(socket, sockopt::ReceiveTimeout, &limit)?;
    set(socket, sockopt::SendTimeout, &limit)
}
