//! Drivers carry numbered messages through a channel, by copying or in place. They keep the payload contract in both cases.

use crate::payload;
use ipc_core::{Buffer, Endpoint, InPlace, Result, SendInPlace};
use std::time::Duration;

/// Sends and receives messages of one size. Writes and checks every cache line of each message.
pub trait Driver: Sized {
    /// The endpoint that the driver works on.
    type Endpoint: Endpoint;

    /// Makes a driver for messages of `size` bytes. `boundaries` says whether the mechanism keeps message boundaries. If it
    /// does, a receive buffer may be longer than the message.
    fn new(endpoint: Self::Endpoint, size: usize, boundaries: bool) -> Self;

    /// Sends message `number`.
    ///
    /// # Errors Those of [`Endpoint::send`].
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        self.send_showing(number, |_| ())
    }

    /// Sends message `number` as [`send`](Driver::send) does. Shows it to `look` in the place of its production, just before it
    /// goes.
    ///
    /// # Errors Those of [`Endpoint::send`].
    fn send_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()>;

    /// Receives a message that must be number `number`.
    ///
    /// # Errors Those of [`Endpoint::recv`], or [`payload::DAMAGED`] if it is another message or a damaged one.
    #[inline]
    fn recv(&mut self, number: u64) -> Result<()> {
        self.recv_showing(number, |_| ())
    }

    /// Receives message `number` as [`recv`](Driver::recv) does. Shows it to `look` in the place of its consumption, before the
    /// check.
    ///
    /// # Errors Those of [`recv`](Driver::recv).
    fn recv_showing(&mut self, number: u64, look: impl FnOnce(&[u8])) -> Result<()>;

    /// Receives the next message, whatever its number, checks it and returns its number.
    ///
    /// # Errors Those of [`recv`](Driver::recv).
    fn recv_any(&mut self) -> Result<u64>;

    /// Sends a short note, such as an acknowledgement.
    ///
    /// # Errors Those of [`Endpoint::send`].
    fn send_note(&mut self, note: u64) -> Result<()>;

    /// Receives a note.
    ///
    /// # Errors Those of [`Endpoint::recv`].
    fn recv_note(&mut self) -> Result<u64>;

    /// Whether the beginning of message `number` has arrived without its end, as far as its first eight bytes tell. Only a byte
    /// stream can break a message.
    fn has_beginning_of(&self, _number: u64) -> bool {
        false
    }

    /// Sets the timeout of the endpoint. See [`Endpoint::set_timeout`].
    ///
    /// # Errors Those of [`Endpoint::set_timeout`].
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()>;
}

/// The longest message, in bytes, of a driver for messages of `size` bytes. A note may be longer than a message.
pub fn longest(size: usize) -> usize {
    size.max(NOTE)
}

const NOTE: usize = size_of::<u64>();

/// A driver that copies: each side has a buffer of its own.
pub struct Copying<E> {
    endpoint: E,
    size: usize,
    outgoing: Buffer,
    incoming: Buffer,
    /// The buffer for notes: as long as a note over a byte stream, otherwise at least as long as any message.
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

/// A buffer whose pages are already mapped.
fn touched(size: usize) -> Buffer {
    let mut buffer = Buffer::new(size);
    buffer.fill(1);
    buffer
}

/// A driver that sends from the channel's memory and receives into a buffer of its own.
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

/// A driver that works in the channel's memory on both sides.
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
