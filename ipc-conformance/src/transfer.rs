//! What arrives: order, content, boundaries, limits.

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

/// 100,000 messages of mixed lengths arrive in order, each as it was sent; both sides' checksums agree.
fn order_and_content<C: Channel>(stage: &Stage) -> Verdict {
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

/// Both directions, in turns.
fn echo<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(2000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|_| peer.hear(1).and_then(|()| peer.say(1))),
        |here| (0..n).try_for_each(|_| here.say(1).and_then(|()| here.hear(1))),
    )
}

/// Both directions at once: the requests cross, and nobody hears what it said itself.
fn duplex<C: Channel>(stage: &Stage) -> Verdict {
    let n = stage.rounds(2000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|_| peer.at_most(256).say(4).and_then(|()| peer.hear(4))),
        |here| (0..n).try_for_each(|_| here.at_most(256).say(4).and_then(|()| here.hear(4))),
    )
}

/// Over a stream an empty message is nothing; as a message it arrives, and is told from the end.
fn empty_message<C: Channel>(stage: &Stage) -> Verdict {
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

/// 1 byte, odd lengths, the limit itself; a megabyte and more where there is none.
fn sizes_up_to_the_limit<C: Channel>(stage: &Stage) -> Verdict {
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

/// One byte more than the limit is `TooLarge`, nothing is sent, and the channel goes on.
fn over_the_limit<C: Channel>(stage: &Stage) -> Verdict {
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

/// A message longer than the receiver's buffer is `TooLarge`; it may be lost or kept, and what follows arrives.
fn short_buffer<C: Channel>(stage: &Stage) -> Verdict {
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

/// `Options::max_message` and `Options::capacity` are honoured or refused with `TooLarge`: never clamped.
fn asked_for_sizes<C: Channel>(stage: &Stage) -> Verdict {
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

/// `send_buffer` and `recv_buffer` do what `send` and `recv` do, and each understands the other.
fn buffers<C: Channel>(stage: &Stage) -> Verdict {
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

/// Two channels of one mechanism side by side: nothing passes from one to the other.
fn two_channels<C: Channel>(stage: &Stage) -> Verdict {
    let (a, peer_a) = stage.sides::<C>(&stage.options())?;
    let (b, peer_b) = stage.sides::<C>(&stage.options())?;
    let ends = ((a, b.on_lane(3)), (peer_a, peer_b.on_lane(4)));
    let n = stage.rounds(1000);
    stage.play(
        ends,
        |(a, b)| {
            (0..n).try_for_each(|_| {
                // In the other order than they were sent.
                b.hear(1)?;
                a.hear(1)?;
                a.say(1)?;
                b.say(1)
            })
        },
        |(a, b)| {
            (0..n).try_for_each(|_| {
                a.say(1)?;
                b.say(1)?;
                b.hear(1)?;
                a.hear(1)
            })
        },
    )
}
