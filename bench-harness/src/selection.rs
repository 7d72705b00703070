//! What a user chose to measure, and how thoroughly.

use crate::{Mechanism, experiments::copies};
use bench_lab::sample::Budget;
use bench_record::cell::{Access, Placement, Workload};
use ipc_core::Wait;
use std::time::Duration;

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Depth {
    /// A look around: under 30 seconds.
    Quick,
    /// What `cargo bench` does: about three minutes.
    #[default]
    Default,
    /// More sizes, hybrid waiting, unpinned pairs, three times the pairs.
    Full,
}

impl Depth {
    pub(crate) fn sizes(self, workload: Workload) -> &'static [usize] {
        const KIB: usize = 1 << 10;
        match (self, workload) {
            (Depth::Quick, Workload::Latency) => &[64],
            (Depth::Quick, Workload::Throughput) => &[64, 64 * KIB],
            (Depth::Quick, Workload::Cost) => &[64],
            (Depth::Default, Workload::Latency) => &[64, 4 * KIB, 64 * KIB],
            (Depth::Default, Workload::Throughput) => &[64, 4 * KIB, 64 * KIB, KIB * KIB],
            (Depth::Quick, Workload::Copies) => &[4 * KIB],
            (_, Workload::Copies) => &copies::SIZES,
            (_, Workload::Cost) => &[64, 64 * KIB],
            (_, Workload::Lifecycle | Workload::Relay) => &[],
            (Depth::Full, _) => &[8, 64, 512, 4 * KIB, 8 * KIB, 64 * KIB, 256 * KIB, KIB * KIB],
        }
    }

    pub(crate) fn waits(self) -> &'static [Wait] {
        match self {
            Depth::Quick | Depth::Default => &[Wait::Block, Wait::Spin],
            Depth::Full => &Wait::ALL,
        }
    }

    /// What goes into each timed cell.
    pub(crate) fn timed(self) -> Effort {
        let (pairs, warm_up, measure) = match self {
            Depth::Quick => (3, 3, 8),
            Depth::Default => (5, 5, 32),
            Depth::Full => (15, 10, 60),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Effort { pairs, budget: Budget::Time { warm_up, measure } }
    }

    /// What goes into each pattern of a cost cell: as many pairs as a timed cell has, because the pairs differ as much, and
    /// shorter stretches, because nothing within one is kept but the sums.
    pub(crate) fn cost(self) -> Effort {
        let (warm_up, measure) = match self {
            Depth::Quick => (2, 4),
            Depth::Default => (2, 7),
            Depth::Full => (3, 15),
        };
        let (warm_up, measure) = (Duration::from_millis(warm_up), Duration::from_millis(measure));
        Effort { pairs: self.timed().pairs, budget: Budget::Metered { warm_up, measure } }
    }
}

/// How much is measured of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Pairs, for each pattern that the cell has.
    pub pairs: u32,
    /// What each of them measures.
    pub budget: Budget,
}

/// What the user chose; an empty list is "whatever the depth says".
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How thorough.
    pub depth: Depth,
    /// Substring of the cell names.
    pub filter: Option<String>,
    /// Mechanisms by name.
    pub mechanisms: Vec<&'static Mechanism>,
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// Message lengths in bytes.
    pub sizes: Vec<usize>,
    /// Placements.
    pub placements: Vec<Placement>,
    /// Wait strategies.
    pub waits: Vec<Wait>,
    /// Accesses.
    pub accesses: Vec<Access>,
    /// Pairs a cell.
    pub pairs: Option<u32>,
}
