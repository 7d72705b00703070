//! Rows of `throughput.csv`: how many messages one cell moves one way per second.

use super::{Flags, Proximity, field};

row! {
    /// What one cell moves one way per second. A figure that was not measured is `None`, and [`error`](Self::error) has
    /// the reason.
    ThroughputRow of Throughput in "throughput.csv";
    cell
    figures {
        /// Forked pairs that were measured.
        pairs: u32,
        /// Messages of all pairs together.
        messages: u64,
        /// Messages per second: the median over the pairs.
        msgs_per_s: Option<f64> as "field::whole",
        /// Payload bytes per second: the median over the pairs.
        bytes_per_s: Option<f64> as "field::whole",
        /// Lower end of the 95 % Student-t interval of the pairs' bytes per second.
        bytes_per_s_lo: Option<f64> as "field::whole_low",
        /// Upper end of the 95 % Student-t interval of the pairs' bytes per second.
        bytes_per_s_hi: Option<f64> as "field::whole",
        /// Doubts about the figures.
        flags: Flags as "field::name",
        /// Why there are no figures. Empty if there are.
        error: String as "field::line",
    }
    later {
        /// Datagrams lost. Only for mechanisms that can lose them.
        lost: Option<u64> as "field::maybe",
        /// How far apart the two processors were.
        proximity: Option<Proximity> as "field::maybe",
        /// The bare cache-line round trip between the two processors, in nanoseconds, taken beside the pairs.
        probe_ns: Option<f64> as "field::tenths",
    }
}
