//! What `ipc-bench sample` prints: one pair of one cell, as one line of JSON.
//!
//! The gate compares two builds that need not be of the same source, so a line says what it is by itself, and what a build must
//! have in common with another is its [`Identity`].

use bench_record::{
    cell::{Access, Cell, Workload},
    host::Build,
    packed::Packed,
    rows::Proximity,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of what this program prints here. It changes when a field changes its meaning, or the way a figure is measured.
pub const SCHEMA: u32 = 2;
/// The program's name, by which its lines are told from those of others.
pub const PROGRAM: &str = "ipc-bench";

/// Which program, of which version, answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Always [`PROGRAM`].
    pub program: String,
    /// The version of its readings: [`SCHEMA`].
    pub schema: u32,
    /// What it was built by and from.
    pub build: Build,
    /// What it can measure, as `MECHANISM/ACCESS`.
    pub ways: Vec<String>,
}

impl Identity {
    /// Of a program of this `build`, which has `ways`.
    pub fn new(build: Build, ways: Vec<String>) -> Self {
        Self { program: PROGRAM.into(), schema: SCHEMA, build, ways }
    }

    /// Whether it has `mechanism` by `access`.
    pub fn has(&self, mechanism: &str, access: Access) -> bool {
        self.ways.contains(&format!("{mechanism}/{access}"))
    }
}

/// How long a pair is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The shortest warm-up.
    pub warm_up: Duration,
    /// The measured stretch, about.
    pub measure: Duration,
}

/// One pair. What was not measured is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The cell's name.
    pub cell: String,
    /// The median of the stamped round trips, in nanoseconds (latency).
    pub p50_ns: Option<f64>,
    /// The median over batches of a batch's mean round trip, where the stamps would weigh.
    pub batch_p50_ns: Option<f64>,
    /// 99 % of the round trips took no longer.
    pub p99_ns: Option<f64>,
    /// 99.9 % of them.
    pub p999_ns: Option<f64>,
    /// The longest.
    pub max_ns: Option<f64>,
    /// Messages a second (throughput).
    pub msgs_per_s: Option<f64>,
    /// Messages that a lossy mechanism dropped.
    pub lost: u64,
    /// How far apart the two hardware threads were, where there are two.
    pub proximity: Option<Proximity>,
    /// Whether that changed meanwhile, a process moved to another thread, or the pair was stopped: then it says nothing.
    pub disturbed: bool,
    /// The stamped round trips.
    pub histogram: Option<Packed>,
    /// Why there are no figures.
    pub error: Option<String>,
    /// Whether a payload arrived wrong: more than a missing figure.
    pub wrong_payload: bool,
}

impl Reading {
    /// What a round trip took by stamps, or a message, in nanoseconds.
    pub fn stamped_ns(&self) -> Option<f64> {
        self.p50_ns.or_else(|| Some(1e9 / self.msgs_per_s?))
    }

    /// What is wrong with it as a measurement of `cell`: nothing that it says beside that is worth anything.
    pub fn fault(&self, cell: &Cell) -> Option<String> {
        let is_time = |ns: f64| ns.is_finite() && ns > 0.0;
        let wanted = match cell.workload {
            Workload::Throughput => self.msgs_per_s,
            _ => self.p50_ns,
        };
        let others = [self.batch_p50_ns, self.p99_ns];
        match &self.error {
            Some(error) => Some(error.clone()),
            None if self.wrong_payload => Some("wrong payload".into()),
            // Nothing arrives in no time.
            None if !wanted.is_some_and(is_time) || !others.into_iter().flatten().all(is_time) => {
                Some(format!("no figure, {} messages lost", self.lost))
            }
            None => None,
        }
    }
}
