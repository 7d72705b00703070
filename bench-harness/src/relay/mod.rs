//! Carries a file into another file over each way there is, and counts what that costs.

use crate::cell::named;
use std::{fmt, str::FromStr};

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
