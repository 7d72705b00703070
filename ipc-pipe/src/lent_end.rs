//! The end of a link over two pipes whose sender lends the kernel its pages.

use crate::pool::Pool;
use ipc_core::{
    Endpoint, Error, Options, Result, SendInPlace, ledger,
    pages::Pages,
    stream::StreamEnd,
    transfer::{check_len, check_same},
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags},
    unistd::{SysconfVar, pipe2, sysconf},
};
use std::{
    fmt::Debug,
    ops::Range,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

/// Memory whose pages can be put into a pipe: [`Anonymous`](crate::vmsplice::Anonymous) or
/// [`Sealed`](crate::splice::Sealed).
pub trait Memory: Sized + Debug + Send {
    /// The system call that does it.
    const CALL: &'static str;

    /// Makes `len` bytes of memory, which only this end will write.
    ///
    /// # Errors
    /// [`Error::Os`], such as `ENOMEM`.
    fn new(len: usize) -> Result<Self>;

    /// Its pages.
    fn pages(&self) -> &Pages;

    /// Its pages, for writing.
    fn pages_mut(&mut self) -> &mut Pages;

    /// Puts the pages of a beginning of `range` into `pipe`. Returns how many bytes that was.
    ///
    /// # Errors
    /// The errno of the call.
    fn lend(&self, pipe: BorrowedFd<'_>, range: Range<usize>, flags: SpliceFFlags) -> nix::Result<usize>;
}

/// One end of [`Vmsplice`](crate::Vmsplice) or [`Splice`](crate::Splice).
///
/// - [`send_with`](SendInPlace::send_with) lends pages of the end. They lie in the pipe by reference until the
///   receiver's read(2) copies them out, which is the only copy. [`send`](Endpoint::send) first copies the message
///   into these pages.
/// - [`max_message`](Endpoint::max_message) is [`Options::max_message`] in whole pages, up to 1 GiB. The default is
///   what the pipe holds: 16 pages.
/// - A page in the pipe takes one slot, however few of its bytes belong to the message. So 16 short messages fill a
///   pipe that would hold thousands of them by write(2).
///
/// # Reuse of pages
///
/// A page may be written again when it has been read. The end knows that without asking: read(2) empties the slots of
/// a pipe in order. So once a pipe of S slots has accepted S pages after a page, that page has been read. The pages
/// keep their content by themselves. So a message survives its sender, and the memory of the sender.
///
/// # Receivers
///
/// The receiver copies a page before it lets go of it. A receiver that moves pages on by splice(2) or tee(2) sees them
/// change, and so does one that gives the pipe more slots (`F_SETPIPE_SZ`). It harms itself alone.
///
/// `SPLICE_F_GIFT` and `SPLICE_F_MOVE` are not used. A gift is a promise never to write the pages again, which buys
/// nothing here. Moving has had no effect since Linux 2.6.21 (splice(2)).
///
/// Only the process that uses an end writes its memory. Another process that holds a copy of the end loses address
/// space and nothing else.
#[derive(Debug)]
pub struct LentEnd<M> {
    stream: StreamEnd,
    memory: M,
    pool: Pool,
    /// Where a message lies that was filled and has not gone, or not all of it.
    pending: Option<Range<usize>>,
}

impl<M: Memory> LentEnd<M> {
    /// Both ends over two fresh pipes.
    pub(crate) fn pair(options: &Options) -> Result<(Self, Self)> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::os("pipe2", e));
        let (there, back) = (pipe()?, pipe()?);
        Ok((Self::new(back.0, there.1, options)?, Self::new(there.0, back.1, options)?))
    }

    fn new(reader: OwnedFd, writer: OwnedFd, options: &Options) -> Result<Self> {
        let stream = StreamEnd::new(reader, writer, options)?;
        let pool = Pool::new(page_size()?, stream.capacity()?, options.max_message)?;
        Ok(Self { stream, memory: M::new(pool.len())?, pool, pending: None })
    }
}

/// The size of a page in bytes.
fn page_size() -> Result<usize> {
    match sysconf(SysconfVar::PAGE_SIZE) {
        Ok(Some(bytes)) => Ok(bytes.unsigned_abs() as usize),
        Ok(None) => Err(Error::os("sysconf", Errno::ENOSYS)),
        Err(errno) => Err(Error::os("sysconf", errno)),
    }
}

impl<M: Memory> Endpoint for LentEnd<M> {
    /// System calls: as for [`send_with`](SendInPlace::send_with).
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        // As long as nothing of it has gone, another message may take its place.
        if self.stream.under_way() == 0 && !message.is_empty() {
            self.pending = None;
        }
        self.send_with(message.len(), |slot| ledger::copy(slot, message))
    }

    /// System call: `read`; while the pipe is empty also `ppoll`, unless the call may block or spins.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.stream.recv(buffer)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.descriptor()
    }

    fn max_message(&self) -> usize {
        self.pool.max_message()
    }

    /// System calls: `fcntl(F_GETFL)` and `fcntl(F_SETFL)` on both descriptors.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.stream.set_timeout(timeout)
    }

    /// System call: `madvise(MADV_POPULATE_WRITE)`.
    fn prefault(&mut self) {
        self.memory.pages().populate();
    }
}

impl<M: Memory> SendInPlace for LentEnd<M> {
    /// System call: `vmsplice` or `splice`, as often as the message fills the pipe; while it is full also `ppoll`, unless the
    /// call may block or spins.
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        check_len(len, self.pool.max_message())?;
        if len == 0 {
            fill(&mut self.memory.pages_mut()[..0]);
            return Ok(());
        }
        let place = match &self.pending {
            Some(pending) if pending.len() == len => pending.clone(),
            pending => {
                let begun = pending.as_ref().map_or(0, Range::len);
                check_same("send", self.stream.under_way(), begun, len)?;
                let place = self.pool.place(len);
                fill(&mut self.memory.pages_mut()[place.clone()]);
                self.pending = Some(place.clone());
                place
            }
        };
        // The mode of the descriptor is nothing to vmsplice(2) (fs/splice.c).
        let flags = if self.stream.may_block() { SpliceFFlags::empty() } else { SpliceFFlags::SPLICE_F_NONBLOCK };
        let memory = &self.memory;
        self.stream.send_by(M::CALL, len, |pipe, gone| memory.lend(pipe, place.start + gone..place.end, flags))?;
        self.pending = None;
        self.pool.lent(len);
        Ok(())
    }
}
