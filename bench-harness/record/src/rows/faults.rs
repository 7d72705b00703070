//! Rows of `faults.csv`: what one fault did to the pairs of one mechanism.

use super::field;
use crate::fault::Fault;

row! {
    /// Results of the trials of one fault on one mechanism. A figure that was not measured is `None`.
    FaultRow in "faults.csv";
    name(row) = format!("{}/{}", row.mechanism, row.fault);
    key {
        /// The mechanism's name.
        mechanism: String as "field::mechanism",
        /// The fault.
        fault: Fault as "field::name",
    }
    figures {
        /// Number of trials.
        trials: u32,
        /// How the survivor learned of the fault. Each sign has its number of trials: `EPIPE 20; end of file 3`.
        learned: String as "field::line",
        /// Median time from the fault to the survivor's error. For a stop, it runs from `SIGCONT` to the next message.
        p50_ns: Option<f64> as "field::tenths",
        /// 99 % of trials took at most this long.
        p99_ns: Option<f64> as "field::tenths",
        /// The longest trial.
        max_ns: Option<f64> as "field::tenths",
        /// Trials in which the survivor did not learn of the fault within five seconds.
        hung: u32,
        /// Trials in which a message arrived that differs from what was sent.
        corrupted: u32,
        /// Most messages lost in one trial: taken by `send` and never received.
        lost_messages: u64,
        /// Most bytes lost in one trial.
        lost_bytes: u64,
        /// Trials in which a message arrived without its end and was not delivered.
        torn: u32,
        /// Objects and journal entries that the trials left behind.
        left: u32,
        /// Objects and journal entries that a sweep did not remove.
        left_after_sweep: u32,
        /// Children that were not reaped.
        zombies: u32,
        /// Trials after which the name was bound again.
        rebinds: u32,
        /// Trials after which the name was bound again at once, without a sweep.
        rebound: u32,
        /// Other errors.
        error: String as "field::line",
        /// When the row was measured: RFC 3339, UTC.
        measured: String as "field::line",
        /// The machine on which the row was measured.
        machine: String as "field::line",
    }
}

impl FaultRow {
    /// Whether the contract was broken: a hang, a wrong or lost message, something left behind, or an error.
    pub fn is_bad(&self) -> bool {
        let stays = match self.fault {
            // Only a sweep can remove objects whose only owner was killed.
            Fault::KillBinder => self.left_after_sweep,
            _ => self.left,
        };
        self.hung > 0 || self.corrupted > 0 || stays > 0 || self.zombies > 0 || !self.error.is_empty()
    }
}
