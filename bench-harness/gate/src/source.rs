//! The source of the engine's figures: two builds of this program, or any two commands.

use super::{report::ExactReport, rounds::Measured, subject::Subject};

/// Yields the figures of base and head, one run at a time.
pub(super) trait Source {
    /// The numbers of builds of base and head. Every round draws one build of each.
    fn builds(&self) -> [usize; 2];

    /// Runs one side once and returns a figure for every subject of the call, in their order.
    fn measure(&self, call: &Call<'_>) -> Result<Vec<Measured>, Fault>;

    /// Takes the exact counts of the subjects that `works` accepts.
    fn count(&self, works: &dyn Fn(&str) -> bool, random: &mut fastrand::Rng) -> Vec<ExactReport> {
        let _ = (works, random);
        Vec::new()
    }
}

/// One run of one side.
pub(super) struct Call<'a> {
    /// The subjects that one run measures together. All have the same purpose, except for the controls of commands.
    pub(super) subjects: &'a [Subject],
    /// 0 is the base, 1 the head.
    pub(super) side: usize,
    /// The index of the side's build. In a control both sides run builds of the base.
    pub(super) build: usize,
}

/// The reason why a run yielded nothing.
pub(super) enum Fault {
    /// The run failed, but the next one may not.
    Once {
        /// What happened.
        why: String,
        /// Whether a payload arrived wrong. That is worse than a missing figure.
        wrong_payload: bool,
    },
    /// No verdict is possible. The text says why.
    Fatal(String),
}
