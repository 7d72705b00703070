//! One row of `latency.csv`: the round trips of one cell.

use super::{Flags, Proximity, field};

row! {
    /// The round trips of one cell. Times are nanoseconds, there and back; a figure that was not measured is `None`, and
    /// [`error`](Self::error) says why.
    LatencyRow of Latency in "latency.csv";
    cell
    figures {
        /// Forked pairs that were measured.
        pairs: u32,
        /// Stamped round trips of all pairs together.
        samples: u64,
        /// The shortest round trip.
        min_ns: Option<f64> as "field::tenths",
        /// The median over the pairs of each pair's median.
        p50_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % Student-t interval of the pairs' medians.
        p50_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of it.
        p50_hi_ns: Option<f64> as "field::tenths",
        /// 90 % of round trips took no longer.
        p90_ns: Option<f64> as "field::tenths",
        /// 99 % of round trips took no longer.
        p99_ns: Option<f64> as "field::tenths",
        /// 99.9 % of round trips took no longer.
        p999_ns: Option<f64> as "field::tenths",
        /// The longest round trip.
        max_ns: Option<f64> as "field::tenths",
        /// The mean of the stamped round trips.
        mean_ns: Option<f64> as "field::tenths",
        /// Doubts about the figures.
        flags: Flags as "field::name",
        /// Why there are no figures; empty where there are.
        error: String as "field::line",
    }
    later {
        /// Mean round trip of batches with no clock read inside, for cells that are
        /// [`ClockBound`](super::Flag::ClockBound).
        batch_mean_ns: Option<f64> as "field::tenths",
        /// Lower end of its 95 % Student-t interval over the pairs.
        batch_mean_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of it.
        batch_mean_hi_ns: Option<f64> as "field::tenths",
        /// How far apart the two processors were.
        proximity: Option<Proximity> as "field::maybe",
        /// The bare cache-line round trip between them, taken beside the pairs.
        probe_ns: Option<f64> as "field::tenths",
        /// Datagrams lost; only for mechanisms that can lose them.
        lost: Option<u64> as "field::maybe",
    }
}
