//! `mmap-anon`: rings in an anonymous shared mapping.

use crate::{
    backing::{self, Backing},
    end::RingEnd,
    mapping::Mapping,
};
use ipc_core::{Attested, Channel, Copies, Custody, Family, Framing, Options, Reach, Reliability, Result, Spec};

/// `mmap-anon`: rings in an anonymous mapping that a fork shares.
///
/// - **Good for** a parent and its children: one system call, no name, nothing to clean up.
/// - **Bad for** unrelated processes: there is nothing to open.
///
/// Its ends are [`RingEnd`]s, which tell about copies, waiting and limits.
/// Sources: mmap(2) with `MAP_SHARED | MAP_ANONYMOUS`, `mm/shmem.c`.
///
/// ```
/// use ipc_shm::MmapAnon;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = MmapAnon::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MmapAnon;

impl Channel for MmapAnon {
    const SPEC: Spec = Spec {
        name: "mmap-anon",
        summary: "a ring in an anonymous shared mapping",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "1 mapping, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        limits: &[],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(0) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "no name and no descriptor: nobody can cut it; what a peer scribbles is checked",
        good_for: "parent and child: one call, no name, nothing to clean up",
        bad_for: "unrelated processes: there is nothing to open",
        manual: "mmap(2)",
    };
    type Endpoint = RingEnd;

    /// System calls: `mmap`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        backing::pair::<Self>(options)
    }
}

impl Backing for MmapAnon {
    fn create(len: usize) -> Result<Mapping> {
        Mapping::anonymous(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::tests;

    #[test]
    fn fresh_memory_is_zeroed_and_unrelated() {
        tests::fresh_memory_is_zeroed_and_unrelated::<MmapAnon>();
    }
}
