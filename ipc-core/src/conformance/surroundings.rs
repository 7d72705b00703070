//! What a trial changes about the process that it runs in: its user, its namespaces, its limits. A trial is a process of its
//! own, so nothing has to be put back.

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
        resource::{Resource, getrlimit, rlim_t, setrlimit},
        signal::Signal,
    },
    unistd::{Gid, Uid, getegid, geteuid, setgid, setgroups, setuid},
};
use std::{env::temp_dir, fs, path::Path};

/// A user that owns nothing: `nobody`, or whoever has the number.
pub const STRANGER: u32 = 65_534;

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

/// Becomes [`STRANGER`], without any privilege, where this process is root's; otherwise it has none anyway.
///
/// # Errors
/// [`Error::Os`].
pub fn become_ordinary() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    setgroups(&[]).map_err(|e| Error::os("setgroups", e))?;
    setgid(Gid::from_raw(STRANGER)).map_err(|e| Error::os("setgid", e))?;
    setuid(Uid::from_raw(STRANGER)).map_err(|e| Error::os("setuid", e))?;
    // Whoever changes his user loses that, too (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| Error::os("prctl", e))
}

/// Moves into an IPC namespace and a mount namespace of its own, where the temporary folder, `/dev/shm` and `/dev/mqueue` are
/// empty and the first two have room for `bytes` each; in a user namespace, too, where this process is not root's.
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
    for folder in [temp_dir().as_path(), Path::new("/dev/shm")] {
        mount(none, folder, Some("tmpfs"), MsFlags::empty(), Some(room.as_str())).map_err(refuse("mount"))?;
    }
    Ok(())
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
