//! `pipe`: two anonymous pipes.

use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Options, Reach, Reliability, Result, Spec, stream,
    stream::StreamEnd,
};
use nix::{fcntl::OFlag, unistd::pipe2};

/// `pipe`: two anonymous pipes, one for each direction.
///
/// - **Good for** a byte stream between parent and child. There is nothing to name and nothing to clean up. The
///   receiver gets end of file when its peer ends.
/// - **Bad for** message boundaries, and for processes that are not related.
///
/// Messages have no limit and no boundaries: the receiver's buffer must be as long as the message. In flight are 64
/// KiB, or [`Options::capacity`] up to `fs.pipe-max-size`. Its ends are [`StreamEnd`]s, which tell about system calls
/// and errors. Sources: pipe(2), pipe(7), `fs/pipe.c`.
///
/// ```
/// use ipc_pipe::Pipe;
/// use ipc_pipe::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = Pipe::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 4];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_pipe::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Pipe;

impl Channel for Pipe {
    const SPEC: Spec = Spec {
        name: "pipe",
        summary: "two anonymous pipes",
        family: Family::Pipe,
        framing: Framing::Stream,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "2 pipes",
        limit: "none; 64 KiB in flight by default (fs.pipe-max-size)",
        limits: stream::LIMITS,
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Nothing,
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "end of file, EPIPE",
        trust: "no name to open; the bytes lie in the kernel, so a peer can only send wrong ones",
        good_for: "byte streams between parent and child: nothing to name, nothing to clean up",
        bad_for: "message boundaries, unrelated processes",
        manual: "pipe(7)",
    };
    type Endpoint = StreamEnd;

    /// System calls: `pipe2` twice.
    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::os("pipe2", e));
        let (there, back) = (pipe()?, pipe()?);
        Ok((StreamEnd::new(back.0, there.1, options)?, StreamEnd::new(there.0, back.1, options)?))
    }
}
