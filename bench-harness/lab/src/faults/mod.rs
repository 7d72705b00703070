//! Inflicts one fault on one pair in the middle of a transfer, and records what became of the other process.
//!
//! The supervisor opens the channel and forks a sender and a receiver, or lets them find each other by name. It drops its own
//! copies, so each process is the only one to hold its end. The sender sends numbered messages, and the receiver checks every
//! one. Both count in a shared page. When both are under way, the supervisor waits for a random time and strikes. The survivor
//! has no deadline. It must notice the fault by itself, and reports when and how over a pipe of its own.

use crate::{
    clock,
    worker::{PairError, Worker},
    workload::driver::{self, Driver},
};
use bench_record::fault::{Blow, Fault, Party};
use ipc_core::{
    Channel, Endpoint, Error, Framing, Name, Options, Reliability, Rendezvous, Result, Spec, Wait,
    deadline::Deadline,
    leftovers::{self, Stray},
    objects,
    process::{self, Child, Exit},
    shared::SharedPage,
};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, waitid},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::Ordering,
    thread::sleep,
    time::{Duration, Instant},
};

/// Plays a trial on one mechanism.
pub type Inflict = fn(&Trial) -> ipc_core::Result<Outcome>;

/// What happens in one trial.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The fault.
    pub fault: Fault,
    /// Message length in bytes, at least 8.
    pub size: usize,
    /// The wait policy of both processes.
    pub wait: Wait,
    /// The hardware threads of the sender and the receiver; `None` leaves them to the scheduler.
    pub cpus: Option<[usize; 2]>,
    /// Time from the moment when both are under way to the strike.
    pub delay: Duration,
    /// What the other process does at the strike.
    pub peer: Peer,
    /// How long a stopped process stays stopped.
    pub pause: Duration,
}

/// What the process that is not struck does at the strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It transfers as fast as it can, and so does the struck process; or it connects to a binder.
    Busy,
    /// It waits, because the struck process pauses before each message.
    Waiting,
    /// It never comes to the binder.
    Absent,
}

/// The outcome of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How the survivor noticed. `None` if it had nothing to notice.
    pub sign: Option<String>,
    /// Nanoseconds from the strike to the survivor's error. After a stop: from the `SIGCONT` to the next message received.
    pub reaction_ns: Option<u64>,
    /// The survivor never noticed, or messages never moved again.
    pub hung: bool,
    /// A message that arrived differs from what was sent.
    pub corrupted: bool,
    /// Messages that `send` accepted and nobody received.
    pub lost: u64,
    /// The beginning of a message arrived without its end. The channel rightly did not deliver it.
    pub torn: bool,
    /// What both processes left in the kernel and on disk.
    pub left: Vec<String>,
    /// What was still left in the kernel and on disk after a sweep.
    pub left_after_sweep: Vec<String>,
    /// 1 if a child was not reaped.
    pub zombies: u32,
    /// Whether the name could be bound again at once. `None` if the trial has no name.
    pub rebound: Option<bool>,
    /// Any other error.
    pub error: Option<String>,
}

/// The deadline for a pair to be under way, and for a survivor to notice. A survivor that exceeds it counts as hung.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connector waits for a binder that may be dead.
const ENCOUNTER: Duration = Duration::from_millis(100);
/// Timeout of `bind` that suffices to find the name taken, or to begin to wait for a peer that never comes.
const GLANCE: Duration = Duration::from_millis(1);
/// How often the supervisor looks at the counters, and how long a slowed process sleeps before each message.
const TICK: Duration = Duration::from_micros(50);

/// Lines of the shared page.
mod line {
    /// Messages for which `send` returned.
    pub const SENT: usize = 0;
    /// Messages received and found intact.
    pub const RECEIVED: usize = 1;
    /// How many of the two processes hold their end.
    pub const READY: usize = 2;
    /// Not 0 if the process that is to close its end must do so now.
    pub const CLOSE: usize = 3;
    /// The time at which it closed its end.
    pub const CLOSED_AT: usize = 4;
}

/// The report of a process before it ends.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    /// The peer is gone.
    Gone { at_ns: u64, sign: String, torn: bool },
    /// A payload or the channel's own memory was damaged.
    Corrupt(String),
    /// The peer did not come within the timeout.
    Alone,
    /// Any other error.
    Failed(String),
}

/// Forks one process of the pair.
fn fork(part: impl FnOnce() -> Told) -> Result<Worker<Told>> {
    Worker::fork("process", || Ok(part()))
}

/// Waits for the end of `worker` and returns its report. `None` if it still runs.
fn told(worker: &mut Worker<Told>) -> Result<Option<Told>> {
    match worker.told(PATIENCE) {
        Ok(told) => Ok(told),
        Err(PairError::Process(error)) => Err(error),
        Err(silent) => Ok(Some(Told::Failed(silent.to_string()))),
    }
}

/// How the two processes get their ends.
enum Ends<E> {
    /// The ends were made before the fork.
    Made(Option<(E, E)>),
    /// The ends are made by name: the sender binds, the receiver connects.
    Named(Name, fn(&Name, &Options) -> Result<E>, fn(&Name, &Options) -> Result<E>),
}

impl<E> Ends<E> {
    fn take(&mut self, party: Party, options: &Options) -> Result<E> {
        match (self, party) {
            (Self::Made(ends), _) => {
                let (sender, receiver) = ends.take().expect("each child runs once");
                Ok(if party == Party::Sender { sender } else { receiver })
            }
            (Self::Named(name, bind, _), Party::Sender) => bind(name, options),
            (Self::Named(name, _, connect), Party::Receiver) => connect(name, options),
        }
    }
}

/// Plays `trial` over a channel that is made before the fork.
///
/// # Errors An error if no pair could be set up or supervised. A failure within the trial is in the [`Outcome`].
pub fn forked<C: Channel, K: Driver<Endpoint = C::Endpoint>>(trial: &Trial) -> Result<Outcome> {
    let ends = Ends::Made(Some(C::pair(&options(trial))?));
    let mut outcome = Outcome::default();
    let pids = transfer::<K>(trial, &C::SPEC, ends, &mut outcome)?;
    inspect(&pids, &mut outcome)?;
    Ok(outcome)
}

/// Plays `trial` between two processes that share only a name.
///
/// # Errors Those of [`forked`].
pub fn named<C: Rendezvous, K: Driver<Endpoint = C::Endpoint>>(trial: &Trial) -> Result<Outcome> {
    let name = Name::unique();
    let mut outcome = Outcome::default();
    let pids = match trial.fault.strikes().1 {
        Some(_) => transfer::<K>(trial, &C::SPEC, Ends::Named(name.clone(), C::bind, C::connect), &mut outcome)?,
        None => encounter::<C, K>(trial, &name, &mut outcome)?,
    };
    outcome.rebound = Some(is_free::<C>(&name)?);
    inspect(&pids, &mut outcome)?;
    if outcome.rebound == Some(false) && !is_free::<C>(&name)? {
        outcome.left_after_sweep.push(format!("the name {name}"));
    }
    Ok(outcome)
}

fn options(trial: &Trial) -> Options {
    Options { wait: trial.wait, max_message: Some(driver::longest(trial.size)), ..Options::default() }
}

/// Runs the transfer, strikes, and waits for the survivor. Returns the ids of all processes that may have left something.
fn transfer<K: Driver>(
    trial: &Trial,
    spec: &Spec,
    mut ends: Ends<K::Endpoint>,
    outcome: &mut Outcome,
) -> Result<Vec<u32>> {
    let page = SharedPage::new()?;
    let (blow, struck) = trial.fault.strikes();
    let struck = struck.expect("the fault strikes a transfer");
    // A stopped pair goes on, and then its sender ends the transfer in good order.
    let closes = match blow {
        Blow::Kill => None,
        Blow::Close => Some(struck),
        Blow::Stop => Some(Party::Sender),
    };
    let mut start = |party| {
        fork(|| {
            let dawdles = trial.peer == Peer::Waiting && party == struck;
            let part = Part { page: &page, spec, size: trial.size, dawdles, closes: closes == Some(party) };
            let pinned = trial.cpus.map_or(Ok(()), |cpus| process::pin(cpus[party as usize]));
            match pinned.and_then(|()| ends.take(party, &options(trial))) {
                Ok(end) => part.play::<K>(party, end),
                Err(error) => Told::Failed(format!("opening: {error}")),
            }
        })
    };
    let mut sender = start(Party::Sender)?;
    let mut receiver = start(Party::Receiver)?;
    // Drop the supervisor's copies: while it holds them, no peer counts as gone.
    drop(ends);
    let pids = vec![std::process::id(), pid(&mut sender), pid(&mut receiver)];

    // Neither process ends by itself before both are ready.
    until(PATIENCE, || page[line::READY].word.load(Ordering::Acquire) == 2);
    sleep(trial.delay);
    let (victim, survivor) = match struck {
        Party::Sender => (&mut sender, &mut receiver),
        Party::Receiver => (&mut receiver, &mut sender),
    };
    let struck_at = match blow {
        Blow::Kill => {
            let now = clock::now_ns();
            victim.child().signal(Signal::SIGKILL)?;
            now
        }
        Blow::Close => {
            page[line::CLOSE].word.store(1, Ordering::Release);
            0
        }
        Blow::Stop => {
            outcome.reaction_ns = pause(trial, victim.child(), &page)?;
            outcome.hung = outcome.reaction_ns.is_none();
            page[line::CLOSE].word.store(1, Ordering::Release);
            0
        }
    };
    // After a stop the sender closes, so the receiver is the witness.
    let (witness, other) = if blow == Blow::Stop { (&mut receiver, &mut sender) } else { (survivor, victim) };
    let told = told(witness)?;
    let struck_at = struck_at.max(page[line::CLOSED_AT].word.load(Ordering::Acquire));
    match told {
        Some(Told::Gone { at_ns, sign, torn }) if blow != Blow::Stop => {
            outcome.sign = Some(sign);
            outcome.torn = torn;
            outcome.reaction_ns = Some(at_ns.saturating_sub(struck_at));
        }
        Some(Told::Gone { .. }) => {}
        Some(Told::Corrupt(_)) => outcome.corrupted = true,
        Some(Told::Failed(why)) => outcome.error = Some(why),
        Some(Told::Alone) => unreachable!("no encounter"),
        None => outcome.hung = true,
    }
    witness.child().kill()?;
    // The other process is parked or dead, or reports why there was nothing to witness.
    if let Exit::Code(_) = other.child().kill()?
        && let Some(Told::Failed(why) | Told::Corrupt(why)) = self::told(other)?
    {
        outcome.error.get_or_insert(why);
    }
    let count = |line: usize| page[line].word.load(Ordering::Acquire);
    outcome.lost = count(line::SENT).saturating_sub(count(line::RECEIVED));
    Ok(pids)
}

/// Stops and continues `victim`. Returns the nanoseconds until messages moved again, or `None` if they never did.
fn pause(trial: &Trial, victim: &Child, page: &SharedPage) -> Result<Option<u64>> {
    victim.signal(Signal::SIGSTOP)?;
    sleep(trial.pause);
    let before = page[line::RECEIVED].word.load(Ordering::Acquire);
    let start = Instant::now();
    victim.signal(Signal::SIGCONT)?;
    let moved = until(PATIENCE, || page[line::RECEIVED].word.load(Ordering::Acquire) != before);
    Ok(moved.then(|| start.elapsed().as_nanos() as u64))
}

/// Kills a process that binds `name`, with or without a connecting peer.
fn encounter<C: Rendezvous, K: Driver<Endpoint = C::Endpoint>>(
    trial: &Trial,
    name: &Name,
    outcome: &mut Outcome,
) -> Result<Vec<u32>> {
    let page = SharedPage::new()?;
    let within = |limit| Options { timeout: Some(limit), ..options(trial) };
    let mut binder = fork(|| {
        page[line::READY].word.fetch_add(1, Ordering::AcqRel);
        let end = C::bind(name, &within(PATIENCE));
        sleep(PATIENCE);
        Told::Failed(format!("not killed, with {:?}", end.err()))
    })?;
    let mut connector = None;
    if trial.peer != Peer::Absent {
        connector = Some(fork(|| {
            // Only the connection has a timeout, the transfer has none.
            let met = C::connect(name, &within(ENCOUNTER));
            let met = met.and_then(|mut end| end.set_timeout(None).map(|()| end));
            let part = Part { page: &page, spec: &C::SPEC, size: trial.size, dawdles: false, closes: false };
            match met {
                Ok(end) => part.play::<K>(Party::Receiver, end),
                Err(Error::TimedOut) => Told::Alone,
                Err(error) => error_told(&error, false),
            }
        })?);
    }
    let mut pids = vec![std::process::id(), pid(&mut binder)];
    until(PATIENCE, || page[line::READY].word.load(Ordering::Acquire) > 0);
    sleep(trial.delay);
    let struck_at = clock::now_ns();
    binder.child().kill()?;
    if let Some(connector) = &mut connector {
        pids.push(pid(connector));
        match told(connector)? {
            Some(Told::Gone { at_ns, sign, .. }) => {
                outcome.sign = Some(sign);
                outcome.reaction_ns = Some(at_ns.saturating_sub(struck_at));
            }
            // The binder died before the two were connected.
            Some(Told::Alone) => outcome.sign = Some(Error::TimedOut.to_string()),
            Some(Told::Failed(why) | Told::Corrupt(why)) => outcome.error = Some(why),
            None => outcome.hung = true,
        }
        connector.child().kill()?;
    }
    Ok(pids)
}

/// Whether `name` can be bound. If it can, the call waits for a peer until the timeout.
fn is_free<C: Rendezvous>(name: &Name) -> Result<bool> {
    let options = Options { timeout: Some(GLANCE), ..Options::default() };
    match C::bind(name, &options) {
        Err(Error::TimedOut) => Ok(true),
        Err(Error::Taken { .. }) => Ok(false),
        Err(error) => Err(error),
        Ok(_) => Ok(true),
    }
}

/// Looks for children that were not reaped, and for leftovers before and after a sweep.
fn inspect(pids: &[u32], outcome: &mut Outcome) -> Result<()> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::All, flags) {
        Err(Errno::ECHILD) => {}
        Ok(_) => outcome.zombies = 1,
        Err(errno) => return Err(Error::os("waitid", errno)),
    }
    outcome.left = leftovers::of(pids, Stray::Passes)?;
    if !outcome.left.is_empty() {
        objects::sweep(false)?;
        outcome.left_after_sweep = leftovers::of(pids, Stray::Passes)?;
    }
    Ok(())
}

fn pid(worker: &mut Worker<Told>) -> u32 {
    worker.child().pid().as_raw().cast_unsigned()
}

/// Checks `done` every [`TICK`]. Returns `false` if it took longer than `limit`.
fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let mut deadline = Deadline::after(limit);
    while !done() {
        if deadline.has_passed() {
            return false;
        }
        sleep(TICK);
    }
    true
}

/// The part of one process of the pair.
struct Part<'a> {
    page: &'a SharedPage,
    spec: &'a Spec,
    size: usize,
    dawdles: bool,
    closes: bool,
}

impl Part<'_> {
    /// Sends or receives until the channel fails, or until the time to close the end.
    fn play<K: Driver>(&self, party: Party, end: K::Endpoint) -> Told {
        let mut driver = K::new(end, self.size, self.spec.framing == Framing::Message);
        self.page[line::READY].word.fetch_add(1, Ordering::AcqRel);
        let lossy = self.spec.reliability == Reliability::Lossy;
        for number in 0.. {
            if self.closes && self.page[line::CLOSE].word.load(Ordering::Acquire) != 0 {
                self.page[line::CLOSED_AT].word.store(clock::now_ns(), Ordering::Release);
                drop(driver);
                // The survivor must notice the close, not the end of the process.
                sleep(2 * PATIENCE);
                return Told::Failed("nobody noticed the close".into());
            }
            // After the close is requested, messages on their way should arrive soon.
            if self.dawdles && self.page[line::CLOSE].word.load(Ordering::Acquire) == 0 {
                sleep(TICK);
            }
            let moved = match party {
                Party::Sender => driver.send(number),
                Party::Receiver if lossy => driver.recv_any().map(drop),
                Party::Receiver => driver.recv(number),
            };
            if let Err(error) = moved {
                let told = error_told(&error, party == Party::Receiver && driver.has_beginning_of(number));
                return match (error.is_peer_gone(), again(&mut driver, party, number)) {
                    (true, Err(error)) if !error.is_peer_gone() => Told::Failed(format!("first gone, then: {error}")),
                    (true, Ok(())) if party == Party::Receiver => Told::Failed("first gone, then a message".into()),
                    _ => told,
                };
            }
            let count = if party == Party::Sender { line::SENT } else { line::RECEIVED };
            self.page[count].word.store(number + 1, Ordering::Release);
        }
        unreachable!("nobody counts to 2^64")
    }
}

/// Repeats the failed call: a peer that is gone must stay gone.
fn again(driver: &mut impl Driver, party: Party, number: u64) -> Result<()> {
    match party {
        Party::Sender => driver.send(number),
        Party::Receiver => driver.recv_any().map(drop),
    }
}

fn error_told(error: &Error, torn: bool) -> Told {
    match error {
        Error::PeerGone { sign } => Told::Gone { at_ns: clock::now_ns(), sign: sign.to_string(), torn },
        Error::Corrupt { .. } => Told::Corrupt(error.to_string()),
        error => Told::Failed(error.to_string()),
    }
}
