//! What one pair is to do ([`Job`]), how much of it ([`Budget`]), and what it measured ([`Sample`]).

use crate::{
    probe::NEAR_NS,
    role::Role,
    topology::Cpus,
    usage::{Meter, Usage},
};
use bench_record::{cell::Pattern, packed::Packed, rows::Proximity};
use ipc_core::{Wait, process::Schedule};
use nix::sys::resource::{UsageWho, getrusage};
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
    /// The shortest warm-up.
    pub fn warm_up(self) -> Duration {
        match self {
            Budget::Time { warm_up, .. } | Budget::Metered { warm_up, .. } => warm_up,
            Budget::Messages(_) => Duration::from_millis(1),
        }
    }

    /// What takes down what `role` uses, where that is asked for.
    pub fn meter(self, role: Role) -> Option<Meter> {
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
    pub fn probes(&self) -> bool {
        self.cpus.is_some_and(|[a, b]| a != b)
    }

    /// Whether the two processes take turns on one thread.
    pub fn takes_turns(&self) -> bool {
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
    pub meter: Option<Meter>,
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
    pub fn timed(&mut self, messages: u64, work: impl FnOnce() -> ipc_core::Result<()>) -> ipc_core::Result<()> {
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
    pub fn with_responder(mut self, responder: Self) -> Self {
        self.migrated |= responder.migrated;
        self.preemptions = self.preemptions.max(responder.preemptions);
        self.responder_usage = responder.usage;
        self
    }
}

fn involuntary_switches() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.involuntary_context_switches().cast_unsigned())
}

fn class(probe_ns: f64) -> Proximity {
    if probe_ns < NEAR_NS { Proximity::Near } else { Proximity::Far }
}

/// The class a pair began in.
pub fn proximity(sample: &Sample) -> Option<Proximity> {
    sample.probe_ns[0].map(class)
}

/// Whether the two threads were in another class at the end than at the start: the pair is then measured again.
pub fn is_relocated(sample: &Sample) -> bool {
    let [before, after] = sample.probe_ns.map(|probe| probe.map(class));
    before != after
}
