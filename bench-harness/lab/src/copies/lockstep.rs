//! Runs a traced pair one message at a time: the sender runs until it has sent message *n*, then the receiver until it has
//! received it. So neither ever waits, a message is never read in parts, and the counts of any window are exact.
//!
//! If the channel cannot hold a message, its sender has to wait. Then both processes run at once, and the calls by which they
//! wait for each other are counted with the rest.

use super::{
    Unmeasured, hidden,
    trace::{Tracee, Tracer, pause},
};
use crate::{
    copies::rules::Rule,
    payload,
    workload::driver::{self, Driver},
};
use ipc_core::{
    Channel, Endpoint, Error, Framing, Options,
    ledger::{self, Entries},
    process::Exit,
    shared::{Line, SharedPage},
    transfer::check_len,
};
use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    sync::atomic::Ordering,
    time::Duration,
};

/// The sender's index among the tracer's children.
pub const SENDER: usize = 0;
/// The receiver's index among the tracer's children. [`SENDER`] is the other one.
pub const RECEIVER: usize = 1;

/// How long a sender runs before each check whether it sleeps, and how many checks in a row must find it asleep. On a busy
/// machine it can sleep a while for other reasons.
const PATIENCE: Duration = Duration::from_millis(10);
const LOOKS: u32 = 5;
/// The most checks before the sender is left alone. A sender that spins never sleeps.
const MOST_LOOKS: u32 = 100;
/// The deadline of a message. After it the pair is given up.
const LIMIT: Duration = Duration::from_secs(20);

/// Lines of the shared page: each child's ledger, and whether the children are to end.
const CALLS: [usize; 2] = [0, 1];
const COPIES: [usize; 2] = [2, 3];
const COPIED_BYTES: [usize; 2] = [4, 5];
const STOP: usize = 6;

/// The receiver's verdict on a message.
const INTACT: u64 = 0;
const DAMAGED: u64 = 1;

/// A pair that rests between two messages.
#[derive(Debug)]
pub struct LockStep {
    tracer: Tracer,
    page: SharedPage,
    complaints: PipeReader,
    size: usize,
    /// The number of the next message.
    number: u64,
    /// Whether the channel holds a message while neither process runs.
    fits: bool,
    started: usize,
}

/// A pair over `C`. Its ends are closed after the pair has ended.
#[derive(Debug)]
pub struct Opened<E> {
    /// The pair.
    pub pair: LockStep,
    /// Closed after the children have been reaped, to remove what a killed child could not.
    _ends: (E, E),
}

/// Opens a pair over `C` for messages of `size` bytes, judged by `table`.
///
/// # Errors [`Unmeasured`] if the channel cannot be opened or does not take the size, or if tracing is not allowed.
pub fn open<C: Channel, K: Driver<Endpoint = C::Endpoint>>(
    size: usize,
    table: &'static [Rule],
) -> Result<Opened<C::Endpoint>, Unmeasured> {
    let options = Options { max_message: Some(driver::longest(size)), ..Options::default() };
    let (ends, started) = hidden::count_started(C::SPEC.name, || C::pair(&options)).map_err(Unmeasured::Channel)?;
    check_len(size, ends.0.max_message()).map_err(Unmeasured::Channel)?;
    let page = SharedPage::new().map_err(Unmeasured::Channel)?;
    let (complaints, writer) = pipe().map_err(|e| Unmeasured::Channel(Error::io("pipe2", &e)))?;

    // A random 64-bit number. A word of a message is then unlikely to equal memory by chance, or memory left there by another
    // pair.
    let first = fastrand::u64(..);
    let mut halves = Some(ends);
    let mut fork = |role: usize| {
        Tracee::fork(|| {
            let (here, there) = halves.take().expect("each child runs once");
            let (end, other) = if role == SENDER { (here, there) } else { (there, here) };
            drop(other);
            let driver = K::new(end, size, C::SPEC.framing == Framing::Message);
            let played = match role {
                SENDER => send_all(driver, first, &page),
                _ => receive_all(driver, first, &page),
            };
            complain(&writer, played)
        })
    };
    let children = [fork(SENDER)?, fork(RECEIVER)?];
    drop(writer);
    let mut tracer = Tracer::new(children, table, LIMIT);
    tracer.set_message(size as u64);
    let pair = LockStep { tracer, page, complaints, size, number: first, fits: true, started };
    Ok(Opened { pair, _ends: halves.expect("taken in the children only") })
}

/// Reports what went wrong and returns the exit code.
fn complain(mut writer: &PipeWriter, played: ipc_core::Result<()>) -> i32 {
    match played {
        Ok(()) => 0,
        Err(error) => {
            let _ = writer.write_all(error.to_string().as_bytes());
            1
        }
    }
}

/// The sender's part.
fn send_all<K: Driver>(mut driver: K, first: u64, page: &SharedPage) -> ipc_core::Result<()> {
    let mut number = first;
    loop {
        let mut place = 0;
        if let Err(error) = driver.send_showing(number, |message| place = message.as_ptr() as u64) {
            // Do not close the end: the other process would fail as a consequence.
            std::mem::forget(driver);
            return Err(error);
        }
        if !report(page, SENDER, [INTACT, place, 0]) {
            return Ok(());
        }
        number = number.wrapping_add(1);
    }
}

/// The receiver's part.
fn receive_all<K: Driver>(mut driver: K, first: u64, page: &SharedPage) -> ipc_core::Result<()> {
    let mut number = first;
    loop {
        let mut place = 0;
        let verdict = match driver.recv_showing(number, |message| place = message.as_ptr() as u64) {
            Ok(()) => INTACT,
            Err(payload::DAMAGED) => DAMAGED,
            Err(error) => {
                std::mem::forget(driver);
                return Err(error);
            }
        };
        if !report(page, RECEIVER, [verdict, place, 0]) {
            return Ok(());
        }
        number = number.wrapping_add(1);
    }
}

/// Publishes the ledger of `role`, pauses, and returns whether to go on.
fn report(page: &SharedPage, role: usize, details: [u64; 3]) -> bool {
    let entries = ledger::entries();
    let tell = |line: &Line, value| line.word.store(value, Ordering::Release);
    tell(&page[CALLS[role]], entries.calls);
    tell(&page[COPIES[role]], entries.copies);
    tell(&page[COPIED_BYTES[role]], entries.copied_bytes);
    pause(details);
    page[STOP].word.load(Ordering::Acquire) == 0
}

impl LockStep {
    /// The tracer, for inspecting the children while they pause.
    pub fn tracer(&mut self) -> &mut Tracer {
        &mut self.tracer
    }

    /// Message length in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The number of the message that is sent next, or was just sent and not yet received.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the channel can hold a message. If so, the sender need not wait for the receiver.
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// How many processes the channel started when it was opened.
    pub fn started(&self) -> usize {
        self.started
    }

    /// Lets the sender send a message. A sender that waits for the receiver is left waiting.
    ///
    /// # Errors [`Unmeasured`].
    pub fn send(&mut self) -> Result<(), Unmeasured> {
        self.tracer.release(SENDER);
        if !self.fits {
            return Ok(());
        }
        let mut asleep = 0;
        for _ in 0..MOST_LOOKS {
            if self.tracer.settle(&[SENDER], Some(PATIENCE))? {
                return self.must_have_paused(SENDER);
            }
            asleep = if self.tracer.sleeps(SENDER) { asleep + 1 } else { 0 };
            if asleep == LOOKS {
                break;
            }
        }
        self.fits = false;
        Ok(())
    }

    /// Lets the receiver receive the message. Returns whether it was intact.
    ///
    /// # Errors [`Unmeasured`].
    pub fn receive(&mut self) -> Result<bool, Unmeasured> {
        self.tracer.release(RECEIVER);
        // A process that has failed leaves the other waiting.
        while !self.tracer.settle(&[SENDER, RECEIVER], Some(PATIENCE))? {
            if [SENDER, RECEIVER].iter().any(|&role| self.tracer.has_ended(role)) {
                break;
            }
        }
        self.must_have_paused(SENDER)?;
        self.must_have_paused(RECEIVER)?;
        self.number = self.number.wrapping_add(1);
        Ok(self.tracer.details(RECEIVER)[0] == INTACT)
    }

    /// Moves `messages` messages, all of which must arrive intact.
    ///
    /// # Errors
    /// [`Unmeasured`].
    pub fn run(&mut self, messages: u64) -> Result<(), Unmeasured> {
        for _ in 0..messages {
            self.send()?;
            self.receive_intact()?;
        }
        Ok(())
    }

    /// Receives a message that was not changed on its way, as [`receive`](LockStep::receive) does.
    ///
    /// # Errors [`Unmeasured::WrongPayload`] if it was not intact.
    pub fn receive_intact(&mut self) -> Result<(), Unmeasured> {
        if self.receive()? { Ok(()) } else { Err(Unmeasured::WrongPayload(payload::DAMAGED)) }
    }

    /// The address of the last message in the memory of `child`.
    pub fn place(&self, child: usize) -> u64 {
        self.tracer.details(child)[1]
    }

    /// The ledgers of both processes.
    pub fn ledgers(&self) -> [Entries; 2] {
        let read = |line: usize| self.page[line].word.load(Ordering::Acquire);
        [SENDER, RECEIVER].map(|role| Entries {
            calls: read(CALLS[role]),
            copies: read(COPIES[role]),
            copied_bytes: read(COPIED_BYTES[role]),
        })
    }

    /// Lets both processes close their ends and exit.
    ///
    /// # Errors [`Unmeasured`].
    pub fn close(mut self) -> Result<(), Unmeasured> {
        self.page[STOP].word.store(1, Ordering::Release);
        self.tracer.release(SENDER);
        self.tracer.release(RECEIVER);
        self.tracer.settle(&[SENDER, RECEIVER], None)?;
        for role in [SENDER, RECEIVER] {
            if self.tracer.exit(role) != Some(Exit::Code(0)) {
                return Err(self.complaint(role));
            }
        }
        Ok(())
    }

    fn must_have_paused(&mut self, role: usize) -> Result<(), Unmeasured> {
        match [role, 1 - role].into_iter().find(|&role| self.tracer.has_ended(role)) {
            None => Ok(()),
            Some(ended) => Err(self.complaint(ended)),
        }
    }

    /// The reason why `role` has ended.
    fn complaint(&mut self, role: usize) -> Unmeasured {
        let exit = self.tracer.exit(role);
        let who = if role == SENDER { "sender" } else { "receiver" };
        let mut text = vec![0; 4096];
        if exit == Some(Exit::Code(1))
            && let Ok(len) = self.complaints.read(&mut text)
        {
            return Unmeasured::Failed(who, String::from_utf8_lossy(&text[..len]).into_owned());
        }
        Unmeasured::Died(who, exit.unwrap_or(Exit::Code(0)))
    }
}

impl<E> Opened<E> {
    /// Closes the pair as [`LockStep::close`] does, and then the ends.
    ///
    /// # Errors [`Unmeasured`].
    pub fn close(self) -> Result<(), Unmeasured> {
        self.pair.close()
    }
}
