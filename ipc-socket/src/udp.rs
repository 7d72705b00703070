//! `udp`: two UDP sockets over the loopback interface.

use crate::{DatagramEnd, datagram_end::Kind, loopback};
use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous,
    Result, Setting, Spec,
    liveness::{Liveness, Meeting},
};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockType, recv},
};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::Instant,
};

/// `udp`: two UDP sockets, connected to each other over the loopback interface.
///
/// - **Good for** messages of which only the newest counts, from peers that may be on another host.
/// - **Bad for** whatever must arrive. Where the buffer of the receiver is full, messages are dropped and nobody is
///   told.
///
/// A message has at most 65,507 bytes. In flight are 208 KiB with the kernel's records by default
/// (`net.core.rmem_default`). The receiver knows the address that a message came from (recvfrom(2)). Its ends are
/// [`DatagramEnd`]s. Sources: udp(7), `net/ipv4/udp.c`.
///
/// # Meeting by name
///
/// The two sides meet at a private socket first, and tell each other their ports. A connected UDP socket takes
/// datagrams from the port of its peer alone.
///
/// ```
/// use ipc_socket::Udp;
/// use ipc_socket::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = Udp::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_socket::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Udp;

/// The longest message, in bytes: the longest IPv4 packet less its header and UDP's.
const MAX_MESSAGE: usize = 65_535 - 20 - 8;

impl Channel for Udp {
    const SPEC: Spec = Spec {
        name: "udp",
        summary: "2 loopback UDP sockets, connected to each other",
        family: Family::InternetSocket,
        framing: Framing::Message,
        reliability: Reliability::Lossy,
        reach: Reach::Network,
        objects: "2 sockets, and 1 pair that shows whether the peer lives",
        limit: "65507 bytes; 208 KiB with the kernel's records in flight by default (net.core.rmem_default)",
        limits: &[Limit::in_flight("bytes in the receive buffer", Setting::Sysctl("net/core/rmem_default"))],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Address("recvfrom(2) of each message"),
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "ECONNREFUSED after a send; nothing to the receiver, so a second socket tells",
        trust: "every user can reach the port; the kernel takes datagrams from the port alone that the peer told over a private socket",
        good_for: "news where only the newest counts; peers that may one day be on another host",
        bad_for: "whatever must arrive: a full receiver drops messages and nobody is told",
        manual: "udp(7)",
    };
    type Endpoint = DatagramEnd;

    /// System calls: `socket`, `bind`, `getsockname`, `connect`, `getpeername` and `recv` twice; `socketpair`.
    fn pair(options: &Options) -> Result<(DatagramEnd, DatagramEnd)> {
        let [a, b] = [loopback::bound(SockType::Datagram, options)?, loopback::bound(SockType::Datagram, options)?];
        let (peer_of_a, peer_of_b) = Liveness::pair()?;
        connect(&a, loopback::port(&b)?)?;
        connect(&b, loopback::port(&a)?)?;
        Ok((end(a, peer_of_a, options)?, end(b, peer_of_b, options)?))
    }
}

/// The two sides meet first; each tells its port and connects to the other's. Every user can send to either port; the kernel
/// takes only what comes from the peer's (udp(7)), which nobody else can have while the peer lives.
impl Rendezvous for Udp {
    /// System calls: `socket`, `bind`, `getsockname`, `connect`, `getpeername`, `recv`; those of [`Meeting`].
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
    let socket = loopback::bound(SockType::Datagram, options)?;
    peer.tell(loopback::port(&socket)?.into())?;
    connect(&socket, loopback::port_of(peer.hear(deadline)?)?)?;
    // Nobody sends before both are connected and have thrown strangers' messages away.
    peer.tell(0)?;
    peer.hear(deadline)?;
    end(socket, peer, options)
}

/// Connects to `port`, from where alone messages are taken from then on, and throws away what has come from others.
fn connect(socket: &OwnedFd, port: u16) -> Result<()> {
    loopback::connect_to(socket, port)?;
    if !loopback::is_peer(socket, port)? {
        return Err(Error::Corrupt { what: "the socket is connected to another port" });
    }
    loop {
        match recv(socket.as_raw_fd(), &mut [], MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(Error::os("recv", errno)),
        }
    }
}

fn end(socket: OwnedFd, peer: Liveness, options: &Options) -> Result<DatagramEnd> {
    DatagramEnd::new(socket, peer, Kind { tells: false, reliable: false, max: MAX_MESSAGE }, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{SockaddrIn, getsockname, sendto};

    #[test]
    fn what_came_before_the_peer_was_known_is_thrown_away() {
        let options = Options::default();
        let [ours, peer, stranger] = [(); 3].map(|()| loopback::bound(SockType::Datagram, &options).unwrap());
        let address: SockaddrIn = getsockname(ours.as_raw_fd()).unwrap();
        for junk in [&b"junk"[..], &[]] {
            sendto(stranger.as_raw_fd(), junk, &address, MsgFlags::empty()).unwrap();
        }
        connect(&ours, loopback::port(&peer).unwrap()).unwrap();
        sendto(stranger.as_raw_fd(), b"late", &address, MsgFlags::empty()).unwrap();
        assert_eq!(recv(ours.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT), Err(Errno::EAGAIN));
        sendto(peer.as_raw_fd(), b"peer", &address, MsgFlags::empty()).unwrap();
        assert_eq!(recv(ours.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT), Ok(4));
    }
}
