//! Cost: what a message takes besides its time.

mod row;

use super::{
    Choice, Found,
    cells::{Effort, OfCells, Subject},
};
use crate::selection::Depth;
use bench_record::{cell::Workload, rows::CostRow};

/// Processor time, system calls, context switches, page faults and energy of a message.
pub struct Cost;

impl OfCells for Cost {
    const WORKLOAD: Workload = Workload::Cost;
    type Row = CostRow;

    fn sizes(depth: Depth) -> &'static [usize] {
        match depth {
            Depth::Quick => &[64],
            Depth::Default | Depth::Full => &[64, 64 << 10],
        }
    }

    fn effort(choice: &Choice<'_>) -> Effort {
        Effort::metered(choice)
    }

    fn row(subject: &Subject, _found: &mut Found) -> Option<CostRow> {
        let [one_way, round_trip] = &subject.accumulators[..] else { return None };
        Some(row::of(one_way, round_trip))
    }
}
