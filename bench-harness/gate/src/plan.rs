//! The plans of the gate: how much is compared, and by which rules.

use super::judge::Rules;
use bench_record::named;

named! {
    /// How much is compared.
    "plan" Plan {
        /// Four cells and fewer rounds: shows that everything works, in about twenty seconds.
        Smoke = "smoke",
        /// Twelve cells, one or two of a kind: about a minute, under two.
        Twelve = "twelve",
        /// Every mechanism, by latency and by throughput: under ten minutes.
        Full = "full",
    }
}

/// The slowdown, in percent, of the controls that must be found.
pub const CONTROL_PERCENT: u32 = 10;

impl Plan {
    /// The rules of this plan.
    pub fn rules(self) -> Rules {
        match self {
            // Just enough to find 15 % on a machine that is not too busy.
            Plan::Smoke => Rules { screen_rounds: 30, confirm_min: 30, confirm_max: 120, ..Rules::default() },
            Plan::Twelve | Plan::Full => Rules::default(),
        }
    }
}
