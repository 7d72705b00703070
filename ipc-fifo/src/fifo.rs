//! `fifo`: two named pipes, one for each direction (fifo(7), `fs/pipe.c`).
//!
//! Good for a byte stream between strangers that agree on a path: shells and scripts can take part. Bad where several
//! clients come, or come and go: all writers share one stream. Once open it is a pipe, and costs what a pipe costs.

use ipc_core::{
    Channel, Copies, Custody, Error, Framing, Name, Options, Reach, Reliability, Rendezvous, Result, Spec,
    liveness::{hear_exactly, retry_by},
    objects::{self, Object, Owned},
    stream::StreamEnd,
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::{Mode, SFlag},
    unistd::{mkfifo, write},
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// A pair of FIFOs.
#[derive(Debug)]
pub struct Fifo;

impl Channel for Fifo {
    const SPEC: Spec = Spec {
        name: "fifo",
        summary: "two named pipes",
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "2 FIFOs",
        limit: "none; 64 KiB in flight by default (fs.pipe-max-size)",
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "mode 0600 in a folder of mode 0700; another process of the user can open it before it is unlinked",
        good_for: "byte streams between strangers that agree on a path; shells and scripts can take part",
        bad_for: "message boundaries, several clients, clients that come and go",
        manual: "fifo(7)",
    };
    type Endpoint = StreamEnd;

    /// System calls: twice `mkfifo`, `open` to read, `open` to write, `fstat` after each, `unlink`.
    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let name = Name::unique();
        let both = |path: PathBuf| {
            let _named = make(&path)?;
            let reader = end_of(&path, OFlag::O_RDONLY)?;
            Ok((reader, end_of(&path, OFlag::O_WRONLY)?))
        };
        let [there, back] = paths(&name)?;
        let (there, back) = (both(there)?, both(back)?);
        Ok((StreamEnd::new(back.0, there.1, options)?, StreamEnd::new(there.0, back.1, options)?))
    }
}

/// Opening a FIFO tells nobody who else has, so the two sides go by these steps:
///
/// 1. the binder makes both FIFOs and opens `back` to read, without waiting;
/// 2. the connector opens `back` to write, which fails until 1 is done, then `there` to read;
/// 3. the binder opens `there` to write, which fails until 2 is done: now the connector needs no names any more;
/// 4. the binder removes the names and sends one byte, by which the connector knows that the link stands. Before 3 its
///    reader would see an end of file.
///
/// A second connector is not told from the first: the two would share a stream.
impl Rendezvous for Fifo {
    /// System calls: as `pair`, and `open` to write once a millisecond until the peer is there; `write`.
    fn bind(name: &Name, options: &Options) -> Result<StreamEnd> {
        let [there, back] = paths(name)?;
        let named = (make(&there)?, make(&back)?);
        let reader = end_of(&back, OFlag::O_RDONLY)?;
        let writer = retry_by(options.deadline(), || if_ready(end_of(&there, OFlag::O_WRONLY)))?;
        drop(named);
        write(&writer, &[0]).map_err(|e| Error::os("write", e))?;
        StreamEnd::new(reader, writer, options)
    }

    /// System calls: `open` twice, once a millisecond until the peer is there; `ppoll`, `read`.
    fn connect(name: &Name, options: &Options) -> Result<StreamEnd> {
        let [there, back] = paths(name)?;
        let deadline = options.deadline();
        let (reader, writer) = retry_by(deadline, || {
            let Some(writer) = if_ready(end_of(&back, OFlag::O_WRONLY))? else { return Ok(None) };
            Ok(if_ready(end_of(&there, OFlag::O_RDONLY))?.map(|reader| (reader, writer)))
        })?;
        // The byte that says that the link stands.
        hear_exactly(&reader, &mut [0], deadline)?;
        StreamEnd::new(reader, writer, options)
    }
}

/// Where the binder writes and where it reads.
fn paths(name: &Name) -> Result<[PathBuf; 2]> {
    Ok([objects::path(name, "fifo-there")?, objects::path(name, "fifo-back")?])
}

/// Makes a FIFO that nobody else has made, mode 0600. Dropping the guard removes its name.
fn make(path: &Path) -> Result<Owned> {
    let owned = Owned::journal(Object::Path(path.to_owned()))?;
    match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => Ok(owned),
        Err(errno) => {
            // What has the name is somebody else's.
            owned.disown();
            Err(Error::os("mkfifo", errno))
        }
    }
}

/// Opens one end, without waiting for the other (`ENXIO` to write where nobody reads yet), and makes sure that it is a FIFO,
/// this user's, and closed to others.
fn end_of(path: &Path, access: OFlag) -> Result<OwnedFd> {
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|e| Error::os("open", e))?;
    objects::check_found(&fd, SFlag::S_IFIFO, path.display())?;
    Ok(fd)
}

/// `None` where the peer has not made the FIFO yet, or not opened it.
fn if_ready(opened: Result<OwnedFd>) -> Result<Option<OwnedFd>> {
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Error::Os { source: Errno::ENOENT | Errno::ENXIO, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
