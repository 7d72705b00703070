//! Forking, pinning and supervising processes.

#![allow(unsafe_code)]

use crate::{Error, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_setaffinity},
    sys::{
        prctl,
        signal::{SigHandler, Signal, kill, signal},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, getpid, getppid},
};
use std::{
    fs,
    io::{PipeReader, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// A forked child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code; [`PANICKED`] after a panic.
    Code(i32),
    /// A signal killed it.
    Signal(Signal),
}

/// The exit code of a child that panicked, as Rust's own runtime uses it.
pub const PANICKED: i32 = 101;

/// Forks; the child runs `main` and ends in `_exit` with what it returned.
///
/// The child dies with its parent (`PR_SET_PDEATHSIG`), ignores `SIGINT` (the terminal sends it to the whole group; the
/// parent decides) and takes `SIGTERM` as it comes. System calls: `fork`, `pidfd_open`.
///
/// # Errors
/// [`Error::Unsupported`] where this process has more than one thread: the child would inherit locks that nobody
/// releases. [`Error::Os`] such as `EAGAIN`.
pub fn fork(main: impl FnOnce() -> i32) -> Result<Child> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        let why = format!("this process has {threads} threads; fork before starting any");
        return Err(Error::Unsupported { what: "fork", why });
    }
    let parent = getpid();
    // SAFETY: this process has one thread (checked above), so the child holds no lock that another thread had taken.
    match unsafe { nix::unistd::fork() }.map_err(|e| Error::os("fork", e))? {
        ForkResult::Parent { child } => match pidfd_open(child) {
            Ok(pidfd) => Ok(Child { pid: child, pidfd, exit: None }),
            Err(error) => {
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                Err(error)
            }
        },
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(|| {
                if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
                    return PANICKED;
                }
                // SAFETY: no handler is installed, only dispositions are set.
                unsafe {
                    let _ = signal(Signal::SIGINT, SigHandler::SigIgn);
                    let _ = signal(Signal::SIGTERM, SigHandler::SigDfl);
                }
                main()
            }))
            .unwrap_or(PANICKED);
            // SAFETY: _exit ends the process; it runs no handlers of the parent's and flushes no buffers twice.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Splits a link between two processes: forks, keeps one end here and runs `peer` on the other in the child. Each process
/// drops the end that is not its own, so that the death of either shows at the other.
///
/// # Errors
/// As [`fork`].
pub fn fork_peer<A, B>((here, there): (A, B), peer: impl FnOnce(B) -> i32) -> Result<(Child, A)> {
    let mut ends = Some((here, there));
    let child = fork(|| {
        let (here, there) = ends.take().expect("the child runs once");
        drop(here);
        peer(there)
    })?;
    let (here, there) = ends.expect("taken in the child only");
    drop(there);
    Ok((child, here))
}

/// A descriptor of the process `pid`, close-on-exec. It stays with this process, even when that has ended and its id is another's; it
/// can be read from once it has ended.
///
/// # Errors
/// [`Error::Os`]: `ESRCH` where there is none, `EMFILE`.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: pidfd_open takes a process id and flags and returns a new descriptor that nobody else owns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd == -1 {
        return Err(Error::os("pidfd_open", Errno::last()));
    }
    // SAFETY: `fd` was just returned by pidfd_open and is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

impl Child {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A descriptor that becomes readable when the child has ended (pidfd_open(2)).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends it `signal`, through the pidfd, so that a process with a recycled id is never hit.
    ///
    /// # Errors
    /// [`Error::Os`]; a child that has ended is none.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let (fd, none) = (self.pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: a null siginfo asks for the same as kill(2); the descriptor is live.
        let r = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, none, 0) };
        match if r == -1 { Errno::last() } else { return Ok(()) } {
            Errno::ESRCH => Ok(()),
            errno => Err(Error::os("pidfd_send_signal", errno)),
        }
    }

    /// Kills it (`SIGKILL`) and reaps it.
    ///
    /// # Errors
    /// [`Error::Os`].
    pub fn kill(&mut self) -> Result<Exit> {
        if self.exit.is_none() {
            self.signal(Signal::SIGKILL)?;
        }
        self.wait(Duration::MAX).map(|exit| exit.expect("waited without a limit"))
    }

    /// Waits at most `limit` for it to end and reaps it; `None` where it still runs.
    ///
    /// # Errors
    /// [`Error::Os`].
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Exit>> {
        let deadline = Instant::now().checked_add(limit);
        while self.exit.is_none() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, if left == Some(Duration::ZERO) { PollTimeout::ZERO } else { timeout }) {
                Ok(0) if left == Some(Duration::ZERO) => return Ok(None),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => self.exit = Some(reap(self.pid)?),
                Err(errno) => return Err(Error::os("poll", errno)),
            }
        }
        Ok(self.exit)
    }
}

fn reap(pid: Pid) -> Result<Exit> {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Exit::Code(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Exit::Signal(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("waitpid", errno)),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Binds this process to one hardware thread (sched_setaffinity(2)).
///
/// # Errors
/// [`Error::Unsupported`] where there is no such CPU or it is not allowed to this process.
pub fn pin(cpu: usize) -> Result<()> {
    let refuse = |errno: Errno| {
        let allowed = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("?");
        let why = format!("cannot pin to CPU {cpu} ({errno}); allowed: {}", allowed.trim());
        Error::Unsupported { what: "placement", why }
    };
    let mut set = CpuSet::new();
    set.set(cpu).map_err(refuse)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(refuse)
}

/// Gives the calling thread a descriptor table of its own that holds nothing but `keep`, for a thread that must not hold
/// anything open. Whatever else the thread can reach must not be used, and not be closed by it. System call:
/// `close_range`, since Linux 5.9.
///
/// # Errors
/// [`Error::Os`]: `ENOSYS`, or `EPERM` in a sandbox; the thread then still shares its table.
pub(crate) fn keep_only(keep: &mut [RawFd]) -> Result<()> {
    keep.sort_unstable();
    let mut first = 0_u32;
    for kept in keep.iter().filter_map(|&fd| u32::try_from(fd).ok()).chain([u32::MAX]) {
        if first < kept {
            // SAFETY: close_range takes numbers; with UNSHARE it closes in a table that only this thread has.
            let r = unsafe { libc::syscall(libc::SYS_close_range, first, kept - 1, libc::CLOSE_RANGE_UNSHARE) };
            if r == -1 {
                return Err(Error::os("close_range", Errno::last()));
            }
        }
        first = kept.saturating_add(1);
    }
    Ok(())
}

/// Runs `test` in a forked child with a deadline: a hang, a panic or a crash of it is an `Err`, and so is what it
/// returns as one. Whatever it forked dies with it.
///
/// # Errors
/// What went wrong, in words.
pub fn with_watchdog(
    limit: Duration,
    test: impl FnOnce() -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    Watched::start(limit, test)?.verdict()
}

/// A test that runs in a forked child, for whoever has something else to do meanwhile. Dropping it kills it.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    why: PipeReader,
    began: Instant,
    limit: Duration,
}

impl Watched {
    /// Starts what [`with_watchdog`] runs.
    ///
    /// # Errors
    /// Why it could not be started.
    pub fn start(
        limit: Duration,
        test: impl FnOnce() -> std::result::Result<(), String>,
    ) -> std::result::Result<Self, String> {
        let (why, mut writer) = std::io::pipe().map_err(|e| format!("pipe: {e}"))?;
        let child = fork(|| match test() {
            Ok(()) => 0,
            Err(why) => {
                let _ = writer.write_all(why.as_bytes());
                1
            }
        });
        Ok(Self { child: child.map_err(|e| e.to_string())?, why, began: Instant::now(), limit })
    }

    /// Waits for its end, until `limit` after its start.
    ///
    /// # Errors
    /// As [`with_watchdog`].
    pub fn verdict(mut self) -> std::result::Result<(), String> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        match self.child.wait(left).map_err(|e| e.to_string())? {
            Some(Exit::Code(0)) => Ok(()),
            Some(Exit::Code(1)) => {
                let mut why = String::new();
                let _ = self.why.read_to_string(&mut why);
                Err(why)
            }
            Some(Exit::Code(code)) => Err(format!("exited with {code} (see its message above)")),
            Some(Exit::Signal(signal)) => Err(format!("killed by {signal}")),
            None => Err(format!("hung: still running after {:?}", self.limit)),
        }
    }
}
