//! Every clause of the contract on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_fifo::Fifo;

fn main() {
    run([Suite::of::<Fifo>().rendezvous::<Fifo>()]);
}
