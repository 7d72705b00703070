//! Which file system holds a path, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder within the file system that is mounted.
    pub root: PathBuf,
    /// The folder where it is mounted.
    pub point: PathBuf,
    /// The file system's type, such as `ext4`.
    pub kind: String,
    /// The source of the mount, such as a device.
    pub source: String,
    /// The file system's own options.
    pub options: String,
}

/// All mounts in `mountinfo`, in the order of its lines: the order in which they were made.
pub fn all(mountinfo: &str) -> impl Iterator<Item = Mount> {
    mountinfo.lines().filter_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let (mut place, mut what) = (place.split(' ').skip(3), what.split(' '));
        Some(Mount {
            root: plain(place.next()?).into(),
            point: plain(place.next()?).into(),
            kind: what.next()?.to_owned(),
            source: plain(what.next()?),
            options: what.next()?.to_owned(),
        })
    })
}

/// The mount that holds `path`: the longest mount point wins, and of equal ones the last. `path` is absolute and has no links.
pub fn holding(mountinfo: &str, path: &Path) -> Option<Mount> {
    all(mountinfo).filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.components().count())
}

/// Decodes a field of `mountinfo`, in which white space and backslashes are three octal digits.
fn plain(field: &str) -> String {
    let mut text = field.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /tmp rw - tmpfs tmpfs rw,size=1g
24 22 0:21 / /dev/shm rw - tmpfs shm rw
25 22 254:1 /home /tmp rw shared:2 master:3 - xfs /dev/vdb rw
26 22 0:22 / /mnt/my\\040disk rw - fuse.sshfs host: rw
27 22 0:23 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct
";

    fn kind(path: &str) -> String {
        holding(MOUNTS, Path::new(path)).unwrap().kind
    }

    #[test]
    fn the_longest_mount_counts_and_of_equals_the_last() {
        assert_eq!(kind("/var/tmp"), "ext4");
        assert_eq!(kind("/tmp/x"), "xfs");
        assert_eq!(kind("/tmpfile"), "ext4");
        assert_eq!(kind("/dev/shm"), "tmpfs");
        assert_eq!(kind("/mnt/my disk/a"), "fuse.sshfs");
        assert_eq!(holding("", Path::new("/")), None);
    }

    #[test]
    fn optional_fields_are_passed_over() {
        let mount = all(MOUNTS).last().unwrap();
        assert_eq!((mount.root.to_str(), mount.options.as_str()), (Some("/docker/1"), "rw,cpu,cpuacct"));
    }
}
