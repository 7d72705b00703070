//! A channel and its conformance test, which is one line.

use ipc_core::{Channel, Error, Options, Result, Spec, stream::StreamEnd};
use std::io::pipe;

/// Two anonymous pipes.
struct MyChannel;

impl Channel for MyChannel {
    const SPEC: Spec = Spec { pollable: true, ..Spec::new("my-channel", "two anonymous pipes") };
    type Endpoint = StreamEnd;

    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let pipe = || pipe().map_err(|error| Error::io("pipe2", &error));
        let ((a, to_a), (b, to_b)) = (pipe()?, pipe()?);
        Ok((StreamEnd::new(a.into(), to_b.into(), options)?, StreamEnd::new(b.into(), to_a.into(), options)?))
    }
}

fn main() {
    ipc_conformance::run::<MyChannel>()
}
