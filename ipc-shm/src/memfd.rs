//! `memfd`: a file without a name (memfd_create(2), `mm/memfd.c`).
//!
//! Good where a descriptor can be inherited or passed: no name to plant or leave behind, and the seal against shrinking
//! spares the reader `SIGBUS`. Bad where the peer cannot be handed a descriptor.

use crate::{end::RingEnd, mapping::Mapping, ring::Size};
use ipc_core::{Channel, Error, Framing, Options, Reach, Reliability, Result, Spec};
use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl, posix_fallocate},
    sys::memfd::{MFdFlags, memfd_create},
};

/// A sealed file in memory.
#[derive(Debug)]
pub struct Memfd;

impl Channel for Memfd {
    const SPEC: Spec = Spec {
        name: "memfd",
        summary: "a ring in a sealed memfd",
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "1 memfd, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        declared_copies: 2,
        peer_death: "nothing; a socket beside the memory tells",
        good_for: "peers that can be passed a descriptor: no name, sealed against shrinking",
        bad_for: "peers that know only a name",
        manual: "memfd_create(2)",
    };
    type Endpoint = RingEnd;

    /// System calls: `memfd_create`, `fallocate`, `fcntl(F_ADD_SEALS)`, `mmap`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        let len = Size::of(options)?.mapping_len();
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(c"ipc-bench", flags).map_err(|e| Error::os("memfd_create", e))?;
        posix_fallocate(&file, 0, len as i64).map_err(|e| Error::os("fallocate", e))?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(|e| Error::os("fcntl", e))?;
        RingEnd::pair(Mapping::of(&file, len)?, options)
    }
}
