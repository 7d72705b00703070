//! Every clause of the contract on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_pipe::{Pipe, Splice, Vmsplice};

fn main() {
    run_all([
        Suite::of::<Pipe>(),
        Suite::of::<Vmsplice>().send_in_place::<Vmsplice>(),
        Suite::of::<Splice>().send_in_place::<Splice>(),
    ]);
}
