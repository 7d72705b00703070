//! The user's selection: what to measure, and how thoroughly.

use crate::Mechanism;
use bench_record::cell::{Access, Placement, Workload};
use ipc_core::Wait;

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Depth {
    /// A quick look: under 30 seconds.
    Quick,
    /// The plan of `cargo bench`: about three minutes.
    #[default]
    Default,
    /// More sizes, hybrid waiting, unpinned pairs, three times the pairs.
    Full,
}

impl Depth {
    pub(crate) fn waits(self) -> &'static [Wait] {
        match self {
            Depth::Quick | Depth::Default => &[Wait::Block, Wait::Spin],
            Depth::Full => &Wait::ALL,
        }
    }
}

/// What the user selected. An empty list means the default of the depth.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How thorough.
    pub depth: Depth,
    /// Substring of the cell names to select.
    pub filter: Option<String>,
    /// The selected mechanisms.
    pub mechanisms: Vec<&'static Mechanism>,
    /// The selected workloads.
    pub workloads: Vec<Workload>,
    /// The selected message lengths, in bytes.
    pub sizes: Vec<usize>,
    /// The selected placements.
    pub placements: Vec<Placement>,
    /// The selected wait policies.
    pub waits: Vec<Wait>,
    /// The selected accesses.
    pub accesses: Vec<Access>,
    /// Number of pairs per cell.
    pub pairs: Option<u32>,
}
