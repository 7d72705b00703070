//! A single-producer single-consumer ring of messages in shared memory.
//!
//! # Layout
//!
//! A mapping starts with a [`Header`], then has one [`Control`] for each direction, then their two data areas of
//! `capacity` bytes each, a power of two. Positions are byte counts that only grow; a position modulo `capacity` is an
//! offset in the data area. `head` is written by the producer only, `tail` by the consumer only, each on cache lines of
//! its own, and each side keeps a copy of the other's, which it renews only when it seems to be stuck.
//!
//! A message is a record: one word (`length | KIND << 32`), then the payload, padded to 8 bytes. Records lie in one piece, so
//! that the payload can be used in place. Where one does not fit before the end of the area, a `SKIP` record fills up
//! the rest; therefore a record may take half the area at most.
//!
//! # Ordering
//!
//! The producer writes the record, then `head` with release; the consumer reads `head` with acquire, then the record. The
//! other way round with `tail` for the room that becomes free. Sleeping adds one store-load order on each side (a
//! sequentially consistent fence): the sleeper announces itself and looks again, the other publishes and looks for a
//! sleeper. Both can miss each other only if both loads came before both stores. A channel that only spins has no fence.
//!
//! # Trust
//!
//! Everything read from the mapping is checked before use: positions against the capacity, lengths against what was
//! published. A peer that scribbles gets [`Error::Corrupt`] and no access outside the mapping.

#![allow(unsafe_code)]

use crate::mapping::Mapping;
use ipc_core::{Error, Options, Result, Wait, futex};
use std::{
    mem::offset_of,
    ptr::NonNull,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    },
    time::Duration,
};

const MAGIC: u64 = u64::from_ne_bytes(*b"ipcring\0");
const VERSION: u32 = 1;
const WORD: u64 = 8;
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;
const MESSAGE: u64 = 0x4d53_4721 << 32;
const SKIP: u64 = 0x534b_4950 << 32;

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
struct Padded<T>(T);

/// The shared state of one direction.
#[repr(C)]
struct Control {
    head: Padded<AtomicU64>,
    tail: Padded<AtomicU64>,
    /// 1 while the consumer sleeps, or is about to, until there is a message: a futex word. Not on the line of an index,
    /// since the other side looks at it for every message and it hardly ever changes.
    consumer_asleep: Padded<AtomicU32>,
    /// 1 while the producer sleeps until there is room.
    producer_asleep: Padded<AtomicU32>,
}

const CONTROLS: [usize; 2] = [128, 128 + size_of::<Control>()];
const DATA: usize = 4096;

const _: () = {
    assert!(size_of::<Header>() <= CONTROLS[0]);
    assert!(offset_of!(Control, head) == 0 && offset_of!(Control, tail) == 128);
    assert!(offset_of!(Control, consumer_asleep) == 256 && offset_of!(Control, producer_asleep) == 384);
    assert!(CONTROLS[1] + size_of::<Control>() <= DATA);
};

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

    /// Bytes of the whole mapping.
    pub fn mapping_len(self) -> usize {
        DATA + 2 * self.capacity as usize
    }

    /// The longest message in bytes: half the ring less its record's word.
    pub fn max_message(self) -> usize {
        (self.capacity / 2 - WORD) as usize
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

/// Writes the header of a fresh, zeroed mapping.
pub fn initialize(mapping: &Mapping, size: Size, wait: Wait) {
    assert!(mapping.len() >= size.mapping_len(), "the mapping was made for this size");
    let header = header(mapping);
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
pub fn open(mapping: &Arc<Mapping>, side: Side, size: Size, wait: Wait) -> Result<(Producer, Consumer)> {
    let header = header(mapping);
    if mapping.len() < size.mapping_len() || header.magic.load(Ordering::Acquire) != MAGIC {
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
    let [there, back] = match side {
        Side::First => [0, 1],
        Side::Second => [1, 0],
    };
    let half = |index: usize| Half {
        // SAFETY: the mapping is at least `DATA + 2 * capacity` bytes (checked above) and page-aligned; both offsets lie
        // inside it, and CONTROLS are multiples of Control's alignment.
        control: unsafe { mapping.start().add(CONTROLS[index]) }.cast(),
        // SAFETY: as above.
        data: unsafe { mapping.start().add(DATA + index * size.capacity as usize) },
        capacity: size.capacity,
        sleeps,
        mapping: Arc::clone(mapping),
    };
    let (there, back) = (half(there), half(back));
    // The two positions that are this end's to write. A peer that was quicker has moved its own at most.
    let (head, tail) = (&there.control().head.0, &back.control().tail.0);
    if head.load(Ordering::Acquire) != 0 || tail.load(Ordering::Acquire) != 0 {
        return Err(Error::Corrupt { what: "this side of the ring has been used already" });
    }
    Ok((Producer { half: there, head: 0, tail: 0 }, Consumer { half: back, tail: 0, head: 0, len: 0 }))
}

fn header(mapping: &Mapping) -> &Header {
    assert!(mapping.len() >= DATA, "a mapping holds at least its header page");
    // SAFETY: the mapping is page-aligned and longer than a header (asserted), all of whose fields are atomics, for which
    // any bit pattern is valid; it lives as long as the reference.
    unsafe { mapping.start().cast().as_ref() }
}

/// One direction, as either side sees it.
#[derive(Debug)]
struct Half {
    control: NonNull<Control>,
    data: NonNull<u8>,
    capacity: u64,
    sleeps: bool,
    /// Keeps the pointers valid.
    mapping: Arc<Mapping>,
}

// SAFETY: the pointers lead into the mapping that `mapping` keeps, which is shared memory anyway; all shared fields are
// atomics, and the data area is handed over by the ring's protocol.
unsafe impl Send for Half {}

impl Half {
    #[inline]
    fn control(&self) -> &Control {
        // SAFETY: `control` points to a Control inside the mapping, kept alive by `mapping`; its fields are atomics.
        unsafe { self.control.as_ref() }
    }

    #[inline]
    fn offset(&self, position: u64) -> u64 {
        position & (self.capacity - 1)
    }

    /// The record word at `position`. Positions are multiples of 8, so that a word never wraps.
    #[inline]
    fn word(&self, position: u64) -> &AtomicU64 {
        debug_assert!(position.is_multiple_of(WORD));
        // SAFETY: the offset is below `capacity` and a multiple of 8, so the word lies inside the data area, aligned.
        unsafe { self.data.add(self.offset(position) as usize).cast().as_ref() }
    }

    /// The payload behind the word at `position`.
    #[inline]
    fn payload(&self, position: u64) -> NonNull<u8> {
        // SAFETY: the offset is at most `capacity - 8`, so one word further is inside or one past the data area.
        unsafe { self.data.add((self.offset(position) + WORD) as usize) }
    }

    /// Asks for the second line of the record at `position` while the first is on its way: where a message ends is only known
    /// once its word has arrived, and by then a short message could have arrived as a whole.
    #[inline]
    fn prefetch_second_line(&self, position: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.word(position).as_ptr().cast::<i8>().wrapping_add(LINE)) };
        }
    }

    /// Bytes from `position` to the end of the area.
    #[inline]
    fn to_end(&self, position: u64) -> u64 {
        self.capacity - self.offset(position)
    }

    /// Wakes whoever sleeps on `asleep`, after something was published.
    #[inline]
    fn wake(&self, asleep: &AtomicU32) -> Result<()> {
        if self.sleeps {
            fence(Ordering::SeqCst);
            if asleep.load(Ordering::Relaxed) != 0 {
                asleep.store(0, Ordering::Relaxed);
                return futex::wake(asleep);
            }
        }
        Ok(())
    }

    /// Sleeps on `asleep` unless `index` has left `seen` meanwhile.
    #[cold]
    fn sleep(asleep: &AtomicU32, index: &AtomicU64, seen: u64, limit: Option<Duration>) -> Result<()> {
        asleep.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let slept = if index.load(Ordering::Relaxed) == seen { futex::wait(asleep, 1, limit) } else { Ok(()) };
        asleep.store(0, Ordering::Relaxed);
        slept
    }
}

/// Wakes an end of this process out of its sleep, from another thread.
#[derive(Debug)]
pub struct Alarm {
    sending: NonNull<AtomicU32>,
    receiving: NonNull<AtomicU32>,
    /// Keeps the pointers valid.
    _mapping: Arc<Mapping>,
}

// SAFETY: both pointers lead to atomics inside the mapping that `_mapping` keeps.
unsafe impl Send for Alarm {}

impl Alarm {
    /// Of the end that `producer` and `consumer` make up.
    pub fn of(producer: &Producer, consumer: &Consumer) -> Self {
        Self {
            sending: NonNull::from(&producer.half.control().producer_asleep.0),
            receiving: NonNull::from(&consumer.half.control().consumer_asleep.0),
            _mapping: Arc::clone(&producer.half.mapping),
        }
    }

    /// Wakes it, if it sleeps; it looks at its condition again and may go back to sleep.
    pub fn ring(&self) {
        for asleep in [self.sending, self.receiving] {
            // SAFETY: the word is an atomic inside the mapping, which `_mapping` keeps.
            let asleep = unsafe { asleep.as_ref() };
            asleep.store(0, Ordering::SeqCst);
            let _ = futex::wake(asleep);
        }
    }
}

/// Bytes that a message of `len` bytes takes: its word and its payload, padded.
#[inline]
fn record_len(len: u64) -> u64 {
    WORD + len.next_multiple_of(WORD)
}

/// The sending half.
#[derive(Debug)]
pub struct Producer {
    half: Half,
    head: u64,
    /// The consumer's position when last looked at.
    tail: u64,
}

impl Producer {
    /// Writes a message of `len` bytes with `fill` and publishes it; `Ok(Err(fill))` where there is no room yet.
    /// The caller has checked `len` against [`Size::max_message`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the consumer's position is impossible.
    #[inline]
    pub fn try_send<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<std::result::Result<(), F>> {
        let record = record_len(len as u64);
        let to_end = self.half.to_end(self.head);
        let skip = if record > to_end { to_end } else { 0 };
        if !self.has_room(skip + record)? {
            return Ok(Err(fill));
        }
        if skip > 0 {
            self.half.word(self.head).store(SKIP, Ordering::Relaxed);
            self.head += skip;
        }
        // SAFETY: `skip` and the half-ring limit make the record lie in one piece inside the area; `has_room` says that the
        // consumer is done with it, and no other producer exists, so this is the only access until it is published.
        fill(unsafe { slice::from_raw_parts_mut(self.half.payload(self.head).as_ptr(), len) });
        self.half.word(self.head).store(len as u64 | MESSAGE, Ordering::Relaxed);
        self.head += record;
        let control = self.half.control();
        control.head.0.store(self.head, Ordering::Release);
        self.half.wake(&control.consumer_asleep.0)?;
        Ok(Ok(()))
    }

    #[inline]
    fn has_room(&mut self, bytes: u64) -> Result<bool> {
        if self.head - self.tail + bytes <= self.half.capacity {
            return Ok(true);
        }
        let tail = self.half.control().tail.0.load(Ordering::Acquire);
        // Everything published is at or behind our head, and the tail never goes back.
        if tail < self.tail || tail > self.head || !tail.is_multiple_of(WORD) {
            return Err(Error::Corrupt { what: "the consumer's position" });
        }
        self.tail = tail;
        Ok(self.head - tail + bytes <= self.half.capacity)
    }

    /// Sleeps until the consumer has moved since the last look, for at most `limit` (`None`: until then).
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn sleep(&self, limit: Option<Duration>) -> Result<()> {
        let control = self.half.control();
        Half::sleep(&control.producer_asleep.0, &control.tail.0, self.tail, limit)
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct Consumer {
    half: Half,
    tail: u64,
    /// The producer's position when last looked at.
    head: u64,
    /// Length of the message that [`look`](Consumer::look) found.
    len: usize,
}

impl Consumer {
    /// Looks for the next message; [`message`](Consumer::message) then shows it, until [`release`](Consumer::release).
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a position, kind or length is impossible.
    #[inline]
    pub fn look(&mut self) -> Result<bool> {
        loop {
            if self.tail == self.head {
                let head = self.half.control().head.0.load(Ordering::Acquire);
                if head == self.tail {
                    return Ok(false);
                }
                if head < self.tail || head - self.tail > self.half.capacity || !head.is_multiple_of(WORD) {
                    return Err(Error::Corrupt { what: "the producer's position" });
                }
                self.head = head;
            }
            self.half.prefetch_second_line(self.tail);
            let word = self.half.word(self.tail).load(Ordering::Relaxed);
            let (kind, len) = (word & !u64::from(u32::MAX), word & u64::from(u32::MAX));
            let published = self.head - self.tail;
            let to_end = self.half.to_end(self.tail);
            if kind == MESSAGE && record_len(len) <= published.min(to_end) {
                self.len = len as usize;
                return Ok(true);
            }
            if kind != SKIP || to_end > published {
                return Err(Error::Corrupt { what: "a record" });
            }
            self.tail += to_end;
        }
    }

    /// The message that [`look`](Consumer::look) found, where it lies; empty if it found none.
    #[inline]
    pub fn message(&self) -> &[u8] {
        // SAFETY: `len` is 0 or was checked by `look` at this very position: the record lies inside the area, in one piece
        // and published, and the producer does not touch it before `release`, which needs this borrow to have ended.
        unsafe { slice::from_raw_parts(self.half.payload(self.tail).as_ptr(), self.len) }
    }

    /// Frees the room of the message that [`look`](Consumer::look) found.
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    #[inline]
    pub fn release(&mut self) -> Result<()> {
        self.tail += record_len(std::mem::take(&mut self.len) as u64);
        let control = self.half.control();
        control.tail.0.store(self.tail, Ordering::Release);
        self.half.wake(&control.producer_asleep.0)
    }

    /// Sleeps until the producer has published something, for at most `limit` (`None`: until then).
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn sleep(&self, limit: Option<Duration>) -> Result<()> {
        let control = self.half.control();
        Half::sleep(&control.consumer_asleep.0, &control.head.0, self.tail, limit)
    }
}
