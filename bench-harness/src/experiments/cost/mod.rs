//! Cost: what a message takes besides its time.

mod row;

use super::{
    Choice, Experiment, Found, Lab, Part,
    cells::{self, Effort, Subject},
};
use crate::selection::Depth;
use bench_record::{
    cell::{Cell, Workload},
    rows::CostRow,
};
use std::time::Duration;

/// The experiment that measures processor time, system calls, context switches, page faults and energy of a message.
pub struct Cost(Effort);

/// The default message lengths.
fn sizes(depth: Depth) -> &'static [usize] {
    match depth {
        Depth::Quick => &[64],
        Depth::Default | Depth::Full => &[64, 64 << 10],
    }
}

impl Experiment for Cost {
    type Row = CostRow;
    type Subject = Subject;
    const PARTS: &'static [Part] = cells::PARTS;
    const TIMED: bool = true;

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        let effort = Effort::metered(choice);
        (Self(effort), cells::subjects(choice, Workload::Cost, sizes(choice.depth()), effort))
    }

    fn visits(&self, _subject: &Subject) -> u32 {
        self.0.pairs
    }

    fn least(&self) -> Duration {
        self.0.least(Workload::Cost)
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        cells::visit(lab, subject, self.0.budget);
    }

    fn row(&self, subject: &Subject, found: &mut Found) -> Option<CostRow> {
        let [one_way, round_trip] = &subject.accumulators[..] else { return None };
        found.wrong_payload |= one_way.has_wrong_payload() || round_trip.has_wrong_payload();
        Some(row::of(one_way, round_trip))
    }

    fn cell(subject: &Subject) -> Option<Cell> {
        Some(subject.cell)
    }
}
