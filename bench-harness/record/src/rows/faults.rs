//! One row of `faults.csv`: what one fault did to the pairs of one mechanism.

use super::field;
use crate::fault::Fault;

row! {
    /// What became of the trials of one fault on one mechanism. A figure that was not measured is `None`.
    FaultRow in "faults.csv";
    name(row) = format!("{}/{}", row.mechanism, row.fault);
    key {
        /// The mechanism's name.
        mechanism: String as "field::mechanism",
        /// The fault.
        fault: Fault as "field::name",
    }
    figures {
        /// Trials that were played.
        trials: u32,
        /// How the survivor learned of it, each sign with the number of trials: `EPIPE 20; end of file 3`.
        learned: String as "field::line",
        /// From the fault to the survivor's error, the median over the trials; after a stop, from `SIGCONT` to the next message.
        p50_ns: Option<f64> as "field::tenths",
        /// 99 % of trials took no longer.
        p99_ns: Option<f64> as "field::tenths",
        /// The longest.
        max_ns: Option<f64> as "field::tenths",
        /// Trials in which the survivor did not find out within five seconds.
        hung: u32,
        /// Trials in which a message arrived that had not been sent so.
        corrupted: u32,
        /// The most messages that one trial lost: taken by `send` and never received.
        lost_messages: u64,
        /// The most bytes that one trial lost.
        lost_bytes: u64,
        /// Trials in which the beginning of a message arrived without its end, and was not delivered.
        torn: u32,
        /// Objects and journal entries that the trials left.
        left: u32,
        /// Those that a sweep did not remove.
        left_after_sweep: u32,
        /// Children that were not reaped.
        zombies: u32,
        /// Trials after which the name was bound again.
        rebinds: u32,
        /// Those in which that worked at once, without a sweep.
        rebound: u32,
        /// What went wrong besides.
        error: String as "field::line",
        /// When it was measured: RFC 3339, UTC.
        measured: String as "field::line",
        /// The machine.
        machine: String as "field::line",
    }
}

impl FaultRow {
    /// Whether the contract was broken: a hang, a wrong or a lost message, something that stays, or an error.
    pub fn is_bad(&self) -> bool {
        let stays = match self.fault {
            // Nobody but a sweep can remove what a killed process alone had.
            Fault::KillBinder => self.left_after_sweep,
            _ => self.left,
        };
        self.hung > 0 || self.corrupted > 0 || stays > 0 || self.zombies > 0 || !self.error.is_empty()
    }
}
