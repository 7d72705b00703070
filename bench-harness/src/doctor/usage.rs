//! The current use of limits, as far as the kernel reports it.

use bench_lab::sysfs;
use nix::unistd::{SysconfVar, getuid, sysconf};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The source of the current use of a limit.
#[derive(Clone, Copy, Debug)]
pub enum Usage {
    /// The limit bounds single things. Nothing is used up.
    None,
    /// The limit is used up by an amount that the kernel does not report.
    Untold,
    /// The use is not reported either; a pair of POSIX queues shows how much room is left.
    Queues,
    /// The number of lines in a table of `/proc/sysvipc`.
    Lines(&'static str),
    /// The sum of a column in a table of `/proc/sysvipc`: table, column, and what is summed.
    Sum(&'static str, &'static str, &'static str),
    /// Pages of all System V segments.
    Segments,
    /// The largest number in a column of a table of `/proc/sysvipc`: table, column, and where that is.
    Most(&'static str, &'static str, &'static str),
    /// The number of names in a folder, less those that the check itself makes.
    Names(&'static str, usize),
    /// Processes and threads of this user.
    Processes,
    /// The limit bounds single things. A complete run has one of this length or size.
    Longest(u64),
    /// The first number or text in a file, or the first after this name and a colon.
    File(&'static str, Option<&'static str>),
}

impl Usage {
    /// The use in words, or the reason why it is not known. `None` for a limit that is not used up.
    pub fn text(self) -> Option<String> {
        let read = match self {
            Usage::None | Usage::Longest(_) => return None,
            Usage::Processes => processes().map(|count| format!("{count} in use")),
            Usage::Untold => Err("the kernel does not tell".to_owned()),
            Usage::Queues => {
                Err(format!("the kernel does not tell; a pair of the largest queues takes {}", self.need()))
            }
            Usage::Lines(table) => lines(table).map(|count| format!("{count} in use")),
            Usage::Sum(table, name, what) => {
                sysvipc(table).map(|table| format!("{} {what}", column(&table, name).sum::<u64>()))
            }
            Usage::Segments => segment_pages().map(|pages| format!("{pages} in use")),
            Usage::Most(table, name, place) => {
                sysvipc(table).map(|table| format!("{} {place}", column(&table, name).max().unwrap_or(0)))
            }
            Usage::Names(folder, own) => fs::read_dir(folder)
                .map(|names| format!("{} in use", names.count().saturating_sub(own)))
                .map_err(|error| sysfs::reason(Path::new(folder), &error)),
            Usage::File(file, None) => {
                sysfs::read(file).map(|text| format!("{} in use", text.split_whitespace().next().unwrap_or_default()))
            }
            Usage::File(file, Some(name)) => sysfs::read(file)
                .and_then(|text| sysfs::value_of(&text, name).ok_or_else(|| format!("{file}: no line {name}")))
                .map(|value| format!("{value} in use")),
        };
        Some(read.unwrap_or_else(|why| format!("use unknown: {why}")))
    }

    /// Whether there is room for what a pair makes, as far as that is known. A pair makes one or two of things that are
    /// counted.
    pub fn has_room(self, limit: u64) -> bool {
        match self {
            Usage::Lines(table) => lines(table).is_ok_and(|count| count + 2 <= limit),
            Usage::Segments => self.need() <= limit,
            // The count is for a pair, its supervisor, and a thread of each.
            Usage::Processes => processes().is_ok_and(|count| count + 5 <= limit),
            _ => false,
        }
    }

    /// Whether `limit` is enough to try the default plan, but not for a complete run.
    pub fn is_short(self, limit: u64) -> bool {
        matches!(self, Usage::Longest(need) if limit < need)
    }

    /// The least limit with which this suite runs, as far as that is known.
    pub fn need(self) -> u64 {
        let limit = |name| sysfs::limit(&format!("fs/mqueue/{name}")).unwrap_or(0);
        match self {
            Usage::Queues => 2 * queue_bytes(limit("msg_max"), limit("msgsize_max")),
            Usage::Segments => segment_pages().unwrap_or(0) + SEGMENT_BYTES.div_ceil(page_bytes()),
            Usage::Longest(need) => need,
            _ => 0,
        }
    }
}

/// The number of processes and threads of this process's real user, as the kernel counts them (getrlimit(2)).
fn processes() -> Result<u64, String> {
    let user = getuid().as_raw();
    let folder = fs::read_dir("/proc").map_err(|error| sysfs::reason(Path::new("/proc"), &error))?;
    let threads =
        folder.flatten().filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == user)).filter_map(|entry| {
            let threads = fs::read_dir(entry.path().join("task")).ok()?;
            Some(threads.count() as u64)
        });
    Ok(threads.sum())
}

/// The largest segment of the default plan in bytes: a header, and a ring of eight messages of 1 MiB for each direction
/// (`ipc_shm::ring`).
pub(super) const SEGMENT_BYTES: u64 = 4096 + 2 * (8 << 20);

/// The pages that System V segments count towards kernel.shmall: whole pages of each (`newseg`, `ipc/shm.c`).
fn segment_pages() -> Result<u64, String> {
    sysvipc("shm").map(|table| column(&table, "size").map(|bytes| bytes.div_ceil(page_bytes())).sum())
}

fn page_bytes() -> u64 {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().map_or(4096, i64::cast_unsigned)
}

/// The bytes that a queue counts towards RLIMIT_MSGQUEUE (getrlimit(2)). They include the two records of 48 bytes that
/// a 64-bit kernel keeps for each message.
fn queue_bytes(messages: u64, bytes: u64) -> u64 {
    messages.saturating_mul(bytes + 2 * 48)
}

fn lines(table: &str) -> Result<u64, String> {
    sysvipc(table).map(|table| table.lines().skip(1).count() as u64)
}

fn sysvipc(table: &str) -> Result<String, String> {
    sysfs::read(format!("/proc/sysvipc/{table}"))
}

/// The numbers in the column `name` of a table of `/proc/sysvipc`.
fn column<'a>(table: &'a str, name: &str) -> impl Iterator<Item = u64> + use<'a> {
    let mut lines = table.lines();
    let place = lines.next().and_then(|heading| heading.split_whitespace().position(|word| word == name));
    lines.filter_map(move |line| line.split_whitespace().nth(place?)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_sysvipc_are_read_by_their_headings() {
        let msg = "       key      msqid perms      cbytes       qnum lspid lrpid
 305419896          0   600        4096          1  10     0
-559038737      32769   600        8192          2  10     0
";
        assert_eq!(column(msg, "cbytes").collect::<Vec<_>>(), [4096, 8192]);
        assert_eq!(column(msg, "msqid").count(), 2);
        assert_eq!(column(msg, "none").count(), 0);
        assert_eq!(column("", "cbytes").count(), 0);
    }

    #[test]
    fn queues_count_as_the_manual_says() {
        // The default of 819,200 bytes has room for four pairs of default queues.
        assert_eq!(819_200 / (2 * queue_bytes(10, 8192)), 4);
    }

    #[test]
    fn what_cannot_be_known_has_the_reason() {
        assert_eq!(Usage::Names("/no/such", 0).text().unwrap(), "use unknown: /no/such: No such file or directory");
        assert_eq!(
            Usage::File("/proc/self/status", Some("NoSuch")).text().unwrap(),
            "use unknown: /proc/self/status: no line NoSuch"
        );
        assert!(Usage::File("/proc/self/status", Some("VmLck")).text().unwrap().ends_with(" kB in use"));
        assert_eq!(Usage::None.text(), None);
    }
}
