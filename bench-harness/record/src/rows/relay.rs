//! One row of `relay.csv`: a file on its way through one relay into another file.

use super::{Row, field};
use crate::{cell::Workload, file_copy::FileCopy};
use serde::{Deserialize, Serialize};

/// What carrying a file costs. A figure that could not be had is `None`, and [`error`](Self::error) says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayRow {
    /// Always [`Workload::Relay`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The way from file to file.
    #[serde(with = "field::name")]
    pub relay: FileCopy,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes that are read, sent and written at a time.
    pub chunk: usize,
    /// Times that the file was carried.
    pub runs: u32,
    /// Copies by the kernel, per byte of the file.
    #[serde(with = "field::hundredths")]
    pub kernel_copies: Option<f64>,
    /// Copies by the processes themselves.
    #[serde(with = "field::hundredths")]
    pub user_copies: Option<f64>,
    /// Both together.
    #[serde(with = "field::hundredths")]
    pub total_copies: Option<f64>,
    /// What textbooks say, where they do.
    #[serde(with = "field::maybe")]
    pub claimed: Option<u32>,
    /// Bytes that passed through system calls, per byte of the file.
    #[serde(with = "field::hundredths")]
    pub moved: Option<f64>,
    /// System calls of all processes per chunk.
    #[serde(with = "field::hundredths")]
    pub syscalls: Option<f64>,
    /// Processor time of all processes per KiB.
    #[serde(with = "field::tenths")]
    pub cpu_ns_per_kib: Option<f64>,
    /// Median over the runs.
    #[serde(with = "field::whole")]
    pub bytes_per_s: Option<f64>,
    /// Lower end of the 95 % Student-t interval over the runs.
    #[serde(with = "field::whole_low")]
    pub bytes_per_s_lo: Option<f64>,
    /// Upper end of it.
    #[serde(with = "field::whole")]
    pub bytes_per_s_hi: Option<f64>,
    /// How the copies were had.
    #[serde(with = "field::line")]
    pub evidence: String,
    /// Why figures are missing; empty where none is.
    #[serde(with = "field::line")]
    pub error: String,
}

impl RelayRow {
    /// A row that has no figures yet.
    pub fn empty(relay: FileCopy, bytes: u64, chunk: usize) -> Self {
        Self {
            workload: Workload::Relay,
            relay,
            bytes,
            chunk,
            runs: 0,
            kernel_copies: None,
            user_copies: None,
            total_copies: None,
            claimed: relay.claimed(),
            moved: None,
            syscalls: None,
            cpu_ns_per_kib: None,
            bytes_per_s: None,
            bytes_per_s_lo: None,
            bytes_per_s_hi: None,
            evidence: String::new(),
            error: String::new(),
        }
    }
}

impl Row for RelayRow {
    const FILE: &'static str = "relay.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "relay",
        "bytes",
        "chunk",
        "runs",
        "kernel_copies",
        "user_copies",
        "total_copies",
        "claimed",
        "moved",
        "syscalls",
        "cpu_ns_per_kib",
        "bytes_per_s",
        "bytes_per_s_lo",
        "bytes_per_s_hi",
        "evidence",
        "error",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{}/{}", self.workload, self.relay)
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Relay)
    }
}
