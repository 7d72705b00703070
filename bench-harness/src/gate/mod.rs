//! The regression gate: did this commit make any mechanism slower?
//!
//! Two builds of this program, base and head, are measured in turns in one run. [`reading`] is what one build says of one pair;
//! [`judge`] decides, by the [`stats`], what the differences between the two mean; [`exact`] counts what hardly varies; [`report`] is
//! what comes of all of them. [`print`] shows that to a person, [`export`] writes it for other tools, both in the words of
//! [`wording`].

pub mod exact;
#[cfg(test)]
mod example;
pub mod export;
pub mod judge;
pub mod print;
pub mod reading;
pub mod report;
pub mod stats;
pub mod wording;
