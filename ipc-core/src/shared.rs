//! A page of counters that a process shares with the children it forks: for coordinating, never for messages.

#![allow(unsafe_code)]

use crate::{Error, Result, futex};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::{
    num::NonZero,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// One word of each width, alone on its pair of cache lines.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Line {
    /// A counter or a value.
    pub word: AtomicU64,
    /// A futex word (see [`futex`]).
    pub futex: AtomicU32,
}

/// Lines in a page.
pub const LINES: usize = 4096 / size_of::<Line>();

/// A zeroed page, shared with every child forked after it was made. System call: `mmap(MAP_SHARED | MAP_ANONYMOUS)`.
#[derive(Debug)]
pub struct SharedPage(NonNull<[Line; LINES]>);

// SAFETY: the mapping belongs to the value, whichever thread has it, and all that it holds are atomics.
unsafe impl Send for SharedPage {}
// SAFETY: as before.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps the page.
    ///
    /// # Errors
    /// [`Error::Os`]: `ENOMEM`.
    pub fn new() -> Result<Self> {
        let len = NonZero::new(size_of::<[Line; LINES]>()).expect("a page is not empty");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let page = unsafe { mmap_anonymous(None, len, protection, MapFlags::MAP_SHARED) };
        Ok(Self(page.map_err(|e| Error::os("mmap", e))?.cast()))
    }
}

impl Deref for SharedPage {
    type Target = [Line; LINES];

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the mapping is live, page-aligned and as large as the array, whose fields are all atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the range was mapped in `new`, and no reference outlives `self`.
        let _ = unsafe { munmap(self.0.cast(), size_of::<[Line; LINES]>()) };
    }
}

/// A meeting point of two processes: neither returns from [`meet`](Barrier::meet) before both have called it. They sleep in
/// the kernel, whatever is being measured, so that a pair on one core is not held up by the barrier itself.
#[derive(Debug, Clone, Copy)]
pub struct Barrier<'a> {
    mine: &'a AtomicU32,
    other: &'a AtomicU32,
}

impl<'a> Barrier<'a> {
    /// A barrier over two lines of a page; the other process names them the other way round.
    pub fn new(mine: &'a Line, other: &'a Line) -> Self {
        Self { mine: &mine.futex, other: &other.futex }
    }

    /// Waits for the other process, without a deadline of its own: the supervisor holds it.
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn meet(&self) -> Result<()> {
        let turn = self.mine.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        futex::wake(self.mine)?;
        loop {
            let seen = self.other.load(Ordering::Acquire);
            if seen.wrapping_sub(turn).cast_signed() >= 0 {
                return Ok(());
            }
            futex::wait(self.other, seen, Some(Duration::from_millis(100)))?;
        }
    }
}
