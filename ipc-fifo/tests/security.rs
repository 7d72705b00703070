//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_fifo::Fifo;

fn main() {
    run_all([Suite::security::<Fifo>().security_by_name::<Fifo>()]);
}
