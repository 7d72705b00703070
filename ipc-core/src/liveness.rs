//! Noticing that the peer is gone, for mechanisms whose kernel objects do not tell.
//!
//! Queues and shared memory outlive a dead peer, and datagrams have no end of file. Such channels carry one connected
//! Unix stream socket. The kernel closes a process's end whichever way the process ends. So a hang-up means that no
//! process holds the other end any more.
//!
//! The path of a message does not look at the socket. A call that is already waiting does, and so does the thread that
//! [watches](crate::watch) for a call that sleeps.
//!
//! Datagram sockets also leave [notes](Liveness::note) on it, since their receivers cannot tell an empty message from
//! the end. Where one process has to know which process the other is, that one [introduces
//! itself](Liveness::introduce).

use crate::{
    Error, Name, Result, Sign, ledger,
    objects::{self, Object, Owned, SocketAddress},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll, ppoll},
    sys::{
        socket::{
            AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials,
            bind, getsockopt, listen, recv, recvmsg, send, sendmsg, setsockopt, socket, sockopt,
        },
        stat::{Mode, fchmod},
        time::TimeSpec,
    },
    unistd::{Pid, geteuid, read},
};
use std::{
    io::{IoSlice, IoSliceMut, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

/// One end of the socket that shows whether the peer lives.
#[derive(Debug)]
pub struct Liveness(UnixStream);

impl Liveness {
    /// Both ends, for [`Channel::pair`](crate::Channel::pair). System call: `socketpair`, close-on-exec.
    ///
    /// # Errors
    /// [`Error::Os`], such as `EMFILE`.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = UnixStream::pair().map_err(|e| Error::io("socketpair", &e))?;
        Ok((Self(a), Self(b)))
    }

    /// Whether no process holds the other end any more.
    ///
    /// # Errors
    /// [`Error::Os`] of `poll`.
    pub fn is_gone(&self) -> Result<bool> {
        let mut fds = [self.poll_fd()];
        loop {
            ledger::call();
            match poll(&mut fds, PollTimeout::ZERO) {
                Ok(n) => return Ok(n > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os("poll", errno)),
            }
        }
    }

    /// Tells whether an error of opening the objects of the peer means that the peer is gone. For use while the link
    /// is set up.
    ///
    /// - `ENOENT` does if the peer's socket has hung up. The peer has gone, or has let in another process and removed
    ///   the names.
    /// - `ENXIO` always does: a FIFO that nobody reads. The peer opened it before it listened, and its end can close
    ///   before its socket does.
    ///
    /// # Errors
    /// [`Error::PeerGone`] in these cases, otherwise that of `opened`.
    pub fn or_gone<T>(&self, opened: Result<T>) -> Result<T> {
        let is_gone = match opened.as_ref().err().and_then(Error::errno) {
            Some(Errno::ENXIO) => true,
            Some(Errno::ENOENT) => self.is_gone()?,
            _ => false,
        };
        if is_gone { Err(Error::PeerGone { sign: Sign::HangUp }) } else { opened }
    }

    /// What to pass to poll(2). Any event means that the peer is gone.
    pub fn poll_fd(&self) -> PollFd<'_> {
        // A hang-up is reported without being asked for.
        PollFd::new(self.0.as_fd(), PollFlags::empty())
    }

    /// Leaves the peer a note. The peer can count it even when this process has gone. System call: `send`.
    ///
    /// The note is lost if there is no room. Wait for room first, until [`as_fd`](AsFd::as_fd) polls writable.
    pub fn note(&self) {
        let _ = send(self.0.as_raw_fd(), &[0], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }

    /// Takes the notes that the peer has left and counts them. System call: `recv`.
    pub fn notes(&self) -> u64 {
        let mut notes = [0; 256];
        let mut taken = 0;
        // Whatever ends this, an end of file, EAGAIN or ECONNRESET, there are no more now.
        while let Ok(n @ 1..) = recv(self.0.as_raw_fd(), &mut notes, MsgFlags::MSG_DONTWAIT) {
            taken += n as u64;
        }
        taken
    }

    /// Tells the peer which process this is, attested by the kernel. Call it once, before anything else is left on the
    /// socket. System call: `sendmsg` with `SCM_CREDENTIALS`.
    ///
    /// # Errors
    /// [`Error::PeerGone`], or [`Error::Os`] of `sendmsg`.
    pub fn introduce(&self) -> Result<()> {
        let credentials = UnixCredentials::new();
        let (byte, attested) = ([IoSlice::new(&[0])], [ControlMessage::ScmCredentials(&credentials)]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        ledger::call();
        let sent = sendmsg::<()>(self.0.as_raw_fd(), &byte, &attested, flags, None);
        sent.map(drop).map_err(|e| Error::os("sendmsg", e))
    }

    /// Takes the introduction of the peer, and returns its process by the id that it has here. `None` if there is no
    /// introduction. System calls: `setsockopt(SO_PASSCRED)`, `recvmsg`.
    ///
    /// The kernel lets a process name no other than itself, unless it may administrate the system (unix(7)).
    ///
    /// # Errors
    /// [`Error::Os`] of either call.
    pub fn introduced(&self) -> Result<Option<Pid>> {
        setsockopt(&self.0, sockopt::PassCred, &true).map_err(|e| Error::os("setsockopt", e))?;
        let mut room = nix::cmsg_space!(UnixCredentials);
        let mut byte = [0];
        let mut byte = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        ledger::call();
        match recvmsg::<()>(self.0.as_raw_fd(), &mut byte, Some(&mut room), flags) {
            Ok(message) => {
                let mut attested = message.cmsgs().map_err(|e| Error::os("recvmsg", e))?;
                Ok(attested.find_map(|message| match message {
                    ControlMessageOwned::ScmCredentials(peer) if peer.pid() > 0 => Some(Pid::from_raw(peer.pid())),
                    _ => None,
                }))
            }
            Err(Errno::EAGAIN | Errno::ECONNRESET) => Ok(None),
            Err(errno) => Err(Error::os("recvmsg", errno)),
        }
    }

    /// Tells the peer `word` while the link is being set up.
    ///
    /// # Errors
    /// [`Error::PeerGone`] or [`Error::Os`] of `write`.
    pub fn tell(&mut self, word: u64) -> Result<()> {
        self.0.write_all(&word.to_ne_bytes()).map_err(|e| Error::io("write", &e))
    }

    /// Waits, while the link is being set up, for the peer's word.
    ///
    /// # Errors
    /// As [`hear_exactly`].
    pub fn hear(&mut self, deadline: Instant) -> Result<u64> {
        let mut word = [0; 8];
        hear_exactly(&self.0, &mut word, deadline)?;
        Ok(u64::from_ne_bytes(word))
    }
}

impl AsFd for Liveness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the process at the other end of a connected Unix socket runs as this user (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// [`Error::Os`] of `getsockopt`.
pub fn is_ours(socket: impl AsFd) -> Result<bool> {
    let peer = getsockopt(&socket, sockopt::PeerCredentials).map_err(|e| Error::os("getsockopt", e))?;
    Ok(peer.uid() == geteuid().as_raw())
}

/// The binding side of a rendezvous: a listening socket under the name of the channel, mode 0600, in the user's
/// private folder.
///
/// Other users cannot reach it. Whoever connects is asked for its user all the same.
#[derive(Debug)]
pub struct Meeting {
    listener: UnixListener,
    _path: Owned,
}

impl Meeting {
    /// Opens the meeting place of `name` for `mechanism`. Do this once the mechanism's own objects stand.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is taken.
    pub fn open(name: &Name, mechanism: &str) -> Result<Self> {
        let path = objects::path(name, mechanism)?;
        let (listener, owned) = Owned::create(Object::Path(path.clone()), || listening(&path))?;
        Ok(Self { listener, _path: owned })
    }

    /// Waits for the peer and closes the place.
    ///
    /// # Errors
    /// [`Error::TimedOut`] at `deadline`.
    pub fn accept(self, deadline: Instant) -> Result<Liveness> {
        loop {
            await_readable(&self.listener, deadline)?;
            let (stream, _) = self.listener.accept().map_err(|e| Error::io("accept", &e))?;
            if is_ours(&stream)? {
                return Ok(Liveness(stream));
            }
        }
    }

    /// Waits for the meeting place of `name` to appear and enters it.
    ///
    /// # Errors
    /// [`Error::TimedOut`] at `deadline`.
    pub fn join(name: &Name, mechanism: &str, deadline: Instant) -> Result<Liveness> {
        let path = objects::path(name, mechanism)?;
        let socket = stream_socket()?;
        retry_by(deadline, || Ok(SocketAddress::connect(&socket, &path)?.then_some(())))?;
        if is_ours(&socket)? {
            return Ok(Liveness(socket.into()));
        }
        let why = format!("{} belongs to another user: choose another name", path.display());
        Err(Error::Unsupported { what: "name", why })
    }
}

fn stream_socket() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    socket.map_err(|e| Error::os("socket", e))
}

fn listening(path: &Path) -> Result<UnixListener> {
    let socket = stream_socket()?;
    // The mode of the socket is that of the file which bind makes (net/unix/af_unix.c).
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("fchmod", e))?;
    bind(socket.as_raw_fd(), SocketAddress::of(path)?.get()).map_err(|e| Error::os("bind", e))?;
    listen(&socket, Backlog::MAXCONN).map_err(|e| Error::os("listen", e))?;
    Ok(socket.into())
}

/// Sleeps until `fd` can be read from. System call: `ppoll`.
///
/// # Errors
/// [`Error::TimedOut`] at `deadline`.
pub fn await_readable(fd: impl AsFd, deadline: Instant) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            Ok(0) if left.is_zero() => return Err(Error::TimedOut),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(Error::os("ppoll", errno)),
        }
    }
}

/// Fills `buffer` with what the peer says on `fd`, which nobody else reads. System calls: `ppoll`, `read`.
///
/// The kernel's own deadline (`SO_RCVTIMEO`) would start again with each signal.
///
/// # Errors
/// [`Error::TimedOut`] at `deadline`, [`Error::PeerGone`] if the peer ended first.
pub fn hear_exactly(fd: impl AsFd, buffer: &mut [u8], deadline: Instant) -> Result<()> {
    let mut heard = 0;
    while heard < buffer.len() {
        await_readable(&fd, deadline)?;
        match read(&fd, &mut buffer[heard..]) {
            Ok(0) => return Err(Error::PeerGone { sign: Sign::EndOfFile }),
            Ok(n) => heard += n,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(Error::os("read", errno)),
        }
    }
    Ok(())
}

/// Repeats `attempt` every millisecond until it yields something or `deadline` passes.
///
/// # Errors
/// [`Error::TimedOut`], or what `attempt` returned.
pub fn retry_by<T>(deadline: Instant, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        if Instant::now() >= deadline {
            return Err(Error::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
