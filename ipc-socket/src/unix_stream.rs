//! `unix-stream`: a pair of Unix stream sockets.

use crate::{StreamEnd, local};
use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous,
    Result, Setting, Spec, liveness::hear_exactly, objects,
};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use std::os::fd::AsRawFd;

/// `unix-stream`: a connected pair of Unix stream sockets.
///
/// - **Good for** most channels between processes of one host. It is duplex, ends with an end of file, can pass
///   descriptors, and knows who the peer is.
/// - **Bad for** message boundaries. [`UnixSeqpacket`](crate::UnixSeqpacket) keeps them at the same price.
///
/// Messages have no limit and no boundaries: the receiver's buffer must be as long as the message. In flight are 208
/// KiB with the kernel's records by default (`net.core.wmem_default`). The kernel attests the sender: `SO_PEERCRED`
/// names the process that connected, and `SCM_CREDENTIALS` the process that sent a message. Its ends are
/// [`StreamEnd`]s. Sources: unix(7), `net/unix/af_unix.c`.
///
/// # Meeting by name
///
/// The binder listens at a path, accepts one connection of its own user, and removes the path. Then it sends one byte,
/// by which the connector knows that it was accepted.
///
/// ```
/// use ipc_socket::UnixStream;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = UnixStream::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 4];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixStream;

impl Channel for UnixStream {
    const SPEC: Spec = Spec {
        name: "unix-stream",
        summary: "a pair of Unix stream sockets",
        family: Family::UnixSocket,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 socket pair",
        limit: "none; 208 KiB with the kernel's records in flight by default (net.core.wmem_default)",
        limits: &[Limit::in_flight("bytes in the send buffer", Setting::Sysctl("net/core/wmem_default"))],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Credentials(
            "SCM_CREDENTIALS with each message, SO_PEERCRED of the connection, unix(7)",
        ),
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "mode 0600 in a folder of mode 0700, and the peer's user is asked for (SO_PEERCRED)",
        good_for: "the default between processes of one host; passes descriptors, knows the peer's user",
        bad_for: "message boundaries",
        manual: "unix(7)",
    };
    type Endpoint = StreamEnd;

    /// System call: `socketpair`.
    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|e| Error::os("socketpair", e))?;
        for socket in [&a, &b] {
            crate::socket::resize(socket, options)?;
        }
        Ok((StreamEnd::new(a, options)?, StreamEnd::new(b, options)?))
    }
}

/// [`UnixStream`] says how the two sides meet.
impl Rendezvous for UnixStream {
    /// System calls: `socket`, `fchmod`, `bind`, `listen`, `ppoll`, `accept4`, `getsockopt`, `unlink`, `send`.
    fn bind(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let path = objects::path(name, Self::SPEC.name)?;
        let (listener, named) = local::listening(&path, SockType::Stream, options)?;
        let socket = local::accept(&listener, deadline)?;
        drop((named, listener));
        crate::socket::resize(&socket, options)?;
        send(socket.as_raw_fd(), &[0], MsgFlags::MSG_NOSIGNAL).map_err(|e| Error::os("send", e))?;
        StreamEnd::new(socket, options)
    }

    /// System calls: `socket`, `connect` once a millisecond until the peer is there, `getsockopt`, `ppoll`, `read`.
    fn connect(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let socket = local::connected(&objects::path(name, Self::SPEC.name)?, SockType::Stream, options, deadline)?;
        hear_exactly(&socket, &mut [0], deadline)?;
        StreamEnd::new(socket, options)
    }
}
