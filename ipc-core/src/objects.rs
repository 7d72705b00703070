//! Names in the system: where they are made, who removes them, and the journal of what a killed process leaves.
//!
//! Everything with a name is written to the journal before it is created and struck out when it is removed. The journal
//! is a folder, private to the user, with one small file per object: the file's name carries the owner's process id,
//! start time and namespaces, its content the object. So nothing is ever rewritten, two runs cannot disturb each other,
//! and a torn write concerns one object only. [`sweep`] removes what dead owners left, and nothing else.
//!
//! The folder, `ipc-bench-UID` in the temporary folder (`TMPDIR`), also holds the FIFOs, sockets and mapped files
//! themselves; it has mode 0700, belongs to the user, is no symbolic link, and goes when it is empty.

use crate::{Error, Name, Result, sysv};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag, open},
    sys::stat::{Mode, SFlag, fstat},
    unistd::geteuid,
};
use std::{
    fmt, fs,
    io::Write,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A thing with a name that outlives its process unless it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A FIFO, socket or file directly in [`directory`].
    Path(PathBuf),
    /// A POSIX shared memory object (shm_overview(7)), with its slash.
    PosixShm(String),
    /// A POSIX message queue (mq_overview(7)), with its slash.
    PosixMq(String),
    /// A System V message queue.
    SysvQueue(sysv::Key),
    /// A System V shared memory segment.
    SysvSegment(sysv::Key),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Path(path) => write!(f, "path {}", path.display()),
            Object::PosixShm(name) => write!(f, "posix-shm {name}"),
            Object::PosixMq(name) => write!(f, "posix-mq {name}"),
            Object::SysvQueue(key) => write!(f, "sysv-msgq {key:#010x}"),
            Object::SysvSegment(key) => write!(f, "sysv-shm {key:#010x}"),
        }
    }
}

impl Object {
    /// Reads what [`Display`](fmt::Display) wrote; `None` for anything else, a path outside `directory` included.
    fn parse(text: &str, directory: &Path) -> Option<Self> {
        let (kind, value) = text.strip_suffix('\n')?.split_once(' ')?;
        let key = |value: &str| sysv::Key::from_str_radix(value.strip_prefix("0x")?, 16).ok();
        let plain = |value: &str| value.starts_with('/') && !value[1..].contains('/');
        match kind {
            "path" => Some(PathBuf::from(value)).filter(|p| p.parent() == Some(directory)).map(Object::Path),
            "posix-shm" if plain(value) => Some(Object::PosixShm(value.to_owned())),
            "posix-mq" if plain(value) => Some(Object::PosixMq(value.to_owned())),
            "sysv-msgq" => key(value).map(Object::SysvQueue),
            "sysv-shm" => key(value).map(Object::SysvSegment),
            _ => None,
        }
    }

    /// Whether the object is there.
    fn exists(&self) -> bool {
        match self {
            Object::Path(path) => path.symlink_metadata().is_ok(),
            Object::PosixShm(name) => Path::new("/dev/shm").join(&name[1..]).symlink_metadata().is_ok(),
            // A queue has no look that does not open it.
            Object::PosixMq(name) => queue_opens(name),
            Object::SysvQueue(key) => sysv::find_queue(*key).is_ok(),
            Object::SysvSegment(key) => sysv::find_segment(*key).is_ok(),
        }
    }

    /// Removes the object; says whether there was one.
    fn remove(&self) -> Result<bool> {
        let gone = |call, result: nix::Result<()>| match result {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Error::os(call, errno)),
        };
        match self {
            Object::Path(path) => gone("unlink", nix::unistd::unlink(path)),
            Object::PosixShm(name) => gone("shm_unlink", nix::sys::mman::shm_unlink(name.as_str())),
            Object::PosixMq(name) => gone("mq_unlink", nix::mqueue::mq_unlink(name.as_str())),
            Object::SysvQueue(key) => sysv::find_queue(*key).map_or(Ok(false), sysv::remove_queue),
            Object::SysvSegment(key) => sysv::find_segment(*key).map_or(Ok(false), sysv::remove_segment),
        }
    }
}

fn queue_opens(name: &str) -> bool {
    use nix::mqueue::{MQ_OFlag, mq_close, mq_open};
    mq_open(name, MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC, Mode::empty(), None).and_then(mq_close).is_ok()
}

/// The user's private folder, made if it is not there.
///
/// # Errors
/// [`Error::Unsupported`] where something else stands in its place (another user's folder, a link, wider permissions);
/// [`Error::Os`] where it cannot be made.
pub fn directory() -> Result<PathBuf> {
    let user = geteuid();
    let path = std::env::temp_dir().join(format!("ipc-bench-{user}"));
    match nix::unistd::mkdir(&path, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Error::os("mkdir", errno)),
    }
    let refuse = |why: &str| Error::Unsupported { what: "folder", why: format!("{}: {why}", path.display()) };
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_PATH | OFlag::O_CLOEXEC;
    let folder = open(&path, flags, Mode::empty()).map_err(|e| match e {
        Errno::ENOTDIR | Errno::ELOOP => refuse("is not a folder; remove it or set TMPDIR"),
        errno => Error::os("open", errno),
    })?;
    let status = fstat(folder.as_fd()).map_err(|e| Error::os("fstat", e))?;
    let mode = Mode::from_bits_truncate(status.st_mode & !SFlag::S_IFMT.bits());
    if status.st_uid != user.as_raw() || mode.intersects(Mode::S_IRWXG | Mode::S_IRWXO) {
        return Err(refuse("belongs to somebody else or is open to others; remove it or set TMPDIR"));
    }
    Ok(path)
}

/// The path of `name` in the user's private folder, for `mechanism`.
///
/// # Errors
/// As [`directory`].
pub fn path(name: &Name, mechanism: &str) -> Result<PathBuf> {
    Ok(directory()?.join(format!("{name}.{mechanism}")))
}

/// An object that stands in the journal. Whoever removes it strikes it out, in whichever process.
#[derive(Clone, Debug)]
pub struct Journaled {
    object: Object,
    entry: PathBuf,
}

impl Journaled {
    /// Writes `object` to the journal. Create it afterwards.
    ///
    /// # Errors
    /// As [`directory`]; [`Error::Os`] where the entry cannot be written.
    pub fn write(object: Object) -> Result<Self> {
        let owner = Owner::this()?;
        // Another process may remove the empty folder between our look and our file.
        for _ in 0..100 {
            let entry = directory()?.join(format!("{owner}-{:016x}", fastrand::u64(..)));
            match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&entry) {
                Ok(mut file) => {
                    file.write_all(format!("{object}\n").as_bytes()).map_err(|e| Error::io("write", &e))?;
                    return Ok(Self { object, entry });
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("open", &e)),
            }
        }
        Err(Error::Os { call: "open", source: Errno::ENOENT })
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

    /// Keeps every other process that asks for the same from removing anything until the lock is dropped (flock(2) on the
    /// folder). `None` where the folder is gone, and with it whatever there was to remove.
    pub fn lock(&self) -> Option<Flock<fs::File>> {
        let mut folder = fs::File::open(self.entry.parent()?).ok()?;
        loop {
            match Flock::lock(folder, FlockArg::LockExclusive) {
                Ok(lock) => return Some(lock),
                Err((same, Errno::EINTR)) => folder = same,
                Err(_) => return None,
            }
        }
    }

    fn strike_out(&self) {
        let _ = fs::remove_file(&self.entry);
        // Fails while anything else is in there, which is as it should be.
        self.entry.parent().map(fs::remove_dir);
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
    /// Writes `object` to the journal. Create it afterwards, and [`disown`](Owned::disown) it where that fails.
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

    /// Strikes the object out without touching it: it could not be created, what has its name is somebody else's.
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

/// A process, told apart from a later one with the same id by its start time (proc_pid_stat(5), field 22), within one
/// process and IPC namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    pid: u32,
    started: u64,
    namespaces: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pid, self.started, self.namespaces)
    }
}

impl Owner {
    fn this() -> Result<Self> {
        let pid = std::process::id();
        let started = start_time(pid).ok_or(Error::Os { call: "read", source: Errno::ENOENT })?;
        let namespace = |kind: &str| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            link.to_string_lossy().bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>()
        };
        Ok(Self { pid, started, namespaces: format!("{}_{}", namespace("pid"), namespace("ipc")) })
    }

    /// Reads the owner from an entry's file name; `None` for other files.
    fn parse(file: &str) -> Option<Self> {
        let mut parts = file.split('-');
        let owner = Self {
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
            namespaces: parts.next()?.to_owned(),
        };
        (u64::from_str_radix(parts.next()?, 16).is_ok() && parts.next().is_none()).then_some(owner)
    }

    fn lives(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in brackets, may itself hold spaces and brackets.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

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
    /// Was no longer there; struck out.
    Gone,
    /// Could not be removed, and why.
    Failed(String),
}

/// Removes what dead owners left, as the journal has it; with `dry_run` only says what it would remove. Safe beside
/// running benchmarks: what a living process owns is not touched, nor is anything that the journal does not name.
///
/// # Errors
/// As [`directory`]; [`Error::Os`] where it cannot be read. What cannot be removed is reported in its [`Fate`].
pub fn sweep(dry_run: bool) -> Result<Vec<Leftover>> {
    let directory = directory()?;
    let here = Owner::this()?.namespaces;
    let mut found = Vec::new();
    for file in fs::read_dir(&directory).map_err(|e| Error::io("readdir", &e))?.flatten() {
        let Some(owner) = file.file_name().to_str().and_then(Owner::parse) else { continue };
        if owner.namespaces != here || owner.lives() {
            continue;
        }
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        let object = Object::parse(&text, &directory);
        let fate = match &object {
            Some(object) if dry_run => {
                if object.exists() {
                    Fate::Found
                } else {
                    Fate::Gone
                }
            }
            Some(object) => {
                let entry = Journaled { object: object.clone(), entry: file.path() };
                let existed = object.exists();
                match entry.remove() {
                    Ok(()) => {
                        if existed {
                            Fate::Removed
                        } else {
                            Fate::Gone
                        }
                    }
                    Err(error) => Fate::Failed(error.to_string()),
                }
            }
            // Killed between making the entry and writing it: the object was never created.
            None if text.is_empty() => {
                if !dry_run {
                    let _ = fs::remove_file(file.path());
                }
                Fate::Gone
            }
            None => Fate::Failed(format!("unreadable journal entry {}", file.path().display())),
        };
        found.push(Leftover { pid: owner.pid, object, fate });
    }
    let _ = fs::remove_dir(&directory);
    found.sort_by_key(|leftover| leftover.pid);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_back_as_written() {
        let folder = Path::new("/tmp/ipc-bench-0");
        for object in [
            Object::Path(folder.join("a.fifo")),
            Object::PosixShm("/a".into()),
            Object::PosixMq("/b".into()),
            Object::SysvQueue(0x1234),
            Object::SysvSegment(0x7fff_ffff),
        ] {
            assert_eq!(Object::parse(&format!("{object}\n"), folder), Some(object));
        }
    }

    #[test]
    fn foreign_entries_are_refused() {
        let folder = Path::new("/tmp/ipc-bench-0");
        for text in ["", "path /etc/passwd\n", "path /tmp/ipc-bench-0/a", "posix-shm ../x\n", "sysv-msgq 12\n", "x y\n"]
        {
            assert_eq!(Object::parse(text, folder), None, "{text:?}");
        }
        assert_eq!(Owner::parse("x.fifo"), None);
        assert_eq!(Owner::parse("1-2-3_4-zz"), None);
    }

    #[test]
    fn a_living_owner_is_known() {
        let owner = Owner::this().unwrap();
        assert_eq!(Owner::parse(&format!("{owner}-00ff")), Some(owner.clone()));
        assert!(owner.lives());
        assert!(!Owner { started: owner.started + 1, ..owner }.lives());
    }
}
