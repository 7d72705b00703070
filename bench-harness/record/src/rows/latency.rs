//! Rows of `latency.csv`: the round trips of one cell.

use super::{Flags, Proximity, field};

row! {
    /// The round trips of one cell. Times are nanoseconds, there and back. A figure that was not measured is `None`,
    /// and [`error`](Self::error) has the reason.
    LatencyRow of Latency in "latency.csv";
    cell
    figures {
        /// Forked pairs that were measured.
        pairs: u32,
        /// Number of timed round trips of all pairs together.
        samples: u64,
        /// The shortest round trip.
        min_ns: Option<f64> as "field::tenths",
        /// The median over the pairs of each pair's median.
        p50_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % Student-t interval of the pairs' medians.
        p50_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % Student-t interval of the pairs' medians.
        p50_hi_ns: Option<f64> as "field::tenths",
        /// 90 % of round trips took at most this long.
        p90_ns: Option<f64> as "field::tenths",
        /// 99 % of round trips took at most this long.
        p99_ns: Option<f64> as "field::tenths",
        /// 99.9 % of round trips took at most this long.
        p999_ns: Option<f64> as "field::tenths",
        /// The longest round trip.
        max_ns: Option<f64> as "field::tenths",
        /// The mean of the timed round trips.
        mean_ns: Option<f64> as "field::tenths",
        /// Doubts about the figures.
        flags: Flags as "field::name",
        /// Why there are no figures. Empty if there are.
        error: String as "field::line",
    }
    later {
        /// Mean round trip of batches without a clock reading inside, for cells that are
        /// [`ClockBound`](super::Flag::ClockBound).
        batch_mean_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % Student-t interval of the batch mean over the pairs.
        batch_mean_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % Student-t interval of the batch mean over the pairs.
        batch_mean_hi_ns: Option<f64> as "field::tenths",
        /// How far apart the two processors were.
        proximity: Option<Proximity> as "field::maybe",
        /// The bare cache-line round trip between the two processors, in nanoseconds, taken beside the pairs.
        probe_ns: Option<f64> as "field::tenths",
        /// Datagrams lost. Only for mechanisms that can lose them.
        lost: Option<u64> as "field::maybe",
    }
}
