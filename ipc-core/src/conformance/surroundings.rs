//! What tests change about the process that they run in: its temporary folder, its user, its namespaces, its limits. A trial is
//! a process of its own, so nothing has to be put back.

#![allow(unsafe_code)]

use super::{Started, Suite, Verdict, stage::Stage};
use crate::{
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

/// A user that owns nothing: `nobody`, or whoever has the number.
pub const STRANGER: u32 = 65_534;
/// Where user ids begin that no system gives to anybody.
const UNUSED: u32 = 1_900_000_000;

impl Suite {
    /// A test of a crate's own that first changes its surroundings. Where `prepare` returns [`Error::Unsupported`] the test
    /// is ignored, with that reason.
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
    pub(super) fn staged(
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

/// An empty temporary folder for one test binary, or for one test; dropping it removes it with its content. Other users can
/// get in where this user can become one of them, as into `/tmp`.
///
/// # Errors
/// [`Error::Os`], with the call.
pub fn fresh_folder() -> Result<TempDir> {
    // Sockets' paths are short (unix(7)), so its name is.
    let folder = tempfile::Builder::new().prefix("t").tempdir().map_err(|e| Error::io("mkdir", &e))?;
    let mode = if geteuid().is_root() { 0o1777 } else { 0o700 };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).map_err(|e| Error::io("chmod", &e))?;
    Ok(folder)
}

/// Gives this process surroundings of its own, so that neither other test binaries nor the user's own runs meet its tests: a
/// [`fresh_folder`] as `TMPDIR`, and what [`own_namespaces`] gives. Call it first in `main`, while there is one thread.
///
/// # Errors
/// [`Error::Os`].
pub fn own() -> Result<TempDir> {
    let folder = fresh_folder()?;
    // SAFETY: the process has one thread, as the caller promises, so nobody reads the environment meanwhile.
    unsafe { set_var("TMPDIR", folder.path()) };
    if let Err(error) = own_namespaces() {
        eprintln!("these tests share their user's objects: {error}");
    }
    Ok(folder)
}

/// Gives the calling thread, and what it starts, an IPC namespace of its own, with empty `/dev/shm` and `/dev/mqueue`, and as
/// many bytes of POSIX queues as it may have: `RLIMIT_MSGQUEUE` counts those of all processes of the user.
///
/// That takes `CAP_SYS_ADMIN`. An ordinary user keeps the namespaces that he has: in a user namespace his tests would run with
/// capabilities and other rules about users. Names are unique all the same. What can meet is two runs of the tests that need
/// many POSIX queues.
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
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
        // Neither has to be there.
        let _ = mount(none, folder, Some(kind), MsFlags::empty(), none);
    }
    Ok(())
}

/// Nothing to do where this process can become another user.
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

/// Becomes a user without any privilege, where this process is root's; otherwise it has none anyway. It is nobody else's user,
/// since some limits count what all processes of a user have: his number is made of the process's. Where there is no such
/// number, as in some user namespaces, it is [`STRANGER`].
///
/// # Errors
/// [`Error::Os`].
pub fn become_ordinary() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    setgroups(&[]).map_err(|e| Error::os("setgroups", e))?;
    setgid(Gid::from_raw(STRANGER)).map_err(|e| Error::os("setgid", e))?;
    setuid(Uid::from_raw(UNUSED + std::process::id()))
        .or_else(|_| setuid(Uid::from_raw(STRANGER)))
        .map_err(|e| Error::os("setuid", e))?;
    // Whoever changes his user loses that, too (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| Error::os("prctl", e))
}

/// Moves into an IPC namespace and a mount namespace of its own, where the temporary folder, `/dev/shm` and `/dev/mqueue` are
/// empty and the first two have room for `bytes` each; in a user namespace, too, where this process is not root's. Every user
/// can reach the temporary folder there.
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
    // The mount may have covered a parent of the folder.
    fs::create_dir_all(&folder).map_err(|e| Error::io("mkdir", &e))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).map_err(|e| Error::io("chmod", &e))
}

/// The first folder on the way to `folder` that is closed to other users, or else `folder`.
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

/// Sets a limit of the kernel, one that this process's namespaces have for themselves: a file under `/proc/sys`.
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
pub fn set_kernel_limit(path: &str, limit: usize) -> Result<()> {
    fs::write(path, limit.to_string())
        .map_err(|error| Error::Unsupported { what: "limits of a namespace", why: format!("{path}: {error}") })
}

/// Enters a scheduling policy with this priority.
///
/// # Errors
/// [`Error::Unsupported`] where that is not permitted.
pub fn schedule(policy: Policy, priority: i32) -> impl FnOnce() -> Result<()> + Send + 'static {
    move || {
        let refuse = |error: Error| Error::Unsupported { what: "scheduling", why: format!("{policy}: {error}") };
        Schedule { policy, priority, nice: 0 }.enter().map_err(refuse)
    }
}

/// Sets a soft limit of this process (getrlimit(2)) and returns what it was.
///
/// # Errors
/// [`Error::Os`].
pub fn set_soft_limit(resource: Resource, limit: rlim_t) -> Result<rlim_t> {
    let (soft, hard) = getrlimit(resource).map_err(|e| Error::os("getrlimit", e))?;
    setrlimit(resource, limit.min(hard), hard).map_err(|e| Error::os("setrlimit", e))?;
    Ok(soft)
}
