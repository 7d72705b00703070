//! One row of `latency.csv`: the round trips of one cell.

use super::{Flags, Proximity, Row, field};
use crate::cell::{Access, Cell, Placement, Workload, interned};
use ipc_core::Wait;
use serde::{Deserialize, Serialize};

/// The round trips of one cell. Times are nanoseconds, there and back; a figure that was not measured is `None`, and
/// [`error`](Self::error) says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// Always [`Workload::Latency`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// Message length in bytes, the same in both directions.
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
    /// Stamped round trips of all pairs together.
    pub samples: u64,
    /// The shortest round trip.
    #[serde(with = "field::tenths")]
    pub min_ns: Option<f64>,
    /// The median over the pairs of each pair's median.
    #[serde(with = "field::tenths")]
    pub p50_ns: Option<f64>,
    /// Lower end of the 95 % Student-t interval of the pairs' medians.
    #[serde(with = "field::tenths_low")]
    pub p50_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(with = "field::tenths")]
    pub p50_hi_ns: Option<f64>,
    /// 90 % of round trips took no longer.
    #[serde(with = "field::tenths")]
    pub p90_ns: Option<f64>,
    /// 99 % of round trips took no longer.
    #[serde(with = "field::tenths")]
    pub p99_ns: Option<f64>,
    /// 99.9 % of round trips took no longer.
    #[serde(with = "field::tenths")]
    pub p999_ns: Option<f64>,
    /// The longest round trip.
    #[serde(with = "field::tenths")]
    pub max_ns: Option<f64>,
    /// The mean of the stamped round trips.
    #[serde(with = "field::tenths")]
    pub mean_ns: Option<f64>,
    /// Doubts about the figures.
    #[serde(with = "field::name")]
    pub flags: Flags,
    /// Why there are no figures; empty where there are.
    #[serde(with = "field::line")]
    pub error: String,
    /// Mean round trip of batches with no clock read inside, for cells that are
    /// [`ClockBound`](super::Flag::ClockBound).
    #[serde(default, with = "field::tenths")]
    pub batch_mean_ns: Option<f64>,
    /// Lower end of its 95 % Student-t interval over the pairs.
    #[serde(default, with = "field::tenths_low")]
    pub batch_mean_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(default, with = "field::tenths")]
    pub batch_mean_hi_ns: Option<f64>,
    /// How far apart the two processors were.
    #[serde(default, with = "field::maybe")]
    pub proximity: Option<Proximity>,
    /// The bare cache-line round trip between them, taken beside the pairs.
    #[serde(default, with = "field::tenths")]
    pub probe_ns: Option<f64>,
    /// Datagrams lost; only for mechanisms that can lose them.
    #[serde(default, with = "field::maybe")]
    pub lost: Option<u64>,
}

impl LatencyRow {
    /// A row of `cell` that has no figures yet.
    pub fn empty(cell: &Cell) -> Self {
        Self {
            workload: Workload::Latency,
            mechanism: cell.mechanism.to_owned(),
            size: cell.size,
            placement: cell.placement,
            wait: cell.wait,
            access: cell.access,
            pairs: 0,
            samples: 0,
            min_ns: None,
            p50_ns: None,
            p50_lo_ns: None,
            p50_hi_ns: None,
            p90_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: None,
            mean_ns: None,
            flags: Flags::default(),
            error: String::new(),
            batch_mean_ns: None,
            batch_mean_lo_ns: None,
            batch_mean_hi_ns: None,
            proximity: None,
            probe_ns: None,
            lost: None,
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

impl Row for LatencyRow {
    const FILE: &'static str = "latency.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "mechanism",
        "size",
        "placement",
        "wait",
        "access",
        "pairs",
        "samples",
        "min_ns",
        "p50_ns",
        "p50_lo_ns",
        "p50_hi_ns",
        "p90_ns",
        "p99_ns",
        "p999_ns",
        "max_ns",
        "mean_ns",
        "flags",
        "error",
        "batch_mean_ns",
        "batch_mean_lo_ns",
        "batch_mean_hi_ns",
        "proximity",
        "probe_ns",
        "lost",
    ];
    const REQUIRED: usize = 19;

    fn name(&self) -> String {
        self.key().to_string()
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Latency)
    }
}
