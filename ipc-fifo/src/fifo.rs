//! `fifo`: two named pipes.

use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Name, Options, Reach, Reliability, Rendezvous, Result,
    Spec,
    liveness::Meeting,
    objects::{self, Object, Owned},
    stream,
    stream::StreamEnd,
};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::{Mode, SFlag},
    unistd::mkfifo,
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// `fifo`: two FIFOs, one for each direction.
///
/// - **Good for** a byte stream between processes that agree on a path. Shells and scripts can take part.
/// - **Bad for** message boundaries. Bad for several clients, and for clients that come and go: all writers of a FIFO
///   share one stream.
///
/// Once open it is a pipe, and costs what a pipe costs. Messages have no limit and no boundaries: the receiver's
/// buffer must be as long as the message. Its ends are [`StreamEnd`]s, which tell about system calls and errors.
/// Sources: mkfifo(3), fifo(7), `fs/pipe.c`.
///
/// # Meeting by name
///
/// Opening a FIFO tells nobody who else has opened it. So the two sides meet at a socket beside the FIFOs, where one
/// connector is let in:
///
/// - The binder makes both FIFOs and opens one to read.
/// - The connector opens that one to write and the other to read, and says so.
/// - The binder opens the other to write, removes both names, and says so.
///
/// ```
/// use ipc_fifo::Fifo;
/// use ipc_fifo::ipc_core::{Endpoint, Error, Name, Options, Rendezvous};
/// use std::thread;
///
/// let (name, options) = (Name::unique(), Options::default());
/// let connector = thread::spawn({
///     let name = name.clone();
///     move || {
///         let mut end = Fifo::connect(&name, &options)?;
///         end.send(b"ping")
///     }
/// });
/// let mut end = Fifo::bind(&name, &options)?;
/// let mut buffer = [0; 4];
/// end.recv(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// connector.join().expect("the thread does not panic")?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Fifo;

impl Channel for Fifo {
    const SPEC: Spec = Spec {
        name: "fifo",
        summary: "two named pipes",
        family: Family::Pipe,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "2 FIFOs",
        limit: "none; 64 KiB in flight by default (fs.pipe-max-size)",
        limits: stream::LIMITS,
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Nothing,
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

/// [`Fifo`] says how the two sides meet.
impl Rendezvous for Fifo {
    /// System calls: `mkfifo`, `open`, `fstat` and `unlink` twice; those of [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let [there, back] = paths(name)?;
        let named = (make(&there)?, make(&back)?);
        let reader = end_of(&back, OFlag::O_RDONLY)?;
        let mut peer = Meeting::open(name, Self::SPEC.name)?.accept(deadline)?;
        peer.hear(deadline)?;
        let writer = end_of(&there, OFlag::O_WRONLY)?;
        drop(named);
        peer.tell(0)?;
        StreamEnd::new(reader, writer, options)
    }

    /// System calls: `open` and `fstat` twice; those of [`Meeting`].
    fn connect(name: &Name, options: &Options) -> Result<StreamEnd> {
        let deadline = options.deadline();
        let mut peer = Meeting::join(name, Self::SPEC.name, deadline)?;
        let [there, back] = paths(name)?;
        let writer = peer.or_gone(end_of(&back, OFlag::O_WRONLY))?;
        let reader = peer.or_gone(end_of(&there, OFlag::O_RDONLY))?;
        peer.tell(0)?;
        peer.hear(deadline)?;
        StreamEnd::new(reader, writer, options)
    }
}

/// Where the binder writes and where it reads.
fn paths(name: &Name) -> Result<[PathBuf; 2]> {
    Ok([objects::path(name, "fifo-there")?, objects::path(name, "fifo-back")?])
}

/// Makes a FIFO that nobody else has made, mode 0600. Dropping the guard removes its name.
fn make(path: &Path) -> Result<Owned> {
    let ((), owned) = Owned::create(Object::Path(path.to_owned()), || {
        mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("mkfifo", e))
    })?;
    Ok(owned)
}

/// Opens one end, without waiting for the other (`ENXIO` to write where nobody reads yet), and makes sure that it is a FIFO,
/// this user's, and closed to others.
fn end_of(path: &Path, access: OFlag) -> Result<OwnedFd> {
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|e| Error::os("open", e))?;
    objects::check_found(&fd, SFlag::S_IFIFO, path.display())?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, time::Duration};

    /// A killed binder's FIFO can close before the socket that it met at.
    #[test]
    fn a_binder_that_no_longer_reads_is_gone() {
        let name = Name::unique();
        let options = Options { timeout: Some(Duration::from_secs(10)), ..Options::default() };
        let [there, back] = paths(&name).unwrap();
        let _named = (make(&there).unwrap(), make(&back).unwrap());
        let meeting = Meeting::open(&name, Fifo::SPEC.name).unwrap();
        let connector = thread::spawn(move || Fifo::connect(&name, &options).map(drop));
        let _peer = meeting.accept(options.deadline()).unwrap();
        assert!(matches!(connector.join().unwrap(), Err(Error::PeerGone { .. })));
    }
}
