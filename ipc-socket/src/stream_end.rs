//! The end of a connected stream socket.

use crate::socket::set_patience;
use ipc_core::{
    Endpoint, Options, Result,
    transfer::Progress,
    wait::{WaitPolicy, Waiter},
};
use nix::sys::socket::{MsgFlags, recv, send};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// One end of [`UnixStream`](crate::UnixStream) or [`Tcp`](crate::Tcp): a connected stream socket (send(2), recv(2)).
///
/// A message has no limit. The receiver's buffer is as long as the message. `MSG_NOSIGNAL` is set, so a peer that has
/// gone raises no `SIGPIPE`.
#[derive(Debug)]
pub struct StreamEnd {
    socket: OwnedFd,
    progress: Progress,
    policy: WaitPolicy,
    /// Added to the flags of a call's second attempt and those after it.
    later: MsgFlags,
}

impl StreamEnd {
    /// Makes an end of a connected socket.
    pub(crate) fn new(socket: OwnedFd, options: &Options) -> Result<Self> {
        let policy = WaitPolicy::of(options);
        let later = set_patience(&socket, &policy)?;
        Ok(Self { socket, progress: Progress::default(), policy, later })
    }
}

impl Endpoint for StreamEnd {
    /// System call: `send`; while the buffer is full also `ppoll`, unless the call may block or spins.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let (fd, later) = (self.socket.as_fd(), self.later);
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        self.progress.send("send", fd, message.len(), Waiter::new(&self.policy, None), |gone| {
            let sent = send(fd.as_raw_fd(), &message[gone..], flags);
            flags |= later;
            sent
        })
    }

    /// System call: `recv`; while nothing is there also `ppoll`, unless the call may block or spins.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (fd, later) = (self.socket.as_fd(), self.later);
        let mut flags = MsgFlags::empty();
        self.progress.recv("recv", fd, buffer, &mut Waiter::new(&self.policy, None), |bytes| {
            let received = recv(fd.as_raw_fd(), bytes, flags);
            flags |= later;
            received
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    /// System calls: `fcntl(F_GETFL)`, `fcntl(F_SETFL)`, `setsockopt` twice.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.policy.timeout = timeout;
        self.later = set_patience(&self.socket, &self.policy)?;
        Ok(())
    }
}
