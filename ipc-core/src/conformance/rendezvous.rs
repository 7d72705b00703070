//! Processes that inherit nothing of the channel and find each other by name.

use super::{
    Clause, Verdict,
    link::Side,
    parting::{descriptors, hear_the_end, inherited_by_exec},
    stage::{Stage, finish, line},
    waiting::in_time,
};
use crate::{Error, Name, Options, Rendezvous, process::Child};
use std::{
    os::unix::net::UnixStream,
    thread::sleep,
    time::{Duration, Instant},
};

pub(super) fn clauses<C: Rendezvous + 'static>() -> Vec<Clause> {
    vec![
        Clause::new("bind_then_connect", bind_then_connect::<C>),
        Clause::new("connect_then_bind", connect_then_bind::<C>),
        Clause::new("name_is_free_again", name_is_free_again::<C>),
        Clause::new("name_is_taken", name_is_taken::<C>),
        Clause::new("nobody_there", nobody_there::<C>),
        Clause::new("killed_binder_is_swept", killed_binder_is_swept::<C>),
    ]
}

const MEANWHILE: Duration = Duration::from_millis(50);

/// Which call a process makes.
#[derive(Clone, Copy)]
enum By {
    Bind,
    Connect,
}

/// Forks a process that meets its peer by `name` after `delay`, then acts on its end.
fn meet<C: Rendezvous>(
    stage: &Stage,
    (by, delay): (By, Duration),
    name: &Name,
    line: &UnixStream,
    act: impl FnOnce(&mut Side<C::Endpoint>) -> Verdict,
) -> Result<Child, String> {
    let who = match by {
        By::Bind => "binder",
        By::Connect => "connector",
    };
    stage.fork(who, || {
        let before = descriptors()?;
        sleep(delay);
        let line = line.try_clone().map_err(|error| error.to_string())?;
        let mut side = match by {
            By::Bind => Side::new(C::SPEC, opened(stage, "bind", C::bind(name, &stage.options()))?, line, 1),
            By::Connect => Side::new(C::SPEC, opened(stage, "connect", C::connect(name, &stage.options()))?, line, 2),
        };
        inherited_by_exec(&before)?;
        act(&mut side)
    })
}

fn opened<E>(stage: &Stage, call: &str, result: crate::Result<E>) -> Result<E, String> {
    result.map_err(|error| stage.refused(call, &error))
}

fn talk<C: Rendezvous>(stage: &Stage, bind_after: Duration, connect_after: Duration) -> Verdict {
    let (name, n) = (Name::unique(), stage.rounds(1000));
    let (line, peer_line) = line()?;
    let binder = meet::<C>(stage, (By::Bind, bind_after), &name, &line, |side| {
        (0..n).try_for_each(|_| side.say(1).and_then(|()| side.hear(1)))
    })?;
    let connector = meet::<C>(stage, (By::Connect, connect_after), &name, &peer_line, |side| {
        (0..n).try_for_each(|_| side.hear(1).and_then(|()| side.say(1)))?;
        hear_the_end(side)
    })?;
    finish(Ok(()), [binder, connector])
}

/// The one who binds comes first.
fn bind_then_connect<C: Rendezvous>(stage: &Stage) -> Verdict {
    talk::<C>(stage, Duration::ZERO, MEANWHILE)
}

/// The one who connects comes first, and waits.
fn connect_then_bind<C: Rendezvous>(stage: &Stage) -> Verdict {
    talk::<C>(stage, MEANWHILE, Duration::ZERO)
}

/// Once a link stands, its name is free: a second link under it works beside the first.
fn name_is_free_again<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (line, peer_line) = line()?;
    let act = |side: &mut Side<C::Endpoint>, by: By| {
        // Both hold the first link before either asks for the second.
        side.tell(0)?;
        side.learn()?;
        let second = match by {
            By::Bind => opened(stage, "second bind", C::bind(&name, &stage.options()))?,
            By::Connect => opened(stage, "second connect", C::connect(&name, &stage.options()))?,
        };
        let (lane, line) = (matches!(by, By::Connect), side.second_line()?);
        let mut second = Side::new(C::SPEC, second, line, 3 + u64::from(lane));
        (0..10).try_for_each(|_| match by {
            By::Bind => {
                side.say(1).and_then(|()| second.say(1)).and_then(|()| second.hear(1)).and_then(|()| side.hear(1))
            }
            By::Connect => {
                second.hear(1).and_then(|()| side.hear(1)).and_then(|()| side.say(1)).and_then(|()| second.say(1))
            }
        })
    };
    let binder = meet::<C>(stage, (By::Bind, Duration::ZERO), &name, &line, |side| act(side, By::Bind))?;
    let connector = meet::<C>(stage, (By::Connect, Duration::ZERO), &name, &peer_line, |side| act(side, By::Connect))?;
    finish(Ok(()), [binder, connector])
}

/// A name that somebody is binding is an error at once, and does not disturb him.
fn name_is_taken<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (line, peer_line) = line()?;
    let binder = meet::<C>(stage, (By::Bind, Duration::ZERO), &name, &line, |side| side.say(10))?;
    sleep(MEANWHILE * 2);
    let verdict = match C::bind(&name, &stage.options_within(MEANWHILE)) {
        Err(Error::TimedOut) => Err("a name that is taken was bound again".to_owned()),
        Err(Error::Os { .. }) => Ok(()),
        Err(error) => Err(format!("a name that is taken: '{error}'")),
        Ok(_) => Err("a name that is taken met somebody".to_owned()),
    };
    let connector = meet::<C>(stage, (By::Connect, Duration::ZERO), &name, &peer_line, |side| side.hear(10))?;
    finish(verdict, [binder, connector])
}

/// Either call gives up at its deadline where nobody comes, and leaves the name free.
fn nobody_there<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let options = stage.options_within(MEANWHILE);
    let alone = |what: &str, call: fn(&Name, &Options) -> crate::Result<C::Endpoint>| {
        let began = Instant::now();
        match call(&name, &options) {
            Err(Error::TimedOut) => in_time(what, MEANWHILE, began.elapsed()),
            Err(error) => Err(stage.refused(what, &error)),
            Ok(_) => Err(format!("{what} met somebody")),
        }
    };
    alone("connect", C::connect)?;
    alone("bind", C::bind)?;
    alone("bind once more", C::bind)?;
    alone("connect once more", C::connect)
}

/// What a process leaves that is killed while it binds, `sweep` removes; its name is free then.
fn killed_binder_is_swept<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (line, peer_line) = line()?;
    let mut victim = meet::<C>(stage, (By::Bind, Duration::ZERO), &name, &line, |_| Err("met somebody".into()))?;
    sleep(MEANWHILE);
    victim.kill().map_err(|error| error.to_string())?;
    crate::objects::sweep(false).map_err(|error| error.to_string())?;
    let binder = meet::<C>(stage, (By::Bind, Duration::ZERO), &name, &line, |side| side.say(10))?;
    let connector = meet::<C>(stage, (By::Connect, Duration::ZERO), &name, &peer_line, |side| side.hear(10))?;
    finish(Ok(()), [binder, connector])
}
