//! `posix-shm`: rings in a POSIX shared memory object.

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

/// `posix-shm`: rings in a POSIX shared memory object, a file in the tmpfs at `/dev/shm`.
///
/// - **Good for** unrelated processes: a name, permissions, a descriptor.
/// - **Bad for** a small `/dev/shm`, which has 64 MiB in many containers. The object cannot be sealed. A process of the
///   same user can shorten it, which ends both sides with `SIGBUS`.
///
/// The name is removed as soon as both ends have mapped the object.
/// Its ends are [`RingEnd`]s, which tell about copies, waiting and limits.
/// Sources: shm_overview(7), shm_open(3), `mm/shmem.c`.
///
/// ```
/// use ipc_shm::PosixShm;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = PosixShm::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
///
/// Two unrelated processes meet by name. One binds, the other connects:
///
/// ```no_run
/// use ipc_shm::PosixShm;
/// use ipc_shm::ipc_core::{Endpoint, Name, Options, Rendezvous};
///
/// let name = Name::new("prices")?;
/// let mut end = match std::env::args().nth(1).as_deref() {
///     Some("bind") => PosixShm::bind(&name, &Options::default())?,
///     _ => PosixShm::connect(&name, &Options::default())?,
/// };
/// end.send(b"hello")?;
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
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

/// The name of the object for `name`, with its slash.
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
