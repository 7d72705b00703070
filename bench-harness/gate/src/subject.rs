//! A subject of a run, and what has been measured of it so far.

use super::{
    report::{Expectation, Metric, Unit},
    rounds::Rounds,
};
use bench_record::cell::{Cell, Workload};

/// Failures in a row after which a side counts as unable to measure the subject.
pub(super) const FAILURES: u32 = 3;
/// Failures of the head in total, with none of the base, that count as a fault of the head and not of the machine.
pub(super) const FLAWS: u32 = 6;

/// The purpose of measuring a subject.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Comparison,
    Control(Expectation),
}

/// A cell, or a figure of a command, and what has been measured of it.
pub(super) struct Subject {
    pub(super) name: String,
    /// The metrics that are judged. The subject's own metric comes first.
    pub(super) metrics: &'static [Metric],
    /// The unit of [`Metric::Value`].
    pub(super) unit: Option<Unit>,
    pub(super) purpose: Purpose,
    /// The task of the subject. One run measures all subjects of a task.
    pub(super) task: usize,
    pub(super) rounds: Rounds,
    /// Number of rounds in the first stage.
    pub(super) screened: usize,
    /// The metrics to confirm, each with the number of further rounds.
    pub(super) candidates: Vec<(Metric, u32)>,
    /// Failures of base and head in a row and in total, and the text of the last one.
    pub(super) failures: [u32; 2],
    pub(super) failed: [u32; 2],
    pub(super) error: [Option<String>; 2],
    pub(super) wrong_payload: [bool; 2],
    /// Runs of base and head that yielded a valid figure, and runs whose figure is void because they were disturbed.
    pub(super) yielded: [u32; 2],
    pub(super) disturbed: [u32; 2],
}

impl Subject {
    pub(super) fn new(name: String, metrics: &'static [Metric], purpose: Purpose, task: usize) -> Self {
        Self {
            name,
            metrics,
            unit: None,
            purpose,
            task,
            rounds: Rounds::default(),
            screened: 0,
            candidates: Vec::new(),
            failures: [0; 2],
            failed: [0; 2],
            error: [None, None],
            wrong_payload: [false; 2],
            yielded: [0; 2],
            disturbed: [0; 2],
        }
    }

    /// Records a run of `side` that yielded a figure.
    pub(super) fn yields(&mut self, side: usize, disturbed: bool) {
        self.failures[side] = 0;
        let counted = if disturbed { &mut self.disturbed } else { &mut self.yielded };
        counted[side] += 1;
    }

    /// Records a run of `side` that failed.
    pub(super) fn fails(&mut self, side: usize, why: &str, wrong_payload: bool) {
        self.failures[side] += 1;
        self.failed[side] += 1;
        self.error[side] = Some(why.to_owned());
        self.wrong_payload[side] |= wrong_payload;
    }

    pub(super) fn is_hopeless(&self) -> bool {
        self.failures.iter().any(|&failures| failures >= FAILURES) || self.wrong_payload.contains(&true)
    }

    /// Whether the head cannot do what the base can. That is a finding at any speed.
    pub(super) fn is_broken(&self) -> bool {
        let often = self.failures[1] >= FAILURES || self.failed[1] >= FLAWS;
        (often && self.failed[0] == 0) || (self.wrong_payload[1] && !self.wrong_payload[0])
    }

    /// A description of the failures of both sides, even if there are enough figures.
    pub(super) fn trouble(&self) -> Option<String> {
        let of = |side: usize, name| {
            let error = self.error[side].as_deref()?;
            let runs = if self.unit.is_some() { "runs" } else { "pairs" };
            Some(format!("{} of {} {runs} of the {name} failed: {error}", self.failed[side], self.rounds.pairs / 2))
        };
        let said: Vec<String> = [of(0, "base"), of(1, "head")].into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Rounds that the second stage still has to take.
    pub(super) fn fresh_rounds(&self) -> u32 {
        self.candidates.iter().map(|&(_, rounds)| rounds).max().unwrap_or(0)
    }
}

/// The metrics of a cell that are judged. The cell's own metric comes first.
pub(super) fn metrics(cell: &Cell) -> &'static [Metric] {
    match cell.workload {
        Workload::Throughput => &[Metric::Rate],
        _ => &[Metric::P50, Metric::P99],
    }
}

/// Whether at least one subject can still be compared.
pub(super) fn is_worthwhile(subjects: &[Subject]) -> bool {
    subjects.iter().any(|subject| subject.purpose == Purpose::Comparison && !subject.is_hopeless())
}
