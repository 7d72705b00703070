//! `ipc-bench` with channels from outside.

use bench_harness::{Mechanism, Registry, STANDARD};
use c_packets::CPackets;
use length_prefixed_pipe::LengthPrefixedPipe;
use std::process::ExitCode;

static CHANNELS: Registry = STANDARD.with(&[Mechanism::of::<LengthPrefixedPipe>(), Mechanism::of::<CPackets>()]);

fn main() -> ExitCode {
    bench_harness::main(&CHANNELS)
}
