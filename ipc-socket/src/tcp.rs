//! `tcp`: a TCP connection over the loopback interface.

use crate::{StreamEnd, connection, socket::set};
use ipc_core::{
    Attested, Channel, Copies, Custody, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous, Result,
    Setting, Spec,
};
use nix::sys::socket::sockopt;
use std::os::fd::OwnedFd;

/// `tcp`: a TCP connection over the loopback interface.
///
/// - **Good for** peers that may one day be on another host.
/// - **Bad for** one host: every message passes the whole network stack. An end that closes with unread messages
///   resets the connection, which discards what the kernel still had to deliver (RFC 1122, 4.2.2.13).
///
/// `TCP_NODELAY` is set on both ends. Nagle's algorithm would hold back small messages until earlier ones are
/// acknowledged, up to 40 ms.
///
/// Messages have no limit and no boundaries: the receiver's buffer must be as long as the message. Buffers grow by
/// themselves (`net.ipv4.tcp_wmem`, `tcp_rmem`). The receiver knows the address of its peer (getpeername(2)). Its ends
/// are [`StreamEnd`]s. Sources: tcp(7), `net/ipv4/`.
///
/// # Meeting by name
///
/// The two sides meet at a private socket first. The binder tells its port, and the connector the port that it comes
/// from. The binder takes that connection and no other.
///
/// ```
/// use ipc_socket::Tcp;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = Tcp::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 4];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Tcp;

impl Channel for Tcp {
    const SPEC: Spec = Spec {
        name: "tcp",
        summary: "a loopback TCP connection, TCP_NODELAY",
        family: Family::InternetSocket,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Network,
        objects: "1 connection (2 sockets)",
        limit: "none; buffers grow by themselves (net.ipv4.tcp_wmem, tcp_rmem)",
        limits: &[
            Limit::in_flight(
                "bytes in the send buffer (the last of three numbers)",
                Setting::Sysctl("net/ipv4/tcp_wmem"),
            ),
            Limit::in_flight(
                "bytes in the receive buffer (the last of three numbers)",
                Setting::Sysctl("net/ipv4/tcp_rmem"),
            ),
        ],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Address("getpeername(2) of the connection"),
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
        let (near, far) = connection::pair(options)?;
        Ok((end(near, options)?, end(far, options)?))
    }
}

/// [`Tcp`] says how the two sides meet.
impl Rendezvous for Tcp {
    /// System calls: `socket`, `bind`, `listen`, `getsockname`, `ppoll`, `accept4`, `getpeername`, `setsockopt`; those of
    /// [`Meeting`](ipc_core::liveness::Meeting).
    fn bind(name: &Name, options: &Options) -> Result<StreamEnd> {
        end(connection::bind(name, Self::SPEC.name, options)?, options)
    }

    /// System calls: `socket`, `bind`, `getsockname`, `connect`, `setsockopt`; those of
    /// [`Meeting`](ipc_core::liveness::Meeting).
    fn connect(name: &Name, options: &Options) -> Result<StreamEnd> {
        end(connection::connect(name, Self::SPEC.name, options)?, options)
    }
}

fn end(socket: OwnedFd, options: &Options) -> Result<StreamEnd> {
    set(&socket, sockopt::TcpNoDelay, &true)?;
    StreamEnd::new(socket, options)
}
