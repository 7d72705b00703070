//! `tcp`: a TCP connection over the loopback interface (tcp(7), `net/ipv4/`).
//!
//! Good where the peer may one day be on another host. Bad on one host: every message passes the whole network stack, and
//! an end that closes with unread messages cuts off what the kernel still had to deliver of its own (RFC 1122, 4.2.2.13).
//!
//! `TCP_NODELAY` is set on both ends: Nagle's algorithm would hold back small messages until earlier ones are
//! acknowledged, up to 40 ms.

use crate::{StreamEnd, loopback, socket::set};
use ipc_core::{
    Channel, Copies, Custody, Error, Framing, Name, Options, Reach, Reliability, Rendezvous, Result, Spec,
    liveness::{Meeting, await_readable},
    stream::set_nonblocking,
};
use nix::sys::socket::{Backlog, SockType, listen, sockopt};
use std::{io::ErrorKind, net::TcpListener, os::fd::OwnedFd, time::Instant};

/// A TCP connection over the loopback interface.
#[derive(Debug)]
pub struct Tcp;

impl Channel for Tcp {
    const SPEC: Spec = Spec {
        name: "tcp",
        summary: "a loopback TCP connection, TCP_NODELAY",
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Network,
        objects: "1 connection (2 sockets)",
        limit: "none; buffers grow by themselves (net.ipv4.tcp_wmem, tcp_rmem)",
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE, ECONNRESET",
        trust: "every user can reach the port; only a connection from the port that the peer told over a private socket is taken",
        good_for: "peers that may one day be on another host",
        bad_for: "small messages on one host: each passes the whole network stack",
        manual: "tcp(7)",
    };
    type Endpoint = StreamEnd;

    /// System calls: `socket`, `bind` and `getsockname` twice, `listen`, `connect`, `ppoll`, `accept4`, `getpeername`, and
    /// `setsockopt` twice.
    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let listener = listening(options)?;
        let near = loopback::bound(SockType::Stream, options)?;
        loopback::connect_to(&near, loopback::port(&listener)?)?;
        let far = accept(&listener, loopback::port(&near)?, options.deadline())?;
        Ok((end(near, options)?, end(far, options)?))
    }
}

/// The two sides meet first; the binder tells its port, the connector the port it comes from, and the binder takes that
/// connection and no other.
impl Rendezvous for Tcp {
    /// System calls: `socket`, `bind`, `listen`, `getsockname`, `ppoll`, `accept4`, `getpeername`; those of [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let listener = listening(options)?;
        let mut peer = Meeting::open(name, Self::SPEC.name)?.accept(deadline)?;
        peer.tell(loopback::port(&listener)?.into())?;
        let from = loopback::port_of(peer.hear(deadline)?)?;
        let socket = accept(&listener, from, deadline)?;
        peer.tell(0)?;
        end(socket, options)
    }

    /// System calls: `socket`, `bind`, `getsockname`, `connect`; those of [`Meeting`].
    fn connect(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let mut peer = Meeting::join(name, Self::SPEC.name, deadline)?;
        let socket = loopback::bound(SockType::Stream, options)?;
        loopback::connect_to(&socket, loopback::port_of(peer.hear(deadline)?)?)?;
        peer.tell(loopback::port(&socket)?.into())?;
        peer.hear(deadline)?;
        end(socket, options)
    }
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

fn end(socket: OwnedFd, options: &Options) -> Result<StreamEnd> {
    set(&socket, sockopt::TcpNoDelay, &true)?;
    StreamEnd::new(socket, options)
}
