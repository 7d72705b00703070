//! One row of `copies.csv`: how often one mechanism copies a payload, and how that is known.

use super::{Row, field};
use crate::cell::{Access, Workload};
use serde::{Deserialize, Serialize};

/// What one message costs in copies and system calls. A figure that could not be had is `None`, and
/// [`error`](Self::error) says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopiesRow {
    /// Always [`Workload::Copies`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// Message length in bytes.
    pub size: usize,
    /// How the processes reached the payload.
    #[serde(with = "field::name")]
    pub access: Access,
    /// Copies by the kernel, per payload byte.
    #[serde(with = "field::hundredths")]
    pub kernel_copies: Option<f64>,
    /// Copies by the two processes themselves.
    #[serde(with = "field::hundredths")]
    pub user_copies: Option<f64>,
    /// Both together.
    #[serde(with = "field::hundredths")]
    pub total_copies: Option<f64>,
    /// Bytes that passed through system calls, per payload byte: moving a page without copying it counts as well.
    #[serde(with = "field::hundredths")]
    pub moved: Option<f64>,
    /// Whether the receiver sees what the sender writes into the payload after it has sent it.
    #[serde(with = "field::yes")]
    pub by_reference: Option<bool>,
    /// System calls of the sender for a message that need not wait.
    #[serde(with = "field::hundredths")]
    pub syscalls_send: Option<f64>,
    /// Those of the receiver.
    #[serde(with = "field::hundredths")]
    pub syscalls_recv: Option<f64>,
    /// The copies that the mechanism's `SPEC` declares: to be compared, never to stand in.
    #[serde(with = "field::maybe")]
    pub declared: Option<u32>,
    /// How the figures were had, such as `system calls traced; payload byte watched`.
    #[serde(with = "field::line")]
    pub evidence: String,
    /// Why figures are missing; empty where none is.
    #[serde(with = "field::line")]
    pub error: String,
}

impl CopiesRow {
    /// A row that has no figures yet.
    pub fn empty(mechanism: &str, size: usize, access: Access) -> Self {
        Self {
            workload: Workload::Copies,
            mechanism: mechanism.to_owned(),
            size,
            access,
            kernel_copies: None,
            user_copies: None,
            total_copies: None,
            moved: None,
            by_reference: None,
            syscalls_send: None,
            syscalls_recv: None,
            declared: None,
            evidence: String::new(),
            error: String::new(),
        }
    }

    /// What is wrong: a figure that is not what the mechanism declares, or a wrong payload.
    pub fn verdict(&self) -> Option<String> {
        if self.error.starts_with(WRONG_PAYLOAD) {
            return Some(self.error.clone());
        }
        let (total, declared) = (self.total_copies?, self.declared?);
        let differs = (total - f64::from(declared)).abs() > TOLERANCE;
        differs.then(|| format!("{total:.2} copies measured, {declared} declared"))
    }
}

/// How far a figure may lie from what is declared: half of the last decimal shown, twice.
pub const TOLERANCE: f64 = 0.01;
/// What an error about a wrong payload begins with.
const WRONG_PAYLOAD: &str = "wrong payload";

impl Row for CopiesRow {
    const FILE: &'static str = "copies.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "mechanism",
        "size",
        "access",
        "kernel_copies",
        "user_copies",
        "total_copies",
        "moved",
        "by_reference",
        "syscalls_send",
        "syscalls_recv",
        "declared",
        "evidence",
        "error",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{}/{}/{}/{}", self.workload, self.mechanism, self.size, self.access)
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Copies)
    }
}
