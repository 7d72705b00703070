//! One end of a link through shared memory: a ring to send through, a ring to receive from, and a socket that shows
//! whether the peer lives.

use crate::{
    mapping::Mapping,
    open::{self, Side, Size},
    protocol::{Consumer, Producer, Slot, Waker},
    ring::Memory,
};
use ipc_core::{
    Endpoint, Error, InPlace, Options, Result, SendInPlace, ledger,
    liveness::Liveness,
    transfer::check_len,
    wait::{Step, WaitPolicy, Waiter},
    watch::Watch,
};
use std::{sync::Arc, time::Duration};

/// One end of a link over two rings: what [`SysvShm`](crate::SysvShm), [`PosixShm`](crate::PosixShm),
/// [`Memfd`](crate::Memfd), [`MmapFile`](crate::MmapFile) and [`MmapAnon`](crate::MmapAnon) open.
///
/// - **Cost.** A message needs no system call. An end that has to wait sleeps in futex(2), and its peer wakes it with
///   one more call. With [`Wait::Spin`](ipc_core::Wait::Spin) it polls the ring instead.
/// - **Copies.** [`send`](Endpoint::send) and [`recv`](Endpoint::recv) copy the message once each, into and out of the
///   ring. [`send_with`](SendInPlace::send_with) and [`recv_with`](InPlace::recv_with) lend the ring itself, aligned to
///   8 bytes.
/// - **Limit.** [`max_message`](Endpoint::max_message) is half the capacity of the ring less 8 bytes.
/// - **Back-pressure.** A full ring makes `send` wait. Nothing is dropped.
/// - **Peer.** The rings do not show that a peer is gone. A Unix socket pair beside them does: no message passes
///   through it, and the kernel closes it with the process. See [`ipc_core::liveness`].
/// - **Trust.** Every position and length in the ring is checked. A peer that writes nonsense is
///   [`Error::Corrupt`](ipc_core::Error::Corrupt), for this and every later call. A peer can still change a message
///   while [`recv_with`](InPlace::recv_with) reads it. Use [`recv`](Endpoint::recv), then check the buffer, if that
///   matters.
///
/// Messages can be written and read where they lie:
///
/// ```
/// use ipc_shm::MmapAnon;
/// use ipc_shm::ipc_core::{Channel, InPlace, Options, SendInPlace};
///
/// let (mut a, mut b) = MmapAnon::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let sum: u32 = b.recv_with(|message| message.iter().map(|&byte| u32::from(byte)).sum())?;
/// assert_eq!(sum, 4096 * 7);
/// # Ok::<(), ipc_shm::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RingEnd {
    producer: Producer,
    consumer: Consumer,
    max_message: usize,
    policy: WaitPolicy,
    /// Runs while this end may sleep without a deadline, and wakes it when the peer is gone. It is declared before
    /// `peer`, so that it is dropped first.
    watch: Option<Watch>,
    peer: Arc<Liveness>,
    memory: Arc<dyn Memory>,
}

impl RingEnd {
    /// Opens `side` of memory whose header has been written.
    pub(crate) fn open(memory: &Arc<dyn Memory>, side: Side, peer: Liveness, options: &Options) -> Result<Self> {
        let size = Size::of(options)?;
        let (producer, consumer) = open::open(memory, side, size, options.wait)?;
        Ok(Self {
            producer,
            consumer,
            max_message: size.max_message(),
            policy: WaitPolicy::of(options),
            watch: None,
            peer: Arc::new(peer),
            memory: Arc::clone(memory),
        })
    }

    /// Opens both ends of a fresh mapping of [`Size::mapping_len`] bytes. System call: `socketpair`.
    pub(crate) fn pair(mapping: Mapping, options: &Options) -> Result<(Self, Self)> {
        let memory: Arc<dyn Memory> = Arc::new(mapping);
        open::initialize(&*memory, Size::of(options)?, options.wait);
        let (near, far) = Liveness::pair()?;
        Ok((Self::open(&memory, Side::First, near, options)?, Self::open(&memory, Side::Second, far, options)?))
    }

    /// Sends a message of `len` bytes that `write` puts into its slot, once there is room. If `write` fails, nothing is
    /// sent.
    #[inline]
    pub(crate) fn send_by(&mut self, len: usize, write: impl FnOnce(Slot<'_>) -> Result<()>) -> Result<()> {
        self.try_send_by(len, write).map_err(|error| self.spoiled_by(error))
    }

    #[inline]
    fn try_send_by(&mut self, len: usize, write: impl FnOnce(Slot<'_>) -> Result<()>) -> Result<()> {
        check_len(len, self.max_message)?;
        match self.producer.try_send(len, write)? {
            Ok(()) => Ok(()),
            Err(unused) => self.send_once_there_is_room(len, unused),
        }
    }

    /// Out of line, so that a message that finds room does not pay for how to wait.
    #[cold]
    #[inline(never)]
    fn send_once_there_is_room(&mut self, len: usize, mut write: impl FnOnce(Slot<'_>) -> Result<()>) -> Result<()> {
        let mut waiter = Waiter::new(&self.policy, Some(&self.peer));
        loop {
            if let Step::Sleep(left) = waiter.step()? {
                let limit = limit(left, &mut self.watch, &self.peer, || Waker::of(&self.producer, &self.consumer))?;
                self.producer.sleep(limit)?;
            }
            match self.producer.try_send(len, write)? {
                Ok(()) => return Ok(()),
                Err(unused) => write = unused,
            }
        }
    }

    /// Receives one message with `take`, which is given the peer as well. If `take` fails, the message stays.
    #[inline]
    pub(crate) fn recv_by<R>(&mut self, take: impl FnOnce(&Consumer, &Liveness) -> Result<R>) -> Result<R> {
        self.try_recv_by(take).map_err(|error| self.spoiled_by(error))
    }

    #[inline]
    fn try_recv_by<R>(&mut self, take: impl FnOnce(&Consumer, &Liveness) -> Result<R>) -> Result<R> {
        self.arrived()?;
        let taken = take(&self.consumer, &self.peer)?;
        self.consumer.release()?;
        Ok(taken)
    }

    /// Remembers in both directions that the channel is corrupt, if `error` says so. Returns that error for this and every later
    /// failure.
    #[cold]
    fn spoiled_by(&mut self, error: Error) -> Error {
        if let Error::Corrupt { what } = error {
            self.producer.spoil(what);
            self.consumer.spoil(what);
        }
        self.consumer.corrupt().map_or(error, |what| Error::Corrupt { what })
    }

    /// See [`Producer::unread`].
    pub(crate) fn unread(&mut self, front: usize, write: impl FnMut(Slot<'_>)) -> Result<()> {
        self.producer.unread(front, write)
    }

    /// The memory that the rings lie in.
    #[cfg(feature = "hostile")]
    pub(crate) fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// The socket that shows whether the peer lives.
    pub(crate) fn peer(&self) -> &Liveness {
        &self.peer
    }

    /// Waits until there is a message.
    #[inline]
    fn arrived(&mut self) -> Result<()> {
        if self.consumer.look()? { Ok(()) } else { self.wait_for_a_message() }
    }

    /// Out of line, so that a message that is there does not pay for how to wait.
    #[cold]
    #[inline(never)]
    fn wait_for_a_message(&mut self) -> Result<()> {
        let mut waiter = Waiter::new(&self.policy, Some(&self.peer));
        loop {
            if let Step::Sleep(left) = waiter.step()? {
                let limit = limit(left, &mut self.watch, &self.peer, || Waker::of(&self.producer, &self.consumer))?;
                self.consumer.sleep(limit)?;
            }
            if self.consumer.look()? {
                return Ok(());
            }
        }
    }
}

/// How long a sleep may last. With a deadline it is cut into slices, between which the end looks at its peer. Without
/// one it has no limit: arming a timer would cost a tenth of a round trip on one core. A watch ends the sleep instead.
#[cold]
fn limit(
    left: Option<Duration>,
    watch: &mut Option<Watch>,
    peer: &Arc<Liveness>,
    waker: impl FnOnce() -> Waker,
) -> Result<Option<Duration>> {
    if left.is_some() {
        return Ok(Some(Waiter::slice(left)));
    }
    if watch.is_none() {
        let waker = waker();
        *watch = Some(Watch::start(peer, &[], move |stop| {
            // Repeated, because the end may be just about to sleep, and sleeps again until it has seen for itself.
            loop {
                waker.wake();
                if stop.within(Duration::from_millis(1)) {
                    break;
                }
            }
        })?);
    }
    Ok(None)
}

impl Endpoint for RingEnd {
    /// System calls: none, except `futex` to wake a sleeping peer or to sleep while the ring is full.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message.len(), |slot| ledger::copy(slot, message))
    }

    /// System calls: none, except `futex` to sleep while the ring is empty or to wake a sleeping peer.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_by(|consumer, _| {
            consumer.read(|message| {
                check_len(message.len(), buffer.len())?;
                ledger::copy(&mut buffer[..message.len()], message);
                Ok(message.len())
            })
        })
    }

    fn max_message(&self) -> usize {
        self.max_message
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.policy.timeout = timeout;
        Ok(())
    }

    /// System call: `madvise(MADV_POPULATE_WRITE)`.
    fn prefault(&mut self) {
        self.memory.populate();
    }
}

impl SendInPlace for RingEnd {
    /// System calls: as [`send`](Endpoint::send).
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.send_by(len, |slot| slot.fill(fill))
    }
}

impl InPlace for RingEnd {
    /// System calls: as [`recv`](Endpoint::recv).
    #[inline]
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.recv_by(|consumer, _| Ok(consumer.read(read)))
    }
}
