//! Two processes play one round of ping-pong over a pipe.

use ipc_pipe::Pipe;
use ipc_pipe::ipc_core::{self, Channel, Endpoint, Options, process};
use std::time::Duration;

fn main() -> ipc_core::Result<()> {
    let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
    let (mut child, mut here) = process::fork_peer(Pipe::pair(&options)?, |mut there| {
        let mut ping = [0; 4];
        i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
    })?;

    here.send(b"ping")?;
    let mut pong = [0; 4];
    here.recv(&mut pong)?;
    println!("{}: {}", Pipe::SPEC.name, String::from_utf8_lossy(&pong));
    child.wait(Duration::from_secs(5))?;
    Ok(())
}
