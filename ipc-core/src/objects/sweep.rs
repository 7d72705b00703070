//! Removing what dead owners left, whatever state the journal is in.

use super::{
    Object,
    journal::{Owner, Scope, namespace, number_of, try_lock},
    lock, open_directory,
};
use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FlockArg, OFlag},
    unistd::geteuid,
};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// What [`sweep`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Process id of the owner, in the owner's PID namespace.
    pub pid: u32,
    /// The object, or `None` where the journal's entry cannot be read.
    pub object: Option<Object>,
    /// What became of it.
    pub fate: Fate,
}

/// What [`sweep`] did with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Would be removed (dry run).
    Found,
    /// Removed.
    Removed,
    /// Was no longer there, or its name is another's by now; struck out.
    Gone,
    /// Kept, since it cannot be known whether its owner lives: why, and what speaks for or against it.
    Unknown(String),
    /// Could not be removed, and why.
    Failed(String),
}

/// Removes what dead owners left; with `dry_run` only says what it would remove. Safe beside running benchmarks and other
/// sweeps: what a living process owns is not touched, nor is anything that the journal does not name. An entry that cannot
/// be read is reported and stays, and so does one whose owner may live.
///
/// # Errors
/// As [`directory`](super::directory); [`Error::Os`] where it cannot be read, or somebody does not let go of its lock. What
/// cannot be removed is reported in its [`Fate`].
pub fn sweep(dry_run: bool) -> Result<Vec<Leftover>> {
    sweep_all(dry_run, false)
}

/// Does as [`sweep`], and also removes what is [`Fate::Unknown`] there, unless something speaks for the life of its
/// owner.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_foreign(dry_run: bool) -> Result<Vec<Leftover>> {
    sweep_all(dry_run, true)
}

fn sweep_all(dry_run: bool, foreign: bool) -> Result<Vec<Leftover>> {
    let (directory, folder) = open_directory()?;
    let folder = lock(folder, FlockArg::LockExclusiveNonblock)?;
    let entries = Entry::all(&folder, &directory)?;
    let goes = |standing: &Standing| match standing {
        Standing::Dead => true,
        Standing::Unknown(doubt) => foreign && doubt.may_go,
        Standing::Lives => false,
    };
    let taken = named_by(&entries, |standing| !goes(standing));
    let mut found = Vec::new();
    for Entry { owner, path, object, standing } in entries.iter().filter(|entry| entry.standing != Standing::Lives) {
        let fate = match (object, standing) {
            (Err(why), _) => Fate::Failed(format!("unreadable journal entry {}: {why}", path.display())),
            (Ok(_), Standing::Unknown(doubt)) if !goes(standing) => Fate::Unknown(doubt.why.clone()),
            // The object has this name somewhere else: what has it here is another's.
            (Ok(Some(_)), Standing::Unknown(Doubt { is_here: false, .. })) | (Ok(None), _) => Fate::Gone,
            (Ok(Some(object)), _) => dispose(object, &taken, dry_run),
        };
        if !dry_run && matches!(fate, Fate::Removed | Fate::Gone) {
            let _ = fs::remove_file(path);
        }
        found.push(Leftover { pid: owner.pid, object: object.clone().unwrap_or(None), fate });
    }
    // Fails while anything else is in there, which is as it should be.
    let _ = fs::remove_dir(&directory);
    found.sort_by_key(|leftover| leftover.pid);
    Ok(found)
}

/// Makes room for `object`: removes one that a dead owner has left, with whatever else that process has left. The caller
/// holds the exclusive lock of `folder`, which is at `directory`.
///
/// # Errors
/// [`Error::Taken`] where there is an object that this must not remove.
pub(super) fn vacate(object: &Object, folder: &OwnedFd, directory: &Path) -> Result<()> {
    if object.owner().is_none() {
        return Ok(());
    }
    let taken = |why: String| Err(Error::Taken { object: object.to_string(), why });
    let entries = Entry::all(folder, directory)?;
    let naming: Vec<_> =
        entries.iter().filter(|entry| entry.object.as_ref().is_ok_and(|o| o.as_ref() == Some(object))).collect();
    if let Some(entry) = naming.iter().find(|entry| entry.standing == Standing::Lives) {
        let whose = if entry.owner.namespace == namespace("pid") { "" } else { " of another PID namespace" };
        return taken(format!(
            "process {}{whose} holds it; choose another name, or wait until it ends",
            entry.owner.pid
        ));
    }
    if let Some(dead) = naming.iter().find(|entry| entry.standing == Standing::Dead) {
        let others = named_by(&entries, |standing| *standing != Standing::Dead);
        let left = entries.iter().filter(|entry| entry.standing == Standing::Dead && entry.owner.is_same(&dead.owner));
        for Entry { path, object, .. } in left {
            let fate = object.as_ref().map(|object| object.as_ref().map_or(Fate::Gone, |o| dispose(o, &others, false)));
            if matches!(fate, Ok(Fate::Removed | Fate::Gone)) {
                let _ = fs::remove_file(path);
            }
        }
        if object.owner().is_none() {
            return Ok(());
        }
    }
    match naming.iter().find_map(|entry| entry.standing.doubt()) {
        Some(doubt) => taken(format!(
            "{}; `ipc-bench sweep --foreign` removes it unless something shows that its owner lives, and so does `{}`",
            doubt.why,
            object.removal()
        )),
        None => Err(not_ours(object)),
    }
}

/// The error where something has the name of `object` that stands in no entry of the journal.
pub(super) fn not_ours(object: &Object) -> Error {
    let why = format!(
        "no entry of this journal names it, so it is another program's or has another TMPDIR; choose another name, or \
         remove it if nobody uses it: `{}`",
        object.removal()
    );
    Error::Taken { object: object.to_string(), why }
}

/// Strikes out whatever entries name `object`, which the caller has removed: its peer had it in the journal, and may have been
/// killed. Takes no lock: an entry of what is not there is nobody's loss.
///
/// # Errors
/// As [`directory`](super::directory); [`Error::Os`] where it cannot be read.
pub fn forget(object: &Object) -> Result<()> {
    let (directory, folder) = open_directory()?;
    for (_, path) in list(&folder, &directory)? {
        if open(&path).and_then(|file| read(file, &directory)).is_ok_and(|named| named.as_ref() == Some(object)) {
            let _ = fs::remove_file(&path);
        }
    }
    let _ = fs::remove_dir(&directory);
    Ok(())
}

/// Whether an owner lives, as the lock of its entry says.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Lives,
    Dead,
    Unknown(Doubt),
}

impl Standing {
    fn doubt(&self) -> Option<&Doubt> {
        match self {
            Self::Unknown(doubt) => Some(doubt),
            _ => None,
        }
    }
}

/// Why it is not known whether an owner lives.
#[derive(Debug, PartialEq, Eq)]
struct Doubt {
    why: String,
    /// Whether nothing speaks for its life.
    may_go: bool,
    /// Whether the object, if there is one of its name here, is the owner's.
    is_here: bool,
}

/// A file of the journal.
struct Entry {
    owner: Owner,
    path: PathBuf,
    /// What it names, or why it cannot be read; `None` for an empty one: its owner was killed between making and writing it,
    /// and so before the object was created.
    object: std::result::Result<Option<Object>, String>,
    standing: Standing,
}

impl Entry {
    /// All of `folder`, which is locked exclusively and at `directory`.
    fn all(folder: &OwnedFd, directory: &Path) -> Result<Vec<Self>> {
        let entries = list(folder, directory)?.into_iter();
        Ok(entries.filter_map(|(owner, path)| Self::look(owner, path, directory)).collect())
    }

    /// Reads the entry at `path` and judges its owner; `None` where that has struck it out meanwhile.
    fn look(owner: Owner, path: PathBuf, directory: &Path) -> Option<Self> {
        let (object, standing) = match open(&path) {
            Ok(file) => {
                // An error is no proof of a death.
                let is_locked = !try_lock(&file).unwrap_or(false);
                // Who strikes out an entry removes its file before it lets go of the lock.
                if !is_locked && file.metadata().is_ok_and(|file| file.nlink() == 0) {
                    return None;
                }
                let object = read(file, directory);
                let standing = Self::judge(&owner, object.as_ref().ok().and_then(Option::as_ref), is_locked);
                (object, standing)
            }
            Err(_) if path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) => return None,
            Err(why) => (Err(why), Standing::Dead),
        };
        Some(Self { owner, path, object, standing })
    }

    fn judge(owner: &Owner, object: Option<&Object>, is_locked: bool) -> Standing {
        let Some(scope) = &owner.scope else { return Standing::Unknown(doubt_of_earlier(owner)) };
        let nothing = Object::Path(PathBuf::new());
        let here = Scope::here(object.unwrap_or(&nothing));
        if !scope.is_of_this_kernel(&here) {
            let why = format!(
                "cannot tell whether process {} lives: its entry is of boot {}, and this is boot {}. That is an earlier boot \
                 of this machine, or another one that shares the folder",
                owner.pid, scope.boot, here.boot
            );
            // Only the folder can be shared, or outlast a boot.
            return Standing::Unknown(Doubt { why, may_go: true, is_here: matches!(object, Some(Object::Path(_))) });
        }
        if is_locked {
            return Standing::Lives;
        }
        match object {
            Some(object) if scope.place != here.place => {
                let place = if matches!(object, Object::PosixShm(_)) {
                    "behind another /dev/shm"
                } else {
                    "in another IPC namespace"
                };
                let why = format!(
                    "process {} is dead (its entry is not locked), but what it left is {place}, out of reach from here: only \
                     the entry can go",
                    owner.pid
                );
                Standing::Unknown(Doubt { why, may_go: true, is_here: false })
            }
            _ => Standing::Dead,
        }
    }
}

/// What is known of the owner of an entry that never had a lock: only what `/proc` shows now.
fn doubt_of_earlier(owner: &Owner) -> Doubt {
    let Owner { pid, namespace: theirs, .. } = owner;
    let (whose, sign) = if *theirs == namespace("pid") {
        ("", Path::new(&format!("/proc/{pid}")).exists().then(|| format!("a process {pid} runs, which may be another")))
    } else {
        (" of another PID namespace", process_in(*theirs).map(|one| format!("process {one} runs in that namespace")))
    };
    let may_go = sign.is_none();
    let sign = sign.unwrap_or_else(|| match whose {
        "" => format!("no process {pid} runs"),
        _ => "no process that can be seen from here runs in that namespace".into(),
    });
    let why = format!(
        "cannot tell whether process {pid}{whose} lives: its entry is of an earlier version, without a lock. Evidence: {sign}"
    );
    Doubt { why, may_go, is_here: true }
}

/// A process that runs in the PID namespace with this inode.
fn process_in(namespace: u64) -> Option<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| number_of(&link) == namespace))
}

/// What the entries name whose owners stand so.
fn named_by(entries: &[Entry], stand: impl Fn(&Standing) -> bool) -> Vec<Object> {
    let chosen = entries.iter().filter(|entry| stand(&entry.standing));
    chosen.filter_map(|entry| entry.object.clone().ok()?).collect()
}

/// Everything in `folder`, which is at `directory`, that is called like an entry. The list is of the very folder that is
/// locked: had it been removed, and perhaps made anew, before it was, it is empty.
fn list(folder: &OwnedFd, directory: &Path) -> Result<Vec<(Owner, PathBuf)>> {
    let list = fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let files = list.map_err(|e| Error::io("readdir", &e))?.flatten().map(|file| file.file_name());
    Ok(files.filter_map(|name| Some((Owner::parse(name.to_str()?)?, directory.join(name)))).collect())
}

/// More than any entry has bytes, since a path has at most 4096: no more is read of what claims to be one.
const LONGEST: u64 = 8192;

/// Opens an entry to read, or says why it is none.
fn open(entry: &Path) -> std::result::Result<File, String> {
    // Looked at before it is opened: opening alone can wait (a FIFO) or have effects (a device).
    let status = entry.symlink_metadata().map_err(|e| e.to_string())?;
    if !status.is_file() {
        return Err("it is no plain file".into());
    }
    if status.uid() != geteuid().as_raw() {
        return Err(format!("it belongs to user {}", status.uid()));
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(entry).map_err(|e| e.to_string())
}

/// What an entry names, or why it cannot be read; `None` for an empty one.
fn read(entry: File, directory: &Path) -> std::result::Result<Option<Object>, String> {
    let mut text = String::new();
    entry.take(LONGEST).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.is_empty() {
        return Ok(None);
    }
    Object::parse(&text, directory).map(Some).ok_or_else(|| "it names no object of this suite".into())
}

/// Removes `object` unless somebody else has its name: another user, or one whose object is in `taken`.
fn dispose(object: &Object, taken: &[Object], dry_run: bool) -> Fate {
    match object.owner() {
        _ if taken.contains(object) => Fate::Gone,
        Some(owner) if owner != geteuid().as_raw() => Fate::Gone,
        None => Fate::Gone,
        Some(_) if dry_run => Fate::Found,
        Some(_) => match object.remove() {
            Ok(true) => Fate::Removed,
            Ok(false) => Fate::Gone,
            // Somebody else was faster, or took what had the name for his own.
            Err(error) if error.errno() == Some(Errno::ENOENT) => Fate::Gone,
            Err(error) => Fate::Failed(error.to_string()),
        },
    }
}
