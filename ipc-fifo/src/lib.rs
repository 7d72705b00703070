//! Byte streams between processes that agree on a path, through named pipes, as [`Channel`](ipc_core::Channel)s.
//!
//! # Mechanisms
//!
//! | mechanism | objects | reach |
//! |---|---|---|
//! | [`Fifo`] | two FIFOs, fifo(7) | by name |
//!
//! An end can be polled: epoll(7) takes its [descriptor](ipc_core::Endpoint::descriptor).
//!
//! The documentation of each type says what it is good and bad for. `SPEC` has the same facts as constants.
//!
//! # Example
//!
//! Both ends in one process. This crate re-exports [`ipc_core`], so one dependency is enough:
//!
//! ```
//! use ipc_fifo::Fifo;
//! use ipc_fifo::ipc_core::{Channel, Endpoint, Options};
//!
//! let (mut a, mut b) = Fifo::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = [0; 4];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_fifo::ipc_core::Error>(())
//! ```
//!
//! Each in a process of its own. The caller forks and each process keeps one end:
//!
//! ```no_run
//! use ipc_fifo::Fifo;
//! use ipc_fifo::ipc_core::{Channel, Endpoint, Options, process::fork_peer};
//! use std::time::Duration;
//!
//! let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
//! let (mut child, mut here) = fork_peer(Fifo::pair(&options)?, |mut there| {
//!     let mut ping = [0; 4];
//!     i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
//! })?;
//! here.send(b"ping")?;
//! let mut pong = [0; 4];
//! here.recv(&mut pong)?;
//! child.wait(Duration::from_secs(5))?;
//! # Ok::<(), ipc_fifo::ipc_core::Error>(())
//! ```
//!
//! # Limits
//!
//! - Both processes know the length of each message: the receiver's buffer is as long as the message. A message has no
//!   limit.
//! - In flight are 64 KiB, or [`Options::capacity`](ipc_core::Options::capacity) up to `fs.pipe-max-size`. Beyond
//!   `fs.pipe-user-pages-soft` a new FIFO is refused with `EPERM`.
//! - The paths lie in a private folder below `TMPDIR` and are gone when both sides have met.
//! - Writing to a FIFO that nobody reads raises `SIGPIPE`, which Rust programs ignore from the start.
//! - Linux only.

pub use ipc_core;

mod fifo;

pub use fifo::Fifo;

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
