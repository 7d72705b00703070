//! `splice`: two pipes that refer to the pages of a file in memory.

use crate::lent_end::{LentEnd, Memory};
use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Options, Reach, Reliability, Result, Spec,
    pages::{Pages, sealed_memfd},
    stream,
};
use nix::{
    fcntl::{SpliceFFlags, splice},
    unistd::ftruncate,
};
use std::{
    ops::Range,
    os::fd::{BorrowedFd, OwnedFd},
};

/// `splice`: two anonymous pipes, and the pages of a memfd are put into them by reference with splice(2).
///
/// - **Good for** large messages that lie in the pages of a file, or are produced in a mapping of them: one copy
///   instead of two.
/// - **Bad for** short messages, each of which takes a whole page of the pipe.
///
/// Each end has a memfd of its own. Both processes map it after a fork, but only the one that uses the end writes to
/// it. A shared mapping has no copies on write, so two ends cannot share one. The file is sparse until it is written.
///
/// Its ends are [`LentEnd`]s, which tell about limits and the reuse of pages. Sources: splice(2), memfd_create(2),
/// `fs/splice.c`.
///
/// ```
/// use ipc_pipe::Splice;
/// use ipc_pipe::ipc_core::{Channel, Endpoint, Options, SendInPlace};
///
/// let (mut a, mut b) = Splice::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let mut buffer = [0; 4096];
/// b.recv(&mut buffer)?;
/// assert_eq!(buffer, [7; 4096]);
/// # Ok::<(), ipc_pipe::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Splice;

impl Channel for Splice {
    const SPEC: Spec = Spec {
        name: "splice",
        summary: "two pipes that refer to pages of the sender's memfd",
        family: Family::Pipe,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "2 pipes, 2 memfds",
        limit: "as asked for, up to 1 GiB; by default what the pipe holds: 16 pages (fs.pipe-max-size)",
        limits: stream::LIMITS,
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "no name; sealed: nobody can cut it; a peer that kept the descriptor can scribble over what it is sent",
        good_for: "large messages that lie in a file's pages, between parent and child: one copy",
        bad_for: "short messages: each takes a page of the pipe",
        manual: "splice(2)",
    };
    type Endpoint = LentEnd<Sealed>;

    /// System calls: `pipe2`, `memfd_create`, `fchmod`, `ftruncate`, `fcntl(F_ADD_SEALS)` and `mmap`, twice each.
    fn pair(options: &Options) -> Result<(LentEnd<Sealed>, LentEnd<Sealed>)> {
        LentEnd::pair(options)
    }
}

/// The memory that [`Splice`] sends from: a memfd of mode 0600 whose length nobody can change, and a mapping of it.
#[derive(Debug)]
pub struct Sealed {
    pages: Pages,
    file: OwnedFd,
}

impl Memory for Sealed {
    const CALL: &'static str = "splice";

    fn new(len: usize) -> Result<Self> {
        // Not reserved: an end that is never used takes no memory.
        let file = sealed_memfd(|file| ftruncate(file, len as i64).map_err(|e| Error::os("ftruncate", e)))?;
        Ok(Self { pages: Pages::of(&file, len)?, file })
    }

    fn pages(&self) -> &Pages {
        &self.pages
    }

    fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    #[inline]
    fn lend(&self, pipe: BorrowedFd<'_>, range: Range<usize>, flags: SpliceFFlags) -> nix::Result<usize> {
        splice(&self.file, Some(&mut (range.start as i64)), pipe, None, range.len(), flags)
    }
}
