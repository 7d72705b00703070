//! Throughput: messages moved one way per second.

use super::{
    Found,
    accumulator::Accumulator,
    cells::{self, OfCells, Subject},
};
use crate::selection::Depth;
use bench_record::{cell::Workload, rows::ThroughputRow};

/// Messages sent one way as fast as they go.
pub struct Throughput;

impl OfCells for Throughput {
    const WORKLOAD: Workload = Workload::Throughput;
    type Row = ThroughputRow;

    fn sizes(depth: Depth) -> &'static [usize] {
        const KIB: usize = 1 << 10;
        match depth {
            Depth::Quick => &[64, 64 * KIB],
            Depth::Default => &[64, 4 * KIB, 64 * KIB, KIB * KIB],
            Depth::Full => cells::ALL_SIZES,
        }
    }

    fn row(subject: &Subject, _found: &mut Found) -> Option<ThroughputRow> {
        subject.accumulators.first().map(Accumulator::throughput_row)
    }
}
