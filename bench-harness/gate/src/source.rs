//! Where the engine's figures come from: two builds of this program, or any two commands.

use super::{report::ExactReport, subject::Subject};
use bench_record::{packed::Packed, rows::Proximity};

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

/// What one run of one side yielded for one subject.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The figure that is judged, as a cost: nanoseconds a round trip or a message, or what a command printed. Where more is
    /// better it is the reciprocal.
    pub typical: f64,
    /// The same without the weight of time stamps, where it is known.
    pub unstamped: Option<f64>,
    /// 99 % of the round trips took no longer, in nanoseconds.
    pub p99_ns: Option<f64>,
    /// 99.9 % of them.
    pub p999_ns: Option<f64>,
    /// The longest.
    pub max_ns: Option<f64>,
    /// All stamped round trips.
    pub histogram: Option<Packed>,
    /// How far apart the two hardware threads were, where there are two.
    pub proximity: Option<Proximity>,
    /// Whether something disturbed the run, so that it says nothing.
    pub disturbed: bool,
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
