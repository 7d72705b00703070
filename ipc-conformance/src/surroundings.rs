//! What tests change about their own process: temporary folder, user, namespaces, limits.
//!
//! Each test is a process of its own, so nothing has to be restored.

#![allow(unsafe_code)]

use crate::{Started, Suite, Verdict, stage::Stage};
use ipc_core::{
    Error, Result, Wait,
    process::{Policy, Schedule},
};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit},
        signal::Signal,
    },
    unistd::{Gid, Uid, getegid, geteuid, setgid, setgroups, setuid},
};
use std::{
    env::{set_var, temp_dir},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tempfile::TempDir;

/// The id of a user that owns nothing (`nobody` on most distributions).
pub const NOBODY: u32 = 65_534;
/// The first of a range of user ids that no distribution assigns.
const UNUSED: u32 = 1_900_000_000;

impl Suite {
    /// Adds a test of a crate's own that first changes its surroundings by `prepare`.
    ///
    /// Where `prepare` returns [`Error::Unsupported`], the test is ignored with that reason.
    #[must_use]
    pub fn prepared(
        self,
        name: &str,
        prepare: impl FnOnce() -> Result<()> + Send + 'static,
        test: impl FnOnce() -> Verdict + Send + 'static,
    ) -> Self {
        self.staged(name, prepare, |_| test())
    }

    /// [`prepared`](Suite::prepared), for a test that forks on its stage.
    pub(crate) fn staged(
        self,
        name: &str,
        prepare: impl FnOnce() -> Result<()> + Send + 'static,
        check: impl FnOnce(&Stage) -> Verdict + Send + 'static,
    ) -> Self {
        self.push(name, false, |limit| {
            Started::new(limit, Wait::Block, |stage| {
                prepare().map_err(|error| stage.lacks("surroundings", &error))?;
                check(stage)
            })
        })
    }
}

/// Creates an empty temporary folder for one test binary or one test. Dropping it removes the folder and its content.
///
/// As root the folder is open to everybody, like `/tmp`: tests that switch to another user need it.
///
/// # Errors
/// [`Error::Os`].
pub fn fresh_folder() -> Result<TempDir> {
    // The path of a Unix socket has at most 107 bytes (unix(7)), so the name is short.
    let folder = tempfile::Builder::new().prefix("t").tempdir().map_err(|e| Error::io("mkdir", &e))?;
    let mode = if geteuid().is_root() { 0o1777 } else { 0o700 };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).map_err(|e| Error::io("chmod", &e))?;
    Ok(folder)
}

/// Separates this process from other test binaries and from the user's own runs: `TMPDIR` becomes a [`fresh_folder`], and
/// [`own_namespaces`] is applied where permitted. Call it first in `main`, while the process has one thread.
///
/// # Errors
/// [`Error::Os`].
pub fn own() -> Result<TempDir> {
    let folder = fresh_folder()?;
    // SAFETY: the process has one thread, as the caller promises, so nobody reads the environment meanwhile.
    unsafe { set_var("TMPDIR", folder.path()) };
    if let Err(error) = own_namespaces() {
        eprintln!("these tests share IPC objects with other processes: {error}");
    }
    Ok(folder)
}

/// Moves the calling thread and its future children into a new IPC namespace, with an empty `/dev/shm` and `/dev/mqueue`.
///
/// This needs `CAP_SYS_ADMIN`. No user namespace is used to get it: in one, tests would run with capabilities that an ordinary
/// user lacks.
///
/// Also raises `RLIMIT_MSGQUEUE` of the process as far as permitted. The kernel compares it with the bytes of all POSIX queues
/// of the user, so the default is too low for two test runs at once.
///
/// # Errors
/// [`Error::Unsupported`] where the namespace is not permitted.
pub fn own_namespaces() -> Result<()> {
    let refuse = |call: &'static str| {
        move |errno: Errno| Error::Unsupported { what: "an IPC namespace", why: format!("{call}: {errno:?}") }
    };
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_MSGQUEUE) {
        let _ = setrlimit(Resource::RLIMIT_MSGQUEUE, RLIM_INFINITY, RLIM_INFINITY)
            .or_else(|_| setrlimit(Resource::RLIMIT_MSGQUEUE, hard, hard));
    }
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC).map_err(refuse("unshare"))?;
    let none = None::<&Path>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(refuse("mount"))?;
    for (folder, kind) in [("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue")] {
        // Best effort: either may be absent.
        let _ = mount(none, folder, Some(kind), MsFlags::empty(), none);
    }
    Ok(())
}

/// Checks that this process can become another user.
///
/// # Errors
/// [`Error::Unsupported`] where it is not root's.
pub fn root() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let why = format!("only root can become another user, and this runs as user {}", geteuid());
    Err(Error::Unsupported { what: "a second user", why })
}

/// Drops all privileges if this process runs as root; otherwise it has none anyway.
///
/// The new user id is derived from the process id, so no other process has it. Some limits count what all processes of a user
/// hold, and another test could use them up. Where that id is not mapped (user namespaces), it is [`NOBODY`].
///
/// # Errors
/// [`Error::Os`].
pub fn become_ordinary() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    setgroups(&[]).map_err(|e| Error::os("setgroups", e))?;
    setgid(Gid::from_raw(NOBODY)).map_err(|e| Error::os("setgid", e))?;
    setuid(Uid::from_raw(UNUSED + std::process::id()))
        .or_else(|_| setuid(Uid::from_raw(NOBODY)))
        .map_err(|e| Error::os("setuid", e))?;
    // Whoever changes his user loses that, too (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| Error::os("prctl", e))
}

/// Checks that calls and copies can be counted: not under a sanitizer (`scripts/sanitize.sh`), whose runtime adds its own.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn countable() -> Result<()> {
    if cfg!(sanitized) {
        let why = "the runtime of a sanitizer makes calls and copies of its own".to_owned();
        return Err(Error::Unsupported { what: "counting", why });
    }
    Ok(())
}

/// Moves this process into an IPC namespace and a mount namespace of its own, and into a user namespace unless it is root's.
///
/// The temporary folder, `/dev/shm` and `/dev/mqueue` are empty there. The first two have room for `bytes` each. The temporary folder
/// is open to every user.
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
pub fn isolate(bytes: usize) -> Result<()> {
    let refuse = |call: &'static str| {
        move |errno: Errno| match errno {
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EINVAL | Errno::ENOSPC | Errno::ENODEV => {
                Error::Unsupported { what: "namespaces", why: format!("{call}: {errno}") }
            }
            errno => Error::os(call, errno),
        }
    };
    let (user, group) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC;
    if !user.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(refuse("unshare"))?;
    if !user.is_root() {
        // As himself: user_namespaces(7).
        for (file, line) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{user} {user} 1")),
            ("gid_map", format!("{group} {group} 1")),
        ] {
            let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(0));
            fs::write(format!("/proc/self/{file}"), line).map_err(errno).map_err(refuse("write"))?;
        }
    }
    let none = None::<&Path>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(refuse("mount"))?;
    let room = format!("size={bytes},mode=1777");
    let folder = temp_dir();
    for place in [first_closed(&folder), Path::new("/dev/shm")] {
        mount(none, place, Some("tmpfs"), MsFlags::empty(), Some(room.as_str())).map_err(refuse("mount"))?;
    }
    // The mount may cover a parent of the folder.
    fs::create_dir_all(&folder).map_err(|e| Error::io("mkdir", &e))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).map_err(|e| Error::io("chmod", &e))
}

/// The topmost ancestor of `folder` that other users cannot enter, or `folder` if they can enter all.
fn first_closed(folder: &Path) -> &Path {
    let is_closed = |place: &&Path| place.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    folder.ancestors().filter(is_closed).last().unwrap_or(folder)
}

/// Hides what lies in `folder` behind an empty file system, in the mount namespace that [`isolate`] has made.
///
/// # Errors
/// [`Error::Os`] of `mount`.
pub fn hide(folder: &str, read_only: bool) -> Result<()> {
    let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    mount(None::<&Path>, folder, Some("tmpfs"), flags, Some("size=1m,mode=1777")).map_err(|e| Error::os("mount", e))
}

/// Sets a limit of the kernel: writes `limit` to a file under `/proc/sys`. The limit must be one that each namespace has for itself.
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
pub fn set_kernel_limit(path: &str, limit: usize) -> Result<()> {
    fs::write(path, limit.to_string())
        .map_err(|error| Error::Unsupported { what: "limits of a namespace", why: format!("{path}: {error}") })
}

/// Returns a preparation that enters a scheduling policy with this priority; see [`Suite::prepared`].
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
pub fn schedule(policy: Policy, priority: i32) -> impl FnOnce() -> Result<()> + Send + 'static {
    move || {
        let refuse = |error: Error| Error::Unsupported { what: "scheduling", why: format!("{policy}: {error}") };
        Schedule { policy, priority, nice: 0 }.enter().map_err(refuse)
    }
}

/// Sets a soft limit of this process (getrlimit(2)) and returns the former one.
///
/// # Errors
/// [`Error::Os`].
pub fn set_soft_limit(resource: Resource, limit: rlim_t) -> Result<rlim_t> {
    let (soft, hard) = getrlimit(resource).map_err(|e| Error::os("getrlimit", e))?;
    setrlimit(resource, limit.min(hard), hard).map_err(|e| Error::os("setrlimit", e))?;
    Ok(soft)
}
