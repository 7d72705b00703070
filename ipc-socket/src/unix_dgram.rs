//! `unix-dgram`: a pair of Unix datagram sockets.

use crate::{DatagramEnd, datagram_end::Kind, local, socket::resize, unix_seqpacket::max_message};
use ipc_core::{
    Attested, Bounds, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability,
    Rendezvous, Result, Setting, Spec,
    liveness::{Liveness, Meeting},
    objects::SocketAddress,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, socketpair};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::Instant,
};

/// `unix-dgram`: a connected pair of Unix datagram sockets.
///
/// - **Good for** logs and notices that many processes send to one. Messages are whole, in order and never lost,
///   unlike datagrams of the network.
/// - **Bad for** two peers that have to notice each other's end: there is no end of file.
///   [`UnixSeqpacket`](crate::UnixSeqpacket) has one at the same price. Bad for messages that are longer than the send
///   buffer.
///
/// A message has at most the send buffer less 32 bytes (`net.core.wmem_default`, or [`Options::capacity`]).
/// `net.unix.max_dgram_qlen` bounds how many wait at a socket. The kernel attests the sender of each message
/// (`SCM_CREDENTIALS`). Its ends are [`DatagramEnd`]s. Sources: unix(7), `net/unix/af_unix.c`.
///
/// # Meeting by name
///
/// The two sides meet at a socket first. Each binds a path of its own, tells it, and connects to the other's. Each
/// removes its own path when the other is connected. A connected datagram socket takes messages from its peer alone.
///
/// ```
/// use ipc_socket::UnixDgram;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = UnixDgram::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixDgram;

impl Channel for UnixDgram {
    const SPEC: Spec = Spec {
        name: "unix-dgram",
        summary: "a pair of Unix datagram sockets",
        family: Family::UnixSocket,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 socket pair, and 1 that shows whether the peer lives",
        limit: "the send buffer less 32 bytes (net.core.wmem_default, wmem_max), at most 4 MiB",
        // A message that is longer than the send buffer less 32 bytes is EMSGSIZE (unix_dgram_sendmsg, net/unix/af_unix.c).
        limits: &[
            Limit {
                what: "bytes of a message in the send buffer",
                setting: Setting::Sysctl("net/core/wmem_default"),
                bounds: Bounds::Length { overhead: 32 },
            },
            Limit::in_flight("datagrams waiting at a socket", Setting::Sysctl("net/unix/max_dgram_qlen")),
        ],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Credentials("SCM_CREDENTIALS with each message, unix(7)"),
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "ECONNREFUSED to the sender; nothing to the receiver, so a second socket tells",
        trust: "mode 0600 in a folder of mode 0700; a connected socket takes messages from its peer alone",
        good_for: "notices that many processes send to one: whole messages, in order, never lost",
        bad_for: "two peers that have to notice each other's end; messages longer than the send buffer",
        manual: "unix(7)",
    };
    type Endpoint = DatagramEnd;

    /// System call: `socketpair` twice.
    fn pair(options: &Options) -> Result<(DatagramEnd, DatagramEnd)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|e| Error::os("socketpair", e))?;
        let (peer_of_a, peer_of_b) = Liveness::pair()?;
        Ok((end(a, peer_of_a, options)?, end(b, peer_of_b, options)?))
    }
}

/// [`UnixDgram`] says how the two sides meet.
impl Rendezvous for UnixDgram {
    /// System calls: `socket`, `fchmod`, `bind`, `connect`, `unlink`; those of [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<DatagramEnd> {
        let deadline = options.deadline();
        let meeting = Meeting::open(name, Self::SPEC.name)?;
        link(meeting.accept(deadline)?, options, deadline)
    }

    /// System calls: as `bind`.
    fn connect(name: &Name, options: &Options) -> Result<DatagramEnd> {
        let deadline = options.deadline();
        link(Meeting::join(name, Self::SPEC.name, deadline)?, options, deadline)
    }
}

fn link(mut peer: Liveness, options: &Options, deadline: Instant) -> Result<DatagramEnd> {
    let (path, word) = local::fresh_path(UnixDgram::SPEC.name)?;
    let (socket, named) = local::bound(&path, SockType::Datagram, options)?;
    peer.tell(word)?;
    let theirs = local::path_of(peer.hear(deadline)?, UnixDgram::SPEC.name)?;
    let connected = SocketAddress::of(&theirs)
        .and_then(|theirs| connect(socket.as_raw_fd(), theirs.get()).map_err(|e| Error::os("connect", e)));
    peer.or_gone(connected)?;
    peer.tell(0)?;
    peer.hear(deadline)?;
    drop(named);
    end(socket, peer, options)
}

fn end(socket: OwnedFd, peer: Liveness, options: &Options) -> Result<DatagramEnd> {
    resize(&socket, options)?;
    let kind = Kind { tells: false, reliable: true, max: max_message(&socket)? };
    DatagramEnd::new(socket, peer, kind, options)
}
