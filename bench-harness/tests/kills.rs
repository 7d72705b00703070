//! Processes that are killed in `bind` and `connect`, at any moment and over every mechanism that has names. After each kill
//! the same name must be bound again without a sweep, and a living owner must keep its name all the while.
//!
//! `IPC_BENCH_KILLS=1000 cargo test -p bench-harness --test kills` kills 1,000 times; a few by default.

use bench_harness::STANDARD;
use ipc_conformance::{Suite, Verdict, run_all, surroundings::isolate};
use ipc_core::{
    Endpoint, Error, Framing, Name, Options, Reach, Rendezvous, objects,
    process::{Child, Exit, fork},
    shared::SharedPage,
};
use std::{
    env,
    sync::atomic::Ordering,
    thread::sleep,
    time::{Duration, Instant},
};

fn main() {
    let mechanisms = [
        kills::<ipc_fifo::Fifo>(),
        kills::<ipc_msgq::SysvMsgq>(),
        kills::<ipc_msgq::PosixMq>(),
        kills::<ipc_shm::SysvShm>(),
        kills::<ipc_shm::PosixShm>(),
        kills::<ipc_shm::MmapFile>(),
        kills::<ipc_socket::UnixStream>(),
        kills::<ipc_socket::UnixDgram>(),
        kills::<ipc_socket::UnixSeqpacket>(),
        kills::<ipc_socket::Tcp>(),
        kills::<ipc_socket::TcpZerocopy>(),
        kills::<ipc_socket::Udp>(),
    ];
    let named = STANDARD.iter().filter(|mechanism| mechanism.spec.reach != Reach::Inherited).count();
    assert_eq!(mechanisms.len(), named, "every mechanism that has names");
    run_all(mechanisms);
}

fn kills<C: Rendezvous + 'static>() -> Suite {
    let all: usize = env::var("IPC_BENCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(48);
    let kills = all.div_ceil(12);
    // Names, /dev/shm and queues of its own: what is left behind on purpose disturbs nobody.
    Suite::new(C::SPEC.name).within(Duration::from_secs(60 + kills as u64)).prepared(
        "killed_in_bind_and_connect",
        || isolate(64 << 20),
        move || kill_and_bind_again::<C>(kills),
    )
}

/// For a peer that is there.
const AMPLE: Duration = Duration::from_secs(20);
/// For a peer that may be dead.
const SCANT: Duration = Duration::from_millis(20);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn within(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

fn kill_and_bind_again<C: Rendezvous>(kills: usize) -> Verdict {
    let (name, kept) = (Name::new("service").map_err(text)?, Name::new("kept").map_err(text)?);
    let keeper = binder::<C>(&kept)?;
    await_owner::<C>(&kept)?;
    for kill in 0..kills {
        let bind = kill % 2 == 0;
        let with_peer = kill % 4 < 2;
        strike::<C>(&name, bind, with_peer)?;
        let successor = binder::<C>(&name)?;
        meets::<C>(&name, successor).map_err(|why| {
            let role = if bind { "bind" } else { "connect" };
            format!("kill {kill} of {kills}, in {role}, {} peer: {why}", if with_peer { "with a" } else { "without" })
        })?;
        is_taken::<C>(&kept)?;
    }
    meets::<C>(&kept, keeper).map_err(|why| format!("the living owner: {why}"))?;
    objects::sweep(false).map(drop).map_err(text)
}

/// Kills a process at a random moment of `bind` or `connect`, and its peer, if it has one.
fn strike<C: Rendezvous>(name: &Name, bind: bool, with_peer: bool) -> Verdict {
    let page = SharedPage::new().map_err(text)?;
    let begun = &page[0].word;
    let role = |bind: bool, timeout: Duration| {
        fork(|| {
            begun.fetch_add(1, Ordering::AcqRel);
            let met = if bind { C::bind(name, &within(timeout)) } else { C::connect(name, &within(timeout)) };
            // Linked or not, the victim is killed with what it has.
            sleep(if timeout == AMPLE { AMPLE } else { Duration::ZERO });
            drop(met);
            0
        })
    };
    let mut victim = role(bind, AMPLE).map_err(text)?;
    let peer = if with_peer { Some(role(!bind, SCANT).map_err(text)?) } else { None };
    let deadline = Instant::now() + AMPLE;
    while begun.load(Ordering::Acquire) < 1 + u64::from(with_peer) && Instant::now() < deadline {
        std::hint::spin_loop();
    }
    sleep(Duration::from_micros(fastrand::u64(..1500)));
    victim.kill().map_err(text)?;
    match peer.map(|mut peer| peer.wait(AMPLE)) {
        None | Some(Ok(Some(_))) => Ok(()),
        other => Err(format!("the victim's peer: {other:?}")),
    }
}

/// A process that binds `name` and answers one message.
fn binder<C: Rendezvous>(name: &Name) -> Result<Child, String> {
    fork(|| {
        match C::bind(name, &within(Duration::from_secs(3600))).map_err(text).and_then(|end| talk::<C>(end, 1, 2)) {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("bind: {why}");
                1
            }
        }
    })
    .map_err(text)
}

/// The peer of `binder` comes, and the two talk.
fn meets<C: Rendezvous>(name: &Name, mut binder: Child) -> Verdict {
    let end = C::connect(name, &within(AMPLE)).map_err(|error| format!("connect: {error}"))?;
    talk::<C>(end, 2, 1)?;
    match binder.wait(AMPLE).map_err(text)? {
        Some(Exit::Code(0)) => Ok(()),
        exit => Err(format!("the binder ended with {exit:?}")),
    }
}

fn talk<C: Rendezvous>(mut end: C::Endpoint, said: u8, heard: u8) -> Verdict {
    const LEN: usize = 64;
    let room = if C::SPEC.framing == Framing::Stream { LEN } else { end.max_message().min(1 << 20) };
    let mut buffer = vec![0; room];
    end.send(&[said; LEN]).map_err(text)?;
    let len = end.recv(&mut buffer).map_err(text)?;
    if buffer[..len] == [heard; LEN] { Ok(()) } else { Err(format!("{len} bytes that the peer did not send")) }
}

/// Returns once a living process has `name`.
fn await_owner<C: Rendezvous>(name: &Name) -> Verdict {
    let deadline = Instant::now() + AMPLE;
    let meeting = objects::path(name, C::SPEC.name).map_err(text)?;
    while !meeting.exists() {
        if Instant::now() > deadline {
            return Err(format!("nobody has bound {name}"));
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn is_taken<C: Rendezvous>(name: &Name) -> Verdict {
    match C::bind(name, &within(Duration::from_millis(1))) {
        Err(Error::Taken { .. }) => Ok(()),
        other => Err(format!("a living owner has {name}, and bind says {:?}", other.map(drop))),
    }
}
