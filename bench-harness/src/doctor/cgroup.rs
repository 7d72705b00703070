//! What the control groups grant this process: processor time, memory, processes (cgroups(7)), of either version.

use super::{Finding, Group, Trials, Verdict, files, limits::LONGEST_FILE, mounts, usage::SEGMENT_BYTES};
use crate::{host, lifecycle::MAPPED, oom::KILLED};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// One resource, and the files that speak of it.
struct Resource {
    controller: &'static str,
    /// Limit and use, version 2 and version 1.
    files: [[&'static str; 2]; 2],
    /// What the limit is followed by, and what it does.
    unit: &'static str,
    effect: &'static str,
    /// What a run needs beside what is in use.
    need: fn() -> u64,
    /// How a pair fails beyond it.
    errno: Errno,
    /// What a pair says that is killed beyond it.
    death: Option<&'static str>,
    advice: &'static str,
}

const RESOURCES: &[Resource] = &[
    Resource {
        controller: "memory",
        files: [["memory.max", "memory.current"], ["memory.limit_in_bytes", "memory.usage_in_bytes"]],
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

/// Where a control group is, and its version.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    version: usize,
    /// The folder of the hierarchy as mounted here, and of the group under it.
    top: PathBuf,
    group: PathBuf,
}

/// Finds the group of `controller`: version 1 where that has the controller, else version 2.
fn place(cgroup: &str, mountinfo: &str, controller: &str) -> Option<Place> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let lines = || cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let (version, path, mount) = match lines().find(|(controllers, _)| has(controllers)) {
        Some((_, path)) => (1, path, mounts::all(mountinfo).find(|m| m.kind == "cgroup" && has(&m.options))?),
        None => {
            let (_, path) = lines().find(|(controllers, _)| controllers.is_empty())?;
            (2, path, mounts::all(mountinfo).find(|m| m.kind == "cgroup2")?)
        }
    };
    // In a container the folder of the group itself may be what is mounted.
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    Some(Place { version, group: mount.point.join(below), top: mount.point })
}

/// The control group that keeps the account of this process's memory.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    /// Its version.
    pub version: usize,
    /// Its folder.
    pub folder: PathBuf,
    /// The limit that binds most, in bytes, and whose it is: the group's or one above it.
    pub limit: Option<(u64, PathBuf)>,
}

/// This process's group for memory; `None` where it is the root group, which keeps no account.
pub(crate) fn memory_group() -> Option<MemoryGroup> {
    let cgroup = host::read("/proc/self/cgroup").ok()?;
    let place = place(&cgroup, &host::read("/proc/self/mountinfo").ok()?, "memory")?;
    let counts = match place.version {
        2 => place.group.join("memory.current").exists(),
        _ => cgroup.lines().any(|line| line.contains(":memory:") && !line.ends_with(":memory:/")),
    };
    let limit = tightest(&place, |group| bound(&host::read(group.join(memory_files(place.version)[0])).ok()?));
    counts.then_some(MemoryGroup { version: place.version, folder: place.group, limit })
}

/// The files of limit and use.
fn memory_files(version: usize) -> [&'static str; 2] {
    RESOURCES[0].files[2 - version]
}

impl MemoryGroup {
    /// Bytes that its limit leaves, with those that the kernel can give up; `None` without a limit.
    pub fn room(&self) -> Option<u64> {
        let (most, group) = self.limit.as_ref()?;
        Some(most.saturating_sub(held(group, self.version)?))
    }
}

/// Bytes that the account of `group` holds and the kernel cannot give up.
fn held(group: &Path, version: usize) -> Option<u64> {
    let used: u64 = host::read(group.join(memory_files(version)[1])).ok()?.parse().ok()?;
    // Pages of files are given up before anything is refused or killed.
    Some(used.saturating_sub(cached(group).unwrap_or(0)))
}

/// The value of the file `name` that binds most, of the group and those above it: a group is bound by all of them.
fn tightest<T: PartialOrd>(place: &Place, parse: impl Fn(&Path) -> Option<T>) -> Option<(T, PathBuf)> {
    let groups = place.group.ancestors().take_while(|group| group.starts_with(&place.top));
    let values = groups.filter_map(|group| Some((parse(group)?, group.to_owned())));
    values.reduce(|least, next| if next.0 < least.0 { next } else { least })
}

/// A limit in a file, if it is one: neither `max` nor version 1's "as much as there can be".
fn bound(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&value| value < 1 << 62)
}

/// Processors' worth of time, of `cpu.max` ("QUOTA PERIOD", where the quota may be `max`).
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// What the groups grant; a group that cannot be found is a finding with the reason.
pub(super) fn findings(trials: &Trials) -> Vec<Finding> {
    let files = || Ok((host::read("/proc/self/cgroup")?, host::read("/proc/self/mountinfo")?));
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
            let read = |file: &str| host::read(group.join(file)).ok();
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
    let Some((most, group)) = tightest(&place, |group| bound(&host::read(group.join(limit)).ok()?)) else {
        return Finding::new(Group::Process, what, Ok("no limit".into()));
    };
    let in_use = host::read(group.join(used)).ok().and_then(|used| used.parse::<u64>().ok());
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
    if finding.verdict != Verdict::Problem && host::read(place.group.join("memory.oom.group")).as_deref() == Ok("1") {
        return finding
            .is(Verdict::Note)
            .effect("beyond it the kernel kills the whole group: this program, too, with all that it has measured")
            .advice(format!("echo 0 > {}/memory.oom.group", place.group.display()));
    }
    finding
}

/// Bytes of files that the group's account holds and the kernel can give up, of either version.
fn cached(group: &Path) -> Option<u64> {
    let stat = host::read(group.join("memory.stat")).ok()?;
    let field = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    let of = |kind: &str| field(&format!("total_{kind}")).or_else(|| field(kind));
    Some(of("inactive_file")? + of("active_file")?)
}

/// Memory that the default plan needs at once, in bytes: the largest of a pair over rings of the longest message, the channels of a life
/// cycle and the relay's two files, where these lie in memory; and what the program holds itself.
fn plan_bytes() -> u64 {
    /// Of the program and two children, figures and charts included.
    const OWN: u64 = 32 << 20;
    let files = if files::are_in_memory(&std::env::temp_dir()) { 2 * LONGEST_FILE } else { 0 };
    OWN + [SEGMENT_BYTES, MAPPED, files].into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "9:name=systemd:/\n4:memory:/job/7\n2:cpu,cpuacct:/\n0::/\n";
    const V1_MOUNTS: &str = "\
30 1 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 1 0:2 /job /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn groups_are_found_in_both_versions() {
        let place = |cgroup, controller| place(cgroup, V1_MOUNTS, controller).map(|p| (p.version, p.group));
        assert_eq!(place(V1, "cpu"), Some((1, "/sys/fs/cgroup/cpu,cpuacct".into())));
        assert_eq!(place(V1, "memory"), Some((1, "/sys/fs/cgroup/memory/7".into())));
        assert_eq!(place(V1, "pids"), Some((2, "/sys/fs/cgroup/unified".into())));
        assert_eq!(
            place("0::/user.slice/a.scope\n", "cpu"),
            Some((2, "/sys/fs/cgroup/unified/user.slice/a.scope".into()))
        );
        assert_eq!(place("", "cpu"), None);
    }

    #[test]
    fn quotas_are_processors() {
        assert_eq!(quota("150000 100000"), Some(1.5));
        assert_eq!(quota("max 100000"), None);
        assert_eq!(quota("-1 100000"), None);
        assert_eq!(quota("7"), None);
    }

    #[test]
    fn no_limit_has_two_spellings() {
        assert_eq!(bound("1048576"), Some(1 << 20));
        assert_eq!(bound("max"), None);
        assert_eq!(bound("9223372036854771712"), None);
    }

    #[test]
    fn what_files_hold_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let room = |version, files: [(&str, &str); 2], stat: &str| {
            for (name, text) in files.into_iter().chain([("memory.stat", stat)]) {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let limit = Some((1000, folder.path().to_owned()));
            MemoryGroup { version, folder: folder.path().to_owned(), limit }.room()
        };
        let v2 = [("memory.max", "1000"), ("memory.current", "700")];
        assert_eq!(room(2, v2, "anon 100\nfile 600\ninactive_file 400\nactive_file 100\n"), Some(800));
        let v1 = [("memory.limit_in_bytes", "1000"), ("memory.usage_in_bytes", "900")];
        let of_group_and_below = "inactive_file 1\nactive_file 1\ntotal_inactive_file 200\ntotal_active_file 50\n";
        assert_eq!(room(1, v1, of_group_and_below), Some(350));
        let none = MemoryGroup { version: 2, folder: folder.path().to_owned(), limit: None };
        assert_eq!(none.room(), None);
    }

    #[test]
    fn the_group_that_binds_most_counts() {
        let top = tempfile::tempdir().unwrap();
        let group = top.path().join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        let place = Place { version: 2, top: top.path().to_owned(), group: group.clone() };
        let least = || tightest(&place, |group| bound(&host::read(group.join("pids.max")).ok()?));
        assert_eq!(least(), None);
        std::fs::write(group.join("pids.max"), "max\n").unwrap();
        std::fs::write(top.path().join("a/pids.max"), "7\n").unwrap();
        std::fs::write(top.path().join("pids.max"), "9\n").unwrap();
        assert_eq!(least(), Some((7, top.path().join("a"))));
    }
}
