//! Addresses of Unix sockets at paths of any length.

use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::{
        socket::{UnixAddr, connect},
        stat::Mode,
    },
};
use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// The longest path that a socket's address takes, in bytes: `sun_path` with its final zero has 108 (unix(7)).
pub const LONGEST: usize = 107;

/// The address of a Unix socket at a path, for `bind` and `connect`.
///
/// A path that is too long for an address is reached through a descriptor of its folder: `/proc/self/fd/N/NAME`. Only
/// getsockname(2), getpeername(2) and `/proc/net/unix` show the difference.
#[derive(Debug)]
pub struct SocketAddress {
    address: UnixAddr,
    /// Keeps a shortened address valid.
    _folder: Option<OwnedFd>,
}

impl SocketAddress {
    /// The address of `path`. Use it at once: it leads to the folder that is there now. System call: `open`, where the path
    /// is too long for an address.
    ///
    /// # Errors
    /// [`Error::Os`] with `ENOENT` where there is no such folder; [`Error::Unsupported`] where the path is too long and
    /// `/proc` is not mounted.
    pub fn of(path: &Path) -> Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            let address = UnixAddr::new(path).map_err(|e| Error::os("bind", e))?;
            return Ok(Self { address, _folder: None });
        }
        let too_long = |why: &str| Error::Unsupported {
            what: "socket path",
            why: format!(
                "{} has {} bytes, a socket's address takes {LONGEST}, and {why}: set a shorter TMPDIR",
                path.display(),
                path.as_os_str().len()
            ),
        };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(too_long("it names no file"));
        };
        let folder = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|e| Error::os("open", e))?;
        let by_descriptor = format!("/proc/self/fd/{}", folder.as_raw_fd());
        if fs::metadata(&by_descriptor).is_err() {
            return Err(too_long("/proc, which offers a shorter way, is not mounted"));
        }
        match UnixAddr::new([by_descriptor.as_bytes(), b"/", name.as_bytes()].concat().as_slice()) {
            Ok(address) => Ok(Self { address, _folder: Some(folder) }),
            Err(Errno::ENAMETOOLONG) => Err(too_long("so does the name alone")),
            Err(errno) => Err(Error::os("bind", errno)),
        }
    }

    /// What `bind` and `connect` take.
    pub fn get(&self) -> &UnixAddr {
        &self.address
    }

    /// Connects `socket` to whoever listens at `path`; says whether somebody does. System calls: `connect`; those of
    /// [`of`](Self::of).
    ///
    /// # Errors
    /// As [`of`](Self::of), but for `ENOENT`; [`Error::Os`] of `connect`.
    pub fn connect(socket: &impl AsRawFd, path: &Path) -> Result<bool> {
        let connect = |address: Self| connect(socket.as_raw_fd(), address.get()).map_err(|e| Error::os("connect", e));
        let Err(error) = Self::of(path).and_then(connect) else { return Ok(true) };
        match error.errno() {
            // EAGAIN: the queue of a listener is full, and the socket does not wait.
            Some(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EINTR) => Ok(false),
            _ => Err(error),
        }
    }
}
