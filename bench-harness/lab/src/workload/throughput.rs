//! Measures messages in one direction. The initiator sends, and the responder checks every message and acknowledges the last.
//!
//! The clock runs from the barrier until the sender holds the acknowledgement. So the time includes what lies in buffers when
//! the last send returns. Lossy mechanisms do not hold the sender back. For them the responder grants credit, one window of
//! messages at a time, and counts what does not arrive as lost.

use super::{Driver, STOP, Stage, messages_in, metered, warm_up};
use crate::sample::{Budget, Sample};
use ipc_core::{Error, Result};

/// The note that acknowledges a whole round. A credit note carries a message's number instead.
const DONE: u64 = u64::MAX;
/// Bytes that a lossy mechanism may have in flight, and the kernel's extra account of each datagram (`skb->truesize`). Together
/// they stay well inside the default receive buffer (208 KiB, `net.core.rmem_default`).
const WINDOW_BYTES: usize = 64 << 10;
const DATAGRAM_OVERHEAD: usize = 1 << 10;

fn window(size: usize) -> u64 {
    (WINDOW_BYTES / (size + DATAGRAM_OVERHEAD)).max(1) as u64
}

/// The initiator's part: warms up, then sends for the measured time.
pub fn lead(stage: &mut Stage<'_>, driver: &mut impl Driver, budget: Budget, sample: &mut Sample) -> Result<()> {
    let each_ns = warm_up(stage, budget.warm_up(), |stage, count| {
        let first = stage.open_round(count)?;
        send_all(stage, driver, first, count, || ())
    })?;
    let mut round = |stage: &mut Stage<'_>, count, sample: &mut Sample| {
        let first = stage.open_round(count)?;
        match stage.delay() {
            None => sample.timed(count, || send_all(stage, driver, first, count, || ()))?,
            Some(delay) => sample.timed(count, || send_all(stage, driver, first, count, delay))?,
        }
        sample.lost = stage.lost();
        Ok(())
    };
    match budget {
        Budget::Time { measure, .. } => {
            let mut count = messages_in(measure, each_ns, 4);
            if let Some(slow) = stage.slow {
                let mut unslowed = Sample::default();
                round(stage, count, &mut unslowed)?;
                let each_ns = unslowed.elapsed_ns as f64 / count as f64;
                stage.found_each_ns(each_ns);
                count = messages_in(measure, each_ns * (1.0 + slow.part), 4);
            }
            round(stage, count, sample)?;
        }
        Budget::Messages(count) => round(stage, count, sample)?,
        Budget::Metered { measure, .. } => {
            metered(sample, measure, each_ns, |count, sample| round(stage, count, sample))?;
        }
    }
    stage.open_round(STOP).map(drop)
}

fn send_all(stage: &Stage<'_>, driver: &mut impl Driver, first: u64, count: u64, delay: impl Fn()) -> Result<()> {
    if stage.lossy() {
        return send_in_windows(stage, driver, first, count, delay);
    }
    for number in first..first + count {
        delay();
        driver.send(number)?;
    }
    match driver.recv_note()? {
        DONE => Ok(()),
        _ => Err(Error::Corrupt { what: "the acknowledgement is not what was sent" }),
    }
}

fn send_in_windows(
    stage: &Stage<'_>,
    driver: &mut impl Driver,
    first: u64,
    count: u64,
    delay: impl Fn(),
) -> Result<()> {
    let window = window(stage.size);
    for number in first..first + count {
        delay();
        driver.send(number)?;
        if (number - first + 1).is_multiple_of(window) {
            await_note(driver, number)?;
        }
    }
    stage.finish();
    // If the last message was dropped, the responder notices one deadline later than this side. The acknowledgement goes into
    // an empty buffer. If even that is dropped, the round has no end that could be timed.
    for _ in 0..4 {
        if await_note(driver, DONE)? {
            return Ok(());
        }
    }
    Err(Error::TimedOut)
}

/// Waits for the note `wanted` and skips late notes. Returns `false` if no note came within the deadline. A window whose last
/// message was dropped gets no credit, and the sender goes on without it.
fn await_note(driver: &mut impl Driver, wanted: u64) -> Result<bool> {
    loop {
        match driver.recv_note() {
            Ok(note) if note == wanted => return Ok(true),
            Ok(_) => {}
            Err(Error::TimedOut) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// The responder's part: receives and acknowledges every round.
pub fn follow(stage: &mut Stage<'_>, driver: &mut impl Driver, sample: &mut Sample) -> Result<()> {
    while let Some((first, count)) = stage.join_round()? {
        match stage.delay() {
            None => sample.timed(count, || recv_all(stage, driver, first, count, || ()))?,
            Some(delay) => sample.timed(count, || recv_all(stage, driver, first, count, delay))?,
        }
    }
    Ok(())
}

fn recv_all(stage: &Stage<'_>, driver: &mut impl Driver, first: u64, count: u64, delay: impl Fn()) -> Result<()> {
    if stage.lossy() {
        recv_in_windows(stage, driver, first, count, delay)?;
    } else {
        for number in first..first + count {
            driver.recv(number)?;
            delay();
        }
    }
    driver.send_note(DONE)
}

fn recv_in_windows(
    stage: &Stage<'_>,
    driver: &mut impl Driver,
    first: u64,
    count: u64,
    delay: impl Fn(),
) -> Result<()> {
    let window = window(stage.size);
    let mut received = 0;
    loop {
        match driver.recv_any() {
            // This message is late: it belongs to a round that gave it up.
            Ok(number) if number < first => {}
            Ok(number) => {
                delay();
                received += 1;
                if (number - first + 1).is_multiple_of(window) {
                    driver.send_note(number)?;
                }
                if number + 1 == first + count {
                    break;
                }
            }
            Err(Error::TimedOut) if stage.is_finished() => break,
            Err(Error::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    stage.report_lost(count.saturating_sub(received));
    Ok(())
}
