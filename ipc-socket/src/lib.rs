//! Unix domain sockets (unix(7)) and loopback TCP and UDP (tcp(7), udp(7)) behind the [`Channel`](ipc_core::Channel)
//! trait.

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
