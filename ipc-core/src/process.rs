//! Forking, pinning and supervising processes.

#![allow(unsafe_code)]

mod schedule;

pub use schedule::{Policy, Schedule};

use crate::{Error, Result, deadline::Deadline, shared::SharedPage};
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
    sync::atomic::Ordering,
    time::Duration,
};

/// A forked child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    exit: Option<Exit>,
    refusal: Refusal,
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

/// How far a child's `oom_score_adj` lies above its parent's, of at most 1000 (proc_pid_oom_score_adj(5)).
const OOM_STEP: i32 = 500;

/// Forks. The child runs `main` and ends in `_exit` with what it returned.
///
/// - The child dies with its parent (`PR_SET_PDEATHSIG`).
/// - It ignores `SIGINT` and `SIGHUP`, which the terminal sends to the whole group, so that the parent decides.
///   `SIGTERM` ends it.
/// - It never outranks its parent, which has to see to it that it ends. So it leaves a real-time policy for the
///   ordinary one ([`Schedule`]), and the kernel kills it first if memory runs out.
///
/// System calls: `mmap`, `fork`, `pidfd_open`. In the child `prctl`, `sched_getscheduler`, and `openat` and `write` of
/// `/proc/self/oom_score_adj`.
///
/// # Errors
/// [`Error::Unsupported`] if this process has more than one thread: the child would inherit locks that nobody releases. [`Error::Os`], such
/// as `EAGAIN`.
pub fn fork(main: impl FnOnce() -> i32) -> Result<Child> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        let why = format!("this process has {threads} threads; fork before starting any");
        return Err(Error::Unsupported { what: "fork", why });
    }
    let parent = getpid();
    let refusal = Refusal(SharedPage::new()?);
    // SAFETY: this process has one thread (checked above), so the child holds no lock that another thread had taken.
    match unsafe { nix::unistd::fork() }.map_err(fork_error)? {
        ForkResult::Parent { child } => match pidfd_open(child) {
            Ok(pidfd) => Ok(Child { pid: child, pidfd, exit: None, refusal }),
            Err(error) => {
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                Err(error)
            }
        },
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(|| {
                if let Err(error) = settle(parent) {
                    refusal.note(&error);
                    return PANICKED;
                }
                main()
            }))
            .unwrap_or(PANICKED);
            // SAFETY: _exit ends the process; it runs no handlers of the parent's and flushes no buffers twice.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Why there was no fork.
fn fork_error(errno: Errno) -> Error {
    if errno == Errno::EAGAIN && Schedule::current().policy == Policy::DEADLINE {
        let why = "a process of SCHED_DEADLINE has no children, unless they begin at the ordinary policy (chrt -R -d)";
        return Error::Unsupported { what: "fork", why: why.into() };
    }
    let namespace = |name| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    if errno == Errno::ENOMEM && namespace("pid") != namespace("pid_for_children") {
        let why = "the first process of the namespace that children would enter has ended: unshare --pid needs --fork";
        return Error::Unsupported { what: "fork", why: why.into() };
    }
    Error::os("fork", errno)
}

/// What a child does first. The calls are those of [`STEPS`].
fn settle(parent: Pid) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|errno| Error::os(STEPS[0], errno))?;
    // 0: the parent is outside of this child's namespace of process ids.
    if ![parent, Pid::from_raw(0)].contains(&getppid()) {
        // Nobody is left to be told.
        return Err(Error::os(STEPS[0], Errno::ESRCH));
    }
    Schedule::step_down()?;
    // Without /proc the kernel chooses by size.
    let own = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(own) = own {
        let _ = fs::write("/proc/self/oom_score_adj", own.saturating_add(OOM_STEP).min(1000).to_string());
    }
    // SAFETY: no handler is installed, only dispositions are set.
    unsafe {
        let _ = signal(Signal::SIGINT, SigHandler::SigIgn);
        let _ = signal(Signal::SIGHUP, SigHandler::SigIgn);
        let _ = signal(Signal::SIGTERM, SigHandler::SigDfl);
    }
    Ok(())
}

/// The calls without which a child must not start.
const STEPS: [&str; 2] = ["prctl(PR_SET_PDEATHSIG)", "sched_setscheduler"];

/// Where a child leaves word of what refused its start: it has no other way to tell yet.
#[derive(Debug)]
struct Refusal(SharedPage);

impl Refusal {
    fn note(&self, error: &Error) {
        if let Error::Os { call, source } = error {
            let step = STEPS.iter().position(|step| step == call).map_or(0, |step| step as u64 + 1);
            self.0[0].word.store(step << 32 | *source as u64, Ordering::Release);
        }
    }

    fn error(&self) -> Option<Error> {
        let word = self.0[0].word.load(Ordering::Acquire);
        let step = (word >> 32).checked_sub(1)? as usize;
        Some(Error::os(STEPS.get(step)?, Errno::from_raw(word as i32)))
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

/// Opens a descriptor of the process `pid`, close-on-exec. It stays with this process, even when that has ended and
/// its id belongs to another. It becomes readable when the process has ended.
///
/// # Errors
/// [`Error::Os`]: `ESRCH` if there is no such process, `EMFILE`.
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
    /// The process id of the child.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A descriptor that becomes readable when the child has ended (pidfd_open(2)).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends the child `signal` through its pidfd, so that a process with a recycled id is never hit. Where a sandbox
    /// refuses that, the signal goes to the process id, which belongs to the child until it is reaped.
    ///
    /// # Errors
    /// [`Error::Os`]. A child that has ended is not an error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let (fd, none) = (self.pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: a null siginfo asks for the same as kill(2); the descriptor is live.
        let r = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, none, 0) };
        match if r == -1 { Errno::last() } else { return Ok(()) } {
            Errno::ESRCH => Ok(()),
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS if self.exit.is_none() => {
                kill(self.pid, signal).map_err(|e| Error::os("kill", e))
            }
            errno => Err(Error::os("pidfd_send_signal", errno)),
        }
    }

    /// Kills the child (`SIGKILL`) and reaps it.
    ///
    /// # Errors
    /// [`Error::Os`].
    pub fn kill(&mut self) -> Result<Exit> {
        if self.exit.is_none() {
            self.signal(Signal::SIGKILL)?;
        }
        self.wait(Duration::MAX).map(|exit| exit.expect("waited without a limit"))
    }

    /// Waits at most `limit` for the child to end and reaps it. `None` if it still runs. Time in which this process is
    /// stopped [does not count](crate::deadline).
    ///
    /// # Errors
    /// [`Error::Os`], also that of the call which refused the child its start.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Exit>> {
        let mut deadline = Deadline::after(limit);
        while self.exit.is_none() {
            let slice = deadline.slice();
            let timeout = if slice.is_zero() { 0 } else { slice.as_millis() as u16 + 1 };
            let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(timeout)) {
                Ok(0) if slice.is_zero() => return Ok(None),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => self.exit = Some(reap(self.pid)?),
                Err(errno) => return Err(Error::os("poll", errno)),
            }
        }
        let refused = (self.exit == Some(Exit::Code(PANICKED))).then(|| self.refusal.error());
        refused.flatten().map_or(Ok(self.exit), Err)
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
        let why = format!("cannot pin to CPU {cpu} (sched_setaffinity: {errno}); allowed: {}", allowed.trim());
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

/// Runs `test` in a forked child with a deadline. A hang, a panic and a crash are an `Err`, and so is an `Err` that
/// `test` returns. Whatever the child forked dies with it.
///
/// # Errors
/// What went wrong, in words.
pub fn with_watchdog(
    limit: Duration,
    test: impl FnOnce() -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    Watched::start(limit, test)?.verdict()
}

/// A test that runs in a forked child while this process does something else. Dropping it kills the child.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    why: PipeReader,
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
        Ok(Self { child: child.map_err(|e| e.to_string())?, why, limit })
    }

    /// Waits for the end of the test, for as long as its limit from now on.
    ///
    /// # Errors
    /// As [`with_watchdog`].
    pub fn verdict(mut self) -> std::result::Result<(), String> {
        match self.child.wait(self.limit).map_err(|e| e.to_string())? {
            Some(Exit::Code(0)) => Ok(()),
            Some(Exit::Code(1)) => {
                let mut why = String::new();
                let _ = self.why.read_to_string(&mut why);
                Err(why)
            }
            Some(Exit::Code(PANICKED)) => Err(format!("exited with {PANICKED}: it panicked, see its message above")),
            Some(Exit::Code(code)) => Err(format!("exited with {code}")),
            Some(Exit::Signal(signal)) => Err(format!("killed by {signal}")),
            None => Err(format!("hung: still running after {:?}", self.limit)),
        }
    }
}
