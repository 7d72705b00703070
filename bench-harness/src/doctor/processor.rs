//! The placements: which are possible here, why the others are not, and how far apart their threads are.

use super::{Finding, Group, Trials, Verdict};
use bench_lab::{
    probe::NEAR_NS,
    sysfs,
    topology::{self, Topology},
};
use bench_record::cell::Placement;
use bench_report::units::Quantity;

/// The processors of this process, and one finding per placement.
pub(super) fn placements(trials: &Trials, here: &Topology) -> Vec<Finding> {
    let machine = Topology::of_machine();
    let mut findings = vec![allowed()];
    findings.extend(Placement::ALL.iter().map(|&placement| {
        match trials.placement(placement) {
            Some(Ok(sample)) => {
                let probe = sample.probe_ns[0].map(|ns| {
                    let distance = if ns < NEAR_NS { "near" } else { "far" };
                    format!("a bare cache line goes there and back in {} ({distance})", Quantity::Time.format(ns))
                });
                Finding::new(Group::Placements, placement.name(), Ok(place(here, placement))).used(probe)
            }
            Some(Err(failure)) => Finding::new(Group::Placements, placement.name(), Ok(place(here, placement)))
                .effect(format!("a pair does not run there: {failure}"))
                .fails(failure.to_string()),
            None => absent(placement, &machine, here),
        }
    }));
    findings
}

fn place(topology: &Topology, placement: Placement) -> String {
    match topology.cpus(placement).flatten() {
        Some([a, b]) if a == b => format!("CPU {a}"),
        Some([a, b]) => format!("CPUs {a} and {b}"),
        None => "wherever the scheduler puts them".into(),
    }
}

/// The finding for a placement that is not possible here. It is a note in two cases: the machine has the placement but
/// this process may not use it, or there is no second core.
fn absent(placement: Placement, machine: &Topology, here: &Topology) -> Finding {
    let finding = |why: &str| Finding::new(Group::Placements, placement.name(), Ok(format!("not here: {why}")));
    if machine.cpus(placement).is_some() {
        return finding(&format!("the machine has it ({}), this process may not use it", place(machine, placement)))
            .is(Verdict::Note)
            .effect("left out of the plan")
            .advice(WIDEN);
    }
    let why = match placement {
        Placement::Smt => "no core of this machine has two hardware threads",
        Placement::CrossCore => "no socket of this machine has two cores",
        Placement::CrossSocket => "this machine has one socket",
        Placement::SameCore | Placement::Unpinned => "no processor is allowed",
    };
    // If another placement has two threads, it takes the place of this one.
    let is_alone = placement == Placement::CrossCore && here.placements().count() <= 2;
    finding(why).note_if(is_alone).effect("left out of the plan")
}

const WIDEN: &str = "widen the affinity: taskset -c, or the container's cpuset (docker run --cpuset-cpus)";

fn allowed() -> Finding {
    let online = sysfs::online().len();
    let count = topology::allowed().map_or(0, |threads| threads.len());
    let list = sysfs::read("/proc/self/status").and_then(|status| {
        let missing = || "/proc/self/status: no line Cpus_allowed_list".to_owned();
        sysfs::value_of(&status, "Cpus_allowed_list").ok_or_else(missing)
    });
    let finding = Finding::new(Group::Placements, "processors", list);
    let finding = finding.used(format!("{count} of {online} that are online"));
    if count >= online {
        return finding;
    }
    finding.is(Verdict::Note).effect("pairs run on these only; what else runs has the same").advice(WIDEN)
}
