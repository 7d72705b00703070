//! Rows of `lifecycle.csv`: what a channel of one mechanism costs before and after its messages.

use super::field;

row! {
    /// Cost of having a channel. A figure that was not measured is `None`, and [`error`](Self::error) has the reason.
    LifecycleRow of Lifecycle in "lifecycle.csv";
    name(row) = format!("{}/{}", row.workload, row.mechanism);
    key {
        /// The mechanism's name.
        mechanism: String as "field::mechanism",
    }
    figures {
        /// Number of channels that were made one after the other.
        trials: u32,
        /// Time of [`Channel::pair`](ipc_core::Channel::pair) in nanoseconds, the median over the trials.
        create_ns: Option<f64> as "field::tenths",
        /// Time until two processes that share only a name have a link. Empty for a mechanism without names.
        connect_ns: Option<f64> as "field::tenths",
        /// Time from the first `send` on a new link to its arrival.
        first_message_ns: Option<f64> as "field::tenths",
        /// Time to close both ends.
        teardown_ns: Option<f64> as "field::tenths",
        /// File descriptors of both ends together.
        descriptors: Option<u64> as "field::maybe",
        /// Mappings of both ends together.
        mappings: Option<u64> as "field::maybe",
        /// Bytes in the mappings of both ends together.
        mapped_bytes: Option<u64> as "field::maybe",
        /// Kernel memory of one idle channel in bytes, mapped memory included. It is computed from the growth over many
        /// channels.
        kernel_bytes: Option<f64> as "field::whole",
        /// Why figures are missing. Empty if none is.
        error: String as "field::line",
    }
}
