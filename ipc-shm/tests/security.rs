//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_shm::{Memfd, MmapAnon, MmapFile, PosixShm, SysvShm};

fn main() {
    run([
        Suite::private::<SysvShm>().against_intruders::<SysvShm>(),
        Suite::private::<PosixShm>().against_intruders::<PosixShm>(),
        Suite::private::<Memfd>(),
        Suite::private::<MmapFile>().against_intruders::<MmapFile>(),
        Suite::private::<MmapAnon>(),
    ]);
}
