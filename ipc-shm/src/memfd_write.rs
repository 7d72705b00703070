//! `memfd-write`: rings in a sealed memfd, filled with pwrite(2).

use crate::{
    end::RingEnd,
    mapping::Mapping,
    memfd::sealed,
    open::{Side, Size},
};
use ipc_core::{
    Attested, Channel, Copies, Custody, Endpoint, Error, Family, Framing, InPlace, Options, Reach, Reliability, Result,
    SendInPlace, Spec, ledger, pages::Pages,
};
use nix::{errno::Errno, sys::uio::pwrite};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// `memfd-write`: the rings of [`Memfd`](crate::Memfd), whose sender writes each message with pwrite(2).
///
/// - **Good for** a sender whose payload lies in a buffer anyway. The kernel copies it straight to where the receiver
///   reads it: one copy and one system call. A write that fails is an error, where a store would raise `SIGBUS`.
/// - **Bad for** short messages, for which the call costs more than the copy. Bad for both directions at once, since
///   the calls take turns at the file's lock (`inode_lock` in `mm/filemap.c`).
///
/// Sources: memfd_create(2), pwrite(2), `mm/shmem.c`.
///
/// # Reuse of a buffer
///
/// pwrite(2) has copied the message when it returns. So [`send`](Endpoint::send) writes from the caller's slice, and
/// [`send_with`](SendInPlace::send_with) lends the same scratch buffer each time.
///
/// # Ordering
///
/// Only the payload goes through the file. The record's word and the positions are stores to the mapping. They come
/// after pwrite(2) has returned, and the producer's position is stored with release. The kernel copies into the very
/// page that is mapped, because tmpfs keeps the content of a file nowhere else. It does so on the calling thread. To
/// the processor these are stores of that thread, before the release in program order. A receiver that acquires the
/// position sees them.
///
/// ```
/// use ipc_shm::MemfdWrite;
/// use ipc_shm::ipc_core::{Channel, Endpoint, InPlace, Options};
///
/// let (mut a, mut b) = MemfdWrite::pair(&Options::default())?;
/// a.send(b"ping")?;
/// b.recv_with(|message| assert_eq!(message, b"ping"))?;
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MemfdWrite;

/// One end of [`MemfdWrite`]: a [`RingEnd`] and the file under its rings.
///
/// [`send`](Endpoint::send) takes one system call and no copy by this process. [`recv`](Endpoint::recv) copies the
/// message out of the ring, [`recv_with`](InPlace::recv_with) lends the ring itself. Everything else is as for
/// [`RingEnd`].
#[derive(Debug)]
pub struct MemfdWriteEnd {
    pub(crate) ring: RingEnd,
    file: Arc<OwnedFd>,
    /// The offset in the file of the data area that this end sends through.
    area: usize,
    /// The buffer that `send_with` lends.
    scratch: Pages,
}

impl Channel for MemfdWrite {
    const SPEC: Spec = Spec {
        name: "memfd-write",
        summary: "a ring in a sealed memfd, filled with pwrite",
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
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the memory tells",
        trust: "no name; sealed: nobody can cut it; what a peer scribbles is checked",
        good_for: "a sender whose payload lies in a buffer already: one copy, errors instead of SIGBUS",
        bad_for: "short messages: a system call each; both directions at once",
        manual: "memfd_create(2), pwrite(2)",
    };
    type Endpoint = MemfdWriteEnd;

    /// System calls: `memfd_create`, `fchmod`, `getrlimit`, `fallocate`, `fcntl(F_ADD_SEALS)`, `mmap`, `socketpair`,
    /// and `mmap` of a buffer for each end.
    fn pair(options: &Options) -> Result<(MemfdWriteEnd, MemfdWriteEnd)> {
        let size = Size::of(options)?;
        let file = Arc::new(sealed(size.mapping_len())?);
        let (first, second) = RingEnd::pair(Mapping::of(&*file, size.mapping_len())?, options)?;
        let end = |ring: RingEnd, side: Side| {
            let scratch = Pages::private(ring.max_message())?;
            Ok(MemfdWriteEnd { ring, file: Arc::clone(&file), area: side.sends_at(size), scratch })
        };
        Ok((end(first, Side::First)?, end(second, Side::Second)?))
    }
}

impl Endpoint for MemfdWriteEnd {
    /// System calls: `pwrite`, unless the message is empty, and those of a [`RingEnd`] that has to wait or to wake its
    /// peer.
    ///
    /// # Errors
    /// Those of the trait, and [`Error::Os`] of `pwrite`. Then nothing is sent.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let Self { ring, file, area, .. } = self;
        ring.send_by(message.len(), |slot| write_all(file, message, *area + slot.offset()))
    }

    /// System calls: none, except those of a [`RingEnd`] that has to wait or to wake its peer.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.ring.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.ring.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.ring.set_timeout(timeout)
    }

    /// System calls: `madvise(MADV_POPULATE_WRITE)`, twice.
    fn prefault(&mut self) {
        self.ring.prefault();
        self.scratch.populate();
    }
}

impl SendInPlace for MemfdWriteEnd {
    /// System calls: as [`send`](Endpoint::send).
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let Self { ring, file, area, scratch } = self;
        ring.send_by(len, |slot| {
            let message = &mut scratch[..len];
            fill(message);
            write_all(file, message, *area + slot.offset())
        })
    }
}

impl InPlace for MemfdWriteEnd {
    /// System calls: as [`recv`](Endpoint::recv).
    #[inline]
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.ring.recv_with(read)
    }
}

/// Writes all of `bytes` at `offset` of `file`. A call may write less, up to the limit on a file's length
/// (`RLIMIT_FSIZE`). The next call then raises `SIGXFSZ`, which ends the process. If that is ignored or blocked, the
/// call fails with `EFBIG` (setrlimit(2)).
#[inline]
fn write_all(file: impl AsFd, bytes: &[u8], offset: usize) -> Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        ledger::call();
        match pwrite(&file, &bytes[written..], (offset + written) as i64) {
            // For a file this means that there is no room.
            Ok(0) => return Err(Error::os("pwrite", Errno::ENOSPC)),
            Ok(n) => written += n,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("pwrite", errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        fcntl::{FcntlArg, SealFlag, fcntl},
        sys::memfd::{MFdFlags, memfd_create},
        unistd::ftruncate,
    };

    #[test]
    fn a_seal_against_writing_is_an_error_and_nothing_is_sent() {
        let (mut a, mut b) = MemfdWrite::pair(&Options { capacity: Some(1), ..Options::default() }).unwrap();
        let sealed = memfd_create(c"sealed", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&sealed, 1 << 16).unwrap();
        fcntl(&sealed, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        let file = std::mem::replace(&mut a.file, Arc::new(sealed));
        let refused = Err(Error::Os { call: "pwrite", source: Errno::EPERM });
        assert_eq!(a.send(b"lost"), refused);
        assert_eq!(a.send_with(4, |slot| slot.copy_from_slice(b"lost")), refused);
        a.file = file;
        a.send(b"sent").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(b.recv(&mut buffer), Ok(4));
        assert_eq!(&buffer[..4], b"sent");
    }

    #[test]
    fn one_call_a_message_and_one_copy_at_most() {
        let (mut a, mut b) = MemfdWrite::pair(&Options::default()).unwrap();
        let mut buffer = vec![0; 4096];
        let mut cost = |act: &mut dyn FnMut(&mut MemfdWriteEnd, &mut MemfdWriteEnd)| {
            let before = ledger::entries();
            act(&mut a, &mut b);
            let cost = ledger::entries().since(before);
            (cost.calls, cost.copies)
        };
        assert_eq!(cost(&mut |a, _| a.send(&[1; 4096]).unwrap()), (1, 0));
        assert_eq!(cost(&mut |_, b| assert_eq!(b.recv(&mut buffer), Ok(4096))), (0, 1));
        assert_eq!(cost(&mut |a, _| a.send_with(4096, |slot| slot.fill(2)).unwrap()), (1, 0));
        assert_eq!(cost(&mut |_, b| assert!(b.recv_with(|message| message == [2; 4096]).unwrap())), (0, 0));
        assert_eq!(cost(&mut |a, _| a.send(&[]).unwrap()), (0, 0));
    }
}
