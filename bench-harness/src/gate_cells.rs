//! The cells that the gate times, and the controls that show whether the gate sees changes.

use crate::registry::{GateCells, Mechanism, Registry};
use bench_gate::{plan::Plan, report::Expectation};
use bench_lab::topology::Topology;
use bench_record::cell::{Access, Cell, Placement, Workload};
use ipc_core::Wait;

/// Number of mechanisms in [`Plan::Smoke`] if none names a cell. `SOME` is the number in [`Plan::Twelve`].
const FEW: usize = 4;
const SOME: usize = 12;

/// The cells of `plan` on this machine. Cells that need more hardware threads than there are go into `notes`.
pub fn cells(registry: &Registry, plan: Plan, topology: &Topology, notes: &mut Vec<String>) -> Vec<Cell> {
    let mut cells = match plan {
        Plan::Smoke => few(registry, FEW, |mechanism| named(mechanism, |names| names.smoke)),
        Plan::Twelve => few(registry, SOME, |mechanism| {
            [named(mechanism, |names| names.smoke), named(mechanism, |names| names.twelve)].concat()
        }),
        Plan::Full => {
            let across = registry.iter().flat_map(|mechanism| named(mechanism, |names| names.across));
            registry.iter().flat_map(on_one_core).chain(across).collect()
        }
    };
    let all = cells.len();
    cells.retain(|cell| topology.cpus(cell.placement).is_some());
    if cells.len() < all {
        notes.push(format!("{} cells need two cores, and this process has one", all - cells.len()));
    }
    cells
}

/// The cells that mechanisms name in the list `named`. If `registry` adds a mechanism to another registry and it names
/// no cell, its round trip is added. If no mechanism names a cell, the first `most` mechanisms have a round trip.
fn few(registry: &Registry, most: usize, named: impl Fn(&Mechanism) -> Vec<Cell>) -> Vec<Cell> {
    if registry.iter().all(|mechanism| named(mechanism).is_empty()) {
        return registry.iter().take(most).map(round_trip).collect();
    }
    let added = registry.own().filter(|mechanism| named(mechanism).is_empty()).map(round_trip);
    added.chain(registry.iter().flat_map(&named)).collect()
}

/// The cells that `mechanism` names in `list`.
fn named(mechanism: &Mechanism, list: fn(&GateCells) -> &'static [&'static str]) -> Vec<Cell> {
    let cell = |name: &&str| mechanism.cell(name).expect("the registry was checked");
    list(mechanism.gate_cells()).iter().map(cell).collect()
}

/// The controls. Some must stay silent; the others are slowed down and must be found.
pub fn controls(registry: &Registry) -> Vec<(Expectation, Cell)> {
    let all = |list| registry.iter().flat_map(move |mechanism| named(mechanism, list));
    let silent = all(|names| names.silent).map(|cell| (Expectation::Silent, cell));
    let found = all(|names| names.found).map(|cell| (Expectation::Found, cell));
    let controls: Vec<_> = silent.chain(found).collect();
    if controls.is_empty() { controls_of_ends(registry) } else { controls }
}

/// Default controls if no mechanism names one. They are cells of the last mechanism and of the first.
fn controls_of_ends(registry: &Registry) -> Vec<(Expectation, Cell)> {
    let all: Vec<&Mechanism> = registry.iter().collect();
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    [(Expectation::Silent, last), (Expectation::Found, first)]
        .into_iter()
        .flat_map(|(expectation, mechanism)| {
            [round_trip(mechanism), one_way(mechanism)].map(|cell| (expectation, cell))
        })
        .collect()
}

fn on_core(mechanism: &Mechanism, workload: Workload, size: usize, access: Access) -> Cell {
    let (placement, wait) = (Placement::SameCore, Wait::Block);
    Cell { workload, mechanism: mechanism.spec.name, size, placement, wait, access }
}

fn round_trip(mechanism: &Mechanism) -> Cell {
    on_core(mechanism, Workload::Latency, 64, Access::Copy)
}

fn one_way(mechanism: &Mechanism) -> Cell {
    on_core(mechanism, Workload::Throughput, 4096, Access::Copy)
}

/// Latency and throughput of one mechanism on one core. Throughput also in place if the mechanism has that.
fn on_one_core(mechanism: &Mechanism) -> impl Iterator<Item = Cell> {
    let in_place = mechanism.accesses().any(|access| access == Access::InPlace);
    let in_place = in_place.then(|| on_core(mechanism, Workload::Throughput, 4096, Access::InPlace));
    [round_trip(mechanism), one_way(mechanism)].into_iter().chain(in_place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::STANDARD;
    use bench_lab::topology::Thread;
    use std::collections::BTreeSet;

    fn cells(plan: Plan, threads: usize) -> (Vec<Cell>, Vec<String>) {
        let threads: Vec<Thread> = (0..threads).map(|cpu| Thread { cpu, core: cpu, socket: 0 }).collect();
        let mut notes = Vec::new();
        (super::cells(&STANDARD, plan, &Topology::of(&threads), &mut notes), notes)
    }

    #[test]
    fn a_plan_has_as_many_cells_as_it_says_and_none_twice() {
        for (plan, least, most) in [(Plan::Smoke, 4, 4), (Plan::Twelve, 12, 12), (Plan::Full, 55, 70)] {
            let (cells, notes) = cells(plan, 2);
            assert!((least..=most).contains(&cells.len()), "{plan}: {}", cells.len());
            assert_eq!(cells.iter().collect::<BTreeSet<_>>().len(), cells.len());
            assert!(notes.is_empty());
        }
    }

    #[test]
    fn the_full_plan_has_every_mechanism_both_ways() {
        let (cells, _) = cells(Plan::Full, 2);
        for mechanism in STANDARD.iter() {
            for workload in Workload::TIMED {
                let has = |cell: &Cell| cell.mechanism == mechanism.spec.name && cell.workload == workload;
                assert!(cells.iter().any(has), "{workload}/{}", mechanism.spec.name);
            }
        }
    }

    /// `ipc-bench gate --help`, README.md and docs/gate.md say this.
    #[test]
    fn only_what_is_said_is_timed() {
        let all: Vec<Cell> = Plan::ALL.iter().flat_map(|&plan| cells(plan, 2).0).collect();
        assert_eq!(all.iter().map(|cell| cell.size).collect::<BTreeSet<_>>(), [64, 4 << 10, 64 << 10].into());
        assert!(all.iter().all(|cell| Workload::TIMED.contains(&cell.workload) && cell.wait != Wait::Hybrid));
        let near = [Placement::SameCore, Placement::CrossCore];
        assert!(all.iter().all(|cell| near.contains(&cell.placement)));
    }

    #[test]
    fn one_core_has_fewer_cells_and_all_controls() {
        let (cells, notes) = cells(Plan::Full, 1);
        assert!(cells.iter().all(|cell| cell.placement == Placement::SameCore) && cells.len() > 38);
        assert_eq!(notes.len(), 1, "{notes:?}");
        let controls = controls(&STANDARD);
        assert!(controls.iter().all(|(_, cell)| cell.placement == Placement::SameCore));
        for expectation in [Expectation::Silent, Expectation::Found] {
            assert_eq!(controls.iter().filter(|(expected, _)| *expected == expectation).count(), 2);
        }
    }
}
