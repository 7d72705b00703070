//! The contract that IPC mechanisms of Linux keep, and what all of them need.
//!
//! A mechanism is a type that implements [`Channel`]. [`Channel::pair`] makes the kernel objects and returns both ends
//! of a duplex link. The caller forks, and each process drops the end that is not its own. An end is an [`Endpoint`],
//! which moves whole messages.
//!
//! # Using a mechanism
//!
//! The mechanisms are in crates of their own (`ipc-pipe`, `ipc-fifo`, `ipc-msgq`, `ipc-shm`, `ipc-socket`), each of
//! which re-exports this one:
//!
//! ```
//! use ipc_core::{Channel, Endpoint, Options};
//! use ipc_shm::Memfd;
//!
//! let (mut a, mut b) = Memfd::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = [0; 64];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_core::Error>(())
//! ```
//!
//! # Writing a mechanism
//!
//! The contract is written out at [`Channel`], [`Endpoint`], [`SendInPlace`], [`InPlace`] and [`Rendezvous`]. The
//! crate `ipc-conformance` has the tests that every channel must pass. [`Channel`] shows a complete one.
//!
//! # What is here
//!
//! - [`Options`], [`Wait`] and [`Name`] are what the caller chooses. [`Spec`] is what a reader wants to know before
//!   choosing.
//! - [`Error`] is the one error type. It keeps the errno and the name of the call.
//! - [`wait`], [`transfer`], [`stream`], [`liveness`] and [`watch`] are for waiting by any strategy with a deadline,
//!   for whole messages over byte streams, and for noticing a dead peer where the kernel does not tell.
//! - [`objects`], [`sysv`] and [`leftovers`] are for names and guards. A journal lets a later process remove what a
//!   killed one left.
//! - [`corruption`] remembers that an end has found its channel corrupt.
//! - [`ledger`] counts the system calls and copies that messages took.
//! - [`pages`] and [`shared`] are memory of an end's own, and a page of counters shared with children.
//! - [`process`], [`futex`] and [`deadline`] are safe wrappers for forking, pinning, supervising and sleeping.
//!
//! This crate depends on no mechanism.

pub mod buffer;
pub mod channel;
pub mod corruption;
pub mod deadline;
pub mod error;
pub mod futex;
pub mod ledger;
pub mod leftovers;
pub mod liveness;
pub mod objects;
pub mod options;
pub mod pages;
pub mod process;
pub mod shared;
pub mod spec;
pub mod stream;
pub mod sysv;
pub mod transfer;
pub mod wait;
pub mod watch;

pub use buffer::Buffer;
pub use channel::{Channel, Endpoint, InPlace, Rendezvous, SendInPlace};
pub use error::{Error, Result, Sign};
pub use options::{Name, Options, Wait};
pub use spec::{Attested, Bounds, Copies, Custody, Family, Framing, Limit, Reach, Reliability, Setting, Spec};

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
