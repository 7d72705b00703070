//! System calls of the channels that hide a copy, and of a kernel that keeps its word badly, which have no safe wrapper.

#![allow(unsafe_code)]

use ipc_core::{Error, Result};
use nix::{
    errno::Errno,
    sys::mman::{MRemapFlags, MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mremap, munmap},
    unistd::Pid,
};
use std::{
    ffi::c_void,
    num::NonZero,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Memory that is mapped until it is [given back](Self::give_back).
#[derive(Debug)]
pub struct Mapped(&'static mut [u8]);

const BOTH: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

fn length(len: usize) -> NonZero<usize> {
    NonZero::new(len).expect("a message has a length")
}

impl Mapped {
    /// New memory of `len` bytes, where no other has been, as far as there is room.
    pub fn new(len: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1 << 44);
        let hint = NonZero::new(NEXT.fetch_add(len.next_multiple_of(1 << 16), Ordering::Relaxed));
        // SAFETY: a fresh mapping at an address that the kernel finds free overlaps nothing.
        Self::at(unsafe { mmap_anonymous(hint, length(len), BOTH, MapFlags::MAP_PRIVATE) }, len)
    }

    /// Unmaps it.
    pub fn give_back(mut self) {
        // SAFETY: the range was mapped by `new`, and no reference to it is used again.
        unsafe { munmap(self.start(), self.0.len()) }.expect("it is mapped");
    }

    /// The first `len` bytes of `file`, as nobody else sees what is written into them.
    pub fn private(file: impl AsFd, len: usize) -> Self {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        Self::at(unsafe { mmap(None, length(len), BOTH, MapFlags::MAP_PRIVATE, file, 0) }, len)
    }

    fn at(start: nix::Result<NonNull<c_void>>, len: usize) -> Self {
        let start = start.expect("there is memory").cast();
        // SAFETY: `len` bytes have just been mapped there for good, for reading and writing, and nothing else refers to them.
        Self(unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) })
    }

    fn start(&mut self) -> NonNull<c_void> {
        NonNull::from(&mut *self.0).cast()
    }

    /// The same pages at another address.
    pub fn moved(mut self) -> Self {
        let (old, len, mut new) = (self.start(), self.0.len(), Self::new(self.0.len()));
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: both ranges are mappings of this length, of which no reference is used again.
        Self::at(unsafe { mremap(old, len, len, flags, Some(new.start())) }, len)
    }

    /// Forgets what was written.
    pub fn forget(&mut self) {
        // SAFETY: the range is mapped, and borrowed mutably: nobody relies on its content.
        unsafe { madvise(self.start(), self.0.len(), MmapAdvise::MADV_DONTNEED) }.expect("it is mapped");
    }

    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.0
    }
}

fn descriptor(call: &'static str, result: libc::c_long) -> Result<OwnedFd> {
    let fd = Errno::result(result).map_err(|errno| Error::os(call, errno))?;
    // SAFETY: the call has just returned this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A ring of io_uring_setup(2) for two entries.
pub fn io_uring() -> Result<OwnedFd> {
    let mut parameters = [0_u64; 15];
    // SAFETY: the kernel writes no more than `struct io_uring_params`, which has 120 bytes.
    descriptor("io_uring_setup", unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, parameters.as_mut_ptr()) })
}

/// A userfaultfd(2) for faults in user mode, which needs no privilege.
pub fn userfaultfd() -> Result<OwnedFd> {
    const UFFD_USER_MODE_ONLY: i32 = 1;
    // SAFETY: the call takes flags and returns a new descriptor.
    descriptor("userfaultfd", unsafe { libc::syscall(libc::SYS_userfaultfd, UFFD_USER_MODE_ONLY | libc::O_CLOEXEC) })
}

/// That descriptor `fd` of process `pid`.
pub fn descriptor_of(pid: Pid, fd: u64) -> Result<OwnedFd> {
    let process = ipc_core::process::pidfd_open(pid)?;
    let process = std::os::fd::AsRawFd::as_raw_fd(&process);
    // SAFETY: the call takes a live pidfd and two numbers and returns a new descriptor.
    descriptor("pidfd_getfd", unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd as i32, 0) })
}

/// Starts a process that no tracer follows, and which ends at once.
pub fn start_untraced() {
    let flags = libc::CLONE_UNTRACED | libc::SIGCHLD;
    // SAFETY: as fork(2): the child has no stack of its own and nothing of the parent's is shared with it; it only ends.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        // SAFETY: _exit ends the process and runs nothing.
        0 => unsafe { libc::_exit(0) },
        // SAFETY: waits for the child that was just started.
        pid => unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) },
    };
}

/// A set of semaphores that holds a message: two bytes in each.
#[derive(Debug)]
pub struct Semaphores(i32);

impl Semaphores {
    /// As many as `bytes` bytes need.
    pub fn new(bytes: usize) -> Self {
        // SAFETY: semget takes numbers.
        let id = unsafe { libc::semget(libc::IPC_PRIVATE, (bytes / 2) as i32, 0o600) };
        Self(Errno::result(id).expect("there is room for semaphores"))
    }

    /// Puts `bytes` in and takes them out again. Every second one is less than 128: a semaphore holds 15 bits.
    pub fn carry(&self, bytes: &mut [u8]) {
        const GETALL: i32 = 13;
        const SETALL: i32 = 17;
        // SAFETY: both calls move two bytes for each semaphore, of which there are half as many as the slice has bytes.
        unsafe {
            libc::semctl(self.0, 0, SETALL, bytes.as_ptr());
            libc::semctl(self.0, 0, GETALL, bytes.as_mut_ptr());
        }
    }
}

impl Drop for Semaphores {
    fn drop(&mut self) {
        // SAFETY: semctl takes numbers.
        unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
    }
}
