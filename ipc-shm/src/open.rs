//! How an end opens the two rings of a mapping: their size, their header, and which side sends through which ring.

use crate::{
    protocol::{Consumer, Producer},
    record::{WORD, longest_record},
    ring::{Area, DATA, Memory, header},
};
use ipc_core::{Error, Options, Result, Wait};
use std::sync::{Arc, atomic::Ordering};

/// The first word of every mapping.
const MAGIC: u64 = u64::from_ne_bytes(*b"ipcring\0");
/// The version of the layout.
const VERSION: u32 = 1;

/// The size of the rings of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of one direction's data area: a power of two.
    capacity: u64,
}

impl Size {
    /// The default capacity of one direction in bytes. It stays in a second-level cache.
    pub const DEFAULT: usize = 256 << 10;
    /// The largest capacity of one direction in bytes: the length of a record has 32 bits.
    pub const MAX: usize = 1 << 31;

    /// The size that `options` ask for, rounded up to a power of two.
    ///
    /// [`Options::capacity`] decides. Without it the capacity is eight times [`Options::max_message`], and at least
    /// [`DEFAULT`](Size::DEFAULT). Then seven of the longest messages fit, with their words. With fewer, ends that
    /// sleep wake each other for almost every message.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the longest message is more than half the ring, or the ring is larger than
    /// [`MAX`](Size::MAX).
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
    /// The other end.
    Second,
}

impl Side {
    /// The offset in the mapping of the data area that this end sends through.
    pub fn sends_at(self, size: Size) -> usize {
        DATA + self.rings()[0] * size.capacity as usize
    }

    /// The numbers of the rings that this end sends and receives through.
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
/// - [`Error::Corrupt`] if the header is not that of such a mapping, or this side has been used already.
/// - [`Error::Unsupported`] if one end may sleep and the other only spins.
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
    let [out, back] = side.rings().map(|index| Area::new(memory, index, size.capacity));
    // The two positions that this end writes. A peer that was quicker has moved only its own.
    let (head, tail) = (&out.control().head.0, &back.control().tail.0);
    if head.load(Ordering::Acquire) != 0 || tail.load(Ordering::Acquire) != 0 {
        return Err(Error::Corrupt { what: "this side of the ring has been used already" });
    }
    Ok((Producer::new(out, sleeps), Consumer::new(back, sleeps)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{heap, ring::Header};

    /// The smallest ring, and memory with its header.
    fn smallest() -> (Arc<dyn Memory>, Size) {
        let size = Size::of(&Options { capacity: Some(1), ..Options::default() }).unwrap();
        let memory = heap::zeroed(size.mapping_len());
        initialize(&*memory, size, Wait::Spin);
        (memory, size)
    }

    #[test]
    fn a_header_that_is_not_ours_is_refused() {
        let spoil: [fn(&Header); 4] = [
            |header| header.magic.store(0, Ordering::Relaxed),
            |header| header.version.store(VERSION + 1, Ordering::Relaxed),
            |header| header.capacity.store(u64::MAX, Ordering::Relaxed),
            |header| header.sleeps.store(7, Ordering::Relaxed),
        ];
        for (index, spoil) in spoil.iter().enumerate() {
            let (memory, size) = smallest();
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
        let (memory, size) = smallest();
        let (mut producer, _) = open(&memory, Side::First, size, Wait::Spin).unwrap();
        assert!(producer.try_send(0, |_| Ok(())).unwrap().is_ok());
        assert!(matches!(open(&memory, Side::First, size, Wait::Spin), Err(Error::Corrupt { .. })));
        assert!(open(&memory, Side::Second, size, Wait::Spin).is_ok());
        let larger = Size { capacity: 2 * size.capacity };
        assert!(matches!(open(&memory, Side::Second, larger, Wait::Spin), Err(Error::Corrupt { .. })));
    }
}
