//! The job of one pair ([`Job`]), how much it measures ([`Budget`]), and what it measured ([`Sample`]).

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
        /// Approximate length of the measured window.
        measure: Duration,
    },
    /// Warm up briefly, then measure this many messages or round trips without time stamps in between (for criterion).
    Messages(u64),
    /// Warm up for a time, then measure for a time without time stamps in between. Also records what both processes use (see
    /// [`Usage`]).
    Metered {
        /// Shortest warm-up.
        warm_up: Duration,
        /// Approximate length of the measured window.
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

    /// The meter for what `role` uses. `None` unless the budget is metered.
    pub fn meter(self, role: Role) -> Option<Meter> {
        matches!(self, Budget::Metered { .. }).then(|| Meter::new(role))
    }
}

/// The job of one pair.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The pattern: round trips or one way.
    pub pattern: Pattern,
    /// Message length in bytes.
    pub size: usize,
    /// The hardware threads of the two processes.
    pub cpus: Cpus,
    /// The wait policy of both processes.
    pub wait: Wait,
    /// How much is measured.
    pub budget: Budget,
    /// The deadline of the pair.
    pub deadline: Duration,
    /// The fraction by which messages are slowed down on purpose (see [`inject`](crate::inject)).
    pub slow_by: Option<f64>,
}

impl Job {
    /// Whether the distance between the hardware threads is measured. This needs two different threads that are known.
    pub fn probes(&self) -> bool {
        self.cpus.is_some_and(|[a, b]| a != b)
    }

    /// Whether the two processes take turns on one hardware thread.
    pub fn takes_turns(&self) -> bool {
        self.cpus.is_some_and(|[a, b]| a == b)
    }
}

/// What one pair measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Round trip times in nanoseconds, each between two stamps of its own (latency only).
    pub histogram: Option<Packed>,
    /// Mean round trip in nanoseconds over a window without a stamp for each trip. Measured if the stamps would distort the
    /// figure.
    pub batch_mean_ns: Option<f64>,
    /// The median over the batches of that window of a batch's mean, in nanoseconds. A scheduler tick that hits some batches
    /// does not show in it.
    pub batch_p50_ns: Option<f64>,
    /// Length of the measured window in nanoseconds.
    pub elapsed_ns: u64,
    /// Messages or round trips in the window.
    pub messages: u64,
    /// Messages that a lossy mechanism dropped.
    pub lost: u64,
    /// The round trip of a bare cache line between the two threads, in nanoseconds, before and after.
    pub probe_ns: [Option<f64>; 2],
    /// Involuntary context switches in the window (getrusage(2), `ru_nivcsw`), of the process that had more.
    pub preemptions: u64,
    /// The time in nanoseconds in which the preemptions were counted.
    pub observed_ns: u64,
    /// Whether a process ended on a different hardware thread than it was pinned to.
    pub migrated: bool,
    /// Cost of one clock reading for the initiator, in nanoseconds.
    pub clock_read_ns: Option<f64>,
    /// What this process used in the window, if the budget is [metered](Budget::Metered). In the final sample this is the
    /// initiator.
    pub usage: Option<Usage>,
    /// What the responder used in the window, if the budget is [metered](Budget::Metered).
    pub responder_usage: Option<Usage>,
    /// Whether the pair was stopped during the measurement and during every repetition.
    #[serde(skip)]
    pub stopped: bool,
    /// The scheduling of the supervising process.
    #[serde(skip)]
    pub schedule: Schedule,
    /// The meter that records `usage`.
    #[serde(skip)]
    pub meter: Option<Meter>,
}

impl Sample {
    /// The median round trip in nanoseconds. The median over batches is used if there is one, otherwise the stamped round
    /// trips.
    pub fn p50_ns(&self) -> Option<f64> {
        let stamped = || Some(self.histogram.as_ref()?.unpack().value_at_quantile(0.5) as f64);
        self.batch_p50_ns.or_else(stamped)
    }

    /// Messages that arrived, per second.
    pub fn msgs_per_s(&self) -> f64 {
        (self.messages - self.lost) as f64 * 1e9 / self.elapsed_ns as f64
    }

    /// Times `work`, which moves `messages` messages. A meter, if there is one, records what `work` uses, around the timing.
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

    /// Merges the responder's observations into the initiator's sample.
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

/// The proximity class of the pair at its start.
pub fn proximity(sample: &Sample) -> Option<Proximity> {
    sample.probe_ns[0].map(class)
}

/// Whether the proximity class changed between start and end. The pair is then measured again.
pub fn is_relocated(sample: &Sample) -> bool {
    let [before, after] = sample.probe_ns.map(|probe| probe.map(class));
    before != after
}
