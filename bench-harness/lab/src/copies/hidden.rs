//! Finds ways to copy that neither the traced calls nor the watch would show. A pair that could use one gets the reason instead
//! of figures.

use super::{
    Unmeasured,
    counts::Counts,
    lockstep::{LockStep, RECEIVER, SENDER},
    memory, watch,
};
use ipc_core::Error;
use nix::{
    sys::{
        prctl,
        stat::{SFlag, stat},
    },
    unistd::{Pid, getpid},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Findings about a process. Most texts continue "the sender" or "the receiver"; `BY_CHANNEL` follows a number.
pub(super) const ANOTHER_PROCESS: &str = "has started another process, whose own copies are not watched";
pub(super) const UNTRACED: &str = "has started a thread or process that no tracer follows (CLONE_UNTRACED)";
pub(super) const COPY_ON_WRITE: &str =
    "had the message in a private page of a file, which the kernel copied when it was written to";
const BY_CHANNEL: &str = "process that the channel started when it was opened, and which nothing follows";
const IO_URING: &str = "has an io_uring, which copies without a call";
const USERFAULTFD: &str = "has a userfaultfd, by which pages are copied in the course of a page fault";
const NO_WAY: &str = "got the message neither by a call that has a rule nor in memory that it shares";
/// Links of descriptors that mean such a finding, with the finding.
const DESCRIPTORS: [(&str, &str); 2] = [("anon_inode:[io_uring]", IO_URING), ("anon_inode:[userfaultfd]", USERFAULTFD)];

/// The reasons known so far why some actions of the pair cannot be seen. Empty if all can be seen.
///
/// # Errors [`Unmeasured`].
pub fn known(pair: &mut LockStep) -> Result<Vec<String>, Unmeasured> {
    let started = pair.started();
    let by_channel = (started > 0).then(|| format!("{started} {BY_CHANNEL}"));
    let mut hidden: Vec<String> = by_channel.into_iter().collect();
    for (role, who) in [(SENDER, "sender"), (RECEIVER, "receiver")] {
        let pid = pair.tracer().pid(role);
        let reasons = pair.tracer().hidden(role);
        reasons.extend(held_by(pid).map_err(Unmeasured::Channel)?);
        hidden.extend(reasons.iter().map(|what| format!("the {who} {what}")));
    }
    Ok(hidden)
}

/// Moves a message and looks where it lies. Whatever calls and shared memory do not explain becomes [`known`].
///
/// # Errors [`Unmeasured`].
pub fn look(pair: &mut LockStep, counts: &[Counts; 2]) -> Result<(), Unmeasured> {
    if !pair.fits() || pair.size() < watch::TWO_WORDS {
        return Ok(());
    }
    let trace = watch::trace(pair.number(), pair.size());
    let places = |pair: &mut LockStep, role| trace.find(pair.tracer().pid(role)).map_err(Unmeasured::Channel);
    pair.send()?;
    let mut is_shared = !places(pair, RECEIVER)?.is_empty();
    pair.receive_intact()?;
    for role in [SENDER, RECEIVER] {
        let pid = pair.tracer().pid(role);
        for address in places(pair, role)? {
            is_shared |= role == RECEIVER && memory::is_shared(pid, address).map_err(Unmeasured::Channel)?;
            if memory::is_copy_on_write(pid, address) {
                pair.tracer().hidden(role).insert(COPY_ON_WRITE.into());
            }
        }
    }
    if counts[RECEIVER].moved() == 0 && !is_shared {
        pair.tracer().hidden(RECEIVER).insert(NO_WAY.into());
    }
    Ok(())
}

/// Descriptors and mappings of the process `pid` that can copy unseen.
fn held_by(pid: Pid) -> ipc_core::Result<BTreeSet<String>> {
    let mut held = BTreeSet::new();
    // A thread can have a descriptor table of its own.
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| Error::io("open", &e))?.flatten() {
        let links = fs::read_dir(task.path().join("fd")).into_iter().flatten().flatten();
        for target in links.filter_map(|link| fs::read_link(link.path()).ok()) {
            let known = DESCRIPTORS.iter().find(|(name, _)| target.as_os_str() == *name);
            held.extend(known.map(|(_, what)| (*what).to_owned()));
        }
    }
    for mapping in memory::mappings(pid)? {
        if mapping.is_too_long() {
            let bytes = mapping.range[1] - mapping.range[0];
            held.insert(format!("has mapped {bytes} bytes in one piece, too many to be searched for the message"));
        }
        let of_device = |path: &str| {
            let mode = stat(path).map(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT);
            path.starts_with("/dev/") && path != "/dev/zero" && mode == Ok(SFlag::S_IFCHR)
        };
        if of_device(&mapping.path) {
            held.insert(format!("has mapped {}, a device that may copy by itself", mapping.path));
        }
    }
    Ok(held)
}

thread_local! {
    /// The processes that each channel has started, by the channel's name.
    static STARTED: RefCell<BTreeMap<&'static str, BTreeSet<Pid>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `open`, which opens the channel called `name`. Counts the living processes that the channel has started, now or
/// earlier. Processes that have detached from their parent count, too.
///
/// # Errors Those of `open`.
pub(super) fn count_started<T, E>(name: &'static str, open: impl FnOnce() -> Result<T, E>) -> Result<(T, usize), E> {
    let before = descendants();
    // As a subreaper, this process becomes the parent of every orphaned descendant.
    let was_reaper = prctl::get_child_subreaper().unwrap_or(false);
    let _ = prctl::set_child_subreaper(true);
    let opened = open();
    let now = descendants();
    let _ = prctl::set_child_subreaper(was_reaper);
    let started = STARTED.with_borrow_mut(|all| {
        let started = all.entry(name).or_default();
        started.extend(now.difference(&before));
        started.retain(|pid| now.contains(pid));
        started.len()
    });
    Ok((opened?, started))
}

/// All living descendants of this process.
fn descendants() -> BTreeSet<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: BTreeMap<i32, i32> = pids.filter_map(|pid: i32| Some((pid, parent(pid)?))).collect();
    let mut found = BTreeSet::from([getpid().as_raw()]);
    loop {
        let more = parents.iter().filter(|(pid, parent)| found.contains(parent) && !found.contains(pid));
        let more: Vec<i32> = more.map(|(&pid, _)| pid).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&getpid().as_raw());
    found.into_iter().map(Pid::from_raw).collect()
}

/// The parent of process `pid`. `None` if the process has ended, reaped or not.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.next()?.parse().ok() }
}
