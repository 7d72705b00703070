//! Payload that is produced and consumed where it lies.

use super::{
    Clause, Verdict,
    killing::{kill_receiver, kill_sender},
    link::{Side, noise},
    parting::hear_the_end,
    stage::Stage,
    waiting::{converse_in_storm, fill, on_time},
};
use crate::{Channel, Endpoint, Error, InPlace, Result, SendInPlace};
use nix::sys::signal::{Signal, raise};
use std::time::{Duration, Instant};

pub(super) fn clauses<C: Channel<Endpoint: InPlace> + 'static>() -> Vec<Clause> {
    vec![
        Clause::new("in_place_order_and_content", order_and_content::<C>),
        Clause::new("in_place_mixed_with_copying", mixed_with_copying::<C>),
        Clause::new("in_place_limits", limits::<C>),
        Clause::new("in_place_early_return", early_return::<C>),
        Clause::new("in_place_deadlines", deadlines::<C>),
        Clause::new("in_place_interrupted", interrupted::<C>),
        Clause::new("in_place_peer_gone", peer_gone::<C>),
        Clause::new("in_place_killed_sender", killed_sender::<C>),
        Clause::new("in_place_killed_receiver", killed_receiver::<C>),
        Clause::new("in_place_killed_while_writing", killed_while_writing::<C>),
        Clause::new("in_place_killed_while_reading", killed_while_reading::<C>),
    ]
}

fn write<E: InPlace>(end: &mut E, message: &[u8]) -> Result<()> {
    end.send_with(message.len(), |slot| {
        assert_eq!(slot.as_ptr().align_offset(8), 0, "the slot to write is not aligned to 8 bytes");
        slot.copy_from_slice(message);
    })
}

fn read<E: InPlace>(end: &mut E, buffer: &mut [u8]) -> Result<usize> {
    end.recv_with(|slot| {
        assert_eq!(slot.as_ptr().align_offset(8), 0, "the slot to read is not aligned to 8 bytes");
        buffer[..slot.len()].copy_from_slice(slot);
        slot.len()
    })
}

/// Mixed lengths, in order, each as it was written, in slots that are aligned and as long as the message.
fn order_and_content<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    let n = stage.rounds(20_000);
    stage.between::<C>(|peer| peer.hear_by(n, read), |here| here.say_by(n, write))
}

/// In place and copying, on one link, in every combination.
fn mixed_with_copying<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    let n = stage.rounds(1000);
    stage.between::<C>(
        |peer| (0..n).try_for_each(|i| if i % 2 == 0 { peer.hear(1) } else { peer.hear_by(1, read) }),
        |here| (0..n).try_for_each(|i| if i % 3 == 0 { here.say(1) } else { here.say_by(1, write) }),
    )
}

/// A message at the limit passes; one byte more is `TooLarge`, is not filled, and the channel goes on.
fn limits<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let max = peer.end().max_message();
            let expected = noise(1, max);
            let same = peer.end().recv_with(|slot| slot == expected).map_err(|error| error.to_string())?;
            peer.hear_by(10, read)?;
            if same { Ok(()) } else { Err(format!("a message of {max} bytes came as something else")) }
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

/// A reader that looks at nothing, or at a part, has received the message all the same: its room is free, and the
/// next one follows.
fn early_return<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
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

/// Both calls give up at their deadline, and the closures have not run then.
fn deadlines<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    let timeout = Duration::from_millis(15);
    stage.between_with::<C>(
        &stage.options_within(timeout),
        |peer| {
            peer.set_timeout(None)?;
            let n = peer.learn()?;
            peer.hear(n)?;
            peer.hear_by(10, read)
        },
        |here| {
            on_time("recv_with", timeout, || {
                let began = Instant::now();
                match here.end().recv_with(<[u8]>::len) {
                    Err(Error::TimedOut) => Ok(began.elapsed()),
                    other => Err(format!("recv_with of nothing: {other:?}")),
                }
            })?;
            fill(here, timeout, write)?;
            // The message that did not fit does not fit now.
            let (len, mut filled) = (here.next_len(), false);
            match here.end().send_with(len, |_| filled = true) {
                Err(Error::TimedOut) if !filled => {}
                other => return Err(format!("send_with to a full channel: {other:?} (filled: {filled})")),
            }
            here.set_timeout(None)?;
            here.tell(here.counts().0)?;
            here.say_by(10, write)
        },
    )
}

/// Signals whose handlers let system calls fail with `EINTR` lose nothing.
fn interrupted<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    converse_in_storm::<C>(stage, write, read)
}

/// `SIGKILL` of the one who writes, at any moment of a transfer: all that was sent arrives, whole; then the end.
fn killed_sender<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    kill_sender::<C>(stage, write, read)
}

/// `SIGKILL` of the one who reads, at any moment of a transfer, shows.
fn killed_receiver<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    kill_receiver::<C>(stage, write, read)
}

/// A message whose writer is killed before it has written all of it is no message.
fn killed_while_writing<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say_by(5, write)?;
            let half = peer.end().send_with(1000, |slot| {
                slot[..500].fill(1);
                let _ = raise(Signal::SIGKILL);
            });
            Err(format!("still alive after {half:?}"))
        },
        |here| {
            here.at_most(256).hear_by(5, read)?;
            read_the_end(here)
        },
    )
}

/// A reader that is killed while it looks at a message is gone for the writer.
fn killed_while_reading<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            let seen = peer.end().recv_with(|_| raise(Signal::SIGKILL));
            Err(format!("still alive after {seen:?}"))
        },
        write_until_the_end,
    )
}

/// Reads the end, and again the end.
fn read_the_end<E: InPlace>(side: &mut Side<E>) -> Verdict {
    match side.end().recv_with(<[u8]>::len) {
        Err(Error::PeerGone { .. }) => hear_the_end(side),
        other => Err(format!("recv_with after the end: {other:?}")),
    }
}

/// Writes until the end of the peer shows.
fn write_until_the_end<E: InPlace>(side: &mut Side<E>) -> Verdict {
    match side.fill_by(write)? {
        (error, _) if error.is_peer_gone() => Ok(()),
        (error, _) => Err(format!("send_with after the end: '{error}'")),
    }
}

/// What was written before the end arrives; then both calls say that the peer has gone.
fn peer_gone<C: Channel<Endpoint: InPlace>>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say_by(5, write)?;
            peer.die()
        },
        |here| {
            here.at_most(256).hear_by(5, read)?;
            read_the_end(here)?;
            write_until_the_end(here)
        },
    )
}
