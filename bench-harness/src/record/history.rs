//! One row of `history.csv`: one cell of one run, and what the machine was like then.

use super::{Flags, Key, Row, field};
use crate::{
    anchors::Anchor,
    cell::{Access, Placement, Workload},
};
use ipc_core::Wait;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The name of a cell, of whatever mechanism: a history keeps those that the suite no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellName {
    /// What was measured.
    pub workload: Workload,
    /// The mechanism's name.
    pub mechanism: String,
    /// Message length in bytes.
    pub size: usize,
    /// Where the two processes ran.
    pub placement: Placement,
    /// How they waited.
    pub wait: Wait,
    /// How they reached the payload.
    pub access: Access,
}

impl From<Key<'_>> for CellName {
    fn from(key: Key<'_>) -> Self {
        let Key { workload, mechanism, size, placement, wait, access } = key;
        Self { workload, mechanism: mechanism.to_owned(), size, placement, wait, access }
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, mechanism, size, placement, wait, access } = self;
        write!(f, "{workload}/{mechanism}/{size}/{placement}/{wait}/{access}")
    }
}

impl FromStr for CellName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = Key::try_from(text)?;
        let wrong = |why: String| Err(format!("'{text}' is no cell: {why}"));
        if !Workload::TIMED.contains(&key.workload) {
            return wrong(format!("'{}' is not timed: expected latency or throughput", key.workload));
        }
        if !field::is_plain(key.mechanism) {
            let mechanism = key.mechanism;
            return wrong(format!("'{mechanism}' is no mechanism's name: expected letters, digits and hyphens"));
        }
        Ok(key.into())
    }
}

/// One cell of one run. What was not measured, or not known, is `None` or empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The run: when it started, and eight digits that tell it from others of the same second.
    #[serde(with = "field::word")]
    pub run_id: String,
    /// When it started: RFC 3339, UTC.
    #[serde(with = "field::moment")]
    pub time: String,
    /// The revision that the program was built from; empty where it was built outside of git.
    #[serde(with = "field::hex")]
    pub git: String,
    /// Whether files differed from that.
    #[serde(with = "field::yes")]
    pub dirty: Option<bool>,
    /// The key of the environment (see [`Environment`](crate::host::Environment)).
    #[serde(with = "field::hex")]
    pub env_key: String,
    /// The cell.
    #[serde(with = "field::name")]
    pub cell: CellName,
    /// The median over pairs of the median round trip (latency).
    #[serde(with = "field::tenths")]
    pub p50_ns: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(with = "field::tenths_low")]
    pub p50_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(with = "field::tenths")]
    pub p50_hi_ns: Option<f64>,
    /// 99 % of round trips took no longer.
    #[serde(with = "field::tenths")]
    pub p99_ns: Option<f64>,
    /// Messages a second (throughput).
    #[serde(with = "field::whole")]
    pub msgs_per_s: Option<f64>,
    /// System calls of a message, of sender and receiver together, sent one way.
    #[serde(with = "field::hundredths")]
    pub syscalls: Option<f64>,
    /// Copies of a payload byte, by the kernel and the processes.
    #[serde(with = "field::hundredths")]
    pub copies: Option<f64>,
    /// What the machine itself took in that run: a null system call.
    #[serde(with = "field::tenths")]
    pub anchor_syscall_ns: Option<f64>,
    /// A bare cache line, there and back.
    #[serde(with = "field::tenths")]
    pub anchor_cache_line_ns: Option<f64>,
    /// A byte through a pipe, there and back.
    #[serde(with = "field::tenths")]
    pub anchor_pipe_ns: Option<f64>,
    /// A copy of 1 MiB.
    #[serde(with = "field::tenths")]
    pub anchor_memcpy_ns: Option<f64>,
    /// Doubts about the figures.
    #[serde(with = "field::name")]
    pub flags: Flags,
}

impl HistoryRow {
    /// The figure of `anchor`.
    pub fn anchor(&self, anchor: Anchor) -> Option<f64> {
        match anchor {
            Anchor::Syscall => self.anchor_syscall_ns,
            Anchor::CacheLine => self.anchor_cache_line_ns,
            Anchor::Pipe => self.anchor_pipe_ns,
            Anchor::Memcpy => self.anchor_memcpy_ns,
        }
    }

    /// What the row is judged by: the median round trip in nanoseconds, or messages a second.
    pub fn figure(&self) -> Option<f64> {
        match self.cell.workload {
            Workload::Throughput => self.msgs_per_s,
            _ => self.p50_ns,
        }
    }
}

impl Row for HistoryRow {
    const FILE: &'static str = "history.csv";
    const COLUMNS: &'static [&'static str] = &[
        "run_id",
        "time",
        "git",
        "dirty",
        "env_key",
        "cell",
        "p50_ns",
        "p50_lo_ns",
        "p50_hi_ns",
        "p99_ns",
        "msgs_per_s",
        "syscalls",
        "copies",
        "anchor_syscall_ns",
        "anchor_cache_line_ns",
        "anchor_pipe_ns",
        "anchor_memcpy_ns",
        "flags",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{} of run {}", self.cell, self.run_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_a_mechanism_that_is_gone_is_still_one() {
        let name = "latency/carrier-pigeon/64/cross-core/spin/in-place";
        assert_eq!(name.parse::<CellName>().unwrap().to_string(), name);
        for (wrong, part) in [
            ("latency/pipe", "WORKLOAD/MECHANISM"),
            ("cost/pipe/64/same-core/block/copy", "'cost'"),
            ("latency/a b/64/same-core/block/copy", "'a b'"),
            ("latency/../64/same-core/block/copy", "'..'"),
            ("latency/pipe/-1/same-core/block/copy", "'-1'"),
            ("latency/pipe/64/same/block/copy", "'same'"),
        ] {
            let error = wrong.parse::<CellName>().unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")) && error.contains(part), "{error}");
        }
    }
}
