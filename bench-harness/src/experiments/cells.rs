//! The experiment on cells. Latency, throughput and cost are its kinds: they differ in sizes, effort and rows.

use super::{Choice, Experiment, Found, Lab, Part, Plannable, accumulator::Accumulator};
use crate::selection::Depth;
use bench_lab::{
    interrupt,
    pair::DEADLINE,
    sample::{Budget, Job, Sample, is_relocated},
    worker::PairError,
};
use bench_record::{
    cell::{Cell, Placement, Workload},
    rows::list::Member,
};
use ipc_core::{Reliability, Wait};
use std::{fmt, marker::PhantomData, time::Duration};

/// How often a pair that moved between its probes is measured again.
const REPETITIONS: u32 = 2;

/// The amount of measurement per cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Number of pairs for each pattern of the cell.
    pub pairs: u32,
    /// The budget of each pair.
    pub budget: Budget,
}

/// All message lengths of a full run, in bytes.
pub const ALL_SIZES: &[usize] = &[8, 64, 512, 4 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20];

impl Effort {
    /// The effort for each timed cell.
    pub fn timed(choice: &Choice<'_>) -> Self {
        let (pairs, warm_up, measure) = match choice.depth() {
            Depth::Quick => (3, 3, 8),
            Depth::Default => (5, 5, 32),
            Depth::Full => (15, 10, 60),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Self::of(choice, pairs, Budget::Time { warm_up, measure })
    }

    /// The effort for each pattern of a cost cell. It has as many pairs as a timed cell, because pairs differ as much.
    /// Its windows are shorter, because only sums are kept of a window.
    pub fn metered(choice: &Choice<'_>) -> Self {
        let (warm_up, measure) = match choice.depth() {
            Depth::Quick => (2, 4),
            Depth::Default => (2, 7),
            Depth::Full => (3, 15),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Self { budget: Budget::Metered { warm_up, measure }, ..Self::timed(choice) }
    }

    /// The number of pairs that `choice` asks for, or else `pairs`, with `budget`.
    fn of(choice: &Choice<'_>, pairs: u32, budget: Budget) -> Self {
        Self { pairs: choice.selection.pairs.unwrap_or(pairs), budget }
    }

    /// The minimum duration of a visit to a cell.
    fn least(&self, workload: Workload) -> Duration {
        let patterns = workload.patterns().len() as u32;
        match self.budget {
            Budget::Time { warm_up, measure } | Budget::Metered { warm_up, measure } => (warm_up + measure) * patterns,
            Budget::Messages(_) => Duration::ZERO,
        }
    }
}

/// What is measured of each cell.
pub trait OfCells: Sized {
    /// The workload of the cells.
    const WORKLOAD: Workload;

    /// The type of a cell's row.
    type Row: Member;

    /// The default message lengths.
    fn sizes(depth: Depth) -> &'static [usize];

    /// The effort for each cell.
    fn effort(choice: &Choice<'_>) -> Effort {
        Effort::timed(choice)
    }

    /// The row of a cell.
    fn row(subject: &Subject, found: &mut Found) -> Option<Self::Row>;
}

/// The experiment that measures `K` of cells, pair by pair.
pub struct Cells<K> {
    effort: Effort,
    kind: PhantomData<K>,
}

impl<K: OfCells> Experiment for Cells<K> {
    type Row = K::Row;
    type Subject = Subject;
    const TIMED: bool = true;

    fn visits(&self, _subject: &Subject) -> u32 {
        self.effort.pairs
    }

    fn least(&self) -> Duration {
        self.effort.least(K::WORKLOAD)
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Subject, _visit: u32) {
        visit(lab, subject, self.effort.budget);
    }

    fn row(&self, subject: &Subject, found: &mut Found) -> Option<K::Row> {
        found.wrong_payload |= subject.accumulators.iter().any(Accumulator::has_wrong_payload);
        K::row(subject, found)
    }

    fn cell(subject: &Subject) -> Option<Cell> {
        Some(subject.cell)
    }
}

impl<K: OfCells> Plannable for Cells<K> {
    const PARTS: &'static [Part] = &Part::ALL;

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Subject>) {
        let effort = K::effort(choice);
        let subjects = subjects(choice, K::WORKLOAD, K::sizes(choice.depth()), effort);
        (Self { effort, kind: PhantomData }, subjects)
    }
}

/// A cell with its pairs so far.
pub struct Subject {
    /// The cell.
    pub cell: Cell,
    /// The accumulator of each pattern of the cell.
    pub accumulators: Vec<Accumulator>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cell.fmt(f)
    }
}

/// The cells of `workload` that `choice` asks for. Their sizes are the `usual` ones unless it names others.
fn subjects(choice: &Choice<'_>, workload: Workload, usual: &[usize], effort: Effort) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for &size in choice.sizes(usual) {
        for mechanism in choice.mechanisms() {
            let lossy = mechanism.spec.reliability == Reliability::Lossy;
            for access in choice.accesses(mechanism) {
                for &placement in &choice.placements {
                    for &wait in choice.waits.iter().filter(|&&wait| !is_pointless(choice, placement, wait)) {
                        let cell = Cell { workload, mechanism: mechanism.spec.name, size, placement, wait, access };
                        let accumulator = |&pattern| Accumulator::new(cell, pattern, effort.pairs, lossy);
                        let accumulators = workload.patterns().iter().map(accumulator).collect();
                        subjects.push(Subject { cell, accumulators });
                    }
                }
            }
        }
    }
    subjects
}

/// Whether a cell is pointless: one core cannot spin and answer at once. It is measured only if the user names both
/// parts.
pub(crate) fn is_pointless(choice: &Choice<'_>, placement: Placement, wait: Wait) -> bool {
    let asked = !choice.selection.waits.is_empty() && !choice.selection.placements.is_empty();
    wait == Wait::Spin && placement == Placement::SameCore && !asked
}

/// Measures a pair of each pattern of `subject`.
fn visit(lab: &mut Lab<'_>, subject: &mut Subject, budget: Budget) {
    for accumulator in subject.accumulators.iter_mut().filter(|accumulator| !accumulator.is_hopeless()) {
        if interrupt::requested() {
            return;
        }
        let outcome = measure_steady(lab, accumulator, budget);
        if let Ok(sample) = &outcome {
            lab.probes.extend(sample.probe_ns.iter().flatten());
            lab.clock_reads.extend(sample.clock_read_ns);
        }
        accumulator.add(outcome);
    }
}

/// Measures one pair. If the hypervisor moved it meanwhile, it is measured again, and the last measurement counts.
fn measure_steady(lab: &Lab<'_>, accumulator: &Accumulator, budget: Budget) -> Result<Sample, PairError> {
    let cell = accumulator.cell;
    let job = Job {
        pattern: accumulator.pattern,
        size: cell.size,
        cpus: lab.topology.cpus(cell.placement).expect("cells have placements of this topology only"),
        wait: cell.wait,
        budget,
        deadline: DEADLINE,
        slow_by: None,
    };
    let mechanism = lab.registry.named(cell.mechanism).expect("cells have mechanisms of the registry only");
    let mut sample = mechanism.run(cell.access, &job)?;
    for _ in 0..REPETITIONS {
        if !is_relocated(&sample) {
            break;
        }
        sample = mechanism.run(cell.access, &job)?;
    }
    Ok(sample)
}
