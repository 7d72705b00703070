//! The file systems that hold what mechanisms make: `/dev/shm` and the temporary folder.

use super::{Finding, Group, Trials, Verdict, mounts};
use crate::{host, report::units::size};
use ipc_core::objects;
use nix::{errno::Errno, sys::statvfs::statvfs};
use std::path::Path;

/// One finding for each of them.
pub(super) fn findings(trials: &Trials) -> Vec<Finding> {
    vec![posix_shm(trials), temporary(trials)]
}

/// What a folder stands on.
struct Holder {
    kind: String,
    point: String,
    total: u64,
    free: u64,
}

impl Holder {
    fn of(path: &Path) -> Result<Self, String> {
        let real = path.canonicalize().map_err(|e| format!("{}: {}", path.display(), e.kind()))?;
        let space = statvfs(&real).map_err(|errno| format!("statvfs: {errno}"))?;
        let mount = mounts::holding(&host::read("/proc/self/mountinfo")?, &real)
            .ok_or_else(|| format!("/proc/self/mountinfo has no mount for {}", real.display()))?;
        Ok(Self {
            kind: mount.kind,
            point: mount.point.display().to_string(),
            total: space.blocks() * space.fragment_size(),
            free: space.blocks_available() * space.fragment_size(),
        })
    }

    fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs" | "devtmpfs")
    }

    fn is_remote(&self) -> bool {
        ["nfs", "cifs", "smb", "9p", "fuse", "virtiofs", "ceph"].iter().any(|kind| self.kind.starts_with(kind))
    }

    fn used(&self) -> String {
        format!("{} free", whole(self.free))
    }
}

/// A size in whole units.
fn whole(bytes: u64) -> String {
    let unit = [1 << 20, 1 << 10].into_iter().find(|unit| bytes >= *unit).unwrap_or(1);
    size((bytes / unit * unit) as usize)
}

fn posix_shm(trials: &Trials) -> Finding {
    let holder = Holder::of(Path::new("/dev/shm"));
    let value = holder.as_ref().map(|h| format!("{}, {}", h.kind, whole(h.total))).map_err(Clone::clone);
    let finding = Finding::new(Group::Memory, "/dev/shm", value).used(holder.as_ref().ok().map(Holder::used));
    if let Some(failure) = trials.exhausted(&["posix-shm"], Errno::ENOSPC) {
        return finding.is(Verdict::Problem).effect(failure).advice(
            "remove what nobody needs there, or mount -o remount,size=64M /dev/shm (may take as much memory; in a \
             container docker run --shm-size=64m)",
        );
    }
    match holder {
        Ok(holder) if !holder.is_memory() => finding
            .is(Verdict::Note)
            .effect("posix-shm lies on a file system that is written back, as mmap-file does")
            .advice("mount -t tmpfs tmpfs /dev/shm (hides what is there)"),
        _ => finding,
    }
}

fn temporary(trials: &Trials) -> Finding {
    let path = std::env::temp_dir();
    let holder = Holder::of(&path);
    let value = holder.as_ref().map_err(Clone::clone).map(|h| format!("{}: {} on {}", path.display(), h.kind, h.point));
    let finding = Finding::new(Group::Memory, "TMPDIR", value).used(holder.as_ref().ok().map(Holder::used));
    // Everything with a name is journaled there; `leftovers` removes the folder again.
    if let Err(error) = objects::directory() {
        return finding
            .is(Verdict::Problem)
            .effect(format!("the journal, FIFOs, sockets and mapped files have no place there: {error}"))
            .advice("TMPDIR=/var/tmp, or another folder that exists and is yours to write");
    }
    if let Some(failure) = trials.exhausted(&["mmap-file"], Errno::ENOSPC) {
        return finding.is(Verdict::Problem).effect(failure).advice("make room there, or TMPDIR=/var/tmp");
    }
    match holder {
        Ok(holder) if holder.is_memory() => finding
            .is(Verdict::Note)
            .effect("mmap-file lies in memory: its figures are those of shared memory and not of a file on a disk")
            .advice("TMPDIR=/var/tmp, if that is on a disk"),
        Ok(holder) if holder.is_remote() => finding
            .is(Verdict::Note)
            .effect("mmap-file, fifo and the paths of sockets lie on a file system that is not this machine's own")
            .advice("TMPDIR=/var/tmp, if that is on a disk of this machine"),
        Ok(_) => finding.effect("mmap-file lies on it; the kernel writes its dirty pages back"),
        Err(_) => finding,
    }
}
