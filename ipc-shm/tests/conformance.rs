//! Every clause of the contract on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_shm::{Memfd, MemfdWrite, MmapAnon, MmapFile, PosixShm, ProcessVm, SysvShm};

fn main() {
    run([
        Suite::of::<SysvShm>().in_place::<SysvShm>().rendezvous::<SysvShm>(),
        Suite::of::<PosixShm>().in_place::<PosixShm>().rendezvous::<PosixShm>(),
        Suite::of::<Memfd>().in_place::<Memfd>(),
        Suite::of::<MmapFile>().in_place::<MmapFile>().rendezvous::<MmapFile>(),
        Suite::of::<MmapAnon>().in_place::<MmapAnon>(),
        Suite::of::<MemfdWrite>().in_place::<MemfdWrite>(),
        Suite::of::<ProcessVm>().in_place::<ProcessVm>(),
    ]);
}
