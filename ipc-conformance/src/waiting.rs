//! What a call does while it cannot proceed: deadlines, back-pressure, interruption by signals.

use crate::{
    Clause, Verdict,
    link::Side,
    on_time,
    signals::{INTERVAL, Signals},
    stage::Stage,
};
use ipc_core::{Channel, Endpoint, Error, Framing, Reliability, Result};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

pub(crate) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    let message = C::SPEC.framing == Framing::Message;
    vec![
        Clause::new("deadline_of_recv", deadline_of_recv::<C>),
        Clause::new("deadline_of_send", deadline_of_send::<C>).if_reliable::<C>(),
        Clause::new("deadline_in_mid_message", deadline_in_mid_message::<C>)
            .unless(message, "a message arrives whole or not at all"),
        Clause::new("back_pressure", back_pressure::<C>).if_reliable::<C>(),
        Clause::new("interrupted_while_opening", interrupted_while_opening::<C>),
        Clause::new("interrupted", interrupted::<C>),
        Clause::new("interrupted_while_full", interrupted_while_full::<C>).if_reliable::<C>(),
        Clause::new("interrupted_before_the_deadline", interrupted_before_the_deadline::<C>),
    ]
}

pub(crate) const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_millis(40);
/// A deadline that nobody should need.
const AMPLE: Duration = Duration::from_secs(10);
/// Receives nothing until the deadline of `timeout`.
pub(crate) fn hear_nothing<E: Endpoint>(side: &mut Side<E>, timeout: Duration) -> Verdict {
    side.set_timeout(Some(timeout))?;
    hear_nothing_yet(side, timeout)
}

/// The same where that deadline is set already.
fn hear_nothing_yet<E: Endpoint>(side: &mut Side<E>, timeout: Duration) -> Verdict {
    on_time("recv", timeout, || {
        let began = Instant::now();
        side.hear_error(&Error::TimedOut)?;
        Ok(began.elapsed())
    })
}

/// Sends by `send` until the channel is full, and then until the deadline of `timeout`.
pub(crate) fn fill<E: Endpoint>(
    side: &mut Side<E>,
    timeout: Duration,
    mut send: impl FnMut(&mut E, &[u8]) -> Result<()>,
) -> Verdict {
    side.set_timeout(Some(timeout))?;
    on_time("send", timeout, || match side.fill_by(&mut send)? {
        (Error::TimedOut, took) => Ok(took),
        (error, _) => Err(format!("send to a full channel: '{error}' and not '{}'", Error::TimedOut)),
    })
}

/// Sends until the channel is full, and leaves it without a deadline. Returns how many messages were sent in all.
pub(crate) fn fill_up<E: Endpoint>(side: &mut Side<E>) -> std::result::Result<u64, String> {
    side.set_timeout(Some(Duration::from_millis(1)))?;
    match side.fill()? {
        (Error::TimedOut, _) => {}
        (error, _) => return Err(format!("send to a full channel: '{error}' and not '{}'", Error::TimedOut)),
    }
    side.set_timeout(None)?;
    Ok(side.counts().0)
}

/// `recv` returns `TimedOut` at its deadline, and the channel stays usable.
///
/// The deadline is set at the start, set later, set to zero, and removed. A message that is there in time is not
/// affected.
///
/// Why: a deadline that is early breaks the caller's promise, and one that is late holds up the caller.
///
/// A failing channel returns early, late (by more than 10 ms and a tenth), or not at all.
pub fn deadline_of_recv<C: Channel>(stage: &Stage) -> Verdict {
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
            hear_nothing_yet(here, LONG)?;
            hear_nothing(here, SHORT)?;
            // No time at all is a look.
            hear_nothing(here, Duration::ZERO)?;
            // What is there in time is not affected.
            here.set_timeout(Some(AMPLE))?;
            here.tell(0)?;
            here.hear(10)?;
            here.say(10)?;
            // Back to no deadline.
            hear_nothing(here, SHORT)?;
            here.set_timeout(None)?;
            here.tell(0)?;
            here.hear(1)
        },
    )
}

/// `send` to a full channel returns `TimedOut` at its deadline.
///
/// All messages before it arrive. The message that did not pass can be sent again. Lossy mechanisms skip the clause.
///
/// Why: a sender must be able to give up without losing its place.
///
/// A failing channel returns early, late or never, or delivers the message that it reported as timed out.
pub fn deadline_of_send<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let n = peer.learn()?;
            peer.hear(n)?;
            peer.hear(10)
        },
        |here| {
            for timeout in [LONG, SHORT, Duration::ZERO] {
                fill(here, timeout, |end, message| end.send(message))?;
            }
            here.set_timeout(None)?;
            here.tell(here.counts().0)?;
            here.say(10)
        },
    )
}

/// A byte stream goes on where a deadline stopped it.
///
/// The receiver times out with a part of a message. The same call with the same buffer then returns the whole message.
/// Message mechanisms skip the clause.
///
/// Why: part of the bytes has left the kernel, and nobody else has it.
///
/// A failing channel forgets the part, and then waits for bytes that have come already.
pub fn deadline_in_mid_message<C: Channel>(stage: &Stage) -> Verdict {
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

/// A full channel holds the sender back until there is room.
///
/// This happens several times in a row. Nothing is lost or torn. Lossy mechanisms skip the clause.
///
/// Why: a sender that is faster than its receiver is the usual case.
///
/// A failing channel drops a message, or does not wake the sender.
pub fn back_pressure<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            for _ in 0..3 {
                let full = peer.learn()?;
                peer.hear(full)?;
                // The sender meanwhile runs into the wall without a deadline.
                sleep(SHORT / 2);
                peer.hear(2 * full)?;
            }
            Ok(())
        },
        |here| {
            for _ in 0..3 {
                let (before, _) = here.counts();
                let full = fill_up(here)? - before;
                here.tell(full)?;
                here.say(2 * full)?;
            }
            Ok(())
        },
    )
}

/// [`Channel::pair`] succeeds while signals interrupt its system calls.
///
/// Why: a signal handler without `SA_RESTART` makes calls fail with `EINTR` (signal(7)).
///
/// A failing channel returns an error with `EINTR`.
pub fn interrupted_while_opening<C: Channel>(stage: &Stage) -> Verdict {
    let signals = Signals::start(INTERVAL)?;
    while signals.count() < 50 {
        stage.pair::<C>(&stage.options())?;
    }
    Ok(())
}

/// `send` and `recv` lose nothing while signals interrupt them.
///
/// Why: `EINTR` can arrive after part of a message has moved.
///
/// A failing channel returns `EINTR`, or repeats or loses part of a message.
pub fn interrupted<C: Channel>(stage: &Stage) -> Verdict {
    converse_among_signals::<C>(stage, |end, message| end.send(message), |end, buffer| end.recv(buffer))
}

/// [`interrupted`] by `send` and `recv`.
pub(crate) fn converse_among_signals<C: Channel>(
    stage: &Stage,
    send: impl Fn(&mut C::Endpoint, &[u8]) -> Result<()>,
    recv: impl Fn(&mut C::Endpoint, &mut [u8]) -> Result<usize>,
) -> Verdict {
    let (batch, enough) = (100, 200);
    stage.between::<C>(
        |peer| {
            let signals = Signals::start(INTERVAL)?;
            while peer.learn()? == 1 {
                (0..batch).try_for_each(|_| peer.hear_by(1, &recv).and_then(|()| peer.say_by(1, &send)))?;
                peer.tell(signals.count())?;
            }
            Ok(())
        },
        |here| {
            let signals = Signals::start(INTERVAL)?;
            let mut of_peer = 0;
            while signals.count().min(of_peer) < enough || here.counts().0 < stage.rounds(1000) {
                here.tell(1)?;
                (0..batch).try_for_each(|_| here.say_by(1, &send).and_then(|()| here.hear_by(1, &recv)))?;
                of_peer = here.learn()?;
            }
            here.tell(0)
        },
    )
}

/// A sender that a full channel holds back goes on waiting when a signal interrupts it.
///
/// The clause runs until enough signals have come. Lossy mechanisms skip it.
///
/// Why: the sender sleeps in another call than one that has room.
///
/// A failing channel returns `EINTR`, or sends a message twice.
pub fn interrupted_while_full<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let _signals = Signals::start(INTERVAL)?;
            let full = peer.learn()?;
            peer.hear(full)?;
            while peer.learn()? == 1 {
                nap(SHORT / 3);
                peer.hear(full)?;
            }
            Ok(())
        },
        |here| {
            let full = fill_up(here)?;
            here.tell(full)?;
            let signals = Signals::start(INTERVAL)?;
            let mut rounds = 0;
            while rounds < 5 || signals.count() < 10 {
                here.tell(1)?;
                here.say(full)?;
                rounds += 1;
            }
            here.tell(0)
        },
    )
}

/// Signals neither shorten nor prolong a deadline.
///
/// Why: a call that starts its whole wait anew after each signal never ends, and one that counts a signal as the
/// deadline ends early.
///
/// A failing channel returns `TimedOut` early or late, or `EINTR`.
pub fn interrupted_before_the_deadline<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let sent = peer.learn()?;
            peer.hear(sent)?;
            peer.say(1)
        },
        |here| {
            let signals = Signals::start(INTERVAL)?;
            hear_nothing(here, LONG)?;
            while signals.count() < 20 {
                hear_nothing(here, SHORT)?;
            }
            if C::SPEC.reliability == Reliability::Reliable {
                fill(here, SHORT, |end, message| end.send(message))?;
            }
            here.set_timeout(None)?;
            here.tell(here.counts().0)?;
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
