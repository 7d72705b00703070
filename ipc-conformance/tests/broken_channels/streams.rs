//! A byte stream over a pair of pipes, with a fault.

use crate::{BLIND, FORGETS_PART, NAMES, SECRETIVE, SHOWS_ROOM, TEARS};
use ipc_core::{Channel, Endpoint, Error, Options, Result, Spec, stream::StreamEnd};
use std::{
    io::pipe,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// A pair of pipes with a `FAULT`.
pub struct Streams<const FAULT: u8>;

impl<const FAULT: u8> Channel for Streams<FAULT> {
    const SPEC: Spec =
        Spec { pollable: FAULT != SECRETIVE, ..Spec::new(NAMES[FAULT as usize], "a byte stream with a fault") };
    type Endpoint = End<FAULT>;

    fn pair(options: &Options) -> Result<(End<FAULT>, End<FAULT>)> {
        let pipe = || pipe().map_err(|e| Error::io("pipe2", &e));
        let (there, back) = (pipe()?, pipe()?);
        Ok((End::new(back.0.into(), there.1.into(), options)?, End::new(there.0.into(), back.1.into(), options)?))
    }
}

pub struct End<const FAULT: u8> {
    stream: StreamEnd,
    /// The same once more, to forget how far a message got.
    fresh: Option<StreamEnd>,
    /// Shows whether there is room.
    writer: OwnedFd,
}

impl<const FAULT: u8> End<FAULT> {
    fn new(reader: OwnedFd, writer: OwnedFd, options: &Options) -> Result<Self> {
        let again = |fd: &OwnedFd| fd.try_clone().map_err(|e| Error::io("fcntl", &e));
        let fresh = match FAULT {
            FORGETS_PART => Some(StreamEnd::new(again(&reader)?, again(&writer)?, options)?),
            _ => None,
        };
        Ok(Self { writer: again(&writer)?, stream: StreamEnd::new(reader, writer, options)?, fresh })
    }
}

impl<const FAULT: u8> Endpoint for End<FAULT> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.stream.recv(buffer) {
            Err(Error::PeerGone { .. }) if FAULT == TEARS => Ok(buffer.len()),
            Err(Error::TimedOut) if FAULT == FORGETS_PART => {
                if let Some(fresh) = self.fresh.take() {
                    self.stream = fresh;
                }
                Err(Error::TimedOut)
            }
            result => result,
        }
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match FAULT {
            BLIND | SECRETIVE => None,
            SHOWS_ROOM => Some(self.writer.as_fd()),
            _ => self.stream.descriptor(),
        }
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        if let Some(fresh) = &mut self.fresh {
            fresh.set_timeout(timeout)?;
        }
        self.stream.set_timeout(timeout)
    }
}
