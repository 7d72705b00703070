//! Bare libc loops: the calls that each mechanism needs and nothing else. None of them would notice a dead peer.

#![allow(unsafe_code)]

use crate::{Ping, SIZE};
use ipc_core::{futex, shared::SharedPage};
use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    rc::Rc,
    sync::atomic::Ordering,
};

fn moved(what: &str, n: isize) {
    assert_eq!(n, SIZE as isize, "{what}: {}", io::Error::last_os_error());
}

/// write(2) and read(2).
pub struct ReadWrite {
    reader: OwnedFd,
    writer: OwnedFd,
    bytes: [u8; SIZE],
}

impl Ping for ReadWrite {
    #[inline]
    fn ping(&mut self) {
        // SAFETY: the buffer is live and SIZE bytes long.
        moved("write", unsafe { libc::write(self.writer.as_raw_fd(), self.bytes.as_ptr().cast(), SIZE) });
    }

    #[inline]
    fn pong(&mut self) {
        // SAFETY: the buffer is live, writable and SIZE bytes long.
        moved("read", unsafe { libc::read(self.reader.as_raw_fd(), self.bytes.as_mut_ptr().cast(), SIZE) });
    }
}

/// Two pipes.
pub fn pipe() -> (ReadWrite, ReadWrite) {
    let ((a, b), (c, d)) = (io::pipe().expect("pipe"), io::pipe().expect("pipe"));
    let end = |reader: io::PipeReader, writer: io::PipeWriter| ReadWrite {
        reader: reader.into(),
        writer: writer.into(),
        bytes: [1; SIZE],
    };
    (end(c, b), end(a, d))
}

/// send(2) and recv(2).
pub struct SendRecv {
    socket: OwnedFd,
    bytes: [u8; SIZE],
}

impl Ping for SendRecv {
    #[inline]
    fn ping(&mut self) {
        let (fd, bytes) = (self.socket.as_raw_fd(), self.bytes.as_ptr().cast());
        // SAFETY: the buffer is live and SIZE bytes long.
        moved("send", unsafe { libc::send(fd, bytes, SIZE, libc::MSG_NOSIGNAL) });
    }

    #[inline]
    fn pong(&mut self) {
        // SAFETY: the buffer is live, writable and SIZE bytes long.
        moved("recv", unsafe { libc::recv(self.socket.as_raw_fd(), self.bytes.as_mut_ptr().cast(), SIZE, 0) });
    }
}

fn sockets(a: impl Into<OwnedFd>, b: impl Into<OwnedFd>) -> (SendRecv, SendRecv) {
    let [a, b] = [a.into(), b.into()].map(|socket| SendRecv { socket, bytes: [1; SIZE] });
    (a, b)
}

/// A Unix stream socket pair.
pub fn unix_stream() -> (SendRecv, SendRecv) {
    let (a, b) = std::os::unix::net::UnixStream::pair().expect("socketpair");
    sockets(a, b)
}

/// A Unix datagram socket pair.
pub fn unix_dgram() -> (SendRecv, SendRecv) {
    let (a, b) = std::os::unix::net::UnixDatagram::pair().expect("socketpair");
    sockets(a, b)
}

/// Two UDP sockets over loopback, connected to each other.
pub fn udp() -> (SendRecv, SendRecv) {
    let bound = || std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("bind");
    let (a, b) = (bound(), bound());
    a.connect(b.local_addr().expect("address")).expect("connect");
    b.connect(a.local_addr().expect("address")).expect("connect");
    sockets(a, b)
}

/// A word of shared memory each way, and futex(2) to sleep on it: what a ring that blocks cannot do without.
pub struct Words {
    page: Rc<SharedPage>,
    mine: usize,
    other: usize,
    seen: u32,
}

impl Ping for Words {
    #[inline]
    fn ping(&mut self) {
        self.page[self.mine].futex.fetch_add(1, Ordering::Release);
        futex::wake(&self.page[self.mine].futex).expect("futex");
    }

    #[inline]
    fn pong(&mut self) {
        let word = &self.page[self.other].futex;
        while word.load(Ordering::Acquire) == self.seen {
            futex::wait(word, self.seen, None).expect("futex");
        }
        self.seen += 1;
    }
}

/// Two words in a shared page.
pub fn words() -> (Words, Words) {
    let page = Rc::new(SharedPage::new().expect("a page"));
    let end = |mine, other| Words { page: Rc::clone(&page), mine, other, seen: 0 };
    (end(0, 1), end(1, 0))
}

/// A TCP connection over loopback, `TCP_NODELAY`.
pub fn tcp() -> (SendRecv, SendRecv) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let near = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    for socket in [&near, &far] {
        socket.set_nodelay(true).expect("setsockopt");
    }
    sockets(near, far)
}

/// msgsnd(2) and msgrcv(2).
pub struct Sysv {
    out: Queue,
    into: Queue,
    message: Message,
}

#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; SIZE],
}

/// Removed by the process that made it, when the pair has ended: a child that is done first must not take the queue
/// with the other's last message away.
struct Queue {
    id: i32,
    maker: u32,
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.maker == std::process::id() {
            // SAFETY: IPC_RMID ignores the pointer.
            unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

impl Ping for Sysv {
    #[inline]
    fn ping(&mut self) {
        // SAFETY: the message is live, with SIZE bytes of text behind its type word.
        let r = unsafe { libc::msgsnd(self.out.id, (&raw const self.message).cast(), SIZE, 0) };
        assert_eq!(r, 0, "msgsnd: {}", io::Error::last_os_error());
    }

    #[inline]
    fn pong(&mut self) {
        // SAFETY: the message is live and writable, with SIZE bytes of text behind its type word.
        moved("msgrcv", unsafe { libc::msgrcv(self.into.id, (&raw mut self.message).cast(), SIZE, 0, 0) });
    }
}

/// Two System V queues.
pub fn sysv_msgq() -> (Sysv, Sysv) {
    // SAFETY: msgget takes no pointers.
    let [there, back] = [0, 1].map(|_| unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | 0o600) });
    assert!(there >= 0 && back >= 0, "msgget: {}", io::Error::last_os_error());
    let queue = |id| Queue { id, maker: std::process::id() };
    let message = || Message { kind: 1, text: [1; SIZE] };
    let end = |out, into| Sysv { out: queue(out), into: queue(into), message: message() };
    (end(there, back), end(back, there))
}

/// mq_send(3) and mq_receive(3).
pub struct Posix {
    out: i32,
    into: i32,
    bytes: [u8; SIZE],
}

impl Drop for Posix {
    fn drop(&mut self) {
        for queue in [self.out, self.into] {
            // SAFETY: the descriptor was opened by `posix_mq` and is this end's own.
            unsafe { libc::mq_close(queue) };
        }
    }
}

impl Ping for Posix {
    #[inline]
    fn ping(&mut self) {
        // SAFETY: the buffer is live and SIZE bytes long.
        let r = unsafe { libc::mq_send(self.out, self.bytes.as_ptr().cast(), SIZE, 0) };
        assert_eq!(r, 0, "mq_send: {}", io::Error::last_os_error());
    }

    #[inline]
    fn pong(&mut self) {
        let (bytes, priority) = (self.bytes.as_mut_ptr().cast(), std::ptr::null_mut());
        // SAFETY: the buffer is live, writable and SIZE bytes long, which is the queue's message size.
        moved("mq_receive", unsafe { libc::mq_receive(self.into, bytes, SIZE, priority) });
    }
}

/// Two POSIX queues.
pub fn posix_mq() -> (Posix, Posix) {
    let queues = [0, 1].map(|_| {
        let name =
            CString::new(format!("/ipc-bench-bare-{}-{:x}", std::process::id(), fastrand::u64(..))).expect("text");
        // SAFETY: mq_attr is plain data for which all zeroes is a value.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        attributes.mq_maxmsg = 10;
        attributes.mq_msgsize = SIZE as libc::c_long;
        let open = || {
            let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
            // SAFETY: the name and the attributes are live for the call.
            let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw const attributes) };
            assert!(queue >= 0, "mq_open: {}", io::Error::last_os_error());
            queue
        };
        let both = [open(), open()];
        // SAFETY: the name is live for the call.
        unsafe { libc::mq_unlink(name.as_ptr()) };
        both
    });
    let end = |out, into| Posix { out, into, bytes: [1; SIZE] };
    (end(queues[0][0], queues[1][0]), end(queues[1][1], queues[0][1]))
}
