//! What arrives: order, content, boundaries, limits.
//!
//! Both processes of a pair know every message in advance. So each clause compares all of what arrives with what was
//! sent.

use crate::{
    Clause, Verdict,
    link::{GONE, noise},
    stage::Stage,
};
use ipc_core::{Buffer, Channel, Endpoint, Error, Framing, Options};

pub(crate) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    let stream = C::SPEC.framing == Framing::Stream;
    let message = "a byte stream has no messages of its own";
    vec![
        Clause::new("order_and_content", order_and_content::<C>),
        Clause::new("echo", echo::<C>),
        Clause::new("duplex", duplex::<C>),
        Clause::new("empty_message", empty_message::<C>),
        Clause::new("sizes_up_to_the_limit", sizes_up_to_the_limit::<C>),
        Clause::new("over_the_limit", over_the_limit::<C>),
        Clause::new("short_buffer", short_buffer::<C>).unless(stream, message),
        Clause::new("asked_for_sizes", asked_for_sizes::<C>),
        Clause::new("buffers", buffers::<C>),
        Clause::new("two_channels", two_channels::<C>),
    ]
}

/// Messages arrive once, in order and unchanged.
///
/// One side sends 100,000 messages of mixed lengths. The other compares each with the original, and both compare a
/// checksum at the end.
///
/// Why: this is what a channel is for. Lengths change at words, cache lines and pages, because errors in copying show
/// there.
///
/// A failing channel drops, repeats, reorders or alters a message, or joins two.
pub fn order_and_content<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(100_000);
    stage.between::<C>(
        |peer| {
            peer.hear(n)?;
            peer.tell(peer.checksum())
        },
        |here| {
            here.say(n)?;
            match here.learn()? {
                sum if sum == here.checksum() => Ok(()),
                sum => Err(format!("checksum {:#x} was sent and {sum:#x} received", here.checksum())),
            }
        },
    )
}

/// Both directions work in turns.
///
/// One side sends a message and waits for the answer, 2000 times.
///
/// Why: most users make requests and wait. Both ends sleep between messages, so this also shows a lost wake-up.
///
/// A failing channel alters an answer, or hangs because one end was not woken.
pub fn echo<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(2000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|_| peer.hear(1).and_then(|()| peer.say(1))),
        |here| (0..n).try_for_each(|_| here.say(1).and_then(|()| here.hear(1))),
    )
}

/// Both directions work at the same time.
///
/// Both sides send four messages before either receives. Requests cross, and nobody receives its own message.
///
/// Why: the two directions must not share a buffer or a position.
///
/// A failing channel returns a side's own message to it, or lets one direction block the other.
pub fn duplex<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(2000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|_| peer.at_most(256).say(4).and_then(|()| peer.hear(4))),
        |here| (0..n).try_for_each(|_| here.at_most(256).say(4).and_then(|()| here.hear(4))),
    )
}

/// An empty message is nothing in a byte stream, and a message like any other in a message mechanism.
///
/// Over a byte stream `send` and `recv` of no bytes return at once. A message mechanism delivers the empty message, and
/// its receiver can tell it from the end of the peer.
///
/// Why: `read` and `recv` of the kernel return 0 for an empty message and for the end alike.
///
/// A failing channel waits, loses the empty message, or reports `PeerGone` for it.
pub fn empty_message<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            // Over a stream this must return although nothing has been sent yet.
            peer.hear_bytes(0)?;
            peer.tell(0)?;
            peer.hear_bytes(1)?;
            peer.hear_bytes(0)?;
            peer.say_bytes(0)?;
            peer.hear_error(&GONE)
        },
        |here| {
            if C::SPEC.framing == Framing::Stream {
                here.learn()?;
            }
            here.say_bytes(0)?;
            here.say_bytes(1)?;
            here.say_bytes(0)?;
            here.hear_bytes(0)?;
            here.close();
            Ok(())
        },
    )
}

/// Every length up to [`max_message`](ipc_core::Endpoint::max_message) passes, in both directions.
///
/// Lengths are 1, odd ones, ones beside a page and beside 64 KiB, 1 MiB, the limit and one byte less.
///
/// Why: a limit that is not reached is a promise that is not kept.
///
/// A failing channel states a limit that its kernel object does not grant, or cuts a long message.
pub fn sizes_up_to_the_limit<C: Channel>(stage: &Stage) -> Verdict {
    let lengths = |limit: usize| {
        let edges = [1, 2, 4095, 4096, 4097, 65_535, 65_537, 1 << 20, (1 << 20) + 1, limit - 1, limit];
        edges.into_iter().filter(move |&len| len <= limit.min(64 << 20))
    };
    stage.between::<C>(
        |peer| {
            let limit = peer.end().max_message();
            lengths(limit).try_for_each(|len| peer.hear_bytes(len).and_then(|()| peer.say_bytes(len)))
        },
        |here| {
            let limit = here.end().max_message();
            lengths(limit).try_for_each(|len| here.say_bytes(len).and_then(|()| here.hear_bytes(len)))
        },
    )
}

/// A message that is one byte too long is `TooLarge`, with its length and the limit.
///
/// Nothing is sent, and the channel carries the next message. The clause is skipped where there is no limit.
///
/// Why: a message that is cut or split without an error is worse than one that is refused.
///
/// A failing channel returns `Ok`, another error, or wrong numbers.
pub fn over_the_limit<C: Channel>(stage: &Stage) -> Verdict {
    stage.has_a_limit::<C>()?;
    stage.between::<C>(
        |peer| {
            peer.hear(1)?;
            peer.hear(10)
        },
        |here| {
            let max = here.end().max_message();
            here.say(1)?;
            for len in [max + 1, max + 4096, max * 2 + 1] {
                match here.end().send(&vec![0; len]) {
                    Err(Error::TooLarge { len: l, max: m }) if (l, m) == (len, max) => {}
                    other => return Err(format!("send of {len} bytes where {max} are the limit: {other:?}")),
                }
            }
            here.say(10)
        },
    )
}

/// A message that is longer than the receiver's buffer is `TooLarge`.
///
/// The message may be lost, or kept for a larger buffer. The message after it arrives. Byte streams skip the clause.
///
/// Why: the kernel cuts a datagram without an error unless it is asked (`MSG_TRUNC`, recv(2)).
///
/// A failing channel returns the beginning of the message as if it were all of it.
pub fn short_buffer<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            match peer.end().recv(&mut [0; 10]) {
                Err(Error::TooLarge { .. }) => {}
                other => return Err(format!("recv of 100 bytes into 10: {other:?}")),
            }
            let mut buffer = vec![0; peer.end().max_message()];
            let mut recv = || peer.end().recv(&mut buffer).map(|len| buffer[..len].to_vec());
            let mut got = recv().map_err(|error| error.to_string())?;
            if got == noise(1, 100) {
                got = recv().map_err(|error| error.to_string())?;
            }
            peer.tell(0)?;
            if got == noise(2, 5) { Ok(()) } else { Err(format!("then came {got:?}")) }
        },
        |here| {
            for (seed, len) in [(1, 100), (2, 5)] {
                here.end().send(&noise(seed, len)).map_err(|error| format!("send of {len} bytes: {error}"))?;
            }
            // This side stays until the peer has read all, so that its end cannot be what the peer sees.
            here.learn().map(drop)
        },
    )
}

/// [`Options::max_message`] and [`Options::capacity`] are granted or refused with `TooLarge`, never reduced.
///
/// The clause asks for several sizes, and for one that no machine has.
///
/// Why: a caller who gets less than it asked for finds out when a message does not pass.
///
/// A failing channel grants the absurd size, grants less than was asked for, or fails with another error.
pub fn asked_for_sizes<C: Channel>(stage: &Stage) -> Verdict {
    for len in [1, 1000, 8192, 100_000] {
        let options = Options { max_message: Some(len), ..stage.options() };
        match C::pair(&options) {
            Ok((end, _)) if end.max_message() < len => {
                return Err(format!("{len} bytes were asked for and the limit is {}", end.max_message()));
            }
            Ok(_) => {}
            Err(Error::TooLarge { .. }) => continue,
            Err(error) => return Err(stage.refused::<C>("pair", &error)),
        }
        stage.between_with::<C>(&options, |peer| peer.hear_bytes(len), |here| here.say_bytes(len))?;
    }
    let absurd = usize::MAX / 4;
    let asked = [
        ("max_message", Options { max_message: Some(absurd), ..stage.options() }),
        ("capacity", Options { capacity: Some(absurd), ..stage.options() }),
    ];
    for (what, options) in asked {
        match C::pair(&options) {
            Err(Error::TooLarge { .. }) => {}
            Ok((end, _)) if what == "max_message" && end.max_message() >= absurd => {}
            Ok(_) => return Err(format!("{what} of {absurd} bytes was granted")),
            Err(error) => return Err(format!("{what} of {absurd} bytes: '{error}' and not TooLarge")),
        }
    }
    Ok(())
}

/// [`send_buffer`](ipc_core::Endpoint::send_buffer) and [`recv_buffer`](ipc_core::Endpoint::recv_buffer) do what `send`
/// and `recv` do.
///
/// Either side mixes the calls. A message that was sent by one call is received by any other, and `send_buffer` does
/// not change it.
///
/// Why: channels override these calls to save a copy, and then have two paths.
///
/// A failing channel alters the buffer that it sends, or receives wrong bytes.
pub fn buffers<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(1000);
    let stream = C::SPEC.framing == Framing::Stream;
    stage.between::<C>(
        |peer| {
            let mut whole = Buffer::new(peer.end().max_message().min(1 << 20));
            for i in 0..n {
                match i % 3 {
                    0 => peer.hear(1)?,
                    _ => peer.hear_by(1, |end, message| {
                        // Over a stream the buffer's length is the message's.
                        let mut exact = Buffer::new(message.len());
                        let buffer = if message.len() > whole.len() || stream { &mut exact } else { &mut whole };
                        let len = end.recv_buffer(buffer)?;
                        message[..len].copy_from_slice(&buffer[..len]);
                        Ok(len)
                    })?,
                }
                if i % 8 == 7 {
                    peer.tell(i)?;
                }
            }
            Ok(())
        },
        |here| {
            for i in 0..n {
                match i % 2 {
                    0 => here.say(1)?,
                    _ => here.say_by(1, |end, message| {
                        let mut buffer = Buffer::new(message.len());
                        buffer.copy_from_slice(message);
                        end.send_buffer(&mut buffer)?;
                        assert!(*buffer == *message, "send_buffer changed the message");
                        Ok(())
                    })?,
                }
                // A lossy mechanism must not run ahead of its receiver.
                if i % 8 == 7 {
                    here.learn()?;
                }
            }
            Ok(())
        },
    )
}

/// Two channels of one mechanism do not affect each other.
///
/// Messages on one are received in another order than those on the other. They are short, since a channel need not hold
/// a long one that nobody receives.
///
/// Why: keys, names and static variables can be shared by mistake.
///
/// A failing channel delivers on one channel what was sent on the other.
pub fn two_channels<C: Channel>(stage: &Stage) -> Verdict {
    let (a, peer_a) = stage.sides::<C>(&stage.options())?;
    let (b, peer_b) = stage.sides::<C>(&stage.options())?;
    let ends = ((a, b.on_lane(3)), (peer_a, peer_b.on_lane(4)));
    let n = stage.rounds(1000);
    stage.play(
        ends,
        |(a, b)| {
            (0..n).try_for_each(|_| {
                // In the other order than they were sent.
                b.at_most(256).hear(1)?;
                a.at_most(256).hear(1)?;
                a.say(1)?;
                b.say(1)
            })
        },
        |(a, b)| {
            (0..n).try_for_each(|_| {
                a.at_most(256).say(1)?;
                b.at_most(256).say(1)?;
                b.hear(1)?;
                a.hear(1)
            })
        },
    )
}
