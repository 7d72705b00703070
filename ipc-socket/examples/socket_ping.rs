//! Two processes play one round of ping-pong over a pair of Unix sockets that keep messages apart.

use ipc_socket::UnixSeqpacket;
use ipc_socket::ipc_core::{self, Channel, Endpoint, Options, process};
use std::time::Duration;

fn main() -> ipc_core::Result<()> {
    let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
    let (mut child, mut here) = process::fork_peer(UnixSeqpacket::pair(&options)?, |mut there| {
        let mut ping = [0; 4];
        i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
    })?;

    here.send(b"ping")?;
    let mut pong = [0; 4];
    here.recv(&mut pong)?;
    println!("{}: {}", UnixSeqpacket::SPEC.name, String::from_utf8_lossy(&pong));
    child.wait(Duration::from_secs(5))?;
    Ok(())
}
