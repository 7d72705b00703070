//! The ways of copying a file: what the processes do with every chunk.

use super::{
    FileCopy,
    crew::{Crew, Load, Stage},
    sys::{MappedDestination, MappedSource},
};
use ipc_core::{
    Buffer, Channel, Endpoint, Error, Framing, InPlace, Options, Result, SendInPlace, Wait, ledger, spec::kernel_limit,
};
use ipc_msgq::{PosixMq, SysvMsgq};
use ipc_pipe::Pipe;
use ipc_shm::Memfd;
use ipc_socket::{Tcp, UnixStream};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SpliceFFlags, copy_file_range, fcntl, splice},
    sys::sendfile::sendfile,
    unistd::{read, write},
};
use std::{
    fs::File,
    io::{PipeWriter, pipe},
};

impl<'a> Crew<'a> {
    /// The processes that copy `load` by `relay`. If the mechanism does not take messages of a whole chunk, the chunk
    /// is reduced to what it takes.
    ///
    /// # Errors
    /// The errors of [`Channel::pair`], if the channel cannot be opened.
    pub fn of(relay: FileCopy, load: Load<'a>) -> Result<Self> {
        match relay {
            FileCopy::ReadPipeWrite => Self::buffered::<Pipe>(load),
            FileCopy::ReadSysvMsgqWrite => Self::buffered::<SysvMsgq>(load),
            FileCopy::ReadPosixMqWrite => Self::buffered::<PosixMq>(load),
            FileCopy::ReadUnixStreamWrite => Self::buffered::<UnixStream>(load),
            FileCopy::ReadTcpWrite => Self::buffered::<Tcp>(load),
            FileCopy::SharedMemoryPrivate => Self::buffered::<Memfd>(load),
            FileCopy::SharedMemoryInPlace => Self::in_place::<Memfd>(load),
            FileCopy::MappedPipe => Self::mapped::<Pipe>(load),
            FileCopy::Splice => Self::spliced(load),
            FileCopy::Sendfile => Ok(Self::in_kernel(load, "sendfile", |from, to, len| sendfile(to, from, None, len))),
            FileCopy::CopyFileRange => {
                let copy = |from: &File, to: &File, len| copy_file_range(from, None, to, None, len);
                Ok(Self::in_kernel(load, "copy_file_range", copy))
            }
            FileCopy::MappedCopy => Ok(Self::mapped_alone(load)),
        }
    }

    /// A crew with buffers. The sender reads into a buffer and sends it. The receiver receives into a buffer and writes
    /// it.
    ///
    /// # Errors
    /// The errors of [`Crew::of`].
    pub fn buffered<C: Channel<Endpoint: 'a>>(load: Load<'a>) -> Result<Self> {
        let (load, (mut near, mut far)) = open::<C>(load)?;
        let send = move |stage: &mut Stage<'_>| {
            near.prefault();
            let mut buffers = Buffers::new(&load, load.rest());
            stage.timed(|| {
                load.chunks().try_for_each(|len| {
                    let buffer = buffers.of(len);
                    read_exact(&load.files.source, buffer)?;
                    near.send_buffer(buffer)
                })
            })
        };
        let receive = move |stage: &mut Stage<'_>| {
            far.prefault();
            // With message boundaries, a buffer may be longer than the message. Some mechanisms require it.
            let mut buffers = Buffers::new(&load, if is_stream::<C>() { load.rest() } else { load.chunk });
            stage.timed(|| {
                load.chunks().try_for_each(|len| {
                    let buffer = buffers.of(len);
                    check_same(far.recv_buffer(buffer)?, len)?;
                    write_all(&load.files.destination, &buffer[..len])
                })
            })
        };
        Ok(Self::pair(load.chunk, Box::new(send), Box::new(receive)))
    }

    /// A crew without buffers: the sender reads straight into the channel, and the receiver writes straight from it.
    ///
    /// # Errors
    /// The errors of [`Crew::of`].
    pub fn in_place<C: Channel<Endpoint: InPlace + 'a>>(load: Load<'a>) -> Result<Self> {
        let (load, (mut near, mut far)) = open::<C>(load)?;
        let send = move |stage: &mut Stage<'_>| {
            near.prefault();
            stage.timed(|| {
                load.chunks().try_for_each(|len| {
                    // A message is sent even if reading into it failed. This error then stops the receiver.
                    let mut filled = Ok(());
                    near.send_with(len, |slot| filled = read_exact(&load.files.source, slot))?;
                    filled
                })
            })
        };
        let receive = move |stage: &mut Stage<'_>| {
            far.prefault();
            stage.timed(|| {
                load.chunks().try_for_each(|len| {
                    far.recv_with(|slot| {
                        check_same(slot.len(), len)?;
                        write_all(&load.files.destination, slot)
                    })?
                })
            })
        };
        Ok(Self::pair(load.chunk, Box::new(send), Box::new(receive)))
    }

    /// A crew with mapped files: the sender sends from the mapped source, and the receiver receives into the mapped
    /// destination.
    ///
    /// # Errors
    /// The errors of [`Crew::of`].
    pub fn mapped<C: Channel<Endpoint: 'a>>(load: Load<'a>) -> Result<Self> {
        let (load, (mut near, mut far)) = open::<C>(load)?;
        let send = move |stage: &mut Stage<'_>| {
            let source = map_source(&load)?;
            stage.timed(|| source.chunks(load.chunk).try_for_each(|chunk| near.send(chunk)))
        };
        let receive = move |stage: &mut Stage<'_>| {
            let mut destination = map_destination(&load)?;
            stage.timed(|| {
                destination.chunks_mut(load.chunk).try_for_each(|chunk| check_same(far.recv(chunk)?, chunk.len()))
            })
        };
        Ok(Self::pair(load.chunk, Box::new(send), Box::new(receive)))
    }

    /// A crew of one process that moves pages of the source into a pipe, and from there into the destination
    /// (splice(2)).
    fn spliced(load: Load<'a>) -> Result<Self> {
        let (reader, writer) = pipe().map_err(|e| Error::io("pipe2", &e))?;
        enlarge(&writer, room(&load))?;
        let none = SpliceFFlags::empty();
        let send = move |stage: &mut Stage<'_>| {
            let source = &load.files.source;
            stage.timed(|| {
                load.chunks()
                    .try_for_each(|len| move_all("splice", len, |left| splice(source, None, &writer, None, left, none)))
            })
        };
        let receive = move |stage: &mut Stage<'_>| {
            let destination = &load.files.destination;
            stage.timed(|| {
                load.chunks().try_for_each(|len| {
                    move_all("splice", len, |left| splice(&reader, None, destination, None, left, none))
                })
            })
        };
        Ok(Self::pair(load.chunk, Box::new(send), Box::new(receive)))
    }

    /// A crew of one process in which the kernel copies from file to file. `attempt` is one system call, named `call`,
    /// for a number of bytes.
    fn in_kernel(
        load: Load<'a>,
        call: &'static str,
        attempt: impl Fn(&File, &File, usize) -> nix::Result<usize> + 'a,
    ) -> Self {
        let carry = move |stage: &mut Stage<'_>| {
            let files = load.files;
            stage.timed(|| {
                load.chunks()
                    .try_for_each(|len| move_all(call, len, |left| attempt(&files.source, &files.destination, left)))
            })
        };
        Self::alone(load.chunk, Box::new(carry))
    }

    /// A crew of one process that copies from mapping to mapping.
    fn mapped_alone(load: Load<'a>) -> Self {
        let carry = move |stage: &mut Stage<'_>| {
            let (source, mut destination) = (map_source(&load)?, map_destination(&load)?);
            stage.timed(|| {
                let pairs = destination.chunks_mut(load.chunk).zip(source.chunks(load.chunk));
                pairs.for_each(|(to, from)| ledger::copy(to, from));
                Ok(())
            })
        };
        Self::alone(load.chunk, Box::new(carry))
    }
}

/// The capacity to ask for in bytes: as many chunks as a ring holds by default, and at least as much as a pipe.
fn room(load: &Load<'_>) -> usize {
    load.chunk.saturating_mul(8).max(64 << 10)
}

/// Both ends of a channel.
type Ends<C> = (<C as Channel>::Endpoint, <C as Channel>::Endpoint);

/// Opens a channel. Returns its ends, and the load with a chunk that the channel takes. The channel gets as much
/// capacity as the system grants.
fn open<C: Channel>(mut load: Load<'_>) -> Result<(Load<'_>, Ends<C>)> {
    let mut options =
        Options { wait: Wait::Block, max_message: Some(load.chunk), capacity: Some(room(&load)), ..Options::default() };
    loop {
        match C::pair(&options) {
            Err(Error::TooLarge { len, max }) if (1..len).contains(&max) && options.max_message == Some(len) => {
                load.chunk = max;
                options.max_message = Some(max);
            }
            Err(Error::TooLarge { len, max }) if (1..len).contains(&max) && options.capacity == Some(len) => {
                options.capacity = Some(max);
            }
            ends => return Ok((load, ends?)),
        }
    }
}

fn is_stream<C: Channel>() -> bool {
    C::SPEC.framing == Framing::Stream
}

/// Sets the capacity of `pipe` to that which [`open`] asks for, or to the limit of an ordinary user (pipe(7)).
fn enlarge(pipe: &PipeWriter, bytes: usize) -> Result<()> {
    let most = kernel_limit("/proc/sys/fs/pipe-max-size", 1 << 20);
    let size = i32::try_from(bytes.min(most)).map_err(|_| Error::TooLarge { len: bytes, max: most })?;
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(size)).map_err(|e| Error::os("fcntl", e)).map(drop)
}

/// Buffers with pages that are already present: one for a whole chunk, one for the last chunk.
struct Buffers {
    whole: Buffer,
    last: Buffer,
}

impl Buffers {
    fn new(load: &Load<'_>, last: usize) -> Self {
        let [mut whole, mut last] = [Buffer::new(load.chunk), Buffer::new(last)];
        whole.fill(1);
        last.fill(1);
        Self { whole, last }
    }

    fn of(&mut self, len: usize) -> &mut Buffer {
        if len == self.whole.len() { &mut self.whole } else { &mut self.last }
    }
}

fn map_source(load: &Load<'_>) -> Result<MappedSource> {
    MappedSource::new(&load.files.source, mappable(load)?)
}

fn map_destination(load: &Load<'_>) -> Result<MappedDestination> {
    MappedDestination::new(&load.files.destination, mappable(load)?)
}

fn mappable(load: &Load<'_>) -> Result<usize> {
    usize::try_from(load.bytes).map_err(|_| Error::os("mmap", Errno::EOVERFLOW))
}

/// Fills `buffer` from `file`, starting at the file's offset.
fn read_exact(file: &File, buffer: &mut [u8]) -> Result<()> {
    let mut done = 0;
    move_all("read", buffer.len(), |_| read(file, &mut buffer[done..]).inspect(|n| done += n))
}

/// Writes `bytes` to `file`, starting at the file's offset.
fn write_all(file: &File, bytes: &[u8]) -> Result<()> {
    move_all("write", bytes.len(), |left| write(file, &bytes[bytes.len() - left..]))
}

/// Repeats `attempt` until it has moved `len` bytes. It is one system call, named `call`, and is told how many are
/// left.
fn move_all(call: &'static str, len: usize, mut attempt: impl FnMut(usize) -> nix::Result<usize>) -> Result<()> {
    let mut left = len;
    while left > 0 {
        ledger::call();
        match attempt(left) {
            Ok(0) => {
                let why = format!("{call} moved nothing, {left} bytes before its end: somebody has cut it");
                return Err(Error::Unsupported { what: "file", why });
            }
            Ok(n) => left -= n,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os(call, errno)),
        }
    }
    Ok(())
}

fn check_same(received: usize, sent: usize) -> Result<()> {
    if received == sent { Ok(()) } else { Err(Error::Corrupt { what: "a chunk has another length than was sent" }) }
}
