//! The regression gate: did this commit make any mechanism slower?
//!
//! Two builds of this program, base and head, are measured in turns in one run ([`engine`]), by what a [`plan`] asks for. A
//! [`program`] is one build, run from an [`image`] of its file. A [`reading`] is what it says of one pair, [`rounds`] what the
//! pairs of a cell add up to; [`exact`] counts what hardly varies. [`judge`] decides, by the [`stats`], what the differences mean; [`report`] is what comes of all of them.
//! [`print`](mod@print) shows that to a person, [`export`] writes it for other tools, both in the words of [`wording`].

pub mod builds;
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
