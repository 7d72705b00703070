//! A tracer of system calls (ptrace(2)). It counts what a few child processes call between two marks, and how many bytes that
//! moves.
//!
//! A child is forked with [`Tracee::fork`]. With [`begin`] and [`end`] it marks what is to be counted. [`trace`] follows a set
//! of children to their end. A [`Tracer`] also allows a look at them in between: a child that calls [`pause`] stays there until
//! its [release](Tracer::release).
//!
//! - The marks are prctl(2) calls with an option that no kernel knows. Only a tracer notices them.
//! - Threads of a child are followed from their first step. Of the threads that a child starts, only the bytes moved count. A
//!   thread that waits beside the child makes calls of its own at unforeseeable moments.
//! - Processes that a child starts are followed as well, but their memory is not looked at. See [`Tracer::hidden`].
//! - Signals are passed on. Dropping the tracer always kills and reaps the children that were forked here. If this process dies
//!   first, the kernel kills them (`PTRACE_O_EXITKILL`).
//! - All of this must happen in the thread that forked the children (ptrace(2)).
//!
//! A traced call costs its caller several context switches, so a trace is not fit for timing.

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

/// Called in a child: starts counting its system calls.
pub fn begin() {
    sys::unknown_prctl(MARK, [BEGIN, 0, 0, 0]);
}

/// Called in a child: stops counting its system calls.
pub fn end() {
    sys::unknown_prctl(MARK, [END, 0, 0, 0]);
}

/// Called in a child: passes `details` to the tracer and waits for its release.
pub fn pause(details: [u64; 3]) {
    let [a, b, c] = details;
    sys::unknown_prctl(MARK, [PAUSE, a, b, c]);
}

/// Follows `children` until all of them have ended. Returns what each has called between its marks. All children are reaped in
/// any case.
///
/// # Errors [`Untraced`] if none paused within `limit` and some had not ended, or if one ended with a code other than 0.
pub fn trace<const N: usize>(children: [Tracee; N], limit: Duration) -> Result<[Counts; N], Untraced> {
    trace_all(children, limit).map(|counts| counts.try_into().expect("one for each child"))
}

/// Follows any number of children as [`trace`] does.
///
/// # Errors Those of [`trace`].
pub fn trace_all(children: impl IntoIterator<Item = Tracee>, limit: Duration) -> Result<Vec<Counts>, Untraced> {
    let mut tracer = Tracer::new(children, rules::TABLE, limit);
    tracer.finish()?;
    Ok(tracer.roles.iter().map(|role| role.counts.clone()).collect())
}

/// Follows children as [`trace`] does, and changes one byte. Right after the first call of kind `of` that the first child
/// makes, the first byte that the call has taken is changed. Meanwhile the other children stand still at the mark from which
/// their calls count. Returns the change, if there was one.
///
/// # Errors Those of [`trace`].
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

/// Decides what replaces a call that a thread is about to make. Gets the thread's id, the call's number and its arguments.
pub type StandIn = fn(Pid, i64, &[u64; 6]) -> Option<Instead>;

thread_local! {
    static STAND_IN: Cell<Option<StandIn>> = const { Cell::new(None) };
}

/// Runs `body` on a simulated kernel that breaks its promises: traced processes make other calls than they ask for. For tests.
pub fn with_stand_in<R>(stand_in: StandIn, body: impl FnOnce() -> R) -> R {
    STAND_IN.set(Some(stand_in));
    let done = body();
    STAND_IN.set(None);
    done
}

/// Follows a set of children, in one thread of this process.
#[derive(Debug)]
pub struct Tracer {
    table: &'static [Rule],
    /// Length of a message in bytes. 0 if it is not known.
    message: u64,
    deadline: Deadline,
    limit: Duration,
    tasks: Vec<Task>,
    stand_in: Option<StandIn>,
    /// The trace to look for in a child at each of its stops, and the children and sites at which it was found.
    wanted: Option<Trace>,
    seen: BTreeSet<(usize, Site)>,
    /// The calls, by child and kind, after which a byte is to be changed. The trace finds the byte; without it the first byte
    /// is changed.
    change: Option<(usize, LineOf, Option<Trace>)>,
    /// The byte to which a call last took a reference.
    origin: Option<Origin>,
    changed: Option<Changed>,
    /// Dropping the roles reaps the children.
    roles: Vec<Role>,
}

/// How often the tracer polls before it naps between two looks. A child mostly stops again after some microseconds.
const POLLS: u32 = 200;
/// How long the threads that a child has started may take to come to rest after the child has paused.
const REST: Duration = Duration::from_secs(1);

impl Tracer {
    /// Takes `children`, which stand before their first step, and judges their calls by `table`. Gives them up if none of them
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

    /// Sets the length of a message to `bytes`. A few bytes beyond whole messages then count as notes about the payload.
    pub fn set_message(&mut self, bytes: u64) {
        self.message = bytes;
    }

    /// Releases `child` from its pause.
    pub fn release(&mut self, child: usize) {
        self.roles[child].begin();
        for task in
            self.tasks.iter_mut().filter(|task| task.role == child && task.leader && task.state == State::Paused)
        {
            task.go_on(None);
        }
    }

    /// Releases all children from every pause until they have ended.
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

    /// Follows all children until each of `children` has paused or ended and the threads that it has started have come to rest.
    /// Returns `false` if some have not paused within `patience`.
    ///
    /// # Errors [`Untraced::Hung`] at the tracer's own limit, [`Untraced::Interrupted`], [`Untraced::Process`].
    pub fn settle(&mut self, children: &[usize], patience: Option<Duration>) -> Result<bool, Untraced> {
        if !self.follow(|tracer| children.iter().all(|&child| tracer.has_settled(child)), patience)? {
            return Ok(false);
        }
        // A thread's calls for a message may return a little after the message has arrived.
        for &child in children {
            if !self.roles[child].restless && !self.follow(|tracer| tracer.rests(child), Some(REST))? {
                self.roles[child].restless = true;
            }
        }
        Ok(true)
    }

    /// Follows all children until `done`. Returns `false` if that takes longer than `patience`.
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

    /// Whether `child` has paused. `false` if it has ended.
    pub fn has_paused(&self, child: usize) -> bool {
        self.leader(child).state == State::Paused
    }

    /// Whether `child` has ended.
    pub fn has_ended(&self, child: usize) -> bool {
        self.leader(child).state == State::Ended
    }

    /// How `child` has ended. `None` if it has not.
    pub fn exit(&self, child: usize) -> Option<Exit> {
        self.roles[child].exit
    }

    /// Whether all threads of `child` sleep in the kernel. A child that sleeps without a pause waits for another process.
    pub fn sleeps(&self, child: usize) -> bool {
        self.tasks.iter().filter(|task| task.role == child).all(Task::sleeps)
    }

    /// Minor page faults of `child` since it began (proc_pid_stat(5), `minflt`). The tracer's reads of its memory do not count.
    pub fn minor_faults(&self, child: usize) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid(child))).ok()?;
        minor_faults_in(&stat)
    }

    /// The details that `child` passed at its last [`pause`].
    pub fn details(&self, child: usize) -> [u64; 3] {
        self.roles[child].details
    }

    /// Starts or stops counting in the paused `child`, as [`begin`] and [`end`] do.
    pub fn count(&mut self, child: usize, on: bool) {
        self.roles[child].counting = on;
    }

    /// The counts of `child`.
    pub fn counts(&self, child: usize) -> &Counts {
        &self.roles[child].counts
    }

    /// The reasons why some actions of `child` cannot be seen.
    pub fn hidden(&mut self, child: usize) -> &mut BTreeSet<String> {
        &mut self.roles[child].hidden
    }

    /// Looks once at each thread that may have stopped. Returns whether one had.
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
            // Debug registers belong to a thread, and a new thread has none set.
            let _ = role.arm(task.tid);
        }
        let signal = match stop {
            Stop::Ended => {
                if task.leader {
                    role.exit = role.child.wait(START)?;
                } else {
                    // A thread leaves nothing to wait for. The status of a child's child is taken here.
                    let _ = waitpid(task.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
                }
                task.state = State::Ended;
                return Ok(());
            }
            Stop::Call => {
                match sys::at(task.tid) {
                    Ok(At::Entry(number, arguments)) if self.begin_call(index, number, arguments)? => return Ok(()),
                    Ok(At::Exit(result)) => self.end_call(index, result)?,
                    // The thread was killed meanwhile. Its end will be seen.
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
            // A new thread begins with this stop, and a halted one gets it.
            Stop::Signal(Signal::SIGSTOP) if task.state == State::New || task.is_owed() => None,
            // While a thread group is stopped there is no signal to pass on (ptrace(2), group-stop).
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

    /// Records that a thread is about to make a call. Returns whether the thread is to stand still there.
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

    /// Records that a call has returned.
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

    /// Changes the byte to which `call` has taken a reference, if that is requested. `value` is what the call returned.
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

    /// Requests a change of one byte. It is made right after the next call of kind `line` by `child`. The call takes a
    /// reference to the byte, or passes on one from an earlier call. The byte is where `trace` begins, or the first one.
    pub fn change_behind(&mut self, child: usize, line: LineOf, trace: Option<Trace>) {
        (self.change, self.origin, self.changed) = (Some((child, line, trace)), None, None);
    }

    /// Returns the change that was made, if any, and cancels the request.
    pub fn take_changed(&mut self) -> Option<Changed> {
        (self.change, self.origin) = (None, None);
        self.changed.take()
    }

    /// Watches `points` of the paused `child`, at most four, in all of its threads. Replaces what was watched before.
    ///
    /// # Errors The reason why this system does not let a debug register be set.
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

    /// Halts all threads of `child` in turn and sets their debug registers.
    fn arm_all(&mut self, child: usize) -> Result<(), Unwatchable> {
        let role = &self.roles[child];
        let process = role.child.pid();
        let of_child = |task: &&mut Task| task.role == child && task.process == process;
        for task in self.tasks.iter_mut().filter(of_child) {
            let was_running = task.state == State::Running && !task.stands;
            let stands = match task.state {
                State::Running if was_running => task.halt()?,
                State::Running | State::Paused => true,
                // A new thread gets the registers at its first stop. A thread that has ended needs none.
                State::New | State::Ended => false,
            };
            let armed = if stands { role.arm(task.tid) } else { Ok(()) };
            if was_running {
                task.resume();
            }
            match armed {
                // The thread was killed meanwhile.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Unwatchable::Refused(errno)),
            }
        }
        Ok(())
    }

    /// Looks for `wanted` in a child's memory at each of its stops from now on: at system calls and at accesses to watched
    /// places. This also finds what is in memory only for a moment.
    pub fn look_for(&mut self, wanted: Option<Trace>) {
        self.wanted = wanted;
        self.seen.clear();
    }

    /// The children and sites at which the trace was found.
    pub fn seen(&self) -> &BTreeSet<(usize, Site)> {
        &self.seen
    }

    /// Looks for the wanted trace in the memory of a stopped thread and records where it is.
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

    /// The site of `address` in `child`.
    pub fn site(&self, child: usize, address: u64) -> Site {
        self.roles[child].site(address)
    }

    /// Whether `trace` lies at `site` of `child`.
    pub fn is_at(&self, child: usize, site: Site, trace: &Trace) -> bool {
        self.roles[child].address(site).is_some_and(|address| trace.is_at(self.pid(child), address))
    }

    /// How often `child` has accessed each watched place from user space since the watch began.
    pub fn hits(&self, child: usize) -> [u64; REGISTERS] {
        self.roles[child].hits
    }
}

/// The reason why nothing is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwatchable {
    /// The error of ptrace(2).
    Refused(Errno),
    /// A thread could not be halted.
    Untraced(Untraced),
}

impl From<Untraced> for Unwatchable {
    fn from(why: Untraced) -> Self {
        Self::Untraced(why)
    }
}

/// Whether this call starts a thread or process that must not be traced.
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
    /// Ends the threads first, because a process is not reaped before its threads. Traced threads wait for their tracer even
    /// when dead.
    fn drop(&mut self) {
        for role in &self.roles {
            let _ = role.child.signal(Signal::SIGKILL);
        }
        let is_child = |task: &Task| self.roles[task.role].child.pid() == task.process;
        for task in self.tasks.iter().filter(|task| task.state != State::Ended && !is_child(task)) {
            // A process that a child has started. Nobody else needs it.
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

/// The field `minflt` of `/proc/PID/stat`. The program's name before it may contain any characters.
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
