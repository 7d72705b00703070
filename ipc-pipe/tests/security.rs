//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_pipe::{Pipe, Splice, Vmsplice};

fn main() {
    run([Suite::private::<Pipe>(), Suite::private::<Vmsplice>(), Suite::private::<Splice>()]);
}
