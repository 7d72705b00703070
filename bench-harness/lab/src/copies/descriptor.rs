//! Finds out what a descriptor of another process refers to.

use super::rules::Place;
use nix::{
    sys::{
        stat::{SFlag, stat},
        statfs::{
            BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, HUGETLBFS_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs,
        },
    },
    unistd::Pid,
};
use std::fs;

/// The object that a descriptor refers to, and the access it was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of object.
    pub place: Place,
    /// Whether it can be read from.
    pub readable: bool,
    /// Whether it can be written to.
    pub writable: bool,
    /// The number of the pipe. 0 for anything else: a socket and its peer have two different numbers.
    pub object: u64,
}

impl Descriptor {
    /// Resolves descriptor `fd` of the thread `tid` from `/proc` (proc_pid_fd(5), proc_pid_fdinfo(5)). `None` if there is no
    /// such descriptor, or if looking is not allowed.
    pub fn of(tid: Pid, fd: u64) -> Option<Self> {
        // The kernel uses the lower half of the register.
        let fd = i32::try_from(fd as u32).ok()?;
        let path = format!("/proc/{tid}/fd/{fd}");
        let found = stat(path.as_str()).ok()?;
        let mode = found.st_mode;
        let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        let place = match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
            SFlag::S_IFIFO => Place::Pipe,
            SFlag::S_IFSOCK => Place::Socket,
            // This includes a POSIX queue (mqueue), which none of these calls reads or writes.
            SFlag::S_IFREG if !has_page_cache(&path) => Place::OtherFile,
            SFlag::S_IFREG if flags & libc::O_DIRECT != 0 => Place::DirectFile,
            SFlag::S_IFREG => Place::File,
            SFlag::S_IFCHR | SFlag::S_IFBLK => Place::Device,
            // An inode without a name is no file; more is not known: eventfd, epoll, pidfd, ...
            _ => Place::Anonymous,
        };
        let access = flags & libc::O_ACCMODE;
        let object = if place == Place::Pipe { found.st_ino } else { 0 };
        Some(Self { place, object, readable: access != libc::O_WRONLY, writable: access != libc::O_RDONLY })
    }
}

/// Whether the file at `path` is on a file system that keeps its content in the page cache, and reads and writes it by a copy.
fn has_page_cache(path: &str) -> bool {
    /// f2fs, XFS, bcachefs (linux/magic.h).
    const OTHERS: [FsType; 3] = [FsType(0xf2f5_2010), FsType(0x5846_5342), FsType(0xca45_1a4e)];
    let known = [TMPFS_MAGIC, EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, HUGETLBFS_MAGIC];
    statfs(path).is_ok_and(|found| known.iter().chain(&OTHERS).any(|&kind| kind == found.filesystem_type()))
}
