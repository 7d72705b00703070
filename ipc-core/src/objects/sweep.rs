//! Removing what dead owners left, whatever state the journal is in.

use super::{Object, Owner, lock, open_directory};
use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FlockArg, OFlag},
    unistd::geteuid,
};
use std::{
    fs,
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// What [`sweep`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Process id of the dead owner.
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
    /// Could not be removed, and why.
    Failed(String),
}

/// Removes what dead owners left, as the journal has it; with `dry_run` only says what it would remove. Safe beside
/// running benchmarks and other sweeps: what a living process owns is not touched, nor is anything that the journal does not
/// name. An entry that cannot be read is reported and stays.
///
/// # Errors
/// As [`directory`](super::directory); [`Error::Os`] where it cannot be read, or somebody does not let go of its lock. What
/// cannot be removed is reported in its [`Fate`].
pub fn sweep(dry_run: bool) -> Result<Vec<Leftover>> {
    let (directory, folder) = open_directory()?;
    let folder = lock(folder, FlockArg::LockExclusiveNonblock)?;
    let here = Owner::this()?.namespaces;
    let (dead, living): (Vec<_>, Vec<_>) =
        entries(&folder, &directory)?.into_iter().partition(|(owner, _)| owner.namespaces == here && !owner.lives());
    let taken: Vec<_> = living.iter().filter_map(|(_, path)| read(path, &directory).ok()?).collect();
    let mut found: Vec<_> = dead
        .into_iter()
        .map(|(owner, entry)| {
            let (object, fate) = match read(&entry, &directory) {
                Ok(object) => {
                    let fate = object.as_ref().map_or(Fate::Gone, |object| dispose(object, &taken, dry_run));
                    (object, fate)
                }
                Err(why) => (None, Fate::Failed(format!("unreadable journal entry {}: {why}", entry.display()))),
            };
            if !dry_run && matches!(fate, Fate::Removed | Fate::Gone) {
                let _ = fs::remove_file(&entry);
            }
            Leftover { pid: owner.pid, object, fate }
        })
        .collect();
    // Fails while anything else is in there, which is as it should be.
    let _ = fs::remove_dir(&directory);
    found.sort_by_key(|leftover| leftover.pid);
    Ok(found)
}

/// Strikes out whatever entries name `object`, which the caller has removed: its peer had it in the journal, and may have been
/// killed. Takes no lock: an entry of what is not there is nobody's loss.
///
/// # Errors
/// As [`directory`](super::directory); [`Error::Os`] where it cannot be read.
pub fn forget(object: &Object) -> Result<()> {
    let (directory, folder) = open_directory()?;
    for (_, entry) in entries(&folder, &directory)? {
        if read(&entry, &directory).is_ok_and(|named| named.as_ref() == Some(object)) {
            let _ = fs::remove_file(&entry);
        }
    }
    let _ = fs::remove_dir(&directory);
    Ok(())
}

/// Everything in `folder`, which is at `directory`, that is called like an entry. The list is of the very folder that is
/// locked: had it been removed, and perhaps made anew, before it was, it is empty.
fn entries(folder: &OwnedFd, directory: &Path) -> Result<Vec<(Owner, PathBuf)>> {
    let list = fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let files = list.map_err(|e| Error::io("readdir", &e))?.flatten().map(|file| file.file_name());
    Ok(files.filter_map(|name| Some((Owner::parse(name.to_str()?)?, directory.join(name)))).collect())
}

/// More than any entry has bytes, since a path has at most 4096: no more is read of what claims to be one.
const LONGEST: u64 = 8192;

/// What an entry names, or why it cannot be read; `None` for an empty one: its owner was killed between making and writing it,
/// and so before the object was created.
fn read(entry: &Path, directory: &Path) -> std::result::Result<Option<Object>, String> {
    // Looked at before it is opened: opening alone can wait (a FIFO) or have effects (a device).
    let status = entry.symlink_metadata().map_err(|e| e.to_string())?;
    if !status.is_file() {
        return Err("it is no plain file".into());
    }
    if status.uid() != geteuid().as_raw() {
        return Err(format!("it belongs to user {}", status.uid()));
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(entry).map_err(|e| e.to_string())?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.is_empty() {
        return Ok(None);
    }
    Object::parse(&text, directory).map(Some).ok_or_else(|| "it names no object of this suite".into())
}

/// Removes `object` unless somebody else has its name: another user, or a living process, whose entry is in `taken`.
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
            Err(Error::Os { source: Errno::ENOENT, .. }) => Fate::Gone,
            Err(error) => Fate::Failed(error.to_string()),
        },
    }
}
