//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_msgq::{PosixMq, SysvMsgq};

fn main() {
    run_all([
        Suite::security::<SysvMsgq>().security_by_name::<SysvMsgq>(),
        Suite::security::<PosixMq>().security_by_name::<PosixMq>(),
    ]);
}
