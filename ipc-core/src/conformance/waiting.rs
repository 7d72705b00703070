//! What a call does while it cannot proceed: deadlines, back-pressure, interruption by signals.

use super::{Clause, Verdict, link::Side, stage::Stage, storm::Storm};
use crate::{Channel, Endpoint, Error, Framing};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

pub(super) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    let message = C::SPEC.framing == Framing::Message;
    vec![
        Clause::new("deadline_of_recv", deadline_of_recv::<C>),
        Clause::new("deadline_of_send", deadline_of_send::<C>).if_reliable::<C>(),
        Clause::new("deadline_in_mid_message", deadline_in_mid_message::<C>)
            .unless(message, "a message arrives whole or not at all"),
        Clause::new("back_pressure", back_pressure::<C>).if_reliable::<C>(),
        Clause::new("interrupted", interrupted::<C>),
        Clause::new("interrupted_while_full", interrupted_while_full::<C>).if_reliable::<C>(),
        Clause::new("interrupted_before_the_deadline", interrupted_before_the_deadline::<C>),
    ]
}

/// How much later than its deadline a call may come back on a machine that others use, too.
const SLACK: Duration = Duration::from_millis(500);
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(80);
/// Time between two signals of a storm.
const INTERVAL: Duration = Duration::from_micros(100);

/// Whether a call with a deadline of `timeout` took as long as it should have.
pub(super) fn in_time(what: &str, timeout: Duration, took: Duration) -> Verdict {
    if (timeout..timeout + SLACK).contains(&took) {
        Ok(())
    } else {
        Err(format!("{what} with a deadline of {timeout:?} returned after {took:?}"))
    }
}

/// Receives nothing until the deadline of `timeout`.
fn hear_nothing<E: Endpoint>(side: &mut Side<E>, timeout: Duration) -> Verdict {
    let began = Instant::now();
    side.hear_error(&Error::TimedOut)?;
    in_time("recv", timeout, began.elapsed())
}

/// Fills the channel until the deadline of `timeout`.
fn fill<E: Endpoint>(side: &mut Side<E>, timeout: Duration) -> Verdict {
    match side.fill()? {
        (Error::TimedOut, took) => in_time("send", timeout, took),
        (error, _) => Err(format!("send to a full channel: '{error}' and not '{}'", Error::TimedOut)),
    }
}

/// `recv` gives up at its deadline, whether set at the start or later; the channel is usable then.
fn deadline_of_recv<C: Channel>(stage: &Stage) -> Verdict {
    stage.between_with::<C>(
        &stage.options_within(LONG),
        |peer| {
            peer.set_timeout(None)?;
            peer.learn()?;
            peer.say(10)?;
            peer.hear(10)?;
            peer.learn()?;
            peer.say(1)
        },
        |here| {
            hear_nothing(here, LONG)?;
            here.set_timeout(Some(SHORT))?;
            hear_nothing(here, SHORT)?;
            // What is there in time is not affected.
            here.set_timeout(Some(SLACK))?;
            here.tell(0)?;
            here.hear(10)?;
            here.say(10)?;
            // Back to no deadline.
            here.set_timeout(Some(SHORT))?;
            hear_nothing(here, SHORT)?;
            here.set_timeout(None)?;
            here.tell(0)?;
            here.hear(1)
        },
    )
}

/// `send` to a full channel gives up at its deadline; all that was sent arrives, and the message that did not pass can
/// be sent again.
fn deadline_of_send<C: Channel>(stage: &Stage) -> Verdict {
    stage.between_with::<C>(
        &stage.options_within(LONG),
        |peer| {
            peer.set_timeout(None)?;
            let n = peer.learn()?;
            peer.hear(n)?;
            peer.hear(10)
        },
        |here| {
            fill(here, LONG)?;
            here.set_timeout(Some(SHORT))?;
            fill(here, SHORT)?;
            here.set_timeout(None)?;
            here.tell(here.counts().0)?;
            here.say(10)
        },
    )
}

/// A stream's message that a deadline interrupts goes on where it stopped.
fn deadline_in_mid_message<C: Channel>(stage: &Stage) -> Verdict {
    let parts = [40, 7, 53];
    stage.between_with::<C>(
        &stage.options_within(SHORT),
        |peer| {
            for part in parts {
                peer.say_bytes(part)?;
                peer.learn()?;
            }
            Ok(())
        },
        |here| {
            let mut buffer = [0; 100];
            for _ in 1..parts.len() {
                match here.end().recv(&mut buffer) {
                    Err(Error::TimedOut) => here.tell(0)?,
                    other => return Err(format!("recv of a part: {other:?}")),
                }
            }
            here.set_timeout(None)?;
            let len = here.end().recv(&mut buffer).map_err(|error| format!("recv of the rest: {error}"))?;
            here.tell(0)?;
            let expected = parts.map(|part| here.expected_bytes(part)).concat();
            if buffer[..len] == expected { Ok(()) } else { Err(format!("the parts came as {:?}", &buffer[..len])) }
        },
    )
}

/// A full channel holds the sender back until there is room, over and over; nothing is lost or torn.
fn back_pressure<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            for _ in 0..3 {
                let full = peer.learn()?;
                peer.hear(full)?;
                // The sender meanwhile runs into the wall without a deadline.
                sleep(SHORT);
                peer.hear(2 * full)?;
            }
            Ok(())
        },
        |here| {
            for _ in 0..3 {
                let (before, _) = here.counts();
                here.set_timeout(Some(SHORT))?;
                fill(here, SHORT)?;
                let full = here.counts().0 - before;
                here.set_timeout(None)?;
                here.tell(full)?;
                here.say(2 * full)?;
            }
            Ok(())
        },
    )
}

/// Signals whose handlers let system calls fail with `EINTR` lose nothing, in either direction.
fn interrupted<C: Channel>(stage: &Stage) -> Verdict {
    let batch = 100;
    stage.between::<C>(
        |peer| {
            let _storm = Storm::rise(INTERVAL)?;
            while peer.learn()? == 1 {
                (0..batch).try_for_each(|_| peer.hear(1).and_then(|()| peer.say(1)))?;
            }
            Ok(())
        },
        |here| {
            let storm = Storm::rise(INTERVAL)?;
            while storm.signals() < 200 || here.counts().0 < stage.rounds(3000) {
                here.tell(1)?;
                (0..batch).try_for_each(|_| here.say(1).and_then(|()| here.hear(1)))?;
            }
            here.tell(0)
        },
    )
}

/// The same for a sender that a full channel holds back.
fn interrupted_while_full<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let _storm = Storm::rise(INTERVAL)?;
            let full = peer.learn()?;
            peer.hear(full)?;
            for _ in 0..5 {
                nap(SHORT);
                peer.hear(full)?;
            }
            Ok(())
        },
        |here| {
            here.set_timeout(Some(SHORT))?;
            fill(here, SHORT)?;
            let full = here.counts().0;
            here.set_timeout(None)?;
            here.tell(full)?;
            let _storm = Storm::rise(INTERVAL)?;
            here.say(5 * full)
        },
    )
}

/// Signals neither shorten nor prolong a deadline.
fn interrupted_before_the_deadline<C: Channel>(stage: &Stage) -> Verdict {
    stage.between_with::<C>(
        &stage.options_within(LONG),
        |peer| {
            peer.learn()?;
            peer.say(1)
        },
        |here| {
            let storm = Storm::rise(INTERVAL)?;
            hear_nothing(here, LONG)?;
            if storm.signals() < 10 {
                return Err(format!("only {} signals came: the clause has tested nothing", storm.signals()));
            }
            here.set_timeout(None)?;
            here.tell(0)?;
            here.hear(1)
        },
    )
}

/// Lets signals pass; unlike one `sleep`, whose remainder is slept in ever smaller pieces.
fn nap(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(INTERVAL);
    }
}
