//! Counts the copies that the two processes make themselves, with debug registers on one byte of the payload.
//!
//! Producing the byte is one write, consuming it is one read, and every copy is one of each. So the number of copies is the
//! larger of the two counts, minus one. A watch on one byte counts a copy once, in-lined or not, whatever instruction makes it.
//! On a wider range, `rep movsb` would trap once for each byte. Reads and writes by the kernel do not trigger it, so these
//! copies and those of [`rules`](super::rules) add up.
//!
//! Three cases are counted too high, never too low:
//! - A write for another reason than a copy counts as a copy, such as clearing a buffer first.
//! - A buffer through which a message passes in pieces counts once for each piece.
//! - memcpy of a few bytes touches some of them twice.
//!
//! The channel does not tell where the byte lies; the tracer finds it. Between two messages it searches the memory of both
//! processes for the payload. Within a message it searches whenever a process makes a call or reaches the byte. So it sees
//! undeclared buffers, even one that is overwritten before the message has gone, such as one on the stack.
//!
//! The position of the next message must be known in advance. There are three kinds of prediction:
//! - A message lies where the one before it did.
//! - It lies as far from the one before it as that one from its predecessor (in a ring).
//! - It lies where an earlier one did (in a pool).
//!
//! A mapping made anew for each message is followed: the registers are set when it appears, at the same distance from its
//! start. All threads have the registers, including those that start meanwhile. While accesses are counted, a message at any
//! other place is not counted. If every message is at another place, there is no figure.

use super::{
    SHORTEST, Unmeasured,
    lockstep::{LockStep, RECEIVER, SENDER},
    memory::{self, Trace},
    trace::{REGISTERS, Site, Unwatchable, Watched, Watchpoint},
};
use crate::payload::{self, STRETCH};
use nix::errno::Errno;
use std::{collections::BTreeSet, ops::Range};

/// Distance in bytes of the watched byte from the end of the message. The last bytes are unsuitable: memcpy moves them in
/// vectors that overlap. The byte must be near the end, because a channel that copies by pieces through one buffer leaves the
/// last piece there.
const FROM_END: usize = 512;
/// The shortest message, in bytes, that can be told from other data in memory.
pub(super) const TWO_WORDS: usize = 2 * payload::WORD;

/// The block of a message of `size` bytes whose first byte is watched. In a short message it is the first block.
fn stretch(size: usize) -> usize {
    if size < SHORTEST { 0 } else { (size - FROM_END) / STRETCH }
}

/// The offset of the watched byte in a message of `size` bytes.
pub(super) fn offset(size: usize) -> usize {
    stretch(size) * STRETCH
}

/// The trace that identifies message `number` of `size` bytes, from the watched byte on.
pub(super) fn trace(number: u64, size: usize) -> Trace {
    if size < SHORTEST { Trace::of_short(number, size) } else { Trace::new(number, stretch(size)) }
}

/// How many messages may lie elsewhere than expected before the search waits for an earlier place to recur. The end of a ring
/// is one miss.
const MISSES: u32 = 4;
/// The number of messages within which the places of a message must recur.
const LONGEST_PERIOD: u64 = 1024;
/// How often the places may recur after a different number of messages than the last time.
const ROUNDS: u32 = 3;
/// The longest chain of buffers that hold a message only for a moment and are traced back one by one.
const LONGEST_CHAIN: u32 = 8;
/// Messages whose accesses are counted, nearly in a row. A message that lies elsewhere than expected is skipped. This is twice
/// the period of a channel that copies every third message, so at least one of those is included.
const REPEATS: u32 = 6;
/// The most buffers in which the payload may lie only for a moment.
const MOST_PASSING: usize = 16;
/// How often the count may restart because the payload was found where nothing watched.
const ATTEMPTS: u32 = 4;

/// Accesses to the byte by both processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Number of writes.
    pub writes: u64,
    /// Number of reads.
    pub reads: u64,
    /// Number of places of the byte in both processes.
    pub places: usize,
}

impl Accesses {
    /// The number of copies that follows from the accesses.
    pub fn copies(&self) -> u64 {
        self.writes.max(self.reads).saturating_sub(1)
    }
}

/// The reason why the byte could not be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwatched {
    /// The registers cannot be set: the architecture is another one, or the system refuses.
    #[error("no debug registers: {0:?}")]
    Refused(Errno),
    /// A message of less than two words cannot be identified in memory.
    #[error("a message of {0} bytes is too short to be found in memory: at least {TWO_WORDS} are needed")]
    TooShort(usize),
    /// The payload lies at other places each time.
    #[error("the payload's places did not come round within {LONGEST_PERIOD} messages")]
    NoPeriod,
    /// The payload lies for a moment at other places each time.
    #[error("the payload was met where nothing watched, in other places each time")]
    Wanders,
    /// Some actions of the processes cannot be seen.
    #[error("some of what the processes do cannot be seen")]
    OutOfSight,
    /// The payload was not found, or no process accessed it. Holds the number of places.
    #[error("the payload was found in {0} places and not reached in any")]
    Unseen(usize),
    /// The pair failed meanwhile.
    #[error(transparent)]
    Pair(#[from] Unmeasured),
}

impl From<Unwatchable> for Unwatched {
    fn from(why: Unwatchable) -> Self {
        match why {
            Unwatchable::Refused(errno) => Self::Refused(errno),
            Unwatchable::Untraced(why) => Self::Pair(why.into()),
        }
    }
}

impl Unwatched {
    /// Whether a watch was impossible from the start: no registers, or a message that is too short. Then the ledgers of the
    /// processes stand in. `false` if a payload got out of sight.
    pub fn is_for_want_of_means(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooShort(_))
    }
}

/// Counts the accesses to one byte of a message.
///
/// # Errors
/// [`Unwatched`].
pub fn count(pair: &mut LockStep) -> Result<Accesses, Unwatched> {
    if pair.size() < TWO_WORDS {
        return Err(Unwatched::TooShort(pair.size()));
    }
    // Test the registers first, to avoid a useless search.
    for role in [SENDER, RECEIVER] {
        let probe = [(Site::At(pair.place(role)), None)];
        pair.tracer().watch(role, &probe, Watched::Writes)?;
        pair.tracer().watch(role, &[], Watched::Writes)?;
    }
    let mut course = Course::begin(pair)?;
    let mut counted = None;
    for _ in 0..ATTEMPTS {
        course.find_passing(pair)?;
        counted = course.count(pair)?;
        if counted.is_some() {
            break;
        }
    }
    pair.tracer().look_for(None);
    for role in [SENDER, RECEIVER] {
        pair.tracer().watch(role, &[], Watched::Writes)?;
    }
    let places = course.last.all().len() + course.passing.len();
    match counted {
        None => Err(Unwatched::Wanders),
        Some((_, 0)) => Err(Unwatched::Unseen(places)),
        Some((writes, both)) => Ok(Accesses { writes, reads: both.saturating_sub(writes), places }),
    }
}

/// A place of a message: the process, and the site in it.
type Spot = (usize, Site);

/// The places of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    /// Places after sending and before receiving.
    sent: BTreeSet<Spot>,
    /// Places after receiving.
    received: BTreeSet<Spot>,
}

impl Places {
    /// Moves one message and searches for its places.
    fn find(pair: &mut LockStep) -> Result<Self, Unmeasured> {
        let trace = trace(pair.number(), pair.size());
        pair.send()?;
        let sent = if pair.fits() { search(pair, &trace)? } else { BTreeSet::new() };
        pair.receive_intact()?;
        let received = search(pair, &trace)?;
        Ok(Self { sent, received })
    }

    /// Moves one message that is expected at these places. If it was elsewhere, returns its places.
    fn expect(&self, pair: &mut LockStep) -> Result<Option<Self>, Unmeasured> {
        let trace = trace(pair.number(), pair.size());
        pair.send()?;
        let sent = if !pair.fits() || is_at(pair, &self.sent, &trace) { None } else { Some(search(pair, &trace)?) };
        pair.receive_intact()?;
        if sent.is_none() && is_at(pair, &self.received, &trace) {
            return Ok(None);
        }
        Ok(Some(Self { sent: sent.unwrap_or_else(|| self.sent.clone()), received: search(pair, &trace)? }))
    }

    /// Moves one message. Returns whether it was at these places.
    fn recur(&self, pair: &mut LockStep) -> Result<bool, Unmeasured> {
        let trace = trace(pair.number(), pair.size());
        pair.send()?;
        let sent = !pair.fits() || is_at(pair, &self.sent, &trace);
        pair.receive_intact()?;
        Ok(sent && is_at(pair, &self.received, &trace))
    }

    /// Predicts the next message's places: the distance from `before` to these places is added again. If the numbers of places
    /// differ, the prediction is these places.
    fn following(&self, before: &Self) -> Self {
        let on = |last: u64, before: u64| last.wrapping_add(last.wrapping_sub(before));
        let next = |(&last, &before): (&Spot, &Spot)| match (last, before) {
            ((role, Site::At(last)), (other, Site::At(before))) if role == other => {
                Some((role, Site::At(on(last, before))))
            }
            ((role, Site::Mapped { nth, offset }), (other, Site::Mapped { nth: nth_before, offset: before }))
                if (role, nth) == (other, nth_before) =>
            {
                Some((role, Site::Mapped { nth, offset: on(offset, before) }))
            }
            _ => None,
        };
        let following = |last: &BTreeSet<Spot>, before: &BTreeSet<Spot>| {
            let next = || last.iter().zip(before).map(next).collect();
            if last.len() == before.len() { next() } else { None }.unwrap_or_else(|| last.clone())
        };
        Self { sent: following(&self.sent, &before.sent), received: following(&self.received, &before.received) }
    }

    /// All places, after sending or after receiving.
    fn all(&self) -> BTreeSet<Spot> {
        self.sent.union(&self.received).copied().collect()
    }
}

/// The places of a pair's messages, one after the other.
struct Course {
    before: Places,
    last: Places,
    /// Places where the payload lies during a transfer, but neither after sending nor after receiving. They do not move.
    passing: BTreeSet<Spot>,
    stacks: [Range<u64>; 2],
    /// The number of messages after which one lay where an earlier one had, if that happened.
    period: Option<u64>,
}

/// A watched site, and whether an access counts only if it leaves the payload there. That is needed if the site holds other
/// data at other times.
type Register = (Site, bool);

impl Course {
    fn begin(pair: &mut LockStep) -> Result<Self, Unmeasured> {
        let mut stack = |role| memory::stack(pair.tracer().pid(role)).map_err(Unmeasured::Channel);
        let stacks = [stack(SENDER)?, stack(RECEIVER)?];
        Ok(Self {
            before: Places::find(pair)?,
            last: Places::find(pair)?,
            passing: BTreeSet::new(),
            stacks,
            period: None,
        })
    }

    /// Moves messages until one was where it was expected. Before each message `prepare` gets the expected places, and whether
    /// the message is likely to be there. Waiting for a place to recur takes many messages.
    fn meet(
        &mut self,
        pair: &mut LockStep,
        mut prepare: impl FnMut(&mut LockStep, &Places, bool) -> Result<(), Unwatched>,
    ) -> Result<(), Unwatched> {
        // If places recur with a period, no message continues the step between the two before it.
        for _ in 0..if self.period.is_none() { MISSES + 1 } else { 0 } {
            let expected = self.last.following(&self.before);
            prepare(pair, &expected, true)?;
            let elsewhere = expected.expect(pair)?;
            let held = elsewhere.is_none();
            self.before = std::mem::replace(&mut self.last, elsewhere.unwrap_or(expected));
            if held {
                return Ok(());
            }
        }
        // The first round learns after how many messages a place recurs. The next one is prepared for it.
        for _ in 0..ROUNDS {
            let mut turn = 0;
            loop {
                turn += 1;
                if turn > LONGEST_PERIOD {
                    return Err(Unwatched::NoPeriod);
                }
                let likely = self.period == Some(turn);
                prepare(pair, &self.last, likely)?;
                if self.last.recur(pair)? {
                    self.before = self.last.clone();
                    self.period = Some(turn);
                    if likely {
                        return Ok(());
                    }
                    break;
                }
            }
        }
        Err(Unwatched::NoPeriod)
    }

    /// Finds places where the payload lies only for a moment. It is there when it is copied on to a known place, so each place
    /// found may lead to the one before it.
    fn find_passing(&mut self, pair: &mut LockStep) -> Result<(), Unwatched> {
        for _ in 0..LONGEST_CHAIN {
            let mut seen = BTreeSet::new();
            for group in 0..self.groups() {
                let (passing, stacks) = (self.passing.clone(), self.stacks.clone());
                self.meet(pair, |pair, expected, likely| {
                    watch(pair, &registers(expected, &passing, &stacks, group), Watched::ReadsAndWrites)?;
                    let trace = trace(pair.number(), pair.size());
                    pair.tracer().look_for(likely.then_some(trace));
                    Ok(())
                })?;
                seen.append(&mut self.unwatched(pair));
            }
            let known = self.passing.len();
            self.passing.append(&mut seen);
            if self.passing.len() > MOST_PASSING {
                return Err(Unwatched::Wanders);
            }
            if self.passing.len() == known {
                break;
            }
        }
        Ok(())
    }

    /// The places where the payload was found that were not known before.
    fn unwatched(&self, pair: &mut LockStep) -> BTreeSet<Spot> {
        let (lasting, seen) = (self.last.all(), pair.tracer().seen());
        seen.iter().filter(|spot| !lasting.contains(spot) && !self.passing.contains(spot)).copied().collect()
    }

    /// Counts the writes, and the reads and writes, of all places of a message. `None` if the payload was found at a new place
    /// meanwhile, which is known from now on.
    fn count(&mut self, pair: &mut LockStep) -> Result<Option<(u64, u64)>, Unwatched> {
        let (mut writes, mut both) = (0, 0);
        for group in 0..self.groups() {
            for (access, sum) in [(Watched::Writes, &mut writes), (Watched::ReadsAndWrites, &mut both)] {
                match self.hits(pair, group, access)? {
                    Some(hits) => *sum += hits,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some((writes, both)))
    }

    /// The number of groups of registers that all places need.
    fn groups(&self) -> usize {
        let all = self.last.all();
        let of = |role: usize| all.iter().chain(&self.passing).filter(|spot| spot.0 == role).count();
        of(SENDER).max(of(RECEIVER)).div_ceil(REGISTERS)
    }

    /// The most accesses of one message to the places of a group. The maximum over some messages in a row counts, because one
    /// may be copied more often than the next. `None` if the payload was found at a new place, as in [`count`](Self::count).
    fn hits(&mut self, pair: &mut LockStep, group: usize, access: Watched) -> Result<Option<u64>, Unwatched> {
        let mut most = 0;
        for _ in 0..REPEATS {
            let (passing, stacks) = (self.passing.clone(), self.stacks.clone());
            self.meet(pair, |pair, expected, likely| {
                watch(pair, &registers(expected, &passing, &stacks, group), access)?;
                let trace = trace(pair.number(), pair.size());
                pair.tracer().look_for(likely.then_some(trace));
                Ok(())
            })?;
            let mut met = self.unwatched(pair);
            if !met.is_empty() {
                self.passing.append(&mut met);
                return Ok(None);
            }
            let hits = [SENDER, RECEIVER].iter().flat_map(|&role| pair.tracer().hits(role)).sum();
            most = most.max(hits);
        }
        Ok(Some(most))
    }
}

/// The registers of both processes for group `group`. They hold the lasting places of a message and its passing ones. A stack
/// also holds other data at other times.
fn registers(places: &Places, passing: &BTreeSet<Spot>, stacks: &[Range<u64>; 2], group: usize) -> [Vec<Register>; 2] {
    let all = places.all();
    [SENDER, RECEIVER].map(|role| {
        let on_stack = |site| matches!(site, Site::At(address) if stacks[role].contains(&address));
        let lasting = all.iter().map(|spot| (spot, on_stack(spot.1)));
        let spots = lasting.chain(passing.iter().map(|spot| (spot, true))).filter(|(spot, _)| spot.0 == role);
        spots.map(|(spot, shared)| (spot.1, shared)).skip(group * REGISTERS).take(REGISTERS).collect()
    })
}

/// Watches `registers` during the next message.
fn watch(pair: &mut LockStep, registers: &[Vec<Register>; 2], access: Watched) -> Result<(), Unwatched> {
    let word = trace(pair.number(), pair.size()).first();
    for role in [SENDER, RECEIVER] {
        let point = |&(site, shared): &Register| -> Watchpoint { (site, shared.then_some(word)) };
        let points: Vec<Watchpoint> = registers[role].iter().map(point).collect();
        pair.tracer().watch(role, &points, access)?;
    }
    Ok(())
}

/// Whether the message is at each of `places`.
fn is_at(pair: &mut LockStep, places: &BTreeSet<Spot>, trace: &Trace) -> bool {
    places.iter().all(|&(role, site)| pair.tracer().is_at(role, site, trace))
}

/// Every place of the message in both processes.
fn search(pair: &mut LockStep, trace: &Trace) -> Result<BTreeSet<Spot>, Unmeasured> {
    let mut places = BTreeSet::new();
    for role in [SENDER, RECEIVER] {
        let found = trace.find(pair.tracer().pid(role)).map_err(Unmeasured::Channel)?;
        places.extend(found.into_iter().map(|address| (role, pair.tracer().site(role, address))));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(sent: &[(usize, u64)], received: &[(usize, u64)]) -> Places {
        let spots = |of: &[(usize, u64)]| of.iter().map(|&(role, address)| (role, Site::At(address))).collect();
        Places { sent: spots(sent), received: spots(received) }
    }

    #[test]
    fn a_message_goes_on_as_the_last_two_did() {
        let first = places(&[(0, 100), (0, 1000), (1, 5000)], &[(0, 100), (1, 900)]);
        let second = places(&[(0, 100), (0, 1072), (1, 5072)], &[(0, 100), (1, 900)]);
        let third = places(&[(0, 100), (0, 1144), (1, 5144)], &[(0, 100), (1, 900)]);
        assert_eq!(second.following(&first), third);
        // At the end of a ring the places go back.
        assert_eq!(first.following(&second).sent, places(&[(0, 100), (0, 928), (1, 4928)], &[]).sent);
        // The numbers of places differ, so there is no prediction.
        let other = places(&[(0, 100)], &[(0, 100), (1, 900)]);
        assert_eq!(second.following(&other), second);
    }

    #[test]
    fn the_watched_byte_is_the_first_of_a_word_of_the_payload() {
        for size in [16, 64, 1023] {
            assert_eq!(offset(size), 0, "{size} bytes");
        }
        for size in [SHORTEST, 4096, 65_536] {
            assert_eq!(offset(size) % STRETCH, 0);
            assert!((size - 2 * FROM_END..=size - FROM_END).contains(&offset(size)), "{size} bytes");
        }
    }
}
