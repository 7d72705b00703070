//! A message buffer that every mechanism can use without a copy of its own.

use std::ops::{Deref, DerefMut};

/// A message buffer of fixed length, page-aligned, with a little room in front of the message.
///
/// System V queues take the type word and the text of a message from adjacent memory (`struct msgbuf`, msgop(2)). So a
/// sender that holds a plain slice has to copy it first. A `Buffer` keeps the room for that word, and
/// [`Endpoint::send_buffer`](crate::Endpoint::send_buffer) saves the copy. For every other mechanism it is a slice.
///
/// The alignment is the same for all mechanisms, so that none gains by the luck of an address.
///
/// ```
/// use ipc_core::{Buffer, Channel, Endpoint, Options};
/// use ipc_shm::Memfd;
///
/// let (mut a, mut b) = Memfd::pair(&Options::default())?;
/// let mut buffer = Buffer::new(64);
/// buffer[..4].copy_from_slice(b"ping");
/// a.send_buffer(&mut buffer)?;
/// assert_eq!(b.recv_buffer(&mut buffer)?, 64);
/// assert_eq!(&buffer[..4], b"ping");
/// # Ok::<(), ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Bytes kept free in front of the message: `size_of::<c_long>()`.
    pub const HEADROOM: usize = size_of::<libc::c_long>();

    const ALIGN: usize = 4096;

    /// A zeroed buffer for messages of `len` bytes.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; Self::HEADROOM + Self::ALIGN + len];
        let start = Self::HEADROOM + bytes[Self::HEADROOM..].as_ptr().align_offset(Self::ALIGN);
        let mut buffer = Self { bytes, start };
        buffer.bytes.truncate(start + len);
        buffer
    }

    /// The headroom and the message, as one slice.
    #[inline]
    pub fn with_headroom(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start - Self::HEADROOM..]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_and_keeps_its_headroom() {
        for len in [0, 1, 64, 4096, 1 << 20] {
            let mut buffer = Buffer::new(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % Buffer::ALIGN, 0);
            assert_eq!(buffer.with_headroom().len(), len + Buffer::HEADROOM);
        }
    }
}
