//! What the kernel tells a receiver about the sender is what `SPEC.attested_sender` says.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{Attested, Channel, Endpoint, Name, Options, Rendezvous, process};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};
use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrIn, UnixCredentials, getpeername, getsockname, getsockopt, recvfrom,
        recvmsg, setsockopt, sockopt,
    },
    unistd::{Pid, getegid, geteuid},
};
use std::{
    io::IoSliceMut,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

fn main() {
    run_all([Suite::new("attested")
        .test("unix_stream_messages", credentials_of_messages::<UnixStream>)
        .test("unix_dgram_messages", credentials_of_messages::<UnixDgram>)
        .test("unix_seqpacket_messages", credentials_of_messages::<UnixSeqpacket>)
        .test("unix_stream_connection", credentials_of_the_connection::<UnixStream>)
        .test("unix_seqpacket_connection", credentials_of_the_connection::<UnixSeqpacket>)
        .test("tcp_connection", address_of_the_connection::<Tcp>)
        .test("tcp_zerocopy_connection", address_of_the_connection::<TcpZerocopy>)
        .test("udp_messages", address_of_messages)]);
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn options() -> Options {
    Options { timeout: Some(Duration::from_secs(10)), ..Options::default() }
}

fn descriptor(end: &impl Endpoint) -> Result<BorrowedFd<'_>, String> {
    end.descriptor().ok_or_else(|| "the end has no descriptor".to_owned())
}

/// They must be those of the process `sender` of this user.
fn belong_to(sender: Pid, pid: i32, uid: u32, gid: u32) -> Verdict {
    let expected = (sender.as_raw(), geteuid().as_raw(), getegid().as_raw());
    if (pid, uid, gid) == expected { Ok(()) } else { Err(format!("{:?}, not {expected:?}", (pid, uid, gid))) }
}

/// The credentials that the kernel adds to the next message.
fn received_credentials(end: BorrowedFd<'_>) -> Result<UnixCredentials, String> {
    let (mut byte, mut room) = ([0; 64], cmsg_space!(UnixCredentials));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(end.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::empty()).map_err(words)?;
    let found = message.cmsgs().map_err(words)?.find_map(|attested| match attested {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
        _ => None,
    });
    found.ok_or_else(|| "a message without credentials".to_owned())
}

/// `SCM_CREDENTIALS` names the process that sent the message, which is not the one that made the sockets.
fn credentials_of_messages<C: Channel>() -> Verdict {
    assert!(matches!(C::SPEC.attested_sender, Attested::Credentials(source) if source.contains("SCM_CREDENTIALS")));
    let (here, there) = C::pair(&options()).map_err(words)?;
    setsockopt(&descriptor(&here)?, sockopt::PassCred, &true).map_err(words)?;
    let (sender, here) = process::fork_peer((here, there), |mut there| match there.send(&[1; 64]) {
        // The message is read before this end goes.
        Ok(()) => i32::from(there.recv(&mut [0; 1 << 20]).is_ok()),
        Err(_) => 1,
    })
    .map_err(words)?;
    let credentials = received_credentials(descriptor(&here)?)?;
    belong_to(sender.pid(), credentials.pid(), credentials.uid(), credentials.gid())
}

/// `SO_PEERCRED` names the process that connected.
fn credentials_of_the_connection<C: Rendezvous>() -> Verdict {
    assert!(matches!(C::SPEC.attested_sender, Attested::Credentials(source) if source.contains("SO_PEERCRED")));
    let name = Name::unique();
    let connector = process::fork(|| match C::connect(&name, &options()) {
        Ok(mut end) => i32::from(end.recv(&mut [0; 1 << 20]).is_ok()),
        Err(_) => 1,
    })
    .map_err(words)?;
    let here = C::bind(&name, &options()).map_err(words)?;
    let credentials = getsockopt(&descriptor(&here)?, sockopt::PeerCredentials).map_err(words)?;
    belong_to(connector.pid(), credentials.pid(), credentials.uid(), credentials.gid())
}

/// `getpeername` tells the address of the other end.
fn address_of_the_connection<C: Channel>() -> Verdict {
    assert!(matches!(C::SPEC.attested_sender, Attested::Address(_)));
    let (here, there) = C::pair(&options()).map_err(words)?;
    let told: SockaddrIn = getpeername(descriptor(&here)?.as_raw_fd()).map_err(words)?;
    is_address_of(told, &there)
}

/// `recvfrom` tells the address that a message came from.
fn address_of_messages() -> Verdict {
    assert!(matches!(Udp::SPEC.attested_sender, Attested::Address(_)));
    let (here, mut there) = Udp::pair(&options()).map_err(words)?;
    there.send(&[1; 64]).map_err(words)?;
    let (_, told) = recvfrom::<SockaddrIn>(descriptor(&here)?.as_raw_fd(), &mut [0; 64]).map_err(words)?;
    is_address_of(told.ok_or("a message without an address")?, &there)
}

fn is_address_of(told: SockaddrIn, end: &impl Endpoint) -> Verdict {
    let own: SockaddrIn = getsockname(descriptor(end)?.as_raw_fd()).map_err(words)?;
    if told == own { Ok(()) } else { Err(format!("{told}, not {own}")) }
}
