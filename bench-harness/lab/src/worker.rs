//! A worker is a forked child that measures and reports over a pipe. The supervisor listens with a deadline, then reaps it.

use crate::{interrupt, oom, topology::Cpus};
use ipc_core::{
    Error,
    deadline::{self, Deadline},
    process::{self, Child, Exit},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{PipeReader, Read, Write, pipe},
    os::fd::AsFd,
    time::Duration,
};

/// The reason why a pair has no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The channel cannot be opened, or cannot carry the size. Every further pair would fail in the same way.
    #[error("{0}")]
    Channel(Error),
    /// A process could not be forked or supervised.
    #[error("{0}")]
    Process(Error),
    /// A child reported an error.
    #[error("{0}")]
    Failed(String),
    /// A payload that arrived differs from what was sent.
    #[error("wrong payload: {0}")]
    WrongPayload(String),
    /// A child ended without a report. Holds its name and how it ended.
    #[error("the {0} died without a report: {cause}", cause = cause_of(*.1))]
    Died(&'static str, Exit),
    /// The kernel killed a child for lack of memory. Holds the child's name and the cause.
    #[error("the {0} died without a report: {1}")]
    OutOfMemory(&'static str, String),
    /// The pair hung. Holds the deadline.
    #[error("no result within {0:?}")]
    Hung(Duration),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Explains a child's end without a report, in words.
pub fn cause_of(exit: Exit) -> String {
    let signal = match exit {
        Exit::Code(process::PANICKED) => return "it panicked (see its message above)".into(),
        Exit::Code(code) => return format!("exit code {code}"),
        Exit::Signal(signal) => signal,
    };
    let why = match signal {
        Signal::SIGBUS => ": its shared object was cut, or the memory behind it is used up",
        Signal::SIGABRT => ": it gave up, mostly for want of memory (see its message above)",
        Signal::SIGKILL => ": somebody killed it, perhaps for want of memory",
        Signal::SIGSYS => ": a seccomp filter forbids a system call that it made",
        Signal::SIGXCPU => ": its limit on processor time is used up (ulimit -t)",
        Signal::SIGXFSZ => ": a file would have become longer than it may (ulimit -f)",
        _ => "",
    };
    format!("killed by {signal}{why}")
}

/// The report that a child sends over its pipe.
#[derive(Serialize, Deserialize)]
enum Report<T> {
    Done(T),
    Failed(String),
    /// A failure that may be a consequence of the other process's end.
    PeerGone(String),
    WrongPayload(String),
}

/// A child whose work yields a `T`. Dropping the worker kills and reaps the child.
pub struct Worker<T> {
    name: &'static str,
    child: Child,
    reader: PipeReader,
    text: Vec<u8>,
    /// The report, once the pipe has closed. Until then the pipe is open.
    report: Option<T>,
}

impl<T: Serialize + DeserializeOwned> Worker<T> {
    /// Forks a child that does `part`. Error messages call it `name`.
    ///
    /// # Errors [`Error::Os`] of `pipe2` or `fork`.
    pub fn fork(name: &'static str, part: impl FnOnce() -> ipc_core::Result<T>) -> ipc_core::Result<Self> {
        oom::watch();
        let (reader, mut writer) = pipe().map_err(|e| Error::io("pipe2", &e))?;
        let child = process::fork(|| {
            let report = match part() {
                Ok(done) => Report::Done(done),
                Err(error @ Error::Corrupt { .. }) => Report::WrongPayload(error.to_string()),
                Err(error @ Error::PeerGone { .. }) => Report::PeerGone(error.to_string()),
                Err(error) => Report::Failed(error.to_string()),
            };
            let text = serde_json::to_vec(&report).unwrap_or_default();
            i32::from(writer.write_all(&text).is_err())
        })?;
        Ok(Self { name, child, reader, text: Vec::new(), report: None })
    }

    /// The child process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the child's end, for at most `limit`, and returns its report. `None` if the child still runs.
    ///
    /// # Errors [`PairError`] if the child reported an error or ended without a report.
    pub fn told(&mut self, limit: Duration) -> Result<Option<T>, PairError> {
        if self.child.wait(limit).map_err(PairError::Process)?.is_none() {
            return Ok(None);
        }
        self.reader.read_to_end(&mut self.text).map_err(|e| PairError::Process(Error::io("read", &e)))?;
        self.read().map(Some)
    }

    /// Reads the report after the pipe has closed. By then the child has ended or is about to.
    fn read(&mut self) -> Result<T, PairError> {
        match serde_json::from_slice(&self.text) {
            Ok(Report::Done(done)) => Ok(done),
            Ok(Report::Failed(why) | Report::PeerGone(why)) => Err(PairError::Failed(why)),
            Ok(Report::WrongPayload(why)) => Err(PairError::WrongPayload(why)),
            Err(_) => Err(match self.child.wait(AFTER_REPORT).map_err(PairError::Process)? {
                Some(exit) => self.death(exit),
                None => PairError::Hung(AFTER_REPORT),
            }),
        }
    }

    /// The error for an end without a report.
    fn death(&self, exit: Exit) -> PairError {
        match oom::cause().filter(|_| exit == Exit::Signal(Signal::SIGKILL)) {
            Some(why) => PairError::OutOfMemory(self.name, why),
            None => PairError::Died(self.name, exit),
        }
    }

    /// Whether this worker's failure may be a consequence of the other's end.
    fn blames_the_other(&self) -> bool {
        matches!(serde_json::from_slice::<Report<T>>(&self.text), Ok(Report::PeerGone(_)))
    }
}

/// The time within which a child must end after it has closed its pipe.
const AFTER_REPORT: Duration = Duration::from_secs(1);

/// How often a measurement is repeated if this process was stopped during it.
const REPETITIONS: u32 = 2;

/// Measures, and repeats if this process was stopped meanwhile: the processes that it measures were stopped, too. Also returns
/// whether the last attempt contains a stop.
pub fn unstopped<T>(mut measure: impl FnMut() -> T) -> (T, bool) {
    let mut attempt = || {
        let before = deadline::missed();
        (measure(), deadline::missed() != before)
    };
    let mut outcome = attempt();
    for _ in 0..REPETITIONS {
        if !outcome.1 || interrupt::requested() {
            break;
        }
        outcome = attempt();
    }
    outcome
}

/// A member's place in a crew: its hardware thread, and its name in error messages.
#[derive(Clone, Copy, Debug)]
pub struct Post {
    name: &'static str,
    cpu: Option<usize>,
}

impl Post {
    /// The post `name` on hardware thread `cpu`.
    pub const fn on(name: &'static str, cpu: usize) -> Self {
        Self { name, cpu: Some(cpu) }
    }

    /// The post `name` on the hardware thread at index `member` of `cpus`. If `cpus` is `None`, the scheduler chooses the
    /// thread.
    pub fn of(name: &'static str, cpus: Cpus, member: usize) -> Self {
        Self { name, cpu: cpus.map(|cpus| cpus[member]) }
    }
}

/// Forks one process for each of `posts` and returns their reports in the same order. Each process does `part` with its index.
/// A pair is a crew of two.
///
/// # Errors [`PairError`]. All processes are reaped in any case.
pub fn crew<T: Serialize + DeserializeOwned>(
    posts: &[Post],
    limit: Duration,
    mut part: impl FnMut(usize) -> ipc_core::Result<T>,
) -> Result<Vec<T>, PairError> {
    let mut workers = Vec::with_capacity(posts.len());
    for (member, post) in posts.iter().enumerate() {
        workers.push(
            Worker::fork(post.name, || {
                post.cpu.map_or(Ok(()), process::pin)?;
                part(member)
            })
            .map_err(PairError::Process)?,
        );
    }
    supervise(&mut workers, limit)
}

/// Reads all reports as they arrive. Stops at the first failure, at the deadline, or if the user asks to stop.
fn supervise<T: Serialize + DeserializeOwned>(workers: &mut [Worker<T>], limit: Duration) -> Result<Vec<T>, PairError> {
    // A signal that stops the whole process group stops the children as well.
    listen(workers, limit).map_err(|error| if interrupt::requested() { PairError::Interrupted } else { error })
}

fn listen<T: Serialize + DeserializeOwned>(workers: &mut [Worker<T>], limit: Duration) -> Result<Vec<T>, PairError> {
    let mut deadline = Deadline::after(limit);
    while workers.iter().any(|worker| worker.report.is_none()) {
        if interrupt::requested() {
            return Err(PairError::Interrupted);
        }
        let slice = deadline.slice();
        if slice.is_zero() {
            return Err(PairError::Hung(limit));
        }
        for index in readable(workers, slice)? {
            let worker = &mut workers[index];
            let mut chunk = [0; 1 << 16];
            match worker.reader.read(&mut chunk) {
                Ok(0) => match worker.read() {
                    Ok(report) => worker.report = Some(report),
                    // A child that fails leaves the other waiting for it, so this failure may be a consequence.
                    Err(_) if worker.blames_the_other() && workers.len() > 1 => return Err(cause(workers, index)?),
                    Err(error) => return Err(error),
                },
                Ok(len) => worker.text.extend_from_slice(&chunk[..len]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(PairError::Process(Error::io("read", &e))),
            }
        }
    }
    let mut reports = Vec::with_capacity(workers.len());
    for worker in workers {
        worker.child.wait(limit).map_err(PairError::Process)?;
        reports.extend(worker.report.take());
    }
    Ok(reports)
}

/// The reason why the worker at `index` lost its peer. If a signal killed the peer, that is the reason.
fn cause<T: Serialize + DeserializeOwned>(workers: &mut [Worker<T>], index: usize) -> Result<PairError, PairError> {
    for other in (0..workers.len()).filter(|&other| other != index) {
        let worker = &mut workers[other];
        if let Some(exit @ Exit::Signal(_)) = worker.child.wait(AFTER_REPORT).map_err(PairError::Process)? {
            return Ok(worker.death(exit));
        }
    }
    workers[index].read().map(|_| PairError::Interrupted)
}

/// The workers whose pipes are readable. Waits for at most `slice`.
fn readable<T>(workers: &[Worker<T>], slice: Duration) -> Result<Vec<usize>, PairError> {
    let open: Vec<usize> = (0..workers.len()).filter(|&index| workers[index].report.is_none()).collect();
    let mut fds: Vec<_> = open.iter().map(|&i| PollFd::new(workers[i].reader.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(open.iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(&i, _)| i).collect()),
        Err(Errno::EINTR) => Ok(Vec::new()),
        Err(errno) => Err(PairError::Process(Error::os("poll", errno))),
    }
}
