//! How much the gate compares, and by which rules.

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

/// By how much those are slowed down that must be found.
pub const CONTROL_PERCENT: u32 = 10;

impl Plan {
    /// How it is judged.
    pub fn rules(self) -> Rules {
        match self {
            // Enough to find 15 % on a machine that is not too busy, and no more.
            Plan::Smoke => Rules { screen_rounds: 30, confirm_min: 30, confirm_max: 120, ..Rules::default() },
            Plan::Twelve | Plan::Full => Rules::default(),
        }
    }
}
