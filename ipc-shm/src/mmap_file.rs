//! `mmap-file`: rings in a mapped file.

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
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::path::PathBuf;

/// `mmap-file`: rings in a mapped regular file in the user's temporary folder.
///
/// - **Good for** content that belongs on disk as well.
/// - **Bad for** pure messaging. The kernel writes dirty pages back, and after each write-back the next store to the
///   page faults again. A process of the same user can shorten the file, which ends both sides with `SIGBUS`.
///
/// The name is removed as soon as both ends have mapped the file.
/// Its ends are [`RingEnd`]s, which tell about copies, waiting and limits.
/// Sources: mmap(2) with `MAP_SHARED`, `mm/filemap.c`.
///
/// ```
/// use ipc_shm::MmapFile;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = MmapFile::pair(&Options::default())?;
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
/// use ipc_shm::MmapFile;
/// use ipc_shm::ipc_core::{Endpoint, Name, Options, Rendezvous};
///
/// let name = Name::new("prices")?;
/// let mut end = match std::env::args().nth(1).as_deref() {
///     Some("bind") => MmapFile::bind(&name, &Options::default())?,
///     _ => MmapFile::connect(&name, &Options::default())?,
/// };
/// end.send(b"hello")?;
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MmapFile;

impl Channel for MmapFile {
    const SPEC: Spec = Spec {
        name: "mmap-file",
        summary: "a ring in a mapped file",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "1 file, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        limits: &[Limit::amount("bytes of all files", Setting::TemporaryFolder, libc::ENOSPC)],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(0) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "mode 0600 in a folder of mode 0700; what a peer scribbles is checked; a process of the user that cuts it ends both (SIGBUS)",
        good_for: "content that belongs on disk as well",
        bad_for: "pure messaging: dirty pages are written back",
        manual: "mmap(2)",
    };
    type Endpoint = RingEnd;

    /// System calls: `open`, `getrlimit`, `fallocate`, `mmap`, `unlink`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        backing::pair::<Self>(options)
    }
}

impl Rendezvous for MmapFile {
    fn bind(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::bind::<Self>(name, options)
    }

    fn connect(name: &Name, options: &Options) -> Result<RingEnd> {
        backing::connect::<Self>(name, options)
    }
}

impl Backing for MmapFile {
    fn create(len: usize) -> Result<Mapping> {
        Self::create_named(&Name::unique(), len).map(|(mapping, _name)| mapping)
    }
}

impl NamedBacking for MmapFile {
    fn create_named(name: &Name, len: usize) -> Result<(Mapping, Owned)> {
        let path = path(name)?;
        let (file, guard) = Owned::create(Object::Path(path.clone()), || {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("open", e))
        })?;
        reserve(&file, len)?;
        Ok((Mapping::of(&file, len)?, guard))
    }

    fn open_named(name: &Name, len: usize) -> Result<Mapping> {
        let path = path(name)?;
        // O_NONBLOCK, so as not to wait if a FIFO has the name.
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = open(&path, flags, Mode::empty()).map_err(|e| Error::os("open", e))?;
        Mapping::of_found(file, len, path.display())
    }
}

/// The path of the file for `name`, in the user's private folder.
fn path(name: &Name) -> Result<PathBuf> {
    objects::path(name, "mmap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::tests;

    #[test]
    fn fresh_memory_is_zeroed_and_unrelated() {
        tests::fresh_memory_is_zeroed_and_unrelated::<MmapFile>();
    }

    #[test]
    fn a_name_leads_to_the_memory_while_its_guard_lives() {
        tests::a_name_leads_to_the_memory_while_its_guard_lives::<MmapFile>();
    }
}
