//! Every clause of the contract, on every mechanism of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_shm::{
    Memfd, MemfdWrite, MmapAnon, MmapFile, PosixShm, ProcessVm, SysvShm,
    hostile::{mend, spoil},
};

fn main() {
    run_all([
        Suite::of::<SysvShm>().corrupted_by::<SysvShm>(spoil, mend).in_place::<SysvShm>().rendezvous::<SysvShm>(),
        Suite::of::<PosixShm>().corrupted_by::<PosixShm>(spoil, mend).in_place::<PosixShm>().rendezvous::<PosixShm>(),
        Suite::of::<Memfd>().corrupted_by::<Memfd>(spoil, mend).in_place::<Memfd>(),
        Suite::of::<MmapFile>().corrupted_by::<MmapFile>(spoil, mend).in_place::<MmapFile>().rendezvous::<MmapFile>(),
        Suite::of::<MmapAnon>().corrupted_by::<MmapAnon>(spoil, mend).in_place::<MmapAnon>(),
        Suite::of::<MemfdWrite>().corrupted_by::<MemfdWrite>(spoil, mend).in_place::<MemfdWrite>(),
        Suite::of::<ProcessVm>().corrupted_by::<ProcessVm>(spoil, mend).in_place::<ProcessVm>(),
    ]);
}
