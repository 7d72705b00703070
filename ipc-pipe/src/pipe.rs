//! `pipe`: two anonymous pipes, one for each direction (pipe(2), `fs/pipe.c`).
//!
//! Good for a stream between relatives: nothing to name, nothing to clean up, end of file when the peer ends. Bad where
//! messages have boundaries or the processes are strangers.

use ipc_core::{
    Attested, Channel, Copies, Custody, Error, Family, Framing, Options, Reach, Reliability, Result, Spec, stream,
    stream::StreamEnd,
};
use nix::{fcntl::OFlag, unistd::pipe2};

/// A pair of anonymous pipes.
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
