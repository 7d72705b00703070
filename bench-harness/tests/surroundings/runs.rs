//! Pairs in odd surroundings: they end, and say why they have no figure.

use super::{
    filter::{Fate, refuse},
    group::Group,
    words,
};
use bench_lab::{
    pair,
    sample::{Budget, Job, Sample},
    worker::PairError,
    workload::driver::Copying,
};
use bench_record::cell::Pattern;
use ipc_conformance::{Suite, Verdict, surroundings::schedule};
use ipc_core::{
    Channel, Endpoint, Error, Options, Result, Spec, Wait,
    process::{self, Policy, Schedule},
    stream::StreamEnd,
};
use ipc_msgq::SysvMsgq;
use ipc_pipe::Pipe;
use ipc_shm::Memfd;
use nix::errno::Errno;
use std::{hint::spin_loop, time::Duration};

pub fn add(suite: Suite) -> Suite {
    let refused = |call: i64, argument, errno, named: &'static str| {
        (refuse(call, argument, Fate::Fails(errno)), move || fails_by::<Pipe>(&format!("{named}: {errno:?}:")))
    };
    let (a, a_says) = refused(libc::SYS_prctl, Some(1), Errno::EPERM, "prctl(PR_SET_PDEATHSIG)");
    let (b, b_says) = refused(libc::SYS_sched_setaffinity, None, Errno::EPERM, "sched_setaffinity");
    let (c, c_says) = refused(libc::SYS_pidfd_open, None, Errno::ENOSYS, "pidfd_open");
    let (d, d_says) = refused(libc::SYS_futex, None, Errno::EPERM, "futex");
    let (e, e_says) = refused(libc::SYS_sched_setscheduler, None, Errno::EPERM, "sched_setscheduler");
    suite
        .prepared("a_refused_prctl_is_named", a, a_says)
        .prepared("a_refused_pin_is_named", b, b_says)
        .prepared("a_refused_pidfd_is_named", c, c_says)
        .prepared("a_refused_futex_is_named", d, d_says)
        .prepared("a_child_that_cannot_leave_fifo_is_none", || schedule(Policy::FIFO, 1)().and_then(|()| e()), e_says)
        .prepared("a_filter_that_kills_is_named", refuse(libc::SYS_sched_setaffinity, None, Fate::Kills), || {
            fails_by::<Pipe>("a seccomp filter forbids a system call")
        })
        .prepared(
            "without_close_range_a_queue_works",
            refuse(libc::SYS_close_range, None, Fate::Fails(Errno::ENOSYS)),
            || measured::<SysvMsgq>(&job(Wait::Block)).map(drop),
        )
        .prepared(
            "without_pidfd_send_signal_a_child_is_killed",
            refuse(libc::SYS_pidfd_send_signal, None, Fate::Fails(Errno::ENOSYS)),
            || gives_up(&job(Wait::Block)),
        )
        .prepared("under_fifo_a_spinning_pair_on_one_core_ends", schedule(Policy::FIFO, 10), || {
            let sample = measured::<Memfd>(&job(Wait::Spin))?;
            must(sample.schedule.policy == Policy::FIFO, format!("{:?}", sample.schedule))
        })
        .prepared("under_fifo_a_pair_that_spins_too_long_is_given_up", schedule(Policy::FIFO, 10), || {
            gives_up(&job(Wait::Spin))
        })
        .prepared("under_idle_a_pair_that_spins_too_long_is_given_up", schedule(Policy::IDLE, 0), || {
            gives_up(&job(Wait::Spin))
        })
        .test("under_idle_beside_a_busy_process_a_pair_ends", beside_a_busy_process)
        .prepared("a_memory_limit_kills_the_child_and_is_named", group_of_its_own("memory"), memory_limit)
}

fn must(holds: bool, otherwise: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The first processor that this process may use; the supervisor is pinned to it as well.
fn core() -> usize {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("the affinity can be read");
    (0..).find(|&cpu| allowed.is_set(cpu) != Ok(false)).unwrap_or_default()
}

fn job(wait: Wait) -> Job {
    Job {
        pattern: Pattern::RoundTrip,
        size: 64,
        cpus: Some([core(), core()]),
        wait,
        budget: Budget::Messages(2),
        deadline: Duration::from_secs(20),
        slow_by: None,
    }
}

fn measured<C: Channel>(job: &Job) -> std::result::Result<Sample, String> {
    pair::run::<C, Copying<C::Endpoint>>(job).map_err(words)
}

fn fails_by<C: Channel>(text: &str) -> Verdict {
    match measured::<C>(&job(Wait::Block)) {
        Err(why) if why.contains(text) => Ok(()),
        other => Err(format!("{:?}", other.map(|sample| sample.messages))),
    }
}

/// A pair that measures for longer than its deadline, with its supervisor on the same core.
fn gives_up(job: &Job) -> Verdict {
    process::pin(core()).map_err(words)?;
    // Longer than a busy machine leaves this process no time to look at its deadline.
    let budget = Budget::Time { warm_up: Duration::from_secs(3600), measure: Duration::ZERO };
    let outcome = pair::run::<Memfd, Copying<<Memfd as Channel>::Endpoint>>(&Job {
        budget,
        deadline: Duration::from_millis(300),
        ..*job
    });
    must(matches!(outcome, Err(PairError::Hung(_))), format!("{:?}", outcome.map(|sample| sample.messages)))
}

fn beside_a_busy_process() -> Verdict {
    process::pin(core()).map_err(words)?;
    let _busy = process::fork(|| {
        loop {
            spin_loop();
        }
    })
    .map_err(words)?;
    Schedule { policy: Policy::IDLE, ..Schedule::ORDINARY }.enter().map_err(words)?;
    let sample = measured::<Pipe>(&Job { deadline: Duration::from_secs(100), ..job(Wait::Block) })?;
    must(sample.schedule.of_children().policy == Policy::IDLE, format!("{:?}", sample.schedule))
}

/// Whether a group can be made here.
pub fn group_of_its_own(controller: &'static str) -> impl FnOnce() -> Result<()> + Send + 'static {
    move || Group::new(controller).map(drop).map_err(|why| Error::Unsupported { what: "a control group", why })
}

/// A pipe whose ends take memory with each message.
struct Greedy;

struct GreedyEnd {
    end: StreamEnd,
    taken: Vec<Vec<u8>>,
}

impl Channel for Greedy {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = GreedyEnd;

    fn pair(options: &Options) -> Result<(GreedyEnd, GreedyEnd)> {
        let greedy = |end| GreedyEnd { end, taken: Vec::new() };
        Pipe::pair(options).map(|(a, b)| (greedy(a), greedy(b)))
    }
}

impl Endpoint for GreedyEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.taken.push(vec![1; 8 << 20]);
        self.end.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

fn memory_limit() -> Verdict {
    const LIMIT: u64 = 64 << 20;
    let group = Group::new("memory")?;
    group.set(if group.version == 1 { "memory.limit_in_bytes" } else { "memory.max" }, LIMIT)?;
    group.run(|| {
        let greedy = Job { budget: Budget::Messages(100), ..job(Wait::Block) };
        let outcome = pair::run::<Greedy, Copying<GreedyEnd>>(&greedy);
        let is_named = |why: &str| why.contains(&format!("the limit of {LIMIT} bytes of /"));
        match outcome {
            Err(PairError::OutOfMemory(_, why)) if is_named(&why) => {}
            other => return Err(format!("{:?}", other.map(|sample| sample.messages))),
        }
        // A ring that has no room is refused before it is made: its maker would be killed.
        match pair::run::<Memfd, Copying<<Memfd as Channel>::Endpoint>>(&Job { size: 8 << 20, ..job(Wait::Block) }) {
            Err(PairError::Channel(Error::Unsupported { what: "memfd", why })) if why.contains(&LIMIT.to_string()) => {}
            other => return Err(format!("{:?}", other.map(|sample| sample.messages))),
        }
        // The supervisor lives and goes on.
        measured::<Pipe>(&job(Wait::Block)).map(drop)
    })
}
