//! Rows of `relay.csv`: one way of copying a file into another file.

use super::field;
use crate::file_copy::FileCopy;

row! {
    /// Cost of copying a file. A figure that could not be had is `None`, and [`error`](Self::error) has the reason.
    RelayRow of Relay in "relay.csv";
    name(row) = format!("{}/{}", row.workload, row.relay);
    key {
        /// The way in which the file is copied.
        relay: FileCopy as "field::name",
        /// Length of the file in bytes.
        bytes: u64,
        /// Number of bytes that are read, sent and written at a time.
        chunk: usize,
    }
    figures {
        /// Number of times that the file was copied.
        runs: u32,
        /// Copies by the kernel, per byte of the file.
        kernel_copies: Option<f64> as "field::hundredths",
        /// Copies by the processes themselves, per byte of the file.
        user_copies: Option<f64> as "field::hundredths",
        /// Copies by the kernel and the processes together, per byte of the file.
        total_copies: Option<f64> as "field::hundredths",
        /// The number of copies that textbooks give, if they give one.
        claimed: Option<u32> as "field::maybe",
        /// Bytes that passed through system calls, per byte of the file.
        moved: Option<f64> as "field::hundredths",
        /// System calls of all processes per chunk.
        syscalls: Option<f64> as "field::hundredths",
        /// Processor time of all processes per KiB, in nanoseconds.
        cpu_ns_per_kib: Option<f64> as "field::tenths",
        /// Bytes per second, the median over the runs.
        bytes_per_s: Option<f64> as "field::whole",
        /// Lower end of the 95 % Student-t interval of the bytes per second over the runs.
        bytes_per_s_lo: Option<f64> as "field::whole_low",
        /// Upper end of the 95 % Student-t interval of the bytes per second over the runs.
        bytes_per_s_hi: Option<f64> as "field::whole",
        /// How the number of copies was obtained.
        evidence: String as "field::line",
        /// Why figures are missing. Empty if none is.
        error: String as "field::line",
    }
}

impl RelayRow {
    /// A row of `relay` with no figure except the one that textbooks give.
    pub fn of(relay: FileCopy, bytes: u64, chunk: usize) -> Self {
        Self { claimed: relay.claimed(), ..Self::empty(relay, bytes, chunk) }
    }
}
