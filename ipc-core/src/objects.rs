//! Names in the system: where they are made, who removes them, and the journal of what a killed process leaves.
//!
//! Everything with a name is written to the journal before it is created and struck out when it is removed. The journal
//! is a folder, private to the user, with one small file per object: the file's name carries the owner's process id,
//! start time and namespaces, its content the object. So nothing is ever rewritten, two runs cannot disturb each other,
//! and a torn write concerns one object only. [`sweep`] removes what dead owners left, and nothing else. Entries are written
//! under a shared lock of the folder (flock(2)) and swept under an exclusive one, so that nothing gets an owner between
//! the sweep's look and its removal.
//!
//! The folder, `ipc-bench-UID` in the temporary folder (`TMPDIR`), also holds the FIFOs, sockets and mapped files
//! themselves; it has mode 0700, belongs to the user, is no symbolic link, and goes when it is empty.

mod sweep;

pub use sweep::{Fate, Leftover, forget, sweep};

use crate::{Error, Name, Result, sysv};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::geteuid,
};
use std::{
    fmt, fs,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
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
    /// Reads what [`Display`](fmt::Display) wrote; `None` for anything else, such as a path outside `directory`, the path of
    /// another entry, or a name that no mechanism gives.
    pub(crate) fn parse(text: &str, directory: &Path) -> Option<Self> {
        let (kind, value) = text.strip_suffix('\n')?.split_once(' ')?;
        let key = |value: &str| sysv::Key::from_str_radix(value.strip_prefix("0x")?, 16).ok().filter(|&key| key > 0);
        let plain = |value: &str| value.strip_prefix(POSIX_PREFIX).is_some_and(|rest| !rest.contains('/'));
        match kind {
            "path" => {
                let name = Path::new(value).file_name()?.to_str()?;
                let ours = directory.join(name).as_os_str() == value && Owner::parse(name).is_none();
                ours.then(|| Object::Path(value.into()))
            }
            "posix-shm" if plain(value) => Some(Object::PosixShm(value.to_owned())),
            "posix-mq" if plain(value) => Some(Object::PosixMq(value.to_owned())),
            "sysv-msgq" => key(value).map(Object::SysvQueue),
            "sysv-shm" => key(value).map(Object::SysvSegment),
            _ => None,
        }
    }

    /// The user that owns what has the name now; `None` where nothing has it, or nothing that this user may look at.
    fn owner(&self) -> Option<u32> {
        let of_path = |path: &Path| path.symlink_metadata().ok().map(|found| found.uid());
        match self {
            Object::Path(path) => of_path(path),
            Object::PosixShm(name) => of_path(&Path::new("/dev/shm").join(&name[1..])),
            Object::PosixMq(name) => queue_owner(name),
            Object::SysvQueue(key) => sysv::find_queue(*key).and_then(sysv::queue_owner).ok(),
            Object::SysvSegment(key) => {
                sysv::find_segment(*key).and_then(sysv::segment_status).ok().map(|(uid, ..)| uid)
            }
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

/// A queue has no look that does not open it.
fn queue_owner(name: &str) -> Option<u32> {
    use nix::mqueue::{MQ_OFlag, mq_close, mq_open};
    let queue = mq_open(name, MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC, Mode::empty(), None).ok()?;
    let status = fstat(queue.as_fd());
    let _ = mq_close(queue);
    Some(status.ok()?.st_uid)
}

/// What the names of POSIX objects start with.
const POSIX_PREFIX: &str = "/ipc-bench-";

/// The name of a POSIX object (shm_overview(7), mq_overview(7)) for `name`.
pub fn posix_name(name: &Name, suffix: &str) -> String {
    format!("{POSIX_PREFIX}{name}{suffix}")
}

/// Makes sure that an object which was found under a name, not made, is this user's and closed to others.
///
/// # Errors
/// [`Error::Unsupported`] where it is not.
pub fn check_private(owner: u32, mode: u32, name: impl fmt::Display) -> Result<()> {
    let (user, mode) = (geteuid(), Mode::from_bits_truncate(mode));
    if owner == user.as_raw() && !mode.intersects(Mode::S_IRWXG | Mode::S_IRWXO) {
        return Ok(());
    }
    let why = format!(
        "{name} belongs to user {owner} and has mode {:04o}, not to user {user} and 0600: remove it or choose another name",
        mode.bits()
    );
    Err(Error::Unsupported { what: "name", why })
}

/// [`check_private`] of an open file, which must be of `kind`.
///
/// # Errors
/// As [`check_private`]; [`Error::Os`] of `fstat`.
pub fn check_found(file: impl AsFd, kind: SFlag, name: impl fmt::Display) -> Result<FileStat> {
    let status = fstat(file).map_err(|e| Error::os("fstat", e))?;
    if status.st_mode & SFlag::S_IFMT.bits() != kind.bits() {
        let why = format!("{name} is something else (mode {:o}): remove it or choose another name", status.st_mode);
        return Err(Error::Unsupported { what: "name", why });
    }
    check_private(status.st_uid, status.st_mode & !SFlag::S_IFMT.bits(), name)?;
    Ok(status)
}

/// The user's private folder, made if it is not there.
///
/// # Errors
/// [`Error::Unsupported`] where something else stands in its place (another user's folder, a link, wider permissions);
/// [`Error::At`] where it cannot be made.
pub fn directory() -> Result<PathBuf> {
    open_directory().map(|(path, _)| path)
}

fn open_directory() -> Result<(PathBuf, OwnedFd)> {
    let user = geteuid();
    let path = std::env::temp_dir().join(format!("ipc-bench-{user}"));
    let refuse = |why: &str| Error::Unsupported { what: "folder", why: format!("{}: {why}", path.display()) };
    let folder = loop {
        match nix::unistd::mkdir(&path, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::at("mkdir", &path, errno)),
        }
        match open(&path, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(folder) => break folder,
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(refuse("is not a folder; remove it or set TMPDIR")),
            // Whoever emptied the folder has removed it since; perhaps somebody has even made it again.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::at("open", &path, errno)),
        }
    };
    let status = fstat(&folder).map_err(|e| Error::os("fstat", e))?;
    let mode = Mode::from_bits_truncate(status.st_mode & !SFlag::S_IFMT.bits());
    if status.st_uid != user.as_raw() || mode.intersects(Mode::S_IRWXG | Mode::S_IRWXO) {
        return Err(refuse("belongs to somebody else or is open to others; remove it or set TMPDIR"));
    }
    Ok((path, folder))
}

/// How long anybody waits for the folder's lock, which is held for as long as a few files take: a process that is stopped
/// while it holds it must not stop the others.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Locks the folder; the lock goes with the value. Repeats the call, which has no deadline of its own.
fn lock(mut folder: OwnedFd, how: FlockArg) -> Result<Flock<OwnedFd>> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match Flock::lock(folder, how) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EINTR)) => folder = same,
            Err((same, Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                folder = same;
                sleep(Duration::from_micros(200));
            }
            Err((_, errno)) => return Err(Error::os("flock", errno)),
        }
    }
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
    /// As [`directory`]; [`Error::Os`] where the entry cannot be written, `EWOULDBLOCK` where somebody holds the folder's lock.
    pub fn write(object: Object) -> Result<Self> {
        let owner = Owner::this()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        loop {
            let (path, folder) = open_directory()?;
            let folder = lock(folder, FlockArg::LockSharedNonblock)?;
            let name = format!("{owner}-{:016x}", fastrand::u64(..));
            match openat(&*folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(file) => {
                    let entry = Self { object, entry: path.join(name) };
                    if let Err(error) = fs::File::from(file).write_all(format!("{}\n", entry.object).as_bytes()) {
                        entry.strike_out();
                        return Err(Error::io("write", &error));
                    }
                    return Ok(entry);
                }
                // Another process has removed the folder, empty as it was, between our look and our file.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(Error::os("openat", errno)),
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

    /// Keeps every other process that asks for the same from removing anything until the lock is dropped (flock(2) on the
    /// folder). `None` where the folder is gone, and with it whatever there was to remove, or where somebody does not let go
    /// of it.
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
        let started = start_time(pid).map_err(|e| Error::io("open", &e))?;
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

    /// Whether the process is not known to have ended.
    fn lives(&self) -> bool {
        match start_time(self.pid) {
            Ok(started) => started == self.started,
            // ESRCH: it ended while we were reading.
            Err(error) => error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(Errno::ESRCH as i32),
        }
    }
}

fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, in brackets, may itself hold spaces and brackets.
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok());
    field.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_back_as_written() {
        let folder = Path::new("/tmp/ipc-bench-0");
        for object in [
            Object::Path(folder.join("a.fifo")),
            Object::PosixShm("/ipc-bench-a".into()),
            Object::PosixMq("/ipc-bench-b".into()),
            Object::SysvQueue(0x1234),
            Object::SysvSegment(0x7fff_ffff),
        ] {
            assert_eq!(Object::parse(&format!("{object}\n"), folder), Some(object));
        }
    }

    #[test]
    fn foreign_entries_are_refused() {
        let folder = Path::new("/tmp/ipc-bench-0");
        for text in [
            "",
            "path /etc/passwd\n",
            "path /tmp/ipc-bench-0/a",
            "path /tmp/ipc-bench-0/..\n",
            "path /tmp/ipc-bench-0/a/.\n",
            "path /tmp/ipc-bench-0/./a\n",
            "path /tmp/ipc-bench-0/a/../b\n",
            "path /tmp/ipc-bench-0/1-2-3_4-00ff\n",
            "path /tmp/ipc-bench-0\n",
            "posix-shm ../x\n",
            "posix-shm /somebody-else\n",
            "posix-shm /ipc-bench-../x\n",
            "posix-mq /x\n",
            "sysv-msgq 12\n",
            "sysv-shm 0x00000000\n",
            "x y\n",
        ] {
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
