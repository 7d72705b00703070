//! One row of `throughput.csv`: the messages that one cell moved one way in a time.

use super::{Flags, Proximity, Row, field};
use crate::cell::{Access, Cell, Placement, Workload, interned};
use ipc_core::Wait;
use serde::{Deserialize, Serialize};

/// What one cell moved one way, per second. A figure that was not measured is `None`, and [`error`](Self::error) says
/// why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputRow {
    /// Always [`Workload::Throughput`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// Message length in bytes.
    pub size: usize,
    /// Where the two processes ran.
    #[serde(with = "field::name")]
    pub placement: Placement,
    /// How they waited.
    #[serde(with = "field::name")]
    pub wait: Wait,
    /// How they reached the payload.
    #[serde(with = "field::name")]
    pub access: Access,
    /// Forked pairs that were measured.
    pub pairs: u32,
    /// Messages of all pairs together.
    pub messages: u64,
    /// Messages per second: the median over the pairs.
    #[serde(with = "field::whole")]
    pub msgs_per_s: Option<f64>,
    /// Payload bytes per second: the median over the pairs.
    #[serde(with = "field::whole")]
    pub bytes_per_s: Option<f64>,
    /// Lower end of the 95 % Student-t interval of the pairs' bytes per second.
    #[serde(with = "field::whole_low")]
    pub bytes_per_s_lo: Option<f64>,
    /// Upper end of it.
    #[serde(with = "field::whole")]
    pub bytes_per_s_hi: Option<f64>,
    /// Doubts about the figures.
    #[serde(with = "field::name")]
    pub flags: Flags,
    /// Why there are no figures; empty where there are.
    #[serde(with = "field::line")]
    pub error: String,
    /// Datagrams lost; only for mechanisms that can lose them.
    #[serde(default, with = "field::maybe")]
    pub lost: Option<u64>,
    /// How far apart the two processors were.
    #[serde(default, with = "field::maybe")]
    pub proximity: Option<Proximity>,
    /// The bare cache-line round trip between them, in nanoseconds, taken beside the pairs.
    #[serde(default, with = "field::tenths")]
    pub probe_ns: Option<f64>,
}

impl ThroughputRow {
    /// A row of `cell` that has no figures yet.
    pub fn empty(cell: &Cell) -> Self {
        Self {
            workload: Workload::Throughput,
            mechanism: cell.mechanism.to_owned(),
            size: cell.size,
            placement: cell.placement,
            wait: cell.wait,
            access: cell.access,
            pairs: 0,
            messages: 0,
            msgs_per_s: None,
            bytes_per_s: None,
            bytes_per_s_lo: None,
            bytes_per_s_hi: None,
            flags: Flags::default(),
            error: String::new(),
            lost: None,
            proximity: None,
            probe_ns: None,
        }
    }

    /// A row of `cell` that was not measured because of `error`.
    pub fn failed(cell: &Cell, error: impl Into<String>) -> Self {
        Self { error: error.into(), ..Self::empty(cell) }
    }

    /// Which cell the row is of.
    pub fn key(&self) -> Cell {
        Cell {
            workload: self.workload,
            mechanism: interned(&self.mechanism),
            size: self.size,
            placement: self.placement,
            wait: self.wait,
            access: self.access,
        }
    }
}

impl Row for ThroughputRow {
    const FILE: &'static str = "throughput.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "mechanism",
        "size",
        "placement",
        "wait",
        "access",
        "pairs",
        "messages",
        "msgs_per_s",
        "bytes_per_s",
        "bytes_per_s_lo",
        "bytes_per_s_hi",
        "flags",
        "error",
        "lost",
        "proximity",
        "probe_ns",
    ];
    const REQUIRED: usize = 14;

    fn name(&self) -> String {
        self.key().to_string()
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Throughput)
    }
}
