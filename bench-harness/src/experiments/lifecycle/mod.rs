//! Life cycle: what a channel costs before and after its messages.

use super::{Choice, Experiment, Found, Lab, Part, Plannable};
use crate::registry::Mechanism;
use bench_record::{cell::Workload, rows::LifecycleRow};
use std::fmt;

/// The experiment that measures creation, connection, the first message, closing, and what an idle channel holds.
pub struct Lifecycle;

/// A mechanism, and its row.
pub struct Subject {
    mechanism: &'static Mechanism,
    row: Option<LifecycleRow>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Workload::Lifecycle, self.mechanism.spec.name)
    }
}

impl Experiment for Lifecycle {
    type Row = LifecycleRow;
    type Subject = Subject;

    fn visits(&self, _subject: &Subject) -> u32 {
        1
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        let Mechanism { spec, .. } = subject.mechanism;
        subject.row = Some(subject.mechanism.lifecycle().measure(spec.name, lab.topology));
    }

    fn row(&self, subject: &Subject, _found: &mut Found) -> Option<LifecycleRow> {
        subject.row.clone()
    }
}

impl Plannable for Lifecycle {
    const PARTS: &'static [Part] = &[Part::Mechanism];

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        (Self, choice.mechanisms().into_iter().map(|mechanism| Subject { mechanism, row: None }).collect())
    }
}
