//! Copies a file into another file in each way there is, and counts what that costs.
//!
//! Textbooks compare mechanisms by this example: one process reads a file and sends it, another receives and writes it.
//! They say that pipes and queues copy four times on the way, and shared memory twice. [`Relay`] carries one source by
//! every [`FileCopy`] in turn, over and over. It compares every byte afterwards, and makes a [`RelayRow`] of each.
//!
//! [`Files`] are the source and the destination. A [`Crew`] is the one or two processes of a relay.

use super::{Choice, Experiment, Found, Lab, Part, Plannable};
use crate::selection::Depth;
use bench_lab::worker::PairError;
use bench_record::{file_copy::FileCopy, rows::RelayRow};

mod carry;
mod crew;
mod files;
mod sys;
mod traced;
mod ways;

pub use carry::{Plan, Way, carry_by, carry_once};
pub use crew::{Carried, Crew, Load};
pub use files::Files;
pub use traced::{Traced, Uncounted, trace_once};

/// The experiment that copies a file into another file.
pub struct Relay {
    plan: Plan,
    /// The two files, made before the first way is measured.
    files: Option<Result<Files, PairError>>,
}

impl Relay {
    /// The experiment that `plan` describes. Its ways are the subjects.
    pub fn of(plan: Plan) -> (Self, Vec<Way>) {
        let ways = plan.relays.iter().map(|&relay| Way::new(relay)).collect();
        (Self { plan, files: None }, ways)
    }
}

impl Experiment for Relay {
    type Row = RelayRow;
    type Subject = Way;

    fn visits(&self, _way: &Way) -> u32 {
        carry::UNTIMED + self.plan.runs
    }

    fn visit(&mut self, _lab: &mut Lab<'_>, way: &mut Way, visit: u32) {
        let files = self.files.get_or_insert_with(|| carry::lay_out(&self.plan));
        way.step(visit, &self.plan, files);
    }

    fn row(&self, way: &Way, found: &mut Found) -> Option<RelayRow> {
        found.wrong_payload |= way.has_wrong_payload();
        let share_blocks = self.files.as_ref()?.as_ref().is_ok_and(Files::can_share_blocks);
        Some(way.row(&self.plan, share_blocks))
    }
}

impl Plannable for Relay {
    const PARTS: &'static [Part] = &[];

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Way>) {
        let plan = Plan::new(choice.topology);
        Self::of(match choice.depth() {
            Depth::Quick => Plan { bytes: 8 << 20, runs: 3, ..plan },
            Depth::Default | Depth::Full => plan,
        })
    }
}
