//! One row of `lifecycle.csv`: what a channel of one mechanism costs before and after its messages.

use super::{Row, field};
use crate::cell::Workload;
use serde::{Deserialize, Serialize};

/// What it takes to have a channel. A figure that was not measured is `None`, and [`error`](Self::error) says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifecycleRow {
    /// Always [`Workload::Lifecycle`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// Channels that were made one after the other.
    pub trials: u32,
    /// [`Channel::pair`](ipc_core::Channel::pair), the median over the trials.
    #[serde(with = "field::tenths")]
    pub create_ns: Option<f64>,
    /// Until two processes that share only a name have a link; empty where there are no names.
    #[serde(with = "field::tenths")]
    pub connect_ns: Option<f64>,
    /// From the first `send` on a new link to its arrival.
    #[serde(with = "field::tenths")]
    pub first_message_ns: Option<f64>,
    /// Closing both ends.
    #[serde(with = "field::tenths")]
    pub teardown_ns: Option<f64>,
    /// File descriptors of both ends together.
    #[serde(with = "field::maybe")]
    pub descriptors: Option<u64>,
    /// Mappings of both ends together.
    #[serde(with = "field::maybe")]
    pub mappings: Option<u64>,
    /// Bytes of them.
    #[serde(with = "field::maybe")]
    pub mapped_bytes: Option<u64>,
    /// The kernel's memory for one idle channel, what is mapped included, from the growth over many.
    #[serde(with = "field::whole")]
    pub kernel_bytes: Option<f64>,
    /// Why figures are missing; empty where none is.
    #[serde(with = "field::line")]
    pub error: String,
}

impl Row for LifecycleRow {
    const FILE: &'static str = "lifecycle.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "mechanism",
        "trials",
        "create_ns",
        "connect_ns",
        "first_message_ns",
        "teardown_ns",
        "descriptors",
        "mappings",
        "mapped_bytes",
        "kernel_bytes",
        "error",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{}/{}", self.workload, self.mechanism)
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Lifecycle)
    }
}
