//! One row of `relay.csv`: a file on its way through one relay into another file.

use super::field;
use crate::file_copy::FileCopy;

row! {
    /// What carrying a file costs. A figure that could not be had is `None`, and [`error`](Self::error) says why.
    RelayRow of Relay in "relay.csv";
    name(row) = format!("{}/{}", row.workload, row.relay);
    key {
        /// The way from file to file.
        relay: FileCopy as "field::name",
        /// Length of the file.
        bytes: u64,
        /// Bytes that are read, sent and written at a time.
        chunk: usize,
    }
    figures {
        /// Times that the file was carried.
        runs: u32,
        /// Copies by the kernel, per byte of the file.
        kernel_copies: Option<f64> as "field::hundredths",
        /// Copies by the processes themselves.
        user_copies: Option<f64> as "field::hundredths",
        /// Both together.
        total_copies: Option<f64> as "field::hundredths",
        /// What textbooks say, where they do.
        claimed: Option<u32> as "field::maybe",
        /// Bytes that passed through system calls, per byte of the file.
        moved: Option<f64> as "field::hundredths",
        /// System calls of all processes per chunk.
        syscalls: Option<f64> as "field::hundredths",
        /// Processor time of all processes per KiB.
        cpu_ns_per_kib: Option<f64> as "field::tenths",
        /// Median over the runs.
        bytes_per_s: Option<f64> as "field::whole",
        /// Lower end of the 95 % Student-t interval over the runs.
        bytes_per_s_lo: Option<f64> as "field::whole_low",
        /// Upper end of it.
        bytes_per_s_hi: Option<f64> as "field::whole",
        /// How the copies were had.
        evidence: String as "field::line",
        /// Why figures are missing; empty where none is.
        error: String as "field::line",
    }
}

impl RelayRow {
    /// A row of `relay` that has no figures yet but the one that textbooks give.
    pub fn of(relay: FileCopy, bytes: u64, chunk: usize) -> Self {
        Self { claimed: relay.claimed(), ..Self::empty(relay, bytes, chunk) }
    }
}
