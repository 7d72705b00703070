//! One row of `faults.csv`: what one fault did to the pairs of one mechanism.

use super::{Row, field};
use crate::fault::Fault;
use serde::{Deserialize, Serialize};

/// What became of the trials of one fault on one mechanism. A figure that was not measured is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRow {
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// The fault.
    #[serde(with = "field::name")]
    pub fault: Fault,
    /// Trials that were played.
    pub trials: u32,
    /// How the survivor learned of it, each sign with the number of trials: `EPIPE 20; end of file 3`.
    #[serde(with = "field::line")]
    pub learned: String,
    /// From the fault to the survivor's error, the median over the trials; after a stop, from `SIGCONT` to the next message.
    #[serde(with = "field::tenths")]
    pub p50_ns: Option<f64>,
    /// 99 % of trials took no longer.
    #[serde(with = "field::tenths")]
    pub p99_ns: Option<f64>,
    /// The longest.
    #[serde(with = "field::tenths")]
    pub max_ns: Option<f64>,
    /// Trials in which the survivor did not find out within five seconds.
    pub hung: u32,
    /// Trials in which a message arrived that had not been sent so.
    pub corrupted: u32,
    /// The most messages that one trial lost: taken by `send` and never received.
    pub lost_messages: u64,
    /// The most bytes that one trial lost.
    pub lost_bytes: u64,
    /// Trials in which the beginning of a message arrived without its end, and was not delivered.
    pub torn: u32,
    /// Objects and journal entries that the trials left.
    pub left: u32,
    /// Those that a sweep did not remove.
    pub left_after_sweep: u32,
    /// Children that were not reaped.
    pub zombies: u32,
    /// Trials after which the name was bound again.
    pub rebinds: u32,
    /// Those in which that worked at once, without a sweep.
    pub rebound: u32,
    /// What went wrong besides.
    #[serde(with = "field::line")]
    pub error: String,
    /// When it was measured: RFC 3339, UTC.
    #[serde(with = "field::line")]
    pub measured: String,
    /// The machine.
    #[serde(with = "field::line")]
    pub machine: String,
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

impl Row for FaultRow {
    const FILE: &'static str = "faults.csv";
    const COLUMNS: &'static [&'static str] = &[
        "mechanism",
        "fault",
        "trials",
        "learned",
        "p50_ns",
        "p99_ns",
        "max_ns",
        "hung",
        "corrupted",
        "lost_messages",
        "lost_bytes",
        "torn",
        "left",
        "left_after_sweep",
        "zombies",
        "rebinds",
        "rebound",
        "error",
        "measured",
        "machine",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{}/{}", self.mechanism, self.fault)
    }
}
