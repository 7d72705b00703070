//! Names and files of measurements, apart from how they are measured.
//!
//! A [`cell`] names what is measured. A measurement becomes a row of a CSV file and nothing else ([`rows`]). Tables,
//! charts and reports are functions of the rows. [`host`] holds the facts of the machine, and [`baseline`] the
//! machine's own speed. [`history`] collects the figures of run after run. This crate starts no process and reads
//! nothing but result files.

pub mod baseline;
pub mod cell;
pub mod fault;
pub mod file_copy;
pub mod history;
pub mod host;
pub mod packed;
pub mod rows;
pub mod stats;

#[doc(hidden)]
pub use clap;
#[doc(hidden)]
pub use serde;
