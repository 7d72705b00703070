//! Tells whether the kernel killed a child for lack of memory. The kernel counts such kills for each control group and in
//! total.

use crate::{
    cgroup::{MemoryGroup, memory_group},
    sysfs,
};
use ipc_core::Error;
use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The text that every [`cause`] contains.
pub const KILLED: &str = "the kernel killed it";

/// A counter of kills.
struct Counter {
    /// A file of lines that each hold a name and a number.
    file: PathBuf,
    seen: AtomicU64,
    /// The cause that a kill by this counter means.
    why: String,
}

impl Counter {
    fn new(file: PathBuf, why: String) -> Option<Self> {
        let seen = AtomicU64::new(kills(&sysfs::read(&file).ok()?)?);
        Some(Self { file, seen, why })
    }

    /// Whether the counter has grown since the last look.
    fn has_grown(&self) -> bool {
        let now = sysfs::read(&self.file).ok().and_then(|text| kills(&text));
        now.is_some_and(|now| self.seen.swap(now, Ordering::Relaxed) < now)
    }
}

static GROUP: OnceLock<Option<MemoryGroup>> = OnceLock::new();
static COUNTERS: OnceLock<Vec<Counter>> = OnceLock::new();

fn group() -> Option<&'static MemoryGroup> {
    GROUP.get_or_init(memory_group).as_ref()
}

fn counters() -> &'static [Counter] {
    COUNTERS.get_or_init(|| {
        let group = group().and_then(|group| {
            let file = group.folder.join(if group.version == 2 { "memory.events" } else { "memory.oom_control" });
            let limit = group.limit.as_ref().map_or("its memory limit".to_owned(), |(bytes, folder)| {
                format!("the limit of {bytes} bytes of {}", folder.display())
            });
            Counter::new(file, format!("{limit} was reached, and {KILLED}"))
        });
        let machine = Counter::new("/proc/vmstat".into(), format!("the machine ran out of memory, and {KILLED}"));
        group.into_iter().chain(machine).collect()
    })
}

/// Checks that this process may take `bytes` of memory for a `what`. Beyond the limit of its control group the kernel kills a
/// process of the group. If this process takes memory before it has forked a child, the kernel would kill this process.
///
/// # Errors [`Error::Unsupported`] with the bytes needed and the bytes available.
pub fn check_room(what: &'static str, bytes: u64) -> ipc_core::Result<()> {
    let Some((group, room)) = group().and_then(|group| Some((group, group.room()?))) else { return Ok(()) };
    if bytes <= room {
        return Ok(());
    }
    let limit = group.limit.as_ref().map_or(String::new(), |(most, folder)| format!("{most} of {}", folder.display()));
    let why = format!("needs {bytes} bytes of memory, of which the limit of {limit} leaves {room}: raise it");
    Err(Error::Unsupported { what, why })
}

/// Records the number of kills before the first child.
pub fn watch() {
    counters();
}

/// The likely cause of a child's death by `SIGKILL`: the memory that ran out since the last look. `None` if none did.
pub fn cause() -> Option<String> {
    // Every counter is read, so that an old kill is not blamed on the next child.
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
