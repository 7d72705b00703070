//! Which descriptors an `exec` keeps.

use crate::{Verdict, stage::Stage};
use std::{fs, process::Stdio};

/// The first argument of a process that lists its descriptors. After it come those that may be there.
pub(crate) const LIST_DESCRIPTORS: &str = "--list-descriptors";

/// The descriptors that a process had before it opened a channel and that an `exec` keeps.
pub(crate) struct Inherited(String);

impl Inherited {
    /// Those of now.
    pub fn now() -> Result<Self, String> {
        Ok(Self(kept_by_exec()?.iter().map(u32::to_string).collect::<Vec<_>>().join(",")))
    }

    /// Turns this process into one that fails where it has other descriptors than these.
    pub fn alone_survive(&self, stage: &Stage) -> Verdict {
        Err(stage.exec(Stdio::inherit(), &[LIST_DESCRIPTORS, &self.0]))
    }
}

/// This process's descriptors that are not close-on-exec (proc_pid_fdinfo(5)).
fn kept_by_exec() -> Result<Vec<u32>, String> {
    let folder = fs::read_dir("/proc/self/fdinfo").map_err(|error| format!("/proc/self/fdinfo: {error}"))?;
    let closes = |info: String| {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        Some(i32::from_str_radix(flags.trim(), 8).ok()? & libc::O_CLOEXEC != 0)
    };
    let kept = folder.flatten().filter_map(|entry| {
        let closes = closes(fs::read_to_string(entry.path()).ok()?)?;
        (!closes).then_some(entry.file_name().to_str()?.parse().ok()?)
    });
    Ok(kept.collect())
}

/// What a process does that was started to list its descriptors. It fails where it has others than `allowed`, numbers with commas.
pub(crate) fn only_survive(allowed: &str) -> Verdict {
    let allowed: Vec<u32> = allowed.split(',').filter_map(|fd| fd.parse().ok()).collect();
    let survived = kept_by_exec()?.into_iter().filter(|fd| !allowed.contains(fd));
    let target = |fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default().display().to_string();
    match survived.map(|fd| format!("{fd} ({})", target(fd))).reduce(|a, b| format!("{a}, {b}")) {
        None => Ok(()),
        Some(survived) => Err(format!("survived an exec: {survived}")),
    }
}
