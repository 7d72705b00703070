//! Copies: how often a payload is copied, and the system calls of a message that need not wait.

mod measure;

use super::{Choice, Experiment, Found, Lab, Part, Plannable};
use crate::selection::Depth;
use bench_lab::copies::SHORTEST;
use bench_record::{cell::CopyCell, rows::CopiesRow};
use std::fmt;

pub use measure::{SIZES, cells, measure, measure_by};

/// The experiment that counts copies with a tracer. Messages are long enough for it.
pub struct Copies;

/// A mechanism with a length and an access, and its row.
pub struct Subject {
    cell: CopyCell,
    row: Option<CopiesRow>,
}

impl From<CopyCell> for Subject {
    fn from(cell: CopyCell) -> Self {
        Self { cell, row: None }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cell.fmt(f)
    }
}

/// The default message lengths.
fn sizes(depth: Depth) -> &'static [usize] {
    match depth {
        Depth::Quick => &SIZES[..1],
        Depth::Default | Depth::Full => &SIZES,
    }
}

impl Experiment for Copies {
    type Row = CopiesRow;
    type Subject = Subject;

    fn visits(&self, _subject: &Subject) -> u32 {
        1
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        let CopyCell { mechanism, size, access } = subject.cell;
        subject.row = lab.registry.named(mechanism).map(|mechanism| measure(mechanism, size, access));
    }

    fn row(&self, subject: &Subject, _found: &mut Found) -> Option<CopiesRow> {
        subject.row.clone()
    }

    fn verdict(row: &CopiesRow) -> Option<String> {
        row.verdict()
    }
}

impl Plannable for Copies {
    const PARTS: &'static [Part] = &[Part::Mechanism, Part::Size, Part::Access];

    fn plan(choice: &Choice<'_>, notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        let asked = choice.sizes(sizes(choice.depth()));
        let (sizes, short): (Vec<usize>, Vec<usize>) = asked.iter().partition(|size| **size >= SHORTEST);
        if !short.is_empty() {
            let short = short.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            notes.push(format!("copies of {short} bytes are left out: they are counted from {SHORTEST} bytes on"));
        }
        let of =
            |mechanism| cells(mechanism, choice.accesses(mechanism), &sizes).map(Subject::from).collect::<Vec<_>>();
        (Self, choice.mechanisms().into_iter().flat_map(of).collect())
    }
}
