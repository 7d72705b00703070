//! What a descriptor of another process stands for.

use super::rules::Place;
use nix::{
    sys::stat::{SFlag, stat},
    unistd::Pid,
};
use std::fs;

/// What a descriptor leads to, and what it was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of object.
    pub place: Place,
    /// Whether it can be read from.
    pub readable: bool,
    /// Whether it can be written to.
    pub writable: bool,
}

impl Descriptor {
    /// That of number `fd` in the thread `tid`, as `/proc` shows it (proc_pid_fd(5), proc_pid_fdinfo(5)); `None` where there is
    /// none, or nobody may look.
    pub fn of(tid: Pid, fd: u64) -> Option<Self> {
        // The kernel takes the lower half of the register.
        let fd = i32::try_from(fd as u32).ok()?;
        let mode = stat(format!("/proc/{tid}/fd/{fd}").as_str()).ok()?.st_mode;
        let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        let place = match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
            SFlag::S_IFIFO => Place::Pipe,
            SFlag::S_IFSOCK => Place::Socket,
            SFlag::S_IFREG if flags & libc::O_DIRECT != 0 => Place::DirectFile,
            SFlag::S_IFREG => Place::File,
            SFlag::S_IFCHR | SFlag::S_IFBLK => Place::Device,
            // Nothing is known of an inode without a name but that it is no file: eventfd, epoll, pidfd, ...
            _ => Place::Anonymous,
        };
        let access = flags & libc::O_ACCMODE;
        Some(Self { place, readable: access != libc::O_WRONLY, writable: access != libc::O_RDONLY })
    }
}
