//! Measures round trips. The initiator sends a message, and the responder checks it and sends one of its own back.

use super::{Driver, STOP, Stage, messages_in, metered, warm_up};
use crate::{
    clock,
    sample::{Budget, Sample},
};
use bench_record::{
    packed::{Packed, histogram},
    stats,
};
use hdrhistogram::Histogram;
use ipc_core::{Error, Result};
use std::time::{Duration, Instant};

/// Round trips shorter than this many clock readings are also timed in unstamped batches.
const CLOCK_BOUND: f64 = 20.0;
/// Round trips between two stamps of an unstamped batch. The stamp is at most a thousandth of their time.
const BATCH: u64 = 128;

/// The initiator's part: warms up, then measures.
pub fn lead(stage: &mut Stage<'_>, driver: &mut impl Driver, budget: Budget, sample: &mut Sample) -> Result<()> {
    let mut lost = 0;
    let each_ns = warm_up(stage, budget.warm_up(), |stage, count| {
        let first = stage.open_round(count)?;
        trips(stage, driver, first, count, &mut lost)
    })?;
    match budget {
        Budget::Messages(count) => lead_bare(stage, driver, count, sample)?,
        Budget::Metered { measure, .. } => {
            metered(sample, measure, each_ns, |count, sample| lead_bare(stage, driver, count, sample))?;
        }
        Budget::Time { measure, .. } => {
            let mut slower_ns = 0.0;
            if let Some(slow) = stage.slow {
                let mut unslowed = Sample::default();
                lead_stamped(stage, driver, measure / 2, each_ns, &mut unslowed)?;
                let p50_ns = unslowed.p50_ns().unwrap_or(each_ns);
                stage.found_each_ns(p50_ns);
                slower_ns = p50_ns * slow.part;
            }
            lead_stamped(stage, driver, measure, each_ns + slower_ns, sample)?;
        }
    }
    stage.open_round(STOP).map(drop)
}

/// Runs `count` round trips without stamps in between.
fn lead_bare(stage: &mut Stage<'_>, driver: &mut impl Driver, count: u64, sample: &mut Sample) -> Result<()> {
    let mut lost = 0;
    let first = stage.open_round(count)?;
    sample.timed(count, || trips(stage, driver, first, count, &mut lost))?;
    sample.lost = lost;
    Ok(())
}

/// Stamps every round trip before and after. If the stamps would distort the figure, also measures a window without a stamp for
/// each trip. `each_ns` is the approximate time of a round trip.
fn lead_stamped(
    stage: &mut Stage<'_>,
    driver: &mut impl Driver,
    measure: Duration,
    each_ns: f64,
    sample: &mut Sample,
) -> Result<()> {
    let mut lost = 0;
    let clock_ns = clock::read_cost_ns();
    let clock_bound = each_ns < CLOCK_BOUND * clock_ns;
    let mut histogram = histogram();
    // The stamps lengthen the stamped round, so its length includes their cost. The round trip does not.
    let stretch = if clock_bound { measure / 2 } else { measure };
    let count = messages_in(stretch, each_ns + 2.0 * clock_ns, 8);
    let first = stage.open_round(count)?;
    sample.timed(count, || stamped_trips(stage, driver, first, count, &mut histogram, &mut lost))?;
    if clock_bound {
        let batches = messages_in(stretch, each_ns * BATCH as f64, 8);
        let count = batches * BATCH;
        let mut batch_ns = Vec::with_capacity(batches as usize);
        let mut stretch = Sample::default();
        let first = stage.open_round(count)?;
        stretch.timed(count, || batched_trips(stage, driver, first, count, &mut batch_ns, &mut lost))?;
        sample.batch_mean_ns = Some(stretch.elapsed_ns as f64 / count as f64);
        sample.batch_p50_ns = stats::median(&mut batch_ns).map(|ns| ns / BATCH as f64);
        sample.preemptions += stretch.preemptions;
        sample.observed_ns += stretch.observed_ns;
    }
    sample.clock_read_ns = Some(clock_ns);
    sample.lost = lost;
    sample.histogram = Some(Packed::of(&histogram));
    Ok(())
}

fn trips(stage: &Stage<'_>, driver: &mut impl Driver, first: u64, count: u64, lost: &mut u64) -> Result<()> {
    for number in first..first + count {
        trip(stage.lossy(), driver, number, lost)?;
    }
    stage.finish();
    Ok(())
}

/// Takes a stamp after every [`BATCH`] round trips. `count` is a multiple of [`BATCH`].
fn batched_trips(
    stage: &Stage<'_>,
    driver: &mut impl Driver,
    first: u64,
    count: u64,
    batch_ns: &mut Vec<f64>,
    lost: &mut u64,
) -> Result<()> {
    let mut start = Instant::now();
    for batch in (first..first + count).step_by(BATCH as usize) {
        for number in batch..batch + BATCH {
            trip(stage.lossy(), driver, number, lost)?;
        }
        let end = Instant::now();
        batch_ns.push((end - start).as_nanos() as f64);
        start = end;
    }
    stage.finish();
    Ok(())
}

fn stamped_trips(
    stage: &Stage<'_>,
    driver: &mut impl Driver,
    first: u64,
    count: u64,
    histogram: &mut Histogram<u64>,
    lost: &mut u64,
) -> Result<()> {
    for number in first..first + count {
        let start = Instant::now();
        let arrived = trip(stage.lossy(), driver, number, lost)?;
        let took = start.elapsed().as_nanos() as u64;
        if arrived {
            histogram.saturating_record(took);
        }
    }
    stage.finish();
    Ok(())
}

/// Makes one round trip. Returns `false` if a lossy mechanism dropped the message or its answer.
#[inline]
fn trip(lossy: bool, driver: &mut impl Driver, number: u64, lost: &mut u64) -> Result<bool> {
    driver.send(number)?;
    if !lossy {
        return driver.recv(number).map(|()| true);
    }
    loop {
        match driver.recv_any() {
            Ok(answer) if answer == number => return Ok(true),
            // This answers a message that was given up.
            Ok(_) => {}
            Err(Error::TimedOut) => {
                *lost += 1;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The responder's part: answers every round.
pub fn follow(stage: &mut Stage<'_>, driver: &mut impl Driver, sample: &mut Sample) -> Result<()> {
    while let Some((first, count)) = stage.join_round()? {
        match stage.delay() {
            None => sample.timed(count, || answer(stage, driver, first, count, || ()))?,
            Some(delay) => sample.timed(count, || answer(stage, driver, first, count, delay))?,
        }
    }
    Ok(())
}

fn answer(stage: &Stage<'_>, driver: &mut impl Driver, first: u64, count: u64, delay: impl Fn()) -> Result<()> {
    if !stage.lossy() {
        for number in first..first + count {
            driver.recv(number)?;
            delay();
            driver.send(number)?;
        }
        return Ok(());
    }
    loop {
        match driver.recv_any() {
            Ok(number) => {
                delay();
                driver.send(number)?;
                if number + 1 == first + count {
                    return Ok(());
                }
            }
            Err(Error::TimedOut) if stage.is_finished() => return Ok(()),
            Err(Error::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
