//! The ways in which the relay experiment copies a file into another file.

use crate::named;

named! {
    /// A way from file to file.
    "relay" FileCopy {
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

impl FileCopy {
    /// The number of copies that textbooks give for this way, if they give one. "Pipes, message queues and the like"
    /// have four. Shared memory has two: from the file into the segment, and from the segment into the file.
    pub const fn claimed(self) -> Option<u32> {
        match self {
            FileCopy::ReadPipeWrite
            | FileCopy::ReadSysvMsgqWrite
            | FileCopy::ReadPosixMqWrite
            | FileCopy::ReadUnixStreamWrite
            | FileCopy::ReadTcpWrite => Some(4),
            FileCopy::SharedMemoryPrivate | FileCopy::SharedMemoryInPlace => Some(2),
            FileCopy::MappedPipe
            | FileCopy::Splice
            | FileCopy::Sendfile
            | FileCopy::CopyFileRange
            | FileCopy::MappedCopy => None,
        }
    }
}
