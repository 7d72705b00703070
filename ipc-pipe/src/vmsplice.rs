//! `vmsplice`: two pipes that refer to the pages of the sender.

use crate::lent_end::{LentEnd, Memory};
use ipc_core::{
    Attested, Channel, Copies, Custody, Family, Framing, Options, Reach, Reliability, Result, Spec, pages::Pages,
    stream,
};
use nix::fcntl::{SpliceFFlags, vmsplice};
use std::{io::IoSlice, ops::Range, os::fd::BorrowedFd};

/// `vmsplice`: two anonymous pipes, and the pages of the sender are put into them by reference with vmsplice(2).
///
/// - **Good for** large messages that are produced in memory: one copy instead of two.
/// - **Bad for** short messages, each of which takes a whole page of the pipe. Bad where references to pages cost more
///   than copying them.
///
/// The pages are private memory of the sender. After a fork both processes see the same pages until one writes to
/// them. That gives the writer a copy, and leaves what the pipe refers to as it was. So an end works in whichever
/// process uses it first, and still works when that process forks again.
///
/// Its ends are [`LentEnd`]s, which tell about limits and the reuse of pages. Sources: vmsplice(2), `fs/splice.c`.
///
/// ```
/// use ipc_pipe::Vmsplice;
/// use ipc_pipe::ipc_core::{Channel, Endpoint, Options, SendInPlace};
///
/// let (mut a, mut b) = Vmsplice::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let mut buffer = [0; 4096];
/// b.recv(&mut buffer)?;
/// assert_eq!(buffer, [7; 4096]);
/// # Ok::<(), ipc_pipe::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Vmsplice;

impl Channel for Vmsplice {
    const SPEC: Spec = Spec {
        name: "vmsplice",
        summary: "two pipes that refer to the sender's pages",
        family: Family::Pipe,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "2 pipes, 2 mappings",
        limit: "as asked for, up to 1 GiB; by default what the pipe holds: 16 pages (fs.pipe-max-size)",
        limits: stream::LIMITS,
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Nothing,
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "no name to open; the pages are the sender's own, and the pipe refers to them for reading",
        good_for: "large messages between parent and child, produced in memory: one copy",
        bad_for: "short messages: each takes a page of the pipe",
        manual: "vmsplice(2)",
    };
    type Endpoint = LentEnd<Anonymous>;

    /// System calls: `pipe2` and `mmap`, twice each.
    fn pair(options: &Options) -> Result<(LentEnd<Anonymous>, LentEnd<Anonymous>)> {
        LentEnd::pair(options)
    }
}

/// The memory that [`Vmsplice`] sends from: a private anonymous mapping.
#[derive(Debug)]
pub struct Anonymous {
    pages: Pages,
}

impl Memory for Anonymous {
    const CALL: &'static str = "vmsplice";

    fn new(len: usize) -> Result<Self> {
        Ok(Self { pages: Pages::private(len)? })
    }

    fn pages(&self) -> &Pages {
        &self.pages
    }

    fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    #[inline]
    fn lend(&self, pipe: BorrowedFd<'_>, range: Range<usize>, flags: SpliceFFlags) -> nix::Result<usize> {
        vmsplice(pipe, &[IoSlice::new(&self.pages[range])], flags)
    }
}
