//! One end of a link through shared memory: a ring out, a ring in, and a way to see that the peer lives.

use crate::{
    mapping::Mapping,
    open::{self, Side, Size},
    protocol::{Alarm, Consumer, Producer, Slot},
    ring::Memory,
};
use ipc_core::{
    Endpoint, InPlace, Options, Result, SendInPlace,
    corruption::Corruption,
    ledger,
    liveness::Liveness,
    transfer::check_len,
    wait::{Patience, Step, Turn},
    watch::Watch,
};
use std::{sync::Arc, time::Duration};

/// One end. Its own state, the two cached positions of each ring, lies in the process that uses it.
#[derive(Debug)]
pub struct RingEnd {
    producer: Producer,
    consumer: Consumer,
    max_message: usize,
    patience: Patience,
    /// Runs while this end may sleep without a deadline, and wakes it when the peer is gone. Declared before `peer`, so that
    /// it is dropped first.
    watch: Option<Watch>,
    peer: Arc<Liveness>,
    memory: Arc<dyn Memory>,
    corruption: Corruption,
}

impl RingEnd {
    /// Opens `side` of memory whose header is written.
    pub(crate) fn open(memory: &Arc<dyn Memory>, side: Side, peer: Liveness, options: &Options) -> Result<Self> {
        let size = Size::of(options)?;
        let (producer, consumer) = open::open(memory, side, size, options.wait)?;
        Ok(Self {
            producer,
            consumer,
            max_message: size.max_message(),
            patience: Patience::of(options),
            watch: None,
            peer: Arc::new(peer),
            memory: Arc::clone(memory),
            corruption: Corruption::default(),
        })
    }

    /// Both ends of a fresh mapping of [`Size::mapping_len`] bytes.
    pub(crate) fn pair(mapping: Mapping, options: &Options) -> Result<(Self, Self)> {
        let memory: Arc<dyn Memory> = Arc::new(mapping);
        open::initialize(&*memory, Size::of(options)?, options.wait);
        let (near, far) = Liveness::pair()?;
        Ok((Self::open(&memory, Side::First, near, options)?, Self::open(&memory, Side::Second, far, options)?))
    }

    /// Sends a message of `len` bytes that `write` puts into its slot, once there is room. Where it fails nothing is sent.
    #[inline]
    pub(crate) fn send_by(&mut self, len: usize, write: impl FnOnce(Slot<'_>) -> Result<()>) -> Result<()> {
        self.corruption.check()?;
        let sent = self.try_send_by(len, write);
        self.corruption.keep(sent)
    }

    #[inline]
    fn try_send_by(&mut self, len: usize, write: impl FnOnce(Slot<'_>) -> Result<()>) -> Result<()> {
        check_len(len, self.max_message)?;
        let mut turn = Turn::new(&self.patience, Some(&self.peer));
        let mut write = write;
        loop {
            match self.producer.try_send(len, write)? {
                Ok(()) => return Ok(()),
                Err(unused) => write = unused,
            }
            if let Step::Sleep(left) = turn.step()? {
                let limit = limit(left, &mut self.watch, &self.peer, || Alarm::of(&self.producer, &self.consumer))?;
                self.producer.sleep(limit)?;
            }
        }
    }

    /// Receives one message by `take`, given the peer as well. Where it fails the message stays.
    #[inline]
    pub(crate) fn recv_by<R>(&mut self, take: impl FnOnce(&Consumer, &Liveness) -> Result<R>) -> Result<R> {
        self.corruption.check()?;
        let received = self.try_recv_by(take);
        self.corruption.keep(received)
    }

    #[inline]
    fn try_recv_by<R>(&mut self, take: impl FnOnce(&Consumer, &Liveness) -> Result<R>) -> Result<R> {
        self.arrived()?;
        let taken = take(&self.consumer, &self.peer)?;
        self.consumer.release()?;
        Ok(taken)
    }

    /// See [`Producer::unread`].
    pub(crate) fn unread(&mut self, front: usize, write: impl FnMut(Slot<'_>)) -> Result<()> {
        self.producer.unread(front, write)
    }

    /// What the ring lies in.
    #[cfg(feature = "hostile")]
    pub(crate) fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// Shows whether the peer lives.
    pub(crate) fn peer(&self) -> &Liveness {
        &self.peer
    }

    /// Waits until there is a message.
    #[inline]
    fn arrived(&mut self) -> Result<()> {
        let mut turn = Turn::new(&self.patience, Some(&self.peer));
        while !self.consumer.look()? {
            if let Step::Sleep(left) = turn.step()? {
                let limit = limit(left, &mut self.watch, &self.peer, || Alarm::of(&self.producer, &self.consumer))?;
                self.consumer.sleep(limit)?;
            }
        }
        Ok(())
    }
}

/// How long a sleep may last. With a deadline it is cut into slices, between which the peer is looked at; without one it has no
/// limit, since arming a timer would cost a tenth of a round trip on one core, and a watch wakes it instead.
#[cold]
fn limit(
    left: Option<Duration>,
    watch: &mut Option<Watch>,
    peer: &Arc<Liveness>,
    alarm: impl FnOnce() -> Alarm,
) -> Result<Option<Duration>> {
    if left.is_some() {
        return Ok(Some(Turn::slice(left)));
    }
    if watch.is_none() {
        let alarm = alarm();
        *watch = Some(Watch::start(peer, &[], move |stop| {
            // Over and over: the end may be about to go to sleep, and sleeps again until it has seen for itself.
            loop {
                alarm.ring();
                if stop.within(Duration::from_millis(1)) {
                    break;
                }
            }
        })?);
    }
    Ok(None)
}

impl Endpoint for RingEnd {
    /// System calls: none, but `futex` to wake a sleeping peer or to sleep while the ring is full.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message.len(), |slot| ledger::copy(slot, message))
    }

    /// System calls: none, but `futex` to sleep while the ring is empty or to wake a sleeping peer.
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
        self.patience.timeout = timeout;
        Ok(())
    }

    /// System call: `madvise(MADV_POPULATE_WRITE)`.
    fn prefault(&mut self) {
        self.memory.populate();
    }
}

impl SendInPlace for RingEnd {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.send_by(len, |slot| slot.fill(fill))
    }
}

impl InPlace for RingEnd {
    #[inline]
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.recv_by(|consumer, _| Ok(consumer.read(read)))
    }
}
