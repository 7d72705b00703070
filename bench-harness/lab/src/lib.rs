//! Measures channels in child processes. This crate names no mechanism: all code is generic over a channel.
//!
//! - [`worker`] forks a child that measures and reports. [`pair`] forks two of them and runs a [`workload`] on a channel.
//! - [`sample`] holds the job of one pair and what it measured. [`usage`] and [`energy`] hold what the pair used besides time.
//! - [`copies`] traces a pair and counts copies.
//! - [`faults`] kills one process of a pair, stops it, or closes its end.
//! - [`lifecycle`] measures what a channel costs before and after its messages.
//! - [`baseline`] measures the machine itself. [`topology`] finds its hardware threads, and [`gather`] collects its facts.
//! - [`streams`] is the only place that writes to stdout and stderr. [`progress`] draws the progress bar.
//! - [`interrupt`] handles the signals that ask the program to stop.
//! - [`inject`] makes a pair slower on purpose.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod baseline;
pub mod cgroup;
pub mod clock;
pub mod copies;
pub mod energy;
pub mod faults;
pub mod gather;
pub mod inject;
pub mod interrupt;
pub mod lifecycle;
pub mod mounts;
pub mod oom;
pub mod pair;
pub mod payload;
pub mod probe;
pub mod progress;
pub mod role;
pub mod sample;
pub mod streams;
pub mod sysfs;
pub mod topology;
pub mod usage;
pub mod worker;
pub mod workload;
