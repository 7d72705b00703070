//! Which pages of a sender's memory the next message goes into: those that the pipe no longer refers to.
//!
//! A page that is spliced into a pipe takes one of its slots (`struct pipe_buffer`). read(2) empties slots in order, each
//! only when all of its bytes have been copied out. `pipe_read` in `fs/pipe.c` moves the tail after the copy, under the lock
//! that adding a slot takes, too. So once a pipe of S slots has accepted S pages after a page, that page has been read, and
//! may be written again. No system call has to ask.
//!
//! A message lies in one piece, from the beginning of a page on, so it may not fit before the end of the pool. The pool is
//! used in rounds: each begins at the first page as soon as S + N pages have been used in this one, where N is the longest
//! message's. Then
//!
//! - a message of n pages at the beginning of a round writes pages 0 to n - 1, after which at least S + N - n others were used;
//! - any other, at page `next`, writes what the round before used up to `next + n - 1` at most. From there to that round's end, and
//!   in this round, at least S + N - n others were used; or it writes what even earlier rounds used, each of which is longer than S.
//!
//! A round's last message begins before page S + N, so the pool has S + 2 N - 1 pages; with messages of one page S + 1.

use ipc_core::{Error, Result, transfer::check_len};
use std::ops::Range;

/// The places of messages in a sender's memory.
#[derive(Debug)]
pub struct Pool {
    page: usize,
    /// Pages of the longest message.
    longest: usize,
    /// A round ends where so many pages have been used, or more.
    round: usize,
    /// Pages used in this round.
    next: usize,
}

impl Pool {
    /// The longest message that can be asked for, in bytes.
    pub const MAX: usize = 1 << 30;

    /// A pool of pages of `page` bytes for messages of `max_message` bytes, or of as many as the pipe holds, which are
    /// `capacity`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where `max_message` is over [`MAX`](Pool::MAX).
    pub fn new(page: usize, capacity: usize, max_message: Option<usize>) -> Result<Self> {
        let asked = max_message.unwrap_or(capacity);
        check_len(asked, Self::MAX)?;
        if page == 0 || capacity < page {
            return Err(Error::Corrupt { what: "a pipe without room for a page" });
        }
        let longest = asked.div_ceil(page).max(1);
        Ok(Self { page, longest, round: capacity / page + longest, next: 0 })
    }

    /// Bytes of the whole pool.
    pub fn len(&self) -> usize {
        (self.round + self.longest - 1) * self.page
    }

    /// The longest message in bytes: whole pages.
    pub fn max_message(&self) -> usize {
        self.longest * self.page
    }

    /// Where a message of `len` bytes goes, at most [`max_message`](Pool::max_message). It is the same place until the
    /// message is [`lent`](Pool::lent).
    #[inline]
    pub fn place(&mut self, len: usize) -> Range<usize> {
        if self.next >= self.round {
            self.next = 0;
        }
        let start = self.next * self.page;
        start..start + len
    }

    /// The pipe has accepted all of a message of `len` bytes.
    #[inline]
    pub fn lent(&mut self, len: usize) {
        self.next += len.div_ceil(self.page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const PAGE: usize = 4096;

    /// Sends messages of random lengths through a pipe that is never read before it is full; returns the first page that is
    /// written while the pipe refers to it.
    fn overwritten(slots: usize, pool: &mut Pool, seed: u64) -> Option<usize> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pipe = VecDeque::new();
        for _ in 0..5000 {
            let len = match random.u8(..4) {
                0 => 1,
                1 => pool.max_message(),
                _ => random.usize(1..=pool.max_message()),
            };
            let place = pool.place(len);
            assert!(place.start.is_multiple_of(PAGE) && place.len() == len && place.end <= pool.len());
            let pages = place.start / PAGE..place.end.div_ceil(PAGE);
            if let Some(page) = pages.clone().find(|page| pipe.contains(page)) {
                return Some(page);
            }
            for page in pages {
                pipe.push_back(page);
                if pipe.len() > slots {
                    pipe.pop_front();
                }
            }
            pool.lent(len);
        }
        None
    }

    fn pools() -> impl Iterator<Item = (usize, Pool)> {
        let slots = [1, 2, 16, 256].into_iter();
        slots.flat_map(|slots| [1, 2, 5, 16, 17, 64].map(|longest| (slots, longest))).map(|(slots, longest)| {
            (slots, Pool::new(PAGE, slots * PAGE, Some(longest * PAGE)).expect("it is small enough"))
        })
    }

    #[test]
    fn no_page_is_written_while_the_pipe_refers_to_it() {
        for (slots, mut pool) in pools() {
            assert_eq!(overwritten(slots, &mut pool, 7), None, "{slots} slots, {pool:?}");
        }
    }

    #[test]
    fn one_page_less_would_not_do() {
        for (slots, mut pool) in pools() {
            pool.round -= 1;
            let found = (0..20).any(|seed| overwritten(slots, &mut pool, seed).is_some());
            assert!(found, "{slots} slots, {pool:?}");
        }
    }

    #[test]
    fn messages_of_a_page_take_the_slots_and_one_page_more() {
        let pool = Pool::new(PAGE, 16 * PAGE, Some(1)).unwrap();
        assert_eq!((pool.len(), pool.max_message()), (17 * PAGE, PAGE));
        let pool = Pool::new(PAGE, 16 * PAGE, None).unwrap();
        assert_eq!((pool.len(), pool.max_message()), (47 * PAGE, 16 * PAGE));
    }

    #[test]
    fn what_no_pool_can_hold_is_too_large() {
        let error = Pool::new(PAGE, 16 * PAGE, Some(Pool::MAX + 1)).unwrap_err();
        assert_eq!(error, Error::TooLarge { len: Pool::MAX + 1, max: Pool::MAX });
    }
}
