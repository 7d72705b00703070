//! `process-vm`: the receiver copies the payload out of the sender's memory (process_vm_readv(2), `mm/process_vm_access.c`).
//!
//! Good for long messages that are copied anyway: one copy by the kernel, from buffer to buffer, and no system call of the sender.
//! Bad for short ones, for which the receiver's call costs more than two copies, wherever a process may not look into another
//! (other users, Yama, sandboxes), and where a message must outlive the process that sent it.
//!
//! # How it works
//!
//! The payload lies in a pool of the sender's own pages. What goes through a [ring](crate::ring) in shared memory is a
//! descriptor: address, length and a stamp. A record there is as long as if it held the payload, too, and the payload lies at the same
//! place of the pool as the record in its ring: pool and ring are filled, limited and freed as one, and what the ring has behind the
//! descriptors is not touched by messages.
//!
//! # When a buffer may be used again
//!
//! When the receiver has freed the record, which it does once process_vm_readv has returned. The ring hands out the room of a
//! record only when all records that lay there have been freed, and the same bytes of the pool belong to the same record; so what
//! `send_with` lends, from within the ring's own writing of a record, is no longer referenced. The release of the ring's tail
//! and its acquisition by the sender put the copy before the next write.
//!
//! # What is not yet received when an end closes
//!
//! It is then copied into the ring, where each descriptor has the room for its payload, and a note on the socket tells the
//! receiver to look there: closing never waits and loses nothing. Only the process that has sent does so. One that is killed,
//! execs, or ends without dropping its end takes along what was not received, and so does one whose first thread has ended by itself:
//! there the receiver finds no process, or no stamp.
//!
//! # Never wrong bytes
//!
//! See [`Source`].

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

/// Memory of the sender's that the receiver reads.
#[derive(Debug)]
pub struct ProcessVm;

/// One end: a ring for descriptors, the pool that it sends from, and the process that it receives from.
#[derive(Debug)]
pub struct ProcessVmEnd {
    pub(crate) ring: RingEnd,
    /// As long as the data area of the ring, and used at the same places.
    pool: Pages,
    /// Of the message last sent: a random beginning, so that no other memory has it by chance.
    stamp: u64,
    /// The process that has made the link.
    maker: u32,
    /// The process that has sent through this end.
    owner: Option<u32>,
    source: Source,
    /// Where `recv_with` puts a message.
    scratch: Pages,
    max_message: usize,
}

/// Bytes of a record besides its payload: more than the stamp that the payload needs in the pool.
const OVERHEAD: usize = WORD as usize + DESCRIPTOR;
const _: () = assert!(OVERHEAD >= STAMP);

/// Room for a message of `len` bytes in ring and pool: whole cache lines, so that neither descriptors nor payloads share one.
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

    /// System calls: `process_vm_readv` as a trial, `mmap` of ring, pools and buffers, `socketpair`; `open`, `read` and `close` of
    /// what Yama says.
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
    /// Lets the peer know, before the first message, which process to read, and lets it read.
    #[cold]
    fn introduce(&mut self) -> Result<()> {
        sys::let_read(self.maker);
        self.ring.peer().introduce()?;
        self.owner = Some(process::id());
        Ok(())
    }

    /// Copies what the peer has not received into the ring, and tells it.
    fn hand_over(&mut self) -> Result<()> {
        let Self { ring, pool, .. } = self;
        if ring.peer().is_gone()? {
            return Ok(());
        }
        let mut unread = false;
        ring.unread(DESCRIPTOR, |slot| {
            let at = slot.offset() - OVERHEAD;
            unread = true;
            // What is behind the payload goes along: it is not worth a look at a length that the peer may have changed.
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
        // A copy in another process has sent nothing, or has not the pages that this one sent from.
        if self.owner == Some(process::id()) {
            let _ = self.hand_over();
        }
    }
}

impl Endpoint for ProcessVmEnd {
    /// System calls: none, but `prctl` and `sendmsg` before the first message, and those of a [`RingEnd`] that has to wait or to
    /// wake its peer.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message.len(), |slot| ledger::copy(slot, message))
    }

    /// System calls: `process_vm_readv`, none for an empty message; those of a [`RingEnd`] that has to wait or to wake its peer;
    /// `setsockopt`, `recvmsg`, `pidfd_open` and `poll` for the first message; `ppoll`, where the last message is some time ago.
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

    /// What `b` makes of a descriptor that `a` forges in a record of `len` bytes.
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

    /// The second page of the mapping lies beyond the end of its file, so it cannot be read. The range stays mapped: another
    /// thread could map something into a hole.
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
