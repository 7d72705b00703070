//! `length-prefixed-pipe`: two pipes that carry messages, each after its length in four bytes.

use ipc_pipe::Pipe;
use ipc_pipe::ipc_core::{Channel, Endpoint, Error, Family, Framing, Options, Result, Spec};
use ipc_pipe::ipc_core::{corruption::Corruption, stream::StreamEnd, transfer::check_len};
use std::{os::fd::BorrowedFd, time::Duration};

/// Messages over the pipes of [`Pipe`].
///
/// - **Good for** messages of many lengths between parent and child, without an agreement on them.
/// - **Bad for** processes that are not related.
///
/// A message that times out in part goes on where it stopped, as over any byte stream.
pub struct LengthPrefixedPipe;

impl Channel for LengthPrefixedPipe {
    const SPEC: Spec = Spec {
        name: "length-prefixed-pipe",
        summary: "two pipes, with a length before each message",
        // A colour of its own in charts, beside that of the pipes.
        family: Family::Other,
        framing: Framing::Message,
        limit: "4 MiB; 128 KiB in flight by default (fs.pipe-max-size)",
        good_for: "messages of many lengths between parent and child",
        bad_for: "unrelated processes",
        ..Pipe::SPEC
    };
    type Endpoint = LengthPrefixedEnd;

    fn pair(options: &Options) -> Result<(LengthPrefixedEnd, LengthPrefixedEnd)> {
        check_len(options.max_message.unwrap_or(0), MAX)?;
        // So that a message of 64 KiB and its length pass at once.
        let options = Options { capacity: options.capacity.or(Some(128 << 10)), ..*options };
        let end = |pipes| LengthPrefixedEnd { pipes, head: [0; 4], has_head: false, corruption: Corruption::default() };
        Pipe::pair(&options).map(|(a, b)| (end(a), end(b)))
    }
}

/// The longest message, in bytes.
const MAX: usize = 4 << 20;

/// One end of a [`LengthPrefixedPipe`].
pub struct LengthPrefixedEnd {
    pipes: StreamEnd,
    /// The length of the message that is being received, whole where `has_head`.
    head: [u8; 4],
    has_head: bool,
    corruption: Corruption,
}

impl Endpoint for LengthPrefixedEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.corruption.check()?;
        check_len(message.len(), MAX)?;
        self.pipes.send_parts(&(message.len() as u32).to_ne_bytes(), message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut waiter = self.pipes.waiter();
        if !self.has_head {
            self.pipes.recv_part(&mut self.head, &mut waiter)?;
            self.has_head = true;
        }
        let len = u32::from_ne_bytes(self.head) as usize;
        self.corruption.keep(check_len(len, MAX).map_err(|_| Error::Corrupt { what: "a length over the limit" }))?;
        check_len(len, buffer.len())?;
        self.pipes.recv_part(&mut buffer[..len], &mut waiter)?;
        self.has_head = false;
        Ok(len)
    }

    fn max_message(&self) -> usize {
        MAX
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.descriptor()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.pipes.set_timeout(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_pipe::ipc_core::stream::set_nonblocking;
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

    /// An end that waits a millisecond, and the pipes to and from it as they are.
    fn bare() -> (LengthPrefixedEnd, PipeWriter, PipeReader) {
        let ((reader, to_end), (from_end, writer)) = (pipe().unwrap(), pipe().unwrap());
        let options = Options { timeout: Some(Duration::from_millis(1)), ..Options::default() };
        let pipes = StreamEnd::new(reader.into(), writer.into(), &options).unwrap();
        let end = LengthPrefixedEnd { pipes, head: [0; 4], has_head: false, corruption: Corruption::default() };
        (end, to_end, from_end)
    }

    #[test]
    fn a_message_comes_in_pieces() {
        let (mut end, mut peer, _) = bare();
        let mut buffer = [0; 8];
        for byte in [&5_u32.to_ne_bytes()[..], b"hell"].concat() {
            peer.write_all(&[byte]).unwrap();
            assert_eq!(end.recv(&mut buffer), Err(Error::TimedOut));
        }
        peer.write_all(b"o").unwrap();
        assert_eq!((end.recv(&mut buffer), &buffer[..5]), (Ok(5), &b"hello"[..]));
    }

    #[test]
    fn a_message_goes_in_pieces_and_no_other_goes_between() {
        let (mut end, _peer, mut from_end) = bare();
        let message: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let mut came = Vec::new();
        set_nonblocking(&from_end, true).unwrap();
        while let Err(error) = end.send(&message) {
            assert_eq!(error, Error::TimedOut);
            assert!(matches!(end.send(b"another"), Err(Error::Unsupported { what: "send", .. })));
            let _ = from_end.read_to_end(&mut came);
        }
        end.send(b"another").unwrap();
        drop(end);
        from_end.read_to_end(&mut came).unwrap();
        let expected = [&200_000_u32.to_ne_bytes()[..], &message, &7_u32.to_ne_bytes(), b"another"].concat();
        assert!(came == expected, "{} bytes came", came.len());
    }

    #[test]
    fn a_message_waits_for_a_longer_buffer() {
        let (mut end, mut peer, _) = bare();
        peer.write_all(&[&5_u32.to_ne_bytes()[..], b"hello"].concat()).unwrap();
        let mut buffer = [0; 5];
        assert_eq!(end.recv(&mut buffer[..4]), Err(Error::TooLarge { len: 5, max: 4 }));
        assert_eq!((end.recv(&mut buffer), &buffer), (Ok(5), b"hello"));
    }

    #[test]
    fn a_length_over_the_limit_is_corrupt_for_good() {
        let (mut end, mut peer, _from_end) = bare();
        peer.write_all(&[0xff; 64]).unwrap();
        for _ in 0..2 {
            assert!(matches!(end.recv(&mut [0; 8]), Err(Error::Corrupt { .. })));
            assert!(matches!(end.send(b"hello"), Err(Error::Corrupt { .. })));
        }
    }

    #[test]
    fn a_peer_that_ends_in_a_message_is_gone() {
        let (mut end, mut peer, _) = bare();
        peer.write_all(&[&5_u32.to_ne_bytes()[..], b"hell"].concat()).unwrap();
        drop(peer);
        assert!(end.recv(&mut [0; 8]).is_err_and(|error| error.is_peer_gone()));
    }
}
