//! What the experiments on cells share: which cells there are, and how a pair of one is measured.

use super::{Choice, Lab, Part, accumulator::Accumulator};
use crate::selection::Depth;
use bench_lab::{
    interrupt,
    pair::DEADLINE,
    sample::{Budget, Job, Sample, is_relocated},
    worker::PairError,
};
use bench_record::cell::{Cell, Placement, Workload};
use ipc_core::{Reliability, Wait};
use std::{fmt, time::Duration};

/// By what cells are chosen: all parts of their names.
pub const PARTS: &[Part] = &[Part::Mechanism, Part::Size, Part::Access, Part::Placement, Part::Wait];

/// How often a pair that moved between its probes is measured again.
const REPETITIONS: u32 = 2;

/// How much is measured of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Pairs, for each pattern that the cell has.
    pub pairs: u32,
    /// What each of them measures.
    pub budget: Budget,
}

/// Every length of a full run.
pub const ALL_SIZES: &[usize] = &[8, 64, 512, 4 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20];

impl Effort {
    /// What goes into each timed cell.
    pub fn timed(choice: &Choice<'_>) -> Self {
        let (pairs, warm_up, measure) = match choice.depth() {
            Depth::Quick => (3, 3, 8),
            Depth::Default => (5, 5, 32),
            Depth::Full => (15, 10, 60),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Self::of(choice, pairs, Budget::Time { warm_up, measure })
    }

    /// What goes into each pattern of a cost cell: as many pairs as a timed cell has, because the pairs differ as much, and
    /// shorter stretches, because nothing within one is kept but the sums.
    pub fn metered(choice: &Choice<'_>) -> Self {
        let (warm_up, measure) = match choice.depth() {
            Depth::Quick => (2, 4),
            Depth::Default => (2, 7),
            Depth::Full => (3, 15),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Self { budget: Budget::Metered { warm_up, measure }, ..Self::timed(choice) }
    }

    /// As many pairs as `choice` asks for, or else `pairs`.
    fn of(choice: &Choice<'_>, pairs: u32, budget: Budget) -> Self {
        Self { pairs: choice.selection.pairs.unwrap_or(pairs), budget }
    }

    /// The time that a visit to a cell takes at least.
    pub fn least(&self, workload: Workload) -> Duration {
        let patterns = workload.patterns().len() as u32;
        match self.budget {
            Budget::Time { warm_up, measure } | Budget::Metered { warm_up, measure } => (warm_up + measure) * patterns,
            Budget::Messages(_) => Duration::ZERO,
        }
    }
}

/// A cell, and its pairs so far.
pub struct Subject {
    /// The cell.
    pub cell: Cell,
    /// The pairs of each of its patterns.
    pub accumulators: Vec<Accumulator>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cell.fmt(f)
    }
}

/// The cells of `workload` that `choice` asks for, at the `usual` sizes unless it names some.
pub fn subjects(choice: &Choice<'_>, workload: Workload, usual: &[usize], effort: Effort) -> Vec<Subject> {
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

/// Whether the user has not asked for both parts of what one core cannot do: spin and answer.
pub(crate) fn is_pointless(choice: &Choice<'_>, placement: Placement, wait: Wait) -> bool {
    let asked = !choice.selection.waits.is_empty() && !choice.selection.placements.is_empty();
    wait == Wait::Spin && placement == Placement::SameCore && !asked
}

/// Measures a pair of each pattern of `subject`.
pub fn visit(lab: &mut Lab<'_>, subject: &mut Subject, budget: Budget) {
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

/// Measures one pair; one that the hypervisor moved meanwhile is measured again, and the last one counts.
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
