//! The format of a record: one message, or the gap at the end of a data area.
//!
//! A record is one word of 8 bytes, then its payload, padded to a multiple of 8 bytes. The low half of the word is the
//! payload's length in bytes, the high half its kind.
//!
//! - `MESSAGE`: the payload is a message.
//! - `SKIP`: the rest of the data area is empty, and the next record lies at its start.
//!
//! A record lies in one piece, so that its payload can be used in place. A message that does not fit before the end of
//! the area goes to the start, behind a `SKIP` record that fills the rest. So a record takes half the area at most. A
//! `SKIP` is published together with its message, so a consumer meets at most one between two messages.
//!
//! `tests/interleavings` compiles this file as well.

use ipc_core::{Error, Result};

/// Bytes of a record's word, and the alignment of every record.
pub const WORD: u64 = 8;
/// The kind of a message, ready to be combined with its length.
pub const MESSAGE: u64 = 0x4d53_4721 << 32;
/// The word of a record that fills the area up to its end.
pub const SKIP: u64 = 0x534b_4950 << 32;

/// Bytes that a message of `len` bytes takes: its word and its padded payload.
#[inline]
pub fn record_len(len: u64) -> u64 {
    WORD + len.next_multiple_of(WORD)
}

/// Bytes of the longest record in a data area of `capacity` bytes: half of it.
#[inline]
pub fn longest_record(capacity: u64) -> u64 {
    capacity / 2
}

/// What a record's word says, checked.
pub enum Record {
    /// A message of this many bytes.
    Message(usize),
    /// Nothing for this many bytes, up to the end of the area.
    Skip(u64),
}

impl Record {
    /// Decodes `word`, which was read at `offset` of a data area of `capacity` bytes. `published` bytes, from the word
    /// on, have been published by the producer.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if no producer writes such a word there:
    ///
    /// - an unknown kind;
    /// - a message that is longer than a record may be, or than what was published;
    /// - a gap without a message behind it.
    #[inline]
    pub fn decode(word: u64, offset: u64, capacity: u64, published: u64) -> Result<Self> {
        let (kind, len) = (word & !u64::from(u32::MAX), word & u64::from(u32::MAX));
        let to_end = capacity - offset;
        if kind == MESSAGE && record_len(len) <= published.min(to_end).min(longest_record(capacity)) {
            return Ok(Self::Message(len as usize));
        }
        if kind != SKIP || to_end >= published {
            return Err(Error::Corrupt { what: "a record" });
        }
        Ok(Self::Skip(to_end))
    }
}
