//! The system calls of both kinds of queue, on slices, with errno kept.
//!
//! They are made directly. The C library's functions are cancellation points (pthreads(7)), which costs two atomic
//! operations a call in a process with threads, and an end that sleeps has a [`Watch`](ipc_core::watch::Watch).

#![allow(unsafe_code)]

use ipc_core::Buffer;
use nix::{
    errno::Errno,
    mqueue::{MQ_OFlag, MqAttr, mq_getattr, mq_open},
    sys::stat::Mode,
};
use std::{
    ffi::c_long,
    os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    ptr,
};

/// The type word of a System V message, which lies in front of its text (`struct msgbuf`, msgop(2)).
pub const TYPE_BYTES: usize = size_of::<c_long>();
const _: () = assert!(TYPE_BYTES == Buffer::HEADROOM);

/// Sends the text that follows the type word in `framed` as a message of type 1. System call: `msgsnd`.
#[inline]
pub fn msgsnd(id: i32, framed: &mut [u8], flags: i32) -> nix::Result<()> {
    let len = framed.len() - TYPE_BYTES;
    framed[..TYPE_BYTES].copy_from_slice(&const { (1 as c_long).to_ne_bytes() });
    // SAFETY: `framed` is a type word and `len` bytes, live for the call, which only reads them.
    Errno::result(unsafe { libc::syscall(libc::SYS_msgsnd, id, framed.as_ptr(), len, flags) }).map(drop)
}

/// Receives the next message, type word and text, into `framed`, and returns the length of the text. System call:
/// `msgrcv`.
#[inline]
pub fn msgrcv(id: i32, framed: &mut [u8], flags: i32) -> nix::Result<usize> {
    let len = framed.len() - TYPE_BYTES;
    // SAFETY: `framed` has room for a type word and `len` bytes, and is this call's alone.
    Errno::result(unsafe { libc::syscall(libc::SYS_msgrcv, id, framed.as_mut_ptr(), len, 0_usize, flags) })
        .map(|len| len as usize)
}

/// Opens a POSIX queue, and returns its attributes, too. System calls: `mq_open`, `mq_getsetattr`.
pub fn open(name: &str, flags: MQ_OFlag, mode: Mode, attributes: Option<&MqAttr>) -> nix::Result<(OwnedFd, MqAttr)> {
    let queue = mq_open(name, flags | MQ_OFlag::O_CLOEXEC, mode, attributes)?;
    let found = mq_getattr(&queue);
    // SAFETY: on Linux a queue descriptor is a file descriptor (mq_overview(7)), and `queue`, which does not close it, was
    // its only owner.
    let queue = unsafe { OwnedFd::from_raw_fd(queue.into_raw_fd()) };
    Ok((queue, found?))
}

/// Sends `message`. System call: `mq_timedsend`, without a time.
#[inline]
pub fn mq_send(queue: &OwnedFd, message: &[u8], priority: u32) -> nix::Result<()> {
    let (queue, none) = (queue.as_fd().as_raw_fd(), ptr::null::<libc::timespec>());
    // SAFETY: `message` is live for the call, which only reads it; a null time asks for none.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_mq_timedsend, queue, message.as_ptr(), message.len(), priority, none)
    })
    .map(drop)
}

/// Receives the oldest of the messages with the highest priority into `buffer`, and returns its length and priority.
/// System call: `mq_timedreceive`, without a time.
#[inline]
pub fn mq_receive(queue: &OwnedFd, buffer: &mut [u8]) -> nix::Result<(usize, u32)> {
    let (queue, none) = (queue.as_fd().as_raw_fd(), ptr::null::<libc::timespec>());
    let mut priority = 0_u32;
    // SAFETY: `buffer` and `priority` are live for the call and this call's alone; a null time asks for none.
    Errno::result(unsafe {
        let (to, len) = (buffer.as_mut_ptr(), buffer.len());
        libc::syscall(libc::SYS_mq_timedreceive, queue, to, len, &raw mut priority, none)
    })
    .map(|len| (len as usize, priority))
}
