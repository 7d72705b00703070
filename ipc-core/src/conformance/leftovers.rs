//! What a trial's processes have left in the system.
//!
//! Other runs may be going on, so only what carries one of the trial's own process ids counts: names do by contract, the
//! kernel keeps it for System V objects (proc_sysvipc_msg(5), proc_sysvipc_shm(5)). A queue that was never used carries
//! none; it counts where it is new, this user's journal does not name it, and it stays: a run with another `TMPDIR` has
//! another journal, but its queues are used or gone before long. No mechanism makes System V semaphores.

use super::Verdict;
use crate::{Name, objects, sysv};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Fails with a list of what `pids` left, in a trial that began at `began`.
pub(super) fn none_of(pids: &[u32], began: SystemTime) -> Verdict {
    let folder = objects::directory().map_err(|error| error.to_string())?;
    let mut left = Vec::new();
    for folder in [&folder, Path::new("/dev/shm"), Path::new("/dev/mqueue")] {
        let names = entries(folder).into_iter().filter(|name| carries(name, pids));
        left.extend(names.map(|name| folder.join(name).display().to_string()));
    }
    left.extend(segments(pids));
    left.extend(queues(pids, began, &folder));
    // `directory` has made it.
    let _ = fs::remove_dir(&folder);
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {}", left.join(", "))) }
}

/// Fails where something in the system is called `name` or has the key that `mechanism` makes of it.
pub(super) fn none_called(name: &Name, mechanism: &str) -> Verdict {
    let folder = objects::directory().map_err(|error| error.to_string())?;
    let folders = [&*folder, Path::new("/dev/shm"), Path::new("/dev/mqueue")];
    let mut left: Vec<_> =
        folders.into_iter().flat_map(entries).filter(|entry| entry.contains(name.as_str())).collect();
    let key = sysv::key_of(name, mechanism);
    if sysv::find_segment(key).or(sysv::find_queue(key)).is_ok() {
        left.push(format!("System V key {key:#x}"));
    }
    let _ = fs::remove_dir(&folder);
    if left.is_empty() { Ok(()) } else { Err(format!("the name is still there: {}", left.join(", "))) }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether one of the decimal numbers in `name` is one of `pids`.
fn carries(name: &str, pids: &[u32]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.parse().is_ok_and(|pid| pids.contains(&pid)))
}

/// A row of a table in `/proc/sysvipc`: numbers by the names of their columns.
type Row = BTreeMap<String, i64>;

fn sysv_table(kind: &str) -> Vec<Row> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let columns: Vec<_> = lines.next().into_iter().flatten().collect();
    let row = |values| {
        columns
            .iter()
            .zip(values)
            .filter_map(|(column, value): (&&str, &str)| Some(((*column).to_owned(), value.parse().ok()?)))
    };
    lines.map(|values| row(values).collect()).collect()
}

fn segments(pids: &[u32]) -> Vec<String> {
    let rows = sysv_table("shm").into_iter().filter(|row| is_one_of(row.get("cpid"), pids));
    rows.map(|row| format!("System V segment {:#x}", row["key"])).collect()
}

/// How long a queue that may be another run's is given to prove it.
const PROBATION: Duration = Duration::from_secs(1);

fn queues(pids: &[u32], began: SystemTime, journal: &Path) -> Vec<String> {
    let rows = sysv_table("msg").into_iter();
    let ours = rows.filter(|row| is_one_of(row.get("lspid"), pids) || is_one_of(row.get("lrpid"), pids));
    let mut found: BTreeSet<_> = ours.map(|row| row["key"]).collect();
    let mut unused = unused_queues(began, journal);
    let deadline = Instant::now() + PROBATION;
    while !unused.is_empty() && Instant::now() < deadline {
        sleep(PROBATION / 20);
        let still = unused_queues(began, journal);
        unused.retain(|key| still.contains(key));
    }
    found.extend(unused);
    found.into_iter().map(|key| format!("System V queue {key:#x}")).collect()
}

/// This user's queues that came after `began`, were never used, and are not in the journal.
fn unused_queues(began: SystemTime, journal: &Path) -> BTreeSet<i64> {
    let began = began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    // Only plain files: opening a FIFO would wait for its other end.
    let files = entries(journal).into_iter().map(|name| journal.join(name)).filter(|path| path.is_file());
    let journaled: String = files.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    let unused = |row: &Row| {
        [row["lspid"], row["lrpid"]] == [0, 0]
            && row["ctime"] >= began
            && row["cuid"] == nix::unistd::geteuid().as_raw().into()
            && !journaled.contains(&format!("{:#010x}\n", row["key"]))
    };
    sysv_table("msg").into_iter().filter(unused).map(|row| row["key"]).collect()
}

fn is_one_of(pid: Option<&i64>, pids: &[u32]) -> bool {
    pid.is_some_and(|&pid| pids.iter().any(|&own| i64::from(own) == pid))
}
