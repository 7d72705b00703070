//! Facts that distort figures: frequency, SMT, clock, hypervisor, mitigations and other load.

use super::{Finding, Group, Trials, Verdict, sandbox::version};
use bench_lab::{clock, sysfs};
use bench_record::host::Host;
use bench_report::units::Quantity;
use ipc_core::process::{Policy, Schedule};

/// One finding per fact.
pub(super) fn findings(host: &Host, trials: &Trials) -> Vec<Finding> {
    let processors = host.cpu.threads.unwrap_or(1);
    vec![
        kernel(host),
        governor(host),
        boost(host),
        smt(host),
        clock_source(host),
        hypervisor(host),
        mitigations(host),
        load(processors),
        scheduling(Schedule::current(), trials),
    ]
}

fn fact(what: &str, value: Result<String, String>) -> Finding {
    Finding::new(Group::Machine, what, value)
}

/// A fact of the host. If it is unknown, the error for `file`.
fn known(fact: &Option<String>, file: &str) -> Result<String, String> {
    fact.clone().ok_or_else(|| sysfs::read(file).err().unwrap_or_else(|| format!("{file} is empty")))
}

/// The first kernel version with everything that a run needs: pidfd_open(2), with which the supervisor waits for
/// children.
pub const LEAST_KERNEL: (u32, u32) = (5, 3);
/// The first kernel version that has close_range(2) with `CLOSE_RANGE_UNSHARE`. With it, the threads that watch for a
/// peer's death do not affect figures.
const NEWER_KERNEL: (u32, u32) = (5, 9);

fn kernel(host: &Host) -> Finding {
    let release = known(&host.kernel.release, "/proc/sys/kernel/osrelease");
    let finding = fact("kernel", release.map(|release| format!("Linux {release}")));
    let Some(version) = host.kernel.release.as_deref().and_then(version) else { return finding };
    let advice =
        |(major, minor)| format!("Linux {major}.{minor} or later, unless this one was given the call later on");
    if version < LEAST_KERNEL {
        return finding
            .is(Verdict::Note)
            .effect("it lacks pidfd_open, without which nothing runs")
            .advice(advice(LEAST_KERNEL));
    }
    finding
        .note_if(version < NEWER_KERNEL)
        .effect("it lacks close_range: queues and datagrams are up to 3 % slower than they need be")
        .advice(advice(NEWER_KERNEL))
}

fn governor(host: &Host) -> Finding {
    let note = host.cpu.governor_note.clone().unwrap_or_default();
    let finding = fact("frequency governor", host.cpu.governor.clone().ok_or(note));
    match host.cpu.governor.as_deref() {
        Some("performance") => finding,
        Some(_) => finding
            .is(Verdict::Note)
            .effect("the frequency follows the load: short pairs start slow, and cells differ by what ran before")
            .advice("cpupower frequency-set -g performance (more heat and power; until the next boot)"),
        None => finding.effect("who else sets the frequency, a hypervisor for one, does not tell"),
    }
}

fn boost(host: &Host) -> Finding {
    let no_switch = || "neither intel_pstate/no_turbo nor cpufreq/boost is there".to_owned();
    let value = host.cpu.boost.map(|on| if on { "on" } else { "off" }.to_owned()).ok_or_else(no_switch);
    let finding = fact("turbo", value);
    match host.cpu.boost {
        Some(true) => finding
            .is(Verdict::Note)
            .effect("the frequency depends on temperature and on how many cores are busy")
            .advice(
                "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > /sys/devices/system/cpu/cpufreq/boost \
                 (everything gets slower; until the next boot)",
            ),
        _ => finding,
    }
}

fn smt(host: &Host) -> Finding {
    let finding = fact("SMT", known(&host.cpu.smt, "/sys/devices/system/cpu/smt/control"));
    if host.cpu.smt.as_deref() != Some("on") {
        return finding;
    }
    finding
        .effect("the other thread of a core shares its caches and units: work there slows a pair")
        .advice("keep other work away; echo off > /sys/devices/system/cpu/smt/control halves the threads, and takes smt cells away")
}

fn clock_source(host: &Host) -> Finding {
    const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
    let (reading, call) = (clock::read_cost_ns(), clock::null_syscall_ns());
    let [reading_text, call_text] = [reading, call].map(|ns| Quantity::Time.format(ns));
    let finding = fact("clock source", known(&host.kernel.clock_source, &format!("{FOLDER}/current_clocksource")))
        .used(format!("a reading takes {reading_text}, a system call that does nothing {call_text}"));
    // A clock reading through the vDSO makes no system call (vdso(7)).
    if reading < call {
        return finding;
    }
    let others = sysfs::read(format!("{FOLDER}/available_clocksource")).unwrap_or_else(|why| why);
    finding
        .is(Verdict::Note)
        .effect("a reading is a system call: stamped round trips contain it, and more cells are clock-bound")
        .advice(format!(
            "echo tsc > {FOLDER}/current_clocksource where it is there (here: {others}); the kernel that chose another may \
             have found the counters of the processors apart"
        ))
}

fn hypervisor(host: &Host) -> Finding {
    let name = || host.virtualisation.hypervisor.clone().unwrap_or_else(|| "yes, by an unnamed one".into());
    let untold = || "the processor's flags do not tell".to_owned();
    let value = host.virtualisation.virtual_machine.map(|vm| if vm { name() } else { "no".into() });
    let finding = fact("hypervisor", value.ok_or_else(untold));
    if host.virtualisation.virtual_machine != Some(true) {
        return finding;
    }
    finding
        .is(Verdict::Note)
        .effect("it moves the virtual processors: two can be near in one second and far in the next; waking one costs an interrupt")
        .advice("a machine of its own, or virtual processors that are pinned to cores; else compare within one run only")
}

fn mitigations(host: &Host) -> Finding {
    let vulnerabilities = &host.kernel.vulnerabilities;
    let finding = fact(
        "mitigations",
        known(&host.kernel.mitigations, "/proc/cmdline").map(|value| format!("mitigations={value}")),
    );
    if vulnerabilities.is_empty() {
        return finding;
    }
    let count = |start: &str| vulnerabilities.values().filter(|text| text.starts_with(start)).count();
    let (mitigated, vulnerable) = (count("Mitigation"), count("Vulnerable"));
    finding
        .used(format!("{mitigated} mitigated, {vulnerable} vulnerable, of {} known", vulnerabilities.len()))
        .effect("each makes system calls and context switches dearer: compare machines only with the same")
        .advice("leave them; mitigations=off on the kernel's command line opens the machine to other users' programs")
}

fn load(processors: u32) -> Finding {
    let read = sysfs::read("/proc/loadavg");
    let average = read.as_ref().ok().and_then(|text| text.split(' ').next()?.parse().ok());
    let value = read.map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let finding = fact("load average", value).used(format!("{processors} processors"));
    match average {
        Some(load) if is_busy(load, processors) => finding
            .is(Verdict::Note)
            .effect("other processes want the processors that pairs run on: expect preempted and unsteady")
            .advice("wait, or stop what runs: top"),
        _ => finding,
    }
}

/// The error text of `process::fork` under a policy that children cannot have.
const CHILDLESS: &str = "a process of SCHED_DEADLINE";
/// The error text of a pair that got no processor time.
const STARVED: &str = "no result within";

/// The scheduling policy of this program. The parent process may have set it.
fn scheduling(own: Schedule, trials: &Trials) -> Finding {
    let finding = fact("scheduling", Ok(own.to_string()));
    if own == Schedule::ORDINARY {
        return finding;
    }
    if let Some(failure) = trials.failure_with(CHILDLESS) {
        return finding
            .is(Verdict::Problem)
            .effect(format!("no pair can be forked: {failure}"))
            .blames([], CHILDLESS)
            .advice("start it without chrt, or with chrt -R");
    }
    let finding = finding.is(Verdict::Note);
    if own.policy.is_real_time() {
        return finding
            .effect(format!(
                "pairs run under {}, so that this program can end those that hang; rows are flagged real-time",
                own.of_children()
            ))
            .advice("start it without chrt");
    }
    let finding = finding
        .advice("start it without nice and chrt (below what it is started from only root can make a nice value)");
    let gives_way = own.policy == Policy::IDLE || own.nice > 0;
    match trials.failure_with(STARVED).filter(|_| gives_way) {
        Some(failure) => finding
            .is(Verdict::Problem)
            .effect(format!("other processes leave a pair no processor time: {failure}"))
            .blames([], STARVED),
        None => finding
            .effect("pairs are treated likewise: other processes are favoured, or these are; rows are flagged niced"),
    }
}

/// Whether fewer than two processors were free on average in the last minute. A little load is tolerated.
fn is_busy(load: f64, processors: u32) -> bool {
    load > f64::from(processors.saturating_sub(2)) + 0.5
}

#[cfg(test)]
mod tests {
    use super::{super::causes::attribute, *};
    use crate::STANDARD;
    use bench_lab::worker::PairError;
    use std::time::Duration;

    #[test]
    fn pairs_that_get_no_time_are_symptoms_of_a_policy_that_gives_way() {
        let idle = Schedule { policy: Policy::IDLE, ..Schedule::ORDINARY };
        let starved = Trials::all_fail(&STANDARD, &PairError::Hung(Duration::from_secs(10)));
        let verdicts = |own| {
            let mut findings = starved.findings();
            findings.push(scheduling(own, &starved));
            attribute(&mut findings);
            let scheduling = findings.pop().map(|finding| finding.verdict);
            (findings.iter().map(|finding| finding.verdict).max(), scheduling)
        };
        assert_eq!(verdicts(idle), (Some(Verdict::Symptom), Some(Verdict::Problem)));
        assert_eq!(verdicts(Schedule::ORDINARY), (Some(Verdict::Problem), Some(Verdict::Ok)));
        assert_eq!(scheduling(idle, &Trials::none(&STANDARD)).verdict, Verdict::Note);
    }

    #[test]
    fn the_least_kernel_is_noted_and_in_the_readme() {
        let verdict = |release: &str| {
            let mut host = Host::default();
            host.kernel.release = Some(release.into());
            kernel(&host).verdict
        };
        assert_eq!(
            ["5.2.21", "5.4.0-200-generic", "5.9.0", "6.18.44"].map(verdict),
            [Verdict::Note, Verdict::Note, Verdict::Ok, Verdict::Ok]
        );
        let (major, minor) = LEAST_KERNEL;
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&format!("Linux {major}.{minor} or later")));
    }

    #[test]
    fn a_pair_needs_two_processors() {
        assert!(!is_busy(0.3, 1) && !is_busy(0.3, 2) && !is_busy(6.0, 8));
        assert!(is_busy(0.8, 1) && is_busy(1.0, 2) && is_busy(7.0, 8));
    }
}
