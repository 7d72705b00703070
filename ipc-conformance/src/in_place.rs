//! Payload that is written where the channel takes it from, and read where it lies or into a buffer.
//!
//! The names that the tests print have the prefix `in_place_`. A channel that is [`InPlace`]
//! receives by `recv_with` in these clauses, and one that is only [`SendInPlace`] by `recv`.

use crate::{
    Clause, Verdict,
    close::hear_the_end,
    killing::{kill_receiver, kill_sender},
    link::{Side, noise},
    on_time,
    stage::Stage,
    waiting::{SHORT, converse_among_signals, fill},
};
use ipc_core::{Channel, Endpoint, Error, Framing, InPlace, Options, Result, SendInPlace};
use nix::sys::signal::{Signal, raise};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// For channels that can do both in place.
pub(crate) fn clauses<C: Channel<Endpoint: InPlace> + 'static>() -> Vec<Clause> {
    let mut clauses = common::<C, Direct>();
    clauses.extend([
        Clause::new("in_place_early_return", early_return::<C>),
        Clause::new("in_place_killed_while_reading", killed_while_reading::<C>),
    ]);
    clauses
}

/// For channels whose receivers need a buffer.
pub(crate) fn send_clauses<C: Channel<Endpoint: SendInPlace> + 'static>() -> Vec<Clause> {
    common::<C, Buffered>()
}

fn common<C: Channel<Endpoint: SendInPlace> + 'static, T: Taking<C::Endpoint>>() -> Vec<Clause> {
    let message = C::SPEC.framing == Framing::Message;
    vec![
        Clause::new("in_place_order_and_content", order_and_content::<C, T>),
        Clause::new("in_place_mixed_with_copying", mixed_with_copying::<C, T>),
        Clause::new("in_place_reuse", reuse::<C, T>),
        Clause::new("in_place_limits", limits::<C, T>),
        Clause::new("in_place_deadlines", deadlines::<C, T>),
        Clause::new("in_place_deadline_in_mid_message", deadline_in_mid_message::<C, T>)
            .unless(message, "a message arrives whole or not at all"),
        Clause::new("in_place_interrupted", interrupted::<C, T>),
        Clause::new("in_place_peer_gone", peer_gone::<C, T>),
        Clause::new("in_place_killed_sender", killed_sender::<C, T>),
        Clause::new("in_place_killed_receiver", killed_receiver::<C, T>),
        Clause::new("in_place_killed_while_writing", killed_while_writing::<C, T>),
    ]
}

/// How the receiver takes what was produced in place.
pub trait Taking<E> {
    /// The call.
    const CALL: &'static str;

    /// Receives a message into the front of `buffer`.
    fn take(end: &mut E, buffer: &mut [u8]) -> Result<usize>;
}

/// From where it lies.
struct Direct;

impl<E: InPlace> Taking<E> for Direct {
    const CALL: &'static str = "recv_with";

    fn take(end: &mut E, buffer: &mut [u8]) -> Result<usize> {
        end.recv_with(|slot| {
            assert_eq!(slot.as_ptr().align_offset(8), 0, "the slot to read is not aligned to 8 bytes");
            buffer[..slot.len()].copy_from_slice(slot);
            slot.len()
        })
    }
}

/// Into a buffer of its own.
struct Buffered;

impl<E: Endpoint> Taking<E> for Buffered {
    const CALL: &'static str = "recv";

    fn take(end: &mut E, buffer: &mut [u8]) -> Result<usize> {
        end.recv(buffer)
    }
}

fn write<E: SendInPlace>(end: &mut E, message: &[u8]) -> Result<()> {
    end.send_with(message.len(), |slot| {
        assert_eq!(slot.as_ptr().align_offset(8), 0, "the slot to write is not aligned to 8 bytes");
        slot.copy_from_slice(message);
    })
}

/// Messages that are written in place arrive once, in order and unchanged.
///
/// Each slot is aligned to 8 bytes and as long as the message.
///
/// Why: callers cast slots to types of their own.
///
/// A failing channel hands out a slot that is unaligned, too long or still in use.
pub fn order_and_content<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    let n = stage.rounds(20_000);
    stage.between::<C>(|peer| peer.hear_by(n, T::take), |here| here.say_by(n, write))
}

/// Writing in place and copying work together on one link, in every combination.
///
/// Why: the two paths must agree on positions and lengths.
///
/// A failing channel alters a message, or waits for one that has come.
pub fn mixed_with_copying<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    let n = stage.rounds(1000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|i| if i % 2 == 0 { peer.hear(1) } else { peer.hear_by(1, T::take) }),
        |here| (0..n).try_for_each(|i| if i % 3 == 0 { here.say(1) } else { here.say_by(1, write) }),
    )
}

/// A slot is not written again while its message can still be read.
///
/// The sender is faster than a receiver that pauses now and then. So the channel is full most of the time, over many
/// times what it holds, with short and with long messages.
///
/// Why: a mechanism that passes memory by reference must know when the reader is done.
///
/// A failing channel delivers a message that its successor has overwritten in part.
pub fn reuse<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    let n = stage.rounds(2500);
    for longest in [64, 5000, 64 << 10] {
        let options = Options { max_message: Some(longest), ..stage.options() };
        if matches!(C::pair(&options), Err(Error::TooLarge { max, .. }) if max >= 64) {
            continue;
        }
        stage.between_with::<C>(
            &options,
            |peer| {
                for _ in 0..n / 25 {
                    sleep(PAUSE);
                    peer.hear_by(25, T::take)?;
                }
                Ok(())
            },
            |here| here.say_by(n, write),
        )?;
    }
    Ok(())
}

/// Long enough for a sender to fill any channel.
const PAUSE: Duration = Duration::from_micros(500);

/// A message at the limit passes. One byte more is `TooLarge`.
///
/// The closure does not run for the message that is refused, and the channel goes on. Channels without a limit skip the
/// clause.
///
/// Why: the closure has effects of its own.
///
/// A failing channel runs the closure, or writes past the slot.
pub fn limits<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    stage.has_a_limit::<C>()?;
    stage.between::<C>(
        |peer| {
            let max = peer.end().max_message();
            let expected = noise(1, max);
            let mut buffer = vec![0; max];
            let len = T::take(peer.end(), &mut buffer).map_err(|error| error.to_string())?;
            peer.hear_by(10, T::take)?;
            if buffer[..len] == expected {
                Ok(())
            } else {
                Err(format!("a message of {max} bytes came as something else"))
            }
        },
        |here| {
            let max = here.end().max_message();
            let message = noise(1, max);
            write(here.end(), &message).map_err(|error| format!("{max} bytes: {error}"))?;
            let mut filled = false;
            match here.end().send_with(max + 1, |_| filled = true) {
                Err(Error::TooLarge { len, max: limit }) if (len, limit) == (max + 1, max) => {}
                other => return Err(format!("{} bytes where {max} are the limit: {other:?}", max + 1)),
            }
            if filled {
                return Err("a message that is too large was filled".into());
            }
            here.say_by(10, write)
        },
    )
}

/// A reader that looks at nothing, or at part of a message, has received it.
///
/// Its room is free, and the next message follows.
///
/// Why: the value that the closure returns must not decide what is received.
///
/// A failing channel delivers the message again, or runs full.
pub fn early_return<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    let (len, n) = (1000, stage.rounds(20_000));
    stage.between::<C>(
        |peer| {
            for i in 0..n {
                let glance = |slot: &[u8]| if i % 2 == 0 { Err(slot.len()) } else { Ok(slot[0]) };
                let seen = peer.end().recv_with(glance).map_err(|error| format!("message {i}: {error}"))?;
                if seen != if i % 2 == 0 { Err(len) } else { Ok(i as u8) } {
                    return Err(format!("message {i} was seen as {seen:?}"));
                }
            }
            peer.hear(1)
        },
        |here| {
            for i in 0..n {
                here.end().send_with(len, |slot| slot[0] = i as u8).map_err(|error| format!("message {i}: {error}"))?;
            }
            here.say(1)
        },
    )
}

/// `send_with` and the receiving call return `TimedOut` at their deadline, and the closures have not run.
///
/// Why: a closure that ran means a message that was sent.
///
/// A failing channel returns early, late or never, or runs the closure.
pub fn deadlines<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    let timeout = Duration::from_millis(15);
    stage.between_with::<C>(
        &stage.options_within(timeout),
        |peer| {
            peer.set_timeout(None)?;
            let n = peer.learn()?;
            peer.hear(n)?;
            peer.hear_by(10, T::take)
        },
        |here| {
            on_time(T::CALL, timeout, || {
                let began = Instant::now();
                match T::take(here.end(), &mut [0]) {
                    Err(Error::TimedOut) => Ok(began.elapsed()),
                    other => Err(format!("{} of nothing: {other:?}", T::CALL)),
                }
            })?;
            fill(here, timeout, write)?;
            stay_full(here)?;
            here.set_timeout(None)?;
            here.tell(here.counts().0)?;
            here.say_by(10, write)
        },
    )
}

/// Sends until a message times out whose closure has not run.
///
/// The kernel may find room in a full channel, for instance when it passes on what a socket has taken. Then more messages fit, and
/// the last may fit in part.
fn stay_full<E: SendInPlace>(side: &mut Side<E>) -> Verdict {
    let mut in_part = None;
    loop {
        let mut filled = false;
        let (error, _) = side.fill_by(|end, message| {
            filled = false;
            end.send_with(message.len(), |slot| {
                filled = true;
                slot.copy_from_slice(message);
            })
        })?;
        let number = side.counts().0;
        match error {
            Error::TimedOut if !filled => return Ok(()),
            Error::TimedOut if side.is_stream() && in_part != Some(number) => in_part = Some(number),
            error => return Err(format!("send_with to a full channel: '{error}' (filled: {filled})")),
        }
    }
}

/// A message of a byte stream that a deadline stops is written once.
///
/// The next call with the same length goes on where it stopped, without running the closure again. Message mechanisms
/// skip the clause.
///
/// Why: part of the message has gone, and the closure may write something else the second time.
///
/// A failing channel runs the closure again.
pub fn deadline_in_mid_message<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    const LEN: usize = 1 << 20;
    let options = Options { max_message: Some(LEN), ..stage.options_within(SHORT) };
    stage.between_with::<C>(
        &options,
        |peer| {
            peer.set_timeout(None)?;
            let mut buffer = vec![0; LEN];
            for i in 0..peer.learn()? {
                let len = T::take(peer.end(), &mut buffer).map_err(|error| format!("message {i}: {error}"))?;
                if buffer[..len] != noise(i, LEN) {
                    return Err(format!("message {i} of {LEN} bytes came as something else"));
                }
            }
            peer.hear_by(10, T::take)
        },
        |here| {
            let (mut fills, mut sent) = (0, 0);
            let mut send = |end: &mut C::Endpoint, number| {
                end.send_with(LEN, |slot| {
                    fills += 1;
                    slot.copy_from_slice(&noise(number, LEN));
                })
            };
            let mut stopped = 0;
            while stopped < 3 {
                match send(here.end(), sent) {
                    // Also after a deadline: the kernel may have found room meanwhile.
                    Ok(()) if sent < 64 => (sent, stopped) = (sent + 1, 0),
                    Err(Error::TimedOut) => stopped += 1,
                    other => return Err(format!("send_with of message {sent}, after {stopped} deadlines: {other:?}")),
                }
            }
            here.set_timeout(None)?;
            here.tell(sent + 1)?;
            send(here.end(), sent).map_err(|error| format!("send_with of the rest: {error}"))?;
            if fills != sent + 1 {
                return Err(format!("{} messages were filled {fills} times", sent + 1));
            }
            here.say_by(10, write)
        },
    )
}

/// `send_with` and the receiving call lose nothing while signals interrupt them.
///
/// Why: they make other system calls than `send` and `recv`.
///
/// A failing channel returns `EINTR`, or loses or repeats part of a message.
pub fn interrupted<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    converse_among_signals::<C>(stage, write, T::take)
}

/// A `SIGKILL` of the writer at any moment of a transfer leaves whole messages only.
///
/// All that was sent arrives, and then the receiving call returns `PeerGone`.
///
/// Why: the writer can die between writing the payload and publishing it.
///
/// A failing channel delivers a torn message, or loses one.
pub fn killed_sender<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    kill_sender::<C>(stage, write, T::take)
}

/// A writer learns of a `SIGKILL` of the reader at any moment of a transfer.
///
/// Why: the reader may hold a slot when it dies.
///
/// A failing channel hangs.
pub fn killed_receiver<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    kill_receiver::<C>(stage, write, T::take)
}

/// A message whose writer is killed within the closure is no message.
///
/// Why: half of the slot holds the bytes of an earlier message.
///
/// A failing channel publishes the slot before the closure has returned.
pub fn killed_while_writing<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say_by(5, write)?;
            peer.be_heard()?;
            let half = peer.end().send_with(1000, |slot| {
                slot[..500].fill(1);
                let _ = raise(Signal::SIGKILL);
            });
            Err(format!("still alive after {half:?}"))
        },
        |here| {
            here.at_most(256).hear_by(5, T::take)?;
            here.let_go()?;
            read_the_end::<_, T>(here)
        },
    )
}

/// A writer learns that its reader was killed within the closure.
///
/// Why: the reader's room is never given back.
///
/// A failing channel hangs.
pub fn killed_while_reading<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let seen = peer.end().recv_with(|_| raise(Signal::SIGKILL));
            Err(format!("still alive after {seen:?}"))
        },
        write_until_the_end,
    )
}

/// Reads the end, and again the end.
fn read_the_end<E: SendInPlace, T: Taking<E>>(side: &mut Side<E>) -> Verdict {
    match T::take(side.end(), &mut [0; 1000]) {
        Err(Error::PeerGone { .. }) => hear_the_end(side),
        other => Err(format!("{} after the end: {other:?}", T::CALL)),
    }
}

/// Writes until the end of the peer shows.
fn write_until_the_end<E: SendInPlace>(side: &mut Side<E>) -> Verdict {
    match side.fill_by(write)? {
        (error, _) if error.is_peer_gone() => Ok(()),
        (error, _) => Err(format!("send_with after the end: '{error}'")),
    }
}

/// What was written before the peer was killed arrives. Then both calls return `PeerGone`.
///
/// Why: these calls have to look after the peer as `send` and `recv` do.
///
/// A failing channel hangs, or reports the end while messages are left.
pub fn peer_gone<C: Channel<Endpoint: SendInPlace>, T: Taking<C::Endpoint>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say_by(5, write)?;
            peer.be_heard()?;
            peer.die()
        },
        |here| {
            here.at_most(256).hear_by(5, T::take)?;
            here.let_go()?;
            read_the_end::<_, T>(here)?;
            write_until_the_end(here)
        },
    )
}
