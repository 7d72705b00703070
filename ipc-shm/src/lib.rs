//! Shared memory behind the [`Channel`](ipc_core::Channel) trait.
//!
//! One single-producer single-consumer ring per direction, written once in `ring.rs` and `protocol.rs`, over five ways of
//! getting the same pages into two processes: [`SysvShm`], [`PosixShm`], [`Memfd`], [`MmapFile`], [`MmapAnon`]. Once
//! mapped they are the same memory, so what differs between them is naming, life time and set-up cost, and that is what
//! their figures should show.
//!
//! Shared memory has no synchronisation of its own, no boundaries, no end of file and no limit: the ring supplies the
//! first two, a Unix socket that is never written to the third (see [`ipc_core::liveness`]), half the ring the last.

mod end;
#[cfg(test)]
mod heap;
#[cfg(feature = "hostile")]
pub mod hostile;
mod mapping;
mod memfd;
mod mmap_anon;
mod mmap_file;
mod posix_shm;
mod protocol;
mod ring;
mod sysv_shm;

pub use end::RingEnd;
pub use memfd::Memfd;
pub use mmap_anon::MmapAnon;
pub use mmap_file::MmapFile;
pub use posix_shm::PosixShm;
pub use sysv_shm::SysvShm;
