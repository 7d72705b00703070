//! The regression gate: did this change make anything slower?
//!
//! The engine measures base and head in turns in one run. Its figures come from one of two sources:
//! - Two builds of this program ([`builds`]), for a [`plan`] of cells. Each build is a [`program`] run from an [`image`] of its
//!   file.
//! - Any two [`commands`], whose output [`adapters`] read.
//!
//! [`rounds`] keep what was measured, and [`exact`] counts what hardly varies. [`judge`] decides with [`stats`] what the
//! differences mean. [`report`] holds all findings. [`print`](mod@print) shows them to a person, and [`export`] writes them for
//! other tools. Both use the words of [`wording`].

pub mod adapters;
pub mod builds;
mod call;
pub mod commands;
mod engine;
pub mod exact;
#[cfg(test)]
mod example;
pub mod export;
pub mod image;
pub mod judge;
pub mod plan;
pub mod print;
pub mod program;
pub mod reading;
pub mod report;
pub mod rounds;
mod source;
pub mod stats;
mod subject;
mod unit;
mod verdict;
pub mod wording;
