//! Latency: the time of a round trip.

use super::{
    Found,
    cells::{self, OfCells, Subject},
};
use crate::selection::Depth;
use bench_record::{cell::Workload, rows::LatencyRow};

/// Round trips of messages, timed one by one.
pub struct Latency;

impl OfCells for Latency {
    const WORKLOAD: Workload = Workload::Latency;
    type Row = LatencyRow;

    fn sizes(depth: Depth) -> &'static [usize] {
        const KIB: usize = 1 << 10;
        match depth {
            Depth::Quick => &[64],
            Depth::Default => &[64, 4 * KIB, 64 * KIB],
            Depth::Full => cells::ALL_SIZES,
        }
    }

    fn row(subject: &Subject, found: &mut Found) -> Option<LatencyRow> {
        let accumulator = subject.accumulators.first()?;
        found.histograms.extend(accumulator.histogram().map(|histogram| (subject.to_string(), histogram)));
        Some(accumulator.latency_row())
    }
}
