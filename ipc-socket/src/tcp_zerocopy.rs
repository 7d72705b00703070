//! `tcp-zerocopy`: a TCP connection over the loopback interface whose sender does not copy.

use crate::{
    ZerocopyEnd, connection,
    socket::{set, zero_copy},
};
use ipc_core::{
    Attested, Channel, Copies, Custody, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous, Result,
    Setting, Spec,
};
use nix::sys::socket::sockopt;
use std::os::fd::OwnedFd;

/// `tcp-zerocopy`: a TCP connection over the loopback interface whose sender leaves the payload in its own memory
/// (`MSG_ZEROCOPY`).
///
/// - **Good for** messages of many kilobytes that leave the host. The network card reads them where they were
///   produced.
/// - **Bad for** one host, where it saves nothing. A receiver on the same host could hold the pages of the sender for
///   as long as it likes. So the kernel copies them on their way (`skb_orphan_frags_rx`, `net/core/dev.c`), and
///   notifies that it did ([`Completions::copied`](crate::Completions)). It takes two copies as without, and pinning
///   pages and notifying come on top.
///
/// The sender may write a place again only when the kernel has notified it that nobody reads there any more. Its ends,
/// [`ZerocopyEnd`]s, keep the books on that. Everything else is as for [`Tcp`](crate::Tcp). Sources: send(2),
/// `Documentation/networking/msg_zerocopy.rst`.
///
/// ```
/// use ipc_socket::TcpZerocopy;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options, SendInPlace};
///
/// let (mut a, mut b) = TcpZerocopy::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let mut buffer = [0; 4096];
/// b.recv(&mut buffer)?;
/// assert_eq!(buffer, [7; 4096]);
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpZerocopy;

impl Channel for TcpZerocopy {
    const SPEC: Spec = Spec {
        name: "tcp-zerocopy",
        summary: "a loopback TCP connection, sent to with MSG_ZEROCOPY, TCP_NODELAY",
        family: Family::InternetSocket,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Network,
        objects: "1 connection (2 sockets), and up to 8 MiB of memory an end to send from",
        limit: "none; 128 messages and 8 MiB unacknowledged, or 2 messages (RLIMIT_MEMLOCK, net.core.optmem_max)",
        limits: &[
            Limit::in_flight(
                "bytes in the send buffer (the last of three numbers)",
                Setting::Sysctl("net/ipv4/tcp_wmem"),
            ),
            Limit::in_flight(
                "bytes in the receive buffer (the last of three numbers)",
                Setting::Sysctl("net/ipv4/tcp_rmem"),
            ),
            Limit::in_flight(
                "bytes sent and not yet acknowledged, of all processes of a user",
                Setting::Rlimit("RLIMIT_MEMLOCK"),
            ),
            Limit::in_flight("bytes of the notifications of a socket", Setting::Sysctl("net/core/optmem_max")),
        ],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Address("getpeername(2) of the connection"),
        declared_copies: Copies { copying: 3, in_place: Some(2) },
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE, ECONNRESET",
        trust: "every user can reach the port; only a connection from the port that the peer told over a private socket is taken",
        good_for: "long messages to another host, read by its network card where they were produced",
        bad_for: "one host: the kernel copies after all, and notifies of each send on top",
        manual: "send(2)",
    };
    type Endpoint = ZerocopyEnd;

    /// System calls: `socket`, `bind` and `getsockname` twice, `listen`, `connect`, `ppoll`, `accept4`, `getpeername`; `mmap` twice
    /// and `setsockopt` four times.
    fn pair(options: &Options) -> Result<(ZerocopyEnd, ZerocopyEnd)> {
        let (near, far) = connection::pair(options)?;
        Ok((end(near, options)?, end(far, options)?))
    }
}

/// The two sides meet first; the binder tells its port, the connector the port it comes from, and the binder takes that
/// connection and no other.
impl Rendezvous for TcpZerocopy {
    /// System calls: `socket`, `bind`, `listen`, `getsockname`, `ppoll`, `accept4`, `getpeername`, `mmap`, `setsockopt` twice;
    /// those of [`Meeting`](ipc_core::liveness::Meeting).
    fn bind(name: &Name, options: &Options) -> Result<ZerocopyEnd> {
        end(connection::bind(name, Self::SPEC.name, options)?, options)
    }

    /// System calls: `socket`, `bind`, `getsockname`, `connect`, `mmap`, `setsockopt` twice; those of
    /// [`Meeting`](ipc_core::liveness::Meeting).
    fn connect(name: &Name, options: &Options) -> Result<ZerocopyEnd> {
        end(connection::connect(name, Self::SPEC.name, options)?, options)
    }
}

fn end(socket: OwnedFd, options: &Options) -> Result<ZerocopyEnd> {
    set(&socket, sockopt::TcpNoDelay, &true)?;
    zero_copy(&socket, TcpZerocopy::SPEC.name)?;
    ZerocopyEnd::new(socket, options)
}
