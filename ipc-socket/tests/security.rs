//! What strangers and careless neighbours find closed, on every variant of this crate. The ports of `tcp`, `tcp-zerocopy` and `udp` are open to
//! everybody, so there nobody but the peer may be listened to.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Endpoint, Error, Name, Options, Rendezvous,
    liveness::retry_by,
    process::{self, Exit},
};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream, UdpSocket},
    time::Duration,
};

fn main() {
    run_all([
        Suite::security::<UnixStream>().security_by_name::<UnixStream>(),
        Suite::security::<UnixDgram>().security_by_name::<UnixDgram>(),
        Suite::security::<UnixSeqpacket>().security_by_name::<UnixSeqpacket>(),
        Suite::security::<Tcp>()
            .security_by_name::<Tcp>()
            .test("a_stranger_who_connects_is_not_the_peer", a_stranger_who_connects_is_not_the_peer::<Tcp>),
        Suite::security::<TcpZerocopy>()
            .security_by_name::<TcpZerocopy>()
            .test("a_stranger_who_connects_is_not_the_peer", a_stranger_who_connects_is_not_the_peer::<TcpZerocopy>),
        Suite::security::<Udp>()
            .security_by_name::<Udp>()
            .test("a_stranger_who_sends_is_not_heard", a_stranger_who_sends_is_not_heard),
    ]);
}

const SOON: Duration = Duration::from_secs(5);

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn within(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

/// The loopback ports of a process's sockets, from `/proc/net/tcp` or `udp` (proc_pid_net(5)), which every user can read.
fn ports(pid: u32, protocol: &str) -> Vec<u16> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |file: fs::DirEntry| {
        let link = fs::read_link(file.path()).ok()?;
        Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    let inodes: Vec<_> = files.filter_map(inode).collect();
    let table = fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
    let port = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let ours = inodes.iter().any(|inode| Some(&inode.as_str()) == fields.get(9));
        ours.then(|| u16::from_str_radix(fields.get(1)?.strip_prefix("0100007F:")?, 16).ok())?
    };
    table.lines().filter_map(port).collect()
}

/// Strangers come first, and say what a peer might say; the binder sends them away and talks to his peer.
fn a_stranger_who_connects_is_not_the_peer<C: Rendezvous>() -> Verdict {
    let (name, options) = (Name::unique(), within(SOON));
    let mut binder = process::fork(|| {
        let mut buffer = [0; 4];
        let talked = C::bind(&name, &options).and_then(|mut end| end.recv(&mut buffer).and_then(|_| end.send(b"pong")));
        i32::from(talked.is_err() || &buffer != b"ping")
    })
    .map_err(words)?;
    let pid = binder.pid().as_raw().cast_unsigned();
    let port = retry_by(options.deadline(), || Ok(ports(pid, "tcp").first().copied())).map_err(words)?;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        // Until it listens.
        let connected = retry_by(options.deadline(), || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()));
        let mut stranger = connected.map_err(words)?;
        stranger.set_read_timeout(Some(SOON)).map_err(words)?;
        stranger.write_all(b"ping").map_err(words)?;
        strangers.push(stranger);
    }
    let mut end = C::connect(&name, &options).map_err(words)?;
    let mut buffer = [0; 4];
    end.send(b"ping").and_then(|()| end.recv(&mut buffer)).map_err(words)?;
    if &buffer != b"pong" || binder.wait(SOON).map_err(words)? != Some(Exit::Code(0)) {
        return Err("the binder did not talk to its peer".into());
    }
    for mut stranger in strangers {
        match stranger.read(&mut buffer) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => return Err(format!("a stranger was answered: {other:?}")),
        }
    }
    Ok(())
}

/// Datagrams to both ports, before and between the peer's own.
fn a_stranger_who_sends_is_not_heard() -> Verdict {
    let before = ports(std::process::id(), "udp");
    let (mut a, mut b) = Udp::pair(&within(Duration::from_millis(50))).map_err(words)?;
    let ports: Vec<_> = ports(std::process::id(), "udp").into_iter().filter(|port| !before.contains(port)).collect();
    if ports.len() != 2 {
        return Err(format!("two ports were expected: {ports:?}"));
    }
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(words)?;
    let mut buffer = [0; 64];
    for _ in 0..10 {
        for &port in &ports {
            // Whether it is refused is of no interest.
            let _ = stranger.send_to(b"junk", (Ipv4Addr::LOCALHOST, port));
        }
        a.send(b"ping").map_err(words)?;
        let len = b.recv(&mut buffer).map_err(words)?;
        b.send(b"pong").map_err(words)?;
        let answer = a.recv(&mut buffer[len..]).map_err(words)?;
        if &buffer[..len + answer] != b"pingpong" {
            return Err(format!("{:?} came", &buffer[..len + answer]));
        }
    }
    match (a.recv(&mut buffer), b.recv(&mut buffer)) {
        (Err(Error::TimedOut), Err(Error::TimedOut)) => Ok(()),
        other => Err(format!("after all that was sent: {other:?}")),
    }
}
