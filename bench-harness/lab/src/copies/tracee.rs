//! A child that lets itself be traced, and the errors of tracing.

use crate::worker::cause_of;
use ipc_core::{
    Error,
    deadline::Deadline,
    process::{self, Child, Exit},
    shared::SharedPage,
};
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, raise},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
};
use std::{fs, sync::atomic::Ordering, thread, time::Duration};

/// The reason why nothing was traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untraced {
    /// This system does not let a process trace its children.
    #[error("{errno:?} {who}", who = whose_refusal(*.errno))]
    Refused {
        /// The error of ptrace(2).
        errno: Errno,
    },
    /// A process could not be forked or looked at.
    #[error("{0}")]
    Process(Error),
    /// A child ended badly. Holds its index, from 0, and how it ended.
    #[error("process {0} died: {cause}", cause = cause_of(*.1))]
    Died(usize, Exit),
    /// A child did not end. Holds the deadline.
    #[error("no end within {0:?}")]
    Hung(Duration),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The likely authority that refuses tracing.
fn whose_refusal(errno: Errno) -> String {
    match fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope") {
        Ok(scope) if errno == Errno::EPERM && scope.trim() != "0" => {
            format!("under Yama ptrace_scope {}", scope.trim())
        }
        _ => "from ptrace: a sandbox, or a tracer that this process has already".into(),
    }
}

impl From<Error> for Untraced {
    fn from(error: Error) -> Self {
        Self::Process(error)
    }
}

/// Converts an error of ptrace(2), or of a wait for a traced child.
pub(super) fn os(call: &'static str) -> impl Fn(Errno) -> Untraced {
    move |errno| Untraced::Process(Error::os(call, errno))
}

/// A child that is traced and stands before its first step.
#[derive(Debug)]
pub struct Tracee(pub(super) Child);

/// How long the tracer naps between two looks at a child that has not stopped.
pub(super) const NAP: Duration = Duration::from_micros(50);
/// The time within which a forked child must stop for the tracer.
pub(super) const START: Duration = Duration::from_secs(5);

impl Tracee {
    /// Forks a child. Once a [`Tracer`](super::trace::Tracer) has it, the child runs `main` and ends in `_exit` with the
    /// result.
    ///
    /// System calls: those of [`process::fork`], `mmap`, `ptrace`, `waitid`.
    ///
    /// # Errors [`Untraced::Refused`] if the child may not be traced, otherwise those of [`process::fork`].
    pub fn fork(main: impl FnOnce() -> i32) -> Result<Self, Untraced> {
        let refusal = SharedPage::new()?;
        let child = process::fork(|| match ptrace::traceme().and_then(|()| raise(Signal::SIGSTOP)) {
            Ok(()) => main(),
            Err(errno) => {
                refusal[0].word.store(errno as u64, Ordering::Release);
                process::PANICKED
            }
        })?;
        let mut tracee = Self(child);
        let mut deadline = Deadline::after(START);
        while !tracee.stands()? {
            if let Some(exit) = tracee.0.wait(Duration::ZERO)? {
                return Err(match refusal[0].word.load(Ordering::Acquire) as i32 {
                    0 => Untraced::Died(0, exit),
                    errno => Untraced::Refused { errno: Errno::from_raw(errno) },
                });
            }
            if deadline.has_passed() {
                return Err(Untraced::Hung(START));
            }
            thread::sleep(NAP);
        }
        let follow = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL | follow;
        ptrace::setoptions(tracee.0.pid(), options).map_err(os("ptrace"))?;
        Ok(tracee)
    }

    fn stands(&self) -> Result<bool, Untraced> {
        match waitid(Id::Pid(self.0.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR | Errno::ECHILD) => Ok(false),
            Ok(_) => Ok(true),
            Err(errno) => Err(os("waitid")(errno)),
        }
    }
}
