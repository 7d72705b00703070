//! Carries a file into another file over each way there is, and counts what that costs.
//!
//! This is the example by which textbooks compare mechanisms: a process reads a file and sends it, another receives and
//! writes it; pipes and queues are said to copy four times on the way, shared memory twice. [`carry_all`] carries one source
//! by every [`Relay`] in turn, over and over, compares every byte afterwards, and makes a
//! [`RelayRow`](crate::record::RelayRow) of each.
//!
//! [`Files`] are the source and the destination, a [`Crew`] is the one or two processes of a relay.

use crate::cell::named;

mod crew;
mod files;
mod measure;
mod sys;
mod traced;
mod ways;

pub use crew::{Carried, Crew, Load};
pub use files::Files;
pub use measure::{Outcome, Plan, carry_all, carry_by, carry_once};
pub use traced::{Traced, Uncounted, trace_once};

named! {
    /// A way from file to file.
    "relay" Relay {
        /// read, a pipe, write.
        ReadPipeWrite = "read-pipe-write",
        /// read, a System V queue, write.
        ReadSysvMsgqWrite = "read-sysv-msgq-write",
        /// read, a POSIX queue, write.
        ReadPosixMqWrite = "read-posix-mq-write",
        /// read, a Unix stream socket, write.
        ReadUnixStreamWrite = "read-unix-stream-write",
        /// read, TCP over loopback, write.
        ReadTcpWrite = "read-tcp-write",
        /// read into a private buffer, memcpy into a ring, memcpy out of it, write.
        SharedMemoryPrivate = "shm-private-buffers",
        /// read straight into the ring, write straight from it.
        SharedMemoryInPlace = "shm-in-place",
        /// Both files mapped, a pipe from one mapping to the other.
        MappedPipe = "mapped-files-pipe",
        /// splice into a pipe, splice out of it.
        Splice = "splice-pipe-splice",
        /// sendfile, without IPC.
        Sendfile = "sendfile",
        /// copy_file_range, without IPC.
        CopyFileRange = "copy-file-range",
        /// Both files mapped, one memcpy, without IPC.
        MappedCopy = "mapped-files-memcpy",
    }
}

impl Relay {
    /// The copies that textbooks give for it, where they do: "pipes, message queues and the like" four, shared memory two,
    /// from the file into the segment and from the segment into the file.
    pub const fn claimed(self) -> Option<u32> {
        match self {
            Relay::ReadPipeWrite
            | Relay::ReadSysvMsgqWrite
            | Relay::ReadPosixMqWrite
            | Relay::ReadUnixStreamWrite
            | Relay::ReadTcpWrite => Some(4),
            Relay::SharedMemoryPrivate | Relay::SharedMemoryInPlace => Some(2),
            Relay::MappedPipe | Relay::Splice | Relay::Sendfile | Relay::CopyFileRange | Relay::MappedCopy => None,
        }
    }
}
