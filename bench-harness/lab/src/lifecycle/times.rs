//! Measures how long the steps of a channel's life take.

use super::{
    TRIALS,
    child::{in_child, words},
};
use crate::{
    clock::now_ns,
    payload::DAMAGED,
    topology::Cpus,
    worker::{self, Post},
};
use bench_record::stats::median;
use ipc_core::{
    Channel, Endpoint, Framing, Name, Options, Rendezvous,
    process::pin,
    shared::{Barrier, SharedPage},
};
use std::{
    hint::black_box,
    sync::atomic::Ordering,
    thread::sleep,
    time::{Duration, Instant},
};

/// The deadline of one trial.
const TRIAL: Duration = Duration::from_secs(5);
/// Length of the first message, in bytes.
const MESSAGE: usize = 64;
/// Long enough for the receiver to fall asleep in its call.
const SETTLE: Duration = Duration::from_millis(1);

/// Lines of the shared page after those of the barrier: when each side began, and when it had what it waited for.
const BEGAN: [usize; 2] = [2, 3];
const AT: [usize; 2] = [4, 5];

/// Times making a channel, and closing both of its unused ends, in nanoseconds. One channel is opened and closed first, so that
/// one-time needs of the process are met.
pub fn ends<C: Channel>(cpus: Cpus) -> Result<[f64; 2], String> {
    in_child(|| {
        pin_to(cpus, 0)?;
        let mut times = [const { Vec::new() }; 2];
        drop(C::pair(&Options::default()).map_err(words)?);
        for _ in 0..TRIALS {
            let start = Instant::now();
            let ends = black_box(C::pair(&Options::default()).map_err(words)?);
            let made = Instant::now();
            drop(ends);
            for (times, took) in times.iter_mut().zip([made - start, made.elapsed()]) {
                times.push(took.as_nanos() as f64);
            }
        }
        Ok(times.map(|mut times| median(&mut times).expect("there are trials")))
    })
}

/// Times a first message in nanoseconds, from its `send` to its arrival. Both processes are new, each holds one end that it has
/// not used before, and the receiver sleeps in `recv`. So the time includes page faults on both sides and a wake-up. It also
/// includes what an end starts with its first call, such as the [`Watch`](ipc_core::watch::Watch) of a queue's sender.
pub fn first_message<C: Channel>(cpus: Cpus) -> Result<f64, String> {
    in_child(|| median_of(|| first_message_of::<C>(cpus)))
}

fn first_message_of<C: Channel>(cpus: Cpus) -> Result<f64, String> {
    let page = SharedPage::new().map_err(words)?;
    // These copies close after both processes have ended. That removes what neither process could remove.
    let mut ends = Some(C::pair(&Options::default()).map_err(words)?);
    crew(["sender", "receiver"], cpus, |side| {
        let (sender, receiver) = ends.take().expect("each child runs once");
        let barrier = enter(&page, side)?;
        if side == 0 {
            let mut end = sender;
            drop(receiver);
            sleep(SETTLE);
            page[AT[0]].word.store(now_ns(), Ordering::Release);
            end.send(&[1; MESSAGE])?;
            // The end closes after the message has arrived.
            return barrier.meet();
        }
        let mut end = receiver;
        drop(sender);
        let room = if C::SPEC.framing == Framing::Stream { MESSAGE } else { end.max_message() };
        let mut buffer = vec![0; room];
        let len = end.recv(&mut buffer)?;
        page[AT[1]].word.store(now_ns(), Ordering::Release);
        if buffer[..len] != [1; MESSAGE] {
            return Err(DAMAGED);
        }
        barrier.meet()
    })?;
    let [sent, arrived] = AT.map(|line| page[line].word.load(Ordering::Acquire));
    Ok(arrived.saturating_sub(sent) as f64)
}

/// Times connecting in nanoseconds. One process binds and the other connects, both at once and with only the name in common.
/// The time ends when both have their end. A connector that comes first looks for the name once a millisecond.
pub fn connect<C: Rendezvous>(cpus: Cpus) -> Result<f64, String> {
    in_child(|| median_of(|| connect_of::<C>(cpus)))
}

fn connect_of<C: Rendezvous>(cpus: Cpus) -> Result<f64, String> {
    let page = SharedPage::new().map_err(words)?;
    let (name, options) = (Name::unique(), Options { timeout: Some(TRIAL), ..Options::default() });
    crew(["binder", "connector"], cpus, |side| {
        let barrier = enter(&page, side)?;
        let meet = if side == 0 { C::bind } else { C::connect };
        page[BEGAN[side]].word.store(now_ns(), Ordering::Release);
        let end = meet(&name, &options)?;
        page[AT[side]].word.store(now_ns(), Ordering::Release);
        // The end closes after the other process has its end, too.
        barrier.meet()?;
        drop(end);
        Ok(())
    })?;
    let at = |lines: [usize; 2]| lines.map(|line| page[line].word.load(Ordering::Acquire));
    let ([bound, connected], [first, second]) = (at(AT), at(BEGAN));
    Ok(bound.max(connected).saturating_sub(first.min(second)) as f64)
}

/// Runs a trial of two processes, each pinned to its CPU.
fn crew(names: [&'static str; 2], cpus: Cpus, part: impl FnMut(usize) -> ipc_core::Result<()>) -> Result<(), String> {
    let posts = [0, 1].map(|side| Post::of(names[side], cpus, side));
    worker::crew(&posts, TRIAL, part).map(drop).map_err(words)
}

/// Joins the trial as one of its two sides and waits for the other.
fn enter(page: &SharedPage, side: usize) -> ipc_core::Result<Barrier<'_>> {
    let barrier = Barrier::new(&page[..2], side);
    barrier.meet()?;
    Ok(barrier)
}

fn pin_to(cpus: Cpus, side: usize) -> Result<(), String> {
    cpus.map_or(Ok(()), |cpus| pin(cpus[side])).map_err(words)
}

/// The median over the trials, without the first one, which is not counted.
fn median_of(mut trial: impl FnMut() -> Result<f64, String>) -> Result<f64, String> {
    trial()?;
    let mut times = (0..TRIALS).map(|_| trial()).collect::<Result<Vec<_>, _>>()?;
    Ok(median(&mut times).expect("there are trials"))
}
