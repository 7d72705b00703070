//! Where a ring lies in shared memory, and how either side opens it; [`protocol`](crate::protocol) moves messages through.
//!
//! # Layout
//!
//! A mapping starts with a [`Header`], then has one [`Control`] for each direction, then their two data areas of
//! `capacity` bytes each, a power of two.
//!
//! # Trust
//!
//! Everything read from the mapping is checked before use, and read once: positions against the capacity, lengths against
//! what was published. A peer that scribbles gets [`Error::Corrupt`] and no access outside the mapping. The header is
//! looked at when an end opens and never again.

#![allow(unsafe_code)]

use crate::record::WORD;
pub(crate) use ipc_core::futex;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::{
    fmt::Debug,
    mem::offset_of,
    ptr::NonNull,
    slice,
    sync::{Arc, atomic::Ordering},
};

/// The start of a mapping, by which foreign memory or another version of the layout is refused.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    /// What tells a ring from other memory. Written last.
    pub magic: AtomicU64,
    /// The version of the layout.
    pub version: AtomicU32,
    /// 1 if the ends may sleep and so look for sleepers.
    pub sleeps: AtomicU32,
    /// Bytes of one direction's data area.
    pub capacity: AtomicU64,
}

/// Two lines, because the spatial prefetcher of x86 fetches pairs (Intel optimization manual, 2.5.5.4).
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Padded<T>(pub T);

/// The shared state of one direction.
#[derive(Debug)]
#[repr(C)]
pub struct Control {
    /// Written by the producer only.
    pub head: Padded<AtomicU64>,
    /// Written by the consumer only.
    pub tail: Padded<AtomicU64>,
    /// 1 while the consumer sleeps, or is about to, until there is a message: a futex word. Not on the line of an index,
    /// since the other side looks at it for every message and it hardly ever changes.
    pub consumer_asleep: Padded<AtomicU32>,
    /// 1 while the producer sleeps until there is room.
    pub producer_asleep: Padded<AtomicU32>,
}

/// Where the shared words of either direction lie in a mapping, each 128 bytes from the next.
pub const CONTROLS: [usize; 2] = [128, 128 + size_of::<Control>()];
/// Where the data areas start.
pub const DATA: usize = 4096;

const _: () = {
    assert!(size_of::<Header>() <= CONTROLS[0]);
    assert!(offset_of!(Control, head) == 0 && offset_of!(Control, tail) == 128);
    assert!(offset_of!(Control, consumer_asleep) == 256 && offset_of!(Control, producer_asleep) == 384);
    assert!(CONTROLS[1] + size_of::<Control>() <= DATA);
};

/// Pages that can hold a ring: shared ones, or any others in a test.
///
/// # Safety
/// `len` bytes from `start` on, which is a multiple of [`DATA`], can be read and written until the value is dropped, and
/// nobody has a Rust reference into them.
pub unsafe trait Memory: Debug + Send + Sync {
    /// Where they start.
    fn start(&self) -> NonNull<u8>;
    /// Their length in bytes.
    fn len(&self) -> usize;
    /// Enters every page into this process's page table, where that is worth while.
    fn populate(&self) {}
}

/// The header of a mapping.
///
/// # Panics
/// If the memory is shorter than a header's page.
pub fn header(memory: &dyn Memory) -> &Header {
    assert!(memory.len() >= DATA, "a mapping holds at least its header page");
    // SAFETY: the memory is page-aligned and longer than a header (asserted), all of whose fields are atomics, for which
    // any bit pattern is valid; it lives as long as the reference.
    unsafe { memory.start().cast().as_ref() }
}

/// One direction, as either side sees it: its shared words and its data area. Any position leads to a place inside.
#[derive(Clone, Debug)]
pub struct Area {
    control: NonNull<Control>,
    data: NonNull<u8>,
    capacity: u64,
    /// Keeps the pointers valid.
    _memory: Arc<dyn Memory>,
}

// SAFETY: the pointers lead into the memory that `_memory` keeps, which is shared anyway; all shared words are atomics, and
// the payload is handed over by the ring's protocol.
unsafe impl Send for Area {}

impl Area {
    /// The direction `index`, 0 or 1, of the rings of `capacity` bytes each in `memory`.
    ///
    /// # Panics
    /// If `memory` does not hold two rings of this capacity, or the capacity is no power of two.
    pub fn new(memory: &Arc<dyn Memory>, index: usize, capacity: u64) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= WORD && memory.len() >= DATA + 2 * capacity as usize);
        Self {
            // SAFETY: the memory is page-aligned and at least `DATA + 2 * capacity` bytes (asserted). Both offsets lie inside
            // it (an `index` beyond 1 panics), and CONTROLS are multiples of Control's alignment.
            control: unsafe { memory.start().add(CONTROLS[index]) }.cast(),
            // SAFETY: as above.
            data: unsafe { memory.start().add(DATA + index * capacity as usize) },
            capacity,
            _memory: Arc::clone(memory),
        }
    }

    /// The shared words.
    #[inline]
    pub fn control(&self) -> &Control {
        // SAFETY: `control` points to a Control inside the memory, kept alive by `_memory`; its fields are atomics.
        unsafe { self.control.as_ref() }
    }

    /// Bytes of the data area: a power of two.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes from `position` to the end of the area.
    #[inline]
    pub fn to_end(&self, position: u64) -> u64 {
        self.capacity - self.offset(position)
    }

    /// Reads the record word at `position`.
    #[inline]
    pub fn word(&self, position: u64) -> u64 {
        self.word_at(position).load(Ordering::Relaxed)
    }

    /// Writes the record word at `position`.
    #[inline]
    pub fn set_word(&self, position: u64, word: u64) {
        self.word_at(position).store(word, Ordering::Relaxed);
    }

    /// Lets `fill` write the `len` bytes behind the word at `position`.
    ///
    /// # Safety
    /// The record lies before the end of the area, and belongs to the caller alone until `fill` has returned.
    #[inline]
    pub unsafe fn fill(&self, position: u64, len: usize, fill: impl FnOnce(&mut [u8])) {
        // SAFETY: the bytes lie inside the data area and are the caller's, both by this function's contract.
        fill(unsafe { slice::from_raw_parts_mut(self.payload(position).as_ptr(), len) });
    }

    /// Lets `read` see the `len` bytes behind the word at `position`.
    ///
    /// # Safety
    /// The record lies before the end of the area, and its producer leaves it alone until `read` has returned.
    #[inline]
    pub unsafe fn read<R>(&self, position: u64, len: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: the bytes lie inside the data area and do not change, both by this function's contract.
        read(unsafe { slice::from_raw_parts(self.payload(position).as_ptr(), len) })
    }

    /// Asks for the second line of the record at `position` while the first is on its way: where a message ends is only known
    /// once its word has arrived, and by then a short message could have arrived as a whole.
    #[inline]
    #[cfg_attr(not(all(target_arch = "x86_64", not(miri))), expect(unused_variables))]
    pub fn prefetch_second_line(&self, position: u64) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            const LINE: usize = 64;
            // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.word_at(position).as_ptr().cast::<i8>().wrapping_add(LINE)) };
        }
    }

    /// The offset of the word at `position`, which is a multiple of 8; were it not, it would still be a word's.
    #[inline]
    pub fn offset(&self, position: u64) -> u64 {
        debug_assert!(position.is_multiple_of(WORD));
        position & (self.capacity - WORD)
    }

    #[inline]
    fn word_at(&self, position: u64) -> &AtomicU64 {
        // SAFETY: the offset is at most `capacity - 8` and a multiple of 8, so the word lies inside the data area, aligned.
        unsafe { self.data.add(self.offset(position) as usize).cast().as_ref() }
    }

    #[inline]
    fn payload(&self, position: u64) -> NonNull<u8> {
        // SAFETY: the offset is at most `capacity - 8`, so one word further is inside or one past the data area.
        unsafe { self.data.add((self.offset(position) + WORD) as usize) }
    }
}
