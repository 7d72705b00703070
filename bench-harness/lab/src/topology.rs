//! Lists the hardware threads of the machine, and picks the two threads of each placement.

use crate::sysfs;
use bench_record::cell::Placement;
use ipc_core::{Error, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};
use std::collections::BTreeMap;

/// A hardware thread: its number, its core and its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The thread's number, as sched_setaffinity(2) takes it.
    pub cpu: usize,
    /// The core's number, unique within its socket (`topology/core_id`).
    pub core: usize,
    /// The socket's number (`topology/physical_package_id`).
    pub socket: usize,
}

/// The two hardware threads of a pair. `None` leaves the choice to the scheduler.
pub type Cpus = Option<[usize; 2]>;

/// The placements that this process can use, each with its hardware threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(BTreeMap<Placement, Cpus>);

impl Topology {
    /// The topology of the threads that this process may run on. Avoids thread 0 if possible, because it serves most
    /// interrupts.
    ///
    /// # Errors [`Error::Os`] of `sched_getaffinity`.
    pub fn here() -> Result<Self> {
        Ok(Self::of(&allowed()?))
    }

    /// The topology of all online threads of the machine, even those that this process may not use.
    pub fn of_machine() -> Self {
        Self::of(&sysfs::online().into_iter().map(|cpu| locate(cpu as usize)).collect::<Vec<_>>())
    }

    /// The topology of two given threads. Placements on one thread use the first.
    ///
    /// # Errors [`Error::Unsupported`] if one of them does not exist or is not allowed to this process.
    pub fn of_two(cpus: [usize; 2]) -> Result<Self> {
        let allowed = allowed()?;
        let find = |cpu| {
            allowed.iter().find(|thread| thread.cpu == cpu).copied().ok_or_else(|| {
                let here: Vec<_> = allowed.iter().map(|thread| thread.cpu.to_string()).collect();
                Error::Unsupported { what: "--cpus", why: format!("no CPU {cpu} here; allowed: {}", here.join(",")) }
            })
        };
        let [base, other] = [find(cpus[0])?, find(cpus[1])?];
        Ok(Self::around(&base, &[other]))
    }

    /// The topology of `threads`.
    pub fn of(threads: &[Thread]) -> Self {
        let base = threads.iter().find(|thread| thread.cpu != 0).or(threads.first());
        base.map_or_else(Self::default, |base| Self::around(base, threads))
    }

    /// The placements that `base` makes with `others`.
    fn around(base: &Thread, others: &[Thread]) -> Self {
        let partner = |fits: fn(&Thread, &Thread) -> bool| {
            let mut fitting = others.iter().filter(|other| other.cpu != base.cpu && fits(base, other));
            let first = fitting.next()?;
            let second = if first.cpu == 0 { fitting.next() } else { None };
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

    /// The placements that exist here.
    pub fn placements(&self) -> impl Iterator<Item = Placement> {
        self.0.keys().copied()
    }

    /// The threads of `placement`. `None` if this machine does not have the placement.
    pub fn cpus(&self, placement: Placement) -> Option<Cpus> {
        self.0.get(&placement).copied()
    }
}

/// The threads that this process may run on, from sched_getaffinity(2).
///
/// # Errors
/// [`Error::Os`] of `sched_getaffinity`.
pub fn allowed() -> Result<Vec<Thread>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|e| Error::os("sched_getaffinity", e))?;
    Ok((0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true)).map(locate).collect())
}

/// The core and socket of thread `cpu`, from `/sys/devices/system/cpu`. Without a topology the thread is a core of its own.
fn locate(cpu: usize) -> Thread {
    let read = |file| {
        sysfs::read(format!("/sys/devices/system/cpu/cpu{cpu}/topology/{file}")).ok().and_then(|text| text.parse().ok())
    };
    Thread { cpu, core: read("core_id").unwrap_or(cpu), socket: read("physical_package_id").unwrap_or(0) }
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
    fn two_chosen_threads_are_what_they_are() {
        let topology = Topology::around(&thread(4, 0, 0), &[thread(0, 0, 0)]);
        assert_eq!(topology.cpus(Placement::Smt), Some(Some([4, 0])));
        assert_eq!(topology.cpus(Placement::CrossCore), None);
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
