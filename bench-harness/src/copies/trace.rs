//! A tracer of system calls (ptrace(2)): what a few child processes call between two marks, and how many bytes that moves.
//!
//! A child is forked with [`Tracee::fork`] and says with [`begin`] and [`end`] what is to be counted; [`trace`] follows a set
//! of them to their end. Whoever wants to look at them in between uses a [`Tracer`]: a child that calls [`pause`] stays where
//! it is until it is [let go](Tracer::release).
//!
//! - The marks are prctl(2) calls with an option that no kernel knows: nothing but a tracer notices them.
//! - Threads and children of a child are followed as well. Of the threads that it starts, only calls that move payload
//!   count: a thread that waits beside it makes calls of its own at no foreseeable moment.
//! - Signals are passed on. Whatever happens, children that were forked here are killed and reaped when the tracer is dropped,
//!   and the kernel kills them if this process dies first (`PTRACE_O_EXITKILL`).
//! - All of this must happen in the thread that forked them (ptrace(2)).
//!
//! A call that is followed costs its caller several context switches, so nothing of this is fit for timing.

pub use super::sys::Watched;
use super::{
    counts::{Counts, note_in},
    descriptor::Descriptor,
    memory::{self, Trace},
    rules::{self, Length, Rule},
    sys::{self, At},
};
use crate::{interrupt, pair::cause_of};
use ipc_core::{
    Error,
    deadline::Deadline,
    process::{self, Child, Exit},
    shared::SharedPage,
};
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Event, Options},
        signal::{Signal, raise},
        uio::{RemoteIoVec, process_vm_readv},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use std::{collections::BTreeSet, fs, io::IoSliceMut, sync::atomic::Ordering, thread, time::Duration};

/// An option that prctl(2) does not know.
const MARK: i32 = 0x6970_636d;
const BEGIN: u64 = 1;
const END: u64 = 2;
const PAUSE: u64 = 3;

/// In a child: its system calls count from here.
pub fn begin() {
    sys::unknown_prctl(MARK, [BEGIN, 0, 0, 0]);
}

/// In a child: its system calls do not count any more.
pub fn end() {
    sys::unknown_prctl(MARK, [END, 0, 0, 0]);
}

/// In a child: tells the tracer `details` and waits until it is let go.
pub fn pause(details: [u64; 3]) {
    let [a, b, c] = details;
    sys::unknown_prctl(MARK, [PAUSE, a, b, c]);
}

/// Why nothing was traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untraced {
    /// This system does not let a process trace its children.
    #[error("{errno:?} {who}", who = whose_refusal(*.errno))]
    Refused {
        /// What ptrace(2) said.
        errno: Errno,
    },
    /// A process could not be forked or looked at.
    #[error("{0}")]
    Process(Error),
    /// A child ended badly: which, from 0, and how.
    #[error("process {0} died: {cause}", cause = cause_of(*.1))]
    Died(usize, Exit),
    /// A child came to no end.
    #[error("no end within {0:?}")]
    Hung(Duration),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Who refuses to let a process be traced.
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

/// An error of ptrace(2) or of a wait for a traced child.
fn os(call: &'static str) -> impl Fn(Errno) -> Untraced {
    move |errno| Untraced::Process(Error::os(call, errno))
}

/// A child that is traced and stands before its first step.
#[derive(Debug)]
pub struct Tracee(Child);

/// How long a child may take to stand.
const START: Duration = Duration::from_secs(5);

impl Tracee {
    /// Forks a child that will run `main` and end in `_exit` with what it returns, once a [`Tracer`] has it.
    ///
    /// System calls: those of [`process::fork`], `mmap`, `ptrace`, `waitid`.
    ///
    /// # Errors
    /// [`Untraced::Refused`] where it may not be traced; else as [`process::fork`].
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

/// Follows `children` until all of them have ended, and returns what each has called between its marks.
///
/// # Errors
/// [`Untraced`]: they did not end within `limit`, or one ended with anything but 0. All are reaped either way.
pub fn trace<const N: usize>(children: [Tracee; N], limit: Duration) -> Result<[Counts; N], Untraced> {
    let mut tracer = Tracer::new(children, rules::TABLE, limit);
    let all: Vec<usize> = (0..N).collect();
    loop {
        all.iter().for_each(|&child| tracer.release(child));
        tracer.settle(&all, None)?;
        if all.iter().all(|&child| tracer.has_ended(child)) {
            break;
        }
    }
    let counts = all.iter().map(|&child| match tracer.exit(child) {
        Some(Exit::Code(0)) => Ok(tracer.counts(child).clone()),
        exit => Err(Untraced::Died(child, exit.unwrap_or(Exit::Code(process::PANICKED)))),
    });
    let counts: Vec<Counts> = counts.collect::<Result<_, _>>()?;
    Ok(counts.try_into().expect("one for each child"))
}

/// Follows a set of children, one thread of this process for all.
#[derive(Debug)]
pub struct Tracer {
    table: &'static [Rule],
    /// Bytes of a message; 0 where that is not known.
    message: u64,
    deadline: Deadline,
    limit: Duration,
    tasks: Vec<Task>,
    /// What is looked for in a child at each of its stops, and where it was found: in which child, at which address.
    wanted: Option<Trace>,
    seen: BTreeSet<(usize, u64)>,
    /// Reaped when these are dropped.
    roles: Vec<Role>,
}

/// One child.
#[derive(Debug)]
struct Role {
    child: Child,
    exit: Option<Exit>,
    counting: bool,
    counts: Counts,
    details: [u64; 3],
    /// How often each watched place was reached.
    hits: [u64; 4],
    /// The watched places.
    places: [u64; 4],
    /// What a place must hold for it to count.
    held: [Option<[u8; 8]>; 4],
    watched: bool,
}

/// One thread of a child.
#[derive(Debug)]
struct Task {
    tid: Pid,
    role: usize,
    leader: bool,
    state: State,
    /// The call that it is in.
    call: Option<(i64, [u64; 6])>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A thread that has not stopped yet for the first time.
    New,
    Running,
    Paused,
    Ended,
}

/// How long the tracer polls before it naps between two looks: a child mostly stops again after some microseconds.
const POLLS: u32 = 200;
const NAP: Duration = Duration::from_micros(50);

impl Tracer {
    /// Takes `children`, which stand before their first step, and judges their calls by `table`. They are given up after `limit`.
    pub fn new(children: impl IntoIterator<Item = Tracee>, table: &'static [Rule], limit: Duration) -> Self {
        let roles: Vec<Role> = children.into_iter().map(|tracee| Role::new(tracee.0)).collect();
        let task = |(role, of): (usize, &Role)| Task::new(of.child.pid(), role, true, State::Paused);
        let tasks = roles.iter().enumerate().map(task).collect();
        let (deadline, seen) = (Deadline::after(limit), BTreeSet::new());
        Self { table, message: 0, deadline, limit, tasks, wanted: None, seen, roles }
    }

    /// Takes what calls move beyond whole messages of `bytes`, where it is little, for notes about the payload.
    pub fn set_message(&mut self, bytes: u64) {
        self.message = bytes;
    }

    /// Lets `child` go on from where it has paused.
    pub fn release(&mut self, child: usize) {
        for task in
            self.tasks.iter_mut().filter(|task| task.role == child && task.leader && task.state == State::Paused)
        {
            task.go_on(None);
        }
    }

    /// Follows all until each of `children` has paused or ended; `false` where some have not after `patience`.
    ///
    /// # Errors
    /// [`Untraced::Hung`] at the tracer's own limit, [`Untraced::Interrupted`], [`Untraced::Process`].
    pub fn settle(&mut self, children: &[usize], patience: Option<Duration>) -> Result<bool, Untraced> {
        let mut patient = patience.map(Deadline::after);
        let mut idle = 0;
        while !children.iter().all(|&child| self.has_settled(child)) {
            if self.look()? {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < POLLS {
                thread::yield_now();
                continue;
            }
            if interrupt::requested() {
                return Err(Untraced::Interrupted);
            }
            if self.deadline.has_passed() {
                return Err(Untraced::Hung(self.limit));
            }
            if patient.as_mut().is_some_and(Deadline::has_passed) {
                return Ok(false);
            }
            thread::sleep(NAP);
        }
        Ok(true)
    }

    fn has_settled(&self, child: usize) -> bool {
        let leader = self.leader(child);
        matches!(leader.state, State::Paused | State::Ended)
    }

    fn leader(&self, child: usize) -> &Task {
        self.tasks.iter().find(|task| task.role == child && task.leader).expect("every child has a first thread")
    }

    /// The process id of `child`.
    pub fn pid(&self, child: usize) -> Pid {
        self.roles[child].child.pid()
    }

    /// Whether `child` has paused, rather than ended.
    pub fn has_paused(&self, child: usize) -> bool {
        self.leader(child).state == State::Paused
    }

    /// Whether `child` has ended.
    pub fn has_ended(&self, child: usize) -> bool {
        self.leader(child).state == State::Ended
    }

    /// How it has ended.
    pub fn exit(&self, child: usize) -> Option<Exit> {
        self.roles[child].exit
    }

    /// Whether all threads of `child` sleep in the kernel: where it has not paused it waits for another process (proc_pid_stat(5)).
    pub fn sleeps(&self, child: usize) -> bool {
        let sleeps = |task: &Task| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", task.tid)).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        };
        self.tasks.iter().filter(|task| task.role == child).all(sleeps)
    }

    /// Minor page faults of `child` since it began (proc_pid_stat(5), `minflt`). What the tracer reads in its memory is none of
    /// them.
    pub fn minor_faults(&self, child: usize) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid(child))).ok()?;
        minor_faults_in(&stat)
    }

    /// What it has said at its last [`pause`].
    pub fn details(&self, child: usize) -> [u64; 3] {
        self.roles[child].details
    }

    /// Starts or stops counting in `child`, which has paused, as [`begin`] and [`end`] do.
    pub fn count(&mut self, child: usize, on: bool) {
        self.roles[child].counting = on;
    }

    /// What has been counted in `child`.
    pub fn counts(&self, child: usize) -> &Counts {
        &self.roles[child].counts
    }

    /// Looks once at each thread that may have stopped; says whether one had.
    fn look(&mut self) -> Result<bool, Untraced> {
        let mut found = false;
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &self.tasks[index];
            if matches!(task.state, State::Running | State::New)
                && let Some(stop) = task.stop()?
            {
                found = true;
                self.handle(index, stop)?;
            }
            index += 1;
        }
        self.tasks.retain(|task| task.leader || task.state != State::Ended);
        Ok(found)
    }

    fn handle(&mut self, index: usize, stop: Stop) -> Result<(), Untraced> {
        let task = &mut self.tasks[index];
        let role = &mut self.roles[task.role];
        let is_new = task.state == State::New;
        let signal = match stop {
            Stop::Ended => {
                if task.leader {
                    role.exit = role.child.wait(START)?;
                } else {
                    // Of a thread there is nothing left to wait for; a child of the child has its status taken here.
                    let _ = waitpid(task.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
                }
                task.state = State::Ended;
                return Ok(());
            }
            Stop::Call => {
                match sys::at(task.tid) {
                    Ok(At::Entry(libc::SYS_prctl, [option, mark, a, b, c, _])) if option as i32 == MARK => match mark {
                        PAUSE => {
                            role.details = [a, b, c];
                            task.state = State::Paused;
                            return Ok(());
                        }
                        mark => role.counting = mark == BEGIN,
                    },
                    Ok(At::Entry(number, arguments)) => {
                        task.call = role.counting.then_some((number, arguments));
                        look_around(self.wanted.as_ref(), &mut self.seen, task);
                    }
                    Ok(At::Exit(result)) => {
                        if let Some(call) = task.call.take()
                            && role.counting
                        {
                            role.enter(self.table, self.message, task, call, result);
                        }
                    }
                    // It was killed meanwhile, and its end will be seen.
                    Ok(At::Neither) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(os("ptrace")(errno)),
                }
                None
            }
            Stop::Event => {
                let spawned = ptrace::getevent(task.tid).map(|tid| Pid::from_raw(tid as i32));
                let role = task.role;
                task.go_on(None);
                if let Ok(tid) = spawned {
                    self.tasks.push(Task::new(tid, role, false, State::New));
                }
                return Ok(());
            }
            Stop::Signal(Signal::SIGTRAP) if role.watched && sys::is_watchpoint(task.tid) => {
                role.enter_hits(sys::take_hits(task.tid));
                look_around(self.wanted.as_ref(), &mut self.seen, task);
                None
            }
            // A new thread stands still with it.
            Stop::Signal(Signal::SIGSTOP) if is_new => None,
            // While a group of threads is stopped there is no signal to pass on (ptrace(2), group-stop).
            Stop::Signal(signal) => ptrace::getsiginfo(task.tid).is_ok().then_some(signal),
        };
        task.go_on(signal);
        Ok(())
    }

    /// Watches the places of `child` in `addresses`, at most four, while it has paused: one byte each. Forgets what it has
    /// watched before.
    ///
    /// # Errors
    /// Why this system does not let a debug register be set.
    pub fn watch(&mut self, child: usize, addresses: &[u64], access: Watched) -> nix::Result<()> {
        let role = &mut self.roles[child];
        (role.hits, role.held) = ([0; 4], [None; 4]);
        role.places = std::array::from_fn(|index| addresses.get(index).copied().unwrap_or(0));
        sys::watch(role.child.pid(), addresses, access)?;
        role.watched = !addresses.is_empty();
        Ok(())
    }

    /// Counts the watched `place` of `child` only where it holds `word` when it has been reached: there are other things at
    /// other times.
    pub fn only_holding(&mut self, child: usize, place: usize, word: [u8; 8]) {
        self.roles[child].held[place] = Some(word);
    }

    /// Looks for `wanted` in the memory of a child from now on whenever it stops: at its system calls and where it reaches a
    /// watched place. What is there only for a moment is seen so.
    pub fn look_for(&mut self, wanted: Option<Trace>) {
        self.wanted = wanted;
        self.seen.clear();
    }

    /// In which children and at which addresses that was.
    pub fn seen(&self) -> &BTreeSet<(usize, u64)> {
        &self.seen
    }

    /// How often `child` has reached each of the places since it has been watched, from user space.
    pub fn hits(&self, child: usize) -> [u64; 4] {
        self.roles[child].hits
    }
}

impl Drop for Tracer {
    /// A process is not reaped before its threads, and those that are traced wait for their tracer even when they are dead.
    fn drop(&mut self) {
        for role in &self.roles {
            let _ = role.child.signal(Signal::SIGKILL);
        }
        for task in self.tasks.iter().filter(|task| !task.leader && task.state != State::Ended) {
            while let Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_))
            | Err(Errno::EINTR) = waitpid(task.tid, Some(WaitPidFlag::__WALL))
            {
                let _ = ptrace::cont(task.tid, None);
            }
        }
    }
}

impl Role {
    fn new(child: Child) -> Self {
        let (counts, details) = (Counts::default(), [0; 3]);
        let (hits, places, held) = ([0; 4], [0; 4], [None; 4]);
        Self { child, exit: None, counting: false, counts, details, hits, places, held, watched: false }
    }

    /// Enters which of the watched places were reached.
    fn enter_hits(&mut self, reached: [bool; 4]) {
        for (place, _) in reached.into_iter().enumerate().filter(|(_, reached)| *reached) {
            let mut word = [0; 8];
            let holds =
                |expected| memory::read(self.child.pid(), self.places[place], &mut word) == 8 && word == expected;
            self.hits[place] += u64::from(self.held[place].is_none_or(holds));
        }
    }

    /// Enters a call that has returned.
    fn enter(
        &mut self,
        table: &'static [Rule],
        message: u64,
        task: &Task,
        (number, arguments): (i64, [u64; 6]),
        result: Result<u64, Errno>,
    ) {
        match rules::find(table, number, |argument| Descriptor::of(task.tid, arguments[argument])) {
            // A call that failed has moved nothing, whatever it is; one that is unknown might have.
            Err(_) if result.is_err() => self.counts.enter_quiet(),
            Err(unknown) => self.counts.enter_unknown(unknown),
            Ok(None) if task.leader => self.counts.enter_quiet(),
            Ok(None) => {}
            Ok(Some(rule)) => {
                let bytes = result.map_or(0, |value| match rule.length {
                    Length::Returned => value,
                    Length::ReturnedUpTo(argument) => value.min(arguments[argument]),
                    Length::Argument(argument) => arguments[argument],
                    Length::EachMessage => sum_of_messages(task.tid, arguments[1], value),
                });
                if task.leader || bytes > note_in(bytes, message) {
                    self.counts.enter(rule, bytes, message);
                }
            }
        }
    }
}

/// Enters where `wanted` lies in the memory of `task`, which has stopped.
fn look_around(wanted: Option<&Trace>, seen: &mut BTreeSet<(usize, u64)>, task: &Task) {
    if let Some(Ok(found)) = wanted.map(|wanted| wanted.find(task.tid)) {
        seen.extend(found.into_iter().map(|address| (task.role, address)));
    }
}

/// The field `minflt` of `/proc/PID/stat`; the program's name before it may hold anything.
fn minor_faults_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(7)?.parse().ok()
}

/// The sum of `msg_len` over `count` elements of the vector of `struct mmsghdr` at `vector` in the process `pid`.
fn sum_of_messages(pid: Pid, vector: u64, count: u64) -> u64 {
    let len = |index: u64| {
        let each = size_of::<libc::mmsghdr>() as u64;
        let base = (vector + index * each) as usize + std::mem::offset_of!(libc::mmsghdr, msg_len);
        let mut bytes = [0; 4];
        let there = [RemoteIoVec { base, len: bytes.len() }];
        match process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &there) {
            Ok(4) => u64::from(u32::from_ne_bytes(bytes)),
            _ => 0,
        }
    };
    (0..count).map(len).sum()
}

/// How a thread stands still.
enum Stop {
    /// At the entry or exit of a call.
    Call,
    /// It has started a thread or a process.
    Event,
    /// It is to get a signal.
    Signal(Signal),
    /// It has ended; its status is still to be taken.
    Ended,
}

impl Task {
    fn new(tid: Pid, role: usize, leader: bool, state: State) -> Self {
        Self { tid, role, leader, state, call: None }
    }

    fn go_on(&mut self, signal: Option<Signal>) {
        self.state = State::Running;
        // ESRCH: it was killed meanwhile, and its end will be seen.
        let _ = ptrace::syscall(self.tid, signal);
    }

    /// How it has stopped, if it has.
    fn stop(&self) -> Result<Option<Stop>, Untraced> {
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
            // ECHILD: also of a process that has ended while it still has threads to be looked at; it will not stop again.
            Ok(_) | Err(Errno::EINTR | Errno::ECHILD) => {}
            Err(errno) => return Err(os("waitid")(errno)),
        }
        match waitid(Id::Pid(self.tid), nohang | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            // ECHILD: threads vanish when another of them starts a program.
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => Ok(Some(Stop::Ended)),
            // Of a traced thread it tells stops, too: that is for the next look.
            Ok(_) | Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(os("waitid")(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_faults_are_the_tenth_field() {
        let stat = "42 (a) b (c) S 1 2 3 0 -1 4194304 987 11 5 0 1 2 3 4 20 0 1 0 123";
        assert_eq!(minor_faults_in(stat), Some(987));
        assert_eq!(minor_faults_in("42 (a) S 1"), None);
    }
}
