//! Names in the system: where they are made, who removes them, and the journal of what a killed process leaves.
//!
//! Every named object stands in the journal before it is created and is struck out when it is removed. The journal is a
//! folder, private to the user, with one small file per object. The file's name says who made the object, its content names
//! the object. Nothing is ever rewritten, two runs cannot disturb each other, and a torn write concerns one object only.
//!
//! The owner holds a lock (flock(2)) on its entry. The kernel releases the lock when the last process that has the entry
//! open ends, whichever way it ends. So a lock that is held proves a living owner, and a free one a dead owner, across all
//! PID and time namespaces of one kernel. Process ids prove neither: they mean something in one PID namespace only, they
//! are reused, and start times shift with the time namespace. The lock says nothing about another kernel, so the entry
//! also carries the boot id.
//!
//! - [`Owned::create`] makes an object. It takes over the name of a dead owner and refuses any other name that is taken.
//! - [`sweep`] removes what dead owners left, and nothing else.
//!
//! Both work under an exclusive lock of the folder. So nothing gets an owner between a look and a removal, and of two
//! processes that want one name at once exactly one gets it.
//!
//! The folder is `ipc-bench-UID` in the temporary folder (`TMPDIR`). It also holds the FIFOs, sockets and mapped files
//! themselves. It has mode 0700, belongs to the user, is not a symbolic link, and is removed when it is empty.

mod address;
mod journal;
mod sweep;

pub use address::SocketAddress;
pub use journal::{Journaled, Owned};
pub use sweep::{Fate, Leftover, forget, sweep, sweep_foreign};

use crate::{Error, Name, Result, sysv};
use journal::Owner;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag, open},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::geteuid,
};
use std::{
    fmt,
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
    /// Reads what [`Display`](fmt::Display) wrote. `None` for anything else: a path outside `directory`, the path of
    /// another entry, a name that no mechanism gives.
    pub fn parse(text: &str, directory: &Path) -> Option<Self> {
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

    /// The shell command that removes the object. For a user who knows that nobody uses it.
    fn removal(&self) -> String {
        match self {
            Object::Path(path) => format!("rm '{}'", path.display()),
            Object::PosixShm(name) => format!("rm '/dev/shm{name}'"),
            Object::PosixMq(name) => format!("rm '/dev/mqueue{name}'"),
            Object::SysvQueue(key) => format!("ipcrm -Q {key:#010x}"),
            Object::SysvSegment(key) => format!("ipcrm -M {key:#010x}"),
        }
    }
}

/// The owner of a POSIX queue, which only an open queue shows.
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

/// Does as [`check_private`] for an open file, which must be of `kind`.
///
/// # Errors
/// As [`check_private`]. [`Error::Os`] of `fstat`.
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

/// How long a process waits for the lock of the folder. The lock is held for as long as a few files take. A process
/// that is stopped while it holds the lock must not stop the others.
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
            "path /tmp/ipc-bench-0/1-b0-n2-p3-00ff\n",
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
    }
}
