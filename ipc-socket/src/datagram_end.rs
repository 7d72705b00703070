//! The end of a connected socket that keeps messages apart.

use crate::{
    socket::set_patience,
    sys::{recv, send},
};
use ipc_core::{
    Endpoint, Error, Options, Result, Sign,
    liveness::Liveness,
    stream::set_nonblocking,
    transfer::{check_len, whole},
    wait::{WaitPolicy, Waiter},
    watch::Watch,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, Shutdown, shutdown},
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// What tells the socket types apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Whether the kernel ends the receiver's wait when the peer has gone.
    pub tells: bool,
    /// Whether a full receiver holds the sender back.
    pub reliable: bool,
    /// The longest message, in bytes.
    pub max: usize,
}

/// One end of [`UnixDgram`](crate::UnixDgram), [`UnixSeqpacket`](crate::UnixSeqpacket) or [`Udp`](crate::Udp): a
/// connected socket that keeps messages apart (send(2), recv(2)).
///
/// - A message that is longer than the receiver's buffer is [`Error::TooLarge`], and the kernel drops it.
/// - A very long message can fail with `ENOBUFS` where the memory of the system is in small pieces.
///
/// # Empty messages and the end
///
/// recv(2) returns 0 for an empty message and at the end. A `SOCK_SEQPACKET` socket has its end from the kernel, and a
/// datagram socket from its [`Watch`]. While the socket is not hung up, 0 is a message. When it is, only a count can
/// tell. So the sender of an empty message also leaves a [note](Liveness::note), and the receiver counts the notes.
/// Other messages leave none.
#[derive(Debug)]
pub struct DatagramEnd {
    /// Dropped first: its thread uses the others.
    watch: Option<Watch>,
    socket: Arc<OwnedFd>,
    peer: Arc<Liveness>,
    kind: Kind,
    policy: WaitPolicy,
    /// Added to the flags of a call's second attempt and those after it.
    later: MsgFlags,
    /// Empty messages received, and how many the peer has noted.
    empty: u64,
    noted: u64,
}

impl DatagramEnd {
    /// Makes an end of a connected socket.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where `kind` cannot carry [`Options::max_message`].
    pub(crate) fn new(socket: OwnedFd, peer: Liveness, kind: Kind, options: &Options) -> Result<Self> {
        check_len(options.max_message.unwrap_or(0), kind.max)?;
        let policy = WaitPolicy::of(options);
        let later = set_patience(&socket, &policy)?;
        let (socket, peer) = (Arc::new(socket), Arc::new(peer));
        Ok(Self { watch: None, socket, peer, kind, policy, later, empty: 0, noted: 0 })
    }

    /// Lets a thread end the sleep of `recv` when the peer has gone. From then on the socket does not block.
    #[cold]
    fn watch(&mut self) -> Result<()> {
        let socket = Arc::clone(&self.socket);
        self.watch = Some(Watch::start(&self.peer, &[self.socket.as_fd()], move |_| {
            let _ = set_nonblocking(&*socket, true);
            // Wakes a sleeping recv, which returns 0 where nothing is left to receive (net/core/datagram.c).
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        })?);
        Ok(())
    }

    /// Waits until a note can be left. A lossy mechanism holds nobody back: there the note is lost like a message.
    #[cold]
    fn await_room_for_note(&self) -> Result<()> {
        let mut waiter = Waiter::new(&self.policy, None);
        while self.kind.reliable && !has(&*self.peer, PollFlags::POLLOUT)? {
            waiter.ready(self.peer.as_fd(), PollFlags::POLLOUT)?;
        }
        Ok(())
    }

    /// What a `recv` that returned 0 has received: an empty message, the end, or a message that it overlooked. Its length.
    #[cold]
    fn empty_or_end(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let ended = has(&*self.socket, PollFlags::POLLHUP)?;
        self.noted += self.peer.notes();
        if !ended || self.empty < self.noted {
            self.empty += 1;
            return Ok(0);
        }
        // The kernel looks for a message and then for the end (`unix_dgram_recvmsg`, net/unix/af_unix.c), so a message that
        // was sent in between, just before the end, is still there.
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT) {
            Ok(len @ 1..) => Ok(len),
            // Where the kernel does not tell, the watch has shut the socket down.
            _ => Err(Error::PeerGone { sign: if self.kind.tells { Sign::EndOfFile } else { Sign::HangUp } }),
        }
    }
}

/// Whether `fd` has `event` now.
fn has(fd: impl AsFd, event: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::new(fd.as_fd(), event)];
    loop {
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(_) => return Ok(fds[0].revents().is_some_and(|found| found.contains(event))),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("poll", errno)),
        }
    }
}

/// The kernel reports that the peer refused or reset before it hands out what the peer had sent (`sock_error`,
/// net/core/datagram.c). Takes that, or returns the `error`.
#[cold]
fn recv_despite(error: Errno, socket: RawFd, buffer: &mut [u8]) -> nix::Result<usize> {
    match recv(socket, buffer, MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN) => Err(error),
        received => received,
    }
}

impl Endpoint for DatagramEnd {
    /// System call: `send`; while the peer's buffer is full also `ppoll`, unless the call may block or spins. For an empty
    /// message also `poll` and another `send`.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        check_len(message.len(), self.kind.max)?;
        if message.is_empty() {
            self.await_room_for_note()?;
        }
        let (fd, later) = (self.socket.as_fd(), self.later);
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        let peer = (!self.kind.tells).then_some(&*self.peer);
        whole("send", fd, PollFlags::POLLOUT, Waiter::new(&self.policy, peer), || {
            let sent = send(fd.as_raw_fd(), message, flags);
            flags |= later;
            sent
        })?;
        if message.is_empty() {
            self.peer.note();
        }
        Ok(())
    }

    /// System call: `recv`; while nothing is there also `ppoll`, unless the call may block or spins. For an empty message,
    /// and at the end, also `poll` and another `recv`.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.watch.is_none() && !self.kind.tells && self.policy.may_block() {
            self.watch()?;
        }
        let (fd, later) = (self.socket.as_fd(), self.later);
        // The true length, where the buffer is shorter.
        let mut flags = MsgFlags::MSG_TRUNC;
        let peer = (!self.kind.tells).then_some(&*self.peer);
        let mut len = whole("recv", fd, PollFlags::POLLIN, Waiter::new(&self.policy, peer), || {
            let received = recv(fd.as_raw_fd(), buffer, flags);
            flags |= later;
            match received {
                Err(error @ (Errno::ECONNREFUSED | Errno::ECONNRESET)) => recv_despite(error, fd.as_raw_fd(), buffer),
                received => received,
            }
        })?;
        if len == 0 {
            len = self.empty_or_end(buffer)?;
        }
        check_len(len, buffer.len())?;
        Ok(len)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn max_message(&self) -> usize {
        self.kind.max
    }

    /// System calls: `fcntl(F_GETFL)`, `fcntl(F_SETFL)`, `setsockopt` twice.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        // It may be about to change the socket's mode, too. The next call that sleeps starts another.
        self.watch = None;
        self.policy.timeout = timeout;
        self.later = set_patience(&self.socket, &self.policy)?;
        Ok(())
    }
}
