//! The baseline of the machine: the cost of a system call, a cache line between two cores, a byte through a pipe and a
//! copy of memory.
//!
//! A run takes it at the start, in the middle and at the end. It contains no mechanism's code, so a change of the
//! source cannot move it. If the figures of two runs differ, the baselines show how much of that the machine explains
//! (see [`history`](crate::history)). Result files call it `anchors`.

use crate::{named, stats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

named! {
    /// What is measured of the machine.
    "anchor" BaselineItem {
        /// A system call that does nothing.
        Syscall = "syscall",
        /// A cache line to another hardware thread and back.
        CacheLine = "cache-line",
        /// A byte through a pipe to a process on another hardware thread and back.
        Pipe = "pipe",
        /// A copy of 1 MiB of memory.
        Memcpy = "memcpy",
    }
}

/// A baseline item has moved during a run if its greatest figure is more than this factor times its least.
pub const MOVED: f64 = 1.25;

/// All four items, taken once, in nanoseconds. An item that could not be measured is `None`, and
/// [`missing`](Self::missing) has the reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// One `getppid` system call.
    pub syscall_ns: Option<f64>,
    /// A bare cache line to another hardware thread and back.
    pub cache_line_ns: Option<f64>,
    /// One byte through two pipes, there and back. Both processes sleep while they wait.
    pub pipe_ns: Option<f64>,
    /// One copy of 1 MiB of memory.
    pub memcpy_ns: Option<f64>,
    /// The reason for each item that is missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<BaselineItem, String>,
}

impl Baseline {
    /// The figure of `anchor` in nanoseconds.
    pub fn get(&self, anchor: BaselineItem) -> Option<f64> {
        match anchor {
            BaselineItem::Syscall => self.syscall_ns,
            BaselineItem::CacheLine => self.cache_line_ns,
            BaselineItem::Pipe => self.pipe_ns,
            BaselineItem::Memcpy => self.memcpy_ns,
        }
    }
}

/// The baselines of a run. What an interrupted run did not reach is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baselines {
    /// Taken before the first pair.
    pub start: Option<Baseline>,
    /// Taken between two passes.
    pub middle: Option<Baseline>,
    /// Taken after the last pair.
    pub end: Option<Baseline>,
}

impl Baselines {
    /// All figures of `anchor` in this run.
    fn figures(&self, anchor: BaselineItem) -> Vec<f64> {
        let taken = [&self.start, &self.middle, &self.end];
        taken.into_iter().flatten().filter_map(|anchors| anchors.get(anchor)).collect()
    }

    /// The run's figure of `anchor`: the median of start, middle and end.
    pub fn median(&self, anchor: BaselineItem) -> Option<f64> {
        stats::median(&mut self.figures(anchor))
    }

    /// The items that moved during the run (see [`MOVED`]).
    pub fn moved(&self) -> impl Iterator<Item = BaselineItem> {
        let has_moved = |anchor: &BaselineItem| {
            let figures = self.figures(*anchor);
            let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
            figures.iter().any(|figure| *figure > MOVED * least)
        };
        BaselineItem::ALL.iter().copied().filter(has_moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pipe_ns: Option<f64>, syscall_ns: Option<f64>) -> Option<Baseline> {
        Some(Baseline { pipe_ns, syscall_ns, ..Baseline::default() })
    }

    #[test]
    fn a_run_has_the_median_of_what_was_taken() {
        let three = Baselines {
            start: with(Some(40.0), Some(100.0)),
            middle: with(Some(44.0), None),
            end: with(Some(60.0), Some(120.0)),
        };
        assert_eq!((three.median(BaselineItem::Pipe), three.median(BaselineItem::Syscall)), (Some(44.0), Some(110.0)));
        assert_eq!((three.median(BaselineItem::Memcpy), Baselines::default().median(BaselineItem::Pipe)), (None, None));
        assert_eq!(three.moved().collect::<Vec<_>>(), [BaselineItem::Pipe]);
        let interrupted = Baselines { start: with(Some(40.0), None), ..Baselines::default() };
        assert_eq!((interrupted.median(BaselineItem::Pipe), interrupted.moved().count()), (Some(40.0), 0));
    }

    #[test]
    fn what_is_missing_keeps_its_reason_in_the_file() {
        let missing = BTreeMap::from([(BaselineItem::CacheLine, "one thread".to_owned())]);
        let anchors = Baseline { syscall_ns: Some(130.5), missing, ..Baseline::default() };
        let text = serde_json::to_string(&anchors).unwrap();
        assert!(text.contains(r#""cache_line_ns":null"#) && text.contains(r#""cache-line":"one thread""#), "{text}");
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), anchors);
    }
}
