//! One row of `copies.csv`: how often one mechanism copies a payload, and how that is known.

use super::field;
use crate::cell::Access;

row! {
    /// What one message costs in copies and system calls. A figure that could not be had is `None`, and
    /// [`error`](Self::error) says why.
    CopiesRow of Copies in "copies.csv";
    name(row) = format!("{}/{}/{}/{}", row.workload, row.mechanism, row.size, row.access);
    key {
        /// The mechanism's name.
        mechanism: String as "field::mechanism",
        /// Message length in bytes.
        size: usize,
        /// How the processes reached the payload.
        access: Access as "field::name",
    }
    figures {
        /// Copies by the kernel, per payload byte.
        kernel_copies: Option<f64> as "field::hundredths",
        /// Copies by the two processes themselves.
        user_copies: Option<f64> as "field::hundredths",
        /// Both together.
        total_copies: Option<f64> as "field::hundredths",
        /// Bytes that passed through system calls, per payload byte: moving a page without copying it counts as well.
        moved: Option<f64> as "field::hundredths",
        /// Whether the receiver sees what the sender writes into the payload after it has sent it.
        by_reference: Option<bool> as "field::yes",
        /// System calls of the sender for a message that need not wait.
        syscalls_send: Option<f64> as "field::hundredths",
        /// Those of the receiver.
        syscalls_recv: Option<f64> as "field::hundredths",
        /// The copies that the mechanism's `SPEC` declares: to be compared, never to stand in.
        declared: Option<u32> as "field::maybe",
        /// How the figures were had, such as `system calls traced; payload byte watched`.
        evidence: String as "field::line",
        /// Why figures are missing; empty where none is.
        error: String as "field::line",
    }
}

impl CopiesRow {
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
