//! What is measured, one file an experiment.

pub mod copies;
pub mod cost;
pub mod faults;
pub mod relay;
pub mod tally;
