//! How the two sides of a ring move messages: one producer, one consumer.
//!
//! # Positions
//!
//! A position counts bytes and only grows. Modulo `capacity` it is an offset in the data area. The producer alone
//! writes `head`, the consumer alone `tail`. Each keeps a copy of the other's position, and renews it only when it
//! seems to be stuck.
//!
//! What lies between `tail` and `head` are [records](crate::record). The sender is given the [`Slot`] of a record. It
//! fills the slot in place or by other means. What it could not write is not published.
//!
//! # Ordering
//!
//! The producer writes the record, then stores `head` with release. The consumer loads `head` with acquire, then reads
//! the record. `tail` works the other way round, for the room that becomes free.
//!
//! Sleeping needs one more order on each side, from a store to a later load: a sequentially consistent fence. The
//! sleeper announces itself, then looks again. The other side publishes, then looks for a sleeper. They can miss each
//! other only if both loads came before both stores, which the fences rule out. A channel that only spins has no fence.
//!
//! # Overflow
//!
//! A position that comes from the peer must be within `capacity` of one of this side's own. The peer can drag positions
//! along, but never beyond a 64-bit number that it has written. So sums of positions and checked lengths do not
//! overflow.
//!
//! `tests/interleavings` compiles this very file over a model of memory in place of [`ring`](crate::ring).

#![allow(unsafe_code)]

use crate::{
    record::{MESSAGE, Record, SKIP, WORD, longest_record, record_len},
    ring::{Area, AtomicU32, AtomicU64, fence, futex},
};
use ipc_core::{Error, Result};
use std::{array, mem, ops::Range, sync::atomic::Ordering, time::Duration};

/// What both halves of a ring have: one direction, and whether its sides may sleep.
#[derive(Debug)]
struct Half {
    area: Area,
    sleeps: bool,
}

impl Half {
    /// Wakes the side that sleeps on `asleep`, after something was published.
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

    /// Sleeps on `asleep`, unless `index` is no longer `seen`.
    #[cold]
    fn sleep(asleep: &AtomicU32, index: &AtomicU64, seen: u64, limit: Option<Duration>) -> Result<()> {
        asleep.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let slept = if index.load(Ordering::Relaxed) == seen { futex::wait(asleep, 1, limit) } else { Ok(()) };
        asleep.store(0, Ordering::Relaxed);
        slept
    }
}

/// Wakes an end of this process, from another thread.
#[derive(Debug)]
pub struct Waker {
    sending: Area,
    receiving: Area,
}

impl Waker {
    /// The waker of the end that `producer` and `consumer` belong to.
    pub fn of(producer: &Producer, consumer: &Consumer) -> Self {
        Self { sending: producer.half.area.clone(), receiving: consumer.half.area.clone() }
    }

    /// Wakes the end, if it sleeps. It looks at its condition again and may go back to sleep.
    pub fn wake(&self) {
        for asleep in [&self.sending.control().producer_asleep.0, &self.receiving.control().consumer_asleep.0] {
            asleep.store(0, Ordering::SeqCst);
            let _ = futex::wake(asleep);
        }
    }
}

/// The room for a record's payload, lent to the side that writes it.
#[derive(Debug)]
pub struct Slot<'a> {
    area: &'a Area,
    position: u64,
    len: usize,
}

impl Slot<'_> {
    /// Lends `fill` the payload, to write it in place. Always `Ok`, so that this can be all that a sender does.
    #[inline]
    pub fn fill(self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        // SAFETY: only `Producer` makes slots, inside the area and in one piece. Those of `try_send` are not published.
        // Those of `unread` are, but a correct consumer does not look at these bytes before it is told that they are
        // written.
        unsafe { self.area.fill(self.position, self.len, fill) };
        Ok(())
    }

    /// The offset of the payload in the data area, to write it by other means.
    #[cfg_attr(loom, allow(dead_code))]
    #[inline]
    pub fn offset(&self) -> usize {
        (self.area.offset(self.position) + WORD) as usize
    }
}

/// The record at `position`, from which on `published` bytes are published.
#[inline]
fn record_at(area: &Area, position: u64, published: u64) -> Result<Record> {
    Record::decode(area.word(position), area.offset(position), area.capacity(), published)
}

/// The sending half.
#[derive(Debug)]
pub struct Producer {
    half: Half,
    head: u64,
    /// The consumer's position, when last looked at.
    tail: u64,
    /// What was found wrong. [`look`](Producer::look) fails with it from then on.
    corrupt: Option<&'static str>,
}

impl Producer {
    /// The sending half of a ring through which nothing has been sent.
    pub fn new(area: Area, sleeps: bool) -> Self {
        Self { half: Half { area, sleeps }, head: 0, tail: 0, corrupt: None }
    }

    /// Has `write` put a message of `len` bytes into its slot, and publishes it. If there is no room yet, gives `write`
    /// back as `Ok(Err(write))`. The caller has checked `len` against the longest message.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the consumer's position is impossible, or the error of `write`. Then nothing is published.
    #[inline]
    pub fn try_send<F: FnOnce(Slot<'_>) -> Result<()>>(
        &mut self,
        len: usize,
        write: F,
    ) -> Result<std::result::Result<(), F>> {
        let record = record_len(len as u64);
        debug_assert!(record <= longest_record(self.half.area.capacity()));
        let to_end = self.half.area.to_end(self.head);
        let skip = if record > to_end { to_end } else { 0 };
        if !self.has_room(skip + record)? {
            return Ok(Err(write));
        }
        let area = &self.half.area;
        if skip > 0 {
            area.set_word(self.head, SKIP);
        }
        let position = self.head + skip;
        // `skip` and the limit of half the ring make the record lie in one piece inside the area. `has_room` says that
        // the consumer is done with it. No other producer exists, so this is the only access until it is published.
        write(Slot { area, position, len })?;
        area.set_word(position, len as u64 | MESSAGE);
        self.head = position + record;
        let control = self.half.area.control();
        control.head.0.store(self.head, Ordering::Release);
        self.half.wake(&control.consumer_asleep.0)?;
        Ok(Ok(()))
    }

    /// Gives `write` once more the slot of each message that the consumer has not freed, without its first `front`
    /// bytes, a multiple of 8. The consumer may be reading the front meanwhile, and must leave the rest alone.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the consumer's position is impossible, or a record is not as it was written.
    pub fn unread(&mut self, front: usize, mut write: impl FnMut(Slot<'_>)) -> Result<()> {
        debug_assert!((front as u64).is_multiple_of(WORD));
        self.look()?;
        let area = &self.half.area;
        let mut position = self.tail;
        while position != self.head {
            position += match record_at(area, position, self.head - position)? {
                Record::Skip(bytes) => bytes,
                Record::Message(len) => {
                    if let Some(rest) = len.checked_sub(front) {
                        write(Slot { area, position: position + front as u64, len: rest });
                    }
                    record_len(len as u64)
                }
            };
        }
        Ok(())
    }

    #[inline]
    fn has_room(&mut self, bytes: u64) -> Result<bool> {
        if self.head - self.tail + bytes <= self.half.area.capacity() {
            return Ok(true);
        }
        self.look()?;
        Ok(self.head - self.tail + bytes <= self.half.area.capacity())
    }

    /// Makes every later call fail with [`Error::Corrupt`] of `what`. The ring then seems full, so that only a call that would have to
    /// wait anyway looks at it: a sound ring pays nothing.
    pub fn spoil(&mut self, what: &'static str) {
        (self.head, self.tail) = (self.half.area.capacity(), 0);
        self.corrupt.get_or_insert(what);
    }

    /// Renews the copy of the consumer's position.
    #[inline]
    fn look(&mut self) -> Result<()> {
        if let Some(what) = self.corrupt {
            return Err(Error::Corrupt { what });
        }
        let tail = self.half.area.control().tail.0.load(Ordering::Acquire);
        // What is published lies at or behind our head, and the tail never goes back.
        if tail < self.tail || tail > self.head || !tail.is_multiple_of(WORD) {
            return Err(Error::Corrupt { what: "the consumer's position" });
        }
        self.tail = tail;
        Ok(())
    }

    /// Sleeps until the consumer has moved since the last look, for at most `limit` (`None`: for any time).
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn sleep(&self, limit: Option<Duration>) -> Result<()> {
        let control = self.half.area.control();
        Half::sleep(&control.producer_asleep.0, &control.tail.0, self.tail, limit)
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct Consumer {
    half: Half,
    tail: u64,
    /// The producer's position, when last looked at.
    head: u64,
    /// The length in bytes of the message that [`look`](Consumer::look) found.
    len: usize,
    /// What was found wrong. [`look`](Consumer::look) fails with it from then on.
    corrupt: Option<&'static str>,
}

impl Consumer {
    /// The receiving half of a ring from which nothing has been received.
    pub fn new(area: Area, sleeps: bool) -> Self {
        Self { half: Half { area, sleeps }, tail: 0, head: 0, len: 0, corrupt: None }
    }

    /// Makes every later [`look`](Consumer::look) fail with [`Error::Corrupt`] of `what`. The ring then seems empty, so that only a call
    /// that would have to wait anyway looks at it: a sound ring pays nothing.
    pub fn spoil(&mut self, what: &'static str) {
        (self.head, self.len) = (self.tail, 0);
        self.corrupt.get_or_insert(what);
    }

    /// What was found wrong first, if anything.
    #[cfg_attr(loom, allow(dead_code))]
    pub fn corrupt(&self) -> Option<&'static str> {
        self.corrupt
    }

    /// Looks for the next message and says whether there is one. [`read`](Consumer::read) then lends it, until
    /// [`release`](Consumer::release).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a position, kind or length is impossible.
    #[inline]
    pub fn look(&mut self) -> Result<bool> {
        loop {
            if self.tail == self.head {
                if let Some(what) = self.corrupt {
                    return Err(Error::Corrupt { what });
                }
                let head = self.half.area.control().head.0.load(Ordering::Acquire);
                if head == self.tail {
                    return Ok(false);
                }
                if head < self.tail || head - self.tail > self.half.area.capacity() || !head.is_multiple_of(WORD) {
                    return Err(Error::Corrupt { what: "the producer's position" });
                }
                self.head = head;
            }
            let area = &self.half.area;
            area.prefetch_second_line(self.tail);
            match record_at(area, self.tail, self.head - self.tail)? {
                Record::Message(len) => {
                    self.len = len;
                    return Ok(true);
                }
                Record::Skip(bytes) => self.tail += bytes,
            }
        }
    }

    /// The length in bytes of the message that [`look`](Consumer::look) found.
    #[cfg_attr(loom, allow(dead_code))]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first `N` words of 8 bytes of the message that [`look`](Consumer::look) found, each read once.
    ///
    /// # Panics
    /// If the message is shorter.
    #[cfg_attr(loom, allow(dead_code))]
    #[inline]
    pub fn words<const N: usize>(&self) -> [u64; N] {
        assert!(N * WORD as usize <= self.len);
        array::from_fn(|n| self.half.area.word(self.tail + WORD + n as u64 * WORD))
    }

    /// Lends `read` a part of the message that [`look`](Consumer::look) found and nothing else of it, since its
    /// producer may be writing the rest (see [`Producer::unread`]).
    ///
    /// # Panics
    /// If the part is not within the message, or does not begin at a multiple of 8.
    #[inline]
    pub fn part<R>(&self, part: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R {
        assert!(part.start <= part.end && part.end <= self.len && (part.start as u64).is_multiple_of(WORD));
        // SAFETY: as for `read`, of which this is a part (asserted).
        unsafe { self.half.area.read(self.tail + part.start as u64, part.len(), read) }
    }

    /// Lends `read` the message that [`look`](Consumer::look) found, where it lies. It is empty if none was found.
    #[inline]
    pub fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: `len` is 0, or `look` has checked it at this very position: the record lies inside the area, in one
        // piece and published. A correct producer does not touch it before `release`; of another one see `Area::read`.
        unsafe { self.half.area.read(self.tail, self.len, read) }
    }

    /// Frees the room of the message that [`look`](Consumer::look) found.
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    #[inline]
    pub fn release(&mut self) -> Result<()> {
        self.tail += record_len(mem::take(&mut self.len) as u64);
        let control = self.half.area.control();
        control.tail.0.store(self.tail, Ordering::Release);
        self.half.wake(&control.producer_asleep.0)
    }

    /// Sleeps until the producer has published something, for at most `limit` (`None`: for any time).
    ///
    /// # Errors
    /// [`Error::Os`] of futex(2).
    pub fn sleep(&self, limit: Option<Duration>) -> Result<()> {
        let control = self.half.area.control();
        Half::sleep(&control.consumer_asleep.0, &control.head.0, self.tail, limit)
    }
}

// Not if this file is compiled over the model of memory.
#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::heap;
    use std::{hint, thread};

    const CAPACITY: u64 = 4096;
    const CORRUPT: &str = "corrupt";

    /// Both halves of a fresh ring.
    fn ring(sleeps: bool) -> (Producer, Consumer) {
        let area = heap::area(CAPACITY);
        (Producer::new(area.clone(), sleeps), Consumer::new(area, sleeps))
    }

    /// A consumer whose positions are at `start`, and the producer's side of it to scribble on.
    fn consumer(start: u64) -> (Consumer, Area) {
        let area = heap::area(CAPACITY);
        (Consumer { tail: start, head: start, ..Consumer::new(area.clone(), false) }, area)
    }

    /// Publishes `words` at their positions, then `head`, and says what the consumer makes of it: lengths up to the
    /// error.
    fn received(start: u64, words: &[(u64, u64)], head: u64) -> Vec<std::result::Result<usize, &'static str>> {
        let (mut consumer, area) = consumer(start);
        for &(position, word) in words {
            area.set_word(position, word);
        }
        area.control().head.0.store(head, Ordering::Release);
        let mut received = Vec::new();
        loop {
            match consumer.look() {
                Ok(true) => received.push(Ok(consumer.read(<[u8]>::len))),
                Ok(false) => return received,
                Err(Error::Corrupt { .. }) => {
                    received.push(Err(CORRUPT));
                    return received;
                }
                Err(error) => panic!("{error}"),
            }
            consumer.release().unwrap();
        }
    }

    #[test]
    fn a_record_that_no_producer_writes_is_corrupt() {
        let capacity = CAPACITY;
        let half = capacity / 2;
        let message = |len| len | MESSAGE;
        assert_eq!(received(0, &[(0, message(half - 8))], half), [Ok(2040)]);
        for (why, word, head) in [
            ("no kind", 8, 16),
            ("another kind", 8 | (MESSAGE ^ 1 << 40), 16),
            ("longer than published", message(9), 16),
            ("longer than any message", message(half - 7), capacity),
            ("the longest length", message(u64::from(u32::MAX)), capacity),
            ("a position off the grid", message(0), 12),
            ("more than the ring holds", message(0), capacity + 8),
            ("a skip beyond what is published", SKIP, 16),
            ("a skip with nothing behind it", SKIP, capacity),
        ] {
            assert_eq!(received(0, &[(0, word)], head), [Err(CORRUPT)], "{why}");
        }
        // A message over the edge, and two skips in a row: the second would fill the whole ring.
        let (at, words) = (capacity - 8, [(0, message(0)), (capacity - 8, message(8))]);
        assert_eq!(received(at, &words[1..], capacity + 8), [Err(CORRUPT)]);
        assert_eq!(received(at, &[(at, SKIP), (0, SKIP)], at + capacity), [Err(CORRUPT)]);
        assert_eq!(received(at, &[(at, SKIP), (0, message(0))], at + 16), [Ok(0)]);
    }

    #[test]
    fn positions_end_with_their_64_bits() {
        let last = u64::MAX - 7;
        for start in [last - 8, last - 2048, last - 4088] {
            let whole = [(start, (last - start - WORD).min(2040) | MESSAGE)];
            assert_eq!(received(start, &whole, last)[0], Ok(whole[0].1 as u32 as usize));
            assert_eq!(received(start, &[(start, SKIP)], last), [Err(CORRUPT)]);
            // Gone round.
            assert_eq!(received(start, &whole, 0), [Err(CORRUPT)]);
            assert_eq!(received(start, &whole, start.wrapping_add(4096)), [Err(CORRUPT)]);
        }
    }

    #[test]
    fn a_consumer_position_that_is_impossible_is_corrupt() {
        for (why, tail) in [("ahead", 4104), ("off the grid", 4), ("far ahead", u64::MAX - 7)] {
            let (mut producer, _) = ring(false);
            while producer.try_send(1016, |slot| slot.fill(|bytes| bytes.fill(7))).unwrap().is_ok() {}
            producer.half.area.control().tail.0.store(tail, Ordering::Release);
            assert!(matches!(producer.try_send(0, |_| Ok(())), Err(Error::Corrupt { .. })), "{why}");
        }
        let (mut producer, _) = ring(false);
        while producer.try_send(1016, |slot| slot.fill(|bytes| bytes.fill(7))).unwrap().is_ok() {}
        producer.half.area.control().tail.0.store(2048, Ordering::Release);
        assert!(producer.try_send(1016, |_| Ok(())).unwrap().is_ok());
        producer.half.area.control().tail.0.store(1024, Ordering::Release);
        assert!(producer.try_send(0, |_| Ok(())).unwrap().is_ok());
        assert!(matches!(producer.try_send(1016, |_| Ok(())), Err(Error::Corrupt { .. })), "back");
    }

    #[test]
    fn what_could_not_be_written_is_not_sent() {
        let (mut producer, mut consumer) = ring(false);
        // So that the next record goes over the edge.
        assert!(producer.try_send(2040, |slot| slot.fill(|bytes| bytes.fill(1))).unwrap().is_ok());
        assert!(producer.try_send(1016, |slot| slot.fill(|bytes| bytes.fill(2))).unwrap().is_ok());
        for len in [2040, 1016] {
            assert!(consumer.look().unwrap());
            assert_eq!(consumer.len(), len);
            consumer.release().unwrap();
        }
        let failed = producer.try_send(1024, |_| Err(Error::TimedOut));
        assert_eq!(failed.map(|_| ()), Err(Error::TimedOut));
        assert!(!consumer.look().unwrap());
        for byte in 3..5 {
            assert!(producer.try_send(1024, |slot| slot.fill(|bytes| bytes.fill(byte))).unwrap().is_ok());
            assert!(consumer.look().unwrap());
            consumer.read(|message| assert!(message == [byte; 1024]));
            consumer.release().unwrap();
        }
    }

    #[test]
    fn what_is_unread_can_be_written_behind_its_front() {
        let (mut producer, mut consumer) = ring(false);
        let send = |producer: &mut Producer, len| {
            assert!(producer.try_send(len, |slot| slot.fill(|bytes| bytes.fill(1))).unwrap().is_ok());
        };
        let receive = |consumer: &mut Consumer| {
            assert!(consumer.look().unwrap());
            let parts = [0..8, 8..consumer.len()].map(|part| consumer.part(part, <[u8]>::to_vec));
            consumer.release().unwrap();
            parts
        };
        // The last but one goes over the edge, and the first has been received.
        [2040, 1016].into_iter().for_each(|len| send(&mut producer, len));
        receive(&mut consumer);
        [1024, 8].into_iter().for_each(|len| send(&mut producer, len));
        producer.unread(8, |slot| slot.fill(|bytes| bytes.fill(2)).unwrap()).unwrap();
        for len in [1016, 1024, 8] {
            assert_eq!(receive(&mut consumer), [vec![1; 8], vec![2; len - 8]]);
        }
        producer.unread(8, |_| panic!("all is received")).unwrap();
        // Words that have been scribbled over lead nowhere.
        send(&mut producer, 8);
        let at = producer.head - 16;
        producer.half.area.set_word(at, 4000 | MESSAGE);
        assert!(matches!(producer.unread(8, |_| panic!("too long")), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn two_threads_in_ordinary_memory() {
        let messages = if cfg!(miri) { 40 } else { 4000 };
        for sleeps in [true, false] {
            let (mut producer, mut consumer) = ring(sleeps);
            let len = |n: u64| (n * 97 % 2041) as usize;
            let sender = thread::spawn(move || {
                for n in 0..messages {
                    while producer.try_send(len(n), |slot| slot.fill(|bytes| bytes.fill(n as u8))).unwrap().is_err() {
                        if sleeps { producer.sleep(None).unwrap() } else { hint::spin_loop() }
                    }
                }
            });
            for n in 0..messages {
                while !consumer.look().unwrap() {
                    if sleeps { consumer.sleep(None).unwrap() } else { hint::spin_loop() }
                }
                consumer.read(|message| {
                    assert_eq!(message.len(), len(n));
                    assert!(message.iter().all(|&byte| byte == n as u8));
                });
                consumer.release().unwrap();
            }
            sender.join().unwrap();
        }
    }
}
