//! Whole messages through descriptors: partial transfers, `EINTR`, would-block and end of file.

use crate::{Error, Result, Sign, ledger, wait::Turn};
use nix::{errno::Errno, poll::PollFlags};
use std::os::fd::BorrowedFd;

/// How far a byte stream got with a message that a deadline interrupted: bytes already sent, bytes already received.
/// Zero between messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    sent: usize,
    received: usize,
}

impl Progress {
    /// How many bytes have gone of a message that a deadline interrupted.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Writes all of `message` with `write`, whose system call is named `call`, going on where a deadline stopped it.
    ///
    /// # Errors
    /// As [`Endpoint::send`](crate::Endpoint::send).
    #[inline]
    pub fn send(
        &mut self,
        call: &'static str,
        fd: BorrowedFd<'_>,
        message: &[u8],
        mut turn: Turn<'_>,
        mut write: impl FnMut(&[u8]) -> nix::Result<usize>,
    ) -> Result<()> {
        check_same("send", self.sent, message.len())?;
        while self.sent < message.len() {
            ledger::call();
            match write(&message[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(Errno::EAGAIN) => turn.ready(fd, PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os(call, errno)),
            }
        }
        self.sent = 0;
        Ok(())
    }

    /// Fills all of `buffer` with `read`, whose system call is named `call`, going on where a deadline stopped it.
    ///
    /// # Errors
    /// As [`Endpoint::recv`](crate::Endpoint::recv); [`Error::PeerGone`] at the end of file.
    #[inline]
    pub fn recv(
        &mut self,
        call: &'static str,
        fd: BorrowedFd<'_>,
        buffer: &mut [u8],
        mut turn: Turn<'_>,
        mut read: impl FnMut(&mut [u8]) -> nix::Result<usize>,
    ) -> Result<usize> {
        check_same("recv", self.received, buffer.len())?;
        while self.received < buffer.len() {
            ledger::call();
            match read(&mut buffer[self.received..]) {
                Ok(0) => return Err(Error::PeerGone { sign: Sign::EndOfFile }),
                Ok(n) => self.received += n,
                Err(Errno::EAGAIN) => turn.ready(fd, PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os(call, errno)),
            }
        }
        self.received = 0;
        Ok(buffer.len())
    }
}

/// Checks that a call goes on with the message that a deadline interrupted: `done` of `len` bytes have moved already.
///
/// # Errors
/// [`Error::Unsupported`] if it is another message.
#[inline]
pub fn check_same(what: &'static str, done: usize, len: usize) -> Result<()> {
    if done <= len {
        return Ok(());
    }
    let why =
        format!("{done} bytes of a message that timed out have moved; call again with that message, not {len} bytes");
    Err(Error::Unsupported { what, why })
}

/// Repeats `attempt`, one system call named `call` that moves a whole message or nothing, until it does not block.
/// The caller has checked the length.
///
/// # Errors
/// As [`Endpoint::send`](crate::Endpoint::send) and [`Endpoint::recv`](crate::Endpoint::recv).
#[inline]
pub fn whole<T>(
    call: &'static str,
    fd: BorrowedFd<'_>,
    events: PollFlags,
    mut turn: Turn<'_>,
    mut attempt: impl FnMut() -> nix::Result<T>,
) -> Result<T> {
    loop {
        ledger::call();
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Errno::EAGAIN) => turn.ready(fd, events)?,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os(call, errno)),
        }
    }
}

/// Checks that a message of `len` bytes can pass.
///
/// # Errors
/// [`Error::TooLarge`] if `len` is more than `max`.
#[inline]
pub fn check_len(len: usize, max: usize) -> Result<()> {
    if len <= max { Ok(()) } else { Err(Error::TooLarge { len, max }) }
}
