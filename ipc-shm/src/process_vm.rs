//! `process-vm`: messages that the receiver reads with process_vm_readv(2).

use crate::{
    end::RingEnd,
    mapping::Mapping,
    open::Size,
    record::WORD,
    source::{DESCRIPTOR, Descriptor, STAMP, Source},
    sys,
};
use ipc_core::{
    Attested, Bounds, Channel, Copies, Custody, Endpoint, Family, Framing, InPlace, Limit, Options, Reach, Reliability,
    Result, SendInPlace, Setting, Spec, ledger, pages::Pages, transfer::check_len,
};
use std::{process, time::Duration};

/// `process-vm`: the receiver copies each message out of the sender's memory with process_vm_readv(2).
///
/// - **Good for** long messages between two buffers: one copy by the kernel, and no system call of the sender.
/// - **Bad for** short messages, for which the receiver's call costs more than two copies. Bad wherever a process may
///   not read another: other users, Yama, sandboxes. Bad for messages that must outlive the process that sent them.
///
/// Sources: process_vm_readv(2), `mm/process_vm_access.c`, `Documentation/admin-guide/LSM/Yama.rst`.
///
/// # How it works
///
/// The payload lies in a pool of the sender's own pages. A descriptor goes through a ring in shared memory: address,
/// length and a stamp. Each record of the ring is as long as if it held the payload. The payload lies at the same place
/// of the pool as the record in its ring. So pool and ring are filled, limited and freed as one. Messages do not touch
/// the ring behind the descriptors.
///
/// # Reuse of a buffer
///
/// A place in the pool is used again when the receiver has freed its record, which it does once process_vm_readv(2) has
/// returned. The release store of the ring's tail, and the sender's acquire load of it, put the copy before the next
/// write. So what [`send_with`](SendInPlace::send_with) lends is not referenced any more.
///
/// # Messages not yet received when an end closes
///
/// An end that closes copies them into the ring, where each record has the room, and tells the receiver over the
/// socket. So closing never waits and loses nothing. Only the process that has sent does this. These lose what was not
/// received: a sender that is killed, execs, or ends without dropping its end, and one whose first thread has ended by
/// itself. There the receiver finds no process, or no stamp.
///
/// # Never wrong bytes
///
/// The receiver reads only the process that sends, and only what that process sent:
///
/// - **The right process.** The sender introduces itself over the socket, where the kernel attests its process id. A
///   pidfd guards against an id that is given to another process.
/// - **The right memory.** A stamp behind each payload is read by the same call. After an exec, or in a child, it is
///   not there.
/// - **A whole message.** A payload that was read in part is no message.
///
/// ```
/// use ipc_shm::ProcessVm;
/// use ipc_shm::ipc_core::{Channel, Endpoint, Options, SendInPlace};
///
/// let (mut a, mut b) = ProcessVm::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let mut buffer = vec![0; 4096];
/// assert_eq!(b.recv(&mut buffer)?, 4096);
/// assert_eq!(buffer, [7; 4096]);
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessVm;

/// One end of [`ProcessVm`]: a [`RingEnd`] for descriptors, the pool that it sends from, and the process that it reads
/// from.
///
/// - [`send`](Endpoint::send) copies the message into the pool. [`send_with`](SendInPlace::send_with) lends the pool
///   itself.
/// - [`recv`](Endpoint::recv) takes one system call, which copies the message into the caller's buffer.
///   [`recv_with`](InPlace::recv_with) lends a private buffer, which the peer cannot change.
/// - [`max_message`](Endpoint::max_message) is 24 bytes less than that of a [`RingEnd`].
///
/// Waiting, back-pressure and a gone peer are as for [`RingEnd`].
#[derive(Debug)]
pub struct ProcessVmEnd {
    pub(crate) ring: RingEnd,
    /// As long as the ring's data area, and used at the same places.
    pool: Pages,
    /// The stamp of the message last sent. It begins at random, so that no other memory has it by chance.
    stamp: u64,
    /// The process that made the link.
    maker: u32,
    /// The process that has sent through this end.
    owner: Option<u32>,
    source: Source,
    /// The buffer that `recv_with` lends.
    scratch: Pages,
    max_message: usize,
}

/// Bytes of a record beside its payload. The pool has room there for the stamp.
const OVERHEAD: usize = WORD as usize + DESCRIPTOR;
const _: () = assert!(OVERHEAD >= STAMP);

/// Bytes that a message of `len` bytes takes in ring and pool: whole cache lines, so that no two messages share one.
const fn room(len: usize) -> usize {
    (OVERHEAD + len).next_multiple_of(64)
}

impl Channel for ProcessVm {
    const SPEC: Spec = Spec {
        name: "process-vm",
        summary: "process_vm_readv, descriptors in a ring",
        family: Family::SharedMemory,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "1 mapping, 1 socket pair; 2 private buffers an end, a pidfd for who receives",
        limit: "half the pool; by default 256 KiB a direction, or eight times the longest message",
        limits: &[Limit {
            what: "whose memory may be read",
            setting: Setting::Sysctl("kernel/yama/ptrace_scope"),
            bounds: Bounds::Permission,
        }],
        ring_messages: 8,
        pollable: false,
        attested_sender: Attested::Credentials("SCM_CREDENTIALS over the socket beside the ring, unix(7)"),
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        custody: Custody::Sender,
        peer_death: "ESRCH, and a socket beside the memory tells",
        trust: "reads only the process that the kernel says sent it, and must be let (same user, Yama); descriptors and stamps are \
                checked",
        good_for: "long messages between buffers: one copy, no call of the sender",
        bad_for: "short messages, sandboxes, messages that must outlive their sender",
        manual: "process_vm_readv(2)",
    };
    type Endpoint = ProcessVmEnd;

    /// System calls: `process_vm_readv` as a trial; `open`, `read`, `close` of Yama's setting; `mmap` of ring, pools
    /// and buffers; `socketpair`.
    ///
    /// # Errors
    /// Those of the trait. [`Error::Unsupported`](ipc_core::Error::Unsupported) if no process may read another here.
    fn pair(options: &Options) -> Result<(ProcessVmEnd, ProcessVmEnd)> {
        Source::check(Self::SPEC.name)?;
        let size = Size::of(options)?;
        let max_message = size.max_message() - DESCRIPTOR;
        check_len(options.max_message.unwrap_or(0), max_message)?;
        let (first, second) = RingEnd::pair(Mapping::anonymous(size.mapping_len())?, options)?;
        let end = |ring| {
            Ok(ProcessVmEnd {
                ring,
                pool: Pages::private(size.capacity())?,
                stamp: fastrand::u64(..),
                maker: process::id(),
                owner: None,
                source: Source::default(),
                scratch: Pages::private(max_message)?,
                max_message,
            })
        };
        Ok((end(first)?, end(second)?))
    }
}

impl ProcessVmEnd {
    /// Tells the peer, before the first message, which process to read, and permits it. System calls: `prctl`,
    /// `sendmsg`.
    #[cold]
    fn introduce(&mut self) -> Result<()> {
        sys::let_read(self.maker);
        self.ring.peer().introduce()?;
        self.owner = Some(process::id());
        Ok(())
    }

    /// Copies what the peer has not received into the ring, and tells the peer.
    fn hand_over(&mut self) -> Result<()> {
        let Self { ring, pool, .. } = self;
        if ring.peer().is_gone()? {
            return Ok(());
        }
        let mut unread = false;
        ring.unread(DESCRIPTOR, |slot| {
            let at = slot.offset() - OVERHEAD;
            unread = true;
            // The padding behind the payload goes along. The length in the record is the peer's to change.
            let _ = slot.fill(|rest| ledger::copy(rest, &pool[at..][..rest.len()]));
        })?;
        if unread {
            ring.peer().note();
        }
        Ok(())
    }
}

impl Drop for ProcessVmEnd {
    fn drop(&mut self) {
        // A copy of this end in another process has sent nothing, or does not have the pages that this one sent from.
        if self.owner == Some(process::id()) {
            let _ = self.hand_over();
        }
    }
}

impl Endpoint for ProcessVmEnd {
    /// System calls: none, except `prctl` and `sendmsg` before the first message, and those of a [`RingEnd`] that has
    /// to wait or to wake its peer.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message.len(), |slot| ledger::copy(slot, message))
    }

    /// System calls: `process_vm_readv`, unless the message is empty, and those of a [`RingEnd`] that has to wait or to
    /// wake its peer. For the first message `setsockopt`, `recvmsg`, `pidfd_open` and `poll`. `ppoll` if the last
    /// message is more than 20 ms ago.
    ///
    /// # Errors
    /// Those of the trait. [`Error::Unsupported`](ipc_core::Error::Unsupported) if this process may not read the
    /// sender, with the rule that forbids it. The message then stays. [`Error::PeerGone`](ipc_core::Error::PeerGone)
    /// also if the sender has ended and took the message along.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Self { ring, source, .. } = self;
        ring.recv_by(|record, peer| source.read(record, peer, buffer))
    }

    fn max_message(&self) -> usize {
        self.max_message
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.ring.set_timeout(timeout)
    }

    /// System calls: `madvise(MADV_POPULATE_WRITE)`, three times.
    fn prefault(&mut self) {
        self.ring.prefault();
        self.pool.populate();
        self.scratch.populate();
    }
}

impl SendInPlace for ProcessVmEnd {
    /// Lends the pool itself. System calls: as [`send`](Endpoint::send).
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        check_len(len, self.max_message)?;
        if self.owner.is_none() {
            self.introduce()?;
        }
        let Self { ring, pool, stamp, .. } = self;
        ring.send_by(room(len) - WORD as usize, |slot| {
            let place = &mut pool[slot.offset() - WORD as usize..][..len + STAMP];
            let address = place.as_ptr().addr() as u64;
            let (payload, behind) = place.split_at_mut(len);
            fill(payload);
            *stamp = stamp.wrapping_add(1);
            behind.copy_from_slice(&stamp.to_ne_bytes());
            slot.fill(|record| Descriptor { address, len: len as u64, stamp: *stamp }.write(record))
        })
    }
}

impl InPlace for ProcessVmEnd {
    /// Lends a private buffer of this end, which the peer cannot write. System calls: as [`recv`](Endpoint::recv).
    #[inline]
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let Self { ring, source, scratch, .. } = self;
        let len = ring.recv_by(|record, peer| source.read(record, peer, scratch))?;
        Ok(read(&scratch[..len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{Mapping, reserve};
    use ipc_core::{Error, pages::sealed_memfd};

    fn small() -> (ProcessVmEnd, ProcessVmEnd) {
        ProcessVm::pair(&Options { capacity: Some(1), ..Options::default() }).unwrap()
    }

    /// What `b` receives after `a` has forged a descriptor in a record of `len` bytes.
    fn forged(a: &mut ProcessVmEnd, b: &mut ProcessVmEnd, len: usize, descriptor: Descriptor) -> Result<usize> {
        a.ring.send_by(len, |slot| slot.fill(|record| descriptor.write(record))).unwrap();
        b.recv(&mut vec![0; b.max_message()])
    }

    #[test]
    fn a_forged_descriptor_is_corrupt() {
        let pages = Pages::private(8192).unwrap();
        let good = pages.as_ptr().addr() as u64;
        let sent = Descriptor { address: good, len: 1000, stamp: 0 };
        let cases = [
            ("longer than its record", 1024, Descriptor { len: 1001, ..sent }),
            ("as long as can be written", 1024, Descriptor { len: u64::MAX, ..sent }),
            ("of no length, in a record too short for it", 16, Descriptor { len: 0, ..sent }),
            ("another stamp", 1024, Descriptor { stamp: 1, ..sent }),
            ("no address", 1024, Descriptor { address: 0, ..sent }),
            ("an address of the kernel's", 1024, Descriptor { address: 0xffff_ffff_8100_0000, ..sent }),
            ("beyond all addresses", 1024, Descriptor { address: u64::MAX - 500, ..sent }),
            ("not an address", 1024, Descriptor { address: 0x0080_0000_0000_0000, ..sent }),
        ];
        for (why, len, descriptor) in cases {
            let (mut a, mut b) = small();
            a.introduce().unwrap();
            let received = forged(&mut a, &mut b, len, descriptor);
            assert!(matches!(received, Err(Error::Corrupt { .. })), "{why}: {received:?}");
        }
        // The forger is right where the descriptor is.
        let (mut a, mut b) = small();
        a.introduce().unwrap();
        assert_eq!(forged(&mut a, &mut b, 1024, sent), Ok(1000));
    }

    /// The second page of the mapping lies beyond the end of its file, so it cannot be read. The range stays mapped:
    /// another thread could map something into a hole.
    #[test]
    fn a_payload_that_is_there_in_part_is_no_message() {
        for (there, expected) in [(4096, None), (8192, Some(1000))] {
            let (mut a, mut b) = small();
            a.introduce().unwrap();
            let file = sealed_memfd(|file| reserve(file, there)).unwrap();
            let pages = Mapping::of(file, 8192).unwrap();
            let address = pages.start().addr().get() as u64 + 4096 - 500;
            let received = forged(&mut a, &mut b, 1024, Descriptor { address, len: 1000, stamp: 0 });
            match expected {
                Some(len) => assert_eq!(received, Ok(len)),
                None => assert!(matches!(received, Err(Error::Corrupt { .. })), "{received:?}"),
            }
        }
    }

    #[test]
    fn nobody_is_read_without_an_introduction() {
        let (mut a, mut b) = small();
        let pages = Pages::private(4096).unwrap();
        let sent = Descriptor { address: pages.as_ptr().addr() as u64, len: 1000, stamp: 0 };
        assert!(matches!(forged(&mut a, &mut b, 1024, sent), Err(Error::Corrupt { .. })));
        // A byte that the kernel does not attest is none.
        let (mut a, mut b) = small();
        a.ring.peer().note();
        assert!(matches!(forged(&mut a, &mut b, 1024, sent), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn one_call_of_the_receiver_and_at_most_one_copy() {
        let (mut a, mut b) = ProcessVm::pair(&Options::default()).unwrap();
        let mut buffer = vec![0; 4096];
        // The introduction.
        a.send(&[1]).unwrap();
        b.recv(&mut buffer).unwrap();
        let mut cost = |act: &mut dyn FnMut(&mut ProcessVmEnd, &mut ProcessVmEnd)| {
            let before = ledger::entries();
            act(&mut a, &mut b);
            let cost = ledger::entries().since(before);
            (cost.calls, cost.copies)
        };
        assert_eq!(cost(&mut |a, _| a.send(&[1; 4096]).unwrap()), (0, 1));
        assert_eq!(cost(&mut |_, b| assert_eq!(b.recv(&mut buffer), Ok(4096))), (1, 0));
        assert_eq!(cost(&mut |a, _| a.send_with(4096, |slot| slot.fill(2)).unwrap()), (0, 0));
        assert_eq!(cost(&mut |_, b| assert!(b.recv_with(|message| message == [2; 4096]).unwrap())), (1, 0));
    }

    #[test]
    fn the_limit_is_what_fits() {
        for capacity in [1, 4096, 4097, 1 << 16] {
            let (mut a, mut b) = ProcessVm::pair(&Options { capacity: Some(capacity), ..Options::default() }).unwrap();
            let max = a.max_message();
            let mut buffer = vec![0; max];
            for n in 0..5 {
                a.send(&vec![n; max]).unwrap();
                assert_eq!(b.recv(&mut buffer), Ok(max));
                assert!(buffer.iter().all(|&byte| byte == n));
            }
            let asked = |len| {
                let options = Options { capacity: Some(capacity), max_message: Some(len), ..Options::default() };
                ProcessVm::pair(&options).map(drop)
            };
            assert_eq!(asked(max), Ok(()));
            assert_eq!(asked(max + 1), Err(Error::TooLarge { len: max + 1, max }));
        }
    }
}
