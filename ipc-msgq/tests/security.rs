//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_msgq::{PosixMq, SysvMsgq};

fn main() {
    run([
        Suite::private::<SysvMsgq>().against_intruders::<SysvMsgq>(),
        Suite::private::<PosixMq>().against_intruders::<PosixMq>(),
    ]);
}
