//! A TCP connection over the loopback interface: what `tcp` and `tcp-zerocopy` have in common until they are connected.

use crate::loopback;
use ipc_core::{
    Error, Name, Options, Result,
    liveness::{Meeting, await_readable},
    stream::set_nonblocking,
};
use nix::sys::socket::{Backlog, SockType, listen};
use std::{io::ErrorKind, net::TcpListener, os::fd::OwnedFd, time::Instant};

/// Both ends of a connection. System calls: `socket`, `bind` and `getsockname` twice, `listen`, `connect`, `ppoll`, `accept4`,
/// `getpeername`.
///
/// # Errors
/// [`Error::TooLarge`] of [`Options::capacity`], [`Error::Os`].
pub fn pair(options: &Options) -> Result<(OwnedFd, OwnedFd)> {
    let listener = listening(options)?;
    let near = loopback::bound(SockType::Stream, options)?;
    loopback::connect_to(&near, loopback::port(&listener)?)?;
    let far = accept(&listener, loopback::port(&near)?, options.deadline())?;
    Ok((near, far))
}

/// The end of the side that binds. The two sides meet first; the binder tells its port, the connector the port it comes
/// from, and the binder takes that connection and no other. System calls: `socket`, `bind`, `listen`, `getsockname`,
/// `ppoll`, `accept4`, `getpeername`; those of [`Meeting`].
///
/// # Errors
/// As [`Rendezvous::bind`](ipc_core::Rendezvous::bind).
pub fn bind(name: &Name, mechanism: &str, options: &Options) -> Result<OwnedFd> {
    let deadline = options.deadline();
    let listener = listening(options)?;
    let mut peer = Meeting::open(name, mechanism)?.accept(deadline)?;
    peer.tell(loopback::port(&listener)?.into())?;
    let from = loopback::port_of(peer.hear(deadline)?)?;
    let socket = accept(&listener, from, deadline)?;
    peer.tell(0)?;
    Ok(socket)
}

/// The end of the side that connects. System calls: `socket`, `bind`, `getsockname`, `connect`; those of [`Meeting`].
///
/// # Errors
/// As [`Rendezvous::connect`](ipc_core::Rendezvous::connect).
pub fn connect(name: &Name, mechanism: &str, options: &Options) -> Result<OwnedFd> {
    let deadline = options.deadline();
    let mut peer = Meeting::join(name, mechanism, deadline)?;
    let socket = loopback::bound(SockType::Stream, options)?;
    loopback::connect_to(&socket, loopback::port_of(peer.hear(deadline)?)?)?;
    peer.tell(loopback::port(&socket)?.into())?;
    peer.hear(deadline)?;
    Ok(socket)
}

fn listening(options: &Options) -> Result<TcpListener> {
    let socket = loopback::bound(SockType::Stream, options)?;
    listen(&socket, Backlog::new(128).unwrap_or(Backlog::MAXCONN)).map_err(|e| Error::os("listen", e))?;
    set_nonblocking(&socket, true)?;
    Ok(TcpListener::from(socket))
}

/// The connection that comes from `port`; anybody on the host can connect, and others are turned away.
fn accept(listener: &TcpListener, port: u16, deadline: Instant) -> Result<OwnedFd> {
    loop {
        await_readable(listener, deadline)?;
        match listener.accept() {
            Ok((stream, _)) => {
                let socket = OwnedFd::from(stream);
                if loopback::is_peer(&socket, port) == Ok(true) {
                    return Ok(socket);
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // A stranger that has gone again (accept(2)).
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => return Err(Error::io("accept", &e)),
        }
    }
}
