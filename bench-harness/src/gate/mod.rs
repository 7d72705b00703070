//! The regression gate: did this commit make any mechanism slower?
//!
//! Two builds of this program, base and head, are measured in turns in one run. [`reading`] is what one build says of one pair;
//! [`judge`] decides, by the [`stats`], what the differences between the two mean; [`exact`] counts what hardly varies; [`report`] is
//! what comes of all of them.

pub mod exact;
pub mod judge;
pub mod reading;
pub mod report;
pub mod stats;
