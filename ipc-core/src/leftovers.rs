//! What processes have left in the system, as the kernel shows it and not as the journal has it. For tests, and for
//! runs that kill on purpose.
//!
//! Other runs may be going on. So an object only counts if it carries the id of one of the processes. Names do so by
//! contract. For System V objects the kernel keeps the id (proc_sysvipc_msg(5), proc_sysvipc_shm(5)). A queue that was
//! never used carries none, and only [`Stray::Counts`] finds it. No mechanism makes System V semaphores.

use crate::{Name, Result, objects, sysv};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Whether a System V queue counts that nobody has used yet and that this journal does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It counts if it is younger than this and stays. This is for tests. A run with another `TMPDIR` has another
    /// journal, but its queues are used or gone before long.
    Counts(SystemTime),
    /// It does not count: it may be anybody's.
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

/// Lists what in the system is called `name`, or has the key that `mechanism` makes of it.
///
/// # Errors
/// As [`objects::directory`].
pub fn called(name: &Name, mechanism: &str) -> Result<Vec<String>> {
    let folder = objects::directory()?;
    let folders = [&*folder, Path::new("/dev/shm"), Path::new("/dev/mqueue")];
    let mut found: Vec<_> =
        folders.into_iter().flat_map(entries).filter(|entry| entry.contains(name.as_str())).collect();
    let key = sysv::key_of(name, mechanism);
    if sysv::find_segment(key).or(sysv::find_queue(key)).is_ok() {
        found.push(format!("System V key {key:#x}"));
    }
    let _ = fs::remove_dir(&folder);
    Ok(found)
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
pub type Row = BTreeMap<String, i64>;

/// All rows of the table of `kind`, `msg` or `shm`.
pub fn sysv_table(kind: &str) -> Vec<Row> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let columns: Vec<_> = lines.next().into_iter().flatten().collect();
    let number = |(column, value): (&&str, &str)| Some(((*column).to_owned(), value.parse().ok()?));
    lines.map(|values| columns.iter().zip(values).filter_map(number).collect()).collect()
}

fn segments(pids: &[u32]) -> Vec<String> {
    // A segment that is removed goes with the last process that has it attached (shmctl(2)), which may still be ending.
    let goes = |row: &Row| row["key"] == 0 && row["nattch"] > 0;
    let deadline = Instant::now() + PROBATION;
    loop {
        let rows = sysv_table("shm").into_iter().filter(|row| is_one_of(row["cpid"], pids));
        let rows: Vec<Row> = rows.collect();
        if !rows.iter().any(goes) || Instant::now() > deadline {
            return rows.iter().map(|row| format!("System V segment {:#x}", row["key"])).collect();
        }
        sleep(PROBATION / 20);
    }
}

/// How long a queue that may be another run's is given to prove it, and a segment to go that is removed.
const PROBATION: Duration = Duration::from_secs(1);

fn queues(pids: &[u32], stray: Stray, journal: &Path) -> Vec<String> {
    let rows = sysv_table("msg").into_iter();
    let ours = rows.filter(|row| is_one_of(row["lspid"], pids) || is_one_of(row["lrpid"], pids));
    let mut found: BTreeSet<_> = ours.map(|row| row["key"]).collect();
    if let Stray::Counts(since) = stray {
        let mut unused = unused_queues(since, journal);
        let deadline = Instant::now() + PROBATION;
        while !unused.is_empty() && Instant::now() < deadline {
            sleep(PROBATION / 20);
            let still = unused_queues(since, journal);
            unused.retain(|key| still.contains(key));
        }
        found.extend(unused);
    }
    found.into_iter().map(|key| format!("System V queue {key:#x}")).collect()
}

/// This user's queues that came after `since`, were never used, and are not in the journal.
fn unused_queues(since: SystemTime, journal: &Path) -> BTreeSet<i64> {
    let since = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    // Only plain files: opening a FIFO would wait for its other end.
    let files = entries(journal).into_iter().map(|name| journal.join(name)).filter(|path| path.is_file());
    let journaled: String = files.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    let unused = |row: &Row| {
        [row["lspid"], row["lrpid"]] == [0, 0]
            && row["ctime"] >= since
            && row["cuid"] == nix::unistd::geteuid().as_raw().into()
            && !journaled.contains(&format!("{:#010x}\n", row["key"]))
    };
    sysv_table("msg").into_iter().filter(unused).map(|row| row["key"]).collect()
}

fn is_one_of(pid: i64, pids: &[u32]) -> bool {
    pids.iter().any(|&own| i64::from(own) == pid)
}
