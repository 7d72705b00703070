//! Every clause of the contract on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_fifo::Fifo;

fn main() {
    run_all([Suite::of::<Fifo>().rendezvous::<Fifo>()]);
}
