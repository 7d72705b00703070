//! Pages that a process of its own fills, and the kernel reads.

#![allow(unsafe_code)]

use ipc_core::{Error, Result};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
    unistd::{SysconfVar, sysconf},
};
use std::{num::NonZero, ops::Range, os::fd::AsFd, ptr::NonNull, slice};

/// Zeroed pages that take memory only once they are touched; unmapped when dropped.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: pages are an address range; nothing about them belongs to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// `len` bytes of this process alone (`MAP_PRIVATE | MAP_ANONYMOUS`): after a fork each process writes its own copy.
    pub fn private(len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(None, nonzero(len)?, protection(), MapFlags::MAP_PRIVATE) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len })
    }

    /// The first `len` bytes of `file`, which must have them and keep them.
    pub fn of(file: impl AsFd, len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED, file, 0) };
        Ok(Self { start: start.map_err(|e| Error::os("mmap", e))?.cast(), len })
    }

    /// Some of the bytes.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        let range = self.within(range);
        // SAFETY: the range lies inside this live mapping, whose bytes are initialized; they are written through
        // `bytes_mut` alone, which borrows the whole.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(range.start), range.len()) }
    }

    /// Some of the bytes, to write.
    #[inline]
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let range = self.within(range);
        // SAFETY: as above; `&mut self` keeps every other reference away, and the kernel only reads.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().add(range.start), range.len()) }
    }

    /// Enters every page into this process's page table, writable. Best effort: where the kernel is older than 5.14,
    /// the first messages take the faults instead.
    pub fn populate(&self) {
        // SAFETY: the range is this live mapping; populating changes no content.
        let _ = unsafe { madvise(self.start.cast(), self.len, MmapAdvise::MADV_POPULATE_WRITE) };
    }

    #[inline]
    fn within(&self, range: Range<usize>) -> Range<usize> {
        assert!(range.start <= range.end && range.end <= self.len, "bytes {range:?} of {}", self.len);
        range
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped here and nothing refers to it any more. Pages that a pipe still refers to live on.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

/// The size of a page in bytes.
pub fn page_size() -> Result<usize> {
    match sysconf(SysconfVar::PAGE_SIZE) {
        Ok(Some(bytes)) => Ok(bytes.unsigned_abs() as usize),
        Ok(None) => Err(Error::os("sysconf", Errno::ENOSYS)),
        Err(errno) => Err(Error::os("sysconf", errno)),
    }
}

fn protection() -> ProtFlags {
    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
}

fn nonzero(len: usize) -> Result<NonZero<usize>> {
    NonZero::new(len).ok_or(Error::Corrupt { what: "an empty mapping" })
}
