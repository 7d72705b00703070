//! A byte stream over a pair of pipes that refer to the sender's slots, with a fault.

use crate::{NAMES, REFILLS, REUSES};
use ipc_core::{
    Buffer, Channel, Copies, Endpoint, Error, Options, Result, SendInPlace, Spec, stream::StreamEnd,
    transfer::check_len,
};
use nix::fcntl::{SpliceFFlags, vmsplice};
use std::{
    io::{IoSlice, PipeReader, PipeWriter, pipe},
    time::Duration,
};

/// A pair of pipes with a `FAULT`.
pub struct Lent<const FAULT: u8>;

impl<const FAULT: u8> Channel for Lent<FAULT> {
    const SPEC: Spec = Spec {
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        ..Spec::new(NAMES[FAULT as usize], "slots that a pipe refers to, with a fault")
    };
    type Endpoint = End<FAULT>;

    fn pair(options: &Options) -> Result<(End<FAULT>, End<FAULT>)> {
        let pipe = || pipe().map_err(|e| Error::io("pipe2", &e));
        let (there, back) = (pipe()?, pipe()?);
        Ok((End::new(back.0, there.1, options)?, End::new(there.0, back.1, options)?))
    }
}

pub struct End<const FAULT: u8> {
    stream: StreamEnd,
    /// Used in turns. Each message takes a slot of the pipe at least, so one more than those is enough.
    slots: Vec<Buffer>,
    next: usize,
    filled: bool,
}

impl<const FAULT: u8> End<FAULT> {
    fn new(reader: PipeReader, writer: PipeWriter, options: &Options) -> Result<Self> {
        let stream = StreamEnd::new(reader.into(), writer.into(), options)?;
        let slots = stream.capacity()? / 4096 + usize::from(FAULT != REUSES);
        let max = options.max_message.unwrap_or(16 << 10);
        check_len(max, 16 << 20)?;
        Ok(Self { stream, slots: (0..slots).map(|_| Buffer::new(max)).collect(), next: 0, filled: false })
    }
}

impl<const FAULT: u8> Endpoint for End<FAULT> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message.len(), |slot| slot.copy_from_slice(message))
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.stream.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.slots[0].len()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.stream.set_timeout(timeout)
    }
}

impl<const FAULT: u8> SendInPlace for End<FAULT> {
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        check_len(len, self.max_message())?;
        let slot = &mut self.slots[self.next][..len];
        if !self.filled || FAULT == REFILLS {
            fill(slot);
        }
        self.filled = true;
        let flags = if self.stream.may_block() { SpliceFFlags::empty() } else { SpliceFFlags::SPLICE_F_NONBLOCK };
        self.stream.send_by("vmsplice", len, |pipe, gone| vmsplice(pipe, &[IoSlice::new(&slot[gone..])], flags))?;
        self.filled = false;
        // An empty message takes none.
        if len > 0 {
            self.next = (self.next + 1) % self.slots.len();
        }
        Ok(())
    }
}
