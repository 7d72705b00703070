//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_pipe::{Pipe, Splice, Vmsplice};

fn main() {
    run_all([Suite::security::<Pipe>(), Suite::security::<Vmsplice>(), Suite::security::<Splice>()]);
}
