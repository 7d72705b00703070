//! A control group of a test's own.

use super::words;
use ipc_conformance::Verdict;
use ipc_core::process;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// An empty group below this process's, which goes with the value.
pub struct Group {
    folder: PathBuf,
    /// Of the hierarchy.
    pub version: u8,
}

impl Group {
    /// Makes one for `controller`; an error where that is not permitted.
    pub fn new(controller: &str) -> Result<Self, String> {
        let (version, parent) = place(controller)?;
        let folder = parent.join(format!("ipc-bench-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Self { folder, version };
        // Version 2 has the files of a controller only where the group above hands it on.
        let limit =
            format!("{controller}.{}", if version == 1 && controller == "memory" { "limit_in_bytes" } else { "max" });
        if group.folder.join(&limit).exists() {
            Ok(group)
        } else {
            Err(format!("{} has no {limit}", group.folder.display()))
        }
    }

    pub fn set(&self, file: &str, value: u64) -> Verdict {
        fs::write(self.folder.join(file), value.to_string()).map_err(|error| format!("{file}: {error}"))
    }

    /// Runs `test` in a process of the group.
    pub fn run(&self, test: impl FnOnce() -> Verdict) -> Verdict {
        process::with_watchdog(Duration::from_secs(50), || {
            fs::write(self.folder.join("cgroup.procs"), std::process::id().to_string()).map_err(words)?;
            // As a program that nobody has started as a child of a test.
            fs::write("/proc/self/oom_score_adj", "0").map_err(words)?;
            test()
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The version and folder of this process's group.
fn place(controller: &str) -> Result<(u8, PathBuf), String> {
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(words)?;
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(words)?;
    let fields = |line: &'static str| line.split(':').collect::<Vec<_>>();
    let groups: Vec<Vec<&str>> = groups.leak().lines().map(fields).collect();
    let mounted = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, found, options) = (words.next()?, words.next()?, words.next()?);
            (found == kind && (option.is_empty() || options.split(',').any(|word| word == option)))
                .then(|| point.to_owned())
        })
    };
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let (version, path, point) = match groups.iter().find(|group| has(group[1])) {
        Some(group) => (1, group[2], mounted("cgroup", controller)),
        None => (2, groups.iter().find(|group| group[1].is_empty()).ok_or("no group")?[2], mounted("cgroup2", "")),
    };
    let point = point.ok_or_else(|| format!("no hierarchy for {controller} is mounted"))?;
    Ok((version, Path::new(&point).join(path.trim_start_matches('/'))))
}
