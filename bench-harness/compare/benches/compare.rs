//! The main job of `cargo bench`: measures every mechanism, prints the ranking, writes `results/latest/`.

use bench_harness::{STANDARD, cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::finish(cli::run::compare(&STANDARD))
}
