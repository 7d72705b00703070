//! What a run of the gate found, in types: printed, exported and written by others as they need it.

pub use super::unit::Unit;

use super::reading::Identity;
use bench_record::{named, packed::Packed, rows::Proximity};
use serde::{Deserialize, Serialize};

named! {
    /// The verdict of a run.
    "verdict" Outcome {
        /// Nothing became slower by more than what each cell says could have been seen. Exit code 0.
        Passed = "passed",
        /// At least one cell did, by time or by a count, or the head fails where the base does not. Exit code 1.
        Regressed = "regressed",
        /// No pair of the head yielded a figure. Exit code 2.
        HeadUnmeasured = "head-unmeasured",
        /// The run cannot tell: interrupted, its controls failed, or too much could not be excluded. Exit code 3.
        Inconclusive = "inconclusive",
        /// No pair of the base yielded a figure, though pairs of the head did. Exit code 4.
        BaseUnmeasured = "base-unmeasured",
    }
}

named! {
    /// The verdict on one cell.
    "status" Status {
        /// Not slower by more than its minimum detectable effect.
        Unchanged = "unchanged",
        /// Slower by more than its margin, confirmed on fresh rounds.
        Regressed = "regressed",
        /// The interval lies below zero by more than the margin: faster. Reported, never a verdict.
        Improved = "improved",
        /// So noisy that a change of 10 % cannot be excluded.
        Unresolved = "unresolved",
        /// One side lacks it: a mechanism that was added or removed.
        Lacking = "lacking",
        /// A side could not measure it.
        Failed = "failed",
    }
}

named! {
    /// What of a cell is compared.
    "metric" Metric {
        /// The median round trip (latency).
        P50 = "p50",
        /// The round trip that 99 % did not exceed (latency); judged by a wide margin.
        P99 = "p99",
        /// Time per message (throughput).
        Rate = "rate",
        /// What a command printed, in its own unit.
        Value = "value",
    }
}

/// A relative change from base to head: 0.088 is 8.8 % slower, be it a longer round trip or fewer messages a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The Hodges–Lehmann estimate over the rounds.
    pub by: f64,
    /// Lower end of its 95 % interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// One side's figures of a cell: medians over its rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Median round trip in nanoseconds, with a 95 % interval over rounds.
    pub p50_ns: Option<f64>,
    /// Lower end.
    pub p50_lo_ns: Option<f64>,
    /// Upper end.
    pub p50_hi_ns: Option<f64>,
    /// 99 % of round trips took no longer.
    pub p99_ns: Option<f64>,
    /// 99.9 %.
    pub p999_ns: Option<f64>,
    /// The longest of all.
    pub max_ns: Option<f64>,
    /// Messages a second.
    pub msgs_per_s: Option<f64>,
    /// Lower end of its 95 % interval.
    pub msgs_per_s_lo: Option<f64>,
    /// Upper end.
    pub msgs_per_s_hi: Option<f64>,
    /// What a command printed, in the unit of its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_lo: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_hi: Option<f64>,
    /// All stamped round trips together.
    pub histogram: Option<Packed>,
}

/// What was found of one cell, or of one figure of a command, by one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    /// The cell's name, or the figure's.
    pub cell: String,
    /// What was compared.
    pub metric: Metric,
    /// The unit of [`Metric::Value`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The verdict.
    pub status: Status,
    /// The base's figures.
    pub base: Figures,
    /// The head's.
    pub head: Figures,
    /// The change, where there are rounds enough.
    pub change: Option<Change>,
    /// The one-sided signed-rank p: of a change beyond the margin, on fresh rounds, where it was a candidate; else of any.
    pub p: Option<f64>,
    /// Rounds that the change rests on.
    pub rounds: u32,
    /// Whether the screen made it a candidate, so that it was measured again.
    pub candidate: bool,
    /// A change up to here is none: 0.02 is 2 %.
    pub margin: f64,
    /// The least change that this run would have found in this cell, 19 times in 20.
    pub detectable: Option<f64>,
    /// The distance class that the rounds belong to, where there is one.
    pub proximity: Option<Proximity>,
    /// Pairs or runs of both sides that were measured, those that were taken again included.
    pub pairs: u32,
    /// What failed, or why there is no verdict.
    pub error: Option<String>,
}

named! {
    /// What a control must do.
    "expectation" Expectation {
        /// The same binary twice: must stay silent.
        Silent = "silent",
        /// Slowed down on purpose: must be found.
        Found = "found",
    }
}

/// A cell whose verdict is known beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What it must do.
    pub expectation: Expectation,
    /// Whether it did.
    pub held: bool,
    /// What was found.
    pub report: CellReport,
}

/// A count that hardly varies, per message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// What is counted: `syscalls`, `copies`, `touches`, `faults`; `payload`, without counts, where the head's arrived wrong.
    pub what: String,
    /// The base's count per message.
    pub base: Option<f64>,
    /// The head's.
    pub head: Option<f64>,
    /// Whether the head's is larger by more than is noise, or is not known any more where the base's is: a finding.
    pub worse: bool,
    /// Why a count is missing.
    pub note: Option<String>,
}

/// The counts of one mechanism by one access at one size, `copies/MECHANISM/SIZE/ACCESS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactReport {
    /// What was counted, as `ipc-bench copies` names it.
    pub name: String,
    /// The counts.
    pub counts: Vec<Count>,
}

/// One side of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// What its first build says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The command that yields its figures, where it is no build of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Builds of it, each with its sections in another order.
    pub builds: u32,
    /// Pairs or runs of it that yielded a figure and were not disturbed, controls aside.
    #[serde(default)]
    pub pairs: u32,
}

/// All that a run of the gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    pub outcome: Outcome,
    /// What it rests on, one sentence each; findings first.
    pub reasons: Vec<String>,
    /// The base.
    pub base: Side,
    /// The head.
    pub head: Side,
    /// The plan's name.
    pub plan: String,
    /// The seed of its random choices.
    pub seed: u64,
    /// When it started: RFC 3339, UTC.
    pub started: String,
    /// How long it took.
    pub duration_s: f64,
    /// What was timed.
    pub cells: Vec<CellReport>,
    /// What had to come out as it was known beforehand.
    pub controls: Vec<Control>,
    /// What was counted.
    pub exact: Vec<ExactReport>,
}

impl Report {
    /// Whether two commands were compared, and not two builds of this program.
    pub fn is_of_commands(&self) -> bool {
        self.base.command.is_some()
    }

    /// What one of its lines is about.
    pub fn subject(&self) -> &'static str {
        if self.is_of_commands() { "figure" } else { "cell" }
    }

    /// The same, of several.
    pub fn subjects(&self) -> &'static str {
        if self.is_of_commands() { "figures" } else { "cells" }
    }
}
