//! Security: what other users cannot open, on every mechanism of this crate, and what processes of the same user can
//! do.

use ipc_conformance::{Suite, Verdict, run_all, surroundings::root};
use ipc_core::{Channel, Endpoint, Error, Name, Options, Rendezvous, liveness::retry_by, objects, process};
use ipc_shm::{Memfd, MemfdWrite, MmapAnon, MmapFile, PosixShm, ProcessVm, SysvShm};
use std::{
    fs::{self, File},
    os::unix::fs::chown,
    path::PathBuf,
    time::Duration,
};

fn main() {
    run_all([
        Suite::security::<SysvShm>().security_by_name::<SysvShm>(),
        Suite::security::<PosixShm>()
            .security_by_name::<PosixShm>()
            .test("a_cut_object_is_refused", || a_cut_object_is_refused::<PosixShm>(shm_path))
            .prepared("an_object_of_another_user_is_refused", root, || of_another_user::<PosixShm>(shm_path)),
        Suite::security::<Memfd>().prepared("cannot_be_cut", can_open_mappings, cannot_be_cut::<Memfd>),
        Suite::security::<MmapFile>()
            .security_by_name::<MmapFile>()
            .test("a_cut_object_is_refused", || a_cut_object_is_refused::<MmapFile>(file_path))
            .prepared("an_object_of_another_user_is_refused", root, || of_another_user::<MmapFile>(file_path)),
        Suite::security::<MmapAnon>(),
        Suite::security::<MemfdWrite>().prepared("cannot_be_cut", can_open_mappings, cannot_be_cut::<MemfdWrite>),
        Suite::security::<ProcessVm>(),
    ]);
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn shm_path(name: &Name) -> ipc_core::Result<PathBuf> {
    Ok(format!("/dev/shm{}", objects::posix_name(name, "")).into())
}

fn file_path(name: &Name) -> ipc_core::Result<PathBuf> {
    objects::path(name, "mmap")
}

/// Binds in another process, changes the object while that process waits for its peer, and connects.
fn connect_after<C: Rendezvous>(
    path: fn(&Name) -> ipc_core::Result<PathBuf>,
    change: impl Fn(&File) -> std::io::Result<()>,
) -> Result<ipc_core::Result<()>, String> {
    let (name, options) = (Name::unique(), Options { timeout: Some(Duration::from_secs(5)), ..Options::default() });
    let mut binder = process::fork(|| i32::from(C::bind(&name, &options).is_err())).map_err(text)?;
    let meeting = objects::path(&name, C::SPEC.name).map_err(text)?;
    retry_by(options.deadline(), || Ok(meeting.exists().then_some(()))).map_err(text)?;
    let path = path(&name).map_err(text)?;
    change(&File::options().write(true).open(&path).map_err(text)?).map_err(text)?;
    let outcome = C::connect(&name, &options).map(drop);
    binder.kill().map_err(text)?;
    objects::sweep(false).map_err(text)?;
    // No sweep removes what was given to another user.
    let _ = fs::remove_file(path);
    Ok(outcome)
}

/// Mapping more than the object holds would raise `SIGBUS` at the first touch.
fn a_cut_object_is_refused<C: Rendezvous>(path: fn(&Name) -> ipc_core::Result<PathBuf>) -> Verdict {
    for bytes in [0, 4096, (4096 + 2 * (256 << 10)) - 1] {
        match connect_after::<C>(path, |object| object.set_len(bytes))? {
            Err(Error::Corrupt { .. }) => {}
            other => return Err(format!("cut to {bytes} bytes: {other:?}")),
        }
    }
    connect_after::<C>(path, |_| Ok(()))?.map_err(|error| format!("not cut: {error}"))
}

fn of_another_user<C: Rendezvous>(path: fn(&Name) -> ipc_core::Result<PathBuf>) -> Verdict {
    let given_away = |object: &File| {
        use std::os::fd::AsRawFd;
        chown(format!("/proc/self/fd/{}", object.as_raw_fd()), Some(65_534), None)
    };
    match connect_after::<C>(path, given_away)? {
        Err(Error::Unsupported { what: "name", .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The link by which a process can open what it has mapped. `None` if no mapping's name contains `what`.
fn mapped(what: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let range = maps.lines().find(|line| line.contains(what))?.split(' ').next()?.to_owned();
    Some(PathBuf::from("/proc/self/map_files").join(range))
}

/// No process keeps a descriptor of the memory. To shorten it, one needs the link, which only a privileged process can
/// open.
fn can_open_mappings() -> ipc_core::Result<()> {
    let program = std::env::current_exe().unwrap_or_default();
    let opened = mapped(&program.to_string_lossy()).map(File::open);
    match opened {
        Some(Ok(_)) => Ok(()),
        other => Err(Error::Unsupported { what: "/proc/self/map_files", why: format!("{other:?}") }),
    }
}

fn cannot_be_cut<C: Channel>() -> Verdict {
    let (mut a, mut b) = C::pair(&Options::default()).map_err(text)?;
    let path = mapped("memfd:ipc-bench").ok_or("the memory is not mapped")?;
    let file = File::options().read(true).write(true).open(path).map_err(text)?;
    let len = file.metadata().map_err(text)?.len();
    for bytes in [0, len - 1, len + 1] {
        match file.set_len(bytes) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPERM as i32) => {}
            other => return Err(format!("cut from {len} to {bytes} bytes: {other:?}")),
        }
    }
    let mut buffer = [0; 8];
    a.send(b"unharmed").map_err(text)?;
    b.recv(&mut buffer).map_err(text)?;
    if &buffer == b"unharmed" { Ok(()) } else { Err(format!("{buffer:?} came")) }
}
