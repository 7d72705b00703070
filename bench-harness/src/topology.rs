//! Which hardware threads there are, and which two of them make a placement.

use crate::cell::Placement;
use ipc_core::{Error, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};
use std::{collections::BTreeMap, fs};

/// A hardware thread: its number, its core and its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The number that sched_setaffinity(2) takes.
    pub cpu: usize,
    /// The core, unique within its socket (`topology/core_id`).
    pub core: usize,
    /// The socket (`topology/physical_package_id`).
    pub socket: usize,
}

/// The two hardware threads of a pair; `None` where the scheduler chooses.
pub type Cpus = Option<[usize; 2]>;

/// The placements this process can use, each with the threads that realise it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(BTreeMap<Placement, Cpus>);

impl Topology {
    /// Reads the threads that this process may run on from `/sys/devices/system/cpu` and sched_getaffinity(2).
    ///
    /// # Errors
    /// [`Error::Os`] of `sched_getaffinity`.
    pub fn here() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|e| Error::os("sched_getaffinity", e))?;
        let threads = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true)).map(|cpu| {
            let read = |file| {
                let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/{file}");
                fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok())
            };
            // Without a topology every thread counts as a core of its own.
            Thread { cpu, core: read("core_id").unwrap_or(cpu), socket: read("physical_package_id").unwrap_or(0) }
        });
        Ok(Self::of(&threads.collect::<Vec<_>>()))
    }

    /// The placements that `threads` allow. Thread 0 is avoided where there is a choice: it serves most interrupts.
    pub fn of(threads: &[Thread]) -> Self {
        let Some(base) = threads.iter().find(|t| t.cpu != 0).or(threads.first()) else { return Self::default() };
        let partner = |fits: fn(&Thread, &Thread) -> bool| {
            let mut others = threads.iter().filter(|t| t.cpu != base.cpu && fits(base, t));
            let first = others.next()?;
            let second = if first.cpu == 0 { others.next() } else { None };
            Some(Some([base.cpu, second.unwrap_or(first).cpu]))
        };
        let found = [
            (Placement::SameCore, Some(Some([base.cpu, base.cpu]))),
            (Placement::Smt, partner(|a, b| a.socket == b.socket && a.core == b.core)),
            (Placement::CrossCore, partner(|a, b| a.socket == b.socket && a.core != b.core)),
            (Placement::CrossSocket, partner(|a, b| a.socket != b.socket)),
            (Placement::Unpinned, Some(None)),
        ];
        Self(found.into_iter().filter_map(|(placement, cpus)| Some((placement, cpus?))).collect())
    }

    /// Uses `cpus` wherever two different threads are wanted, and the first of them where one is.
    pub fn with_cpus(mut self, cpus: [usize; 2]) -> Self {
        for (placement, chosen) in &mut self.0 {
            *chosen = match placement {
                Placement::SameCore => Some([cpus[0]; 2]),
                Placement::Unpinned => None,
                _ => Some(cpus),
            };
        }
        self
    }

    /// The placements there are.
    pub fn placements(&self) -> impl Iterator<Item = Placement> {
        self.0.keys().copied()
    }

    /// The threads of `placement`, if this machine has it.
    pub fn cpus(&self, placement: Placement) -> Option<Cpus> {
        self.0.get(&placement).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(cpu: usize, core: usize, socket: usize) -> Thread {
        Thread { cpu, core, socket }
    }

    #[test]
    fn one_thread_has_no_second_core() {
        let topology = Topology::of(&[thread(0, 0, 0)]);
        assert_eq!(topology.placements().collect::<Vec<_>>(), [Placement::SameCore, Placement::Unpinned]);
        assert_eq!(topology.cpus(Placement::SameCore), Some(Some([0, 0])));
    }

    #[test]
    fn two_cores() {
        let topology = Topology::of(&[thread(0, 0, 0), thread(1, 1, 0)]);
        assert_eq!(topology.cpus(Placement::SameCore), Some(Some([1, 1])));
        assert_eq!(topology.cpus(Placement::CrossCore), Some(Some([1, 0])));
        assert_eq!(topology.cpus(Placement::Smt), None);
    }

    #[test]
    fn two_sockets_with_two_threads_a_core() {
        let threads: Vec<_> = (0..8).map(|cpu| thread(cpu, cpu % 2, cpu % 4 / 2)).collect();
        let topology = Topology::of(&threads);
        assert_eq!(topology.cpus(Placement::Smt), Some(Some([1, 5])));
        assert_eq!(topology.cpus(Placement::CrossCore), Some(Some([1, 4])), "thread 0 is avoided");
        assert_eq!(topology.cpus(Placement::CrossSocket), Some(Some([1, 2])));
    }
}
