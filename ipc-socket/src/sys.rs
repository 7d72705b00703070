//! System calls that no crate makes as they are needed here.
//!
//! send(2) and recv(2) for sockets that have a [`Watch`](ipc_core::watch::Watch) are made directly: the C library's functions
//! are cancellation points (pthreads(7)), which costs two atomic operations a call in a process with threads.

#![allow(unsafe_code)]

use ipc_core::{Error, Result};
use nix::{
    errno::Errno,
    setsockopt_impl, sockopt_impl,
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap},
        socket::MsgFlags,
    },
};
use std::{
    num::NonZero,
    ops::{Deref, DerefMut},
    os::fd::RawFd,
    ptr::{self, NonNull},
    slice,
};

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

/// Zeroed memory of this process, page-aligned. Its pages stay what they are for whoever else holds them, the kernel with
/// what it still has to send, also when this has been dropped: freed memory would have been used again by then.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is an address range that this value alone owns; nothing about it belongs to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes, at least one, which take no memory before they are touched. System call: `mmap`.
    ///
    /// # Errors
    /// [`Error::Os`]: `ENOMEM`.
    pub fn new(len: usize) -> Result<Self> {
        let len = NonZero::new(len).unwrap_or(NonZero::<usize>::MIN);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(None, len, protection, MapFlags::MAP_PRIVATE) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len: len.get() })
    }

    /// Enters every page into this process's page table. Best effort: where the kernel is older than 5.14, the first messages
    /// take the faults instead. System call: `madvise`.
    pub fn populate(&self) {
        // SAFETY: the range is this live mapping; populating changes no content.
        let _ = unsafe { madvise(self.start.cast(), self.len, MmapAdvise::MADV_POPULATE_WRITE) };
    }
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped, zeroed at first, and written through `deref_mut` alone; the kernel only
        // reads them.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and nobody else has a reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped in `new`, and no reference outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}
