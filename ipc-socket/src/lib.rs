//! Messages between two processes through Unix domain sockets, and through TCP and UDP over the loopback interface, as
//! [`Channel`](ipc_core::Channel)s.
//!
//! # Mechanisms
//!
//! | mechanism | socket | framing |
//! |---|---|---|
//! | [`UnixStream`] | Unix stream, unix(7) | stream |
//! | [`UnixSeqpacket`] | Unix sequenced-packet, unix(7) | message |
//! | [`UnixDgram`] | Unix datagram, unix(7) | message |
//! | [`Tcp`] | TCP, tcp(7) | stream |
//! | [`TcpZerocopy`] | TCP with `MSG_ZEROCOPY`, send(2) | stream |
//! | [`Udp`] | UDP, udp(7): the only one that loses messages | message |
//!
//! All of them reach processes by name. An end can be polled: epoll(7) takes its
//! [descriptor](ipc_core::Endpoint::descriptor).
//!
//! The documentation of each type says what it is good and bad for. `SPEC` has the same facts as constants.
//!
//! # Example
//!
//! Both ends in one process. This crate re-exports [`ipc_core`], so one dependency is enough:
//!
//! ```
//! use ipc_socket::UnixSeqpacket;
//! use ipc_socket::ipc_core::{Channel, Endpoint, Options};
//!
//! let (mut a, mut b) = UnixSeqpacket::pair(&Options::default())?;
//! a.send(b"ping")?;
//! let mut buffer = [0; 64];
//! let len = b.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ping");
//! # Ok::<(), ipc_socket::ipc_core::Error>(())
//! ```
//!
//! Each in a process of its own. The caller forks and each process keeps one end:
//!
//! ```no_run
//! use ipc_socket::UnixSeqpacket;
//! use ipc_socket::ipc_core::{Channel, Endpoint, Options, process::fork_peer};
//! use std::time::Duration;
//!
//! let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
//! let (mut child, mut here) = fork_peer(UnixSeqpacket::pair(&options)?, |mut there| {
//!     let mut ping = [0; 64];
//!     i32::from(there.recv(&mut ping).and_then(|_| there.send(b"pong")).is_err())
//! })?;
//! here.send(b"ping")?;
//! let mut pong = [0; 64];
//! here.recv(&mut pong)?;
//! child.wait(Duration::from_secs(5))?;
//! # Ok::<(), ipc_socket::ipc_core::Error>(())
//! ```
//!
//! # Limits
//!
//! - Over a stream both processes know the length of each message. A message has no limit.
//! - [`UnixSeqpacket`] and [`UnixDgram`] carry at most the send buffer less 32 bytes: about 208 KiB by default, up to
//!   4 MiB.
//! - [`Udp`] carries at most 65,507 bytes, and drops messages if the receiver's buffer is full.
//! - Every user of the host can reach a TCP or UDP port. Only the peer that was met by name is listened to.
//! - Datagram sockets do not show the receiver that its peer is gone. A Unix socket pair beside them does.
//! - Linux only.

pub use ipc_core;

mod connection;
mod datagram_end;
mod local;
mod loopback;
mod slots;
mod socket;
mod stream_end;
mod sys;
mod tcp;
mod tcp_zerocopy;
mod udp;
mod unix_dgram;
mod unix_seqpacket;
mod unix_stream;
mod zerocopy_end;

pub use datagram_end::DatagramEnd;
pub use stream_end::StreamEnd;
pub use tcp::Tcp;
pub use tcp_zerocopy::TcpZerocopy;
pub use udp::Udp;
pub use unix_dgram::UnixDgram;
pub use unix_seqpacket::UnixSeqpacket;
pub use unix_stream::UnixStream;
pub use zerocopy_end::{Completions, ZerocopyEnd};

// So that the example of README.md is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
