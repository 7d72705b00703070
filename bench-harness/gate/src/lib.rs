//! The regression gate: did this change make anything slower?
//!
//! The engine measures base and head in turns in one run. Its figures come from two builds of this program ([`builds`], by a
//! [`plan`] of cells, each a [`program`] run from an [`image`] of its file), or from any two [`commands`], whose output [`adapters`]
//! read. [`rounds`] keep what was measured; [`exact`] counts what hardly varies. [`judge`] decides by the [`stats`] what the
//! differences mean, and [`report`] holds all that was found. [`print`](mod@print) shows it to a person, [`export`] writes it for other
//! tools, both in the words of [`wording`].

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
