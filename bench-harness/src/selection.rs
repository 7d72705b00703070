//! What a user chose to measure, and how thoroughly.

use crate::Mechanism;
use bench_record::cell::{Access, Placement, Workload};
use ipc_core::Wait;

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
    pub(crate) fn waits(self) -> &'static [Wait] {
        match self {
            Depth::Quick | Depth::Default => &[Wait::Block, Wait::Spin],
            Depth::Full => &Wait::ALL,
        }
    }
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
