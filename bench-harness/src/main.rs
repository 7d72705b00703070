//! The program `ipc-bench`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_harness::main(&bench_harness::STANDARD)
}
