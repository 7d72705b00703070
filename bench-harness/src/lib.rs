//! The program `ipc-bench`, and the library that a program with channels of its own is made of.
//!
//! A [`registry`] is a value: [`STANDARD`] holds the mechanisms of this workspace, and [`main`] runs the program with any. A
//! [`selection`] becomes a [`plan`] of [`experiments`] with their subjects. [`run`] measures it, visit by visit, and writes the rows. [`doctor`] looks for what limits a run. [`readings`] are
//! what the gate asks of a program. The crates below it: `bench-record` (names and files), `bench-lab` (how it is measured),
//! `bench-report` (what readers see), `bench-gate` (two builds or commands compared). [`ci`] makes two builds out of two revisions.

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

/// Runs the program `ipc-bench` with the mechanisms of `registry`: the whole of a program's `main`.
///
/// The exit code is the verb's; `--help` lists them. A registry that does not [fit together](Registry::check) is code 2.
pub fn main(registry: &'static Registry) -> ExitCode {
    cli::main(registry)
}
