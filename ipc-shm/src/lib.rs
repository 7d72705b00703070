//! Messages between two processes of one host through shared memory, as [`Channel`](ipc_core::Channel)s.
//!
//! A channel has two rings in shared memory, one for each direction. Each ring has one producer and one consumer. A
//! message takes no lock, and no system call unless an end has to wait.
//!
//! # Mechanisms
//!
//! Five mechanisms have the same rings and the same end, [`RingEnd`]. They differ in how both processes get the same
//! pages:
//!
//! | mechanism | memory | how the other process gets it |
//! |---|---|---|
//! | [`Memfd`] | a sealed file without a name, memfd_create(2) | inherits it |
//! | [`MmapAnon`] | an anonymous shared mapping, mmap(2) | inherits it |
//! | [`PosixShm`] | an object in `/dev/shm`, shm_overview(7) | by name |
//! | [`MmapFile`] | a mapped file, mmap(2) | by name |
//! | [`SysvShm`] | a System V segment, sysvipc(7) | by name |
//!
//! Once mapped they are the same memory. So they differ in naming, life time and cost of set-up.
//!
//! Two more leave one of the two copies of a message to the kernel:
//!
//! | mechanism | what the kernel copies |
//! |---|---|
//! | [`MemfdWrite`] | the sender writes the message into the ring with pwrite(2) |
//! | [`ProcessVm`] | the receiver reads the message out of the sender's memory with process_vm_readv(2) |
//!
//! The documentation of each type says what it is good and bad for. `SPEC` has the same facts as constants.
//!
//! # Example
//!
//! Both ends in one process. This crate re-exports [`ipc_core`], so one dependency is enough:
//!
//! ```
//! use ipc_shm::Memfd;
//! use ipc_shm::ipc_core::{Channel, Endpoint, Options};
//!
//! let (mut a, mut b) = Memfd::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = [0; 64];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_shm::ipc_core::Error>(())
//! ```
//!
//! Each in a process of its own. The caller forks and each process keeps one end:
//!
//! ```no_run
//! use ipc_shm::Memfd;
//! use ipc_shm::ipc_core::{Channel, Endpoint, Options, process::fork_peer};
//! use std::time::Duration;
//!
//! let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
//! let (mut child, mut here) = fork_peer(Memfd::pair(&options)?, |mut there| {
//!     let mut ping = [0; 4];
//!     i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
//! })?;
//! here.send(b"ping")?;
//! let mut pong = [0; 4];
//! here.recv(&mut pong)?;
//! child.wait(Duration::from_secs(5))?;
//! # Ok::<(), ipc_shm::ipc_core::Error>(())
//! ```
//!
//! # Limits
//!
//! - A message is at most half the ring less 8 bytes. With [`ProcessVm`] it is 24 bytes less.
//! - A ring has [`Options::capacity`](ipc_core::Options::capacity) bytes, rounded up to a power of two. The default is
//!   256 KiB, or eight times [`Options::max_message`](ipc_core::Options::max_message) if that is more. At least 4 KiB,
//!   at most 2 GiB.
//! - A channel links exactly two ends. Both open with the same options.
//! - A ring is not a descriptor: epoll(7) cannot wait for it.
//! - Linux only.
//!
//! # Soundness
//!
//! With a peer that keeps to the protocol this is ordinary sound Rust. A hostile peer can write the shared memory at
//! any time. It gets [`Error::Corrupt`](ipc_core::Error::Corrupt) and no access outside the mapping, but it can change
//! a message that [`recv_with`](ipc_core::InPlace::recv_with) is lending. The documentation of `Area::read` in
//! `src/ring.rs` states what is assumed, what the compiler may do, and the sources. The feature `hostile` has the peer
//! that the tests and the fuzz target use.

pub use ipc_core;

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

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
