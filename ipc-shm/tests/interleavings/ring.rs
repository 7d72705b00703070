//! Loom's model of the memory that `protocol.rs` runs over, under the names of `src/ring.rs`.

#![allow(unsafe_code)]

use crate::record::WORD;
pub use loom::sync::atomic::{AtomicU64, fence};
use loom::{
    cell::UnsafeCell,
    sync::{Condvar, Mutex},
};
use std::{
    cell,
    ops::{Deref, Range},
    slice,
    sync::{Arc, atomic::Ordering},
};

/// A word to sleep on, with the queue that the kernel keeps for it.
#[derive(Debug)]
pub struct AtomicU32 {
    word: loom::sync::atomic::AtomicU32,
    lock: Mutex<()>,
    sleepers: Condvar,
}

impl AtomicU32 {
    fn new() -> Self {
        Self { word: loom::sync::atomic::AtomicU32::new(0), lock: Mutex::new(()), sleepers: Condvar::new() }
    }
}

impl Deref for AtomicU32 {
    type Target = loom::sync::atomic::AtomicU32;

    fn deref(&self) -> &Self::Target {
        &self.word
    }
}

/// futex(2): compares the word and queues the sleeper under the lock that a waker takes.
pub mod futex {
    use super::{AtomicU32, Ordering};
    use ipc_core::Result;
    use std::time::Duration;

    pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> Result<()> {
        assert_eq!(limit, None, "a limit would hide a lost wake-up");
        let queue = word.lock.lock().unwrap();
        if word.load(Ordering::Relaxed) == expected {
            drop(word.sleepers.wait(queue).unwrap());
        }
        Ok(())
    }

    pub fn wake(word: &AtomicU32) -> Result<()> {
        let _queue = word.lock.lock().unwrap();
        word.sleepers.notify_one();
        Ok(())
    }
}

/// Here nothing shares a cache line.
#[derive(Debug)]
pub struct Padded<T>(pub T);

/// The shared words of one direction.
#[derive(Debug)]
pub struct Control {
    pub head: Padded<AtomicU64>,
    pub tail: Padded<AtomicU64>,
    pub consumer_asleep: Padded<AtomicU32>,
    pub producer_asleep: Padded<AtomicU32>,
}

/// One direction. Every eight bytes of data hold a record word in one lap and payload in another. At any time they
/// belong to one side.
#[derive(Clone, Debug)]
pub struct Area(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    control: Control,
    words: Vec<AtomicU64>,
    bytes: Vec<cell::UnsafeCell<u8>>,
    /// One cell for the word and the bytes at the same place. Loom checks each access to it for a race.
    owners: Vec<UnsafeCell<()>>,
}

// SAFETY: `owners` has loom check, before each access to `bytes`, that no other thread's is concurrent.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Area {
    pub fn new(capacity: u64) -> Self {
        assert!(capacity.is_power_of_two());
        let words = capacity / WORD;
        Self(Arc::new(Shared {
            control: Control {
                head: Padded(AtomicU64::new(0)),
                tail: Padded(AtomicU64::new(0)),
                consumer_asleep: Padded(AtomicU32::new()),
                producer_asleep: Padded(AtomicU32::new()),
            },
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            bytes: (0..capacity).map(|_| cell::UnsafeCell::new(0)).collect(),
            owners: (0..words).map(|_| UnsafeCell::new(())).collect(),
        }))
    }

    pub fn control(&self) -> &Control {
        &self.0.control
    }

    pub fn capacity(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    pub fn to_end(&self, position: u64) -> u64 {
        self.capacity() - self.offset(position)
    }

    pub fn word(&self, position: u64) -> u64 {
        let at = self.place(position);
        self.0.owners[at].with(|_| ());
        self.0.words[at].load(Ordering::Relaxed)
    }

    pub fn set_word(&self, position: u64, word: u64) {
        let at = self.place(position);
        self.0.owners[at].with_mut(|_| ());
        self.0.words[at].store(word, Ordering::Relaxed);
    }

    /// # Safety
    /// None needed: loom checks what `src/ring.rs` has to trust.
    pub unsafe fn fill(&self, position: u64, len: usize, fill: impl FnOnce(&mut [u8])) {
        let payload = self.payload(position, len);
        let held: Vec<_> = payload.clone().map(|at| self.0.owners[at].get_mut()).collect();
        // SAFETY: `payload` was checked to lie inside, and nobody else touches it while `held` lives.
        fill(unsafe { slice::from_raw_parts_mut(self.byte(payload.start), len) });
        drop(held);
    }

    /// # Safety
    /// None needed, as above.
    pub unsafe fn read<R>(&self, position: u64, len: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let payload = self.payload(position, len);
        let held: Vec<_> = payload.clone().map(|at| self.0.owners[at].get()).collect();
        // SAFETY: `payload` was checked to lie inside, and nobody writes it while `held` lives.
        let result = read(unsafe { slice::from_raw_parts(self.byte(payload.start), len) });
        drop(held);
        result
    }

    pub fn prefetch_second_line(&self, _position: u64) {}

    pub fn offset(&self, position: u64) -> u64 {
        assert!(position.is_multiple_of(WORD));
        position % self.capacity()
    }

    fn place(&self, position: u64) -> usize {
        (self.offset(position) / WORD) as usize
    }

    /// Which places the payload of `len` bytes behind the word at `position` takes.
    fn payload(&self, position: u64, len: usize) -> Range<usize> {
        let start = self.place(position) + 1;
        let end = start + len.div_ceil(WORD as usize);
        assert!(end <= self.0.owners.len(), "a record over the end of the area");
        start..end
    }

    fn byte(&self, place: usize) -> *mut u8 {
        // One past the end for an empty message in the last place.
        self.0.bytes.as_ptr().wrapping_add(place * WORD as usize).cast_mut().cast()
    }
}
