//! The output of `ipc-bench sample`: one pair of one cell, as one line of JSON.
//!
//! The gate compares two builds that need not come from the same source. So a line describes itself, and the [`Identity`] holds
//! what two builds must have in common.

use bench_record::{
    cell::{Access, Cell, Workload},
    host::Build,
    packed::Packed,
    rows::Proximity,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of this output. It changes if a field changes its meaning, or if a figure is measured in another way.
pub const SCHEMA: u32 = 2;
/// The program's name, which tells its lines from those of other programs.
pub const PROGRAM: &str = "ipc-bench";

/// The program and version that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Always [`PROGRAM`].
    pub program: String,
    /// The version of the program's readings: [`SCHEMA`].
    pub schema: u32,
    /// How the program was built, and from what.
    pub build: Build,
    /// What the program can measure, as `MECHANISM/ACCESS`.
    pub ways: Vec<String>,
}

impl Identity {
    /// The identity of a program of this `build` that can measure `ways`.
    pub fn new(build: Build, ways: Vec<String>) -> Self {
        Self { program: PROGRAM.into(), schema: SCHEMA, build, ways }
    }

    /// Whether the program can measure `mechanism` by `access`.
    pub fn has(&self, mechanism: &str, access: Access) -> bool {
        self.ways.contains(&format!("{mechanism}/{access}"))
    }
}

/// The length of a pair's measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The shortest warm-up.
    pub warm_up: Duration,
    /// Approximate length of the measured window.
    pub measure: Duration,
}

/// The figures of one pair. A figure that was not measured is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The cell's name.
    pub cell: String,
    /// The median of the stamped round trips, in nanoseconds (latency).
    pub p50_ns: Option<f64>,
    /// The median over batches of a batch's mean round trip, in nanoseconds. Measured if the time stamps would distort the
    /// figure.
    pub batch_p50_ns: Option<f64>,
    /// The 99th percentile of the round trips, in nanoseconds.
    pub p99_ns: Option<f64>,
    /// The 99.9th percentile of the round trips, in nanoseconds.
    pub p999_ns: Option<f64>,
    /// The longest round trip, in nanoseconds.
    pub max_ns: Option<f64>,
    /// Messages per second (throughput).
    pub msgs_per_s: Option<f64>,
    /// Messages that a lossy mechanism dropped.
    pub lost: u64,
    /// The distance class of the two hardware threads, if there are two.
    pub proximity: Option<Proximity>,
    /// Whether the reading is void: the distance changed meanwhile, a process moved to another thread, or the pair was stopped.
    pub disturbed: bool,
    /// Histogram of the stamped round trips.
    pub histogram: Option<Packed>,
    /// The reason why there are no figures.
    pub error: Option<String>,
    /// Whether a payload arrived wrong. That is worse than a missing figure.
    pub wrong_payload: bool,
}

impl Reading {
    /// Nanoseconds of a stamped round trip, or of a message.
    pub fn stamped_ns(&self) -> Option<f64> {
        self.p50_ns.or_else(|| Some(1e9 / self.msgs_per_s?))
    }

    /// The reason why this reading is no measurement of `cell`. Then nothing else in it counts.
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
            // A time of zero is impossible.
            None if !wanted.is_some_and(is_time) || !others.into_iter().flatten().all(is_time) => {
                Some(format!("no figure, {} messages lost", self.lost))
            }
            None => None,
        }
    }
}
