//! Carries numbered messages through a channel, by copying or in place, keeping the payload contract either way.

use crate::payload;
use ipc_core::{Buffer, Endpoint, InPlace, Result, SendInPlace};
use std::time::Duration;

/// Sends and receives messages of one size, writing and checking every cache line of each.
pub trait Driver: Sized {
    /// The endpoint it works on.
    type Endpoint: Endpoint;

    /// A driver for messages of `size` bytes. `boundaries` says whether the mechanism keeps them: then a receive buffer may
    /// be longer than the message.
    fn new(endpoint: Self::Endpoint, size: usize, boundaries: bool) -> Self;

    /// Sends message `number`.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        self.send_showing(number, |_| ())
    }

    /// [`send`](Driver::send) that shows the message where it was produced, just before it goes.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    fn send_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()>;

    /// Receives a message that must be number `number`.
    ///
    /// # Errors
    /// As [`Endpoint::recv`]; [`payload::DAMAGED`] where it is another, or damaged.
    #[inline]
    fn recv(&mut self, number: u64) -> Result<()> {
        self.recv_showing(number, |_| ())
    }

    /// [`recv`](Driver::recv) that shows the message where it is consumed, before it is checked.
    ///
    /// # Errors
    /// As [`recv`](Driver::recv).
    fn recv_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()>;

    /// Receives whatever message comes next, intact, and returns its number.
    ///
    /// # Errors
    /// As [`recv`](Driver::recv).
    fn recv_any(&mut self) -> Result<u64>;

    /// Sends a short note: an acknowledgement.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    fn send_note(&mut self, note: u64) -> Result<()>;

    /// Receives a note.
    ///
    /// # Errors
    /// As [`Endpoint::recv`].
    fn recv_note(&mut self) -> Result<u64>;

    /// Whether the beginning of message `number` has arrived without its end, as far as its first eight bytes tell: only a byte
    /// stream can break a message.
    fn has_beginning_of(&self, _number: u64) -> bool {
        false
    }

    /// See [`Endpoint::set_timeout`].
    ///
    /// # Errors
    /// As there.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()>;
}

/// The longest message of a driver for messages of `size` bytes: a note may be longer.
pub fn longest(size: usize) -> usize {
    size.max(NOTE)
}

const NOTE: usize = size_of::<u64>();

/// Through a buffer of its own on each side.
pub struct Copying<E> {
    endpoint: E,
    size: usize,
    outgoing: Buffer,
    incoming: Buffer,
    /// For notes: just as long over a byte stream, at least as long as any message otherwise.
    note: Buffer,
}

impl<E: Endpoint> Driver for Copying<E> {
    type Endpoint = E;

    fn new(mut endpoint: E, size: usize, boundaries: bool) -> Self {
        endpoint.prefault();
        let (room, note) = if boundaries { (longest(size), longest(size)) } else { (size, NOTE) };
        Self { endpoint, size, outgoing: touched(size), incoming: touched(room), note: touched(note) }
    }

    #[inline]
    fn send_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        payload::fill(&mut self.outgoing, number);
        look(&self.outgoing);
        self.endpoint.send_buffer(&mut self.outgoing)
    }

    #[inline]
    fn recv_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        let len = self.endpoint.recv_buffer(&mut self.incoming)?;
        look(&self.incoming[..len]);
        payload::check(&self.incoming[..len], self.size, number)
    }

    #[inline]
    fn recv_any(&mut self) -> Result<u64> {
        let len = self.endpoint.recv_buffer(&mut self.incoming)?;
        let number = payload::number(&self.incoming[..len]);
        payload::check(&self.incoming[..len], self.size, number).map(|()| number)
    }

    fn send_note(&mut self, note: u64) -> Result<()> {
        self.endpoint.send(&note.to_le_bytes())
    }

    fn recv_note(&mut self) -> Result<u64> {
        let len = self.endpoint.recv(&mut self.note)?;
        Ok(payload::number(&self.note[..len]))
    }

    fn has_beginning_of(&self, number: u64) -> bool {
        self.size >= NOTE && payload::number(&self.incoming) == number
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.endpoint.set_timeout(timeout)
    }
}

/// A buffer whose pages are there already.
fn touched(size: usize) -> Buffer {
    let mut buffer = Buffer::new(size);
    buffer.fill(1);
    buffer
}

/// Out of the channel's memory, into a buffer of its own.
pub struct Lent<E>(Copying<E>);

impl<E: SendInPlace> Driver for Lent<E> {
    type Endpoint = E;

    fn new(endpoint: E, size: usize, boundaries: bool) -> Self {
        Self(Copying::new(endpoint, size, boundaries))
    }

    #[inline]
    fn send_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        self.0.endpoint.send_with(self.0.size, |slot| {
            payload::fill(slot, number);
            look(slot);
        })
    }

    #[inline]
    fn recv_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        self.0.recv_showing(number, look)
    }

    #[inline]
    fn recv_any(&mut self) -> Result<u64> {
        self.0.recv_any()
    }

    fn send_note(&mut self, note: u64) -> Result<()> {
        self.0.send_note(note)
    }

    fn recv_note(&mut self) -> Result<u64> {
        self.0.recv_note()
    }

    fn has_beginning_of(&self, number: u64) -> bool {
        self.0.has_beginning_of(number)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_timeout(timeout)
    }
}

/// Straight in the channel's memory.
pub struct Direct<E> {
    endpoint: E,
    size: usize,
}

impl<E: InPlace> Driver for Direct<E> {
    type Endpoint = E;

    fn new(mut endpoint: E, size: usize, _boundaries: bool) -> Self {
        endpoint.prefault();
        Self { endpoint, size }
    }

    #[inline]
    fn send_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        self.endpoint.send_with(self.size, |slot| {
            payload::fill(slot, number);
            look(slot);
        })
    }

    #[inline]
    fn recv_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        let size = self.size;
        self.endpoint.recv_with(|slot| {
            look(slot);
            payload::check(slot, size, number)
        })?
    }

    #[inline]
    fn recv_any(&mut self) -> Result<u64> {
        let size = self.size;
        self.endpoint.recv_with(|slot| {
            let number = payload::number(slot);
            payload::check(slot, size, number).map(|()| number)
        })?
    }

    fn send_note(&mut self, note: u64) -> Result<()> {
        self.endpoint.send(&note.to_le_bytes())
    }

    fn recv_note(&mut self) -> Result<u64> {
        self.endpoint.recv_with(payload::number)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.endpoint.set_timeout(timeout)
    }
}
