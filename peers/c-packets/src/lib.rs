//! `c-packets`: a small library of C, `packets.h`, as a channel.
//!
//! Without a C compiler the crate builds all the same. [`CPackets`] is then unsupported, with the reason.

#[cfg_attr(no_compiler, path = "left_out.rs")]
mod sys;

use ipc_core::{
    Channel, Endpoint, Family, Framing, Options, Result, Spec,
    transfer::{check_len, whole},
    wait::{WaitPolicy, Waiter},
};
use nix::poll::PollFlags;
use std::{os::fd::BorrowedFd, time::Duration};

/// A pair of sequenced-packet sockets behind a library of C.
///
/// - **Good for** showing how a library of C becomes a channel: its calls never wait, and `ipc-core` waits for them.
/// - **Bad for** speed: where nothing is there yet, a message takes three system calls instead of one.
pub struct CPackets;

impl Channel for CPackets {
    const SPEC: Spec = Spec {
        family: Family::UnixSocket,
        framing: Framing::Message,
        pollable: true,
        objects: "1 socket pair",
        limit: "the send buffer (net.core.wmem_default)",
        peer_death: "end of file, EPIPE",
        trust: "no name to open; the bytes lie in the kernel, so a peer can only send wrong ones",
        good_for: "an example: a library of C as a channel",
        bad_for: "messages longer than the send buffer",
        manual: "unix(7)",
        ..Spec::new("c-packets", "a library of C over a pair of sequenced-packet sockets")
    };
    type Endpoint = CPacketsEnd;

    fn pair(options: &Options) -> Result<(CPacketsEnd, CPacketsEnd)> {
        let end = |packets: sys::Packets| {
            check_len(options.max_message.unwrap_or(0).max(options.capacity.unwrap_or(0)), packets.max())?;
            Ok(CPacketsEnd { packets, policy: WaitPolicy::of(options) })
        };
        let (a, b) = sys::Packets::open()?;
        Ok((end(a)?, end(b)?))
    }
}

/// One end of [`CPackets`].
pub struct CPacketsEnd {
    packets: sys::Packets,
    policy: WaitPolicy,
}

impl Endpoint for CPacketsEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        check_len(message.len(), self.packets.max())?;
        let waiter = Waiter::new(&self.policy, None);
        whole("sendmsg", self.packets.fd(), PollFlags::POLLOUT, waiter, || self.packets.send(message))
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let waiter = Waiter::new(&self.policy, None);
        let len = whole("recvmsg", self.packets.fd(), PollFlags::POLLIN, waiter, || self.packets.recv(buffer))?;
        check_len(len, buffer.len()).map(|()| len)
    }

    fn max_message(&self) -> usize {
        self.packets.max()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.packets.fd())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.policy.timeout = timeout;
        Ok(())
    }
}
