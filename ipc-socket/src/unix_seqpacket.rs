//! `unix-seqpacket`: a pair of Unix sequenced-packet sockets.

use crate::{
    DatagramEnd,
    datagram_end::Kind,
    local,
    socket::{resize, send_buffer},
};
use ipc_core::{
    Attested, Bounds, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability,
    Rendezvous, Result, Setting, Spec,
    liveness::{Liveness, Meeting},
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::OwnedFd;

/// `unix-seqpacket`: a connected pair of Unix sequenced-packet sockets.
///
/// - **Good for** requests and answers between processes of one host: whole messages, in order, and an end of file.
/// - **Bad for** long messages, since each has to fit the send buffer in one piece.
///
/// A message has at most the send buffer less 32 bytes (`net.core.wmem_default`, or [`Options::capacity`]). The kernel
/// attests the sender: `SO_PEERCRED` names the process that connected, and `SCM_CREDENTIALS` the process that sent a
/// message. Its ends are [`DatagramEnd`]s. Sources: unix(7), `net/unix/af_unix.c`.
///
/// # Meeting by name
///
/// The two sides meet at a socket first. The binder tells the path where it listens. It tells again when it has
/// accepted the connection and removed the path.
///
/// ```
/// use ipc_socket::UnixSeqpacket;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = UnixSeqpacket::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixSeqpacket;

impl Channel for UnixSeqpacket {
    const SPEC: Spec = Spec {
        name: "unix-seqpacket",
        summary: "a pair of Unix sequenced-packet sockets",
        family: Family::UnixSocket,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 socket pair, and 1 that counts empty messages",
        limit: "the send buffer less 32 bytes (net.core.wmem_default, wmem_max), at most 4 MiB",
        // A message that is longer than the send buffer less 32 bytes is EMSGSIZE (unix_dgram_sendmsg, net/unix/af_unix.c).
        limits: &[Limit {
            what: "bytes of a message in the send buffer",
            setting: Setting::Sysctl("net/core/wmem_default"),
            bounds: Bounds::Length { overhead: 32 },
        }],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Credentials(
            "SCM_CREDENTIALS with each message, SO_PEERCRED of the connection, unix(7)",
        ),
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "mode 0600 in a folder of mode 0700, and the peer's user is asked for (SO_PEERCRED)",
        good_for: "requests and answers on one host: whole messages, in order, with an end",
        bad_for: "messages longer than the send buffer",
        manual: "unix(7)",
    };
    type Endpoint = DatagramEnd;

    /// System call: `socketpair` twice.
    fn pair(options: &Options) -> Result<(DatagramEnd, DatagramEnd)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|e| Error::os("socketpair", e))?;
        let (peer_of_a, peer_of_b) = Liveness::pair()?;
        Ok((end(a, peer_of_a, options)?, end(b, peer_of_b, options)?))
    }
}

/// [`UnixSeqpacket`] says how the two sides meet.
impl Rendezvous for UnixSeqpacket {
    /// System calls: `socket`, `fchmod`, `bind`, `listen`, `ppoll`, `accept4`, `getsockopt`, `unlink`; those of
    /// [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<DatagramEnd> {
        let deadline = options.deadline();
        let (path, word) = local::fresh_path(Self::SPEC.name)?;
        let (listener, named) = local::listening(&path, SockType::SeqPacket, options)?;
        let mut peer = Meeting::open(name, Self::SPEC.name)?.accept(deadline)?;
        peer.tell(word)?;
        let socket = local::accept(&listener, deadline)?;
        drop((named, listener));
        peer.tell(0)?;
        end(socket, peer, options)
    }

    /// System calls: `socket`, `connect`, `getsockopt`; those of [`Meeting`].
    fn connect(name: &Name, options: &Options) -> Result<DatagramEnd> {
        let deadline = options.deadline();
        let mut peer = Meeting::join(name, Self::SPEC.name, deadline)?;
        let path = local::path_of(peer.hear(deadline)?, Self::SPEC.name)?;
        let socket = local::connected(&path, SockType::SeqPacket, options, deadline)?;
        peer.hear(deadline)?;
        end(socket, peer, options)
    }
}

fn end(socket: OwnedFd, peer: Liveness, options: &Options) -> Result<DatagramEnd> {
    resize(&socket, options)?;
    let kind = Kind { tells: true, reliable: true, max: max_message(&socket)? };
    DatagramEnd::new(socket, peer, kind, options)
}

/// The longest message of a Unix socket that keeps messages apart, in bytes: its send buffer less 32
/// (`unix_dgram_sendmsg`). Beyond 4 MiB the kernel does not find the memory in one piece, whatever the buffer
/// (`KMALLOC_MAX_SIZE`, but for the pages it may add, `MAX_SKB_FRAGS`).
pub(crate) fn max_message(socket: &OwnedFd) -> Result<usize> {
    const KMALLOC_MAX_BYTES: usize = 4 << 20;
    Ok((send_buffer(socket)? - 32).min(KMALLOC_MAX_BYTES))
}
