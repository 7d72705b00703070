//! Messages between two processes of one host through message queues of the kernel, as
//! [`Channel`](ipc_core::Channel)s.
//!
//! # Mechanisms
//!
//! | mechanism | objects | reach |
//! |---|---|---|
//! | [`SysvMsgq`] | two System V queues, sysvipc(7) | by name |
//! | [`PosixMq`] | two POSIX queues, mq_overview(7) | by name |
//!
//! Both keep message boundaries.
//!
//! The documentation of each type says what it is good and bad for. `SPEC` has the same facts as constants.
//!
//! # Example
//!
//! Both ends in one process. This crate re-exports [`ipc_core`], so one dependency is enough:
//!
//! ```
//! use ipc_msgq::SysvMsgq;
//! use ipc_msgq::ipc_core::{Channel, Endpoint, Options};
//!
//! let (mut a, mut b) = SysvMsgq::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = vec![0; b.max_message()];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_msgq::ipc_core::Error>(())
//! ```
//!
//! Each in a process of its own. The caller forks and each process keeps one end:
//!
//! ```no_run
//! use ipc_msgq::SysvMsgq;
//! use ipc_msgq::ipc_core::{Channel, Endpoint, Options, process::fork_peer};
//! use std::time::Duration;
//!
//! let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
//! let (mut child, mut here) = fork_peer(SysvMsgq::pair(&options)?, |mut there| {
//!     let mut ping = vec![0; there.max_message()];
//!     i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
//! })?;
//! here.send(b"ping")?;
//! let mut pong = vec![0; here.max_message()];
//! here.recv(&mut pong)?;
//! child.wait(Duration::from_secs(5))?;
//! # Ok::<(), ipc_msgq::ipc_core::Error>(())
//! ```
//!
//! # Limits
//!
//! - With [`SysvMsgq`] a message has at most `kernel.msgmax` bytes (8 KiB) and fits the queue. A queue holds
//!   `kernel.msgmnb` bytes (16 KiB).
//! - With [`PosixMq`] a message has at most `fs.mqueue.msgsize_max` bytes (8 KiB). A queue holds `fs.mqueue.msg_max`
//!   messages (10). All queues of a user share `RLIMIT_MSGQUEUE`.
//! - The receiver of a [`PosixMq`] needs a buffer of [`max_message`](ipc_core::Endpoint::max_message) bytes, whatever
//!   is in the queue.
//! - Queues do not show that a peer is gone. A Unix socket pair beside them does, and carries no messages.
//! - System V queues of killed processes stay until [`objects::sweep`](ipc_core::objects::sweep) removes them.
//! - Linux only.

pub use ipc_core;

mod posix_mq;
mod sys;
mod sysv_msgq;

pub use posix_mq::{PosixMq, PosixMqEnd};
pub use sysv_msgq::{SysvMsgq, SysvMsgqEnd};

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
