//! The program `ipc-bench`. The library does everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_harness::main(&bench_harness::STANDARD)
}
