//! Rows of `history.csv`: one cell of one run, with the baseline of the machine in that run.

use super::{Flags, field};
use crate::{
    baseline::BaselineItem,
    cell::{Cell, Workload},
};

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

row! {
    /// One cell of one run. A value that was not measured, or is not known, is `None` or empty.
    HistoryRow in "history.csv";
    name(row) = format!("{} of run {}", row.cell, row.run_id);
    key {
        /// The run's name: when it started, and eight digits that tell it from others of the same second.
        run_id: String as "field::word",
        /// When the run started: RFC 3339, UTC.
        time: String as "field::moment",
        /// The revision that the program was built from. Empty if it was built outside of git.
        git: String as "field::hex",
        /// Whether files differed from that revision.
        dirty: Option<bool> as "field::yes",
        /// The key of the environment (see [`Environment`](crate::host::Environment)).
        env_key: String as "field::hex",
        /// The cell.
        cell: Cell as "cell",
    }
    figures {
        /// The median over pairs of the median round trip (latency).
        p50_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % confidence interval of the median round trip.
        p50_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % confidence interval of the median round trip.
        p50_hi_ns: Option<f64> as "field::tenths",
        /// 99 % of round trips took at most this long.
        p99_ns: Option<f64> as "field::tenths",
        /// Messages per second (throughput).
        msgs_per_s: Option<f64> as "field::whole",
        /// System calls per message that is sent one way, of sender and receiver together.
        syscalls: Option<f64> as "field::hundredths",
        /// Copies per payload byte, by the kernel and the processes.
        copies: Option<f64> as "field::hundredths",
        /// Baseline of the machine in that run: a null system call.
        anchor_syscall_ns: Option<f64> as "field::tenths",
        /// Baseline of the machine in that run: a bare cache line, there and back.
        anchor_cache_line_ns: Option<f64> as "field::tenths",
        /// Baseline of the machine in that run: a byte through a pipe, there and back.
        anchor_pipe_ns: Option<f64> as "field::tenths",
        /// Baseline of the machine in that run: a copy of 1 MiB.
        anchor_memcpy_ns: Option<f64> as "field::tenths",
        /// Doubts about the figures.
        flags: Flags as "field::name",
    }
}

impl HistoryRow {
    /// The figure of `anchor` in nanoseconds.
    pub fn anchor(&self, anchor: BaselineItem) -> Option<f64> {
        match anchor {
            BaselineItem::Syscall => self.anchor_syscall_ns,
            BaselineItem::CacheLine => self.anchor_cache_line_ns,
            BaselineItem::Pipe => self.anchor_pipe_ns,
            BaselineItem::Memcpy => self.anchor_memcpy_ns,
        }
    }

    /// The figure by which the row is judged: the median round trip in nanoseconds, or messages per second.
    pub fn figure(&self) -> Option<f64> {
        match self.cell.workload {
            Workload::Throughput => self.msgs_per_s,
            _ => self.p50_ns,
        }
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
