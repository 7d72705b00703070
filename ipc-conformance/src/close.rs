//! How links end: closed, passed on, dropped in any order, and closed by an `exec`.

use crate::{
    Clause, Verdict,
    exec::Inherited,
    link::{GONE, Side},
    stage::{Stage, finish, join},
    waiting::fill_up,
};
use ipc_core::{Channel, Endpoint, Framing, Reliability, Wait};
use std::{thread, thread::sleep, time::Duration};

pub(crate) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    let message = C::SPEC.framing == Framing::Message;
    vec![
        Clause::new("closed_while_receiving", closed_while_receiving::<C>),
        Clause::new("closed_after_sending", closed_after_sending::<C>),
        Clause::new("closed_with_unread_messages", closed_with_unread_messages::<C>),
        Clause::new("closed_while_sending", closed_while_sending::<C>),
        Clause::new("closed_in_mid_message", closed_in_mid_message::<C>)
            .unless(message, "a message arrives whole or not at all"),
        Clause::new("dropped_in_one_process", dropped_in_one_process::<C>),
        Clause::new("dropped_in_any_order", dropped_in_any_order::<C>),
        Clause::new("passed_on", passed_on::<C>),
        Clause::new("passed_on_and_kept", passed_on_and_kept::<C>),
        Clause::new("sent_to_a_thread", sent_to_a_thread::<C>),
        Clause::new("closed_on_exec", closed_on_exec::<C>),
    ]
}

/// Long enough for the other side to be asleep in its call.
pub(crate) const MEANWHILE: Duration = Duration::from_millis(5);
/// What the wait for the peer's end may have as its deadline: mechanisms wait in another way where there is one.
pub(crate) const DEADLINES: [Option<Duration>; 2] = [None, Some(Duration::from_secs(60))];

/// Receives the end, and again the end.
pub(crate) fn hear_the_end<E: Endpoint>(side: &mut Side<E>) -> Verdict {
    side.hear_error(&GONE)?;
    side.hear_error(&GONE)
}

/// Tells the peer, and receives its end under `deadline`.
pub(crate) fn await_the_end<E: Endpoint>(side: &mut Side<E>, deadline: Option<Duration>) -> Verdict {
    side.set_timeout(deadline)?;
    side.tell(0)?;
    hear_the_end(side)
}

/// Fills the channel, tells the peer, and is held back under `deadline` until the peer's end shows.
pub(crate) fn say_against_the_wall<C: Channel>(side: &mut Side<C::Endpoint>, deadline: Option<Duration>) -> Verdict {
    if C::SPEC.reliability == Reliability::Reliable {
        fill_up(side)?;
    }
    side.set_timeout(deadline)?;
    side.tell(0)?;
    say_until_the_end::<C>(side)
}

/// Sends until the end of the peer shows. A lossy mechanism need not tell the sender, it only may not hang.
pub(crate) fn say_until_the_end<C: Channel>(side: &mut Side<C::Endpoint>) -> Verdict {
    if C::SPEC.reliability == Reliability::Lossy {
        for _ in 0..200 {
            match side.end().send(&[0; 100]) {
                Ok(()) => sleep(MEANWHILE / 100),
                Err(error) if error.is_peer_gone() => return Ok(()),
                Err(error) => return Err(format!("send failed with '{error}', not because the peer is gone")),
            }
        }
        return Ok(());
    }
    for _ in 0..2 {
        match side.fill()? {
            (error, _) if error.is_peer_gone() => {}
            (error, _) => return Err(format!("send failed with '{error}', not because the peer is gone")),
        }
    }
    Ok(())
}

/// A receiver that sleeps learns that its peer closed its end.
///
/// The peer's process lives on. `recv` returns `PeerGone`, with a deadline and without, and returns it again when
/// called again.
///
/// Why: many mechanisms tell nobody when the other end is closed. See [`ipc_core::liveness`].
///
/// A failing channel sleeps for ever.
pub fn closed_while_receiving<C: Channel>(stage: &Stage) -> Verdict {
    for deadline in DEADLINES {
        stage.between::<C>(
            |peer| await_the_end(peer, deadline),
            |here| {
                here.learn()?;
                sleep(MEANWHILE);
                // The process lives on: it is the close that has to show.
                here.close();
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// What was sent before a close arrives. Then `recv` returns `PeerGone`.
///
/// Why: a sender that has nothing more to say closes its end at once.
///
/// A failing channel reports the end while messages are left.
pub fn closed_after_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).learn()?;
            peer.hear(5)?;
            hear_the_end(peer)
        },
        |here| {
            here.at_most(256).say(5)?;
            here.close();
            here.tell(0)
        },
    )
}

/// What was sent before a close arrives, although the closing side has not read what was sent to it.
///
/// Why: a TCP socket that is closed with unread data resets the connection, and the reset discards what is on its way.
///
/// A failing channel reports the end while messages are left.
pub fn closed_with_unread_messages<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say(5)?;
            peer.tell(0)?;
            peer.learn()?;
            peer.hear(5)?;
            hear_the_end(peer)
        },
        |here| {
            here.at_most(256).learn()?;
            here.say(5)?;
            here.close();
            here.tell(0)
        },
    )
}

/// A sender that a full channel holds back learns that its peer closed its end.
///
/// `send` returns `PeerGone`, with a deadline and without. A lossy mechanism need not tell, but must not hang.
///
/// Why: nobody will ever make room.
///
/// A failing channel sleeps for ever.
pub fn closed_while_sending<C: Channel>(stage: &Stage) -> Verdict {
    for deadline in DEADLINES {
        stage.between::<C>(
            |peer| say_against_the_wall::<C>(peer, deadline),
            |here| {
                here.learn()?;
                sleep(MEANWHILE);
                here.close();
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// A byte stream that ends within a message has no message.
///
/// `recv` returns `PeerGone`. Message mechanisms skip the clause.
///
/// Why: the beginning of a message is not a message.
///
/// A failing channel returns the part as if it were all of it.
pub fn closed_in_mid_message<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| match peer.end().recv(&mut [0; 100]) {
            Err(error) if error.is_peer_gone() => Ok(()),
            other => Err(format!("recv of 100 bytes, of which 40 came: {other:?}")),
        },
        |here| {
            here.say_bytes(40)?;
            here.close();
            Ok(())
        },
    )
}

/// Dropping an end in a process that merely holds a copy of it disturbs nobody.
///
/// Why: after a fork each process has both ends, and drops the one that is not its own.
///
/// A failing channel shuts the link down, so that the other process sees an end that is not there.
pub fn dropped_in_one_process<C: Channel>(stage: &Stage) -> Verdict {
    for used in [false, true] {
        for swapped in [false, true] {
            let (a, b) = stage.sides::<C>(&stage.options())?;
            let (mut first, mut second) = if swapped { (b, a) } else { (a, b) };
            if used {
                first.at_most(256).say(3)?;
                second.at_most(256).say(1)?;
                first.hear(1)?;
            }
            first.close();
            if used {
                second.hear(3)?;
                hear_the_end(&mut second)?;
            }
            second.close();
        }
    }
    Ok(())
}

/// One of the four ends that there are after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    /// The end that this process uses.
    HereOwn,
    /// This process's copy of the peer's end.
    HereOther,
    /// The end that the peer uses.
    PeerOwn,
    /// The peer's copy of this process's end.
    PeerOther,
}

impl Copy {
    const ALL: [Self; 4] = [Self::HereOwn, Self::HereOther, Self::PeerOwn, Self::PeerOther];

    /// Every order of the four.
    fn orders() -> impl Iterator<Item = [Self; 4]> {
        let pairs = Self::ALL.into_iter().flat_map(|a| Self::ALL.map(|b| [a, b]));
        let fours = pairs.flat_map(|[a, b]| Self::ALL.into_iter().flat_map(move |c| Self::ALL.map(|d| [a, b, c, d])));
        fours.filter(|order| Self::ALL.iter().all(|copy| order.contains(copy)))
    }
}

/// The four ends that exist after a fork can be dropped in any order, used or not.
///
/// While each process has its own end, messages pass. The end that is left last sees `PeerGone`.
///
/// Why: nobody can tell which process drops first.
///
/// A failing channel ends early, or keeps its peer waiting because a copy still lives.
pub fn dropped_in_any_order<C: Channel>(stage: &Stage) -> Verdict {
    for (order, used) in Copy::orders().flat_map(|order| [(order, true), (order, false)]) {
        // What was never used has never waited.
        if used || stage.wait == Wait::Block {
            drop_in::<C>(stage, order, used).map_err(|why| format!("{order:?}, used: {used}: {why}"))?;
        }
    }
    Ok(())
}

/// What the peer of [`drop_in`] is told to do, beside dropping a [`Copy`].
const ECHO: u64 = 10;
const LISTEN: u64 = 11;
const LEAVE: u64 = 12;

fn drop_in<C: Channel>(stage: &Stage, order: [Copy; 4], used: bool) -> Verdict {
    let (mut own, mut other) = stage.sides::<C>(&stage.options())?;
    let child = stage.fork("peer", || {
        loop {
            match other.learn()? {
                ECHO => other.hear(1).and_then(|()| other.say(1))?,
                LISTEN => hear_the_end(&mut other)?,
                LEAVE => return Ok(()),
                copy if copy == Copy::PeerOwn as u64 => other.close(),
                _ => own.close(),
            }
            other.tell(0)?;
        }
    })?;
    for (i, copy) in order.into_iter().enumerate() {
        let gone = &order[..i];
        if used && !gone.contains(&Copy::HereOwn) && !gone.contains(&Copy::PeerOwn) {
            own.tell(ECHO)?;
            own.say(1)?;
            own.hear(1)?;
            own.learn()?;
        }
        match copy {
            // The other end is gone in both processes just now: that has to show.
            Copy::HereOwn if gone.ends_with(&[Copy::HereOther, Copy::PeerOwn]) => hear_the_end(&mut own)?,
            Copy::PeerOwn if gone.ends_with(&[Copy::PeerOther, Copy::HereOwn]) => {
                own.tell(LISTEN)?;
                own.learn().map(drop)?;
            }
            _ => {}
        }
        match copy {
            Copy::HereOwn => own.close(),
            Copy::HereOther => other.close(),
            Copy::PeerOwn | Copy::PeerOther => {
                own.tell(copy as u64)?;
                own.learn().map(drop)?;
            }
        }
    }
    own.tell(LEAVE)?;
    join(child)
}

/// A supervisor opens a channel for two children and drops its own copies at once.
///
/// The children talk, and each sees the end of the other.
///
/// Why: this is how a program starts workers.
///
/// A failing channel is bound to the process that opened it.
pub fn passed_on<C: Channel>(stage: &Stage) -> Verdict {
    supervise::<C>(stage, false)
}

/// A supervisor opens a channel for two children and keeps its copies until they have ended.
///
/// The children talk all the same.
///
/// Why: this is how the benchmark holds its pairs.
///
/// A failing channel mistakes the supervisor for a user of an end.
pub fn passed_on_and_kept<C: Channel>(stage: &Stage) -> Verdict {
    supervise::<C>(stage, true)
}

fn supervise<C: Channel>(stage: &Stage, keep: bool) -> Verdict {
    let (a, b) = stage.sides::<C>(&stage.options())?;
    let (mut a, mut b) = (Some(a), Some(b));
    let n = stage.rounds(500);
    let first = stage.fork("first child", || {
        drop(b.take());
        let mut side = a.take().ok_or("the end was taken")?;
        (0..n).try_for_each(|_| side.say(1).and_then(|()| side.hear(1)))
    })?;
    let second = stage.fork("second child", || {
        drop(a.take());
        let mut side = b.take().ok_or("the end was taken")?;
        // By now the supervisor has dropped its copies.
        sleep(MEANWHILE);
        (0..n).try_for_each(|_| side.hear(1).and_then(|()| side.say(1)))?;
        if keep { Ok(()) } else { hear_the_end(&mut side) }
    })?;
    if !keep {
        drop((a.take(), b.take()));
    }
    finish(Ok(()), [first, second])
}

/// An end can move to another thread, and back, between any two calls.
///
/// Why: [`Endpoint`] is `Send`.
///
/// A failing channel keeps state of one thread, such as a thread id.
pub fn sent_to_a_thread<C: Channel>(stage: &Stage) -> Verdict {
    let elsewhere = |side: &mut Side<C::Endpoint>, act: fn(&mut Side<C::Endpoint>) -> Verdict| {
        thread::scope(|scope| scope.spawn(|| act(side)).join()).unwrap_or_else(|_| Err("the thread panicked".into()))
    };
    stage.between::<C>(
        |peer| {
            for _ in 0..5 {
                peer.hear(8)?;
                elsewhere(peer, |peer| peer.say(8))?;
                elsewhere(peer, |peer| peer.hear(8))?;
                peer.say(8)?;
            }
            elsewhere(peer, hear_the_end)
        },
        |here| {
            for _ in 0..5 {
                here.say(8)?;
                here.hear(8)?;
                elsewhere(here, |here| here.say(8).and_then(|()| here.hear(8)))?;
            }
            elsewhere(here, |here| {
                here.close();
                Ok(())
            })
        },
    )
}

/// No descriptor survives an `exec`, of an end that was used and of one that was not.
///
/// The peer sees `PeerGone`.
///
/// Why: a program that is started must not hold a channel open that it does not know.
///
/// A failing channel lacks `O_CLOEXEC` on a descriptor.
pub fn closed_on_exec<C: Channel>(stage: &Stage) -> Verdict {
    let inherited = Inherited::now()?;
    let unused = stage.pair::<C>(&stage.options())?;
    stage.between::<C>(
        |peer| {
            let _unused = &unused;
            peer.hear(3)?;
            peer.say(3)?;
            peer.be_heard()?;
            inherited.alone_survive(stage)
        },
        |here| {
            here.say(3)?;
            here.hear(3)?;
            here.let_go()?;
            hear_the_end(here)
        },
    )
}
