//! Counts the copies that the two processes make themselves, with debug registers on one byte of the payload.
//!
//! Producing the byte is one write, consuming it one read, and every copy is one of each: so the copies are the larger of both
//! counts, less one. A watch on one byte counts a copy once, whatever instruction makes it (`rep movsb` would trap once
//! for each byte of a wider one), in-lined or not. What the kernel reads and writes does not raise it, so
//! these copies and those of [`rules`](super::rules) add up.
//!
//! Three things remain. A byte that is written for another reason than a copy, such as clearing a buffer first, counts as one. A
//! buffer through which a message passes in pieces counts once for each piece. And memcpy of a few bytes touches some of
//! them twice. So the figure of a channel that works in such ways is too high, never too low.
//!
//! Where the byte lies is not asked of the channel but found: between two messages the memory of both processes is searched
//! for the payload, and once within a message whenever a process makes a call or reaches the byte. So a buffer that nobody has
//! declared is seen, even one that is overwritten before the message has gone, such as one on the stack.
//!
//! Where it will lie next must be known before: a message lies where the one before it did, or as far from there as that from
//! the one before (in a ring), or in the end where an earlier one did (in a pool). What is mapped anew for each message is
//! followed: the registers are set when the mapping appears, at the same distance from its start. All threads have the registers,
//! also those that start meanwhile. A message that is met anywhere else while the accesses are counted is not counted: one that
//! is met elsewhere each time has no figure.

use super::{
    SHORTEST, Unmeasured,
    lockstep::{LockStep, RECEIVER, SENDER},
    memory::{self, Trace},
    trace::{REGISTERS, Site, Unwatchable, Watched, Watchpoint},
};
use crate::payload::{self, STRETCH};
use nix::errno::Errno;
use std::{collections::BTreeSet, ops::Range};

/// How far from the end of the message the byte lies that is watched. Not in the last bytes, which memcpy moves in vectors that
/// overlap; but near them, since a channel that copies by pieces through one buffer leaves the last piece there.
const FROM_END: usize = 512;
/// The shortest message that can be told from other things in memory.
pub(super) const TWO_WORDS: usize = 2 * payload::WORD;

/// The stretch of a message of `size` bytes whose first byte is watched: in a short one the first.
fn stretch(size: usize) -> usize {
    if size < SHORTEST { 0 } else { (size - FROM_END) / STRETCH }
}

/// Where in a message of `size` bytes the byte lies that is watched.
pub(super) fn offset(size: usize) -> usize {
    stretch(size) * STRETCH
}

/// By what message `number` of `size` bytes is known, from that byte on.
pub(super) fn trace(number: u64, size: usize) -> Trace {
    if size < SHORTEST { Trace::of_short(number, size) } else { Trace::new(number, stretch(size)) }
}

/// How often a message may lie elsewhere than expected before it is waited for where one was: a ring's end is one miss.
const MISSES: u32 = 4;
/// How many messages go before the places of one must have come round.
const LONGEST_PERIOD: u64 = 1024;
/// How often they may come round otherwise than the last time.
const ROUNDS: u32 = 3;
/// How many buffers that hold a message only for a moment are followed back, one after the other.
const LONGEST_CHAIN: u32 = 8;
/// How many messages the accesses are counted of, almost in a row: one that lies elsewhere than expected is left out. Twice the
/// period of a channel that copies every third message, so that one of those is among them.
const REPEATS: u32 = 6;
/// In how many buffers it may lie only for a moment.
const MOST_PASSING: usize = 16;
/// How often the count is begun anew because the payload was met where nothing watched.
const ATTEMPTS: u32 = 4;

/// How often the byte was written and read, by both processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Writes.
    pub writes: u64,
    /// Reads.
    pub reads: u64,
    /// Places where it was found, in both processes.
    pub places: usize,
}

impl Accesses {
    /// The copies that this makes.
    pub fn copies(&self) -> u64 {
        self.writes.max(self.reads).saturating_sub(1)
    }
}

/// Why the byte could not be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwatched {
    /// The registers cannot be set: another architecture, or the system refuses.
    #[error("no debug registers: {0:?}")]
    Refused(Errno),
    /// A message of less than two words has nothing to be known by.
    #[error("a message of {0} bytes is too short to be found in memory: at least {TWO_WORDS} are needed")]
    TooShort(usize),
    /// The payload lies in other places each time.
    #[error("the payload's places did not come round within {LONGEST_PERIOD} messages")]
    NoPeriod,
    /// The payload lies for a moment in other places each time.
    #[error("the payload was met where nothing watched, in other places each time")]
    Wanders,
    /// What the processes do cannot be seen in whole.
    #[error("some of what the processes do cannot be seen")]
    OutOfSight,
    /// The payload was not found, or nobody touched it.
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
    /// Whether there was nothing to watch with or by, rather than a payload that got out of sight: then what the processes say
    /// themselves stands in.
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
    // Asked first, so that nothing is searched for in vain.
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

/// A place of a message: in which process, and where.
type Spot = (usize, Site);

/// Where one message was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    /// When it had been sent and not received.
    sent: BTreeSet<Spot>,
    /// When it had been received.
    received: BTreeSet<Spot>,
}

impl Places {
    /// Moves one message and looks for it.
    fn find(pair: &mut LockStep) -> Result<Self, Unmeasured> {
        let trace = trace(pair.number(), pair.size());
        pair.send()?;
        let sent = if pair.fits() { search(pair, &trace)? } else { BTreeSet::new() };
        pair.receive_intact()?;
        let received = search(pair, &trace)?;
        Ok(Self { sent, received })
    }

    /// Moves one message that is expected here; returns where it was if that was elsewhere.
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

    /// Moves one message; says whether it was here.
    fn recur(&self, pair: &mut LockStep) -> Result<bool, Unmeasured> {
        let trace = trace(pair.number(), pair.size());
        pair.send()?;
        let sent = !pair.fits() || is_at(pair, &self.sent, &trace);
        pair.receive_intact()?;
        Ok(sent && is_at(pair, &self.received, &trace))
    }

    /// Where the next message will be if it is as far from here as this one from the one at `before`; here, where those are
    /// not as many places.
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

    /// All of them.
    fn all(&self) -> BTreeSet<Spot> {
        self.sent.union(&self.received).copied().collect()
    }
}

/// Where the messages of a pair lie, one after the other.
struct Course {
    before: Places,
    last: Places,
    /// Where the payload lies in the course of a message, but not when it has been sent or received. These stay where they are.
    passing: BTreeSet<Spot>,
    stacks: [Range<u64>; 2],
    /// After how many messages one lay where another had, if one did.
    period: Option<u64>,
}

/// What a register watches, and whether only an access counts that leaves the payload there: other things are there at other times.
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

    /// Moves messages until one was where it was expected; `prepare` is told where before each, and whether that is likely: waiting
    /// for a message to come round takes many.
    fn meet(
        &mut self,
        pair: &mut LockStep,
        mut prepare: impl FnMut(&mut LockStep, &Places, bool) -> Result<(), Unwatched>,
    ) -> Result<(), Unwatched> {
        // Where messages have come round, none lies as the two before it.
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
        // Once to learn after how many messages one lies where this one does, and once to be prepared.
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

    /// Finds where the payload lies only for a moment. It is there when it is copied on to a place that is known, so each that is
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

    /// Where the payload was met that is no place of it known so far.
    fn unwatched(&self, pair: &mut LockStep) -> BTreeSet<Spot> {
        let (lasting, seen) = (self.last.all(), pair.tracer().seen());
        seen.iter().filter(|spot| !lasting.contains(spot) && !self.passing.contains(spot)).copied().collect()
    }

    /// How often all places of a message are written, and written or read; `None` where one was met in yet another place meanwhile,
    /// which is known from now on.
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

    /// How many times all registers are needed.
    fn groups(&self) -> usize {
        let all = self.last.all();
        let of = |role: usize| all.iter().chain(&self.passing).filter(|spot| spot.0 == role).count();
        of(SENDER).max(of(RECEIVER)).div_ceil(REGISTERS)
    }

    /// How often a message reached the places of a group: the most of some in a row, for one may be copied more often than the
    /// next. `None` as for [`count`](Self::count).
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

/// What the registers of either process hold for group `group`: the lasting places of a message and those where it passes. On a
/// stack, too, there are other things at other times.
fn registers(places: &Places, passing: &BTreeSet<Spot>, stacks: &[Range<u64>; 2], group: usize) -> [Vec<Register>; 2] {
    let all = places.all();
    [SENDER, RECEIVER].map(|role| {
        let on_stack = |site| matches!(site, Site::At(address) if stacks[role].contains(&address));
        let lasting = all.iter().map(|spot| (spot, on_stack(spot.1)));
        let spots = lasting.chain(passing.iter().map(|spot| (spot, true))).filter(|(spot, _)| spot.0 == role);
        spots.map(|(spot, shared)| (spot.1, shared)).skip(group * REGISTERS).take(REGISTERS).collect()
    })
}

/// Watches `registers` while the next message moves.
fn watch(pair: &mut LockStep, registers: &[Vec<Register>; 2], access: Watched) -> Result<(), Unwatched> {
    let word = trace(pair.number(), pair.size()).first();
    for role in [SENDER, RECEIVER] {
        let point = |&(site, shared): &Register| -> Watchpoint { (site, shared.then_some(word)) };
        let points: Vec<Watchpoint> = registers[role].iter().map(point).collect();
        pair.tracer().watch(role, &points, access)?;
    }
    Ok(())
}

/// Whether the message is at all of `places`.
fn is_at(pair: &mut LockStep, places: &BTreeSet<Spot>, trace: &Trace) -> bool {
    places.iter().all(|&(role, site)| pair.tracer().is_at(role, site, trace))
}

/// Every place of a message in both processes.
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
        // At a ring's end it goes back.
        assert_eq!(first.following(&second).sent, places(&[(0, 100), (0, 928), (1, 4928)], &[]).sent);
        // Not as many places: nothing to go by.
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
