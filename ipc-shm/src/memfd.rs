//! `memfd`: rings in a sealed file without a name.

use crate::{
    backing::{self, Backing},
    end::RingEnd,
    mapping::{Mapping, reserve},
};
use ipc_core::{
    Attested, Channel, Copies, Custody, Family, Framing, Options, Reach, Reliability, Result, Spec, pages::sealed_memfd,
};
use std::os::fd::OwnedFd;

/// `memfd`: rings in a file in memory that has no name, sealed against a change of its length.
///
/// - **Good for** peers that inherit the mapping. There is no name to plant or to leave behind. The seals rule out
///   `SIGBUS`: nobody can shorten the file under the mapping.
/// - **Bad for** peers that know only a name. A memfd can be passed over a Unix socket (unix(7)), but this crate does
///   not do so.
///
/// Its ends are [`RingEnd`]s, which tell about copies, waiting and limits.
/// Sources: memfd_create(2), fcntl(2) for the seals, `mm/memfd.c`.
///
/// ```
/// use ipc_shm::Memfd;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = Memfd::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Memfd;

impl Channel for Memfd {
    const SPEC: Spec = Spec {
        name: "memfd",
        summary: "a ring in a sealed memfd",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "1 memfd, 1 socket pair",
        limit: "half the ring; by default 256 KiB a direction, or eight times the longest message",
        limits: &[],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(0) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "no name; sealed: nobody can cut it; what a peer scribbles is checked",
        good_for: "peers that can be passed a descriptor: no name, sealed against shrinking",
        bad_for: "peers that know only a name",
        manual: "memfd_create(2)",
    };
    type Endpoint = RingEnd;

    /// System calls: `memfd_create`, `fchmod`, `getrlimit`, `fallocate`, `fcntl(F_ADD_SEALS)`, `mmap`, `socketpair`.
    fn pair(options: &Options) -> Result<(RingEnd, RingEnd)> {
        backing::pair::<Self>(options)
    }
}

impl Backing for Memfd {
    fn create(len: usize) -> Result<Mapping> {
        Mapping::of(sealed(len)?, len)
    }
}

/// Makes a file of `len` bytes with mode 0600. Nobody can make it shorter or longer, or remove its seals.
///
/// # Errors
/// [`Error::Os`](ipc_core::Error::Os), such as `EMFILE`, `ENOSPC`, or `EFBIG` beyond `RLIMIT_FSIZE`.
pub(crate) fn sealed(len: usize) -> Result<OwnedFd> {
    sealed_memfd(|file| reserve(file, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::tests;
    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, SealFlag, fcntl},
        sys::{
            memfd::{MFdFlags, memfd_create},
            stat::{Mode, fchmod, fstat},
        },
        unistd::{ftruncate, write},
    };

    #[test]
    fn fresh_memory_is_zeroed_and_unrelated() {
        tests::fresh_memory_is_zeroed_and_unrelated::<Memfd>();
    }

    #[test]
    fn nobody_can_change_the_length_or_the_seals() {
        let file = sealed(1 << 16).unwrap();
        for len in [0, 4096, (1 << 16) + 1] {
            assert_eq!(ftruncate(&file, len), Err(Errno::EPERM), "{len}");
        }
        assert_eq!(fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)), Err(Errno::EPERM));
        assert_eq!(write(&file, b"still writable"), Ok(14));
        let status = fstat(&file).unwrap();
        assert_eq!((status.st_size, status.st_mode & 0o777), (1 << 16, 0o600));
    }

    /// Needs Linux 6.3 or later.
    #[test]
    fn nobody_can_make_it_executable() {
        let flags = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
        if memfd_create(c"probe", flags).is_err() {
            return println!("skipped: memfd_create knows no MFD_NOEXEC_SEAL here");
        }
        let file = sealed(1 << 16).unwrap();
        assert_eq!(fchmod(&file, Mode::S_IRWXU), Err(Errno::EPERM));
        assert_eq!(fchmod(&file, Mode::S_IRUSR), Ok(()));
    }
}
