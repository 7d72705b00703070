//! A child that measures, and the pipe that its report comes home through: forked, listened to with a deadline, reaped.

use crate::{interrupt, pair::PairError};
use ipc_core::{
    Error,
    process::{self, Child},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{PipeReader, Read, Write, pipe},
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// What a child sends home.
#[derive(Serialize, Deserialize)]
enum Report<T> {
    Done(T),
    Failed(String),
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
        let (reader, mut writer) = pipe().map_err(|e| PairError::Process(Error::io("pipe2", &e)))?;
        let child = process::fork(|| {
            let report = match part() {
                Ok(done) => Report::Done(done),
                Err(error @ Error::Corrupt { .. }) => Report::WrongPayload(error.to_string()),
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
            Ok(Report::Failed(why)) => Err(PairError::Failed(why)),
            Ok(Report::WrongPayload(why)) => Err(PairError::WrongPayload(why)),
            Err(_) => Err(match self.child.wait(AFTER_REPORT).map_err(PairError::Process)? {
                Some(exit) => PairError::Died(self.name, exit),
                None => PairError::Hung(AFTER_REPORT),
            }),
        }
    }
}

/// How long a child may take to end once it has closed its pipe.
const AFTER_REPORT: Duration = Duration::from_secs(1);

/// Reads all reports as they come; ends at the first failure, at the deadline, or on the user's word.
pub(crate) fn supervise<T: Serialize + DeserializeOwned>(
    seats: &mut [Seat<T>],
    limit: Duration,
) -> Result<Vec<T>, PairError> {
    let deadline = Instant::now() + limit;
    while seats.iter().any(|seat| seat.report.is_none()) {
        if interrupt::requested() {
            return Err(PairError::Interrupted);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PairError::Hung(limit));
        }
        for index in readable(seats, left)? {
            let seat = &mut seats[index];
            let mut chunk = [0; 1 << 16];
            match seat.reader.read(&mut chunk) {
                // One that failed leaves the other waiting for it.
                Ok(0) => seat.report = Some(seat.read()?),
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

/// The seats whose pipe has something to read, waiting briefly for one.
fn readable<T>(seats: &[Seat<T>], left: Duration) -> Result<Vec<usize>, PairError> {
    const SLICE: Duration = Duration::from_millis(100);
    let open: Vec<usize> = (0..seats.len()).filter(|&index| seats[index].report.is_none()).collect();
    let mut fds: Vec<_> = open.iter().map(|&i| PollFd::new(seats[i].reader.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::try_from(left.min(SLICE)).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(open.iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(&i, _)| i).collect()),
        Err(Errno::EINTR) => Ok(Vec::new()),
        Err(errno) => Err(PairError::Process(Error::os("poll", errno))),
    }
}
