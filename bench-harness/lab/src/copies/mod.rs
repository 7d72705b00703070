//! Counts how often a payload is copied between the sender's buffer and the receiver's, and the system calls of a message that
//! need not wait.
//!
//! [`lockstep`] moves messages one at a time through a forked pair of its own, and [`trace`] follows the pair. The figures have
//! three sources:
//! - Copies by the kernel: from the system calls and the table of [`rules`].
//! - Copies by the two processes: from a [`watch`] on a byte of the payload, or from their [`ledger`](ipc_core::ledger) if no
//!   watch is possible.
//! - Whether there is a copy at all: from the effect of a change after sending ([`reference`](mod@reference)).
//!
//! There is no figure if copies could be made unseen ([`hidden`]). None of this touches a timed run.

pub mod counts;
pub mod descriptor;
pub mod exchange;
pub mod hidden;
pub mod lockstep;
pub mod memory;
mod origin;
pub mod reference;
mod role;
pub mod rules;
mod sys;
mod task;
pub mod trace;
mod tracee;
pub mod watch;

use crate::{worker::cause_of, workload::driver::Driver};
use counts::{Counts, LineOf, Through};
use ipc_core::{Channel, Error, ledger::Entries, process::Exit};
use lockstep::{LockStep, RECEIVER, SENDER};
use reference::{Claim, Passing};
use rules::{Place, Rule};
use std::collections::BTreeMap;
use trace::Untraced;
use watch::{Accesses, Unwatched};

/// The shortest message, in bytes, for which copies are counted. It is longer than any note of some 24 bytes. memcpy does not
/// reach a byte in its middle twice, as it does in short messages whose length is no multiple of a vector.
pub const SHORTEST: usize = 1 << 10;

/// The reason why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// The channel cannot be opened, or cannot carry the size.
    #[error("{0}")]
    Channel(Error),
    /// The pair could not be traced.
    #[error(transparent)]
    Untraced(#[from] Untraced),
    /// One of the two processes reported an error.
    #[error("the {0} failed: {1}")]
    Failed(&'static str, String),
    /// One of the two processes ended without a report.
    #[error("the {0} died without a report: {cause}", cause = cause_of(*.1))]
    Died(&'static str, Exit),
    /// A message that arrived differs from what was sent.
    #[error("wrong payload: {0}")]
    WrongPayload(Error),
}

/// What the tracer found out about one pair.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Messages that were counted.
    pub messages: u64,
    /// The system calls of the sender and of the receiver for these messages.
    pub counts: [Counts; 2],
    /// What the two processes entered in their ledgers for these messages.
    pub ledgers: [Entries; 2],
    /// Minor page faults of both processes for these messages. `None` if they cannot be read.
    pub faults: Option<u64>,
    /// How often the two processes accessed one byte of a message.
    pub accesses: Result<Accesses, Unwatched>,
    /// How a message was passed. `None` if there was no moment to change it.
    pub passing: Option<Passing>,
    /// The test results for the calls whose rule rests on a reference.
    pub claims: Vec<Claim>,
    /// The reasons why some actions of the pair cannot be seen.
    pub hidden: Vec<String>,
    /// Whether the channel held each message while neither process ran.
    pub fits: bool,
}

/// The operations on a channel with one driver.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Moves messages of a length through a traced pair, and judges its calls by a table. See [`trial`].
    pub measure: fn(usize, &'static [Rule]) -> Result<Findings, Unmeasured>,
    /// Moves a number of messages of a length without a tracer. See [`exchange`](exchange::exchange).
    pub exchange: fn(usize, u64) -> Result<(), Unmeasured>,
}

impl Trial {
    /// The operations on `C`, whose payload is carried by the driver `K`.
    pub const fn of<C: Channel, K: Driver<Endpoint = C::Endpoint>>() -> Self {
        Self { measure: trial::<C, K>, exchange: exchange::exchange::<C, K> }
    }
}

/// Messages before the count starts. By then one-time work is over, such as the start of a watching thread.
pub const WARM_UP: u64 = 16;
/// Messages that are counted, and the smaller number if each message has to wait.
pub const MESSAGES: u64 = 256;
const WAITING_MESSAGES: u64 = 32;

/// Opens a pair over `C` for messages of `size` bytes, moves some with the driver `K`, and judges its calls by `table`.
///
/// # Errors [`Unmeasured`].
pub fn trial<C: Channel, K: Driver<Endpoint = C::Endpoint>>(
    size: usize,
    table: &'static [Rule],
) -> Result<Findings, Unmeasured> {
    let mut opened = lockstep::open::<C, K>(size, table)?;
    let findings = investigate(&mut opened.pair)?;
    opened.close()?;
    Ok(findings)
}

/// Counts the calls of some messages, then watches a byte, then changes one.
fn investigate(pair: &mut LockStep) -> Result<Findings, Unmeasured> {
    pair.run(WARM_UP)?;
    let messages = if pair.fits() { MESSAGES } else { WAITING_MESSAGES };
    let before = pair.ledgers();
    let faults_before = minor_faults(pair);
    [SENDER, RECEIVER].iter().for_each(|&role| pair.tracer().count(role, true));
    pair.run(messages)?;
    [SENDER, RECEIVER].iter().for_each(|&role| pair.tracer().count(role, false));
    // Read the faults before searching the processes' memory.
    let faults = minor_faults(pair).zip(faults_before).map(|(after, before)| after - before);
    let after = pair.ledgers();
    let size = pair.size() as u64;
    let counts = [SENDER, RECEIVER].map(|role| pair.tracer().counts(role).clone().settled(messages, size));
    // If some memory cannot be searched, no memory is searched.
    let accesses = match hidden::known(pair)?.is_empty() {
        true => hidden::look(pair, &counts).map_err(Unwatched::Pair).and_then(|()| watch::count(pair)),
        false => Err(Unwatched::OutOfSight),
    };
    if let Err(Unwatched::Pair(failed)) = accesses {
        return Err(failed);
    }
    let passing = reference::find(pair)?;
    let claims = reference::try_claims(pair, &counts)?;
    let hidden = hidden::known(pair)?;
    Ok(Findings {
        messages,
        counts,
        ledgers: [SENDER, RECEIVER].map(|role| after[role].since(before[role])),
        faults,
        accesses,
        passing,
        claims,
        hidden,
        fits: pair.fits(),
    })
}

/// The minor page faults of both processes so far. `None` if they cannot be read.
fn minor_faults(pair: &mut LockStep) -> Option<u64> {
    [SENDER, RECEIVER].iter().map(|&role| pair.tracer().minor_faults(role)).sum()
}

impl Findings {
    /// Checks that the calls, as the table reads them, add up. Bytes put into a channel must equal the bytes taken out, and
    /// each side's calls must move whole messages.
    ///
    /// # Errors The sums that do not agree.
    pub fn check_bytes(&self, size: usize) -> Result<(), String> {
        for place in Place::CHANNELS {
            let through = self.counts.each_ref().map(|counts| counts.through(place));
            let (put, taken) = (through[0].0 + through[1].0, through[0].1 + through[1].1);
            if put != taken {
                return Err(format!("the calls put {put} bytes into the {place} and took {taken} out of it"));
            }
        }
        let mut objects: BTreeMap<_, Through> = BTreeMap::new();
        for (object, through) in self.counts.iter().flat_map(Counts::objects) {
            let sum = objects.entry(object).or_default();
            (sum.put, sum.taken) = (sum.put + through.put, sum.taken + through.taken);
        }
        // If bytes go into one object and come out of another, a process that nothing follows has moved them.
        let uneven = |((place, _), through): &(&(Place, u64), &Through)| -> bool {
            Place::CHANNELS.contains(place) && through.put != through.taken
        };
        if let Some(((place, _), Through { put, taken })) = objects.iter().find(uneven) {
            return Err(format!("the calls put {put} bytes into one {place} and took {taken} out of it"));
        }
        let payload = self.messages * size as u64;
        for (who, counts) in ["sender", "receiver"].into_iter().zip(&self.counts) {
            if !counts.moved().is_multiple_of(payload) {
                let moved = counts.moved();
                return Err(format!("the {who}'s calls moved {moved} bytes, where the payload has {payload}"));
            }
        }
        Ok(())
    }

    /// How often the kernel copied each byte of the payload.
    ///
    /// # Errors The reason why that is unknown.
    pub fn kernel_copies(&self, size: usize) -> Result<f64, String> {
        let copied = self.counts.iter().map(Counts::copied).sum::<Result<u64, _>>().map_err(|call| call.to_string());
        let counted = copied.and_then(|copied| self.check_bytes(size).map(|()| copied));
        let hidden = (!self.hidden.is_empty()).then(|| format!("not known: {}", self.hidden.join("; ")));
        let copied = match (counted, hidden) {
            (Ok(copied), None) => copied,
            (Err(why), None) | (Ok(_), Some(why)) => return Err(why),
            (Err(why), Some(hidden)) => return Err(format!("{why}; {hidden}")),
        };
        if let Some(Claim { of, .. }) = self.claims.iter().find(|claim| claim.confirmed.is_none()) {
            let why = "the channel does not hold a message, so that there is no moment to change one";
            return Err(format!("not known: whether {} takes a reference cannot be tried: {why}", call(of)));
        }
        let unconfirmed = self.claims.iter().filter(|claim| claim.confirmed == Some(false));
        let copied = copied + unconfirmed.map(|claim| claim.bytes).sum::<u64>();
        Ok(copied as f64 / (self.messages * size as u64) as f64)
    }
}

/// Formats a kind of call for a message.
pub fn call((name, from, to): &LineOf) -> String {
    format!("{name} ({from} to {to})")
}
