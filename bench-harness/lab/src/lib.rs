//! Measures channels in processes of their own. Names no mechanism: everything is generic over a channel.
//!
//! - [`worker`] is a child that measures and reports; [`pair`] forks two of them and plays a [`workload`] on a channel. [`sample`] is
//!   what one pair is to do and what it measured, [`usage`] and [`energy`] what it took beside its time.
//! - [`copies`] traces a pair and counts copies. [`faults`] kills, closes and stops one process of a pair. [`lifecycle`] measures
//!   what a channel costs before and after its messages.
//! - [`baseline`] measures the machine itself, [`topology`] finds its hardware threads, [`gather`] its facts.
//! - [`streams`] is the one place that writes to stdout and stderr, [`progress`] the bar, [`interrupt`] what a signal asks for.
//!   [`inject`] makes a pair slower on purpose.

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
