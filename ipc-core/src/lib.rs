//! The contract that every IPC mechanism of this workspace keeps, and what all of them need.
//!
//! A mechanism is a type that implements [`Channel`]: [`Channel::pair`] makes the kernel objects and returns both ends
//! of a duplex link, the caller forks, and each process drops the end that is not its own. An end is an [`Endpoint`],
//! which moves whole messages. The contract is written out at [`Channel`] and [`Endpoint`]; the crate `ipc-conformance`
//! holds the tests that every channel must pass.
//!
//! This crate depends on no mechanism. What it shares out:
//!
//! - [`Options`], [`Wait`], [`Name`]: what the caller chooses; [`Spec`]: what a reader wants to know before choosing;
//! - [`Error`]: the one error type, which keeps errno and the name of the call;
//! - [`wait`], [`transfer`], [`liveness`], [`watch`]: waiting by any strategy with a deadline, whole messages over byte
//!   streams, and noticing a dead peer where the kernel does not tell;
//! - [`objects`], [`sysv`], [`leftovers`]: names, guards, the journal that lets a later process remove what a killed one left,
//!   and a look at what was left;
//! - [`corruption`]: an end that has found its channel corrupt, for good;
//! - [`ledger`]: the system calls and copies that messages took;
//! - [`pages`]: memory of an end's own, page-aligned;
//! - [`process`], [`futex`]: safe wrappers for forking, pinning, supervising and sleeping; [`deadline`]: waits that being stopped
//!   does not shorten.

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
