//! Unix sockets under a path: what `unix-stream`, `unix-seqpacket` and `unix-dgram` need to be found by name.
//!
//! Paths lie in the user's private folder ([`objects::directory`]), so nobody else can connect; who does is asked for all
//! the same (`SO_PEERCRED`).

use crate::socket::open;
use ipc_core::{
    Error, Name, Options, Result,
    liveness::{await_readable, is_ours, retry_by},
    objects::{self, Object, Owned, SocketAddress},
    stream::set_nonblocking,
};
use nix::sys::{
    socket::{AddressFamily, Backlog, SockType, bind, listen},
    stat::{Mode, fchmod},
};
use std::{
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Instant,
};

/// A socket bound to `path`, mode 0600. Dropping the guard removes the path.
///
/// # Errors
/// [`Error::Taken`] where the path is taken.
pub fn bound(path: &Path, kind: SockType, options: &Options) -> Result<(OwnedFd, Owned)> {
    let socket = open(AddressFamily::Unix, kind, options)?;
    // The mode of the socket is that of the file which bind makes (net/unix/af_unix.c).
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("fchmod", e))?;
    let ((), owned) = Owned::create(Object::Path(path.to_owned()), || {
        bind(socket.as_raw_fd(), SocketAddress::of(path)?.get()).map_err(|e| Error::os("bind", e))
    })?;
    Ok((socket, owned))
}

/// [`bound`], and ready to [`accept`].
///
/// # Errors
/// As [`bound`].
pub fn listening(path: &Path, kind: SockType, options: &Options) -> Result<(UnixListener, Owned)> {
    let (socket, owned) = bound(path, kind, options)?;
    listen(&socket, Backlog::new(8).unwrap_or(Backlog::MAXCONN)).map_err(|e| Error::os("listen", e))?;
    set_nonblocking(&socket, true)?;
    Ok((UnixListener::from(socket), owned))
}

/// The first connection of a process of this user's.
///
/// # Errors
/// [`Error::TimedOut`] at `deadline`.
pub fn accept(listener: &UnixListener, deadline: Instant) -> Result<OwnedFd> {
    loop {
        await_readable(listener, deadline)?;
        match listener.accept() {
            Ok((stream, _)) => {
                let socket = OwnedFd::from(stream);
                if is_ours(&socket)? {
                    return Ok(socket);
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(Error::io("accept", &e)),
        }
    }
}

/// A socket connected to `path`, once somebody listens there.
///
/// # Errors
/// [`Error::TimedOut`] at `deadline`; [`Error::Unsupported`] where that is not this user.
pub fn connected(path: &Path, kind: SockType, options: &Options, deadline: Instant) -> Result<OwnedFd> {
    let socket = open(AddressFamily::Unix, kind, options)?;
    // Not to sleep where the listener's queue is full.
    set_nonblocking(&socket, true)?;
    retry_by(deadline, || Ok(SocketAddress::connect(&socket, path)?.then_some(())))?;
    if !is_ours(&socket)? {
        let why = format!("{} belongs to another user: choose another name", path.display());
        return Err(Error::Unsupported { what: "name", why });
    }
    Ok(socket)
}

/// A path that nobody else chooses, and the word by which to tell the peer. The process id is in it, since a forked process
/// inherits the state of the random numbers.
///
/// # Errors
/// As [`objects::directory`].
pub fn fresh_path(mechanism: &str) -> Result<(PathBuf, u64)> {
    let word = u64::from(std::process::id()) << 32 | u64::from(fastrand::u32(..));
    Ok((path_of(word, mechanism)?, word))
}

/// The path that a peer told.
///
/// # Errors
/// As [`objects::directory`].
pub fn path_of(word: u64, mechanism: &str) -> Result<PathBuf> {
    objects::path(&Name::new(&format!("{}-{:08x}", word >> 32, word & 0xffff_ffff))?, mechanism)
}
