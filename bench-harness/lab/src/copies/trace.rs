//! A tracer of system calls (ptrace(2)): what a few child processes call between two marks, and how many bytes that moves.
//!
//! A child is forked with [`Tracee::fork`] and says with [`begin`] and [`end`] what is to be counted; [`trace`] follows a set
//! of them to their end. Whoever wants to look at them in between uses a [`Tracer`]: a child that calls [`pause`] stays where
//! it is until it is [let go](Tracer::release).
//!
//! - The marks are prctl(2) calls with an option that no kernel knows: nothing but a tracer notices them.
//! - Threads of a child are followed as well, from their first step. Of the threads that it starts, only bytes that are moved
//!   count: a thread that waits beside it makes calls of its own at no foreseeable moment.
//! - So are processes that a child starts, but their memory is not looked at: see [`Tracer::hidden`].
//! - Signals are passed on. Whatever happens, children that were forked here are killed and reaped when the tracer is dropped,
//!   and the kernel kills them if this process dies first (`PTRACE_O_EXITKILL`).
//! - All of this must happen in the thread that forked them (ptrace(2)).
//!
//! A call that is followed costs its caller several context switches, so nothing of this is fit for timing.

use super::{
    counts::{Counts, LineOf},
    hidden::{ANOTHER_PROCESS, COPY_ON_WRITE, UNTRACED},
    memory::{self, Trace},
    origin::Origin,
    role::{self, Role},
    rules::{self, Rule},
    sys::{self, At},
    task::{Call, State, Stop, Task},
    tracee::{NAP, START, os},
};
pub use super::{
    origin::Changed,
    role::{REGISTERS, Site, Watchpoint},
    sys::{Instead, Watched},
    tracee::{Tracee, Untraced},
};
use crate::interrupt;
use ipc_core::{
    deadline::Deadline,
    process::{self, Exit},
};
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{cell::Cell, collections::BTreeSet, fs, thread, time::Duration};

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

/// Follows `children` until all of them have ended, and returns what each has called between its marks.
///
/// # Errors
/// [`Untraced`]: not all had ended when none had paused for `limit`, or one ended with anything but 0. All are reaped either way.
pub fn trace<const N: usize>(children: [Tracee; N], limit: Duration) -> Result<[Counts; N], Untraced> {
    trace_all(children, limit).map(|counts| counts.try_into().expect("one for each child"))
}

/// [`trace`] of as many as there are.
///
/// # Errors
/// As there.
pub fn trace_all(children: impl IntoIterator<Item = Tracee>, limit: Duration) -> Result<Vec<Counts>, Untraced> {
    let mut tracer = Tracer::new(children, rules::TABLE, limit);
    tracer.finish()?;
    Ok(tracer.roles.iter().map(|role| role.counts.clone()).collect())
}

/// As [`trace`], but right behind the first call of the kind `of` that the first child makes, the first byte that it has taken
/// is changed. The others stand still meanwhile, where their calls begin to count. Returns what was changed, if anything.
///
/// # Errors
/// As [`trace`].
pub fn trace_changing(children: Vec<Tracee>, of: LineOf, limit: Duration) -> Result<Option<Changed>, Untraced> {
    let mut tracer = Tracer::new(children, rules::TABLE, limit);
    let others: Vec<usize> = (1..tracer.roles.len()).collect();
    tracer.change_behind(0, of, None);
    tracer.roles.iter_mut().skip(1).for_each(|role| role.held = true);
    (0..tracer.roles.len()).for_each(|child| tracer.release(child));
    tracer.settle(&others, None)?;
    tracer.follow(|tracer| tracer.changed.is_some() || tracer.has_settled(0), None)?;
    tracer.roles.iter_mut().for_each(|role| role.held = false);
    tracer.finish()?;
    Ok(tracer.take_changed())
}

/// Decides for a call that the thread of this id is about to make, by number and arguments, what is done instead of it.
pub type StandIn = fn(Pid, i64, &[u64; 6]) -> Option<Instead>;

thread_local! {
    static STAND_IN: Cell<Option<StandIn>> = const { Cell::new(None) };
}

/// Runs `body` on a kernel that keeps its word badly: what it traces makes other calls than it asks for. For tests.
pub fn with_stand_in<R>(stand_in: StandIn, body: impl FnOnce() -> R) -> R {
    STAND_IN.set(Some(stand_in));
    let done = body();
    STAND_IN.set(None);
    done
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
    stand_in: Option<StandIn>,
    /// What is looked for in a child at each of its stops, and where it was found: in which child, at which site.
    wanted: Option<Trace>,
    seen: BTreeSet<(usize, Site)>,
    /// Behind which calls of which child a byte is to be changed, and how it is known where it is not just the first.
    change: Option<(usize, LineOf, Option<Trace>)>,
    /// Where the byte lies that a call took a reference to last.
    origin: Option<Origin>,
    changed: Option<Changed>,
    /// Reaped when these are dropped.
    roles: Vec<Role>,
}

/// How often the tracer polls before it naps between two looks: a child mostly stops again after some microseconds.
const POLLS: u32 = 200;
/// How long the threads that a child has started may take to come to rest once it has paused itself.
const REST: Duration = Duration::from_secs(1);

impl Tracer {
    /// Takes `children`, which stand before their first step, and judges their calls by `table`. They are given up where none of them
    /// pauses for `limit`.
    pub fn new(children: impl IntoIterator<Item = Tracee>, table: &'static [Rule], limit: Duration) -> Self {
        let roles: Vec<Role> = children.into_iter().map(|tracee| Role::new(tracee.0)).collect();
        let task = |(role, of): (usize, &Role)| Task::new(of.child.pid(), of.child.pid(), role, State::Paused);
        Self {
            table,
            message: 0,
            deadline: Deadline::after(limit),
            limit,
            tasks: roles.iter().enumerate().map(task).collect(),
            stand_in: STAND_IN.get(),
            wanted: None,
            seen: BTreeSet::new(),
            change: None,
            origin: None,
            changed: None,
            roles,
        }
    }

    /// Takes what calls move beyond whole messages of `bytes`, where it is little, for notes about the payload.
    pub fn set_message(&mut self, bytes: u64) {
        self.message = bytes;
    }

    /// Lets `child` go on from where it has paused.
    pub fn release(&mut self, child: usize) {
        self.roles[child].begin();
        for task in
            self.tasks.iter_mut().filter(|task| task.role == child && task.leader && task.state == State::Paused)
        {
            task.go_on(None);
        }
    }

    /// Lets all go on wherever they pause, until they have ended.
    fn finish(&mut self) -> Result<(), Untraced> {
        let all: Vec<usize> = (0..self.roles.len()).collect();
        while !all.iter().all(|&child| self.has_ended(child)) {
            all.iter().for_each(|&child| self.release(child));
            self.settle(&all, None)?;
        }
        match all.into_iter().find(|&child| self.exit(child) != Some(Exit::Code(0))) {
            None => Ok(()),
            Some(child) => Err(Untraced::Died(child, self.exit(child).unwrap_or(Exit::Code(process::PANICKED)))),
        }
    }

    /// Follows all until each of `children` has paused or ended, and the threads that it has started have come to rest; `false`
    /// where some have not paused after `patience`.
    ///
    /// # Errors
    /// [`Untraced::Hung`] at the tracer's own limit, [`Untraced::Interrupted`], [`Untraced::Process`].
    pub fn settle(&mut self, children: &[usize], patience: Option<Duration>) -> Result<bool, Untraced> {
        if !self.follow(|tracer| children.iter().all(|&child| tracer.has_settled(child)), patience)? {
            return Ok(false);
        }
        // What one of them has moved for the message may be known a little later than that the message has arrived.
        for &child in children {
            if !self.roles[child].restless && !self.follow(|tracer| tracer.rests(child), Some(REST))? {
                self.roles[child].restless = true;
            }
        }
        Ok(true)
    }

    /// Follows all until `done`; `false` where that is not so after `patience`.
    fn follow(&mut self, done: impl Fn(&Self) -> bool, patience: Option<Duration>) -> Result<bool, Untraced> {
        let mut patient = patience.map(Deadline::after);
        let mut idle = 0;
        while !done(self) {
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

    /// Whether all threads that `child` has started sleep or have ended.
    fn rests(&self, child: usize) -> bool {
        let others = self.tasks.iter().filter(|task| task.role == child && !task.leader);
        self.has_ended(child) || others.into_iter().all(|task| task.state == State::Ended || task.sleeps())
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

    /// Whether all threads of `child` sleep in the kernel: where it has not paused it waits for another process.
    pub fn sleeps(&self, child: usize) -> bool {
        self.tasks.iter().filter(|task| task.role == child).all(Task::sleeps)
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

    /// Why some of what `child` does cannot be seen.
    pub fn hidden(&mut self, child: usize) -> &mut BTreeSet<String> {
        &mut self.roles[child].hidden
    }

    /// Looks once at each thread that may have stopped; says whether one had.
    fn look(&mut self) -> Result<bool, Untraced> {
        let mut found = false;
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &mut self.tasks[index];
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
        task.stands = true;
        let is_of_child = task.process == role.child.pid();
        if task.state == State::New && is_of_child && role.is_watched() && stop != Stop::Ended {
            // Debug registers belong to a thread, and a new one has none.
            let _ = role.arm(task.tid);
        }
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
                    Ok(At::Entry(number, arguments)) if self.begin_call(index, number, arguments)? => return Ok(()),
                    Ok(At::Exit(result)) => self.end_call(index, result)?,
                    // It was killed meanwhile, and its end will be seen.
                    Ok(At::Entry(..) | At::Neither) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(os("ptrace")(errno)),
                }
                None
            }
            Stop::Event => {
                let started = ptrace::getevent(task.tid).map(|tid| Pid::from_raw(tid as i32));
                let (role, process) = (task.role, task.process);
                task.go_on(None);
                if let Ok(tid) = started {
                    self.follow_too(tid, process, role);
                }
                return Ok(());
            }
            Stop::Signal(Signal::SIGTRAP) if role.is_watched() && sys::is_watchpoint(task.tid) => {
                role.enter_hits(sys::take_hits(task.tid));
                self.look_around(index);
                None
            }
            // A new thread stands still with it, and one that was halted.
            Stop::Signal(Signal::SIGSTOP) if task.state == State::New || task.is_owed() => None,
            // While a group of threads is stopped there is no signal to pass on (ptrace(2), group-stop).
            Stop::Signal(signal) => ptrace::getsiginfo(task.tid).is_ok().then_some(signal),
        };
        self.tasks[index].go_on(signal);
        Ok(())
    }

    /// Follows what a thread of `process` has started: a thread, or another process, whose memory is not looked at.
    fn follow_too(&mut self, tid: Pid, process: Pid, role: usize) {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
        let of = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        let of = of.map_or(process, Pid::from_raw);
        if of != process {
            self.roles[role].hidden.insert(ANOTHER_PROCESS.into());
        }
        self.tasks.push(Task::new(tid, of, role, State::New));
    }

    /// Enters that a thread is about to make a call; says whether it is to stand still there.
    fn begin_call(&mut self, index: usize, number: i64, arguments: [u64; 6]) -> Result<bool, Untraced> {
        let task = &mut self.tasks[index];
        let role = &mut self.roles[task.role];
        if let (libc::SYS_prctl, [option, mark, a, b, c, _]) = (number, arguments)
            && option as i32 == MARK
        {
            let stays = mark == PAUSE || (mark == BEGIN && role.held);
            match mark {
                PAUSE => role.details = [a, b, c],
                mark => role.counting = mark == BEGIN,
            }
            if stays {
                task.state = State::Paused;
                self.deadline = Deadline::after(self.limit);
            }
            return Ok(stays);
        }
        if starts_untraced(task.tid, number, &arguments) {
            role.hidden.insert(UNTRACED.into());
        }
        task.call = Some(Call { number, arguments, counted: role.counting });
        if let Some(instead) = self.stand_in.and_then(|stand_in| stand_in(task.tid, number, &arguments)) {
            sys::replace_call(task.tid, instead).map_err(os("ptrace"))?;
        }
        self.look_around(index);
        Ok(false)
    }

    /// Enters that a call has returned.
    fn end_call(&mut self, index: usize, result: Result<u64, Errno>) -> Result<(), Untraced> {
        let task = &mut self.tasks[index];
        let Some(call) = task.call.take() else { return Ok(()) };
        let role = &mut self.roles[task.role];
        if call.counted && role.counting {
            role.enter(self.table, self.message, task, &call, result);
        }
        let Ok(value) = result else { return Ok(()) };
        let child = task.role;
        let has_mapped_watched = task.process == role.child.pid() && role.enter_mapping(&call, value);
        self.change_after(index, &call, value);
        if has_mapped_watched { self.arm(child) } else { Ok(()) }
    }

    /// Changes the byte that `call`, which has returned, has taken a reference to, where that is wanted.
    fn change_after(&mut self, index: usize, call: &Call, value: u64) {
        let Some((child, line, trace)) = &self.change else { return };
        let task = &self.tasks[index];
        let Ok(Some(rule)) = role::find(self.table, task.tid, call) else { return };
        let bytes = role::moved(rule, task.tid, call, value);
        if bytes == 0 || self.changed.is_some() || !rules::claims_reference(rule.line(), rule.copies) {
            return;
        }
        if let Some(origin) = Origin::of(task.tid, rule, call, bytes, trace.as_ref()) {
            self.origin = Some(origin);
        }
        if task.role == *child && rule.line() == *line {
            self.changed = self.origin.as_ref().and_then(|origin| origin.change().ok());
        }
    }

    /// Changes the byte at which `trace` begins, or the first, right after the next call of `child` of the kind `line` has taken a
    /// reference to it, or taken on one of an earlier call.
    pub fn change_behind(&mut self, child: usize, line: LineOf, trace: Option<Trace>) {
        (self.change, self.origin, self.changed) = (Some((child, line, trace)), None, None);
    }

    /// What was changed, if anything; nothing is to be changed any more.
    pub fn take_changed(&mut self) -> Option<Changed> {
        (self.change, self.origin) = (None, None);
        self.changed.take()
    }

    /// Watches `points` of `child`, at most four, in all of its threads, while it has paused. Forgets what it has watched before.
    ///
    /// # Errors
    /// Why this system does not let a debug register be set.
    pub fn watch(&mut self, child: usize, points: &[Watchpoint], access: Watched) -> Result<(), Unwatchable> {
        let was_watched = self.roles[child].is_watched();
        self.roles[child].set_points(points, access);
        if was_watched || !points.is_empty() { self.arm_all(child) } else { Ok(()) }
    }

    fn arm(&mut self, child: usize) -> Result<(), Untraced> {
        match self.arm_all(child) {
            Ok(()) => Ok(()),
            Err(Unwatchable::Refused(errno)) => Err(os("ptrace")(errno)),
            Err(Unwatchable::Untraced(why)) => Err(why),
        }
    }

    /// Sets the registers of all threads of `child`, which are halted for that.
    fn arm_all(&mut self, child: usize) -> Result<(), Unwatchable> {
        let role = &self.roles[child];
        let process = role.child.pid();
        let of_child = |task: &&mut Task| task.role == child && task.process == process;
        for task in self.tasks.iter_mut().filter(of_child) {
            let was_running = task.state == State::Running && !task.stands;
            let stands = match task.state {
                State::Running if was_running => task.halt()?,
                State::Running | State::Paused => true,
                // It gets them at its first stop, or needs none.
                State::New | State::Ended => false,
            };
            let armed = if stands { role.arm(task.tid) } else { Ok(()) };
            if was_running {
                task.resume();
            }
            match armed {
                // It was killed meanwhile.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Unwatchable::Refused(errno)),
            }
        }
        Ok(())
    }

    /// Looks for `wanted` in the memory of a child from now on whenever it stops: at its system calls and where it reaches a
    /// watched place. What is there only for a moment is seen so.
    pub fn look_for(&mut self, wanted: Option<Trace>) {
        self.wanted = wanted;
        self.seen.clear();
    }

    /// In which children and at which sites that was.
    pub fn seen(&self) -> &BTreeSet<(usize, Site)> {
        &self.seen
    }

    /// Enters where what is looked for lies in the memory of a thread that has stopped.
    fn look_around(&mut self, index: usize) {
        let task = &self.tasks[index];
        let role = &mut self.roles[task.role];
        if task.process != role.child.pid() {
            return;
        }
        for address in self.wanted.and_then(|wanted| wanted.find(task.tid).ok()).unwrap_or_default() {
            if memory::is_copy_on_write(task.tid, address) {
                role.hidden.insert(COPY_ON_WRITE.into());
            }
            self.seen.insert((task.role, role.site(address)));
        }
    }

    /// Where `address` of `child` lies.
    pub fn site(&self, child: usize, address: u64) -> Site {
        self.roles[child].site(address)
    }

    /// Whether `trace` lies at `site` of `child`.
    pub fn is_at(&self, child: usize, site: Site, trace: &Trace) -> bool {
        self.roles[child].address(site).is_some_and(|address| trace.is_at(self.pid(child), address))
    }

    /// How often `child` has reached each of the places since it has been watched, from user space.
    pub fn hits(&self, child: usize) -> [u64; REGISTERS] {
        self.roles[child].hits
    }
}

/// Why nothing is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwatchable {
    /// What ptrace(2) said.
    Refused(Errno),
    /// A thread could not be halted.
    Untraced(Untraced),
}

impl From<Untraced> for Unwatchable {
    fn from(why: Untraced) -> Self {
        Self::Untraced(why)
    }
}

/// Whether this call starts something that is not to be traced.
fn starts_untraced(tid: Pid, number: i64, arguments: &[u64; 6]) -> bool {
    let flags = match number {
        libc::SYS_clone => arguments[0],
        libc::SYS_clone3 => {
            let mut flags = [0; 8];
            memory::read(tid, arguments[0], &mut flags);
            u64::from_ne_bytes(flags)
        }
        _ => 0,
    };
    flags & libc::CLONE_UNTRACED as u64 != 0
}

impl Drop for Tracer {
    /// A process is not reaped before its threads, and those that are traced wait for their tracer even when they are dead.
    fn drop(&mut self) {
        for role in &self.roles {
            let _ = role.child.signal(Signal::SIGKILL);
        }
        let is_child = |task: &Task| self.roles[task.role].child.pid() == task.process;
        for task in self.tasks.iter().filter(|task| task.state != State::Ended && !is_child(task)) {
            // A process that a child has started, and that nobody else need know of.
            let _ = kill(task.process, Signal::SIGKILL);
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

/// The field `minflt` of `/proc/PID/stat`; the program's name before it may hold anything.
fn minor_faults_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(7)?.parse().ok()
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
