//! Where the engine's figures come from: two builds of this program, or any two commands.

use super::{report::ExactReport, rounds::Measured, subject::Subject};

/// Yields the figures of base and head, one run at a time.
pub(super) trait Source {
    /// How many builds base and head have. Every round draws one of each.
    fn builds(&self) -> [usize; 2];

    /// Runs one side once and returns a figure for every subject of the call, in their order.
    fn measure(&self, call: &Call<'_>) -> Result<Vec<Measured>, Fault>;

    /// Counts what hardly varies, for the subjects that `works` accepts.
    fn count(&self, works: &dyn Fn(&str) -> bool, random: &mut fastrand::Rng) -> Vec<ExactReport> {
        let _ = (works, random);
        Vec::new()
    }
}

/// One run of one side.
pub(super) struct Call<'a> {
    /// What one run measures together. All have one purpose, except for the controls of commands.
    pub(super) subjects: &'a [Subject],
    /// 0 is the base, 1 the head.
    pub(super) side: usize,
    /// Which build of the side. In a control both sides run builds of the base.
    pub(super) build: usize,
}

/// Why a run yielded nothing.
pub(super) enum Fault {
    /// The run failed; the next one may not.
    Once {
        /// What happened.
        why: String,
        /// Whether a payload arrived wrong: more than a missing figure.
        wrong_payload: bool,
    },
    /// No verdict is possible. The text says why.
    Fatal(String),
}
