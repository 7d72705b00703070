//! System calls that no crate makes as they are needed here.
//!
//! send(2) and recv(2) for sockets that have a [`Watch`](ipc_core::watch::Watch) are made directly: the C library's functions
//! are cancellation points (pthreads(7)), which costs two atomic operations a call in a process with threads.

#![allow(unsafe_code)]

use nix::{errno::Errno, setsockopt_impl, sockopt_impl, sys::socket::MsgFlags};
use std::{os::fd::RawFd, ptr};

sockopt_impl!(
    /// Lets sends leave the payload where it is, `SO_ZEROCOPY` (socket(7)).
    ZeroCopy,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_ZEROCOPY,
    bool
);

/// Sends `message` to the socket's peer. System call: `sendto`, without an address.
#[inline]
pub fn send(socket: RawFd, message: &[u8], flags: MsgFlags) -> nix::Result<usize> {
    let (from, len, flags, none) = (message.as_ptr(), message.len(), flags.bits(), ptr::null::<libc::sockaddr>());
    // SAFETY: `message` is live for the call, which only reads it; a null address asks for none.
    Errno::result(unsafe { libc::syscall(libc::SYS_sendto, socket, from, len, flags, none, 0_usize) })
        .map(|sent| sent as usize)
}

/// Receives into `buffer`. System call: `recvfrom`, without an address.
#[inline]
pub fn recv(socket: RawFd, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
    let (to, len, flags, none) = (buffer.as_mut_ptr(), buffer.len(), flags.bits(), ptr::null_mut::<libc::sockaddr>());
    // SAFETY: `buffer` is live for the call and this call's alone; a null address asks for none.
    Errno::result(unsafe { libc::syscall(libc::SYS_recvfrom, socket, to, len, flags, none, none) })
        .map(|received| received as usize)
}
