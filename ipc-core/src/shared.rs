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

/// A meeting point of several processes: none returns from [`meet`](Barrier::meet) before all have called it. They sleep in
/// the kernel, whatever is being measured, so that processes on one core are not held up by the barrier itself.
#[derive(Debug, Clone, Copy)]
pub struct Barrier<'a> {
    parties: &'a [Line],
    own: usize,
}

impl<'a> Barrier<'a> {
    /// The barrier of as many processes as `parties` has lines, of which this process is number `own`. All name the same lines.
    ///
    /// # Panics
    /// If `own` is not the number of a line.
    pub fn new(parties: &'a [Line], own: usize) -> Self {
        assert!(own < parties.len(), "party {own} of {}", parties.len());
        Self { parties, own }
    }

    /// Waits for all other processes, without a deadline of its own: the supervisor holds it.
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn meet(&self) -> Result<()> {
        let mine = &self.parties[self.own].futex;
        let turn = mine.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        futex::wake_all(mine)?;
        let others = self.parties.iter().enumerate().filter(|&(party, _)| party != self.own);
        others.map(|(_, line)| &line.futex).try_for_each(|other| Self::wait_for(other, turn))
    }

    /// Waits until the party of `other` has come `turn` times.
    fn wait_for(other: &AtomicU32, turn: u32) -> Result<()> {
        loop {
            let seen = other.load(Ordering::Acquire);
            if seen.wrapping_sub(turn).cast_signed() >= 0 {
                return Ok(());
            }
            futex::wait(other, seen, Some(Duration::from_millis(100)))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, thread};

    #[test]
    fn nobody_leaves_a_barrier_before_all_have_come() {
        const ROUNDS: u64 = 300;
        for parties in [1, 2, 5] {
            let page = SharedPage::new().unwrap();
            let came: Vec<AtomicU64> = (0..parties).map(|_| AtomicU64::new(0)).collect();
            thread::scope(|scope| {
                for own in 0..parties {
                    let (barrier, came) = (Barrier::new(&page[..parties], own), &came);
                    scope.spawn(move || {
                        for round in 1..=ROUNDS {
                            came[own].store(round, Ordering::Release);
                            barrier.meet().unwrap();
                            let late = came.iter().filter(|party| party.load(Ordering::Acquire) < round).count();
                            assert_eq!(late, 0, "of {parties}, in round {round}");
                        }
                    });
                }
            });
        }
    }
}
