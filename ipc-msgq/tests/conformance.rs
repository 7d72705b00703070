//! Every clause of the contract on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_msgq::{PosixMq, SysvMsgq};

fn main() {
    run_all([Suite::of::<SysvMsgq>().rendezvous::<SysvMsgq>(), Suite::of::<PosixMq>().rendezvous::<PosixMq>()]);
}
