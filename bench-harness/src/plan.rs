//! The plan of a run: its experiments with their subjects.

use crate::{
    experiments::{self, Choice, Measurable, cells},
    registry::Registry,
    selection::{Depth, Selection},
};
use bench_lab::topology::Topology;
use bench_record::{
    cell::{Cell, Placement},
    rows::Kind,
};
use std::time::Duration;

/// Minimum duration of a partial run with baselines. Three baselines take 0.15 s: a twentieth of it at most.
const ANCHORED: Duration = Duration::from_secs(5);

/// The experiments of a run, with their subjects.
pub struct Plan {
    /// The registry with the mechanisms of the cells.
    pub registry: &'static Registry,
    /// The experiments, in the order of the tables.
    pub experiments: Vec<Box<dyn Measurable>>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// The reason why there is nothing to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The selected placement is not possible on this machine, or with this process's CPU affinity.
    #[error("no placement '{wanted}' here: this process can use {here}")]
    NoPlacement {
        /// The selected placement.
        wanted: Placement,
        /// The possible placements.
        here: String,
    },
    /// The filter matches nothing.
    #[error("no cell matches '{filter}': names look like {example} (see `ipc-bench list`)")]
    NoMatch {
        /// The filter.
        filter: String,
        /// A cell of the plan without the filter.
        example: String,
    },
    /// The options leave nothing to measure.
    #[error("nothing to measure: {0}")]
    Nothing(String),
}

impl<'a> Choice<'a> {
    /// The choice that `selection` means on this machine. What is left out goes into `notes`.
    ///
    /// # Errors
    /// [`PlanError::NoPlacement`].
    pub fn of(
        registry: &'static Registry,
        selection: &'a Selection,
        topology: &'a Topology,
        notes: &mut Vec<String>,
    ) -> Result<Self, PlanError> {
        let placements = placements(selection, topology, notes)?;
        let waits = if selection.waits.is_empty() { selection.depth.waits() } else { &selection.waits };
        let choice = Self { registry, selection, topology, placements, waits };
        let pairs = choice.placements.iter().flat_map(|&placement| waits.iter().map(move |&wait| (placement, wait)));
        if pairs.into_iter().any(|(placement, wait)| cells::is_pointless(&choice, placement, wait)) {
            notes.push(
                "spin on same-core is left out: one core cannot both spin and answer (ask for both to measure it)"
                    .into(),
            );
        }
        Ok(choice)
    }
}

impl Plan {
    /// Makes the plan for `selection` on this machine.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn expand(registry: &'static Registry, selection: &Selection, topology: &Topology) -> Result<Self, PlanError> {
        let (mut notes, mut left_out) = (Vec::new(), Vec::new());
        let choice = Choice::of(registry, selection, topology, &mut notes)?;
        let mut experiments = experiments::of_a_run(&choice, &mut left_out);
        if is_empty(&experiments) {
            return Err(PlanError::Nothing(why_nothing(&choice, &notes, &left_out)));
        }
        if let Some(filter) = &selection.filter {
            let example = experiments.iter().find_map(|planned| planned.names().into_iter().next());
            experiments.iter_mut().for_each(|planned| planned.retain(filter));
            if is_empty(&experiments) {
                return Err(PlanError::NoMatch { filter: filter.clone(), example: example.unwrap_or_default() });
            }
        }
        notes.extend(left_out);
        Ok(Self { registry, experiments, notes })
    }

    /// The kinds of rows that are measured, each once.
    pub fn kinds(&self) -> Vec<Kind> {
        let some = self.experiments.iter().filter(|planned| planned.count() > 0);
        some.map(|planned| planned.kind()).collect()
    }

    /// The cells of the plan, in the order of the tables.
    pub fn cells(&self) -> Vec<Cell> {
        self.experiments.iter().flat_map(|planned| planned.cells()).collect()
    }

    /// The number of visits in all experiments together.
    pub fn steps(&self) -> u64 {
        self.experiments.iter().flat_map(|planned| planned.visits()).map(u64::from).sum()
    }

    /// The number of passes over the timed experiments: the most visits of any of their subjects.
    pub fn passes(&self) -> u32 {
        let timed = self.experiments.iter().filter(|planned| planned.is_timed());
        timed.flat_map(|planned| planned.visits()).max().unwrap_or(0)
    }

    /// Whether the [baseline](bench_lab::baseline) of the machine is taken. It is in every complete run, and in partial
    /// runs that are long enough.
    pub fn has_anchors(&self) -> bool {
        self.experiments.iter().map(|planned| planned.least()).sum::<Duration>() >= ANCHORED
    }
}

fn is_empty(experiments: &[Box<dyn Measurable>]) -> bool {
    experiments.iter().all(|planned| planned.count() == 0)
}

/// The reason why `choice` leaves nothing. The machine's `notes` count only if no experiment has `left_out` anything.
fn why_nothing(choice: &Choice<'_>, notes: &[String], left_out: &[String]) -> String {
    let asked = &choice.selection.accesses;
    if !asked.is_empty() && choice.mechanisms().into_iter().all(|mechanism| choice.accesses(mechanism).next().is_none())
    {
        let wanted = asked.iter().map(|access| access.name()).collect::<Vec<_>>().join(", ");
        return format!("none of the mechanisms has access {wanted} (see `ipc-bench list`)");
    }
    if left_out.is_empty() { notes } else { left_out }.join("; ")
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
    // Unpinned pairs say more about the scheduler than about the mechanism.
    Ok(here.into_iter().filter(|&p| p != Placement::Unpinned || selection.depth == Depth::Full).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{STANDARD, experiments::copies};
    use bench_lab::topology::Thread;
    use bench_record::{
        cell::{Access, Workload},
        file_copy::FileCopy,
    };
    use ipc_core::Wait;
    use std::collections::BTreeSet;

    fn two_cores() -> Topology {
        Topology::of(&[Thread { cpu: 0, core: 0, socket: 0 }, Thread { cpu: 1, core: 1, socket: 0 }])
    }

    fn expand(selection: &Selection) -> Plan {
        Plan::expand(&STANDARD, selection, &two_cores()).unwrap()
    }

    fn pipe() -> Vec<&'static crate::Mechanism> {
        vec![STANDARD.named("pipe").unwrap()]
    }

    /// The number of subjects of each kind in `plan`.
    fn counts(plan: &Plan, kinds: &[Kind]) -> Vec<usize> {
        let of = |kind: &Kind| plan.experiments.iter().filter(|e| e.kind() == *kind).map(|e| e.count()).sum();
        kinds.iter().map(of).collect()
    }

    const BESIDE: [Kind; 3] = [Kind::Copies, Kind::Lifecycle, Kind::Relay];

    /// The number of accesses of all mechanisms together.
    fn ways() -> usize {
        STANDARD.iter().map(|mechanism| mechanism.accesses().count()).sum()
    }

    #[test]
    fn the_default_plan_has_every_mechanism_once_per_combination() {
        let plan = expand(&Selection::default());
        let cells = plan.cells();
        // All accesses, at same-core/block, cross-core/block and cross-core/spin, for 3, 4 and 2 sizes.
        assert!(ways() > STANDARD.iter().count());
        assert_eq!(cells.len(), ways() * 3 * (3 + 4 + 2));
        assert_eq!(cells.iter().collect::<BTreeSet<_>>().len(), cells.len());
        for mechanism in STANDARD.iter() {
            assert!(cells.iter().any(|cell| cell.mechanism == mechanism.spec.name));
        }
        assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
        let beside = [ways() * copies::SIZES.len(), STANDARD.iter().count(), FileCopy::ALL.len()];
        assert_eq!(counts(&plan, &BESIDE), beside);
    }

    #[test]
    fn the_anchors_are_part_of_every_whole_plan_and_of_no_short_one() {
        for depth in [Depth::Quick, Depth::Default, Depth::Full] {
            assert!(expand(&Selection { depth, ..Selection::default() }).has_anchors(), "{depth:?}");
        }
        let short = Selection { depth: Depth::Quick, mechanisms: pipe(), ..Selection::default() };
        assert!(!expand(&short).has_anchors());
        assert!(!expand(&Selection { filter: Some("latency/pipe/64".into()), ..Selection::default() }).has_anchors());
        let long = Selection { mechanisms: pipe(), pairs: Some(100), ..Selection::default() };
        assert!(expand(&long).has_anchors());
    }

    #[test]
    fn costs_are_measured_at_two_sizes_in_as_many_pairs_as_latency() {
        let of = |workload, depth, pairs| {
            expand(&Selection { depth, workloads: vec![workload], pairs, ..Selection::default() })
        };
        let sizes = |plan: &Plan| plan.cells().iter().map(|cell| cell.size).collect::<BTreeSet<_>>();
        let plan = of(Workload::Cost, Depth::Default, None);
        assert_eq!(sizes(&plan), BTreeSet::from([64, 64 << 10]));
        assert_eq!(plan.passes(), of(Workload::Latency, Depth::Default, None).passes());
        assert_eq!(plan.steps(), u64::from(plan.passes()) * plan.cells().len() as u64);
        let spins = |placement| {
            let cells = plan.cells();
            cells.iter().filter(|cell| cell.placement == placement && cell.wait == Wait::Spin).count()
        };
        assert_eq!((spins(Placement::SameCore), spins(Placement::CrossCore)), (0, ways() * 2));
        let quick = of(Workload::Cost, Depth::Quick, None);
        assert_eq!(sizes(&quick), BTreeSet::from([64]));
        assert_eq!(of(Workload::Cost, Depth::Quick, Some(4)).passes(), 4);
    }

    #[test]
    fn the_costs_do_not_add_passes_to_the_timed_cells() {
        let latency = Selection { workloads: vec![Workload::Latency], ..Selection::default() };
        assert_eq!(expand(&Selection::default()).passes(), expand(&latency).passes());
    }

    #[test]
    fn a_filter_is_a_substring_of_the_name() {
        let filtered = |filter: &str| expand(&Selection { filter: Some(filter.into()), ..Selection::default() });
        let cells = filtered("latency/pipe").cells();
        assert_eq!(cells.len(), 9);
        assert_eq!(cells[0].to_string(), "latency/pipe/64/same-core/block/copy");
        for (filter, expected) in
            [("lifecycle/fifo", [0, 1, 0]), ("relay/splice", [0, 0, 1]), ("copies/udp/4096", [1, 0, 0])]
        {
            assert_eq!(counts(&filtered(filter), &BESIDE), expected, "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_chosen_by_what_is_asked_for_is_left_out() {
        let one = expand(&Selection { mechanisms: pipe(), ..Selection::default() });
        assert_eq!(counts(&one, &BESIDE), [2, 1, 0]);
        assert!(!one.notes.iter().any(|note| note.contains("relay")), "nobody asked for a relay: {:?}", one.notes);
        let placed = expand(&Selection { placements: vec![Placement::CrossCore], ..Selection::default() });
        assert_eq!(counts(&placed, &BESIDE), [0; 3]);

        let workloads = vec![Workload::Copies, Workload::Relay];
        let chosen = expand(&Selection { workloads, sizes: vec![64, 4096], ..Selection::default() });
        assert_eq!(counts(&chosen, &BESIDE), [ways(), 0, 0]);
        for said in ["copies of 64 bytes are left out", "relay is left out: it has no size"] {
            assert!(chosen.notes.iter().any(|note| note.contains(said)), "{:?}", chosen.notes);
        }
    }

    #[test]
    fn what_matches_nothing_says_so() {
        let error = |selection: Selection| Plan::expand(&STANDARD, &selection, &two_cores()).err().unwrap();
        let no_match = error(Selection { filter: Some("latency/tube".into()), ..Selection::default() });
        assert!(matches!(no_match, PlanError::NoMatch { .. }), "{no_match}");
        assert!(no_match.to_string().contains("latency/tube"), "{no_match}");

        let nothing = error(Selection { mechanisms: pipe(), accesses: vec![Access::InPlace], ..Selection::default() });
        assert!(nothing.to_string().contains("none of the mechanisms has access in-place"), "{nothing}");
        let short = error(Selection { workloads: vec![Workload::Copies], sizes: vec![64], ..Selection::default() });
        assert!(short.to_string().contains("copies of 64 bytes"), "{short}");
    }

    #[test]
    fn a_placement_that_is_not_here_is_an_error_only_when_asked_for() {
        let one = Topology::of(&[Thread { cpu: 0, core: 0, socket: 0 }]);
        let plan = Plan::expand(&STANDARD, &Selection::default(), &one).unwrap();
        assert!(plan.cells().iter().all(|cell| cell.placement == Placement::SameCore && cell.wait == Wait::Block));
        assert!(plan.notes.iter().any(|note| note.contains("cross-core")));

        let selection = Selection { placements: vec![Placement::CrossCore], ..Selection::default() };
        let error = Plan::expand(&STANDARD, &selection, &one).err().unwrap();
        assert!(matches!(error, PlanError::NoPlacement { wanted: Placement::CrossCore, .. }), "{error}");
    }

    #[test]
    fn spinning_on_one_core_can_be_asked_for() {
        let selection =
            Selection { placements: vec![Placement::SameCore], waits: vec![Wait::Spin], ..Selection::default() };
        assert!(expand(&selection).cells().iter().all(|cell| cell.wait == Wait::Spin));
    }
}
