//! What the surroundings of a run can do to it: a sandbox that refuses system calls, scheduling policies, control groups, limits,
//! file systems. A run says what refused what, and `doctor` finds the one cause of many symptoms. Each trial is a process of its own.

mod causes;
mod filter;
mod group;
mod runs;

use ipc_conformance::{Suite, run_all};
use std::time::Duration;

fn main() {
    // Beside busy processes a pair under SCHED_IDLE takes minutes.
    let suite = Suite::new("surroundings").within(Duration::from_secs(600));
    run_all([runs::add(causes::add(suite))]);
}

/// An error as text.
fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
