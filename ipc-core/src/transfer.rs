//! Whole messages through descriptors: partial transfers, `EINTR`, would-block and end of file.

use crate::{Error, Result, Sign, ledger, wait::Waiter};
use nix::{errno::Errno, poll::PollFlags};
use std::os::fd::BorrowedFd;

/// How far a byte stream got with a message that a deadline interrupted: bytes already sent, bytes already received.
/// Zero between messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    sent: usize,
    /// The length of the message to be sent, and of the one to be received.
    sending: usize,
    received: usize,
    receiving: usize,
}

impl Progress {
    /// How many bytes have gone of a message that a deadline interrupted.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Sends all of the `len` bytes of a message with `write`, going on where a deadline stopped it. `write` is told how
    /// many bytes have gone, and returns how many it added to them. Its system call is named `call`.
    ///
    /// # Errors
    /// As [`Endpoint::send`](crate::Endpoint::send).
    #[inline]
    pub fn send(
        &mut self,
        call: &'static str,
        fd: BorrowedFd<'_>,
        len: usize,
        mut waiter: Waiter<'_>,
        mut write: impl FnMut(usize) -> nix::Result<usize>,
    ) -> Result<()> {
        check_same("send", self.sent, self.sending, len)?;
        self.sending = len;
        while self.sent < len {
            ledger::call();
            match write(self.sent) {
                Ok(n) => self.sent += n,
                Err(Errno::EAGAIN) => waiter.ready(fd, PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os(call, errno)),
            }
        }
        self.sent = 0;
        Ok(())
    }

    /// Fills all of `buffer` with `read`, whose system call is named `call`, going on where a deadline stopped it. Several
    /// receives with one `waiter` have one deadline.
    ///
    /// # Errors
    /// As [`Endpoint::recv`](crate::Endpoint::recv); [`Error::PeerGone`] at the end of file.
    #[inline]
    pub fn recv(
        &mut self,
        call: &'static str,
        fd: BorrowedFd<'_>,
        buffer: &mut [u8],
        waiter: &mut Waiter<'_>,
        mut read: impl FnMut(&mut [u8]) -> nix::Result<usize>,
    ) -> Result<usize> {
        check_same("recv", self.received, self.receiving, buffer.len())?;
        self.receiving = buffer.len();
        while self.received < buffer.len() {
            ledger::call();
            match read(&mut buffer[self.received..]) {
                Ok(0) => return Err(Error::PeerGone { sign: Sign::EndOfFile }),
                Ok(n) => self.received += n,
                Err(Errno::EAGAIN) => waiter.ready(fd, PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os(call, errno)),
            }
        }
        self.received = 0;
        Ok(buffer.len())
    }
}

/// Checks that a call for `len` bytes goes on with the message that a deadline interrupted: `done` of its `begun` bytes
/// have moved already.
///
/// # Errors
/// [`Error::Unsupported`] if it is another message.
#[inline]
pub fn check_same(what: &'static str, done: usize, begun: usize, len: usize) -> Result<()> {
    if done == 0 || begun == len {
        return Ok(());
    }
    let why = format!(
        "{done} of {begun} bytes of a message that timed out have moved; call again with that message, not {len} bytes"
    );
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
    mut waiter: Waiter<'_>,
    mut attempt: impl FnMut() -> nix::Result<T>,
) -> Result<T> {
    loop {
        ledger::call();
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Errno::EAGAIN) => waiter.ready(fd, events)?,
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
