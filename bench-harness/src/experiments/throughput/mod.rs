//! Throughput: messages moved one way per second.

use super::{
    Choice, Experiment, Found, Lab, Part,
    cells::{self, Effort, Subject},
};
use crate::selection::Depth;
use bench_record::{
    cell::{Cell, Workload},
    rows::ThroughputRow,
};
use std::time::Duration;

/// The experiment that sends messages one way as fast as possible.
pub struct Throughput(Effort);

/// The default message lengths.
fn sizes(depth: Depth) -> &'static [usize] {
    const KIB: usize = 1 << 10;
    match depth {
        Depth::Quick => &[64, 64 * KIB],
        Depth::Default => &[64, 4 * KIB, 64 * KIB, KIB * KIB],
        Depth::Full => cells::ALL_SIZES,
    }
}

impl Experiment for Throughput {
    type Row = ThroughputRow;
    type Subject = Subject;
    const PARTS: &'static [Part] = cells::PARTS;
    const TIMED: bool = true;

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        let effort = Effort::timed(choice);
        (Self(effort), cells::subjects(choice, Workload::Throughput, sizes(choice.depth()), effort))
    }

    fn visits(&self, _subject: &Subject) -> u32 {
        self.0.pairs
    }

    fn least(&self) -> Duration {
        self.0.least(Workload::Throughput)
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        cells::visit(lab, subject, self.0.budget);
    }

    fn row(&self, subject: &Subject, found: &mut Found) -> Option<ThroughputRow> {
        let accumulator = subject.accumulators.first()?;
        found.wrong_payload |= accumulator.has_wrong_payload();
        Some(accumulator.throughput_row())
    }

    fn cell(subject: &Subject) -> Option<Cell> {
        Some(subject.cell)
    }
}
