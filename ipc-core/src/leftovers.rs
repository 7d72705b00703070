//! What processes have left in the system, as the kernel shows it and not as the journal has it: for tests, and for runs that
//! kill on purpose.
//!
//! Other runs may be going on, so only what carries one of the processes' ids counts: names do by contract, the
//! kernel keeps it for System V objects (proc_sysvipc_msg(5), proc_sysvipc_shm(5)). A queue that was never used carries
//! none: only a [`Stray::Counts`] finds it. No mechanism makes System V semaphores.

use crate::{Result, objects};
use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// What to make of a System V queue that nobody has used yet and no journal names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It is left where it is younger than this: for tests, which may suppose that nobody else makes such queues.
    Counts(SystemTime),
    /// It may be anybody's.
    Passes,
}

/// Lists what the processes `pids` have now: names, queues, segments, journal entries.
///
/// # Errors
/// As [`objects::directory`].
pub fn of(pids: &[u32], stray: Stray) -> Result<Vec<String>> {
    let folder = objects::directory()?;
    let mut left = Vec::new();
    for folder in [&folder, Path::new("/dev/shm"), Path::new("/dev/mqueue")] {
        let names = entries(folder).into_iter().filter(|name| carries(name, pids));
        left.extend(names.map(|name| folder.join(name).display().to_string()));
    }
    left.extend(segments(pids));
    left.extend(queues(pids, stray, &folder));
    // `directory` has made it.
    let _ = fs::remove_dir(&folder);
    Ok(left)
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether one of the decimal numbers in `name` is one of `pids`.
fn carries(name: &str, pids: &[u32]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.parse().is_ok_and(|pid| pids.contains(&pid)))
}

/// The rows of a table in `/proc/sysvipc`, by column name.
fn sysv_table(kind: &str) -> Vec<impl Fn(&str) -> Option<i64>> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text.lines().map(words);
    let columns = lines.next().unwrap_or_default();
    let row = |values: Vec<String>| {
        let columns = columns.clone();
        move |name: &str| values[columns.iter().position(|column| column == name)?].parse().ok()
    };
    lines.map(row).collect()
}

fn segments(pids: &[u32]) -> Vec<String> {
    let ours = |row: &dyn Fn(&str) -> Option<i64>| is_one_of(row("cpid"), pids);
    let rows = sysv_table("shm").into_iter().filter(|row| ours(row));
    rows.map(|row| format!("System V segment {:#x}", row("key").unwrap_or_default())).collect()
}

fn queues(pids: &[u32], stray: Stray, journal: &Path) -> Vec<String> {
    let young = |made: Option<i64>| match stray {
        Stray::Counts(began) => {
            made >= Some(began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed()))
        }
        Stray::Passes => false,
    };
    // Only plain files: opening a FIFO would wait for its other end.
    let files = entries(journal).into_iter().map(|name| journal.join(name)).filter(|path| path.is_file());
    let journaled: String = files.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    let ours = |row: &dyn Fn(&str) -> Option<i64>| {
        let users = [row("lspid"), row("lrpid")];
        let unused = users == [Some(0), Some(0)]
            && young(row("ctime"))
            && row("cuid") == Some(nix::unistd::geteuid().as_raw().into())
            && !journaled.contains(&format!("{:#010x}\n", row("key").unwrap_or_default()));
        unused || users.into_iter().any(|pid| is_one_of(pid, pids))
    };
    let rows = sysv_table("msg").into_iter().filter(|row| ours(row));
    rows.map(|row| format!("System V queue {:#x}", row("key").unwrap_or_default())).collect()
}

fn is_one_of(pid: Option<i64>, pids: &[u32]) -> bool {
    pid.is_some_and(|pid| pids.iter().any(|&own| i64::from(own) == pid))
}
