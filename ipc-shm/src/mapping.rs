//! Shared pages and the system calls that map them.

#![allow(unsafe_code)]

use ipc_core::{Error, Result};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
};
use std::{
    num::NonZero,
    os::fd::AsFd,
    ptr::{self, NonNull},
};

/// A readable and writable shared mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<libc::c_void>,
    len: usize,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// mmap(2)
    Mapped,
    /// shmat(2)
    Attached,
}

// SAFETY: a mapping is an address range; nothing about it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: the only access through a shared reference is the raw start pointer.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes that only descendants will share (`MAP_SHARED | MAP_ANONYMOUS`).
    pub fn anonymous(len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED) };
        let start = start.map_err(|e| Error::os("mmap", e))?;
        Ok(Self { start, len, origin: Origin::Mapped })
    }

    /// Maps the first `len` bytes of `file`.
    pub fn of(file: impl AsFd, len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED, file, 0) };
        let start = start.map_err(|e| Error::os("mmap", e))?;
        Ok(Self { start, len, origin: Origin::Mapped })
    }

    /// Attaches the System V segment `id`, which must have at least `len` bytes.
    pub fn attach(id: i32, len: usize) -> Result<Self> {
        // SAFETY: shmid_ds is plain data for which all zeroes is a value, and IPC_STAT fills it.
        let mut status: libc::shmid_ds = unsafe { std::mem::zeroed() };
        // SAFETY: `status` is live for the call.
        if unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut status) } == -1 {
            return Err(Error::os("shmctl", Errno::last()));
        }
        if status.shm_segsz < len {
            return Err(Error::Corrupt { what: "the segment is smaller than its ring" });
        }
        // SAFETY: the kernel chooses the address, so nothing is overlaid.
        let start = unsafe { libc::shmat(id, ptr::null(), 0) };
        match NonNull::new(start).filter(|start| start.as_ptr().addr() != usize::MAX) {
            Some(start) => Ok(Self { start, len, origin: Origin::Attached }),
            None => Err(Error::os("shmat", Errno::last())),
        }
    }

    /// Where it starts; page-aligned.
    pub fn start(&self) -> NonNull<u8> {
        self.start.cast()
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Enters every page into this process's page table, writable. Best effort: where the kernel is older than 5.14,
    /// the first messages take the faults instead.
    pub fn populate(&self) {
        // SAFETY: the range is this live mapping; populating changes no content.
        let _ = unsafe { madvise(self.start, self.len, MmapAdvise::MADV_POPULATE_WRITE) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = match self.origin {
            // SAFETY: the range was mapped by `mmap` here and nothing refers to it any more.
            Origin::Mapped => unsafe { munmap(self.start, self.len) },
            // SAFETY: the address came from `shmat` here and nothing refers to it any more.
            Origin::Attached => Errno::result(unsafe { libc::shmdt(self.start.as_ptr()) }).map(drop),
        };
    }
}

fn protection() -> ProtFlags {
    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
}

fn nonzero(len: usize) -> Result<NonZero<usize>> {
    NonZero::new(len).ok_or(Error::Corrupt { what: "an empty mapping" })
}
