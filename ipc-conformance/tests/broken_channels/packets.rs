//! Sequenced packets over a Unix socket, in place and by name, too: sound, or with a fault.

use crate::{
    BUFFERS, CLAIMS, COMMITS, CUTS, CUTS_SHORT, DROPS, ECHOES, FILLS, FLIPS, FLIPS_AND_LOSES, FORGETS, FORGIVES,
    GHOSTS, GIVES_UP, GRANTS, HANGS, HASTY, IMPATIENT, INTERRUPTED, KEEPS_OUT, LACKING, LATE, LEAVES_FILE,
    LEAVES_QUEUE, LEAVES_SEGMENT, LINGERS, LOSES, MIXES, NAME_STAYS, NAMES, PANICS, PATIENT, REFUSES, RESTARTS, SHUTS,
    STAYS, SURVIVES, SWALLOWS, TAKES, TEARS, TEARS_ITS_OWN, TWICE, UNALIGNED, UNJOURNALED, WELCOMES,
};
use ipc_core::{
    Buffer, Channel, Custody, Endpoint, Error, Framing, InPlace, Name, Options, Reach, Reliability, Rendezvous, Result,
    SendInPlace, Sign, Spec,
    corruption::Corruption,
    liveness::{hear_exactly, retry_by},
    objects::{self, Object, Owned, SocketAddress},
    sysv,
    transfer::{check_len, whole},
    wait::{WaitPolicy, Waiter},
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, bind, listen, recv, send, shutdown, socket,
        socketpair,
    },
};
use std::{
    collections::VecDeque,
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    sync::Mutex,
    thread::{self, ThreadId, sleep},
    time::{Duration, Instant},
};

/// The key of the queue that is left, in no journal, by a test's process of this id.
pub fn queue_left_by(test: u32) -> sysv::Key {
    0x1bad_0000 | (test & 0xffff).cast_signed()
}

/// The longest message, in bytes. On the socket each has one byte more, so that an empty one is told from the end.
const MAX: usize = 16 << 10;

/// A pair of sequenced-packet sockets with a `FAULT`.
pub struct Packets<const FAULT: u8>;

/// What a channel that mixes has opened before.
static OTHERS: Mutex<Option<[OwnedFd; 2]>> = Mutex::new(None);

impl<const FAULT: u8> Channel for Packets<FAULT> {
    const SPEC: Spec = Spec {
        framing: Framing::Message,
        reliability: if FAULT == FLIPS_AND_LOSES { Reliability::Lossy } else { Reliability::Reliable },
        reach: Reach::Named,
        pollable: true,
        custody: if FAULT == TEARS_ITS_OWN { Custody::Sender } else { Custody::Channel },
        ..Spec::new(NAMES[FAULT as usize], "sequenced packets with a fault")
    };
    type Endpoint = End<FAULT>;

    fn pair(options: &Options) -> Result<(End<FAULT>, End<FAULT>)> {
        let why = "takes a kernel of its own".to_owned();
        match FAULT {
            // Something takes a while.
            INTERRUPTED => drop(poll(&mut [], 2_u8).map_err(|e| Error::os("poll", e))?),
            LACKING => return Err(Error::Unsupported { what: Self::SPEC.name, why }),
            REFUSES => return Err(Error::Unsupported { what: "wait strategy", why }),
            GRANTS => {}
            _ => {
                check_len(options.max_message.unwrap_or(0), MAX)?;
                check_len(options.capacity.unwrap_or(0), 100 * MAX)?;
            }
        }
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (mut a, mut b) =
            socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).map_err(|e| Error::os("socketpair", e))?;
        let mut file = None;
        match FAULT {
            LEAVES_FILE => {
                let path = objects::path(&Name::unique(), Self::SPEC.name)?;
                let owned = Owned::journal(Object::Path(path.clone()))?;
                fs::write(path, "").map_err(|e| Error::io("open", &e))?;
                std::mem::forget(owned);
            }
            LEAVES_SEGMENT => {
                let key = sysv::fresh_key();
                std::mem::forget(Owned::journal(Object::SysvSegment(key))?);
                sysv::create_segment(key, 1)?;
            }
            LEAVES_QUEUE => {
                sysv::create_queue(queue_left_by(std::os::unix::process::parent_id()))?;
            }
            UNJOURNALED => {
                let path = objects::path(&Name::unique(), Self::SPEC.name)?;
                fs::write(&path, "").map_err(|e| Error::io("open", &e))?;
                file = Some(path);
            }
            MIXES => {
                let mut others = OTHERS.lock().expect("one thread");
                let again = |fd: &OwnedFd| fd.try_clone().map_err(|e| Error::io("fcntl", &e));
                match &*others {
                    Some(others) => (a, b) = (again(&others[0])?, again(&others[1])?),
                    None => *others = Some([again(&a)?, again(&b)?]),
                }
            }
            _ => {}
        }
        Ok((End::new(a, file, options)?, End::new(b, None, options)?))
    }
}

impl<const FAULT: u8> Rendezvous for Packets<FAULT> {
    fn bind(name: &Name, options: &Options) -> Result<End<FAULT>> {
        let path = objects::path(name, Self::SPEC.name)?;
        if FAULT == TAKES {
            let _ = fs::remove_file(&path);
        }
        let socket = open()?;
        let object = Object::Path(path.clone());
        if FAULT == KEEPS_OUT && path.exists() {
            return Err(Error::Taken { object: object.to_string(), why: "by whoever made it".into() });
        }
        let ((), owned) = Owned::create(object, || {
            bind(socket.as_raw_fd(), SocketAddress::of(&path)?.get()).map_err(|e| Error::os("bind", e))
        })?;
        listen(&socket, Backlog::new(1).unwrap_or(Backlog::MAXCONN)).map_err(|e| Error::os("listen", e))?;
        let listener = UnixListener::from(socket);
        let deadline = || Options { timeout: policy::<FAULT>(options).timeout, ..*options }.deadline();
        let mut end = deadline();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => return Err(Error::TimedOut),
                Ok(0) => {}
                Err(Errno::EINTR) if FAULT == RESTARTS => end = deadline(),
                Err(Errno::EINTR) if FAULT != INTERRUPTED => {}
                Err(errno) => return Err(Error::os("poll", errno)),
                Ok(_) => break,
            }
        }
        let (stream, _) = listener.accept().map_err(|e| Error::io("accept", &e))?;
        let socket = OwnedFd::from(stream);
        if FAULT == NAME_STAYS {
            std::mem::forget(owned);
        }
        if FAULT != WELCOMES {
            send(socket.as_raw_fd(), &[0], MsgFlags::MSG_NOSIGNAL).map_err(|e| Error::os("send", e))?;
        }
        End::new(socket, None, options)
    }

    fn connect(name: &Name, options: &Options) -> Result<End<FAULT>> {
        let path = objects::path(name, Self::SPEC.name)?;
        let socket = open()?;
        let options = Options { timeout: policy::<FAULT>(options).timeout, ..*options };
        let deadline = options.deadline();
        let ghost = retry_by(deadline, || match SocketAddress::connect(&socket, &path)? {
            true => Ok(Some(false)),
            false if FAULT == GHOSTS && path.exists() => Ok(Some(true)),
            false if FAULT == IMPATIENT => Err(Error::os("connect", Errno::ENOENT)),
            false => Ok(None),
        })?;
        if ghost {
            return Ok(Self::pair(&options)?.0);
        }
        // By which the binder says whom it has let in.
        if FAULT != WELCOMES {
            hear_exactly(&socket, &mut [0], deadline)?;
        }
        End::new(socket, None, &options)
    }
}

fn open() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(|e| Error::os("socket", e))
}

/// How a channel waits whose deadlines may be broken.
fn policy<const FAULT: u8>(options: &Options) -> WaitPolicy {
    let mut policy = WaitPolicy::of(options);
    policy.timeout = policy.timeout.and_then(|timeout| match FAULT {
        PATIENT => None,
        HASTY => Some(timeout / 2),
        LATE => Some(timeout + timeout / 10 + Duration::from_millis(11)),
        _ => Some(timeout),
    });
    policy
}

pub struct End<const FAULT: u8> {
    socket: OwnedFd,
    options: Options,
    policy: WaitPolicy,
    sent: u64,
    lost: bool,
    torn: bool,
    own: Option<Vec<u8>>,
    spoilt: bool,
    corruption: Corruption,
    held: VecDeque<Vec<u8>>,
    packet: Vec<u8>,
    thread: Option<ThreadId>,
    /// The process that removes it, and a file.
    file: Option<(u32, PathBuf)>,
}

impl<const FAULT: u8> End<FAULT> {
    fn new(socket: OwnedFd, file: Option<PathBuf>, options: &Options) -> Result<Self> {
        if FAULT == SURVIVES {
            fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|e| Error::os("fcntl", e))?;
        }
        Ok(Self {
            socket,
            options: *options,
            policy: policy::<FAULT>(options),
            sent: 0,
            lost: false,
            torn: false,
            own: None,
            spoilt: false,
            corruption: Corruption::default(),
            held: VecDeque::new(),
            packet: vec![0; MAX + 1],
            thread: None,
            file: file.map(|path| (std::process::id(), path)),
        })
    }

    pub fn spoil(&mut self) {
        self.spoilt = true;
    }

    pub fn mend(&mut self) {
        self.spoilt = false;
    }

    fn is_sound(&mut self) -> Result<()> {
        if FAULT != FORGIVES {
            self.corruption.check()?;
        }
        let sound = if self.spoilt { Err(Error::Corrupt { what: "as the test wants" }) } else { Ok(()) };
        self.corruption.keep(sound)
    }

    fn begin(&mut self, event: PollFlags) -> Result<Waiter<'static>> {
        if FAULT == STAYS && *self.thread.get_or_insert(thread::current().id()) != thread::current().id() {
            return Err(Error::Corrupt { what: "called from another thread" });
        }
        if FAULT == GIVES_UP && self.policy.timeout.is_some() {
            let mut fds = [PollFd::new(self.socket.as_fd(), event)];
            if poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {
                return Err(Error::TimedOut);
            }
        }
        Ok(Waiter::new(&self.policy, None))
    }

    /// Whether calls block, and so are interrupted, where they should not.
    fn flags(&self) -> MsgFlags {
        let blocks = FAULT == INTERRUPTED && self.policy.timeout.is_none();
        MsgFlags::MSG_NOSIGNAL | if blocks { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT }
    }

    fn outcome<T>(&self, result: Result<T>) -> Result<T> {
        if FAULT == HANGS && matches!(result, Err(Error::PeerGone { .. })) {
            sleep(Duration::from_secs(3600));
        }
        result
    }
}

/// An errno that is no excuse for going on.
fn shown<const FAULT: u8, T>(call: &'static str, result: nix::Result<T>) -> Result<nix::Result<T>> {
    match result {
        Err(Errno::EINTR) if FAULT == INTERRUPTED => Err(Error::os(call, Errno::EINTR)),
        result => Ok(result),
    }
}

impl<const FAULT: u8> Endpoint for End<FAULT> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.is_sound()?;
        let message = if FAULT == CUTS { &message[..message.len().min(MAX)] } else { message };
        check_len(message.len(), self.max_message())?;
        let mut packet = vec![0];
        packet.extend_from_slice(message);
        let faulty = self.sent == 999;
        match FAULT {
            DROPS if faulty => {
                self.sent += 1;
                return Ok(());
            }
            SWALLOWS if message.is_empty() => return Ok(()),
            FLIPS if faulty => packet[message.len()] ^= 4,
            FLIPS_AND_LOSES if self.sent == 1 => packet[message.len()] ^= 4,
            ECHOES => self.own = Some(message.to_vec()),
            // One of them may be on its way when the process is killed.
            LINGERS if self.held.len() < 2 => {
                self.held.push_back(packet);
                return Ok(());
            }
            LINGERS => {
                self.held.push_back(packet);
                packet = self.held.pop_front().unwrap_or_default();
            }
            PANICS => panic!("as it should"),
            _ => {}
        }
        if std::mem::take(&mut self.lost) {
            return Ok(());
        }
        for _ in 0..if FAULT == TWICE && faulty { 2 } else { 1 } {
            let waiter = self.begin(PollFlags::POLLOUT)?;
            let (fd, raw, flags) = (self.socket.as_fd(), self.socket.as_raw_fd(), self.flags());
            let result = whole("send", fd, PollFlags::POLLOUT, waiter, || {
                // An error within: `whole` would hide the interruption.
                let sent = shown::<FAULT, _>("send", send(raw, &packet, flags));
                sent.map_or_else(|error| Ok(Err(error)), |sent| sent.map(Ok))
            });
            let result = result.and_then(|sent| sent);
            self.lost |= FAULT == LOSES && result == Err(Error::TimedOut);
            self.outcome(result)?;
        }
        self.sent += 1;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.is_sound()?;
        if let Some(own) = self.own.take() {
            buffer[..own.len()].copy_from_slice(&own);
            return Ok(own.len());
        }
        let waiter = self.begin(PollFlags::POLLIN)?;
        let (fd, raw, flags) = (self.socket.as_fd(), self.socket.as_raw_fd(), self.flags());
        let packet = &mut self.packet;
        let result = whole("recv", fd, PollFlags::POLLIN, waiter, || {
            let received = match recv(raw, packet, flags) {
                // The peer has closed with unread messages: what it sent is still there.
                Err(Errno::ECONNRESET) if FAULT != FORGETS => recv(raw, packet, flags),
                received => received,
            };
            shown::<FAULT, _>("recv", received).map_or_else(|error| Ok(Err(error)), |received| received.map(Ok))
        });
        let result = result.and_then(|received| received);
        let result = result.and_then(|len| len.checked_sub(1).ok_or(END));
        match self.outcome(result) {
            Err(Error::PeerGone { .. }) if (FAULT == TEARS || FAULT == TEARS_ITS_OWN) && !self.torn => {
                self.torn = true;
                Ok(12_345)
            }
            Err(error) => Err(error),
            Ok(_) if FAULT == FORGETS && hung_up(&self.socket) => Err(END),
            Ok(len) if FAULT != CUTS_SHORT && len > buffer.len() => Err(Error::TooLarge { len, max: buffer.len() }),
            Ok(len) => {
                let len = len.min(buffer.len());
                buffer[..len].copy_from_slice(&self.packet[1..=len]);
                Ok(len)
            }
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn max_message(&self) -> usize {
        if FAULT == CLAIMS { MAX + 1 } else { MAX }
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.options.timeout = timeout;
        self.policy = policy::<FAULT>(&self.options);
        Ok(())
    }

    fn recv_buffer(&mut self, buffer: &mut Buffer) -> Result<usize> {
        let len = self.recv(buffer)?;
        if FAULT == BUFFERS && len > 0 {
            buffer[0] ^= 1;
        }
        Ok(len)
    }
}

impl<const FAULT: u8> SendInPlace for End<FAULT> {
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let off = usize::from(FAULT == UNALIGNED);
        let mut slot = Buffer::new(len + off);
        if FAULT == FILLS {
            fill(&mut slot[off..]);
            return self.send(&slot[off..]);
        }
        check_len(len, self.max_message())?;
        // Where a socket polls writable there is room for the longest message.
        let waiter = self.begin(PollFlags::POLLOUT)?;
        let socket = &self.socket;
        let room = || if has(socket, PollFlags::POLLOUT) { Ok(()) } else { Err(Errno::EAGAIN) };
        let waited = whole("poll", socket.as_fd(), PollFlags::POLLOUT, waiter, room);
        self.outcome(waited)?;
        if FAULT == COMMITS && len == 1000 {
            self.send(&slot)?;
        }
        fill(&mut slot[off..]);
        self.send(&slot[off..])
    }
}

impl<const FAULT: u8> InPlace for End<FAULT> {
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut slot = Buffer::new(MAX);
        let len = self.recv(&mut slot)?;
        Ok(read(&slot[..len]))
    }
}

impl<const FAULT: u8> Drop for End<FAULT> {
    fn drop(&mut self) {
        if FAULT == SHUTS {
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        }
        if let Some((owner, path)) = &self.file
            && *owner == std::process::id()
        {
            let _ = fs::remove_file(path);
        }
    }
}

const END: Error = Error::PeerGone { sign: Sign::EndOfFile };

fn has(socket: &OwnedFd, event: PollFlags) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), event)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

fn hung_up(socket: &OwnedFd) -> bool {
    has(socket, PollFlags::empty())
}
