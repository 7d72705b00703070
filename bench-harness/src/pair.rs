//! One forked pair: pin, prefault, barrier, measure, report, reap.
//!
//! Both roles run in children; this process only supervises, with a deadline. What a child has to say comes back over a pipe of its
//! own, never over the channel under test. The channel's ends stay open here until both children are reaped, so that
//! whatever a killed child could not remove is removed by dropping them.

use crate::{
    cell::Pattern,
    oom,
    packed::Packed,
    seat::{self, Seat},
    topology::Cpus,
    usage::{Meter, Usage},
    workload::{
        self, Role, Stage,
        courier::{self, Courier},
    },
};
use ipc_core::{
    Channel, Endpoint, Error, Framing, Options, Reliability, Spec, Wait,
    process::{self, Exit, Schedule},
    shared::SharedPage,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    signal::Signal,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How much a pair measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Warm up for a time, then measure for a time.
    Time {
        /// Shortest warm-up.
        warm_up: Duration,
        /// The measured stretch, about.
        measure: Duration,
    },
    /// Warm up briefly, then measure this many messages or round trips without any stamp in between (criterion).
    Messages(u64),
    /// As for a time, without any stamp in between, and take down what both processes use meanwhile (see [`Usage`]).
    Metered {
        /// Shortest warm-up.
        warm_up: Duration,
        /// The measured stretch, about.
        measure: Duration,
    },
}

impl Budget {
    pub(crate) fn warm_up(self) -> Duration {
        match self {
            Budget::Time { warm_up, .. } | Budget::Metered { warm_up, .. } => warm_up,
            Budget::Messages(_) => Duration::from_millis(1),
        }
    }

    /// What takes down what `role` uses, where that is asked for.
    pub(crate) fn meter(self, role: Role) -> Option<Meter> {
        matches!(self, Budget::Metered { .. }).then(|| Meter::new(role))
    }
}

/// What one pair is to do.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Round trips or one way.
    pub pattern: Pattern,
    /// Message length in bytes.
    pub size: usize,
    /// Where the two processes run.
    pub cpus: Cpus,
    /// How they wait.
    pub wait: Wait,
    /// How much is measured.
    pub budget: Budget,
    /// When the pair is given up.
    pub deadline: Duration,
    /// The part by which messages are slowed down on purpose (see [`inject`](crate::inject)).
    pub slow_by: Option<f64>,
}

impl Job {
    /// Whether the distance between the two threads is measured: where there are two, and they are known.
    fn probes(&self) -> bool {
        self.cpus.is_some_and(|[a, b]| a != b)
    }

    /// Whether the two processes take turns on one thread.
    fn takes_turns(&self) -> bool {
        self.cpus.is_some_and(|[a, b]| a == b)
    }
}

/// What one pair measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Round trips in nanoseconds, each stamped (latency).
    pub histogram: Option<Packed>,
    /// Mean round trip in nanoseconds over a stretch without stamps, where the stamps would weigh.
    pub batch_mean_ns: Option<f64>,
    /// The median over that stretch's batches of a batch's mean: what a scheduler's tick does to some of them is not in it.
    pub batch_p50_ns: Option<f64>,
    /// Length of the measured stretch.
    pub elapsed_ns: u64,
    /// Messages or round trips in it.
    pub messages: u64,
    /// Messages that a lossy mechanism dropped.
    pub lost: u64,
    /// The bare cache-line round trip between the two threads, before and after.
    pub probe_ns: [Option<f64>; 2],
    /// Involuntary context switches while measuring, of the process that had more (getrusage(2), `ru_nivcsw`).
    pub preemptions: u64,
    /// The time in which they were counted.
    pub observed_ns: u64,
    /// Whether a process ended on another thread than it was pinned to.
    pub migrated: bool,
    /// What a reading of the clock cost the initiator.
    pub clock_read_ns: Option<f64>,
    /// What this process, in the end the initiator, used in the measured stretch, where the budget is [metered](Budget::Metered).
    pub usage: Option<Usage>,
    /// The same of the responder.
    pub responder_usage: Option<Usage>,
    /// Whether the pair was stopped while it was measured, and so was every repetition.
    #[serde(skip)]
    pub stopped: bool,
    /// How the scheduler treated the process that supervised it.
    #[serde(skip)]
    pub schedule: Schedule,
    /// What takes it down.
    #[serde(skip)]
    pub(crate) meter: Option<Meter>,
}

impl Sample {
    /// The median round trip in nanoseconds: of the stamped ones, or of batches where stamps would weigh.
    pub fn p50_ns(&self) -> Option<f64> {
        let stamped = || Some(self.histogram.as_ref()?.unpack().value_at_quantile(0.5) as f64);
        self.batch_p50_ns.or_else(stamped)
    }

    /// Messages that arrived, a second.
    pub fn msgs_per_s(&self) -> f64 {
        (self.messages - self.lost) as f64 * 1e9 / self.elapsed_ns as f64
    }

    /// Times `work`, which moves `messages` messages; with a meter, takes down what it uses, around the timing.
    pub(crate) fn timed(&mut self, messages: u64, work: impl FnOnce() -> ipc_core::Result<()>) -> ipc_core::Result<()> {
        let Some(meter) = self.meter.clone() else { return self.clocked(messages, work) };
        self.usage = Some(meter.around(|| self.clocked(messages, work))?);
        Ok(())
    }

    fn clocked(&mut self, messages: u64, work: impl FnOnce() -> ipc_core::Result<()>) -> ipc_core::Result<()> {
        let before = involuntary_switches();
        let start = Instant::now();
        work()?;
        self.elapsed_ns = start.elapsed().as_nanos().max(1) as u64;
        self.messages = messages;
        self.preemptions = involuntary_switches() - before;
        self.observed_ns = self.elapsed_ns;
        Ok(())
    }

    /// The initiator's sample, with what the responder saw of itself.
    fn with_responder(mut self, responder: Self) -> Self {
        self.migrated |= responder.migrated;
        self.preemptions = self.preemptions.max(responder.preemptions);
        self.responder_usage = responder.usage;
        self
    }
}

fn involuntary_switches() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.involuntary_context_switches().cast_unsigned())
}

/// Why a pair has no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The channel cannot be opened, or cannot carry the size: so it will be for every pair.
    #[error("{0}")]
    Channel(Error),
    /// A process could not be forked or supervised.
    #[error("{0}")]
    Process(Error),
    /// A child reported an error.
    #[error("{0}")]
    Failed(String),
    /// A payload arrived that is not what was sent.
    #[error("wrong payload: {0}")]
    WrongPayload(String),
    /// A child ended without a report, and how it ended.
    #[error("the {0} died without a report: {cause}", cause = cause_of(*.1))]
    Died(&'static str, Exit),
    /// The kernel killed a child for want of memory; of which.
    #[error("the {0} died without a report: {1}")]
    OutOfMemory(&'static str, String),
    /// The pair hung.
    #[error("no result within {0:?}")]
    Hung(Duration),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What a death without a report means.
pub(crate) fn cause_of(exit: Exit) -> String {
    let signal = match exit {
        Exit::Code(process::PANICKED) => return "it panicked (see its message above)".into(),
        Exit::Code(code) => return format!("exit code {code}"),
        Exit::Signal(signal) => signal,
    };
    let why = match signal {
        Signal::SIGBUS => ": its shared object was cut, or the memory behind it is used up",
        Signal::SIGABRT => ": it gave up, mostly for want of memory (see its message above)",
        Signal::SIGKILL => ": somebody killed it, perhaps for want of memory",
        Signal::SIGSYS => ": a seccomp filter forbids a system call that it made",
        Signal::SIGXCPU => ": its limit on processor time is used up (ulimit -t)",
        Signal::SIGXFSZ => ": a file would have become longer than it may (ulimit -f)",
        _ => "",
    };
    format!("killed by {signal}{why}")
}

/// Forks a pair over `C`, measures `job`, reaps both. What was stopped meanwhile is measured again.
///
/// # Errors
/// [`PairError`]. Whatever happens, both children are reaped and the kernel objects are gone.
pub fn run<C: Channel, K: Courier<Endpoint = C::Endpoint>>(job: &Job) -> Result<Sample, PairError> {
    let (outcome, stopped) = seat::unstopped(|| once::<C, K>(job));
    outcome.map(|sample| Sample { stopped, schedule: Schedule::current(), ..sample })
}

fn once<C: Channel, K: Courier<Endpoint = C::Endpoint>>(job: &Job) -> Result<Sample, PairError> {
    oom::check_room(C::SPEC.name, ring_bytes(&C::SPEC, job.size)).map_err(PairError::Channel)?;
    let options = Options { wait: job.wait, max_message: Some(courier::longest(job.size)), ..Options::default() };
    let ends = C::pair(&options).map_err(PairError::Channel)?;
    ipc_core::transfer::check_len(job.size, ends.0.max_message()).map_err(PairError::Channel)?;
    if C::SPEC.reliability == Reliability::Lossy && job.size < size_of::<u64>() {
        let why = format!("{} bytes do not hold a message's number, by which losses are told: use 8 or more", job.size);
        return Err(PairError::Channel(Error::Unsupported { what: "size", why }));
    }
    let page = SharedPage::new().map_err(PairError::Process)?;

    let mut ends = Some(ends);
    let mut fork = |role: Role| {
        Seat::fork(role.name(), || {
            let (initiator, responder) = ends.take().expect("each child runs once");
            let end = match role {
                Role::Initiator => initiator,
                Role::Responder => responder,
            };
            converse::<C, K>(job, &page, role, end)
        })
    };
    let mut seats = [fork(Role::Initiator)?, fork(Role::Responder)?];
    let outcome = seat::supervise(&mut seats, job.deadline);
    // Killed and reaped before the ends are closed.
    drop(seats);
    Ok(outcome?.into_iter().reduce(Sample::with_responder).expect("two children report"))
}

/// The bytes of memory that a pair takes for messages of `size` bytes, in both directions.
fn ring_bytes(spec: &Spec, size: usize) -> u64 {
    2 * (spec.ring_messages * courier::longest(size)) as u64
}

/// A child's part: everything from pinning to its sample.
fn converse<C: Channel, K: Courier<Endpoint = C::Endpoint>>(
    job: &Job,
    page: &SharedPage,
    role: Role,
    end: C::Endpoint,
) -> ipc_core::Result<Sample> {
    let cpu = job.cpus.map(|cpus| cpus[role as usize]);
    if let Some(cpu) = cpu {
        process::pin(cpu)?;
    }
    let mut courier = K::new(end, job.size, C::SPEC.framing == Framing::Message);
    let mut stage = Stage::new(page, role, C::SPEC, job.size);
    if let Some(part) = job.slow_by {
        stage.slow_down(part, job.takes_turns());
    }
    let played = workload::play(job.pattern, &mut stage, &mut courier, job.budget, job.probes());
    if played.is_err() {
        // Closing the end now would fail the other process with a consequence, perhaps before this one has named the cause.
        // The supervisor's copies close what it held.
        std::mem::forget(courier);
    }
    let mut sample = played?;
    sample.migrated = cpu.is_some() && nix::sched::sched_getcpu().ok() != cpu;
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Mechanism;

    #[test]
    fn rings_take_memory_and_pipes_do_not() {
        let bytes = |name| ring_bytes(&Mechanism::named(name).unwrap().spec, 1 << 20);
        for name in ["sysv-shm", "posix-shm", "memfd", "mmap-file", "mmap-anon", "memfd-write", "process-vm"] {
            assert!(bytes(name) >= 16 << 20, "{name}");
        }
        assert_eq!((bytes("pipe"), bytes("tcp")), (0, 0));
    }
}
