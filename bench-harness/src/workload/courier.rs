//! Carries numbered messages through a channel, by copying or in place, keeping the payload contract either way.

use crate::payload;
use ipc_core::{Buffer, Endpoint, InPlace, Result};
use std::time::Duration;

/// Sends and receives messages of one size, writing and checking every cache line of each.
pub trait Courier: Sized {
    /// The endpoint it works on.
    type Endpoint: Endpoint;

    /// A courier for messages of `size` bytes.
    fn new(endpoint: Self::Endpoint, size: usize) -> Self;

    /// Sends message `number`.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    fn send(&mut self, number: u64) -> Result<()>;

    /// Receives a message that must be number `number`.
    ///
    /// # Errors
    /// As [`Endpoint::recv`]; [`Error::Corrupt`](ipc_core::Error::Corrupt) where it is another, or damaged.
    fn recv(&mut self, number: u64) -> Result<()>;

    /// Receives whatever message comes next, intact, and returns its number.
    ///
    /// # Errors
    /// As [`recv`](Courier::recv).
    fn recv_any(&mut self) -> Result<u64>;

    /// Sends a short note: an acknowledgement.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    fn send_note(&mut self, note: u64) -> Result<()>;

    /// Receives a note. `boundaries` says whether the mechanism keeps them: then the buffer may be longer than the note.
    ///
    /// # Errors
    /// As [`Endpoint::recv`].
    fn recv_note(&mut self, boundaries: bool) -> Result<u64>;

    /// See [`Endpoint::set_timeout`].
    ///
    /// # Errors
    /// As there.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()>;
}

/// The longest message of a courier for messages of `size` bytes: a note may be longer.
pub fn longest(size: usize) -> usize {
    size.max(NOTE)
}

const NOTE: usize = size_of::<u64>();

/// Through a buffer of its own on each side.
pub struct Copying<E> {
    endpoint: E,
    outgoing: Buffer,
    incoming: Buffer,
    /// Room for a note, also where the messages are shorter.
    note: Buffer,
}

impl<E: Endpoint> Courier for Copying<E> {
    type Endpoint = E;

    fn new(mut endpoint: E, size: usize) -> Self {
        endpoint.prefault();
        Self { endpoint, outgoing: touched(size), incoming: touched(size), note: touched(longest(size)) }
    }

    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        payload::fill(&mut self.outgoing, number);
        self.endpoint.send_buffer(&mut self.outgoing)
    }

    #[inline]
    fn recv(&mut self, number: u64) -> Result<()> {
        let len = self.endpoint.recv_buffer(&mut self.incoming)?;
        payload::check(&self.incoming[..len], number)
    }

    #[inline]
    fn recv_any(&mut self) -> Result<u64> {
        let len = self.endpoint.recv_buffer(&mut self.incoming)?;
        let number = payload::number(&self.incoming[..len]);
        payload::check(&self.incoming[..len], number).map(|()| number)
    }

    fn send_note(&mut self, note: u64) -> Result<()> {
        self.endpoint.send(&note.to_le_bytes())
    }

    fn recv_note(&mut self, boundaries: bool) -> Result<u64> {
        let room = if boundaries { self.note.len() } else { NOTE };
        let len = self.endpoint.recv(&mut self.note[..room])?;
        Ok(payload::number(&self.note[..len]))
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

/// Straight in the channel's memory.
pub struct Direct<E> {
    endpoint: E,
    size: usize,
}

impl<E: InPlace> Courier for Direct<E> {
    type Endpoint = E;

    fn new(mut endpoint: E, size: usize) -> Self {
        endpoint.prefault();
        Self { endpoint, size }
    }

    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        self.endpoint.send_with(self.size, |slot| payload::fill(slot, number))
    }

    #[inline]
    fn recv(&mut self, number: u64) -> Result<()> {
        self.endpoint.recv_with(|slot| payload::check(slot, number))?
    }

    #[inline]
    fn recv_any(&mut self) -> Result<u64> {
        self.endpoint.recv_with(|slot| {
            let number = payload::number(slot);
            payload::check(slot, number).map(|()| number)
        })?
    }

    fn send_note(&mut self, note: u64) -> Result<()> {
        self.endpoint.send(&note.to_le_bytes())
    }

    fn recv_note(&mut self, _boundaries: bool) -> Result<u64> {
        self.endpoint.recv_with(payload::number)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.endpoint.set_timeout(timeout)
    }
}
