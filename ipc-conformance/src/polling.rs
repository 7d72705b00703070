//! What epoll(7) shows of a channel.

#![allow(unsafe_code)]

use crate::{
    Clause, Verdict,
    link::Side,
    security::descriptors,
    stage::{Stage, line},
};
use ipc_core::{Channel, Endpoint};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use std::{collections::BTreeSet, os::fd::BorrowedFd};

pub(crate) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    vec![Clause::new("pollable", pollable::<C>)]
}

/// [`Spec::pollable`](ipc_core::Spec::pollable) is true of the channel.
///
/// Where it is true, epoll takes the [descriptor](Endpoint::descriptor) of an end. The descriptor is readable exactly while a message
/// waits. Where it is false, an end has no descriptor to offer, and none that it holds tells of a message.
///
/// Why: programs choose a mechanism by whether it fits into their event loop.
///
/// A failing channel offers the wrong descriptor, offers none, or keeps silent about one.
pub fn pollable<C: Channel>(stage: &Stage) -> Verdict {
    let pid = std::process::id();
    let before = descriptors(pid)?;
    let (a, b) = stage.pair::<C>(&stage.options())?;
    let made: BTreeSet<_> = descriptors(pid)?.difference(&before).copied().collect();
    let (here, peer) = line()?;
    stage.play(
        (Side::new(C::SPEC, a, here, 1), Side::new(C::SPEC, b, peer, 2)),
        |peer| {
            for _ in 0..2 {
                peer.learn()?;
                peer.at_most(256).say(1)?;
                peer.tell(0)?;
            }
            peer.learn().map(drop)
        },
        |here| {
            // With the first message some mechanisms introduce themselves over a socket.
            here.tell(0)?;
            here.at_most(256).hear(1)?;
            here.learn()?;
            if C::SPEC.pollable {
                shows_messages(here)?
            } else {
                shows_nothing(here, &made)?
            }
            here.tell(0)
        },
    )
}

fn shows_messages<E: Endpoint>(here: &mut Side<E>) -> Verdict {
    let epoll = epoll()?;
    let descriptor = here.end().descriptor().ok_or("SPEC.pollable is true, and the end has no descriptor")?;
    epoll.add(descriptor, INPUT).map_err(|errno| format!("epoll_ctl: {errno}"))?;
    if is_readable(&epoll, NOW)? {
        return Err("epoll shows a message that was not sent".into());
    }
    here.tell(0)?;
    here.learn()?;
    if !is_readable(&epoll, SOON)? {
        return Err("epoll does not show a message that was sent".into());
    }
    here.hear(1)?;
    if is_readable(&epoll, NOW)? { Err("epoll shows a message that was received".into()) } else { Ok(()) }
}

/// `made` are the descriptors that the pair made.
fn shows_nothing<E: Endpoint>(here: &mut Side<E>, made: &BTreeSet<u32>) -> Verdict {
    if here.end().descriptor().is_some() {
        return Err("SPEC.pollable is false, and the end has a descriptor".into());
    }
    // Those of the other end are closed by now. Nothing has taken their numbers.
    let held: Vec<_> = descriptors(std::process::id())?.intersection(made).copied().collect();
    let epoll = epoll()?;
    for fd in held {
        // SAFETY: the end holds the descriptor, and lives until this function returns.
        let descriptor = unsafe { BorrowedFd::borrow_raw(fd.cast_signed()) };
        match epoll.add(descriptor, INPUT) {
            // A file that is always ready (epoll_ctl(2)).
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(format!("epoll_ctl: {errno}")),
        }
    }
    here.tell(0)?;
    here.learn()?;
    if is_readable(&epoll, NOW)? {
        return Err("SPEC.pollable is false, and epoll shows a message".into());
    }
    here.hear(1)
}

const INPUT: EpollEvent = EpollEvent::new(EpollFlags::EPOLLIN, 0);
const NOW: EpollTimeout = EpollTimeout::ZERO;
/// Milliseconds that nobody should need.
const SOON: u16 = 2_000;

fn epoll() -> Result<Epoll, String> {
    Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| format!("epoll_create1: {errno}"))
}

fn is_readable(epoll: &Epoll, timeout: impl Into<EpollTimeout>) -> Result<bool, String> {
    let mut events = [EpollEvent::empty(); 1];
    let ready = epoll.wait(&mut events, timeout).map_err(|errno| format!("epoll_wait: {errno}"))?;
    Ok(events[..ready].iter().any(|event| event.events().contains(EpollFlags::EPOLLIN)))
}
