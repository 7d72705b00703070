//! The program `ipc-bench`, and the library for programs with their own channels.
//!
//! A [`registry`] is a value. [`STANDARD`] holds the mechanisms of this workspace, and [`main`] runs the program with
//! any registry. A [`selection`] becomes a [`plan`] of [`experiments`] with their subjects. [`run`] measures the plan,
//! visit by visit, and writes the rows. [`doctor`] looks for what limits a run. [`readings`] are what the gate asks of
//! a program. [`ci`] builds two revisions for the gate.
//!
//! The crates below this one are `bench-record` (names and files), `bench-lab` (measuring), `bench-report` (tables,
//! charts, pages) and `bench-gate` (comparison of two builds or commands).

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod built;
pub mod ci;
pub mod cli;
pub mod doctor;
pub mod experiments;
mod gate_cells;
pub mod plan;
#[cfg(test)]
mod profile;
pub mod readings;
pub mod registry;
pub mod run;
pub mod selection;

pub use registry::{Mechanism, Registry, STANDARD};

use std::process::ExitCode;

/// Runs the program `ipc-bench` with the mechanisms of `registry`. A program's `main` needs nothing else.
///
/// The exit code is the verb's; `--help` lists them. It is 2 if the registry does not pass [`check`](Registry::check).
pub fn main(registry: &'static Registry) -> ExitCode {
    cli::main(registry)
}
