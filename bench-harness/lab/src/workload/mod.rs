//! What the two processes of a pair do once they stand: the conversation of a [`Role`], and what one measurement yields.
//!
//! Everything goes in rounds. The initiator writes how many messages the next round has, both meet at a barrier, and the
//! round runs. So the initiator can warm up by doubling until the time is used, then size the measured round, and the
//! responder need not look at any message to know when to stop.

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

/// How long a lossy mechanism waits for a message before it counts as lost.
const LOSS_TIMEOUT: Duration = Duration::from_millis(100);
/// The least length of the last round of a warm-up.
const WARM_UP_ROUND: u64 = 8;
/// The least length of a metered round: the acknowledgement at its end is a hundredth of a call per message at most.
const METERED_ROUND: u64 = 100;
/// The round length that ends a conversation.
const STOP: u64 = u64::MAX;
/// Lines of the shared page: a barrier and a probe for each role, the round's length, whether its sender
/// has finished, what was lost, and what a message takes that is to be slowed down.
const LINES: [usize; 2] = [0, 1];
const ROUND: usize = 2;
const FINISHED: usize = 3;
const LOST: usize = 4;
const SLOW: usize = 5;

/// What both processes of a pair share beside the channel under test.
pub struct Stage<'a> {
    page: &'a SharedPage,
    role: Role,
    barrier: Barrier<'a>,
    /// Messages of all rounds so far: the number of the next message.
    next: u64,
    spec: Spec,
    size: usize,
    slow: Option<Slow>,
}

/// A slowdown made on purpose.
#[derive(Clone, Copy)]
struct Slow {
    part: f64,
    /// Whether the initiator of a throughput run spins as well: where both run at once it may be the slower of the two.
    both: bool,
    spinner: Spinner,
}

impl<'a> Stage<'a> {
    /// The stage as `role` sees it.
    pub fn new(page: &'a SharedPage, role: Role, spec: Spec, size: usize) -> Self {
        let barrier = Barrier::new(&page[..LINES.len()], role as usize);
        Self { page, role, barrier, next: 0, spec, size, slow: None }
    }

    /// Slows every message down by `part` of what it takes by itself; the responder does, and where the two do not
    /// take turns on one thread the initiator as well.
    pub fn slow_down(&mut self, part: f64, takes_turns: bool) {
        self.slow = Some(Slow { part, both: !takes_turns, spinner: Spinner::calibrate() });
    }

    /// Tells the responder what a message takes by itself, from which the slowdown follows. Holds from the next round.
    fn found_each_ns(&self, each_ns: f64) {
        self.page[SLOW].word.store(each_ns.to_bits(), Ordering::Release);
    }

    /// What this process is to do beside each message of the round that has begun; `None` where nothing.
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

    /// The distance of the two hardware threads, as the initiator measures it.
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

    /// Announces a round of `count` messages and meets the responder; returns the number of its first message.
    fn open_round(&mut self, count: u64) -> Result<u64> {
        self.page[ROUND].word.store(count, Ordering::Release);
        self.meet()?;
        let first = self.next;
        self.next = first.wrapping_add(count);
        Ok(first)
    }

    /// Waits for the next round; returns the number of its first message and how many it has, `None` at the end.
    fn join_round(&mut self) -> Result<Option<(u64, u64)>> {
        self.meet()?;
        let count = self.page[ROUND].word.load(Ordering::Acquire);
        let first = self.next;
        self.next = first.wrapping_add(count);
        Ok((count != STOP).then_some((first, count)))
    }

    /// Tells the responder that every message of the round has been sent: all before this number.
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

/// Plays `stage.role` from warm-up to the last round. The responder's sample holds only what it saw of itself.
///
/// # Errors
/// What the channel returned, or [`Error::Corrupt`](ipc_core::Error::Corrupt) for a payload that is not what was sent.
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

/// Runs rounds of doubling length, at least up to [`WARM_UP_ROUND`] and none longer than what is left, until they have taken
/// `warm_up`; returns the nanoseconds
/// per message of the fastest round: the first ones wait for the other process to start, and any may be interrupted.
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

/// Runs rounds until one has taken half of `measure`: that one stays in `sample`. A warm-up that was disturbed takes a
/// message for slow, and in a round that is too short the edges weigh more than the messages.
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

/// How many messages of `each_ns` fill `time`; at least `least`.
fn messages_in(time: Duration, each_ns: f64, least: u64) -> u64 {
    ((time.as_nanos() as f64 / each_ns) as u64).max(least)
}
