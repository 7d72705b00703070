//! The conversation of a pair: what each [`Role`] does once both processes stand, and what one measurement yields.
//!
//! Everything goes in rounds. The initiator writes how many messages the next round has, both meet at a barrier, and the round
//! runs. The initiator warms up by doubling the round until the time is used, then sizes the measured round. The responder
//! knows when to stop without looking at any message.

pub mod driver;
mod latency;
mod throughput;

use crate::{
    inject::Spinner,
    role::Role,
    sample::{Budget, Sample},
};
use bench_record::cell::Pattern;
use driver::Driver;
use ipc_core::{
    Reliability, Result, Spec,
    shared::{Barrier, SharedPage},
};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// How long a lossy mechanism waits for a message before the message counts as lost.
const LOSS_TIMEOUT: Duration = Duration::from_millis(100);
/// The minimum length, in messages, of the last warm-up round.
const WARM_UP_ROUND: u64 = 8;
/// The minimum length of a metered round, in messages. The acknowledgement at its end is then at most 0.01 calls per message.
const METERED_ROUND: u64 = 100;
/// The round length that ends a conversation.
const STOP: u64 = u64::MAX;
/// Lines of the shared page. The first two serve each role as barrier and probe. The others hold the round's length, whether
/// its sender has finished, the messages lost, and the unslowed time of a message for an injected slowdown.
const LINES: [usize; 2] = [0, 1];
const ROUND: usize = 2;
const FINISHED: usize = 3;
const LOST: usize = 4;
const SLOW: usize = 5;

/// What both processes of a pair share besides the channel under test.
pub struct Stage<'a> {
    page: &'a SharedPage,
    role: Role,
    barrier: Barrier<'a>,
    /// The number of the next message: all messages of all rounds so far.
    next: u64,
    spec: Spec,
    size: usize,
    slow: Option<Slow>,
}

/// An injected slowdown.
#[derive(Clone, Copy)]
struct Slow {
    part: f64,
    /// Whether the initiator of a throughput run spins as well. If both run at once, the initiator may be the slower of the
    /// two.
    both: bool,
    spinner: Spinner,
}

impl<'a> Stage<'a> {
    /// The stage as `role` sees it.
    pub fn new(page: &'a SharedPage, role: Role, spec: Spec, size: usize) -> Self {
        let barrier = Barrier::new(&page[..LINES.len()], role as usize);
        Self { page, role, barrier, next: 0, spec, size, slow: None }
    }

    /// Slows every message down by `part` of its unslowed time. The responder spins. The initiator spins as well, unless the
    /// two take turns on one thread.
    pub fn slow_down(&mut self, part: f64, takes_turns: bool) {
        self.slow = Some(Slow { part, both: !takes_turns, spinner: Spinner::calibrate() });
    }

    /// Tells the responder the unslowed time of a message, which sets the slowdown. Holds from the next round on.
    fn found_each_ns(&self, each_ns: f64) {
        self.page[SLOW].word.store(each_ns.to_bits(), Ordering::Release);
    }

    /// The delay of this process for each message of the current round. `None` if there is none.
    fn delay(&self) -> Option<impl Fn() + Copy + use<>> {
        let slow = self.slow.filter(|slow| slow.both || self.role == Role::Responder)?;
        let each_ns = f64::from_bits(self.page[SLOW].word.load(Ordering::Acquire));
        (each_ns > 0.0).then(|| slow.spinner.delay(each_ns * slow.part))
    }

    fn lossy(&self) -> bool {
        self.spec.reliability == Reliability::Lossy
    }

    /// Waits for the other process.
    fn meet(&self) -> Result<()> {
        self.barrier.meet()
    }

    /// The round trip of a cache line between the two hardware threads, in nanoseconds. Only the initiator gets a value.
    fn probe(&self) -> Option<f64> {
        let [mine, other] = lines(self.role).map(|line| &self.page[line]);
        match self.role {
            Role::Initiator => Some(crate::probe::measure(mine, other)),
            Role::Responder => {
                crate::probe::answer(mine, other);
                None
            }
        }
    }

    /// Announces a round of `count` messages, meets the responder, and returns the number of the round's first message.
    fn open_round(&mut self, count: u64) -> Result<u64> {
        self.page[ROUND].word.store(count, Ordering::Release);
        self.meet()?;
        let first = self.next;
        self.next = first.wrapping_add(count);
        Ok(first)
    }

    /// Waits for the next round. Returns the number of its first message and its length, or `None` at the end.
    fn join_round(&mut self) -> Result<Option<(u64, u64)>> {
        self.meet()?;
        let count = self.page[ROUND].word.load(Ordering::Acquire);
        let first = self.next;
        self.next = first.wrapping_add(count);
        Ok((count != STOP).then_some((first, count)))
    }

    /// Tells the responder that every message of the round, up to the stage's next number, has been sent.
    fn finish(&self) {
        self.page[FINISHED].word.store(self.next, Ordering::Release);
    }

    /// Tells the initiator how many messages of the round never arrived.
    fn report_lost(&self, lost: u64) {
        self.page[LOST].word.store(lost, Ordering::Release);
    }

    fn lost(&self) -> u64 {
        self.page[LOST].word.load(Ordering::Acquire)
    }

    fn is_finished(&self) -> bool {
        self.page[FINISHED].word.load(Ordering::Acquire) >= self.next
    }
}

fn lines(role: Role) -> [usize; 2] {
    match role {
        Role::Initiator => LINES,
        Role::Responder => [LINES[1], LINES[0]],
    }
}

/// Plays the part of `stage.role` from warm-up to the last round. The responder's sample holds only what it saw of itself.
///
/// # Errors The channel's error, or [`Error::Corrupt`](ipc_core::Error::Corrupt) if a payload differs from what was sent.
pub fn play<C: Driver>(
    pattern: Pattern,
    stage: &mut Stage<'_>,
    driver: &mut C,
    budget: Budget,
    probe: bool,
) -> Result<Sample> {
    if stage.lossy() {
        driver.set_timeout(Some(LOSS_TIMEOUT))?;
    }
    let mut sample = Sample { meter: budget.meter(stage.role), ..Sample::default() };
    stage.meet()?;
    if probe {
        sample.probe_ns[0] = stage.probe();
    }
    match (pattern, stage.role) {
        (Pattern::RoundTrip, Role::Initiator) => latency::lead(stage, driver, budget, &mut sample)?,
        (Pattern::RoundTrip, Role::Responder) => latency::follow(stage, driver, &mut sample)?,
        (Pattern::OneWay, Role::Initiator) => throughput::lead(stage, driver, budget, &mut sample)?,
        (Pattern::OneWay, Role::Responder) => throughput::follow(stage, driver, &mut sample)?,
    }
    if probe {
        sample.probe_ns[1] = stage.probe();
    }
    Ok(sample)
}

/// Runs rounds of doubling length until they have taken `warm_up`. The last round has at least [`WARM_UP_ROUND`] messages, and
/// no round is longer than the time left. Returns the nanoseconds per message of the fastest round: the first rounds wait for
/// the other process to start, and any round may be interrupted.
fn warm_up(
    stage: &mut Stage<'_>,
    warm_up: Duration,
    mut round: impl FnMut(&mut Stage<'_>, u64) -> Result<()>,
) -> Result<f64> {
    let start = Instant::now();
    let (mut count, mut each_ns) = (1, f64::INFINITY);
    loop {
        let lap = Instant::now();
        round(stage, count)?;
        each_ns = each_ns.min(lap.elapsed().as_nanos().max(1) as f64 / count as f64);
        let left = warm_up.saturating_sub(start.elapsed());
        if count >= WARM_UP_ROUND && left.is_zero() {
            return Ok(each_ns);
        }
        count = messages_in(left, each_ns, WARM_UP_ROUND).min(2 * count);
    }
}

/// Runs rounds until one takes at least half of `measure`. That round stays in `sample`. A disturbed warm-up overestimates the
/// time of a message, and in a round that is too short the edges outweigh the messages.
fn metered(
    sample: &mut Sample,
    measure: Duration,
    each_ns: f64,
    mut round: impl FnMut(u64, &mut Sample) -> Result<()>,
) -> Result<()> {
    let mut count = messages_in(measure, each_ns, METERED_ROUND);
    loop {
        round(count, sample)?;
        if u128::from(2 * sample.elapsed_ns) >= measure.as_nanos() {
            return Ok(());
        }
        count = messages_in(measure, sample.elapsed_ns as f64 / count as f64, 2 * count);
    }
}

/// The number of messages of `each_ns` nanoseconds that fill `time`, but at least `least`.
fn messages_in(time: Duration, each_ns: f64, least: u64) -> u64 {
    ((time.as_nanos() as f64 / each_ns) as u64).max(least)
}
