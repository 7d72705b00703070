//! Shared memory behind the [`Channel`](ipc_core::Channel) trait.
//!
//! One single-producer single-consumer ring per direction, written once in `ring.rs` and `protocol.rs`, over five ways of
//! getting the same pages into two processes: [`SysvShm`], [`PosixShm`], [`Memfd`], [`MmapFile`], [`MmapAnon`]. Once
//! mapped they are the same memory, so what differs between them is naming, life time and set-up cost, and that is what
//! their figures should show.
//!
//! Two more variants go past the ring with the payload, and leave one copy to the kernel: [`MemfdWrite`], whose sender writes
//! it into the ring with pwrite(2), and [`ProcessVm`], whose receiver copies it out of the sender's own memory and finds only
//! descriptors in the ring.
//!
//! Shared memory has no synchronisation of its own, no boundaries, no end of file and no limit: the ring supplies the
//! first two, a Unix socket that is never written to the third (see [`ipc_core::liveness`]), half the ring the last.

mod backing;
mod end;
#[cfg(test)]
mod heap;
#[cfg(feature = "hostile")]
pub mod hostile;
mod mapping;
mod memfd;
mod memfd_write;
mod mmap_anon;
mod mmap_file;
mod open;
mod posix_shm;
mod process_vm;
mod protocol;
mod record;
mod ring;
mod source;
mod sys;
mod sysv_shm;

pub use end::RingEnd;
pub use memfd::Memfd;
pub use memfd_write::{MemfdWrite, MemfdWriteEnd};
pub use mmap_anon::MmapAnon;
pub use mmap_file::MmapFile;
pub use posix_shm::PosixShm;
pub use process_vm::{ProcessVm, ProcessVmEnd};
pub use sysv_shm::SysvShm;
