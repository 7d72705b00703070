//! The payload contract: the sender writes into every cache line of every message, and the receiver checks every line.
//!
//! A message is divided into blocks of 64 bytes. The first eight bytes of each block hold a word made of the message's number
//! and the block's position. The last eight bytes of the message hold a word as well, so every line is touched at any
//! alignment. A message shorter than two words holds as much as fits of its number followed by the number's complement.

use ipc_core::{Error, Result};

/// Bytes from one word to the next.
pub const STRETCH: usize = 64;
/// Bytes of a word.
pub const WORD: usize = 8;
/// An odd constant (2^64 divided by the golden ratio). It gives each block a different word.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Writes message `number` into `message`.
#[inline]
pub fn fill(message: &mut [u8], number: u64) {
    if message.len() < 2 * WORD {
        let len = message.len();
        message.copy_from_slice(&short(number)[..len]);
        return;
    }
    let mut word = number;
    for stretch in message.chunks_mut(STRETCH) {
        if let Some(bytes) = stretch.first_chunk_mut::<WORD>() {
            *bytes = word.to_le_bytes();
        }
        word = word.wrapping_add(STEP);
    }
    let last = message.len() - WORD;
    message[last..].copy_from_slice(&last_word(number).to_le_bytes());
}

/// The word at the end of message `number`, if the message is at least two words long.
pub fn last_word(number: u64) -> u64 {
    !number
}

/// The bytes from which a message shorter than two words is cut.
#[inline]
fn short(number: u64) -> [u8; 2 * WORD] {
    (u128::from(number) | u128::from(!number) << 64).to_le_bytes()
}

/// The error of [`check`] for a message that differs from what was sent.
pub const DAMAGED: Error = Error::Corrupt { what: "the payload is not what was sent" };

/// The word at the start of block `stretch` of message `number`.
pub fn word(number: u64, stretch: usize) -> u64 {
    number.wrapping_add(STEP.wrapping_mul(stretch as u64))
}

/// The message number in the first bytes of `message`. It is not checked.
#[inline]
pub fn number(message: &[u8]) -> u64 {
    let mut word = [0; WORD];
    let len = message.len().min(WORD);
    word[..len].copy_from_slice(&message[..len]);
    u64::from_le_bytes(word)
}

/// Checks that `message` is message `number` and has all its `size` bytes.
///
/// # Errors [`DAMAGED`] if it differs.
#[inline]
pub fn check(message: &[u8], size: usize, number: u64) -> Result<()> {
    let intact = if message.len() != size {
        false
    } else if message.len() < 2 * WORD {
        message == &short(number)[..message.len()]
    } else {
        let last = message.len() - WORD;
        let mut word = number;
        let mut wrong = 0;
        for (at, stretch) in message.chunks(STRETCH).enumerate() {
            // A block that the last word overlaps is covered by the check below.
            if let Some(bytes) = stretch.first_chunk::<WORD>()
                && at * STRETCH + WORD <= last
            {
                wrong |= u64::from_le_bytes(*bytes) ^ word;
            }
            word = word.wrapping_add(STEP);
        }
        wrong == 0 && message[last..] == last_word(number).to_le_bytes()
    };
    if intact { Ok(()) } else { Err(DAMAGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_is_intact() {
        for len in [1, 3, 7, 8, 9, 15, 16, 63, 64, 65, 71, 72, 73, 128, 4096, 4097] {
            let mut message = vec![0; len];
            fill(&mut message, 0x0102_0304_0506_0708);
            assert_eq!(check(&message, len, 0x0102_0304_0506_0708), Ok(()), "{len} bytes");
            if len >= WORD {
                assert_eq!(number(&message), 0x0102_0304_0506_0708);
            }
            if len >= STRETCH + 2 * WORD {
                assert_eq!(number(&message[STRETCH..]), word(0x0102_0304_0506_0708, 1));
            }
        }
    }

    #[test]
    fn a_wrong_line_is_found() {
        for len in [1, 8, 16, 64, 65, 100, 4096] {
            let mut message = vec![0; len];
            fill(&mut message, 9);
            assert!(check(&message, len, 10).is_err(), "{len} bytes: another number");
            assert!(check(&message[..len - 1], len, 9).is_err(), "{len} bytes: cut short");
            assert!(check(&[], len, 9).is_err(), "{len} bytes: nothing");
            for line in 0..len.div_ceil(STRETCH) {
                message[line * STRETCH] ^= 1;
                assert!(check(&message, len, 9).is_err(), "{len} bytes: line {line}");
                message[line * STRETCH] ^= 1;
            }
            message[len - 1] ^= 1;
            assert!(check(&message, len, 9).is_err(), "{len} bytes: the last byte");
        }
    }
}
