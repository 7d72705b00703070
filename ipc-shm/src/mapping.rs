//! Shared mappings, and the system calls that make them.

#![allow(unsafe_code)]

use crate::ring::Memory;
use ipc_core::{Error, Result, objects, sysv};
use nix::{
    errno::Errno,
    fcntl::posix_fallocate,
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
        resource::{Resource, getrlimit},
        stat::SFlag,
    },
};
use std::{
    fmt::Display,
    num::NonZero,
    os::fd::AsFd,
    ptr::{self, NonNull},
};

const CUT: Error = Error::Corrupt { what: "the shared object is smaller than its ring" };

/// Gives `file` its length in bytes and reserves its pages. So a lack of room is an error here, and not `SIGBUS` later.
/// System calls: `getrlimit`, `fallocate`.
///
/// # Errors
/// [`Error::Os`] of either call, such as `ENOSPC`. `EFBIG` if `len` is beyond `RLIMIT_FSIZE`.
pub fn reserve(file: impl AsFd, len: usize) -> Result<()> {
    // Beyond the limit the kernel does not only refuse. It sends SIGXFSZ, which ends the process (setrlimit(2)).
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(|e| Error::os("getrlimit", e))?;
    if len as u64 > limit {
        return Err(Error::os("fallocate", Errno::EFBIG));
    }
    loop {
        match posix_fallocate(&file, 0, len as i64) {
            // A signal undoes the call (shmem_fallocate in mm/shmem.c).
            Err(Errno::EINTR) => {}
            reserved => return reserved.map_err(|e| Error::os("fallocate", e)),
        }
    }
}

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
    /// Maps `len` fresh bytes that only descendants will share (`MAP_SHARED | MAP_ANONYMOUS`). System call: `mmap`.
    ///
    /// # Errors
    /// [`Error::Os`] of `mmap`, such as `ENOMEM`.
    pub fn anonymous(len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap_anonymous(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED) };
        let start = start.map_err(|e| Error::os("mmap", e))?;
        Ok(Self { start, len, origin: Origin::Mapped })
    }

    /// Maps the first `len` bytes of `file`, which another process made under `name`. An access beyond the end of a
    /// file raises `SIGBUS`, so a shorter file is refused. System calls: `fstat`, `mmap`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is no regular file, belongs to another user or is open to others.
    /// [`Error::Corrupt`] if it is shorter than `len`. [`Error::Os`] of either call.
    pub fn of_found(file: impl AsFd, len: usize, name: impl Display) -> Result<Self> {
        let status = objects::check_found(&file, SFlag::S_IFREG, name)?;
        if usize::try_from(status.st_size).is_ok_and(|bytes| bytes < len) {
            return Err(CUT);
        }
        Self::of(file, len)
    }

    /// Maps the first `len` bytes of `file`. System call: `mmap`.
    ///
    /// # Errors
    /// [`Error::Os`] of `mmap`, such as `ENOMEM`.
    pub fn of(file: impl AsFd, len: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, nonzero(len)?, protection(), MapFlags::MAP_SHARED, file, 0) };
        let start = start.map_err(|e| Error::os("mmap", e))?;
        Ok(Self { start, len, origin: Origin::Mapped })
    }

    /// Attaches the System V segment `id`, of which the first `len` bytes are used. System calls: `shmctl(IPC_STAT)`,
    /// `shmat`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it belongs to another user or is open to others. [`Error::Corrupt`] if it is shorter
    /// than `len`. [`Error::Os`] of either call.
    pub fn attach(id: i32, len: usize) -> Result<Self> {
        let (owner, mode, bytes) = sysv::segment_status(id)?;
        objects::check_private(owner, mode, format_args!("System V segment {id}"))?;
        if bytes < len {
            return Err(CUT);
        }
        // SAFETY: the kernel chooses the address, so nothing is overlaid.
        let start = unsafe { libc::shmat(id, ptr::null(), 0) };
        match NonNull::new(start).filter(|start| start.as_ptr().addr() != usize::MAX) {
            Some(start) => Ok(Self { start, len, origin: Origin::Attached }),
            None => Err(Error::os("shmat", Errno::last())),
        }
    }

    /// The address of the first byte: a multiple of the page size.
    pub fn start(&self) -> NonNull<u8> {
        self.start.cast()
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Enters every page into this process's page table, writable. System call: `madvise(MADV_POPULATE_WRITE)`. Kernels
    /// before 5.14 lack it. There the first messages take the page faults.
    pub fn populate(&self) {
        // SAFETY: the range is this live mapping; populating changes no content.
        let _ = unsafe { madvise(self.start, self.len, MmapAdvise::MADV_POPULATE_WRITE) };
    }
}

// SAFETY: a mapping starts at a page, is readable and writable until it is dropped, and hands out its address only.
unsafe impl Memory for Mapping {
    fn start(&self) -> NonNull<u8> {
        self.start()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn populate(&self) {
        self.populate();
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
