//! One row of `history.csv`: one cell of one run, and what the machine was like then.

use super::{Flags, Row, field};
use crate::{
    baseline::BaselineItem,
    cell::{Cell, Workload},
};
use serde::{Deserialize, Serialize};

/// The cell column: a timed cell whose mechanism's name can be part of a file's name.
mod cell {
    use super::{Cell, field};
    use crate::cell::Workload;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(cell: &Cell, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cell)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cell, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    pub(super) fn parse(text: &str) -> Result<Cell, String> {
        let cell: Cell = text.parse()?;
        let wrong = |why: String| Err(format!("'{text}' is no cell: {why}"));
        if !Workload::TIMED.contains(&cell.workload) {
            return wrong(format!("'{}' is not timed: expected latency or throughput", cell.workload));
        }
        if !field::is_plain(cell.mechanism) {
            let mechanism = cell.mechanism;
            return wrong(format!("'{mechanism}' is no mechanism's name: expected letters, digits and hyphens"));
        }
        Ok(cell)
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
    #[serde(with = "cell")]
    pub cell: Cell,
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
    pub fn anchor(&self, anchor: BaselineItem) -> Option<f64> {
        match anchor {
            BaselineItem::Syscall => self.anchor_syscall_ns,
            BaselineItem::CacheLine => self.anchor_cache_line_ns,
            BaselineItem::Pipe => self.anchor_pipe_ns,
            BaselineItem::Memcpy => self.anchor_memcpy_ns,
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
        assert_eq!(cell::parse(name).unwrap().to_string(), name);
        for (wrong, part) in [
            ("latency/pipe", "WORKLOAD/MECHANISM"),
            ("cost/pipe/64/same-core/block/copy", "'cost'"),
            ("latency/a b/64/same-core/block/copy", "'a b'"),
            ("latency/../64/same-core/block/copy", "'..'"),
            ("latency/pipe/-1/same-core/block/copy", "'-1'"),
            ("latency/pipe/64/same/block/copy", "'same'"),
        ] {
            let error = cell::parse(wrong).unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")) && error.contains(part), "{error}");
        }
    }
}
