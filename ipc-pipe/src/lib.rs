//! Byte streams between related processes through pipes, as [`Channel`](ipc_core::Channel)s.
//!
//! [`Pipe`] copies a message into the kernel and out again. [`Vmsplice`] and [`Splice`] let the pipe refer to pages of
//! the sender, which leaves one copy.
//!
//! # Mechanisms
//!
//! | mechanism | how bytes get in | copies |
//! |---|---|---|
//! | [`Pipe`] | write(2) | 2 |
//! | [`Vmsplice`] | vmsplice(2), by reference to private memory | 1 in place |
//! | [`Splice`] | splice(2), by reference to the pages of a memfd | 1 in place |
//!
//! Bytes come out by read(2) in all three. An end can be polled: epoll(7) takes its
//! [descriptor](ipc_core::Endpoint::descriptor).
//!
//! The documentation of each type says what it is good and bad for. `SPEC` has the same facts as constants.
//!
//! # Example
//!
//! Both ends in one process. This crate re-exports [`ipc_core`], so one dependency is enough:
//!
//! ```
//! use ipc_pipe::Pipe;
//! use ipc_pipe::ipc_core::{Channel, Endpoint, Options};
//!
//! let (mut a, mut b) = Pipe::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = [0; 4];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_pipe::ipc_core::Error>(())
//! ```
//!
//! Each in a process of its own. The caller forks and each process keeps one end:
//!
//! ```no_run
//! use ipc_pipe::Pipe;
//! use ipc_pipe::ipc_core::{Channel, Endpoint, Options, process::fork_peer};
//! use std::time::Duration;
//!
//! let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
//! let (mut child, mut here) = fork_peer(Pipe::pair(&options)?, |mut there| {
//!     let mut ping = [0; 4];
//!     i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
//! })?;
//! here.send(b"ping")?;
//! let mut pong = [0; 4];
//! here.recv(&mut pong)?;
//! child.wait(Duration::from_secs(5))?;
//! # Ok::<(), ipc_pipe::ipc_core::Error>(())
//! ```
//!
//! # Limits
//!
//! - Both processes know the length of each message: the receiver's buffer is as long as the message.
//! - With [`Pipe`] a message has no limit. With the others it has at most
//!   [`Options::max_message`](ipc_core::Options::max_message), up to 1 GiB. The default is 64 KiB.
//! - In flight are 64 KiB, or [`Options::capacity`](ipc_core::Options::capacity) up to `fs.pipe-max-size`. Beyond
//!   `fs.pipe-user-pages-soft` a new pipe is refused with `EPERM`.
//! - The ends must be inherited by a fork. `ipc-fifo` has pipes with a name.
//! - Writing to a pipe that nobody reads raises `SIGPIPE`, which Rust programs ignore from the start.
//! - Linux only.

pub use ipc_core;

mod lent_end;
mod pipe;
mod pool;
mod splice;
mod vmsplice;

pub use lent_end::LentEnd;
pub use pipe::Pipe;
pub use splice::Splice;
pub use vmsplice::Vmsplice;

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
