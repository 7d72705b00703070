//! Addresses of the loopback interface: what `tcp` and `udp` have in common.

use crate::socket::open;
use ipc_core::{Error, Options, Result};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockType, SockaddrIn, bind, connect, getpeername, getsockname},
};
use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

/// A socket bound to a free port of 127.0.0.1.
///
/// # Errors
/// [`Error::Os`], such as `EADDRINUSE` where no port is free.
pub fn bound(kind: SockType, options: &Options) -> Result<OwnedFd> {
    let socket = open(AddressFamily::Inet, kind, options)?;
    bind(socket.as_raw_fd(), &at(0)).map_err(|e| Error::os("bind", e))?;
    Ok(socket)
}

/// Connects to `port` of 127.0.0.1.
///
/// # Errors
/// [`Error::PeerGone`] where nobody listens, or [`Error::Os`].
pub fn connect_to(socket: &OwnedFd, port: u16) -> Result<()> {
    loop {
        match connect(socket.as_raw_fd(), &at(port)) {
            // The handshake goes on meanwhile, and a second call waits for its end (`__inet_stream_connect`,
            // net/ipv4/af_inet.c).
            Err(Errno::EINTR) => {}
            result => return result.map_err(|e| Error::os("connect", e)),
        }
    }
}

/// The port that `socket` is bound to.
///
/// # Errors
/// [`Error::Os`] of `getsockname`.
pub fn port(socket: &impl AsRawFd) -> Result<u16> {
    Ok(getsockname::<SockaddrIn>(socket.as_raw_fd()).map_err(|e| Error::os("getsockname", e))?.port())
}

/// Whether `socket` is connected to `port` of 127.0.0.1.
///
/// # Errors
/// [`Error::PeerGone`] where it is no longer connected.
pub fn is_peer(socket: &OwnedFd, port: u16) -> Result<bool> {
    let peer: SockaddrIn = getpeername(socket.as_raw_fd()).map_err(|e| Error::os("getpeername", e))?;
    Ok(peer == at(port))
}

/// The port that a peer told.
///
/// # Errors
/// [`Error::Corrupt`] for what is none.
pub fn port_of(word: u64) -> Result<u16> {
    u16::try_from(word).ok().filter(|&port| port != 0).ok_or(Error::Corrupt { what: "the peer told no port" })
}

fn at(port: u16) -> SockaddrIn {
    std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
}
