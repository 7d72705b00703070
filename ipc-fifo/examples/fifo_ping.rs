//! Two processes play one round of ping-pong over FIFOs, which they find by name.

use ipc_fifo::Fifo;
use ipc_fifo::ipc_core::{self, Channel, Endpoint, Name, Options, Rendezvous, process};
use std::time::Duration;

fn main() -> ipc_core::Result<()> {
    let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
    let name = Name::unique();
    let mut child = process::fork(|| {
        let mut ping = [0; 4];
        let answer = |mut there: <Fifo as Channel>::Endpoint| there.recv(&mut ping).and_then(|_| there.send(b"pong"));
        i32::from(Fifo::connect(&name, &options).and_then(answer).is_err())
    })?;

    let mut here = Fifo::bind(&name, &options)?;
    here.send(b"ping")?;
    let mut pong = [0; 4];
    here.recv(&mut pong)?;
    println!("{}: {}", Fifo::SPEC.name, String::from_utf8_lossy(&pong));
    child.wait(Duration::from_secs(5))?;
    Ok(())
}
