//! System calls on files that have no safe wrapper: mapping a file, and sharing blocks between files.

#![allow(unsafe_code)]

use ipc_core::{Error, Result};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{
    fs::File,
    num::NonZero,
    ops::{Deref, DerefMut},
    os::fd::AsRawFd,
    ptr::NonNull,
    slice,
};

/// A shared mapping of a whole file (mmap(2)).
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn of(file: &File, len: usize, protection: ProtFlags) -> Result<Self> {
        // An empty range cannot be mapped (EINVAL).
        let Some(bytes) = NonZero::new(len) else { return Ok(Self { start: NonNull::dangling(), len }) };
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, file, 0) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the range was mapped in `of`, and no reference outlives `self`.
            let _ = unsafe { munmap(self.start.cast(), self.len) };
        }
    }
}

/// A mapped file for reading.
#[derive(Debug)]
pub struct MappedSource(Mapping);

impl MappedSource {
    /// Maps the first `len` bytes of `file`. Nobody may write or cut the file meanwhile. System call: `mmap`.
    ///
    /// # Errors
    /// [`Error::Os`], such as `ENODEV` if the file system cannot map.
    pub fn new(file: &File, len: usize) -> Result<Self> {
        Mapping::of(file, len, ProtFlags::PROT_READ).map(Self)
    }
}

impl Deref for MappedSource {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` readable bytes are mapped from `start` until `self` is dropped; the files of a relay have no name, and
        // nobody writes to a source while a relay runs.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

/// A mapped file for writing.
#[derive(Debug)]
pub struct MappedDestination(Mapping);

impl MappedDestination {
    /// Maps the first `len` bytes of `file`. Nobody else may use or cut the file meanwhile. System call: `mmap`.
    ///
    /// # Errors
    /// The errors of [`MappedSource::new`].
    pub fn new(file: &File, len: usize) -> Result<Self> {
        Mapping::of(file, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map(Self)
    }
}

impl Deref for MappedDestination {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` readable bytes are mapped from `start` until `self` is dropped, and one process of a relay at
        // most uses its destination.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

impl DerefMut for MappedDestination {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, writable as well, and borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

/// Makes `to` share all blocks of `from` (ioctl_ficlone(2)). `false` if the file system cannot. System call: `ioctl`.
///
/// # Errors
/// [`Error::Os`] if the file system can and failed, such as `ENOSPC`.
pub fn clone(from: &File, to: &File) -> Result<bool> {
    // SAFETY: FICLONE takes a descriptor by value; both are live.
    match unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) } {
        -1 => match Errno::last() {
            // Errors of file systems and kernels without FICLONE.
            Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EXDEV => {
                Ok(false)
            }
            errno => Err(Error::os("ioctl(FICLONE)", errno)),
        },
        _ => Ok(true),
    }
}
