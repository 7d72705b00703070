//! The layout of a ring in shared memory, and the only code that touches it. [`protocol`](crate::protocol) moves
//! messages through it, [`open`](crate::open) writes and checks its header.
//!
//! # Layout
//!
//! | offset in bytes | what lies there |
//! |---|---|
//! | 0 | [`Header`] |
//! | 128 | [`Control`] of direction 0: four words, each on 128 bytes of its own |
//! | 640 | [`Control`] of direction 1 |
//! | 4096 | the data area of direction 0: `capacity` bytes, a power of two |
//! | 4096 + `capacity` | the data area of direction 1 |
//!
//! # Trust
//!
//! Every word that is read from the mapping is read once and checked before use. Positions are checked against the
//! capacity, lengths against what was published. A peer that writes nonsense gets
//! [`Error::Corrupt`](ipc_core::Error::Corrupt), and no access goes outside the mapping. The header is read when an end
//! opens and never again. [`Area::read`] states what this rests on.

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

/// The start of a mapping. It tells a ring of this layout from other memory.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    /// A constant. Written last.
    pub magic: AtomicU64,
    /// The version of the layout.
    pub version: AtomicU32,
    /// 1 if the ends may sleep and so look for sleepers.
    pub sleeps: AtomicU32,
    /// Bytes of one direction's data area.
    pub capacity: AtomicU64,
}

/// A value on two cache lines of its own. The spatial prefetcher of x86 fetches lines in pairs (Intel 64 and IA-32
/// Architectures Optimization Reference Manual, 2.5.5.4).
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Padded<T>(pub T);

/// The shared words of one direction.
#[derive(Debug)]
#[repr(C)]
pub struct Control {
    /// The producer's position. Only the producer writes it.
    pub head: Padded<AtomicU64>,
    /// The consumer's position. Only the consumer writes it.
    pub tail: Padded<AtomicU64>,
    /// A futex word: 1 while the consumer sleeps, or is about to, until there is a message. It has lines of its own
    /// because the producer looks at it for every message, and it hardly ever changes.
    pub consumer_asleep: Padded<AtomicU32>,
    /// A futex word: 1 while the producer sleeps, or is about to, until there is room.
    pub producer_asleep: Padded<AtomicU32>,
}

/// The offsets of both [`Control`]s in a mapping.
pub const CONTROLS: [usize; 2] = [128, 128 + size_of::<Control>()];
/// The offset of the first data area in a mapping: one page.
pub const DATA: usize = 4096;

const _: () = {
    assert!(size_of::<Header>() <= CONTROLS[0]);
    assert!(offset_of!(Control, head) == 0 && offset_of!(Control, tail) == 128);
    assert!(offset_of!(Control, consumer_asleep) == 256 && offset_of!(Control, producer_asleep) == 384);
    assert!(CONTROLS[1] + size_of::<Control>() <= DATA);
};

/// Pages that can hold rings: shared pages, or any other memory in a test.
///
/// # Safety
/// `start` is a multiple of [`DATA`]. The `len` bytes from there can be read and written until the value is dropped.
/// Nobody has a Rust reference into them.
pub unsafe trait Memory: Debug + Send + Sync {
    /// The address of the first byte.
    fn start(&self) -> NonNull<u8>;
    /// The length in bytes.
    fn len(&self) -> usize;
    /// Enters every page into this process's page table, if that is worth while.
    fn populate(&self) {}
}

/// The header of a mapping.
///
/// # Panics
/// If the memory is shorter than a page.
pub fn header(memory: &dyn Memory) -> &Header {
    assert!(memory.len() >= DATA, "a mapping holds at least its header page");
    // SAFETY: the memory is page-aligned and longer than a header (asserted). All fields are atomics, for which any bit
    // pattern is valid. The memory lives as long as the reference.
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

// SAFETY: the pointers lead into the memory that `_memory` keeps, which is shared anyway. All shared words are atomics,
// and the ring's protocol hands over the payload.
unsafe impl Send for Area {}

impl Area {
    /// The direction `index`, 0 or 1, of rings of `capacity` bytes each in `memory`.
    ///
    /// # Panics
    /// If `memory` does not hold two rings of this capacity, or the capacity is not a power of two.
    pub fn new(memory: &Arc<dyn Memory>, index: usize, capacity: u64) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= WORD && memory.len() >= DATA + 2 * capacity as usize);
        Self {
            // SAFETY: the memory is page-aligned and at least `DATA + 2 * capacity` bytes (asserted). Both offsets lie
            // inside it (an `index` beyond 1 panics), and CONTROLS are multiples of Control's alignment.
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
        // SAFETY: `control` points to a Control inside the memory, kept alive by `_memory`. Its fields are atomics.
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

    /// Reads the word at `position`, once.
    #[inline]
    pub fn word(&self, position: u64) -> u64 {
        self.word_at(position).load(Ordering::Relaxed)
    }

    /// Writes the word at `position`.
    #[inline]
    pub fn set_word(&self, position: u64, word: u64) {
        self.word_at(position).store(word, Ordering::Relaxed);
    }

    /// Lends `fill` the `len` bytes behind the word at `position`, to write them in place.
    ///
    /// # Safety
    /// The record lies before the end of the area. It belongs to the caller alone until `fill` has returned. Of a
    /// hostile peer this cannot be known: see [`read`](Area::read).
    #[inline]
    pub unsafe fn fill(&self, position: u64, len: usize, fill: impl FnOnce(&mut [u8])) {
        // SAFETY: the bytes lie inside the data area and are the caller's, both by this function's contract.
        fill(unsafe { slice::from_raw_parts_mut(self.payload(position).as_ptr(), len) });
    }

    /// Lends `read` the `len` bytes behind the word at `position`, to read them in place.
    ///
    /// # Safety
    /// The record lies before the end of the area. Its producer leaves it alone until `read` has returned. Of a hostile
    /// peer this cannot be known: see below.
    ///
    /// # Soundness: memory that a hostile peer can write
    ///
    /// This is the position of the whole crate, stated here once.
    ///
    /// **Who can be hostile.** A process that has mapped the memory and breaks the protocol. It inherited the mapping,
    /// was passed a descriptor, or runs as the same user and knows the name.
    ///
    /// **A correct peer: ordinary sound Rust.** The producer writes a record, then publishes it with a release store of
    /// `head`. It writes there again only after an acquire load of the `tail` by which the consumer freed the record.
    /// So no byte changes while a reference to it lives. This assumes that atomics order the accesses of two processes
    /// to one page as they do for two threads. C++, whose memory model Rust's atomics follow, recommends this of
    /// lock-free atomics (`[atomics.lockfree]`). All atomics of `std` are lock-free.
    ///
    /// **A hostile peer: outside what the language defines.** It can write a byte while `read` has a reference to it.
    /// That is a data race, and a mutation behind a shared reference. The Rust reference lists both under "[Behavior
    /// considered undefined](https://doc.rust-lang.org/reference/behavior-considered-undefined.html)". No stable Rust
    /// rules this out and still lends a slice. The unsafe code guidelines recommend volatile accesses as the least bad
    /// solution until atomics can do more ([issue
    /// 152](https://github.com/rust-lang/unsafe-code-guidelines/issues/152)). Best practice is an open question ([issue
    /// 607](https://github.com/rust-lang/unsafe-code-guidelines/issues/607)). An atomic memcpy is proposed ([RFC
    /// 3301](https://github.com/rust-lang/rfcs/pull/3301)). So the crate relies on what the compiler does, and keeps
    /// what it relies on small:
    ///
    /// - **Control words are atomics.** Headers, positions, record words, futex words and the descriptors of
    ///   `process-vm` are never read through a plain reference. Each is loaded once into a local variable, then
    ///   checked, then used. The compiler must not turn one atomic load into two ([LLVM Atomics guide,
    ///   "Unordered"](https://llvm.org/docs/Atomics.html#unordered)), so check and use see one value.
    /// - **Control words are not volatile.** A volatile access orders nothing between threads (`ptr::read_volatile`),
    ///   and the correct peer needs that order. A volatile payload could not be lent as a slice.
    /// - **Every slice is in bounds.** Its address and length come from checked words. Nothing that a peer writes makes
    ///   this crate access memory outside the mapping. `tests/hostile.rs` and the fuzz target try to.
    /// - **The payload is plain memory.** The compiler may read one byte twice, early or late within `read`. A byte
    ///   that changes meanwhile has no certain value, and two looks at it may differ. The compiler may not move a read
    ///   before the acquire load of `head`, or behind the release store of `tail`.
    /// - **No unsafe code depends on a payload byte.** This crate copies the payload or lends it, and derives no
    ///   address, length or index from it.
    ///
    /// A reader that cannot trust its peer uses [`recv`](ipc_core::Endpoint::recv), then checks its own buffer. The
    /// copy ends before the release store, so the buffer does not change any more. In place, what was checked can
    /// change before it is used.
    ///
    /// A peer that shortens the file under a mapping raises `SIGBUS`, which ends the process (mmap(2)). The `trust` of
    /// each mechanism's `SPEC` says where that is possible.
    #[inline]
    pub unsafe fn read<R>(&self, position: u64, len: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: the bytes lie inside the data area and do not change, both by this function's contract.
        read(unsafe { slice::from_raw_parts(self.payload(position).as_ptr(), len) })
    }

    /// Fetches the second cache line of the record at `position` while the first is on its way. Where a message ends is
    /// known only once its word has arrived, and a short message could have arrived as a whole by then.
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

    /// The offset in the data area of the word at `position`, a multiple of 8. Any other position leads to a word as
    /// well.
    #[inline]
    pub fn offset(&self, position: u64) -> u64 {
        debug_assert!(position.is_multiple_of(WORD));
        position & (self.capacity - WORD)
    }

    #[inline]
    fn word_at(&self, position: u64) -> &AtomicU64 {
        // SAFETY: the offset is at most `capacity - 8` and a multiple of 8, so the word lies inside the data area,
        // aligned.
        unsafe { self.data.add(self.offset(position) as usize).cast().as_ref() }
    }

    #[inline]
    fn payload(&self, position: u64) -> NonNull<u8> {
        // SAFETY: the offset is at most `capacity - 8`, so one word further is inside or one past the data area.
        unsafe { self.data.add((self.offset(position) + WORD) as usize) }
    }
}
