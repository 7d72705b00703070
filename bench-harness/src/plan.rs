//! What a run measures: the cells, how many pairs of each, in which order.

use crate::{
    beside::Beside,
    registry::{Mechanism, Registry},
    selection::{Depth, Effort, Selection},
};
use bench_lab::{sample::Budget, topology::Topology};
use bench_record::cell::{Cell, Placement, Workload};
use ipc_core::Wait;
use std::time::Duration;

/// The stretch of a run from which on the anchors, 0.15 s in three turns, are a twentieth of it at most.
const ANCHORED: Duration = Duration::from_secs(5);

/// A plan: cells in the order of the tables, measured in a shuffled one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The mechanisms of the cells, and others.
    pub registry: &'static Registry,
    /// The cells.
    pub cells: Vec<Cell>,
    /// What is measured beside them.
    pub beside: Beside,
    /// What goes into each timed cell.
    pub timed: Effort,
    /// What goes into each cost cell.
    pub cost: Effort,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A placement was asked for that this machine, or this process's affinity, does not allow.
    #[error("no placement '{wanted}' here: this process can use {here}")]
    NoPlacement {
        /// What was asked for.
        wanted: Placement,
        /// What there is.
        here: String,
    },
    /// The filter leaves nothing.
    #[error("no cell matches '{filter}': names look like {example} (see `ipc-bench list`)")]
    NoMatch {
        /// The filter.
        filter: String,
        /// A cell of the plan without the filter.
        example: String,
    },
    /// The options leave nothing.
    #[error("nothing to measure: {0}")]
    Nothing(String),
}

impl Plan {
    /// Expands `selection` on this machine.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn expand(registry: &'static Registry, selection: &Selection, topology: &Topology) -> Result<Self, PlanError> {
        let depth = selection.depth;
        let mut notes = Vec::new();
        let placements = placements(selection, topology, &mut notes)?;
        let waits = or(&selection.waits, depth.waits());
        let all: Vec<&'static Mechanism> = registry.iter().collect();
        let asked_to_spin = !selection.waits.is_empty() && !selection.placements.is_empty();
        if waits.contains(&Wait::Spin) && placements.contains(&Placement::SameCore) && !asked_to_spin {
            notes.push(
                "spin on same-core is left out: one core cannot both spin and answer (ask for both to measure it)"
                    .into(),
            );
        }

        let mut cells = Vec::new();
        let of_cells = |workload: &&Workload| !workload.patterns().is_empty();
        for &workload in or(&selection.workloads, Workload::ALL).iter().filter(of_cells) {
            for &size in or(&selection.sizes, depth.sizes(workload)) {
                for mechanism in or(&selection.mechanisms, &all) {
                    for access in mechanism.accesses() {
                        for &placement in &placements {
                            for &wait in waits {
                                let pointless =
                                    wait == Wait::Spin && placement == Placement::SameCore && !asked_to_spin;
                                let wanted = selection.accesses.is_empty() || selection.accesses.contains(&access);
                                if wanted && !pointless {
                                    let mechanism = mechanism.spec.name;
                                    cells.push(Cell { workload, mechanism, size, placement, wait, access });
                                }
                            }
                        }
                    }
                }
            }
        }
        let of_cells = notes.len();
        let mut beside = Beside::of(registry, selection, topology, &mut notes);
        if cells.is_empty() && beside.steps() == 0 {
            let mut accesses = or(&selection.mechanisms, &all).iter().flat_map(|mechanism| mechanism.accesses());
            if !selection.accesses.is_empty() && !accesses.any(|access| selection.accesses.contains(&access)) {
                let wanted = selection.accesses.iter().map(|access| access.name()).collect::<Vec<_>>().join(", ");
                return Err(PlanError::Nothing(format!(
                    "none of the mechanisms has access {wanted} (see `ipc-bench list`)"
                )));
            }
            // What was left out has been noted, of what is measured beside the cells last.
            let left_out = if notes.len() > of_cells { &notes[of_cells..] } else { &notes[..] };
            return Err(PlanError::Nothing(left_out.join("; ")));
        }
        if let Some(filter) = &selection.filter {
            let example = cells.first().map(Cell::to_string).or_else(|| beside.example()).unwrap_or_default();
            cells.retain(|cell| cell.to_string().contains(filter.as_str()));
            beside.retain(filter);
            if cells.is_empty() && beside.steps() == 0 {
                return Err(PlanError::NoMatch { filter: filter.clone(), example });
            }
        }
        let effort = |usual: Effort| Effort { pairs: selection.pairs.unwrap_or(usual.pairs), ..usual };
        Ok(Self { registry, cells, beside, timed: effort(depth.timed()), cost: effort(depth.cost()), notes })
    }

    /// What is measured, each once, in the order of [`Workload::ALL`].
    pub fn workloads(&self) -> impl Iterator<Item = Workload> {
        Workload::ALL.iter().copied().filter(|&workload| match workload {
            Workload::Copies => !self.beside.copies.is_empty(),
            Workload::Lifecycle => !self.beside.lifecycles.is_empty(),
            Workload::Relay => !self.beside.relays.relays.is_empty(),
            _ => self.cells.iter().any(|cell| cell.workload == workload),
        })
    }

    /// What goes into each cell of `workload`.
    pub fn effort(&self, workload: Workload) -> Effort {
        match workload {
            Workload::Cost => self.cost,
            _ => self.timed,
        }
    }

    /// The passes of the run: the pairs of the cell that has most.
    pub fn passes(&self) -> u32 {
        self.cells.iter().map(|cell| self.effort(cell.workload).pairs).max().unwrap_or(0)
    }

    /// The pairs of all cells together, and the pieces of work beside them.
    pub fn steps(&self) -> u64 {
        self.pairs() + self.beside.steps()
    }

    /// The pairs of all cells together.
    pub fn pairs(&self) -> u64 {
        let pairs = |cell: &Cell| u64::from(self.effort(cell.workload).pairs) * cell.workload.patterns().len() as u64;
        self.cells.iter().map(pairs).sum()
    }

    /// The least time that the cells take.
    fn stretch(&self) -> Duration {
        let of = |cell: &Cell| {
            let effort = self.effort(cell.workload);
            let pairs = effort.pairs * cell.workload.patterns().len() as u32;
            match effort.budget {
                Budget::Time { warm_up, measure } | Budget::Metered { warm_up, measure } => (warm_up + measure) * pairs,
                Budget::Messages(_) => Duration::ZERO,
            }
        };
        self.cells.iter().map(of).sum()
    }

    /// Whether the [baseline](bench_lab::baseline) is taken as well: in every complete run, and in partial ones that take long
    /// enough for it not to be noticed.
    pub fn has_anchors(&self) -> bool {
        self.stretch() >= ANCHORED
    }

    /// The order in which pass number `pass` visits the cells: shuffled, so that drift does not become a difference, and
    /// the same in every run.
    pub fn order(&self, pass: u32) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cells.len()).collect();
        fastrand::Rng::with_seed(u64::from(pass)).shuffle(&mut order);
        order
    }
}

fn placements(
    selection: &Selection,
    topology: &Topology,
    notes: &mut Vec<String>,
) -> Result<Vec<Placement>, PlanError> {
    let here: Vec<Placement> = topology.placements().collect();
    let names = || here.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
    if let Some(&wanted) = selection.placements.iter().find(|wanted| !here.contains(wanted)) {
        return Err(PlanError::NoPlacement { wanted, here: names() });
    }
    if !selection.placements.is_empty() {
        return Ok(selection.placements.clone());
    }
    let missing: Vec<_> = Placement::ALL.iter().filter(|p| !here.contains(p)).map(|p| p.name()).collect();
    if !missing.is_empty() {
        notes.push(format!("not on this machine, or not allowed to this process: {}", missing.join(", ")));
    }
    // Where the scheduler puts a pair says more about the scheduler than about the mechanism.
    Ok(here.into_iter().filter(|&p| p != Placement::Unpinned || selection.depth == Depth::Full).collect())
}

fn or<'a, T>(chosen: &'a [T], default: &'a [T]) -> &'a [T] {
    if chosen.is_empty() { default } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STANDARD;
    use bench_lab::topology::Thread;
    use bench_record::cell::Access;
    use std::collections::BTreeSet;

    fn two_cores() -> Topology {
        Topology::of(&[Thread { cpu: 0, core: 0, socket: 0 }, Thread { cpu: 1, core: 1, socket: 0 }])
    }

    /// Accesses of all mechanisms together.
    fn ways() -> usize {
        STANDARD.iter().map(|mechanism| mechanism.accesses().count()).sum()
    }

    #[test]
    fn the_default_plan_has_every_mechanism_once_per_combination() {
        let plan = Plan::expand(&STANDARD, &Selection::default(), &two_cores()).unwrap();
        // All copying and some in place, at same-core/block, cross-core/block and cross-core/spin, for 3, 4 and 2 sizes.
        assert!(ways() > STANDARD.iter().count());
        assert_eq!(plan.cells.len(), ways() * 3 * (3 + 4 + 2));
        assert_eq!(plan.cells.iter().collect::<BTreeSet<_>>().len(), plan.cells.len());
        for mechanism in STANDARD.iter() {
            assert!(plan.cells.iter().any(|cell| cell.mechanism == mechanism.spec.name));
        }
        assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
    }

    #[test]
    fn the_anchors_are_part_of_every_whole_plan_and_of_no_short_one() {
        let expand = |selection: &Selection| Plan::expand(&STANDARD, selection, &two_cores()).unwrap();
        for depth in [Depth::Quick, Depth::Default, Depth::Full] {
            assert!(expand(&Selection { depth, ..Selection::default() }).has_anchors(), "{depth:?}");
        }
        let pipe = vec![STANDARD.named("pipe").unwrap()];
        let short = Selection { depth: Depth::Quick, mechanisms: pipe.clone(), ..Selection::default() };
        assert!(!expand(&short).has_anchors());
        assert!(!expand(&Selection { filter: Some("latency/pipe/64".into()), ..Selection::default() }).has_anchors());
        let long = Selection { mechanisms: pipe, pairs: Some(100), ..Selection::default() };
        assert!(expand(&long).has_anchors());
    }

    #[test]
    fn costs_are_measured_at_two_sizes_in_as_many_pairs_as_latency() {
        let expand = |depth, pairs| {
            let workloads = vec![Workload::Cost];
            Plan::expand(&STANDARD, &Selection { depth, workloads, pairs, ..Selection::default() }, &two_cores())
                .unwrap()
        };
        let sizes = |plan: &Plan| plan.cells.iter().map(|cell| cell.size).collect::<BTreeSet<_>>();
        let plan = expand(Depth::Default, None);
        assert_eq!(sizes(&plan), BTreeSet::from([64, 64 << 10]));
        // Each time one pair that goes one way and one that plays ping-pong.
        assert_eq!(plan.cost.pairs, plan.timed.pairs);
        assert_eq!(plan.pairs(), 2 * u64::from(plan.cost.pairs) * plan.cells.len() as u64);
        let spins = |placement| {
            let on = plan.cells.iter().filter(move |cell| cell.placement == placement);
            on.filter(|cell| cell.wait == Wait::Spin).count()
        };
        assert_eq!((spins(Placement::SameCore), spins(Placement::CrossCore)), (0, ways() * 2));
        let quick = expand(Depth::Quick, None);
        assert_eq!((sizes(&quick), quick.passes()), (BTreeSet::from([64]), quick.timed.pairs));
        assert_eq!(expand(Depth::Quick, Some(4)).passes(), 4);
        assert!(matches!(plan.effort(Workload::Cost).budget, Budget::Metered { .. }));
        assert!(matches!(plan.effort(Workload::Latency).budget, Budget::Time { .. }));
    }

    #[test]
    fn the_costs_do_not_add_passes_to_the_timed_cells() {
        let plan = Plan::expand(&STANDARD, &Selection::default(), &two_cores()).unwrap();
        assert_eq!(plan.passes(), plan.timed.pairs);
        assert_eq!(
            plan.pairs(),
            ways() as u64 * 3 * (7 * u64::from(plan.timed.pairs) + 2 * 2 * u64::from(plan.cost.pairs))
        );
    }

    #[test]
    fn every_pass_visits_every_cell_in_an_order_of_its_own() {
        let plan = Plan::expand(&STANDARD, &Selection::default(), &two_cores()).unwrap();
        let (first, second) = (plan.order(0), plan.order(1));
        assert_ne!(first, second);
        assert_eq!(first, plan.order(0));
        assert_eq!(second.iter().collect::<BTreeSet<_>>().len(), plan.cells.len());
    }

    #[test]
    fn a_filter_is_a_substring_of_the_name() {
        let selection = Selection { filter: Some("latency/pipe".into()), ..Selection::default() };
        let plan = Plan::expand(&STANDARD, &selection, &two_cores()).unwrap();
        assert_eq!(plan.cells.len(), 9);
        assert_eq!(plan.cells[0].to_string(), "latency/pipe/64/same-core/block/copy");
    }

    #[test]
    fn what_matches_nothing_says_so() {
        let selection = Selection { filter: Some("latency/tube".into()), ..Selection::default() };
        let error = Plan::expand(&STANDARD, &selection, &two_cores()).unwrap_err();
        assert!(matches!(error, PlanError::NoMatch { .. }), "{error}");
        assert!(error.to_string().contains("latency/tube"), "{error}");

        let mechanisms = vec![STANDARD.named("pipe").unwrap()];
        let selection = Selection { mechanisms, accesses: vec![Access::InPlace], ..Selection::default() };
        assert!(matches!(Plan::expand(&STANDARD, &selection, &two_cores()), Err(PlanError::Nothing(_))));
    }

    #[test]
    fn a_placement_that_is_not_here_is_an_error_only_when_asked_for() {
        let one = Topology::of(&[Thread { cpu: 0, core: 0, socket: 0 }]);
        let plan = Plan::expand(&STANDARD, &Selection::default(), &one).unwrap();
        assert!(plan.cells.iter().all(|cell| cell.placement == Placement::SameCore && cell.wait == Wait::Block));
        assert!(plan.notes.iter().any(|note| note.contains("cross-core")));

        let selection = Selection { placements: vec![Placement::CrossCore], ..Selection::default() };
        let error = Plan::expand(&STANDARD, &selection, &one).unwrap_err();
        assert!(matches!(error, PlanError::NoPlacement { wanted: Placement::CrossCore, .. }), "{error}");
    }

    #[test]
    fn spinning_on_one_core_can_be_asked_for() {
        let selection =
            Selection { placements: vec![Placement::SameCore], waits: vec![Wait::Spin], ..Selection::default() };
        let plan = Plan::expand(&STANDARD, &selection, &two_cores()).unwrap();
        assert!(plan.cells.iter().all(|cell| cell.wait == Wait::Spin));
    }
}
