//! What `SIGKILL` of one process means for its peer, and what is left in the system.

use crate::{
    Clause, Verdict,
    close::{DEADLINES, MEANWHILE, await_the_end, hear_the_end, say_against_the_wall},
    link::{LINE_FAILED, Side},
    stage::{Stage, finish, join, line},
};
use ipc_core::{
    Channel, Custody, Endpoint, Error, Reliability, Result,
    objects::{self, Fate},
    shared::SharedPage,
};
use nix::sys::signal::Signal;
use std::{
    io::Read,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
    thread::sleep,
    time::Duration,
};

pub(crate) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    vec![
        Clause::new("killed_while_receiving", killed_while_receiving::<C>),
        Clause::new("killed_after_sending", killed_after_sending::<C>).if_it_holds_messages::<C>(),
        Clause::new("killed_with_its_messages", killed_with_its_messages::<C>)
            .unless(C::SPEC.custody == Custody::Channel, "what was sent is the channel's, and must arrive"),
        Clause::new("killed_while_sending", killed_while_sending::<C>),
        Clause::new("killed_sender", killed_sender::<C>),
        Clause::new("killed_receiver", killed_receiver::<C>),
        Clause::new("killed_pair_is_swept", killed_pair_is_swept::<C>).alone(),
    ]
}

/// A receiver that sleeps learns that its peer was killed.
///
/// `recv` returns `PeerGone`, with a deadline and without.
///
/// Why: a killed process runs no code of its own, so only the kernel can tell.
///
/// A failing channel sleeps for ever.
pub fn killed_while_receiving<C: Channel>(stage: &Stage) -> Verdict {
    for deadline in DEADLINES {
        stage.between::<C>(
            |peer| {
                peer.learn()?;
                sleep(MEANWHILE);
                peer.die()
            },
            |here| await_the_end(here, deadline),
        )?;
    }
    Ok(())
}

/// What was sent before a `SIGKILL` arrives. Then `recv` returns `PeerGone`.
///
/// Mechanisms whose messages are in the [custody](ipc_core::Custody) of the sender skip the clause.
///
/// Why: a message that `send` took is the channel's.
///
/// A failing channel keeps messages back that a later call was to hand over.
pub fn killed_after_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say(5)?;
            peer.die()
        },
        |here| {
            // The control line ends with the peer.
            let _ = here.at_most(256).learn();
            here.hear(5)?;
            hear_the_end(here)
        },
    )
}

/// What dies with its sender arrives message by message until it ends, and never in part.
///
/// Only mechanisms whose messages are in the [custody](ipc_core::Custody) of the sender have this clause.
///
/// Why: such a receiver reads memory of a process that is being torn down.
///
/// A failing channel delivers half of a message, or other bytes.
pub fn killed_with_its_messages<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.say(5)?;
            peer.die()
        },
        |here| {
            let _ = here.learn();
            let mut last = Ok(0);
            let heard = here.hear_by(5, |end, buffer| {
                last = end.recv(buffer);
                last.clone()
            });
            match last {
                Err(Error::PeerGone { .. }) => {}
                _ => heard?,
            }
            hear_the_end(here)
        },
    )
}

/// A sender that a full channel holds back learns that its peer was killed.
///
/// `send` returns `PeerGone`, with a deadline and without.
///
/// Why: nobody will ever make room.
///
/// A failing channel sleeps for ever.
pub fn killed_while_sending<C: Channel>(stage: &Stage) -> Verdict {
    for deadline in DEADLINES {
        stage.between::<C>(
            |peer| {
                peer.learn()?;
                sleep(MEANWHILE);
                peer.die()
            },
            |here| say_against_the_wall::<C>(here, deadline),
        )?;
    }
    Ok(())
}

/// A `SIGKILL` of the sender at any moment of a transfer leaves whole messages only.
///
/// The receiver gets all that was sent, each message once and in order, and then `PeerGone`. The message that the
/// sender was sending arrives whole or not at all.
///
/// Why: a receiver must not act on half a message.
///
/// A failing channel delivers a torn message, loses one, or hangs.
pub fn killed_sender<C: Channel>(stage: &Stage) -> Verdict {
    kill_sender::<C>(stage, |end, message| end.send(message), |end, buffer| end.recv(buffer))
}

/// A sender learns of a `SIGKILL` of the receiver at any moment of a transfer.
///
/// Why: the receiver may have been killed between reading a message and making room.
///
/// A failing channel hangs, or keeps a lock that the dead process held.
pub fn killed_receiver<C: Channel>(stage: &Stage) -> Verdict {
    kill_receiver::<C>(stage, |end, message| end.send(message), |end, buffer| end.recv(buffer))
}

/// The receiver gets all that was sent, each message whole, in order and once; then the end. What the sender was at when it
/// was killed arrives whole or not at all, and so does what it had sent where that was in its custody.
pub(crate) fn kill_sender<C: Channel>(
    stage: &Stage,
    send: impl Fn(&mut C::Endpoint, &[u8]) -> Result<()>,
    recv: impl Fn(&mut C::Endpoint, &mut [u8]) -> Result<usize>,
) -> Verdict {
    kill_at_any_moment::<C>(
        stage,
        |peer, sent| {
            peer.say_by(u64::MAX, |end, message| {
                send(end, message)?;
                sent.fetch_add(1, Release);
                Ok(())
            })
        },
        |here, sent| {
            let mut last = Ok(0);
            let heard = here.hear_by(u64::MAX, |end, buffer| {
                last = recv(end, buffer);
                last.clone()
            });
            ended::<C>(last.map(drop), heard)?;
            let (sent, heard) = (sent.load(Acquire), here.counts().1);
            let all = C::SPEC.reliability == Reliability::Reliable && C::SPEC.custody == Custody::Channel;
            if all && heard < sent {
                return Err(format!("{sent} messages had been sent when the sender was killed, and {heard} arrived"));
            }
            Ok(())
        },
    )
}

/// The sender, whom the full channel may be holding back, is told.
pub(crate) fn kill_receiver<C: Channel>(
    stage: &Stage,
    send: impl Fn(&mut C::Endpoint, &[u8]) -> Result<()>,
    recv: impl Fn(&mut C::Endpoint, &mut [u8]) -> Result<usize>,
) -> Verdict {
    kill_at_any_moment::<C>(
        stage,
        |peer, received| {
            peer.hear_by(u64::MAX, |end, buffer| {
                let len = recv(end, buffer)?;
                received.fetch_add(1, Release);
                Ok(len)
            })
        },
        |here, _| {
            let mut last = Ok(());
            let said = here.say_by(u64::MAX, |end, message| {
                last = send(end, message);
                last.clone()
            });
            ended::<C>(last, said)
        },
    )
}

/// Runs `peer`, which counts the messages that it has moved, and kills it a random time after the first, while this process
/// runs `here`.
fn kill_at_any_moment<C: Channel>(
    stage: &Stage,
    peer: impl Fn(&mut Side<C::Endpoint>, &AtomicU64) -> Verdict,
    here: impl Fn(&mut Side<C::Endpoint>, &AtomicU64) -> Verdict,
) -> Verdict {
    for _ in 0..3 {
        let page = SharedPage::new().map_err(|error| error.to_string())?;
        let moved = &page[0].word;
        let (victim, mut side) = stage.part(stage.sides::<C>(&stage.options())?, |side| peer(side, moved))?;
        let killer = stage.fork("killer", || {
            while moved.load(Acquire) == 0 {
                sleep(Duration::from_micros(100));
            }
            sleep(Duration::from_micros(fastrand::u64(..2000)));
            victim.signal(Signal::SIGKILL).map_err(|error| error.to_string())
        })?;
        let verdict = here(&mut side, moved);
        drop(side);
        finish(verdict, [killer, victim])?;
    }
    Ok(())
}

/// Whether what went on until it failed has failed with the peer's end, as its `last` call says.
fn ended<C: Channel>(last: Result<()>, verdict: Verdict) -> Verdict {
    match last {
        Err(Error::PeerGone { .. }) => Ok(()),
        // There nobody is told: it was the acknowledgements, beside the channel, that ended.
        _ if C::SPEC.reliability == Reliability::Lossy => {
            verdict.or_else(|why| if why.starts_with(LINE_FAILED) { Ok(()) } else { Err(why) })
        }
        _ => verdict,
    }
}

/// [`objects::sweep`] removes what two killed processes left.
///
/// The clause runs alone. Afterwards nothing may be left in the system.
///
/// Why: System V objects and names outlive their processes.
///
/// A failing channel makes an object that is not in the journal.
pub fn killed_pair_is_swept<C: Channel>(stage: &Stage) -> Verdict {
    let (mut mine, theirs) = line()?;
    let victim = stage.fork("victim", || {
        let _until_death = &theirs;
        stage.between::<C>(
            |peer| {
                peer.hear(1)?;
                peer.say(1)?;
                // Dies with its parent.
                peer.learn().map(drop)
            },
            |here| {
                here.say(1)?;
                here.hear(1)?;
                here.die()
            },
        )
    })?;
    let pid = victim.pid().as_raw().cast_unsigned();
    drop(theirs);
    join(victim)?;
    // The line ends when the last process that holds it has gone.
    let _ = mine.read(&mut [0]);
    let left = objects::sweep(false).map_err(|error| error.to_string())?;
    match left.into_iter().find(|left| left.pid == pid && matches!(left.fate, Fate::Failed(_))) {
        Some(left) => Err(format!("could not be swept: {left:?}")),
        None => Ok(()),
    }
}
