//! System V queues and segments by key: create, find, remove (msgget(2), msgctl(2), shmget(2), shmctl(2)).
//!
//! Keys and not `IPC_PRIVATE`, so that the journal can name an object before it exists.

#![allow(unsafe_code)]

use crate::{Error, Result};
use nix::errno::Errno;
use std::ptr;

/// The key of a System V object.
pub type Key = libc::key_t;

/// A random key that is not `IPC_PRIVATE`. The process id is in it, too: a forked process inherits the generator's state.
pub fn fresh_key() -> Key {
    let key = fastrand::u32(..) ^ std::process::id().wrapping_mul(0x9e37_79b9);
    (key & 0x7fff_ffff).max(1).cast_signed()
}

/// The key that both sides derive from a name: FNV-1a over `mechanism` and `name` (sysvipc has no names of its own).
/// Two names can collide; creation is exclusive, so that shows as `EEXIST`.
pub fn key_of(name: &crate::Name, mechanism: &str) -> Key {
    let text = mechanism.bytes().chain([b'/']).chain(name.as_str().bytes());
    let hash = text.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash & 0x7fff_ffff).max(1).cast_signed()
}

fn check(call: &'static str, result: i32) -> Result<i32> {
    if result == -1 { Err(Error::os(call, Errno::last())) } else { Ok(result) }
}

/// Creates the queue of `key`, mode 0600, exclusively, and returns its id.
///
/// # Errors
/// [`Error::Os`]: `EEXIST`, or `ENOSPC` at `kernel.msgmni` queues.
pub fn create_queue(key: Key) -> Result<i32> {
    // SAFETY: msgget takes no pointers.
    check("msgget", unsafe { libc::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) })
}

/// The id of the existing queue of `key`, which this user may read from and write to.
///
/// # Errors
/// [`Error::Os`]: `ENOENT`, `EACCES`.
pub fn find_queue(key: Key) -> Result<i32> {
    // SAFETY: msgget takes no pointers.
    check("msgget", unsafe { libc::msgget(key, 0o600) })
}

/// Bytes that the queue may hold (`msg_qbytes`).
///
/// # Errors
/// [`Error::Os`]; [`Error::PeerGone`] where it was removed.
pub fn queue_capacity(id: i32) -> Result<usize> {
    Ok(queue_status(id)?.msg_qbytes as usize)
}

/// Messages waiting in the queue.
///
/// # Errors
/// As [`queue_capacity`].
pub fn queue_length(id: i32) -> Result<usize> {
    Ok(queue_status(id)?.msg_qnum as usize)
}

/// The user that owns the queue.
///
/// # Errors
/// As [`queue_capacity`]; `EACCES` where it is closed to this user.
pub fn queue_owner(id: i32) -> Result<u32> {
    Ok(queue_status(id)?.msg_perm.uid)
}

fn queue_status(id: i32) -> Result<libc::msqid_ds> {
    // SAFETY: msqid_ds is plain data for which all zeroes is a value.
    let mut status: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `status` is a live msqid_ds that IPC_STAT fills.
    check("msgctl", unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut status) })?;
    Ok(status)
}

/// Sets `msg_qbytes`.
///
/// # Errors
/// [`Error::Os`]: `EPERM` above `kernel.msgmnb` without `CAP_SYS_RESOURCE`.
pub fn set_queue_capacity(id: i32, bytes: usize) -> Result<()> {
    let mut status = queue_status(id)?;
    status.msg_qbytes = bytes as libc::msglen_t;
    // SAFETY: `status` is a live msqid_ds that IPC_SET reads.
    check("msgctl", unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut status) }).map(drop)
}

/// Removes a queue at once; whoever waits on it gets `EIDRM`. Says whether there was one.
///
/// # Errors
/// [`Error::Os`]: `EPERM` where it belongs to somebody else.
pub fn remove_queue(id: i32) -> Result<bool> {
    // SAFETY: IPC_RMID ignores the pointer.
    removed("msgctl", unsafe { libc::msgctl(id, libc::IPC_RMID, ptr::null_mut()) })
}

/// Creates the segment of `key` with `bytes` bytes, mode 0600, exclusively, and returns its id.
///
/// # Errors
/// [`Error::Os`]: `EEXIST`, `EINVAL` above `kernel.shmmax`, `ENOSPC` at `kernel.shmmni` or `kernel.shmall`.
pub fn create_segment(key: Key, bytes: usize) -> Result<i32> {
    // SAFETY: shmget takes no pointers.
    check("shmget", unsafe { libc::shmget(key, bytes, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) })
}

/// The id of the existing segment of `key`, which this user may read and write.
///
/// # Errors
/// [`Error::Os`]: `ENOENT`, `EACCES`.
pub fn find_segment(key: Key) -> Result<i32> {
    // SAFETY: shmget takes no pointers.
    check("shmget", unsafe { libc::shmget(key, 0, 0o600) })
}

/// The user that owns the segment, its mode bits, and its size in bytes.
///
/// # Errors
/// [`Error::Os`]: `EACCES` where it is closed to this user; [`Error::PeerGone`] where it was removed.
pub fn segment_status(id: i32) -> Result<(u32, u32, usize)> {
    // SAFETY: shmid_ds is plain data for which all zeroes is a value.
    let mut status: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `status` is a live shmid_ds that IPC_STAT fills.
    check("shmctl", unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut status) })?;
    Ok((status.shm_perm.uid, u32::from(status.shm_perm.mode) & 0o777, status.shm_segsz))
}

/// Marks a segment for removal: it goes when the last process detaches. Says whether there was one.
///
/// # Errors
/// [`Error::Os`]: `EPERM` where it belongs to somebody else.
pub fn remove_segment(id: i32) -> Result<bool> {
    // SAFETY: IPC_RMID ignores the pointer.
    removed("shmctl", unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) })
}

fn removed(call: &'static str, result: i32) -> Result<bool> {
    match if result == -1 { Errno::last() } else { return Ok(true) } {
        Errno::EIDRM | Errno::EINVAL => Ok(false),
        errno => Err(Error::os(call, errno)),
    }
}
