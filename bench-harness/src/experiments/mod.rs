//! What is measured, one file an experiment.

pub mod copies;
pub mod faults;
