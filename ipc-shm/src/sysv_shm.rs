//! `sysv-shm`: rings in a System V shared memory segment.

use crate::{
    backing::{self, Backing, NamedBacking},
    end::RingEnd,
    mapping::Mapping,
};
use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Limit, Name, Options, Reach, Reliability, Rendezvous,
    Result, Setting, Spec,
    objects::{Object, Owned},
    spec::kernel_limit,
    sysv,
};
use nix::errno::Errno;

/// `sysv-shm`: rings in a System V shared memory segment.
///
/// - **Good for** programs that use System V already.
/// - **Bad for** anything new. A number stands for a name. The limits are those of the whole system. A segment outlives
///   its processes unless it is marked for removal.
///
/// The segment is marked for removal as soon as both ends have attached it, and goes with the last of them.
/// Its ends are [`RingEnd`]s, which tell about copies, waiting and limits.
/// Sources: sysvipc(7), shmget(2), shmat(2), `ipc/shm.c`.
///
/// ```
/// use ipc_shm::SysvShm;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = SysvShm::pair(&Options::default())?;
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
/// use ipc_shm::SysvShm;
/// use ipc_shm::ipc_core::{Endpoint, Name, Options, Rendezvous};
///
/// let name = Name::new("prices")?;
/// let mut end = match std::env::args().nth(1).as_deref() {
///     Some("bind") => SysvShm::bind(&name, &Options::default())?,
///     _ => SysvShm::connect(&name, &Options::default())?,
/// };
/// end.send(b"hello")?;
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SysvShm;

impl Channel for SysvShm {
    const SPEC: Spec = Spec {
        name: "sysv-shm",
        summary: "a ring in a System V segment",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 segment, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        limits: &[
            Limit::length("bytes in a segment", Setting::Sysctl("kernel/shmmax")),
            Limit::amount("pages of all segments", Setting::Sysctl("kernel/shmall"), libc::ENOSPC),
            Limit::amount("segments", Setting::Sysctl("kernel/shmmni"), libc::ENOSPC),
        ],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(0) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "mode 0600; cannot be cut; what a peer scribbles is checked",
        good_for: "programs that have it already",
        bad_for: "anything new: keys instead of names, segments outlive their processes",
        manual: "sysvipc(7)",
    };
    type Endpoint = RingEnd;

    /// System calls: `shmget`, `shmat`, `shmctl(IPC_RMID)`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        backing::pair::<Self>(options)
    }
}

impl Rendezvous for SysvShm {
    fn bind(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::bind::<Self>(name, options)
    }

    fn connect(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::connect::<Self>(name, options)
    }
}

impl Backing for SysvShm {
    fn create(len: usize) -> Result<Mapping> {
        segment(sysv::fresh_key(), len).map(|(mapping, _key)| mapping)
    }
}

impl NamedBacking for SysvShm {
    fn create_named(name: &Name, len: usize) -> Result<(Mapping, Owned)> {
        segment(key(name), len)
    }

    fn open_named(name: &Name, len: usize) -> Result<Mapping> {
        Mapping::attach(sysv::find_segment(key(name))?, len)
    }
}

/// The key of the segment for `name`.
fn key(name: &Name) -> sysv::Key {
    sysv::key_of(name, SysvShm::SPEC.name)
}

/// Makes and attaches a segment of `len` bytes. It is marked for removal when the guard is dropped, and goes with the
/// last process that has it attached.
///
/// # Errors
/// [`Error::TooLarge`] beyond `kernel.shmmax`. [`Error::Taken`] if the key is taken. [`Error::Os`] of `shmget` or
/// `shmat`.
fn segment(key: sysv::Key, len: usize) -> Result<(Mapping, Owned)> {
    let (id, guard) = Owned::create(Object::SysvSegment(key), || {
        sysv::create_segment(key, len).map_err(|error| {
            let max = kernel_limit("/proc/sys/kernel/shmmax", usize::MAX);
            let too_large = matches!(error, Error::Os { source: Errno::EINVAL, .. }) && len > max;
            if too_large { Error::TooLarge { len, max } } else { error }
        })
    })?;
    Ok((Mapping::attach(id, len)?, guard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::tests;

    #[test]
    fn fresh_memory_is_zeroed_and_unrelated() {
        tests::fresh_memory_is_zeroed_and_unrelated::<SysvShm>();
    }

    #[test]
    fn a_name_leads_to_the_memory_while_its_guard_lives() {
        tests::a_name_leads_to_the_memory_while_its_guard_lives::<SysvShm>();
    }
}
