//! A child that measures, and the pipe that its report comes home through: forked, listened to with a deadline, reaped.

use crate::{interrupt, oom, pair::PairError};
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

/// What a child sends home.
#[derive(Serialize, Deserialize)]
enum Report<T> {
    Done(T),
    Failed(String),
    /// A failure that the end of the other process may have caused.
    PeerGone(String),
    WrongPayload(String),
}

/// A child whose work yields a `T`. Dropping it kills and reaps the child.
pub(crate) struct Seat<T> {
    name: &'static str,
    child: Child,
    reader: PipeReader,
    text: Vec<u8>,
    /// What it reported; its pipe is open until then.
    report: Option<T>,
}

impl<T: Serialize + DeserializeOwned> Seat<T> {
    /// Forks a child that does `part` and is called `name` where it dies of it.
    pub(crate) fn fork(name: &'static str, part: impl FnOnce() -> ipc_core::Result<T>) -> Result<Self, PairError> {
        oom::watch();
        let (reader, mut writer) = pipe().map_err(|e| PairError::Process(Error::io("pipe2", &e)))?;
        let child = process::fork(|| {
            let report = match part() {
                Ok(done) => Report::Done(done),
                Err(error @ Error::Corrupt { .. }) => Report::WrongPayload(error.to_string()),
                Err(error @ Error::PeerGone { .. }) => Report::PeerGone(error.to_string()),
                Err(error) => Report::Failed(error.to_string()),
            };
            let text = serde_json::to_vec(&report).unwrap_or_default();
            i32::from(writer.write_all(&text).is_err())
        })
        .map_err(PairError::Process)?;
        Ok(Self { name, child, reader, text: Vec::new(), report: None })
    }

    /// What was reported, once the pipe has closed: the child has ended, or is about to.
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

    /// What its end without a report means.
    fn death(&self, exit: Exit) -> PairError {
        match oom::cause().filter(|_| exit == Exit::Signal(Signal::SIGKILL)) {
            Some(why) => PairError::OutOfMemory(self.name, why),
            None => PairError::Died(self.name, exit),
        }
    }

    /// Whether its failure may be a consequence.
    fn blames_the_other(&self) -> bool {
        matches!(serde_json::from_slice::<Report<T>>(&self.text), Ok(Report::PeerGone(_)))
    }
}

/// How long a child may take to end once it has closed its pipe.
const AFTER_REPORT: Duration = Duration::from_secs(1);

/// How often a measurement is repeated that contains a stop of this process.
const REPETITIONS: u32 = 2;

/// Measures, and once more where this process was stopped meanwhile: the processes that it measures were, too. Says whether the
/// last attempt also contains a stop.
pub(crate) fn unstopped<T>(mut measure: impl FnMut() -> T) -> (T, bool) {
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

/// Reads all reports as they come; ends at the first failure, at the deadline, or on the user's word.
pub(crate) fn supervise<T: Serialize + DeserializeOwned>(
    seats: &mut [Seat<T>],
    limit: Duration,
) -> Result<Vec<T>, PairError> {
    // Whoever stops the whole process group stops the children as well.
    listen(seats, limit).map_err(|error| if interrupt::requested() { PairError::Interrupted } else { error })
}

fn listen<T: Serialize + DeserializeOwned>(seats: &mut [Seat<T>], limit: Duration) -> Result<Vec<T>, PairError> {
    let mut deadline = Deadline::after(limit);
    while seats.iter().any(|seat| seat.report.is_none()) {
        if interrupt::requested() {
            return Err(PairError::Interrupted);
        }
        let slice = deadline.slice();
        if slice.is_zero() {
            return Err(PairError::Hung(limit));
        }
        for index in readable(seats, slice)? {
            let seat = &mut seats[index];
            let mut chunk = [0; 1 << 16];
            match seat.reader.read(&mut chunk) {
                Ok(0) => match seat.read() {
                    Ok(report) => seat.report = Some(report),
                    // One that failed leaves the other waiting for it.
                    Err(_) if seat.blames_the_other() && seats.len() > 1 => return Err(cause(seats, index)?),
                    Err(error) => return Err(error),
                },
                Ok(len) => seat.text.extend_from_slice(&chunk[..len]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(PairError::Process(Error::io("read", &e))),
            }
        }
    }
    let mut reports = Vec::with_capacity(seats.len());
    for seat in seats {
        seat.child.wait(limit).map_err(PairError::Process)?;
        reports.extend(seat.report.take());
    }
    Ok(reports)
}

/// Why the seat at `index` has lost the other: because that was killed, where it was.
fn cause<T: Serialize + DeserializeOwned>(seats: &mut [Seat<T>], index: usize) -> Result<PairError, PairError> {
    for other in (0..seats.len()).filter(|&other| other != index) {
        let seat = &mut seats[other];
        if let Some(exit @ Exit::Signal(_)) = seat.child.wait(AFTER_REPORT).map_err(PairError::Process)? {
            return Ok(seat.death(exit));
        }
    }
    seats[index].read().map(|_| PairError::Interrupted)
}

/// The seats whose pipe has something to read, waiting at most this long for one.
fn readable<T>(seats: &[Seat<T>], slice: Duration) -> Result<Vec<usize>, PairError> {
    let open: Vec<usize> = (0..seats.len()).filter(|&index| seats[index].report.is_none()).collect();
    let mut fds: Vec<_> = open.iter().map(|&i| PollFd::new(seats[i].reader.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(open.iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(&i, _)| i).collect()),
        Err(Errno::EINTR) => Ok(Vec::new()),
        Err(errno) => Err(PairError::Process(Error::os("poll", errno))),
    }
}
