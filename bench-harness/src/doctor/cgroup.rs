//! The limits of this process's control groups: processor time, memory, processes (cgroups(7)), for both versions.

use super::{Finding, Group, Trials, Verdict, files, limits::LONGEST_FILE, usage::SEGMENT_BYTES};
use bench_lab::{
    cgroup::{MEMORY_FILES, Place, bound, held, place, tightest},
    lifecycle::MAPPED,
    oom::KILLED,
    sysfs,
};
use nix::errno::Errno;

/// A resource, and its files.
struct Resource {
    controller: &'static str,
    /// The files of limit and use, for version 2 and version 1.
    files: [[&'static str; 2]; 2],
    /// The unit of the limit. `effect` says what the limit does.
    unit: &'static str,
    effect: &'static str,
    /// The amount that a run needs beyond the current use.
    need: fn() -> u64,
    /// The errno of a pair beyond the limit.
    errno: Errno,
    /// The error text of a pair that is killed beyond the limit.
    death: Option<&'static str>,
    advice: &'static str,
}

const RESOURCES: &[Resource] = &[
    Resource {
        controller: "memory",
        files: MEMORY_FILES,
        unit: " bytes",
        effect: "rings and queues count towards it; beyond it the kernel kills a process of the group",
        need: plan_bytes,
        errno: Errno::ENOMEM,
        death: Some(KILLED),
        advice: "give the container more memory (docker run --memory, systemctl set-property UNIT MemoryMax=)",
    },
    Resource {
        controller: "pids",
        files: [["pids.max", "pids.current"]; 2],
        unit: " processes and threads",
        effect: "a run needs five at a time, a build more; beyond it fork fails",
        need: || 5,
        errno: Errno::EAGAIN,
        death: None,
        advice: "raise it (docker run --pids-limit, systemctl set-property UNIT TasksMax=)",
    },
];

/// The number of processors that `cpu.max` grants. The text is "QUOTA PERIOD", where the quota may be `max`.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The findings on control groups. A group that cannot be found is a finding with the reason.
pub(super) fn findings(trials: &Trials) -> Vec<Finding> {
    let files = || Ok((sysfs::read("/proc/self/cgroup")?, sysfs::read("/proc/self/mountinfo")?));
    let files: Result<(String, String), String> = files();
    let place_of = |controller: &str| match &files {
        Ok((cgroup, mountinfo)) => {
            place(cgroup, mountinfo, controller).ok_or_else(|| format!("no control group for {controller} is mounted"))
        }
        Err(why) => Err(why.clone()),
    };
    let mut findings = vec![processor_time(place_of("cpu"))];
    findings.extend(RESOURCES.iter().map(|resource| amount(resource, place_of(resource.controller), trials)));
    findings
}

fn processor_time(place: Result<Place, String>) -> Finding {
    let limit = place.map(|place| {
        tightest(&place, |group| {
            let read = |file: &str| sysfs::read(group.join(file)).ok();
            match place.version {
                2 => quota(&read("cpu.max")?),
                _ => quota(&format!("{} {}", read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)),
            }
        })
    });
    let bound = limit.clone().ok().flatten();
    let value = limit.map(|limit| {
        limit.map_or("no limit".into(), |(cpus, group)| format!("{cpus:.2} processors' time in {}", group.display()))
    });
    let finding = Finding::new(Group::Machine, "cgroup: cpu", value);
    match bound {
        Some((cpus, _)) => finding
            .note_if(cpus < 2.0)
            .effect("a pair that spins needs two; beyond it both are stopped until the next period, which shows in the tail")
            .advice("run without a quota (docker run without --cpus, systemctl set-property UNIT CPUQuota=)"),
        None => finding,
    }
}

fn amount(resource: &Resource, place: Result<Place, String>, trials: &Trials) -> Finding {
    let what = format!("cgroup: {}", resource.controller);
    let place = match place {
        Ok(place) => place,
        Err(why) => return Finding::new(Group::Process, what, Err(why)),
    };
    let [limit, used] = resource.files[2 - place.version];
    // The root group has no limit, and no file for one.
    let Some((most, group)) = tightest(&place, |group| bound(&sysfs::read(group.join(limit)).ok()?)) else {
        return Finding::new(Group::Process, what, Ok("no limit".into()));
    };
    let in_use = sysfs::read(group.join(used)).ok().and_then(|used| used.parse::<u64>().ok());
    let held = if resource.controller == "memory" { held(&group, place.version) } else { in_use };
    let need = (resource.need)();
    let short = held.unwrap_or(0).saturating_add(need) > most;
    let finding = Finding::new(Group::Process, what, Ok(format!("{most}{} in {}", resource.unit, group.display())))
        .used(in_use.map(|used| format!("{used} in use, a run needs {need} more")))
        .effect(resource.effect)
        .advice(resource.advice)
        .note_if(short);
    let failure =
        trials.failing(&[], resource.errno).filter(|_| short).or_else(|| trials.failure_with(resource.death?));
    let finding = finding.spent(failure).blames([], format!("{:?}:", resource.errno));
    let Some(death) = resource.death else { return finding };
    let finding = finding.blames([], death);
    // memory.oom.group (Documentation/admin-guide/cgroup-v2.rst)
    if finding.verdict != Verdict::Problem && sysfs::read(place.group.join("memory.oom.group")).as_deref() == Ok("1") {
        return finding
            .is(Verdict::Note)
            .effect("beyond it the kernel kills the whole group: this program, too, with all that it has measured")
            .advice(format!("echo 0 > {}/memory.oom.group", place.group.display()));
    }
    finding
}

/// Memory in bytes that the default plan needs at once, including the program's own. It is the largest of: a pair over
/// rings of the longest message, the channels of a life cycle, the relay's two files if they are in memory.
fn plan_bytes() -> u64 {
    /// Memory of the program and two children, with figures and charts.
    const OWN: u64 = 32 << 20;
    let files = if files::are_in_memory(&std::env::temp_dir()) { 2 * LONGEST_FILE } else { 0 };
    OWN + [SEGMENT_BYTES, MAPPED, files].into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_processors() {
        assert_eq!(quota("150000 100000"), Some(1.5));
        assert_eq!(quota("max 100000"), None);
        assert_eq!(quota("-1 100000"), None);
        assert_eq!(quota("7"), None);
    }
}
