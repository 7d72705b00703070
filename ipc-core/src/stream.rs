//! The end of a link made of two one-way byte streams: what pipes and FIFOs have in common once they are open.

use crate::{
    Endpoint, Error, Limit, Options, Result, Setting,
    spec::kernel_limit,
    transfer::Progress,
    wait::{Patience, Turn},
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{read, write},
};
use std::{
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
    patience: Patience,
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
        let mut end = Self { reader, writer, progress: Progress::default(), patience: Patience::of(options) };
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
        self.patience.may_block()
    }

    /// How many bytes have gone of a message that a deadline interrupted.
    pub fn under_way(&self) -> usize {
        self.progress.sent()
    }

    /// Sends `message` as [`send`](Endpoint::send) does, by another call than `write`. `put` puts a beginning of the
    /// bytes that it is given into the pipe, and returns how many.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    #[inline]
    pub fn send_by(
        &mut self,
        call: &'static str,
        message: &[u8],
        mut put: impl FnMut(BorrowedFd<'_>, &[u8]) -> nix::Result<usize>,
    ) -> Result<()> {
        let fd = self.writer.as_fd();
        self.progress.send(call, fd, message, Turn::new(&self.patience, None), |bytes| put(fd, bytes))
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
        self.send_by("write", message, |fd, bytes| write(fd, bytes))
    }

    /// System call: `read`; while the pipe is empty also `ppoll`, unless the call may block or spins.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let fd = self.reader.as_fd();
        self.progress.recv("read", fd, buffer, Turn::new(&self.patience, None), |bytes| read(fd, bytes))
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.reader.as_fd())
    }

    /// System calls: `fcntl(F_GETFL)` and `fcntl(F_SETFL)` on both descriptors.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.patience.timeout = timeout;
        for fd in [&self.reader, &self.writer] {
            set_nonblocking(fd, !self.patience.may_block())?;
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
