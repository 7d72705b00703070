//! Slots that messages are sent from by reference, and the books on which of them the kernel may still read.
//!
//! The kernel numbers the sends of a socket that leave their payload in place, from 0 on, and notifies of ranges of them
//! (Documentation/networking/msg_zerocopy.rst). A message can take several sends, and notifications can come in another order.
//! So each slot counts the sends from it whose notification has not come. It is free again when there are none.

use ipc_core::{Error, Result, pages::Pages};
use std::collections::VecDeque;

/// The most slots of a pool. A notification covers all sends that ended since the last one was read, so this is about how many
/// messages one call that reads it serves.
const MOST: usize = 128;
/// Memory of a pool, as long as a message leaves room for two.
const BYTES: usize = 8 << 20;
/// What slots begin at a multiple of: the page of every machine that this is likely to run on, and aligned on the others.
pub const PAGE: usize = 4096;

/// A pool of page-aligned slots, all of one length.
#[derive(Debug)]
pub struct Slots {
    pages: Pages,
    slot_bytes: usize,
    /// Slots that nobody uses.
    vacant: Vec<usize>,
    /// Of each slot, the sends whose notification is out, and one more while its owner has more to send.
    uses: Vec<u32>,
    /// What the sends read whose notification may be out, the oldest first.
    sends: VecDeque<Source>,
    /// The number of the oldest.
    oldest: u32,
}

/// What a send reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Slot(usize),
    /// Memory of a former pool.
    Former,
    /// Nothing any more: its notification has come.
    Nothing,
}

impl Slots {
    /// A pool for messages of up to `len` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for what no process can map, [`Error::Os`] of `mmap`.
    pub fn new(len: usize) -> Result<Self> {
        let (pages, slot_bytes, count) = map(len)?;
        let sends = VecDeque::with_capacity(2 * MOST);
        Ok(Self { pages, slot_bytes, vacant: (0..count).collect(), uses: vec![0; count], sends, oldest: 0 })
    }

    /// Makes slots that hold `len` bytes, where they do not. What the kernel still has to send of the old ones stays what it is.
    ///
    /// # Errors
    /// As [`new`](Slots::new); then nothing has changed.
    #[inline]
    pub fn fit(&mut self, len: usize) -> Result<()> {
        if len <= self.slot_bytes { Ok(()) } else { self.grow(len) }
    }

    #[cold]
    fn grow(&mut self, len: usize) -> Result<()> {
        let (pages, slot_bytes, count) = map(len)?;
        for source in &mut self.sends {
            if let Source::Slot(_) = source {
                *source = Source::Former;
            }
        }
        (self.pages, self.slot_bytes) = (pages, slot_bytes);
        (self.vacant, self.uses) = ((0..count).collect(), vec![0; count]);
        Ok(())
    }

    /// A slot that nobody uses, until it is [held](Slots::hold); `None` where all are used.
    #[inline]
    pub fn vacant(&self) -> Option<usize> {
        self.vacant.last().copied()
    }

    /// The first `len` bytes of a slot.
    #[inline]
    pub fn bytes(&mut self, slot: usize, len: usize) -> &mut [u8] {
        &mut self.pages[slot * self.slot_bytes..][..len]
    }

    /// Takes the slot that [`vacant`](Slots::vacant) has shown.
    #[inline]
    pub fn hold(&mut self, slot: usize) {
        debug_assert_eq!((self.vacant(), self.uses[slot]), (Some(slot), 0));
        self.vacant.pop();
        self.uses[slot] = 1;
    }

    /// Enters a send from a slot that is held.
    #[inline]
    pub fn enter(&mut self, slot: usize) {
        self.uses[slot] += 1;
        self.sends.push_back(Source::Slot(slot));
    }

    /// Gives a slot back: nothing more will be sent from it.
    #[inline]
    pub fn release(&mut self, slot: usize) {
        self.uses[slot] -= 1;
        if self.uses[slot] == 0 {
            self.vacant.push(slot);
        }
    }

    /// Whether the notification of a send is out.
    #[inline]
    pub fn is_any_out(&self) -> bool {
        !self.sends.is_empty()
    }

    /// Enters that the kernel reads nothing more for the sends from number `first` to `last`; numbers are modulo 2³². Returns how many.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a send that was not made, or notified of before.
    pub fn settle(&mut self, first: u32, last: u32) -> Result<u64> {
        let (first, count) = (first.wrapping_sub(self.oldest) as usize, last.wrapping_sub(first) as usize + 1);
        if self.sends.len() < first.saturating_add(count) {
            return Err(Error::Corrupt { what: "a notification of a send that was not made" });
        }
        for at in first..first + count {
            match std::mem::replace(&mut self.sends[at], Source::Nothing) {
                Source::Slot(slot) => self.release(slot),
                Source::Former => {}
                Source::Nothing => return Err(Error::Corrupt { what: "a second notification of a send" }),
            }
        }
        while self.sends.front() == Some(&Source::Nothing) {
            self.sends.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
        }
        Ok(count as u64)
    }

    /// Touches all slots.
    pub fn populate(&self) {
        self.pages.populate();
    }
}

/// Memory for slots of `len` bytes, their length in whole pages, and their number.
fn map(len: usize) -> Result<(Pages, usize, usize)> {
    let largest = isize::MAX.unsigned_abs() / 2 / PAGE * PAGE;
    ipc_core::transfer::check_len(len, largest)?;
    let slot_bytes = len.max(1).next_multiple_of(PAGE);
    let count = (BYTES / slot_bytes).clamp(2, MOST);
    Ok((Pages::private(slot_bytes * count)?, slot_bytes, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` messages of one send each, and returns their slots.
    fn sent(slots: &mut Slots, count: usize) -> Vec<usize> {
        let mut used = Vec::new();
        for _ in 0..count {
            let slot = slots.vacant().unwrap();
            slots.hold(slot);
            slots.enter(slot);
            slots.release(slot);
            used.push(slot);
        }
        used
    }

    fn of(len: usize) -> Slots {
        Slots::new(len).unwrap()
    }

    #[test]
    fn as_many_slots_as_fit() {
        for (len, count) in [(0, 128), (1, 128), (64 << 10, 128), ((64 << 10) + 1, 120), (1 << 20, 8), (64 << 20, 2)] {
            let mut slots = of(len);
            assert_eq!(sent(&mut slots, count).len(), count, "{len} bytes");
            assert_eq!(slots.vacant(), None, "{len} bytes");
        }
        assert!(matches!(Slots::new(usize::MAX), Err(Error::TooLarge { len: usize::MAX, .. })));
    }

    #[test]
    fn slots_are_aligned_and_apart() {
        let mut slots = of(5000);
        for slot in [0, 1, 7] {
            assert_eq!(slots.bytes(slot, 5000).as_ptr() as usize % PAGE, 0);
            slots.bytes(slot, 5000).fill(slot as u8 + 1);
        }
        for slot in [0, 1, 7] {
            assert!(slots.bytes(slot, 5000).iter().all(|&byte| byte == slot as u8 + 1));
        }
    }

    #[test]
    fn a_slot_is_free_when_all_its_sends_are_settled() {
        let mut slots = of(1 << 22);
        let slot = slots.vacant().unwrap();
        slots.hold(slot);
        for _ in 0..3 {
            slots.enter(slot);
        }
        let other = sent(&mut slots, 1)[0];
        assert_eq!(slots.settle(1, 1), Ok(1));
        assert_eq!(slots.settle(0, 0), Ok(1));
        // It is still held, and one of its sends is out.
        assert_eq!(slots.vacant(), None);
        assert_eq!(slots.settle(3, 3), Ok(1));
        assert_eq!(slots.vacant(), Some(other));
        slots.release(slot);
        assert_eq!(slots.vacant(), Some(other));
        assert_eq!(slots.settle(2, 2), Ok(1));
        assert_eq!(slots.vacant(), Some(slot));
        assert!(!slots.is_any_out());
    }

    #[test]
    fn numbers_wrap() {
        let mut slots = of(64);
        slots.oldest = u32::MAX - 1;
        let used = sent(&mut slots, 5);
        // The first range ends beyond the wrap, the last one before it.
        assert_eq!(slots.settle(u32::MAX, 1), Ok(3));
        assert_eq!(slots.vacant(), Some(used[3]));
        assert_eq!(slots.settle(u32::MAX - 1, u32::MAX - 1), Ok(1));
        assert_eq!((slots.oldest, slots.is_any_out()), (2, true));
        assert_eq!(slots.settle(2, 2), Ok(1));
        assert_eq!((slots.oldest, slots.is_any_out()), (3, false));
    }

    #[test]
    fn what_was_not_sent_is_not_settled() {
        let mut slots = of(64);
        sent(&mut slots, 3);
        assert!(matches!(slots.settle(1, 3), Err(Error::Corrupt { .. })));
        assert!(matches!(slots.settle(u32::MAX, 0), Err(Error::Corrupt { .. })));
        assert_eq!(slots.settle(1, 1), Ok(1));
        assert!(matches!(slots.settle(1, 1), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn longer_slots_do_not_wait_for_the_old_ones() {
        let mut slots = of(1 << 22);
        sent(&mut slots, 2);
        assert_eq!(slots.vacant(), None);
        slots.fit(1 << 23).unwrap();
        let used = sent(&mut slots, 1);
        assert_eq!(slots.settle(0, 1), Ok(2));
        assert!(slots.vacant().is_some_and(|slot| slot != used[0]), "the old slots must not free the new");
        assert_eq!(slots.settle(2, 2), Ok(1));
        assert_eq!(slots.vacant(), Some(used[0]));
    }
}
