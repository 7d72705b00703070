//! Whether the kernel killed a child for want of memory: it counts such kills, by control group and in all.

use crate::{doctor::memory_group, host};
use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A counter of kills.
struct Counter {
    /// A file of lines that each are a name and a number.
    file: PathBuf,
    seen: AtomicU64,
    /// What a kill means.
    why: String,
}

impl Counter {
    fn new(file: PathBuf, why: String) -> Option<Self> {
        let seen = AtomicU64::new(kills(&host::read(&file).ok()?)?);
        Some(Self { file, seen, why })
    }

    /// Whether it has grown since the last look.
    fn has_grown(&self) -> bool {
        let now = host::read(&self.file).ok().and_then(|text| kills(&text));
        now.is_some_and(|now| self.seen.swap(now, Ordering::Relaxed) < now)
    }
}

static COUNTERS: OnceLock<Vec<Counter>> = OnceLock::new();

fn counters() -> &'static [Counter] {
    COUNTERS.get_or_init(|| {
        let group = memory_group().and_then(|group| {
            let file = group.folder.join(if group.version == 2 { "memory.events" } else { "memory.oom_control" });
            let limit = group.limit.map_or("its memory limit".to_owned(), |(bytes, folder)| {
                format!("the limit of {bytes} bytes of {}", folder.display())
            });
            Counter::new(file, format!("{limit} was reached, and the kernel killed it"))
        });
        let machine =
            Counter::new("/proc/vmstat".into(), "the machine ran out of memory, and the kernel killed it".into());
        group.into_iter().chain(machine).collect()
    })
}

/// Takes down how many kills there were before the first child.
pub(crate) fn watch() {
    counters();
}

/// Why a child that was killed by `SIGKILL` may have been: which memory was used up, if any was since the last look.
pub(crate) fn cause() -> Option<String> {
    // All of them, so that none is held against the next child.
    let grown: Vec<_> = counters().iter().filter(|counter| counter.has_grown()).collect();
    grown.first().map(|counter| counter.why.clone())
}

fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_every_version() {
        assert_eq!(kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0"), Some(2));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7"), Some(7));
        assert_eq!(kills("pgfault 1\noom_kill 0\n"), Some(0));
        assert_eq!(kills("under_oom 0"), None);
    }

    #[test]
    fn a_kill_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        std::fs::write(&file, "oom_kill 4\n").unwrap();
        let counter = Counter::new(file.clone(), String::new()).unwrap();
        assert!(!counter.has_grown());
        std::fs::write(&file, "oom_kill 5\n").unwrap();
        assert!(counter.has_grown());
        assert!(!counter.has_grown());
        assert!(Counter::new(dir.path().join("none"), String::new()).is_none());
    }
}
