//! A waiter by each strategy: when it sleeps, when it gives up, and that it notices the peer's end.

use ipc_conformance::{Suite, Verdict, on_time, run_all};
use ipc_core::{
    Error, Options, Wait,
    liveness::Liveness,
    wait::{Step, WaitPolicy, Waiter},
};
use nix::poll::PollFlags;
use std::{
    io::pipe,
    os::fd::AsFd,
    thread::sleep,
    time::{Duration, Instant},
};

fn main() {
    run_all([Suite::new("wait")
        .within(Duration::from_secs(120))
        .test("ready_gives_up_at_the_deadline", ready_gives_up_at_the_deadline)
        .test("step_gives_up_at_the_deadline", step_gives_up_at_the_deadline)
        .test("only_spin_never_sleeps", only_spin_never_sleeps)
        .test("hybrid_spins_before_it_sleeps", hybrid_spins_before_it_sleeps)
        .test("ready_returns_when_it_is_ready", ready_returns_when_it_is_ready)
        .test("the_peer_may_go", the_peer_may_go)
        .test("only_a_bare_block_may_block", only_a_bare_block_may_block)]);
}

const TIMEOUT: Duration = Duration::from_millis(50);
/// A deadline that nobody should need.
const AMPLE: Duration = Duration::from_secs(10);

fn policy(wait: Wait, timeout: Option<Duration>) -> WaitPolicy {
    WaitPolicy::of(&Options { wait, timeout, ..Options::default() })
}

fn ready_gives_up_at_the_deadline() -> Verdict {
    let (reader, _writer) = pipe().map_err(|e| e.to_string())?;
    Wait::ALL.into_iter().try_for_each(|wait| {
        on_time(&format!("{wait}: ready"), TIMEOUT, || {
            let began = Instant::now();
            let mut waiter = Waiter::new(&policy(wait, Some(TIMEOUT)), None);
            let error = loop {
                if let Err(error) = waiter.ready(reader.as_fd(), PollFlags::POLLIN) {
                    break error;
                }
            };
            if error == Error::TimedOut { Ok(began.elapsed()) } else { Err(format!("{wait}: '{error}'")) }
        })
    })
}

fn step_gives_up_at_the_deadline() -> Verdict {
    Wait::ALL.into_iter().try_for_each(|wait| {
        on_time(&format!("{wait}: step"), TIMEOUT, || {
            let began = Instant::now();
            let mut waiter = Waiter::new(&policy(wait, Some(TIMEOUT)), None);
            loop {
                match waiter.step() {
                    Ok(Step::Retry) => {}
                    // Never longer than what is left.
                    Ok(Step::Sleep(Some(left))) if left <= TIMEOUT => sleep(left.min(Duration::from_millis(7))),
                    Ok(other) => return Err(format!("{wait}: {other:?}")),
                    Err(Error::TimedOut) => return Ok(began.elapsed()),
                    Err(error) => return Err(format!("{wait}: '{error}'")),
                }
            }
        })
    })
}

fn only_spin_never_sleeps() -> Verdict {
    for wait in Wait::ALL {
        let (began, spin) = (Instant::now(), Options::default().spin);
        let limit = if wait == Wait::Spin { 2 * TIMEOUT } else { AMPLE };
        let mut waiter = Waiter::new(&policy(wait, None), None);
        let mut retries = 0_u64;
        let slept = loop {
            match waiter.step().map_err(|e| e.to_string())? {
                Step::Sleep(None) => break true,
                Step::Retry if began.elapsed() > limit => break false,
                Step::Retry => retries += 1,
                other => return Err(format!("{wait}: {other:?} without a deadline")),
            }
        };
        let right = match wait {
            Wait::Block => slept && retries == 0,
            Wait::Spin => !slept,
            Wait::Hybrid => slept && began.elapsed() >= spin,
        };
        if !right {
            return Err(format!("{wait}: slept: {slept}, after {retries} retries and {:?}", began.elapsed()));
        }
    }
    Ok(())
}

/// One success is enough: a process that is preempted for longer than the spin time sleeps at once.
fn hybrid_spins_before_it_sleeps() -> Verdict {
    let spins = |_| matches!(Waiter::new(&policy(Wait::Hybrid, None), None).step(), Ok(Step::Retry));
    if (0..20).any(spins) { Ok(()) } else { Err("it sleeps at once".into()) }
}

fn ready_returns_when_it_is_ready() -> Verdict {
    let (_reader, writer) = pipe().map_err(|e| e.to_string())?;
    for wait in Wait::ALL {
        let mut waiter = Waiter::new(&policy(wait, Some(AMPLE)), None);
        waiter.ready(writer.as_fd(), PollFlags::POLLOUT).map_err(|error| format!("{wait}: {error}"))?;
    }
    Ok(())
}

fn the_peer_may_go() -> Verdict {
    let (reader, _writer) = pipe().map_err(|e| e.to_string())?;
    Wait::ALL.into_iter().try_for_each(|wait| {
        on_time(&format!("{wait}: noticing an end"), Duration::ZERO, || {
            let (here, there) = Liveness::pair().map_err(|e| e.to_string())?;
            drop(there);
            let began = Instant::now();
            let mut waiter = Waiter::new(&policy(wait, None), Some(&here));
            let error = loop {
                if let Err(error) = waiter.ready(reader.as_fd(), PollFlags::POLLIN) {
                    break error;
                }
            };
            if error.is_peer_gone() { Ok(began.elapsed()) } else { Err(format!("{wait}: '{error}'")) }
        })
    })
}

fn only_a_bare_block_may_block() -> Verdict {
    for wait in Wait::ALL {
        for timeout in [None, Some(TIMEOUT)] {
            if policy(wait, timeout).may_block() != (wait == Wait::Block && timeout.is_none()) {
                return Err(format!("{wait} with {timeout:?}"));
            }
        }
    }
    Ok(())
}
