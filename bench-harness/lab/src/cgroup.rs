//! Finds the control groups of this process, version 1 or 2, and what the memory group allows (cgroups(7)).

use crate::{mounts, sysfs::read};
use std::path::{Path, PathBuf};

/// The files that hold a group's memory limit and memory use, for version 2 and then for version 1.
pub const MEMORY_FILES: [[&str; 2]; 2] =
    [["memory.max", "memory.current"], ["memory.limit_in_bytes", "memory.usage_in_bytes"]];

/// The location of a control group, and its version.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// 1 or 2.
    pub version: usize,
    /// The folder where the hierarchy is mounted.
    pub top: PathBuf,
    /// The folder of the group.
    pub group: PathBuf,
}

/// Finds the group of `controller`. Version 1 is used if it has the controller, otherwise version 2.
pub fn place(cgroup: &str, mountinfo: &str, controller: &str) -> Option<Place> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let lines = || cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let (version, path, mount) = match lines().find(|(controllers, _)| has(controllers)) {
        Some((_, path)) => (1, path, mounts::all(mountinfo).find(|m| m.kind == "cgroup" && has(&m.options))?),
        None => {
            let (_, path) = lines().find(|(controllers, _)| controllers.is_empty())?;
            (2, path, mounts::all(mountinfo).find(|m| m.kind == "cgroup2")?)
        }
    };
    // In a container the mount may start at the group's own folder.
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    Some(Place { version, group: mount.point.join(below), top: mount.point })
}

/// The control group that accounts for this process's memory.
#[derive(Debug)]
pub struct MemoryGroup {
    /// The version of the control groups: 1 or 2.
    pub version: usize,
    /// The group's folder.
    pub folder: PathBuf,
    /// The tightest limit in bytes, and the folder of the group that sets it: this group or one above it.
    pub limit: Option<(u64, PathBuf)>,
}

/// Finds this process's memory group. `None` if that is the root group, which keeps no account.
pub fn memory_group() -> Option<MemoryGroup> {
    let cgroup = read("/proc/self/cgroup").ok()?;
    let place = place(&cgroup, &read("/proc/self/mountinfo").ok()?, "memory")?;
    let counts = match place.version {
        2 => place.group.join("memory.current").exists(),
        _ => cgroup.lines().any(|line| line.contains(":memory:") && !line.ends_with(":memory:/")),
    };
    let limit = tightest(&place, |group| bound(&read(group.join(memory_files(place.version)[0])).ok()?));
    counts.then_some(MemoryGroup { version: place.version, folder: place.group, limit })
}

impl MemoryGroup {
    /// The bytes that the limit still allows, including those that the kernel can reclaim. `None` without a limit.
    pub fn room(&self) -> Option<u64> {
        let (most, group) = self.limit.as_ref()?;
        Some(most.saturating_sub(held(group, self.version)?))
    }
}

/// The names of the limit file and the usage file.
fn memory_files(version: usize) -> [&'static str; 2] {
    MEMORY_FILES[2 - version]
}

/// Bytes charged to `group` that the kernel cannot reclaim.
pub fn held(group: &Path, version: usize) -> Option<u64> {
    let used: u64 = read(group.join(memory_files(version)[1])).ok()?.parse().ok()?;
    // The kernel reclaims file pages before it refuses memory or kills a process.
    Some(used.saturating_sub(cached(group).unwrap_or(0)))
}

/// Bytes of file pages charged to the group that the kernel can reclaim. Reads either version.
fn cached(group: &Path) -> Option<u64> {
    let stat = read(group.join("memory.stat")).ok()?;
    let field = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    let of = |kind: &str| field(&format!("total_{kind}")).or_else(|| field(kind));
    Some(of("inactive_file")? + of("active_file")?)
}

/// The tightest value of a file in the group and in those above it. A group is bound by all of them.
pub fn tightest<T: PartialOrd>(place: &Place, parse: impl Fn(&Path) -> Option<T>) -> Option<(T, PathBuf)> {
    let groups = place.group.ancestors().take_while(|group| group.starts_with(&place.top));
    let values = groups.filter_map(|group| Some((parse(group)?, group.to_owned())));
    values.reduce(|least, next| if next.0 < least.0 { next } else { least })
}

/// Parses a limit. `None` if there is no limit: `max` in version 2, a value of at least 2^62 in version 1.
pub fn bound(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&value| value < 1 << 62)
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
        let least = || tightest(&place, |group| bound(&read(group.join("pids.max")).ok()?));
        assert_eq!(least(), None);
        std::fs::write(group.join("pids.max"), "max\n").unwrap();
        std::fs::write(top.path().join("a/pids.max"), "7\n").unwrap();
        std::fs::write(top.path().join("pids.max"), "9\n").unwrap();
        assert_eq!(least(), Some((7, top.path().join("a"))));
    }
}
