//! Rows of `copies.csv`: how often a mechanism copies a payload, and how that is known.

use super::field;
use crate::cell::Access;

row! {
    /// Cost of one message in copies and system calls. A figure that could not be had is `None`, and
    /// [`error`](Self::error) has the reason.
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
        /// Copies by the two processes themselves, per payload byte.
        user_copies: Option<f64> as "field::hundredths",
        /// Copies by the kernel and the processes together, per payload byte.
        total_copies: Option<f64> as "field::hundredths",
        /// Bytes that passed through system calls, per payload byte. A page that is moved without a copy counts as
        /// well.
        moved: Option<f64> as "field::hundredths",
        /// Whether the receiver sees what the sender writes into the payload after sending it.
        by_reference: Option<bool> as "field::yes",
        /// System calls of the sender for a message that need not wait.
        syscalls_send: Option<f64> as "field::hundredths",
        /// System calls of the receiver for a message that need not wait.
        syscalls_recv: Option<f64> as "field::hundredths",
        /// The copies that the mechanism's `SPEC` declares. They are compared with the measured ones and never replace
        /// them.
        declared: Option<u32> as "field::maybe",
        /// How the figures were obtained, such as `system calls traced; payload byte watched`.
        evidence: String as "field::line",
        /// Why figures are missing. Empty if none is.
        error: String as "field::line",
    }
}

impl CopiesRow {
    /// What is wrong: a figure that differs from the declared one, or a wrong payload. `None` if nothing is.
    pub fn verdict(&self) -> Option<String> {
        if self.error.starts_with(WRONG_PAYLOAD) {
            return Some(self.error.clone());
        }
        let (total, declared) = (self.total_copies?, self.declared?);
        let differs = (total - f64::from(declared)).abs() > TOLERANCE;
        differs.then(|| format!("{total:.2} copies measured, {declared} declared"))
    }
}

/// How far a figure may lie from the declared one. The value is twice half a unit of the last decimal shown.
pub const TOLERANCE: f64 = 0.01;
/// Prefix of every error about a wrong payload.
const WRONG_PAYLOAD: &str = "wrong payload";
