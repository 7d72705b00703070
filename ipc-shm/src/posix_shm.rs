//! `posix-shm`: a POSIX shared memory object (shm_overview(7), a file in the tmpfs at `/dev/shm`).
//!
//! Good for strangers: a name, permissions, a descriptor. Bad where `/dev/shm` is small (64 MiB in many containers) or where
//! a peer may truncate the object under the reader: it cannot be sealed. Unlinked as soon as both ends hold it.

use crate::{
    backing::{self, Backing, NamedBacking},
    end::RingEnd,
    mapping::{Mapping, reserve},
};
use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous,
    Result, Setting, Spec,
    objects::{self, Object, Owned},
};
use nix::{
    fcntl::OFlag,
    sys::{mman::shm_open, stat::Mode},
};

/// A POSIX shared memory object.
#[derive(Debug)]
pub struct PosixShm;

impl Channel for PosixShm {
    const SPEC: Spec = Spec {
        name: "posix-shm",
        summary: "a ring in a POSIX shared memory object",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 object, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        limits: &[Limit::amount("bytes of all objects", Setting::Folder("/dev/shm"), libc::ENOSPC)],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(0) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "mode 0600; what a peer scribbles is checked; a process of the user that cuts it ends both (SIGBUS)",
        good_for: "unrelated processes: a name, permissions, a descriptor",
        bad_for: "a small /dev/shm; peers that may truncate it (no seals)",
        manual: "shm_overview(7)",
    };
    type Endpoint = RingEnd;

    /// System calls: `shm_open`, `getrlimit`, `fallocate`, `mmap`, `shm_unlink`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        backing::pair::<Self>(options)
    }
}

impl Rendezvous for PosixShm {
    fn bind(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::bind::<Self>(name, options)
    }

    fn connect(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::connect::<Self>(name, options)
    }
}

impl Backing for PosixShm {
    fn create(len: usize) -> Result<Mapping> {
        Self::create_named(&Name::unique(), len).map(|(mapping, _name)| mapping)
    }
}

impl NamedBacking for PosixShm {
    fn create_named(name: &Name, len: usize) -> Result<(Mapping, Owned)> {
        let name = object_name(name);
        let (file, guard) = Owned::create(Object::PosixShm(name.clone()), || {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
            shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("shm_open", e))
        })?;
        reserve(&file, len)?;
        Ok((Mapping::of(&file, len)?, guard))
    }

    fn open_named(name: &Name, len: usize) -> Result<Mapping> {
        let name = object_name(name);
        let file = shm_open(name.as_str(), OFlag::O_RDWR, Mode::empty()).map_err(|e| Error::os("shm_open", e))?;
        Mapping::of_found(file, len, name)
    }
}

fn object_name(name: &Name) -> String {
    objects::posix_name(name, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::tests;

    #[test]
    fn fresh_memory_is_zeroed_and_unrelated() {
        tests::fresh_memory_is_zeroed_and_unrelated::<PosixShm>();
    }

    #[test]
    fn a_name_leads_to_the_memory_while_its_guard_lives() {
        tests::a_name_leads_to_the_memory_while_its_guard_lives::<PosixShm>();
    }
}
