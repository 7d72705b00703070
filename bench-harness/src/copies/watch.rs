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
//! for the payload. So a buffer that nobody has declared is seen, unless it has been overwritten by the rest of its message.

use super::{
    Unmeasured,
    lockstep::{LockStep, RECEIVER, SENDER},
    memory::Trace,
    trace::Watched,
};
use crate::payload;
use nix::errno::Errno;
use std::collections::BTreeSet;

/// How far from the end of the message the byte lies that is watched. Not in the last bytes, which memcpy moves in vectors that
/// overlap; but near them, since a channel that copies by pieces through one buffer leaves the last piece there.
const FROM_END: usize = 512;

/// The stretch of a message of `size` bytes whose first byte is watched.
pub(super) fn stretch(size: usize) -> usize {
    (size - FROM_END) / payload::STRETCH
}

/// How many messages go before the places of one must have come round.
const LONGEST_PERIOD: u64 = 1024;
/// Debug registers of a processor.
const REGISTERS: usize = 4;

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
    /// The payload lies in other places each time.
    #[error("the payload's places did not come round within {LONGEST_PERIOD} messages")]
    NoPeriod,
    /// The payload was not found, or nobody touched it.
    #[error("the payload was found in {0} places and not reached in any")]
    Unseen(usize),
    /// The pair failed meanwhile.
    #[error(transparent)]
    Pair(#[from] Unmeasured),
}

/// Counts the accesses to one byte of a message.
///
/// # Errors
/// [`Unwatched`].
pub fn count(pair: &mut LockStep) -> Result<Accesses, Unwatched> {
    // Asked first, so that nothing is searched for in vain.
    for role in [SENDER, RECEIVER] {
        let probe = [pair.place(role)];
        let set = pair.tracer().watch(role, &probe, Watched::Writes);
        set.and_then(|()| pair.tracer().watch(role, &[], Watched::Writes)).map_err(Unwatched::Refused)?;
    }
    let places = Places::find(pair)?;
    let found = [SENDER, RECEIVER].map(|role| places.of(role));
    let most = found.iter().map(Vec::len).max().unwrap_or(0);
    let (mut writes, mut both) = (0, 0);
    for first in (0..most).step_by(REGISTERS) {
        let group = found.each_ref().map(|all| all.iter().skip(first).take(REGISTERS).copied().collect());
        writes += places.hits(pair, &group, Watched::Writes)?;
        both += places.hits(pair, &group, Watched::ReadsAndWrites)?;
    }
    for role in [SENDER, RECEIVER] {
        pair.tracer().watch(role, &[], Watched::Writes).map_err(Unwatched::Refused)?;
    }
    let places = found.iter().map(Vec::len).sum();
    match both {
        0 => Err(Unwatched::Unseen(places)),
        _ => Ok(Accesses { writes, reads: both.saturating_sub(writes), places }),
    }
}

/// Where one message was: in which process, and at which address.
struct Places {
    /// When it had been sent and not received.
    sent: BTreeSet<(usize, u64)>,
    /// When it had been received.
    received: BTreeSet<(usize, u64)>,
}

impl Places {
    /// Moves one message and looks for it.
    fn find(pair: &mut LockStep) -> Result<Self, Unmeasured> {
        let trace = Trace::new(pair.number(), stretch(pair.size()));
        pair.send()?;
        let sent = if pair.fits() { search(pair, &trace)? } else { BTreeSet::new() };
        pair.receive_intact()?;
        let received = search(pair, &trace)?;
        Ok(Self { sent, received })
    }

    /// Moves one message; says whether it was in the same places.
    fn recur(&self, pair: &mut LockStep) -> Result<bool, Unmeasured> {
        let trace = Trace::new(pair.number(), stretch(pair.size()));
        let is_at = |pair: &mut LockStep, places: &BTreeSet<(usize, u64)>| {
            places.iter().all(|&(role, address)| trace.is_at(pair.tracer().pid(role), address))
        };
        pair.send()?;
        let sent = !pair.fits() || is_at(pair, &self.sent);
        pair.receive_intact()?;
        Ok(sent && is_at(pair, &self.received))
    }

    /// Moves messages until one is in the same places, and returns how often it reached those of `group`. A ring uses its slots in
    /// turn, a pool in whatever order they come back.
    fn hits(&self, pair: &mut LockStep, group: &[Vec<u64>; 2], access: Watched) -> Result<u64, Unwatched> {
        for _ in 0..LONGEST_PERIOD {
            for role in [SENDER, RECEIVER] {
                pair.tracer().watch(role, &group[role], access).map_err(Unwatched::Refused)?;
            }
            if self.recur(pair)? {
                return Ok([SENDER, RECEIVER].iter().flat_map(|&role| pair.tracer().hits(role)).sum());
            }
        }
        Err(Unwatched::NoPeriod)
    }

    /// Those of `role`.
    fn of(&self, role: usize) -> Vec<u64> {
        let all: BTreeSet<_> = self.sent.union(&self.received).collect();
        all.into_iter().filter(|(of, _)| *of == role).map(|(_, address)| *address).collect()
    }
}

/// Every place of a message in both processes.
fn search(pair: &mut LockStep, trace: &Trace) -> Result<BTreeSet<(usize, u64)>, Unmeasured> {
    let mut places = BTreeSet::new();
    for role in [SENDER, RECEIVER] {
        let found = trace.find(pair.tracer().pid(role)).map_err(Unmeasured::Channel)?;
        places.extend(found.into_iter().map(|address| (role, address)));
    }
    Ok(places)
}
