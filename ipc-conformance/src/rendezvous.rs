//! Processes that share nothing but a name and the options, and meet by it.
//!
//! Each process is the test binary, started anew. One binds, one connects, and the process of the clause tells both
//! what to do.

use crate::{
    Clause, Verdict,
    stage::Stage,
    unrelated::{Answer, Task, Unrelated, alone},
};
use ipc_core::{Name, Reliability, Rendezvous, leftovers, objects};
use nix::sys::signal::Signal;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

pub(crate) fn clauses<C: Rendezvous + 'static>() -> Vec<Clause> {
    vec![
        Clause::new("bind_then_connect", bind_then_connect::<C>),
        Clause::new("connect_then_bind", connect_then_bind::<C>),
        Clause::new("name_is_gone", name_is_gone::<C>),
        Clause::new("name_is_taken", name_is_taken::<C>),
        Clause::new("two_connectors", two_connectors::<C>),
        Clause::new("nobody_there", nobody_there::<C>),
        Clause::new("interrupted_while_meeting", interrupted_while_meeting::<C>),
        Clause::new("killed_before_the_peer_came", killed_before_the_peer_came::<C>).alone(),
        Clause::new("killed_while_meeting", killed_while_meeting::<C>).alone(),
        Clause::new("killed_unrelated", killed_unrelated::<C>),
        Clause::new("unrelated_exec", unrelated_exec::<C>),
    ]
}

/// Long enough for a process to be asleep in what it was asked to do.
const MEANWHILE: Duration = Duration::from_millis(5);
/// A deadline that nobody should need, in milliseconds.
const AMPLE: u64 = 10_000;
/// A deadline that is to pass, in milliseconds.
const SCANT: u64 = 20;
/// How long the second of two connectors may wait, in milliseconds; the first needs far less.
const TWO: u64 = 500;

/// The two who meet.
const ROLES: [Task; 2] = [Task::Bind, Task::Connect];

fn start<C: Rendezvous>(stage: &Stage, role: Task, name: &Name) -> Result<Unrelated, String> {
    let who = if role == Task::Bind { "binder" } else { "connector" };
    Unrelated::start(stage, C::SPEC.name, who, name)
}

/// Two unrelated processes that have met. The one with the role `first` came first. The binder is the first of the two.
fn meet<C: Rendezvous>(stage: &Stage, first: Task, name: &Name) -> Result<[Unrelated; 2], String> {
    let mut unrelated = [start::<C>(stage, Task::Bind, name)?, start::<C>(stage, Task::Connect, name)?];
    let [binder, connector] = &mut unrelated;
    let order = if first == Task::Bind { [binder, connector] } else { [connector, binder] };
    let [early, late] = order;
    let second = if first == Task::Bind { Task::Connect } else { Task::Bind };
    early.ask(first, 0)?;
    waits::<C>(first, name)?;
    late.ask(second, 0)?;
    early.answers(Answer::Done)?;
    late.answers(Answer::Done)?;
    Ok(unrelated)
}

/// Returns once the one who was asked for `role` waits for its peer. A name can be seen; a connector leaves no trace.
fn waits<C: Rendezvous>(role: Task, name: &Name) -> Verdict {
    let began = Instant::now();
    while role == Task::Bind && called::<C>(name)?.is_empty() {
        if began.elapsed() > Duration::from_millis(AMPLE) {
            return Err(format!("nothing in the system is called {name}, and somebody binds it"));
        }
        sleep(Duration::from_millis(1));
    }
    sleep(MEANWHILE);
    Ok(())
}

/// Moves messages from one to the other, all of which must arrive in order.
fn pass(from: &mut Unrelated, to: &mut Unrelated, messages: u64) -> Verdict {
    from.ask(Task::Say, messages)?;
    to.ask(Task::Hear, messages)?;
    from.answers(Answer::Done)?;
    to.answers(Answer::Done)
}

/// What two unrelated processes say to each other: both directions, then the last words of `one` and the end.
fn talk<C: Rendezvous>(stage: &Stage, [mut one, mut other]: [Unrelated; 2]) -> Verdict {
    let (bursts, messages) = match C::SPEC.reliability {
        Reliability::Reliable => (2, stage.rounds(1000)),
        // Nothing acknowledges, so a burst must fit the receiver's buffer.
        Reliability::Lossy => (50, 8),
    };
    for _ in 0..bursts {
        pass(&mut one, &mut other, messages)?;
        pass(&mut other, &mut one, messages)?;
    }
    one.does(Task::Say, 3)?;
    one.does(Task::Close, 0)?;
    other.does(Task::Hear, 3)?;
    other.does(Task::HearTheEnd, 0)?;
    one.dismiss()?;
    other.dismiss()
}

/// A binder that comes first meets the connector, and the two talk in both directions.
///
/// Why: this is the usual order of a server and its client.
///
/// A failing channel does not meet, or mixes up the directions.
pub fn bind_then_connect<C: Rendezvous>(stage: &Stage) -> Verdict {
    let [binder, connector] = meet::<C>(stage, Task::Bind, &Name::unique())?;
    talk::<C>(stage, [connector, binder])
}

/// A connector that comes first waits for the binder, and the two talk in both directions.
///
/// Why: two programs that are started together come in either order.
///
/// A failing channel returns an error because the name is not there yet.
pub fn connect_then_bind<C: Rendezvous>(stage: &Stage) -> Verdict {
    let ends = meet::<C>(stage, Task::Connect, &Name::unique())?;
    talk::<C>(stage, ends)
}

/// Once two processes have met, their name is nowhere in the system.
///
/// A second link under the same name works beside the first.
///
/// Why: a name that stays is left behind when both are killed.
///
/// A failing channel keeps the name, or mixes up the two links.
pub fn name_is_gone<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let [mut a, mut b] = meet::<C>(stage, Task::Bind, &name)?;
    // So that the two links never say the same at once.
    pass(&mut a, &mut b, 5)?;
    is_gone::<C>(&name)?;
    let [mut c, mut d] = meet::<C>(stage, Task::Bind, &name)?;
    for _ in 0..2 {
        a.does(Task::Say, 4)?;
        pass(&mut c, &mut d, 4)?;
        b.does(Task::Hear, 4)?;
        pass(&mut d, &mut c, 4)?;
        pass(&mut b, &mut a, 4)?;
    }
    is_gone::<C>(&name)?;
    [a, b, c, d].into_iter().try_for_each(Unrelated::dismiss)
}

/// Binding a name that somebody binds is [`Error::Taken`](ipc_core::Error::Taken) at once, and does not disturb them.
///
/// Why: two servers of one name are a mistake of the user, who must learn of it.
///
/// A failing channel waits, or takes the name away from the first binder.
pub fn name_is_taken<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let mut binder = start::<C>(stage, Task::Bind, &name)?;
    binder.ask(Task::Bind, 0)?;
    let mut other = start::<C>(stage, Task::Bind, &name)?;
    waits::<C>(Task::Bind, &name)?;
    other.ask(Task::Bind, SCANT)?;
    other.answers(Answer::Taken)?;
    other.dismiss()?;
    let mut connector = start::<C>(stage, Task::Connect, &name)?;
    connector.does(Task::Connect, AMPLE)?;
    binder.answers(Answer::Done)?;
    talk::<C>(stage, [binder, connector])
}

/// Of two connectors that come at once, one gets the link.
///
/// The other one is refused with `PeerGone` or goes on waiting until its deadline. It does not disturb the two that
/// have met.
///
/// Why: a third process on a channel for two would take messages of others.
///
/// A failing channel lets both connect.
pub fn two_connectors<C: Rendezvous>(stage: &Stage) -> Verdict {
    for binder_first in [true, false] {
        let name = Name::unique();
        let mut binder = start::<C>(stage, Task::Bind, &name)?;
        let mut connectors = [start::<C>(stage, Task::Connect, &name)?, start::<C>(stage, Task::Connect, &name)?];
        if binder_first {
            binder.ask(Task::Bind, AMPLE)?;
            waits::<C>(Task::Bind, &name)?;
            // So that both have come before it lets one in.
            binder.signal(Signal::SIGSTOP)?;
        }
        connectors.iter_mut().try_for_each(|connector| connector.ask(Task::Connect, TWO))?;
        sleep(10 * MEANWHILE);
        if binder_first {
            binder.signal(Signal::SIGCONT)?;
        } else {
            binder.ask(Task::Bind, AMPLE)?;
        }
        binder.answers(Answer::Done)?;
        // While the other one may still be waiting.
        binder.ask(Task::Say, 5)?;
        let answers = [connectors[0].answer()?, connectors[1].answer()?];
        let [one, other] = connectors;
        let (mut linked, refused) = match answers {
            [Answer::Done, Answer::TimedOut | Answer::PeerGone] => (one, other),
            [Answer::TimedOut | Answer::PeerGone, Answer::Done] => (other, one),
            answers => return Err(format!("two connectors of one binder: {answers:?}")),
        };
        linked.does(Task::Hear, 5)?;
        binder.answers(Answer::Done)?;
        refused.dismiss()?;
        talk::<C>(stage, [binder, linked])?;
    }
    Ok(())
}

/// `bind` and `connect` return `TimedOut` at their deadline where nobody comes, and leave the name free.
///
/// Why: the peer may never have been started.
///
/// A failing channel waits for ever, returns late, or leaves the name behind.
pub fn nobody_there<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let timeout = Duration::from_millis(SCANT / 2);
    alone::<C>(stage, "connect", C::connect, &name, timeout)?;
    alone::<C>(stage, "bind", C::bind, &name, timeout)?;
    is_gone::<C>(&name)?;
    alone::<C>(stage, "bind once more", C::bind, &name, timeout)?;
    alone::<C>(stage, "connect once more", C::connect, &name, timeout)
}

/// Signals disturb neither the meeting nor what follows, and do not prolong a deadline.
///
/// Why: a meeting takes several system calls that sleep.
///
/// A failing channel returns `EINTR`, or starts its wait anew after each signal.
pub fn interrupted_while_meeting<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let mut both = [start::<C>(stage, Task::Bind, &name)?, start::<C>(stage, Task::Connect, &name)?];
    for (process, alone) in both.iter_mut().zip([Task::BindAlone, Task::ConnectAlone]) {
        process.does(Task::BeInterrupted, 0)?;
        process.does(alone, SCANT)?;
    }
    for (process, role) in both.iter_mut().zip(ROLES) {
        process.ask(role, AMPLE)?;
        sleep(MEANWHILE);
    }
    both.iter_mut().try_for_each(|process| process.answers(Answer::Done))?;
    talk::<C>(stage, both)
}

/// A process that is killed while it waits for its peer does not deceive that peer.
///
/// The peer waits until its deadline. The next process that binds the name gets it, without a sweep.
///
/// Why: what a killed binder leaves looks like a binder.
///
/// A failing channel meets the dead process, or keeps its successor out.
pub fn killed_before_the_peer_came<C: Rendezvous>(stage: &Stage) -> Verdict {
    for [early, late] in [ROLES, [Task::Connect, Task::Bind]] {
        let name = Name::unique();
        let mut victim = start::<C>(stage, early, &name)?;
        let mut survivor = start::<C>(stage, late, &name)?;
        victim.ask(early, 0)?;
        waits::<C>(early, &name)?;
        victim.kill()?;
        survivor.ask(late, SCANT)?;
        survivor.answers(Answer::TimedOut)?;
        let mut successor = start::<C>(stage, early, &name)?;
        successor.ask(early, AMPLE)?;
        survivor.ask(late, AMPLE)?;
        successor.answers(Answer::Done)?;
        survivor.answers(Answer::Done)?;
        talk::<C>(stage, [successor, survivor])?;
    }
    Ok(())
}

/// A process that is killed at any moment of a meeting is gone for its peer.
///
/// The peer learns of it in the call or right after it. The name can be bound again at once.
///
/// Why: a meeting has several steps, and the process can die between any two.
///
/// A failing channel hangs, or leaves a name that nobody can bind.
pub fn killed_while_meeting<C: Rendezvous>(stage: &Stage) -> Verdict {
    for i in 0..6 {
        let name = Name::unique();
        let [doomed, other] = if i % 2 == 0 { ROLES } else { [Task::Connect, Task::Bind] };
        let mut victim = start::<C>(stage, doomed, &name)?;
        let mut survivor = start::<C>(stage, other, &name)?;
        if i < 2 {
            // These meet for certain.
            survivor.ask(other, AMPLE)?;
            victim.does(doomed, AMPLE)?;
        } else {
            survivor.ask(other, SCANT)?;
            victim.ask(doomed, 0)?;
            sleep(Duration::from_micros(fastrand::u64(..1000)));
        }
        victim.kill()?;
        match survivor.answer()? {
            Answer::Done => survivor.does(Task::HearTheEnd, 0)?,
            Answer::TimedOut | Answer::PeerGone => {}
            Answer::Taken => return Err("the name was taken".into()),
        }
        survivor.dismiss()?;
        let [mut binder, mut connector] = meet::<C>(stage, Task::Bind, &name)?;
        pass(&mut binder, &mut connector, 3)?;
        binder.dismiss()?;
        connector.dismiss()?;
        // What has a name of its own, such as a queue with a random key.
        sweep()?;
    }
    Ok(())
}

/// A `SIGKILL` of either process wakes the other, whether it receives or sends.
///
/// Why: processes that are not related inherit nothing of each other that would tell.
///
/// A failing channel hangs, or leaves something behind.
pub fn killed_unrelated<C: Rendezvous>(stage: &Stage) -> Verdict {
    for victim_binds in [false, true] {
        for pastime in [Task::HearTheEnd, Task::SayUntilTheEnd] {
            let [binder, connector] = meet::<C>(stage, Task::Bind, &Name::unique())?;
            let [mut victim, mut survivor] = if victim_binds { [binder, connector] } else { [connector, binder] };
            pass(&mut victim, &mut survivor, 3)?;
            survivor.ask(pastime, 0)?;
            sleep(MEANWHILE);
            victim.kill()?;
            survivor.answers(Answer::Done)?;
            survivor.dismiss()?;
        }
    }
    Ok(())
}

/// No descriptor of either process survives an `exec`, and the peer sees `PeerGone`.
///
/// Why: `bind` and `connect` open other descriptors than `pair`.
///
/// A failing channel lacks `O_CLOEXEC` on a descriptor.
pub fn unrelated_exec<C: Rendezvous>(stage: &Stage) -> Verdict {
    for binder_execs in [false, true] {
        let [binder, connector] = meet::<C>(stage, Task::Bind, &Name::unique())?;
        let [mut one, mut other] = if binder_execs { [binder, connector] } else { [connector, binder] };
        pass(&mut one, &mut other, 3)?;
        pass(&mut other, &mut one, 3)?;
        other.ask(Task::HearTheEnd, 0)?;
        one.exec()?;
        other.answers(Answer::Done)?;
        other.dismiss()?;
    }
    Ok(())
}

fn called<C: Rendezvous>(name: &Name) -> Result<Vec<String>, String> {
    leftovers::called(name, C::SPEC.name).map_err(|error| error.to_string())
}

fn is_gone<C: Rendezvous>(name: &Name) -> Verdict {
    let found = called::<C>(name)?;
    if found.is_empty() { Ok(()) } else { Err(format!("the name is still there: {}", found.join(", "))) }
}

fn sweep() -> Verdict {
    objects::sweep(false).map(drop).map_err(|error| error.to_string())
}
