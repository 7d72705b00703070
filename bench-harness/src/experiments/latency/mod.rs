//! Latency: the time of a round trip.

use super::{
    Choice, Experiment, Found, Lab, Part,
    cells::{self, Effort, Subject},
};
use crate::selection::Depth;
use bench_record::{
    cell::{Cell, Workload},
    rows::LatencyRow,
};
use std::time::Duration;

/// The experiment that times round trips of messages one by one.
pub struct Latency(Effort);

/// The default message lengths.
fn sizes(depth: Depth) -> &'static [usize] {
    const KIB: usize = 1 << 10;
    match depth {
        Depth::Quick => &[64],
        Depth::Default => &[64, 4 * KIB, 64 * KIB],
        Depth::Full => cells::ALL_SIZES,
    }
}

impl Experiment for Latency {
    type Row = LatencyRow;
    type Subject = Subject;
    const PARTS: &'static [Part] = cells::PARTS;
    const TIMED: bool = true;

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        let effort = Effort::timed(choice);
        (Self(effort), cells::subjects(choice, Workload::Latency, sizes(choice.depth()), effort))
    }

    fn visits(&self, _subject: &Subject) -> u32 {
        self.0.pairs
    }

    fn least(&self) -> Duration {
        self.0.least(Workload::Latency)
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        cells::visit(lab, subject, self.0.budget);
    }

    fn row(&self, subject: &Subject, found: &mut Found) -> Option<LatencyRow> {
        let accumulator = subject.accumulators.first()?;
        found.wrong_payload |= accumulator.has_wrong_payload();
        found.histograms.extend(accumulator.histogram().map(|histogram| (subject.to_string(), histogram)));
        Some(accumulator.latency_row())
    }

    fn cell(subject: &Subject) -> Option<Cell> {
        Some(subject.cell)
    }
}
