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

use crate::{
    mapping::Mapping,
    protocol::{Consumer, Producer, WORD, longest_record},
};
pub(crate) use ipc_core::futex;
use ipc_core::{Error, Options, Result, Wait};
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::{
    fmt::Debug,
    mem::offset_of,
    ptr::NonNull,
    slice,
    sync::{Arc, atomic::Ordering},
};

const MAGIC: u64 = u64::from_ne_bytes(*b"ipcring\0");
const VERSION: u32 = 1;

/// What a mapping says of itself, so that a stranger's memory or another version is refused.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    /// 1 where the ends may sleep and so look for sleepers.
    sleeps: AtomicU32,
    capacity: AtomicU64,
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

/// How large the rings of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of one direction's data area: a power of two.
    capacity: u64,
}

impl Size {
    /// The default capacity of one direction in bytes, if messages fit: it stays in a second-level cache.
    pub const DEFAULT: usize = 256 << 10;
    /// The largest capacity: lengths have 32 bits.
    pub const MAX: usize = 1 << 31;

    /// What `options` ask for: [`Options::capacity`], else eight times [`Options::max_message`] (seven messages fit, with
    /// their words: with fewer, ends that sleep wake each other for almost every one) but at least
    /// [`DEFAULT`](Size::DEFAULT); rounded up to a power of two.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where the longest message is more than half the ring, or the ring would pass `MAX`.
    pub fn of(options: &Options) -> Result<Self> {
        let eight = options.max_message.unwrap_or(0).saturating_mul(8);
        let asked = options.capacity.unwrap_or(eight.max(Self::DEFAULT));
        if asked > Self::MAX {
            return Err(Error::TooLarge { len: asked, max: Self::MAX });
        }
        let size = Self { capacity: asked.max(DATA).next_power_of_two() as u64 };
        match options.max_message {
            Some(len) if len > size.max_message() => Err(Error::TooLarge { len, max: size.max_message() }),
            _ => Ok(size),
        }
    }

    /// Bytes of one direction's data area.
    pub fn capacity(self) -> usize {
        self.capacity as usize
    }

    /// Bytes of the whole mapping.
    pub fn mapping_len(self) -> usize {
        DATA + 2 * self.capacity as usize
    }

    /// The longest message in bytes: half the ring less its record's word.
    pub fn max_message(self) -> usize {
        (longest_record(self.capacity) - WORD) as usize
    }
}

/// Which end of the link: the first sends through ring 0, the second through ring 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that made the mapping.
    First,
    /// The other one.
    Second,
}

impl Side {
    /// Where the data area that this end sends through starts in the mapping.
    pub fn sends_at(self, size: Size) -> usize {
        DATA + self.rings()[0] * size.capacity as usize
    }

    /// The numbers of the rings that it sends and receives through.
    fn rings(self) -> [usize; 2] {
        match self {
            Self::First => [0, 1],
            Self::Second => [1, 0],
        }
    }
}

/// Writes the header of a fresh, zeroed mapping.
pub fn initialize(memory: &dyn Memory, size: Size, wait: Wait) {
    assert!(memory.len() >= size.mapping_len(), "the mapping was made for this size");
    let header = header(memory);
    header.version.store(VERSION, Ordering::Relaxed);
    header.sleeps.store(u32::from(wait != Wait::Spin), Ordering::Relaxed);
    header.capacity.store(size.capacity, Ordering::Relaxed);
    header.magic.store(MAGIC, Ordering::Release);
}

/// Makes both halves of `side`'s end from a mapping that [`initialize`] prepared, here or in another process.
///
/// # Errors
/// [`Error::Corrupt`] where the header is not that of such a mapping; [`Error::Unsupported`] where the other end waits
/// in a way that does not go with `wait`.
pub fn open(memory: &Arc<dyn Memory>, side: Side, size: Size, wait: Wait) -> Result<(Producer, Consumer)> {
    let header = header(&**memory);
    if memory.len() < size.mapping_len() || header.magic.load(Ordering::Acquire) != MAGIC {
        return Err(Error::Corrupt { what: "no ring in this mapping" });
    }
    if header.version.load(Ordering::Relaxed) != VERSION {
        return Err(Error::Corrupt { what: "a ring of another version" });
    }
    if header.capacity.load(Ordering::Relaxed) != size.capacity {
        return Err(Error::Corrupt { what: "a ring of another size; both sides must open with the same options" });
    }
    let sleeps = wait != Wait::Spin;
    if header.sleeps.load(Ordering::Relaxed) != u32::from(sleeps) {
        let why = format!("the other end does not wait as '{wait}' does; both sides must open with the same options");
        return Err(Error::Unsupported { what: "wait strategy", why });
    }
    let area = |index: usize| Area {
        // SAFETY: the memory is at least `DATA + 2 * capacity` bytes (checked above) and page-aligned; both offsets lie
        // inside it, and CONTROLS are multiples of Control's alignment.
        control: unsafe { memory.start().add(CONTROLS[index]) }.cast(),
        // SAFETY: as above.
        data: unsafe { memory.start().add(DATA + index * size.capacity as usize) },
        capacity: size.capacity,
        _memory: Arc::clone(memory),
    };
    let [there, back] = side.rings().map(area);
    // The two positions that are this end's to write. A peer that was quicker has moved its own at most.
    let (head, tail) = (&there.control().head.0, &back.control().tail.0);
    if head.load(Ordering::Acquire) != 0 || tail.load(Ordering::Acquire) != 0 {
        return Err(Error::Corrupt { what: "this side of the ring has been used already" });
    }
    Ok((Producer::new(there, sleeps), Consumer::new(back, sleeps)))
}

fn header(memory: &dyn Memory) -> &Header {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap;

    #[test]
    fn a_header_that_is_not_ours_is_refused() {
        let spoil: [fn(&Header); 4] = [
            |header| header.magic.store(0, Ordering::Relaxed),
            |header| header.version.store(VERSION + 1, Ordering::Relaxed),
            |header| header.capacity.store(u64::MAX, Ordering::Relaxed),
            |header| header.sleeps.store(7, Ordering::Relaxed),
        ];
        for (index, spoil) in spoil.iter().enumerate() {
            let (memory, size) = heap::smallest(Wait::Spin);
            spoil(header(&*memory));
            let error = open(&memory, Side::Second, size, Wait::Spin).unwrap_err();
            match index {
                3 => assert!(matches!(error, Error::Unsupported { .. }), "{error}"),
                _ => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn a_side_that_has_been_used_or_does_not_fit_is_refused() {
        let (memory, size) = heap::smallest(Wait::Spin);
        let (mut producer, _) = open(&memory, Side::First, size, Wait::Spin).unwrap();
        assert!(producer.try_send(0, |_| Ok(())).unwrap().is_ok());
        assert!(matches!(open(&memory, Side::First, size, Wait::Spin), Err(Error::Corrupt { .. })));
        assert!(open(&memory, Side::Second, size, Wait::Spin).is_ok());
        let larger = Size { capacity: 2 * size.capacity };
        assert!(matches!(open(&memory, Side::Second, larger, Wait::Spin), Err(Error::Corrupt { .. })));
    }
}
