//! One row of `lifecycle.csv`: what a channel of one mechanism costs before and after its messages.

use super::field;

row! {
    /// What it takes to have a channel. A figure that was not measured is `None`, and [`error`](Self::error) says why.
    LifecycleRow of Lifecycle in "lifecycle.csv";
    name(row) = format!("{}/{}", row.workload, row.mechanism);
    key {
        /// The mechanism's name.
        mechanism: String as "field::mechanism",
    }
    figures {
        /// Channels that were made one after the other.
        trials: u32,
        /// [`Channel::pair`](ipc_core::Channel::pair), the median over the trials.
        create_ns: Option<f64> as "field::tenths",
        /// Until two processes that share only a name have a link; empty where there are no names.
        connect_ns: Option<f64> as "field::tenths",
        /// From the first `send` on a new link to its arrival.
        first_message_ns: Option<f64> as "field::tenths",
        /// Closing both ends.
        teardown_ns: Option<f64> as "field::tenths",
        /// File descriptors of both ends together.
        descriptors: Option<u64> as "field::maybe",
        /// Mappings of both ends together.
        mappings: Option<u64> as "field::maybe",
        /// Bytes of them.
        mapped_bytes: Option<u64> as "field::maybe",
        /// The kernel's memory for one idle channel, what is mapped included, from the growth over many.
        kernel_bytes: Option<f64> as "field::whole",
        /// Why figures are missing; empty where none is.
        error: String as "field::line",
    }
}
