//! The file systems on which mechanisms make their objects: `/dev/shm` and the temporary folder.

use super::{Finding, Group, Trials, Verdict, limits};
use bench_lab::{mounts, sysfs};
use bench_report::units::size;
use ipc_core::{
    Name, Setting,
    objects::{self, SocketAddress},
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::{
        stat::{Mode, stat},
        statvfs::statvfs,
    },
    unistd::write,
};
use std::path::Path;

/// One finding per file system.
pub(super) fn findings(trials: &Trials) -> Vec<Finding> {
    vec![shared_memory(trials), temporary(trials)]
}

/// The file system of a folder.
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
        let mount = mounts::holding(&sysfs::read("/proc/self/mountinfo")?, &real)
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

/// Whether files in `folder` take memory.
pub(super) fn are_in_memory(folder: &Path) -> bool {
    Holder::of(folder).is_ok_and(|holder| holder.is_memory())
}

/// A size in whole units.
fn whole(bytes: u64) -> String {
    let unit = [1 << 20, 1 << 10].into_iter().find(|unit| bytes >= *unit).unwrap_or(1);
    size((bytes / unit * unit) as usize)
}

fn shared_memory(trials: &Trials) -> Finding {
    const FOLDER: &str = "/dev/shm";
    let holder = Holder::of(Path::new(FOLDER));
    let value = holder.as_ref().map(|h| format!("{}, {}", h.kind, whole(h.total))).map_err(Clone::clone);
    let finding = Finding::new(Group::Memory, FOLDER, value).used(holder.as_ref().ok().map(Holder::used));
    let users = limits::met_by(trials, Setting::Folder(FOLDER));
    if let Some(failure) = trials.exhausted(&users, Errno::ENOSPC) {
        return finding.is(Verdict::Problem).effect(failure).blames(users, "ENOSPC:").advice(
            "remove what nobody needs there, or mount -o remount,size=64M /dev/shm (may take as much memory; in a \
             container docker run --shm-size=64m)",
        );
    }
    let shut = [
        (Errno::ENOENT, "mkdir -m 1777 /dev/shm && mount -t tmpfs tmpfs /dev/shm, as root"),
        (
            Errno::EROFS,
            "mount -o remount,rw /dev/shm, as root; a container that is read-only needs a tmpfs there (docker run --tmpfs /dev/shm)",
        ),
        (Errno::EACCES, "chmod 1777 /dev/shm, as root"),
    ];
    for (errno, advice) in shut {
        let text = format!("shm_open: {errno:?}:");
        let failures = users.iter().filter_map(|name| Some((name, trials.failure(name)?)));
        if let Some((name, failure)) = failures.into_iter().find(|(_, failure)| failure.contains(&text)) {
            let effect = format!("{name} does not work: {failure}");
            return finding.is(Verdict::Problem).effect(effect).blames(users, text).advice(advice);
        }
    }
    match holder {
        Ok(holder) if !holder.is_memory() => finding
            .is(Verdict::Note)
            .effect(format!("{} lies on a file system that is written back, as a mapped file does", users.join(", ")))
            .advice("mount -t tmpfs tmpfs /dev/shm (hides what is there)"),
        _ => finding,
    }
}

fn temporary(trials: &Trials) -> Finding {
    let path = std::env::temp_dir();
    let holder = Holder::of(&path);
    let value = holder.as_ref().map_err(Clone::clone).map(|h| format!("{}: {} on {}", path.display(), h.kind, h.point));
    let finding = Finding::new(Group::Memory, "TMPDIR", value).used(holder.as_ref().ok().map(Holder::used));
    // Every named object is journaled there. `leftovers` removes the folder again.
    let folder = match objects::directory() {
        Ok(folder) => folder,
        Err(error) => {
            return finding
                .is(Verdict::Problem)
                .effect(format!("the journal, FIFOs, sockets and mapped files have no place there: {error}"))
                .blames([], error.to_string())
                .advice("TMPDIR=/var/tmp, or another folder that exists and is yours to write");
        }
    };
    // The longest name, a dot and the longest name of a mechanism.
    let suffix = trials.specs().map(|spec| spec.name.len() + 1).max().unwrap_or(0);
    if let Err(error) = SocketAddress::of(&folder.join("n".repeat(Name::MAX + suffix))) {
        return finding
            .is(Verdict::Problem)
            .effect(error.to_string())
            .blames([], "socket path:")
            .advice("TMPDIR=/tmp, or mount /proc");
    }
    if let Err(errno) = fill(&path) {
        return finding
            .is(Verdict::Problem)
            .effect(format!("the journal and mapped files have no room there: {errno}"))
            .blames([], format!("{errno:?}:"))
            .advice("make room there, or TMPDIR=/var/tmp");
    }
    let users = limits::met_by(trials, Setting::TemporaryFolder);
    if let Some(failure) = trials.exhausted(&users, Errno::ENOSPC) {
        return finding
            .is(Verdict::Problem)
            .effect(failure)
            .blames(users, "ENOSPC:")
            .advice("make room there, or TMPDIR=/var/tmp");
    }
    if is_open_to_others(&path) {
        return finding
            .is(Verdict::Note)
            .effect("anybody may write to it and it lacks the sticky bit: others can remove or rename what is there, names in use included")
            .advice(format!("chmod +t {}, or TMPDIR=/var/tmp", path.display()));
    }
    let users = users.join(", ");
    match holder {
        Ok(holder) if holder.is_memory() => finding
            .is(Verdict::Note)
            .effect(format!(
                "{users} lies in memory: its figures are those of shared memory and not of a file on a disk"
            ))
            .advice("TMPDIR=/var/tmp, if that is on a disk"),
        Ok(holder) if holder.is_remote() => finding
            .is(Verdict::Note)
            .effect(format!(
                "{users}, and the paths of FIFOs and sockets, lie on a file system that is not this machine's own"
            ))
            .advice("TMPDIR=/var/tmp, if that is on a disk of this machine"),
        Ok(_) => finding.effect(format!("{users} lies on it; the kernel writes its dirty pages back")),
        Err(_) => finding,
    }
}

/// Writes a page to a file without a name in `folder`, if the file system has such files.
fn fill(folder: &Path) -> Result<(), Errno> {
    match open(folder, OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(file) => write(&file, &[1; 4096]).map(drop),
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether others may write to `folder` and remove files of their neighbours: it has no sticky bit (unlink(2)).
fn is_open_to_others(folder: &Path) -> bool {
    stat(folder).is_ok_and(|found| {
        let mode = Mode::from_bits_truncate(found.st_mode);
        mode.contains(Mode::S_IWOTH) && !mode.contains(Mode::S_ISVTX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn what_anybody_may_write_to_needs_the_sticky_bit() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, open) in [(0o700, false), (0o777, true), (0o1777, false), (0o775, false)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(dir.path()), open, "{mode:o}");
        }
    }

    #[test]
    fn room_is_tried_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(fill(dir.path()), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(fill(&dir.path().join("none")), Err(Errno::ENOENT));
    }
}
