//! Measures Linux IPC mechanisms in forked process pairs, and reports what it found.
//!
//! [`cell`] names what is measured, [`plan`] expands a user's choice into cells, [`pair`] forks one pair and plays a
//! [`workload`] on it, [`tally`] and [`cost`] turn the pairs of a cell into a row, [`run`] does all of it with a progress bar, and
//! [`record`], [`report`] keep and show the rows. [`usage`] and [`energy`] say what a pair took beside its time. [`faults`] kills,
//! closes and stops one process of a pair and sees what becomes of the other. [`copies`] traces a pair, [`lifecycle`] measures
//! what a channel costs before and after its messages, [`relay`] carries a file from process to process: what a run measures
//! [`beside`] its cells. [`measure_baseline`] measures the machine itself. [`history`] keeps the figures of run after run, and
//! [`reference`](mod@reference) compares a run with one of another machine. [`gate`] compares two builds or commands, [`ci`] makes them out of two revisions,
//! and [`inject`] makes one slower on purpose. [`registry`] is the one table of mechanisms, [`streams`] the one place that writes to stdout and stderr. The program `ipc-bench` and the bench
//! targets are thin callers of this library.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod baseline;
pub mod beside;
pub mod cell;
mod cgroup;
pub mod ci;
pub mod cli;
pub mod clock;
pub mod copies;
pub mod cost;
pub mod doctor;
pub mod energy;
pub mod experiments;
pub mod fault;
pub mod faults;
pub mod file_copy;
pub mod gate;
pub mod gate_cells;
pub mod history;
pub mod host;
pub mod inject;
pub mod interrupt;
pub mod lifecycle;
pub mod measure_baseline;
mod mounts;
mod oom;
pub mod packed;
pub mod pair;
pub mod payload;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod readings;
pub mod record;
pub mod reference;
pub mod registry;
pub mod relay;
pub mod report;
pub mod role;
pub mod run;
pub mod sample;
pub mod selection;
pub mod stats;
pub mod streams;
mod sysfs;
pub mod tally;
pub mod topology;
pub mod usage;
pub mod worker;
pub mod workload;

pub use registry::{Mechanism, Registry, STANDARD};

use std::process::ExitCode;

/// Runs the program `ipc-bench` with the mechanisms of `registry`: the whole of a program's `main`.
///
/// The exit code is the verb's; `--help` lists them. A registry that does not [fit together](Registry::check) is code 2.
pub fn main(registry: &'static Registry) -> ExitCode {
    cli::main(registry)
}
