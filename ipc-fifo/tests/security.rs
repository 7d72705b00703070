//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_fifo::Fifo;

fn main() {
    run([Suite::private::<Fifo>().against_intruders::<Fifo>()]);
}
