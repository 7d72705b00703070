//! Where the receiver of `process-vm` reads its messages from.

use crate::protocol::Consumer;
use ipc_core::{
    Error, Result, Sign, ledger, liveness::Liveness, process::pidfd_open, transfer::check_len, wait::PEER_CHECK,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        time::TimeSpec,
        uio::{RemoteIoVec, process_vm_readv},
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::{
    fs,
    io::IoSliceMut,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// Bytes of a descriptor at the front of its record: three words.
pub const DESCRIPTOR: usize = 24;
/// Bytes of the stamp behind a payload.
pub const STAMP: usize = size_of::<u64>();
/// How long a process id is trusted after its process was seen alive. No machine forks as often as it has process ids
/// in that time (32,768 or more, `kernel.pid_max`), so the id cannot be another process's.
const TRUST: Duration = PEER_CHECK;
/// How long a process may take to show its end once its memory is gone. An exec gives up its memory before its
/// descriptors, and so does an exit.
const GRACE: Duration = PEER_CHECK;

/// The sign by which the end of the sender's process shows.
const ENDED: Sign = Sign::Errno(Errno::ESRCH);

/// What a record says about its payload.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// The address of the payload in the sender's memory.
    pub address: u64,
    /// The length of the payload in bytes.
    pub len: u64,
    /// The number behind the payload in the sender's memory. Each message has another.
    pub stamp: u64,
}

impl Descriptor {
    /// Writes the descriptor to the front of `record`.
    #[inline]
    pub fn write(self, record: &mut [u8]) {
        for (word, bytes) in [self.address, self.len, self.stamp].into_iter().zip(record.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// Reads the descriptor of `record`, and checks that the record has room for the payload.
    #[inline]
    fn of(record: &Consumer) -> Result<Self> {
        const CORRUPT: Error = Error::Corrupt { what: "a descriptor" };
        let room = record.len().checked_sub(DESCRIPTOR).ok_or(CORRUPT)?;
        let [address, len, stamp] = record.words();
        let descriptor = Self { address, len, stamp };
        if descriptor.len > room as u64 { Err(CORRUPT) } else { Ok(descriptor) }
    }
}

/// The process that sends, and what has become of it.
///
/// - **Which process.** The descriptor does not say. The sender introduces itself over the socket beside the ring,
///   where the kernel attests its id. A peer that lies about address and length can make this process read the peer's
///   own memory, no longer than a message, and nothing else. (Privileged processes can lie about their id, but may read
///   others anyway.)
/// - **A reused id.** The id is used only if the sender's end is open when the first message is received. If the last
///   look is 20 ms old, the pidfd is polled before the id is used again. An end that has seen the sender gone never
///   uses the id again. If another process holds a copy of the sender's end, only the next two rules protect the first
///   message.
/// - **Other memory at the same address,** after an exec, or in a child that uses its parent's end. Behind each payload
///   stands a stamp, which the same call reads after the payload. The kernel keeps one address space for the whole
///   call. So a payload with its stamp behind it is what was sent.
/// - **An end during the read.** A message that was not read as a whole is none. The next look finds the sender gone.
#[derive(Debug, Default)]
pub enum Source {
    /// Nothing has come yet.
    #[default]
    Unknown,
    /// The memory of a process.
    Process(Process),
    /// The ring: the sender has closed its end, and left there what was not received.
    Ring,
    /// Nowhere: the sender is gone.
    Gone(Sign),
}

/// A process that has been seen alive.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    /// When it was last seen alive.
    seen: Duration,
}

/// Why a payload could not be read.
enum Miss {
    /// The call failed.
    Failed(Errno),
    /// The stamp behind the payload is another.
    Stale,
}

impl Source {
    /// Checks whether a process may read another at all on this system. System calls: `process_vm_readv` of this
    /// process; `open`, `read`, `close` of `/proc/sys/kernel/yama/ptrace_scope`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with `mechanism`, what forbids it, and what would be right.
    pub fn check(mechanism: &'static str) -> Result<()> {
        let unsupported = |why| Err(Error::Unsupported { what: mechanism, why });
        let (here, mut there) = ([0x5a; 8], [0; 8]);
        let remote = RemoteIoVec { base: here.as_ptr().addr(), len: here.len() };
        match process_vm_readv(Pid::this(), &mut [IoSliceMut::new(&mut there)], &[remote]) {
            Ok(_) => {}
            Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
                return unsupported(format!(
                    "process_vm_readv: {errno:?}: the kernel lacks CONFIG_CROSS_MEMORY_ATTACH, or a sandbox forbids it"
                ));
            }
            Err(errno) => return Err(Error::os("process_vm_readv", errno)),
        }
        match yama_scope() {
            Some(3) => unsupported("kernel.yama.ptrace_scope is 3: until the next boot nobody may read another".into()),
            Some(2) if !has_cap_sys_ptrace() => unsupported(
                "kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may read another; 1 or less would do".into(),
            ),
            _ => Ok(()),
        }
    }

    /// Reads the payload of `record` into the front of `buffer` and returns its length in bytes.
    ///
    /// # Errors
    /// As [`Endpoint::recv`](ipc_core::Endpoint::recv).
    #[inline]
    pub fn read(&mut self, record: &Consumer, peer: &Liveness, buffer: &mut [u8]) -> Result<usize> {
        let descriptor = Descriptor::of(record)?;
        let len = descriptor.len as usize;
        check_len(len, buffer.len())?;
        loop {
            match self {
                Self::Process(process) => {
                    match process.check_alive().and_then(|()| process.read(&descriptor, &mut buffer[..len])) {
                        Ok(()) => return Ok(len),
                        Err(miss) => self.diagnose(&miss, peer)?,
                    }
                }
                Self::Ring => {
                    record.part(DESCRIPTOR..DESCRIPTOR + len, |payload| ledger::copy(&mut buffer[..len], payload));
                    return Ok(len);
                }
                Self::Gone(sign) => return Err(Error::PeerGone { sign: *sign }),
                Self::Unknown => *self = Self::introduced(peer)?,
            }
        }
    }

    /// Takes the sender's introduction.
    #[cold]
    fn introduced(peer: &Liveness) -> Result<Self> {
        let pid = peer.introduced()?.ok_or(Error::Corrupt { what: "a message of nobody: no introduction" })?;
        match pidfd_open(pid) {
            // The introduction may be old. The id is certainly the sender's only if its end is still open.
            Ok(pidfd) if !peer.is_gone()? => Ok(Self::Process(Process { pid, pidfd, seen: now()? })),
            Ok(_) if peer.notes() == 0 => Ok(Self::Gone(Sign::HangUp)),
            Err(Error::Os { source: Errno::ESRCH, .. }) if peer.notes() == 0 => Ok(Self::Gone(ENDED)),
            Ok(_) | Err(Error::Os { source: Errno::ESRCH, .. }) => Ok(Self::Ring),
            Err(error) => Err(error),
        }
    }

    /// Finds out why a payload could not be read, and where to read from here on.
    #[cold]
    fn diagnose(&mut self, miss: &Miss, peer: &Liveness) -> Result<()> {
        let Self::Process(process) = self else { return Ok(()) };
        // A sender that closes leaves a note before it gives up its memory.
        if peer.notes() > 0 {
            *self = Self::Ring;
            return Ok(());
        }
        let grace = match miss {
            Miss::Failed(Errno::EFAULT) | Miss::Stale => GRACE,
            Miss::Failed(_) => Duration::ZERO,
        };
        let gone = match miss {
            Miss::Failed(Errno::ESRCH) => Some(ENDED),
            _ => process.end(peer, grace)?,
        };
        *self = match (gone, miss) {
            (Some(sign), _) => Self::Gone(sign),
            (None, Miss::Failed(Errno::EPERM)) => return Err(refused(process.pid)),
            // EINVAL: address and length go beyond all addresses.
            (None, Miss::Failed(Errno::EFAULT | Errno::EINVAL)) => {
                return Err(Error::Corrupt { what: "a descriptor: nothing is there" });
            }
            (None, Miss::Stale) => return Err(Error::Corrupt { what: "a descriptor: something else is there" }),
            (None, Miss::Failed(errno)) => return Err(Error::os("process_vm_readv", *errno)),
        };
        Ok(())
    }
}

impl Process {
    /// Checks that the process has not ended, if the last check is [`TRUST`] ago.
    #[inline]
    fn check_alive(&mut self) -> std::result::Result<(), Miss> {
        let now = now().map_err(|_| Miss::Failed(Errno::ESRCH))?;
        if now.saturating_sub(self.seen) > TRUST {
            match await_any(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], Duration::ZERO) {
                Ok(false) => self.seen = now,
                Ok(true) => return Err(Miss::Failed(Errno::ESRCH)),
                Err(errno) => return Err(Miss::Failed(errno)),
            }
        }
        Ok(())
    }

    /// Fills `payload` and checks the stamp behind it.
    #[inline]
    fn read(&self, descriptor: &Descriptor, payload: &mut [u8]) -> std::result::Result<(), Miss> {
        let len = payload.len();
        if len == 0 {
            return Ok(());
        }
        let mut stamp = [0; STAMP];
        let (mut done, whole) = (0, len + STAMP);
        while done < whole {
            let remote = RemoteIoVec { base: (descriptor.address as usize).wrapping_add(done), len: whole - done };
            let mut local = [
                IoSliceMut::new(&mut payload[done.min(len)..]),
                IoSliceMut::new(&mut stamp[done.saturating_sub(len)..]),
            ];
            ledger::call();
            match process_vm_readv(self.pid, &mut local, &[remote]) {
                Ok(0) => return Err(Miss::Failed(Errno::EFAULT)),
                // A page is missing there. If it stays away, the next call says so.
                Ok(n) => done += n,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Miss::Failed(errno)),
            }
        }
        if u64::from_ne_bytes(stamp) == descriptor.stamp { Ok(()) } else { Err(Miss::Stale) }
    }

    /// Waits at most `grace` until the process ends or closes its end of the link. Says how that showed, if it did.
    fn end(&self, peer: &Liveness, grace: Duration) -> Result<Option<Sign>> {
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN), peer.poll_fd()];
        await_any(&mut fds, grace).map_err(|e| Error::os("ppoll", e))?;
        Ok(match fds.map(|fd| fd.any().unwrap_or(false)) {
            [true, _] => Some(ENDED),
            [_, true] => Some(Sign::HangUp),
            _ => None,
        })
    }
}

/// Waits at most `limit` until one of `fds` has an event. Says whether one has. System call: `ppoll`.
fn await_any(fds: &mut [PollFd<'_>], limit: Duration) -> nix::Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ledger::call();
        match ppoll(fds, Some(TimeSpec::from_duration(left)), None) {
            Err(Errno::EINTR) => {}
            found => return found.map(|n| n > 0),
        }
    }
}

/// The monotonic time, to a few milliseconds (`CLOCK_MONOTONIC_COARSE`, clock_gettime(2)). It is read from memory,
/// without the cost of reading the hardware clock.
#[inline]
fn now() -> Result<Duration> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    now.map(Duration::from).map_err(|e| Error::os("clock_gettime", e))
}

/// The scope of ptrace that Yama sets, if the kernel has Yama (`Documentation/admin-guide/LSM/Yama.rst`).
fn yama_scope() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

/// Whether this process has `CAP_SYS_PTRACE`, bit 19 (capabilities(7)).
fn has_cap_sys_ptrace() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & 1 << 19 != 0)
}

/// Why this process may not read process `pid`, and what to do.
#[cold]
fn refused(pid: Pid) -> Error {
    let rule = match yama_scope() {
        Some(scope @ 2..) => format!("kernel.yama.ptrace_scope is {scope}; set it to 1 or less, or give CAP_SYS_PTRACE"),
        Some(1) => "kernel.yama.ptrace_scope is 1: the process that opened the link must live, and both must descend from it; \
                    or set it to 0"
            .into(),
        _ => "both must run as one user, the sender must be dumpable (PR_SET_DUMPABLE(2const); a change of user ends that), and no \
              security module or sandbox forbid it"
            .into(),
    };
    Error::Unsupported { what: "process-vm", why: format!("this process may not read process {pid}: {rule}") }
}
