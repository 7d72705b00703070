//! Memory of an end's own that the kernel or the peer reads: page-aligned pools and buffers, and files in memory behind them.

#![allow(unsafe_code)]

use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
        stat::{Mode, fchmod},
    },
};
use std::{
    ffi::CStr,
    num::NonZero,
    ops::{Deref, DerefMut},
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    slice,
};

/// Zeroed pages that take memory only once they are touched. Dropping them unmaps them.
///
/// Another holder keeps the pages as they are, for example the kernel with what it has yet to send. Memory that is
/// freed to an allocator would be used again by then.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: pages are an address range that this value alone owns; nothing about them belongs to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes of this process alone (`MAP_PRIVATE | MAP_ANONYMOUS`). After a fork each process writes its
    /// own copy. System call: `mmap`.
    ///
    /// # Errors
    /// [`Error::Os`], such as `ENOMEM`. [`Error::Corrupt`] if `len` is 0.
    pub fn private(len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(None, nonzero(len)?, protection(), MapFlags::MAP_PRIVATE) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len })
    }

    /// Maps the first `len` bytes of `file`. The file must have them and keep them, and nobody else may write them.
    /// System call: `mmap`.
    ///
    /// # Errors
    /// As [`private`](Pages::private).
    pub fn of(file: impl AsFd, len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED, file, 0) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len })
    }

    /// Enters every page into the page table of this process, writable. System call: `madvise`.
    ///
    /// On a kernel older than 5.14 nothing happens, and the first messages take the faults.
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
        // SAFETY: as in `deref`; they are writable, and `&mut self` keeps every other reference away.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped here, and no reference outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

fn protection() -> ProtFlags {
    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
}

fn nonzero(len: usize) -> Result<NonZero<usize>> {
    NonZero::new(len).ok_or(Error::Corrupt { what: "an empty mapping" })
}

/// Makes a file in memory that takes seals and can never be executed. System call: `memfd_create`, twice on an older
/// kernel.
///
/// Since Linux 6.3 the kernel wants to be told that a file is not to be executed, and logs a warning otherwise. With
/// `vm.memfd_noexec` = 2 it makes no other files.
///
/// # Errors
/// [`Error::Os`].
pub fn memfd(name: &CStr) -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    match memfd_create(name, flags | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL)) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    }
    .map_err(|e| Error::os("memfd_create", e))
}

/// Makes a file in memory with mode 0600, whose length `stretch` sets. From then on nobody can change its length or
/// its seals. System calls: `memfd_create`, `fchmod`, `fcntl(F_ADD_SEALS)`.
///
/// # Errors
/// [`Error::Os`], and those of `stretch`.
pub fn sealed_memfd(stretch: impl FnOnce(&OwnedFd) -> Result<()>) -> Result<OwnedFd> {
    let file = memfd(c"ipc-bench")?;
    // The kernel makes it for everybody (mm/memfd.c), and /proc/PID/fd is a way to open it again.
    fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("fchmod", e))?;
    stretch(&file)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(|e| Error::os("fcntl", e))?;
    Ok(file)
}
