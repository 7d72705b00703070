//! Every clause of the contract on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_msgq::{PosixMq, SysvMsgq};

fn main() {
    run([Suite::of::<SysvMsgq>().rendezvous::<SysvMsgq>(), Suite::of::<PosixMq>().rendezvous::<PosixMq>()]);
}
