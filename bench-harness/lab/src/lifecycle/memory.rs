//! Measures the kernel memory of one idle channel: the growth of the kernel's accounts while many channels are opened.
//!
//! # Accounts
//! - If this process has a control group for memory, the group's account is used. In version 2 that is `kernel`, `sock` and
//!   `shmem` in `memory.stat`, in version 1 `memory.kmem.usage_in_bytes` and `total_shmem`
//!   (Documentation/admin-guide/cgroup-v2.rst). These are exact to a page. They count pages of shared memory, and the objects
//!   that the kernel charges to whoever asks for them. Such objects are allocated with `__GFP_ACCOUNT`: sockets, files, inodes,
//!   directory entries, queues, page tables.
//! - Otherwise the machine's account in `/proc/meminfo` is used: `Slab`, `PageTables`, `Percpu` and `Shmem`. It counts all
//!   processes, in whole slabs.
//!
//! # What an idle channel has there
//! - Pages of shared memory on tmpfs. A channel that reserves them (`fallocate`) has them from its opening, others from the
//!   first touch on. So an unused ring can take nearly nothing, whatever its length. Pages of a file on a disk are page cache
//!   and in no account.
//! - Buffers of pipes and sockets are allocated by writes, so an idle channel has none.
//! - The process's own memory, such as a pool to send from, is not kernel memory.
//!
//! # Noise The kernel keeps a group's account for each processor. It adds them up after enough changes, or after two seconds
//! (`memcg_vmstats_needs_flush`, `mm/memcontrol.c`). So a file is created and removed before each reading, which changes
//! enough.
//!
//! Other processes use the same accounts. So the channels are opened in batches with a reading before and after each. The
//! figure is the median over the batches. If their interquartile range exceeds the figure, there is no figure.

use super::{
    child::{in_child, words},
    holdings::Holdings,
};
use crate::{cgroup::memory_group, sysfs, topology::Cpus};
use bench_record::stats::median;
use ipc_core::{Channel, Options, pages::memfd, process::pin};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{fs::File, io::Write, path::PathBuf, thread::sleep, time::Duration};

/// Number of batches, odd so that one batch is the median.
const BATCHES: usize = 9;
/// The most bytes that all channels together may map. They may take as much memory.
pub const MAPPED: u64 = 64 << 20;
/// Descriptors left for other uses.
const SPARE: u64 = 64;
/// Long enough for the kernel to free what is closed (it waits for an RCU grace period of all processors).
const SETTLE: Duration = Duration::from_millis(20);

/// Kernel memory of one channel of `C`, in bytes. The channel holds `holdings`.
pub fn of<C: Channel>(cpus: Cpus, holdings: &Holdings) -> Result<f64, String> {
    let Holdings { descriptors, mapped_bytes, .. } = *holdings;
    in_child(|| {
        // The kernel caches free objects for each processor, so the process stays on one.
        cpus.map_or(Ok(()), |cpus| pin(cpus[0])).map_err(words)?;
        let accounts = Accounts::find();
        let most = (descriptor_limit()? / descriptors.max(1)).min(MAPPED / mapped_bytes.max(1));
        let batch = usize::try_from(most).map_or(usize::MAX, |most| most / BATCHES).clamp(1, accounts.batch());
        let mut held = Vec::with_capacity(batch * BATCHES);
        let mut growths = Vec::new();
        while growths.len() < BATCHES {
            let before = accounts.bytes()?;
            let mut opened = 0;
            let refused = loop {
                if opened == batch {
                    break None;
                }
                match C::pair(&Options::default()) {
                    Ok(ends) => held.push(ends),
                    Err(error) => break Some(error),
                }
                opened += 1;
            };
            let grown = accounts.bytes()? - before;
            if opened > 0 {
                growths.push(grown as f64 / opened as f64);
            }
            match refused {
                Some(error) if held.is_empty() => return Err(error.to_string()),
                // The system holds no more channels. Close them all and go on from none.
                Some(_) => {
                    held.clear();
                    sleep(SETTLE);
                }
                None => {}
            }
        }
        judge(growths)
    })
}

/// The median of the growths per channel, in bytes.
///
/// # Errors The reason why the spread of the growths allows no figure.
fn judge(mut growths: Vec<f64>) -> Result<f64, String> {
    growths.sort_by(f64::total_cmp);
    let [low, high] = [growths[growths.len() / 4], growths[growths.len() * 3 / 4]];
    match median(&mut growths) {
        Some(figure) if figure > 0.0 && high - low <= figure => Ok(figure),
        figure => Err(format!(
            "lost in the noise: {:.0} bytes a channel, the middle half of {} readings from {low:.0} to {high:.0}",
            figure.unwrap_or_default(),
            growths.len()
        )),
    }
}

/// The number of descriptors that this process may open. Raises the soft limit to the hard limit first.
fn descriptor_limit() -> Result<u64, String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(words)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(words)?;
    Ok(hard.saturating_sub(SPARE))
}

/// The kernel's account of memory that is read.
#[derive(Debug)]
enum Accounts {
    /// The account of the process's control group: some fields of one file, and the only number of another.
    Group { stat: PathBuf, fields: &'static [&'static str], usage: Option<PathBuf> },
    /// The account of the machine, `/proc/meminfo`.
    Machine,
}

impl Accounts {
    /// The narrowest account that this user can read.
    fn find() -> Self {
        let group = memory_group().map(|group| {
            let (stat, folder) = (group.folder.join("memory.stat"), group.folder);
            match group.version {
                2 => Self::Group { stat, fields: &["kernel", "sock", "shmem"], usage: None },
                _ => {
                    let usage = Some(folder.join("memory.kmem.usage_in_bytes"));
                    Self::Group { stat, fields: &["total_shmem"], usage }
                }
            }
        });
        group.filter(|group| group.bytes().is_ok()).unwrap_or(Self::Machine)
    }

    /// The most channels between two readings. A coarser account needs more.
    fn batch(&self) -> usize {
        match self {
            Self::Group { .. } => 16,
            Self::Machine => 40,
        }
    }

    /// The account's value now, in bytes.
    fn bytes(&self) -> Result<i64, String> {
        match self {
            Self::Group { stat, fields, usage } => {
                stir()?;
                let usage = usage.as_ref().map_or(Ok(0), |file| number(&sysfs::read(file)?));
                Ok(usage? + sum(&sysfs::read(stat)?, fields, 1)?)
            }
            Self::Machine => sum(&sysfs::read("/proc/meminfo")?, &["Slab:", "PageTables:", "Percpu:", "Shmem:"], 1024),
        }
    }
}

/// Makes the next reading add up all processors. Charges and frees one batch of pages for each processor, which is as much as
/// the kernel would defer.
fn stir() -> Result<(), String> {
    /// `MEMCG_CHARGE_BATCH`, per processor.
    const PAGES: usize = 64;
    let file = memfd(c"account").map_err(|error| error.to_string())?;
    let (mut file, pages) = (File::from(file), vec![0; PAGES * 4096]);
    let mut processors = sysfs::online().into_iter();
    processors.try_for_each(|_| file.write_all(&pages)).map_err(|error| format!("write: {error}"))
}

/// The sum of `fields` in bytes. Each line of `text` holds a name and a number of `unit` bytes.
fn sum(text: &str, fields: &[&str], unit: i64) -> Result<i64, String> {
    let value = |field: &&str| {
        let words = text.lines().map(str::split_ascii_whitespace);
        let line = words.into_iter().find_map(|mut words| (words.next() == Some(*field)).then(|| words.next())?);
        number(line.ok_or_else(|| format!("the kernel has no account '{field}'"))?)
    };
    Ok(fields.iter().map(value).sum::<Result<i64, _>>()? * unit)
}

fn number(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("'{text}' is no number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_added_up() {
        let stat = "anon 4096\nkernel 8192\nkernel_stack 100\nsock 10\nshmem 5\n";
        assert_eq!(sum(stat, &["kernel", "sock", "shmem"], 1), Ok(8207));
        assert_eq!(sum("Slab:   12 kB\nShmem:  3 kB\n", &["Slab:", "Shmem:"], 1024), Ok(15 << 10));
        assert!(sum(stat, &["percpu"], 1).unwrap_err().contains("percpu"));
    }

    #[test]
    fn a_figure_is_more_than_its_spread() {
        assert_eq!(judge(vec![4096.0, 4000.0, 4100.0, 90_000.0, 4050.0]), Ok(4096.0));
        let noise = judge(vec![-8000.0, 100.0, 9000.0, 50.0, 20_000.0]).unwrap_err();
        assert!(noise.contains("noise") && noise.contains("from 50 to 9000"), "{noise}");
        assert!(judge(vec![0.0; 5]).is_err(), "nothing is no figure");
    }
}
