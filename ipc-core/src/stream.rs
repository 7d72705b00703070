//! The end of a link made of two one-way byte streams: what pipes and FIFOs have in common once they are open.

use crate::{
    Endpoint, Error, Limit, Options, Result, Setting,
    spec::kernel_limit,
    transfer::Progress,
    wait::{WaitPolicy, Waiter},
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::uio::writev,
    unistd::{read, write},
};
use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// One end of a pair of pipes or FIFOs: a descriptor to read from and one to write to (pipe(7)).
///
/// Writing to a pipe that nobody reads raises `SIGPIPE`. Rust programs ignore it from the start. A C program that
/// calls this must ignore it, too.
#[derive(Debug)]
pub struct StreamEnd {
    reader: OwnedFd,
    writer: OwnedFd,
    progress: Progress,
    policy: WaitPolicy,
}

impl StreamEnd {
    /// Makes an end of two open descriptors and applies `options`.
    ///
    /// System calls: `fcntl(F_GETPIPE_SZ)` and, if that is too little, `fcntl(F_SETPIPE_SZ)`. Those of
    /// [`set_timeout`](Endpoint::set_timeout).
    ///
    /// # Errors
    /// [`Error::TooLarge`] if [`Options::capacity`] is over `fs.pipe-max-size`. [`Error::Os`] of `fcntl`: `EPERM` if the pipes of the user have all
    /// the memory that they may (`fs.pipe-user-pages-soft`).
    pub fn new(reader: OwnedFd, writer: OwnedFd, options: &Options) -> Result<Self> {
        let asked = options.capacity.unwrap_or(DEFAULT_CAPACITY);
        let granted = fcntl(writer.as_fd(), FcntlArg::F_GETPIPE_SZ).map_err(|e| Error::os("fcntl", e))?;
        // Beyond the user's limit new pipes are made with two pages, and nobody is told (pipe(7)).
        if options.capacity.is_some() || usize::try_from(granted).is_ok_and(|granted| granted < asked) {
            resize(&writer, asked)?;
        }
        let mut end = Self { reader, writer, progress: Progress::default(), policy: WaitPolicy::of(options) };
        end.set_timeout(options.timeout)?;
        Ok(end)
    }

    /// The bytes that the outgoing pipe holds: a page for each of its slots (`fs/pipe.c`). System call:
    /// `fcntl(F_GETPIPE_SZ)`.
    ///
    /// # Errors
    /// [`Error::Os`] of `fcntl`.
    pub fn capacity(&self) -> Result<usize> {
        let granted = fcntl(self.writer.as_fd(), FcntlArg::F_GETPIPE_SZ).map_err(|e| Error::os("fcntl", e))?;
        Ok(granted.unsigned_abs() as usize)
    }

    /// Whether a call may block in the kernel. If not, it must not, whatever the mode of the descriptor.
    pub fn may_block(&self) -> bool {
        self.policy.may_block()
    }

    /// How many bytes have gone of a message that a deadline interrupted.
    pub fn under_way(&self) -> usize {
        self.progress.sent()
    }

    /// Sends a message of `len` bytes as [`send`](Endpoint::send) does, by another call than `write`. `put` is told how
    /// many of the bytes have gone. It puts more of them into the pipe, and returns how many.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    #[inline]
    pub fn send_by(
        &mut self,
        call: &'static str,
        len: usize,
        mut put: impl FnMut(BorrowedFd<'_>, usize) -> nix::Result<usize>,
    ) -> Result<()> {
        let fd = self.writer.as_fd();
        let waiter = self.waiter();
        self.progress.send(call, fd, len, waiter, |sent| put(fd, sent))
    }

    /// Sends a message of two parts, such as a length and what it is the length of. One call takes both, so that a
    /// receiver is woken once. A message that timed out is sent again with the same parts. System call: `writev`.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    #[inline]
    pub fn send_parts(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.send_by("writev", head.len() + body.len(), |pipe, sent| {
            let (head, body) = (&head[sent.min(head.len())..], &body[sent.saturating_sub(head.len())..]);
            writev(pipe, &[IoSlice::new(head), IoSlice::new(body)])
        })
    }

    /// Receives a part of a message. All parts that are received with one [`waiter`](StreamEnd::waiter) have one deadline. A
    /// part that timed out is received again with the same `part`.
    ///
    /// # Errors
    /// As for [`recv`](Endpoint::recv).
    #[inline]
    pub fn recv_part(&mut self, part: &mut [u8], waiter: &mut Waiter<'_>) -> Result<()> {
        let fd = self.reader.as_fd();
        self.progress.recv("read", fd, part, waiter, |bytes| read(fd, bytes)).map(drop)
    }

    /// The wait of a call that begins now.
    #[inline]
    pub fn waiter(&self) -> Waiter<'static> {
        Waiter::new(&self.policy, None)
    }
}

/// The limits that pipes and FIFOs meet (pipe(7), `fs/pipe.c`). Beyond the soft limit a new pipe has two pages, and `F_SETPIPE_SZ`
/// is `EPERM`. [`StreamEnd::new`] refuses such a pipe.
pub const LIMITS: &[Limit] = &[
    Limit::amount("pages of all pipes of a user", Setting::Sysctl("fs/pipe-user-pages-soft"), libc::EPERM),
    Limit::amount("pages of all pipes of a user", Setting::Sysctl("fs/pipe-user-pages-hard"), libc::ENFILE),
];

/// What a pipe holds unless something else is asked for, in bytes.
const DEFAULT_CAPACITY: usize = 64 << 10;

fn resize(pipe: &OwnedFd, bytes: usize) -> Result<()> {
    let most = kernel_limit("/proc/sys/fs/pipe-max-size", 1 << 20);
    // The kernel takes 31 bits, whoever asks.
    let size = i32::try_from(bytes).map_err(|_| Error::TooLarge { len: bytes, max: most })?;
    match fcntl(pipe, FcntlArg::F_SETPIPE_SZ(size)) {
        Ok(_) => Ok(()),
        Err(Errno::EPERM | Errno::EINVAL) if bytes > most => Err(Error::TooLarge { len: bytes, max: most }),
        Err(errno) => Err(Error::os("fcntl", errno)),
    }
}

impl Endpoint for StreamEnd {
    /// System call: `write`; while the pipe is full also `ppoll`, unless the call may block or spins.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_by("write", message.len(), |fd, sent| write(fd, &message[sent..]))
    }

    /// System call: `read`; while the pipe is empty also `ppoll`, unless the call may block or spins.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_part(buffer, &mut self.waiter())?;
        Ok(buffer.len())
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.reader.as_fd())
    }

    /// System calls: `fcntl(F_GETFL)` and `fcntl(F_SETFL)` on both descriptors.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.policy.timeout = timeout;
        for fd in [&self.reader, &self.writer] {
            set_nonblocking(fd, !self.policy.may_block())?;
        }
        Ok(())
    }
}

/// Sets or clears `O_NONBLOCK`.
///
/// # Errors
/// [`Error::Os`] of `fcntl`.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> Result<()> {
    let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL).map_err(|e| Error::os("fcntl", e))?;
    let mut flags = OFlag::from_bits_retain(flags);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags)).map_err(|e| Error::os("fcntl", e)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::pipe, time::Instant};

    /// Both ends of a link. Calls wait for a millisecond.
    fn ends() -> (StreamEnd, StreamEnd) {
        let options = Options { timeout: Some(Duration::from_millis(1)), ..Options::default() };
        let ((a, to_a), (b, to_b)) = (pipe().unwrap(), pipe().unwrap());
        let end = |reader: OwnedFd, writer: OwnedFd| StreamEnd::new(reader, writer, &options).unwrap();
        (end(a.into(), to_b.into()), end(b.into(), to_a.into()))
    }

    #[test]
    fn parts_follow_each_other_whatever_their_lengths() {
        let (mut a, mut b) = ends();
        for (head, body) in [("head", "and body"), ("", "body"), ("head", ""), ("", "")] {
            a.send_parts(head.as_bytes(), body.as_bytes()).unwrap();
            let (mut first, mut second) = (vec![0; head.len()], vec![0; body.len()]);
            let mut waiter = b.waiter();
            b.recv_part(&mut first, &mut waiter).unwrap();
            b.recv_part(&mut second, &mut waiter).unwrap();
            assert_eq!((first.as_slice(), second.as_slice()), (head.as_bytes(), body.as_bytes()));
        }
    }

    #[test]
    fn parts_that_timed_out_go_on_where_they_stopped() {
        let (mut a, mut b) = ends();
        let (head, body) = (vec![1; DEFAULT_CAPACITY + 1], vec![2; DEFAULT_CAPACITY]);
        let mut came = Vec::new();
        while let Err(error) = a.send_parts(&head, &body) {
            assert_eq!(error, Error::TimedOut);
            assert!(matches!(a.send_parts(&head, &[]), Err(Error::Unsupported { what: "send", .. })));
            let mut piece = vec![0; 4096];
            b.recv(&mut piece).unwrap();
            came.extend(piece);
        }
        let mut rest = vec![0; head.len() + body.len() - came.len()];
        b.recv(&mut rest).unwrap();
        came.extend(rest);
        assert!(came == [head, body].concat());
    }

    #[test]
    fn all_parts_have_one_deadline() {
        let (_a, mut b) = ends();
        b.set_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut second = || {
            let mut waiter = b.waiter();
            assert_eq!(b.recv_part(&mut [0; 4], &mut waiter), Err(Error::TimedOut));
            let began = Instant::now();
            assert_eq!(b.recv_part(&mut [0; 4], &mut waiter), Err(Error::TimedOut));
            began.elapsed()
        };
        let fastest = (0..3).map(|_| second()).min().unwrap();
        assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    }
}
