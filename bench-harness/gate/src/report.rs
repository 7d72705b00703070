//! The findings of a gate run, as types. Other modules print and export them.

pub use super::unit::Unit;

use super::reading::Identity;
use bench_record::{named, packed::Packed, rows::Proximity};
use serde::{Deserialize, Serialize};

named! {
    /// The verdict of a run.
    "verdict" Outcome {
        /// Nothing became slower by more than what each cell says was detectable. Exit code 0.
        Passed = "passed",
        /// At least one cell became slower, by time or by a count, or the head fails in a cell that works in the base. Exit
        /// code 1.
        Regressed = "regressed",
        /// No pair of the head yielded a figure. Exit code 2.
        HeadUnmeasured = "head-unmeasured",
        /// The run is inconclusive: it was interrupted, its controls failed, or too many cells were unresolved. Exit code 3.
        Inconclusive = "inconclusive",
        /// No pair of the base yielded a figure, but pairs of the head did. Exit code 4.
        BaseUnmeasured = "base-unmeasured",
    }
}

named! {
    /// The verdict on one cell.
    "status" Status {
        /// Not slower by more than the minimum detectable effect.
        Unchanged = "unchanged",
        /// Slower by more than its margin, confirmed on fresh rounds.
        Regressed = "regressed",
        /// Faster: the confidence interval lies below zero by more than the margin. Reported, but never a verdict.
        Improved = "improved",
        /// Too noisy: a change of 10 % cannot be excluded.
        Unresolved = "unresolved",
        /// One side lacks the cell, because a mechanism was added or removed.
        Lacking = "lacking",
        /// A side could not measure the cell.
        Failed = "failed",
    }
}

named! {
    /// The metric of a cell that is compared.
    "metric" Metric {
        /// The median round trip (latency).
        P50 = "p50",
        /// The 99th percentile of the round trip (latency). Judged by a wide margin.
        P99 = "p99",
        /// Time per message (throughput).
        Rate = "rate",
        /// The figure that a command printed, in its own unit.
        Value = "value",
    }
}

/// A relative change from base to head. 0.088 is 8.8 % slower, either a longer round trip or fewer messages per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The Hodges–Lehmann estimate over the rounds.
    pub by: f64,
    /// Lower end of the 95 % confidence interval.
    pub lo: f64,
    /// Upper end of the 95 % confidence interval.
    pub hi: f64,
}

/// The figures of one side of a cell: medians over its rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Median round trip in nanoseconds.
    pub p50_ns: Option<f64>,
    /// Lower end of the 95 % confidence interval of `p50_ns`, over rounds.
    pub p50_lo_ns: Option<f64>,
    /// Upper end of the 95 % confidence interval of `p50_ns`, over rounds.
    pub p50_hi_ns: Option<f64>,
    /// The 99th percentile of round trips, in nanoseconds.
    pub p99_ns: Option<f64>,
    /// The 99.9th percentile of round trips, in nanoseconds.
    pub p999_ns: Option<f64>,
    /// The longest of all round trips, in nanoseconds.
    pub max_ns: Option<f64>,
    /// Messages per second.
    pub msgs_per_s: Option<f64>,
    /// Lower end of the 95 % confidence interval of `msgs_per_s`.
    pub msgs_per_s_lo: Option<f64>,
    /// Upper end of the 95 % confidence interval of `msgs_per_s`.
    pub msgs_per_s_hi: Option<f64>,
    /// The figure that a command printed, in the unit of its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of the 95 % confidence interval of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_lo: Option<f64>,
    /// Upper end of the 95 % confidence interval of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_hi: Option<f64>,
    /// Histogram of all stamped round trips.
    pub histogram: Option<Packed>,
}

/// The findings on one cell, or on one figure of a command, by one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    /// The cell's name, or the figure's.
    pub cell: String,
    /// The metric that was compared.
    pub metric: Metric,
    /// The unit of [`Metric::Value`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The verdict.
    pub status: Status,
    /// The base's figures.
    pub base: Figures,
    /// The head's figures.
    pub head: Figures,
    /// The change. `None` if there are too few rounds.
    pub change: Option<Change>,
    /// The one-sided signed-rank p. For a candidate it tests a change beyond the margin, on fresh rounds. Otherwise it tests
    /// any change.
    pub p: Option<f64>,
    /// The number of rounds behind the change.
    pub rounds: u32,
    /// Whether the screen made the cell a candidate, so that it was measured again.
    pub candidate: bool,
    /// The largest relative change that does not count: 0.02 is 2 %.
    pub margin: f64,
    /// The smallest relative change that this run would have found in this cell, 19 times in 20.
    pub detectable: Option<f64>,
    /// The distance class of most rounds, if there is one.
    pub proximity: Option<Proximity>,
    /// Pairs or runs of both sides that were measured, including repeated ones.
    pub pairs: u32,
    /// The failures, or the reason why there is no verdict.
    pub error: Option<String>,
}

named! {
    /// The required result of a control.
    "expectation" Expectation {
        /// Nothing is found. The control runs the same binary twice.
        Silent = "silent",
        /// The slowdown is found. The control is slowed down on purpose.
        Found = "found",
    }
}

/// A cell whose verdict is known in advance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// The required result.
    pub expectation: Expectation,
    /// Whether the control had the required result.
    pub held: bool,
    /// The findings on the control.
    pub report: CellReport,
}

/// A count per message that hardly varies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// What is counted: `syscalls`, `copies`, `touches`, `faults`. `right payloads` if a payload of the head arrived wrong.
    pub what: String,
    /// The base's count per message.
    pub base: Option<f64>,
    /// The head's count per message.
    pub head: Option<f64>,
    /// Whether the head's count is a finding: larger by more than noise, or unknown although the base's is known.
    pub worse: bool,
    /// The reason why a count is missing.
    pub note: Option<String>,
}

/// The counts of one mechanism by one access at one size, `copies/MECHANISM/SIZE/ACCESS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactReport {
    /// The name of what was counted, as in `ipc-bench copies`.
    pub name: String,
    /// The counts.
    pub counts: Vec<Count>,
}

/// One side of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The identity that the side's first build reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The command that yields the side's figures, if the side is no build of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Number of builds of the side. Each has its sections in another order.
    pub builds: u32,
    /// Pairs or runs of the side that yielded a figure and were not disturbed, without controls.
    #[serde(default)]
    pub pairs: u32,
}

/// All findings of a gate run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    pub outcome: Outcome,
    /// The reasons of the verdict, one sentence each, findings first.
    pub reasons: Vec<String>,
    /// The base.
    pub base: Side,
    /// The head.
    pub head: Side,
    /// The plan's name.
    pub plan: String,
    /// The seed of the run's random choices.
    pub seed: u64,
    /// The start of the run: RFC 3339, UTC.
    pub started: String,
    /// The duration of the run in seconds.
    pub duration_s: f64,
    /// The findings of the timed comparison.
    pub cells: Vec<CellReport>,
    /// The controls, whose results were known in advance.
    pub controls: Vec<Control>,
    /// The findings of the exact counts.
    pub exact: Vec<ExactReport>,
}

impl Report {
    /// Whether two commands were compared. `false` if two builds of this program were compared.
    pub fn is_of_commands(&self) -> bool {
        self.base.command.is_some()
    }

    /// The word for the subject of one line, in the singular.
    pub fn subject(&self) -> &'static str {
        if self.is_of_commands() { "figure" } else { "cell" }
    }

    /// The word for the subjects of several lines, in the plural.
    pub fn subjects(&self) -> &'static str {
        if self.is_of_commands() { "figures" } else { "cells" }
    }
}
