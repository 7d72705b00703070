//! Which cells the gate times, and those by which it shows that it can see.

use super::{judge::Rules, report::Expectation};
use crate::{
    cell::{Access, Cell, Placement, Workload, named},
    registry::MECHANISMS,
    topology::Topology,
};
use ipc_core::Wait;

named! {
    /// How much is compared.
    "plan" Plan {
        /// Four cells and fewer rounds: shows that everything works, in about twenty seconds.
        Smoke = "smoke",
        /// Twelve cells, one or two of a kind: about a minute, under two.
        Twelve = "twelve",
        /// Every mechanism, by latency and by throughput: under ten minutes.
        Full = "full",
    }
}

/// The cells of `smoke`, and with the others those of `twelve`.
const SMOKE: [&str; 4] = [
    "latency/pipe/64/same-core/block/copy",
    "latency/posix-mq/64/same-core/block/copy",
    "latency/posix-shm/64/same-core/block/in-place",
    "throughput/pipe/65536/same-core/block/copy",
];
const TWELVE: [&str; 8] = [
    "latency/sysv-msgq/64/same-core/block/copy",
    "latency/unix-stream/64/same-core/block/copy",
    "latency/tcp/64/same-core/block/copy",
    "latency/udp/64/same-core/block/copy",
    "latency/pipe/64/cross-core/spin/copy",
    "latency/memfd/64/cross-core/spin/in-place",
    "throughput/memfd/4096/cross-core/spin/in-place",
    "throughput/unix-stream/4096/same-core/block/copy",
];
/// What `full` has beside two cells of every mechanism on one core.
const ACROSS: [&str; 14] = [
    "latency/pipe/64/cross-core/block/copy",
    "latency/unix-stream/64/cross-core/block/copy",
    "latency/memfd/64/cross-core/block/in-place",
    "latency/pipe/64/cross-core/spin/copy",
    "latency/unix-stream/64/cross-core/spin/copy",
    "latency/posix-mq/64/cross-core/spin/copy",
    "latency/udp/64/cross-core/spin/copy",
    "latency/memfd/64/cross-core/spin/in-place",
    "latency/posix-shm/4096/cross-core/spin/copy",
    "latency/process-vm/4096/cross-core/spin/in-place",
    "throughput/pipe/65536/cross-core/spin/copy",
    "throughput/unix-stream/65536/cross-core/spin/copy",
    "throughput/memfd/4096/cross-core/spin/in-place",
    "throughput/mmap-anon/65536/cross-core/spin/copy",
];

/// Cells whose verdict is known beforehand: quiet ones, on one core, which every machine has.
pub const CONTROLS: [(Expectation, &str); 4] = [
    (Expectation::Silent, "latency/sysv-msgq/64/same-core/block/copy"),
    (Expectation::Silent, "throughput/pipe/65536/same-core/block/copy"),
    (Expectation::Found, "latency/pipe/64/same-core/block/copy"),
    (Expectation::Found, "throughput/unix-stream/4096/same-core/block/copy"),
];
/// By how much those are slowed down that must be found.
pub const CONTROL_PERCENT: u32 = 10;

/// The cell called `name` in the tables above.
pub(super) fn known(name: &str) -> Cell {
    name.parse().expect("the tables hold names of cells")
}

impl Plan {
    /// How it is judged.
    pub fn rules(self) -> Rules {
        match self {
            // Enough to find 15 % on a machine that is not too busy, and no more.
            Plan::Smoke => Rules { screen_rounds: 30, confirm_min: 30, confirm_max: 120, ..Rules::default() },
            Plan::Twelve | Plan::Full => Rules::default(),
        }
    }

    /// Its cells on this machine; those that need more hardware threads than there are go into `notes`.
    pub fn cells(self, topology: &Topology, notes: &mut Vec<String>) -> Vec<Cell> {
        let mut cells: Vec<Cell> = match self {
            Plan::Smoke => SMOKE.map(known).to_vec(),
            Plan::Twelve => SMOKE.into_iter().chain(TWELVE).map(known).collect(),
            Plan::Full => every_mechanism().chain(ACROSS.map(known)).collect(),
        };
        let all = cells.len();
        cells.retain(|cell| topology.cpus(cell.placement).is_some());
        if cells.len() < all {
            notes.push(format!("{} cells need two cores, and this process has one", all - cells.len()));
        }
        cells
    }
}

/// Latency and throughput of every mechanism on one core, by the access that is its best.
fn every_mechanism() -> impl Iterator<Item = Cell> {
    MECHANISMS.iter().flat_map(|mechanism| {
        let (placement, wait) = (Placement::SameCore, Wait::Block);
        let cell = move |workload, size, access| {
            let mechanism = mechanism.spec.name;
            Cell { workload, mechanism, size, placement, wait, access }
        };
        let in_place = mechanism.accesses().any(|access| access == Access::InPlace);
        let in_place = in_place.then(|| cell(Workload::Throughput, 4096, Access::InPlace));
        [cell(Workload::Latency, 64, Access::Copy), cell(Workload::Throughput, 4096, Access::Copy)]
            .into_iter()
            .chain(in_place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Thread;
    use std::collections::BTreeSet;

    fn cells(plan: Plan, threads: usize) -> (Vec<Cell>, Vec<String>) {
        let threads: Vec<Thread> = (0..threads).map(|cpu| Thread { cpu, core: cpu, socket: 0 }).collect();
        let mut notes = Vec::new();
        (plan.cells(&Topology::of(&threads), &mut notes), notes)
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
        for mechanism in &MECHANISMS {
            for workload in Workload::TIMED {
                let has = |cell: &Cell| cell.mechanism == mechanism.spec.name && cell.workload == workload;
                assert!(cells.iter().any(has), "{workload}/{}", mechanism.spec.name);
            }
        }
    }

    /// `ipc-bench gate --help` and `docs/gate.md` say so.
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
        for (_, name) in CONTROLS {
            assert_eq!(known(name).placement, Placement::SameCore);
        }
    }
}
