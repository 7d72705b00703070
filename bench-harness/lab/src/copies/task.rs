//! One traced thread: its state, the reason of its stop, and how to halt it.

use super::{
    sys,
    tracee::{START, Untraced, os},
};
use ipc_core::deadline::Deadline;
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Event},
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use std::{fs, thread};

/// One thread of a child.
#[derive(Debug)]
pub(super) struct Task {
    pub tid: Pid,
    /// The process that the thread belongs to.
    pub process: Pid,
    pub role: usize,
    /// Whether it is the child's first thread.
    pub leader: bool,
    pub state: State,
    /// Whether the thread stands still while its stop is handled.
    pub stands: bool,
    /// The call that the thread is in.
    pub call: Option<Call>,
    /// A stop that was found while all threads were halted, and is still to be handled.
    pending: Option<Stop>,
    /// How many halting signals were sent to the thread that have not arrived.
    owed: u32,
}

/// A system call that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub number: i64,
    pub arguments: [u64; 6],
    /// Whether it began while calls were counted.
    pub counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A thread that has not made its first stop.
    New,
    Running,
    Paused,
    Ended,
}

/// The reason of a thread's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The entry or exit of a call.
    Call,
    /// The thread has started a thread or a process.
    Event,
    /// The thread is about to get a signal.
    Signal(Signal),
    /// The thread has ended, and its status is still to be taken.
    Ended,
}

impl Task {
    pub fn new(tid: Pid, process: Pid, role: usize, state: State) -> Self {
        let leader = state == State::Paused;
        Self { tid, process, role, leader, state, stands: leader, call: None, pending: None, owed: 0 }
    }

    pub fn go_on(&mut self, signal: Option<Signal>) {
        (self.state, self.stands) = (State::Running, false);
        // ESRCH: the thread was killed meanwhile, and its end will be seen.
        let _ = ptrace::syscall(self.tid, signal);
    }

    /// The thread's stop. `None` if it has not stopped.
    pub fn stop(&mut self) -> Result<Option<Stop>, Untraced> {
        match self.pending.take() {
            None => self.next_stop(),
            pending => Ok(pending),
        }
    }

    fn next_stop(&self) -> Result<Option<Stop>, Untraced> {
        let nohang = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
        match waitid(Id::Pid(self.tid), nohang | WaitPidFlag::WSTOPPED) {
            Ok(WaitStatus::PtraceSyscall(_)) => return Ok(Some(Stop::Call)),
            Ok(WaitStatus::PtraceEvent(_, signal, 0) | WaitStatus::Stopped(_, signal)) => {
                return Ok(Some(Stop::Signal(signal)));
            }
            Ok(WaitStatus::PtraceEvent(_, _, event)) if event == Event::PTRACE_EVENT_STOP as i32 => {
                return Ok(Some(Stop::Signal(Signal::SIGSTOP)));
            }
            Ok(WaitStatus::PtraceEvent(..)) => return Ok(Some(Stop::Event)),
            // ECHILD also comes from a process that has ended while threads of it remain to be looked at. It will not stop
            // again.
            Ok(_) | Err(Errno::EINTR | Errno::ECHILD) => {}
            Err(errno) => return Err(os("waitid")(errno)),
        }
        match waitid(Id::Pid(self.tid), nohang | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            // ECHILD: a thread vanishes when another thread starts a program.
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => Ok(Some(Stop::Ended)),
            // For a traced thread waitid also reports stops. Those are for the next look.
            Ok(_) | Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(os("waitid")(errno)),
        }
    }

    /// Makes the thread stop, wherever it is. Returns whether it stands still now; `false` if it has ended. A stop for another
    /// reason is handled after [`resume`](Self::resume).
    pub fn halt(&mut self) -> Result<bool, Untraced> {
        if self.pending.is_none() {
            if sys::signal_thread(self.process, self.tid, Signal::SIGSTOP).is_ok() {
                self.owed += 1;
            }
            let mut deadline = Deadline::after(START);
            self.pending = loop {
                if let Some(stop) = self.next_stop()? {
                    break Some(stop);
                }
                if deadline.has_passed() {
                    return Err(Untraced::Hung(START));
                }
                thread::yield_now();
            };
        }
        Ok(self.pending != Some(Stop::Ended))
    }

    /// Releases the thread after [`halt`](Self::halt), unless it has stopped for another reason.
    pub fn resume(&mut self) {
        if self.pending == Some(Stop::Signal(Signal::SIGSTOP)) && self.is_owed() {
            self.pending = None;
            self.go_on(None);
        }
    }

    /// Whether the `SIGSTOP` that the thread is about to get was sent to halt it. Counts it as arrived.
    pub fn is_owed(&mut self) -> bool {
        let owed = self.owed > 0;
        self.owed -= u32::from(owed);
        owed
    }

    /// Whether the thread sleeps in the kernel (proc_pid_stat(5)).
    pub fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.tid)).unwrap_or_default();
        self.pending.is_none() && stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    }
}
