//! `packets.h` for Rust.

use ipc_core::{Error, Result};
use nix::errno::Errno;
use std::{
    ffi::{c_int, c_void},
    os::fd::{BorrowedFd, RawFd},
    ptr::{NonNull, null_mut},
};

#[repr(C)]
struct Opaque([u8; 0]);

unsafe extern "C" {
    fn packets_open(ends: *mut [*mut Opaque; 2]) -> c_int;
    fn packets_fd(end: *const Opaque) -> RawFd;
    fn packets_max(end: *const Opaque) -> usize;
    fn packets_send(end: *mut Opaque, message: *const c_void, len: usize) -> c_int;
    fn packets_recv(end: *mut Opaque, buffer: *mut c_void, size: usize) -> isize;
    fn packets_close(end: *mut Opaque);
}

/// One end of a link, a `struct packets`.
pub struct Packets(NonNull<Opaque>);

// SAFETY: an end is a descriptor and a number, and belongs to no thread.
unsafe impl Send for Packets {}

impl Packets {
    /// Both ends of a link.
    ///
    /// # Errors
    /// [`Error::Os`], such as `EMFILE`.
    pub fn open() -> Result<(Self, Self)> {
        let mut ends = [null_mut(); 2];
        // SAFETY: there is room for both ends, and each is taken over once.
        Errno::result(unsafe { packets_open(&mut ends) }).map_err(|errno| Error::os("socketpair", errno))?;
        let [a, b] = ends.map(|end| Self(NonNull::new(end).expect("a link that is open has two ends")));
        Ok((a, b))
    }

    /// The descriptor on which to wait.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the end is live, and its descriptor is open as long as the end.
        unsafe { BorrowedFd::borrow_raw(packets_fd(self.0.as_ptr())) }
    }

    /// The longest message, in bytes.
    pub fn max(&self) -> usize {
        // SAFETY: the end is live.
        unsafe { packets_max(self.0.as_ptr()) }
    }

    /// Sends a message, or fails with `EAGAIN`.
    ///
    /// # Errors
    /// The errno.
    pub fn send(&self, message: &[u8]) -> nix::Result<()> {
        // SAFETY: the end and the message are live.
        Errno::result(unsafe { packets_send(self.0.as_ptr(), message.as_ptr().cast(), message.len()) }).map(drop)
    }

    /// Receives a message into the front of `buffer`, or fails with `EAGAIN`. Returns the length of the message, which is
    /// over that of the buffer where the buffer was too short.
    ///
    /// # Errors
    /// The errno.
    pub fn recv(&self, buffer: &mut [u8]) -> nix::Result<usize> {
        // SAFETY: the end and the buffer are live, and nobody else writes the buffer.
        let len = unsafe { packets_recv(self.0.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        Errno::result(len).map(isize::unsigned_abs)
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        // SAFETY: the end is live, and not used after this.
        unsafe { packets_close(self.0.as_ptr()) }
    }
}
