//! Entries of the journal, and the guards of what they name.

use super::{Object, lock, open_directory, sweep};
use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag, openat},
    sys::stat::{Mode, stat},
};
use std::{
    fmt, fs,
    io::Write,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

/// An object that stands in the journal. Whoever removes it strikes it out, in whichever process.
///
/// A copy in another process, and a clone, keep the entry locked as well: the object has an owner until the last of them is
/// gone.
#[derive(Clone, Debug)]
pub struct Journaled {
    object: Object,
    entry: PathBuf,
    /// Holds the entry's lock.
    held: Arc<fs::File>,
}

impl Journaled {
    /// Writes `object`, which exists and has an owner, to the journal, for a process that is to own it as well.
    ///
    /// # Errors
    /// As [`directory`](super::directory); [`Error::Os`] where the entry cannot be written, `EWOULDBLOCK` where somebody
    /// holds the folder's lock.
    pub fn write(object: Object) -> Result<Self> {
        loop {
            let (path, folder) = open_directory()?;
            let folder = lock(folder, FlockArg::LockSharedNonblock)?;
            if let Some(entry) = Self::write_in(&folder, &path, object.clone())? {
                return Ok(entry);
            }
        }
    }

    /// Writes an entry to `folder`, which is at `path` and locked; `None` where another process has removed the folder, empty
    /// as it was, before it was locked.
    fn write_in(folder: &OwnedFd, path: &Path, object: Object) -> Result<Option<Self>> {
        let name = format!("{}-{:016x}", Owner::of(&object), fastrand::u64(..));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = match openat(folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => fs::File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::os("openat", errno)),
        };
        let entry = Self { object, entry: path.join(name), held: Arc::new(file) };
        // The lock comes first: an entry that names something and is not locked has a dead owner.
        let locked = try_lock(&*entry.held).map_err(|e| Error::os("flock", e));
        let text = format!("{}\n", entry.object);
        let written =
            locked.and_then(|_| (&*entry.held).write_all(text.as_bytes()).map_err(|e| Error::io("write", &e)));
        match written {
            Ok(()) => Ok(Some(entry)),
            Err(error) => {
                entry.strike_out();
                Err(error)
            }
        }
    }

    /// Removes the object, if it is still there, and strikes it out.
    ///
    /// # Errors
    /// [`Error::Os`] where it cannot be removed; it then stays in the journal.
    pub fn remove(&self) -> Result<()> {
        self.object.remove()?;
        self.strike_out();
        Ok(())
    }

    /// Keeps every other process that asks for the same lock from removing anything until this one drops it (flock(2)
    /// on the folder).
    ///
    /// `None` if the folder is gone, and with it whatever there was to remove. `None` also if another process does not
    /// let go of the lock.
    pub fn lock(&self) -> Option<Flock<OwnedFd>> {
        let folder = fs::File::open(self.entry.parent()?).ok()?;
        lock(folder.into(), FlockArg::LockExclusiveNonblock).ok()
    }

    fn strike_out(&self) {
        let _ = fs::remove_file(&self.entry);
        // Fails while anything else is in there, which is as it should be.
        self.entry.parent().map(fs::remove_dir);
    }
}

/// Takes the lock of an entry that was just opened; says whether nobody else has it. It is released with the last
/// descriptor of this opening, in whichever process.
pub(super) fn try_lock(entry: impl AsFd) -> nix::Result<bool> {
    #[expect(deprecated, reason = "`Flock` unlocks for all processes that inherited the descriptor when one drops it")]
    match nix::fcntl::flock(entry.as_fd().as_raw_fd(), FlockArg::LockExclusiveNonblock) {
        Ok(()) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A guard that removes its object when it is dropped by the process that made it: after a fork both processes have the
/// guard, and only one may act.
#[derive(Debug)]
pub struct Owned {
    journaled: Journaled,
    owner: u32,
}

impl Owned {
    /// Makes `object` with `make`, which must fail with `EEXIST` or `EADDRINUSE` where there is one already. The object
    /// stands in the journal before it exists. Where a dead process has left one of the same name, that goes first, with
    /// whatever else the same process has left.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is a living process's, or where it cannot be known whose it is; what `make`
    /// returned; else as [`Journaled::write`].
    pub fn create<T>(object: Object, make: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let (_lock, journaled) = loop {
            let (path, folder) = open_directory()?;
            // Held until the object is made: of two that want one name the second finds the entry of the first.
            let folder = lock(folder, FlockArg::LockExclusiveNonblock)?;
            sweep::vacate(&object, &folder, &path)?;
            if let Some(entry) = Journaled::write_in(&folder, &path, object.clone())? {
                break (folder, entry);
            }
        };
        match make() {
            Ok(made) => Ok((made, Self { journaled, owner: std::process::id() })),
            Err(error) => {
                journaled.strike_out();
                let is_taken = matches!(error.errno(), Some(Errno::EEXIST | Errno::EADDRINUSE));
                Err(if is_taken { sweep::not_ours(&object) } else { error })
            }
        }
    }

    /// Writes `object` to the journal, for a caller that creates it afterwards and knows that nobody else wants its name. Use
    /// [`create`](Owned::create) for all others.
    ///
    /// # Errors
    /// As [`Journaled::write`].
    pub fn journal(object: Object) -> Result<Self> {
        Ok(Self { journaled: Journaled::write(object)?, owner: std::process::id() })
    }

    /// Gives up the guard and keeps the entry: the object is to outlive this value, and others will remove it.
    pub fn release(mut self) -> Journaled {
        self.owner = 0;
        self.journaled.clone()
    }

    /// Strikes the object out without touching it: another process owns it now.
    pub fn disown(mut self) {
        self.journaled.strike_out();
        self.owner = 0;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // What cannot be removed now stays in the journal, for `sweep`.
            let _ = self.journaled.remove();
        }
    }
}

/// Who wrote an entry, as the entry's file name has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Process id, in the PID namespace of the process.
    pub pid: u32,
    /// Inode of the PID namespace: ids mean nothing in another.
    pub namespace: u64,
    /// Where the lock and the object's name have a meaning; `None` in entries of earlier versions, which held no lock.
    pub scope: Option<Scope>,
}

/// Where an entry's lock and its object's name have a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The boot of the kernel that keeps the lock, 32 hexadecimal digits; `0` where the kernel does not tell.
    pub boot: String,
    /// What holds the object's name: see [`place`].
    pub place: u64,
}

impl Scope {
    /// Of an entry that this process would write for `object`.
    pub fn here(object: &Object) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
        Self { boot: if digits.is_empty() { "0".into() } else { digits }, place: place(object) }
    }

    /// Whether locks of this kernel say anything about it.
    pub fn is_of_this_kernel(&self, here: &Self) -> bool {
        self.boot == here.boot && self.boot != "0"
    }
}

/// What holds the name of `object`: the device at `/dev/shm`, the IPC namespace, or, as 0, the journal's own folder. The same
/// name in another place is another object.
fn place(object: &Object) -> u64 {
    match object {
        Object::Path(_) => 0,
        Object::PosixShm(_) => stat("/dev/shm").map_or(0, |found| found.st_dev),
        Object::PosixMq(_) | Object::SysvQueue(_) | Object::SysvSegment(_) => namespace("ipc"),
    }
}

/// The inode of this thread's namespace of `kind`; 0 where there are none.
pub(super) fn namespace(kind: &str) -> u64 {
    number_of(&fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap_or_default())
}

/// The inode in the target of a link under `/proc/PID/ns`, as `pid:[4026531836]`; 0 for anything else.
pub(super) fn number_of(link: &Path) -> u64 {
    let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// No part but the process id is a decimal number: [`leftovers`](crate::leftovers) finds files by that.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, namespace, scope } = self;
        match scope {
            Some(Scope { boot, place }) => write!(f, "{pid}-b{boot}-n{namespace}-p{place}"),
            None => write!(f, "{pid}-?-{namespace}"),
        }
    }
}

impl Owner {
    /// This process, as the owner of `object`.
    fn of(object: &Object) -> Self {
        Self { pid: std::process::id(), namespace: namespace("pid"), scope: Some(Scope::here(object)) }
    }

    /// Whether both are entries of one process.
    pub fn is_same(&self, other: &Self) -> bool {
        let boot = |owner: &Self| owner.scope.as_ref().map(|scope| scope.boot.clone());
        (self.pid, self.namespace, boot(self)) == (other.pid, other.namespace, boot(other))
    }

    /// Reads the owner from an entry's file name; `None` for other files.
    pub fn parse(file: &str) -> Option<Self> {
        let parts: Vec<_> = file.split('-').collect();
        let (random, owner) = parts.split_last()?;
        u64::from_str_radix(random, 16).ok()?;
        match *owner {
            [pid, boot, namespace, place] => Some(Self {
                pid: pid.parse().ok()?,
                namespace: namespace.strip_prefix('n')?.parse().ok()?,
                scope: Some(Scope {
                    boot: boot.strip_prefix('b')?.to_owned(),
                    place: place.strip_prefix('p')?.parse().ok()?,
                }),
            }),
            // Of earlier versions: the start time of the process, its PID and its IPC namespace.
            [pid, started, namespaces] => {
                started.parse::<u64>().ok()?;
                let (namespace, _) = namespaces.split_once('_')?;
                Some(Self { pid: pid.parse().ok()?, namespace: namespace.parse().ok()?, scope: None })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_back_as_written() {
        for object in [Object::Path("/tmp/a".into()), Object::SysvQueue(7)] {
            let owner = Owner::of(&object);
            assert_eq!(Owner::parse(&format!("{owner}-00ff")), Some(owner));
        }
    }

    #[test]
    fn entries_of_earlier_versions_are_known_and_other_files_are_not() {
        let earlier = Owner { pid: 12, namespace: 4_026_531_836, scope: None };
        assert_eq!(Owner::parse("12-345-4026531836_4026531839-00ff"), Some(earlier));
        for file in ["x.fifo", "1-2-3_4-zz", "1-2-3-4", "1-b0-n2-p3-zz", "1-b0-n2-3-ff", "1-b0-n2-ff", "-", "1-2-3-4-5"]
        {
            assert_eq!(Owner::parse(file), None, "{file}");
        }
    }
}
