//! What is kept of a trial: a row of `gate-trials.csv`, and of trials of `same` each cell's figures in `gate-trials-cells.csv`.

use bench_gate::report::{Metric, Outcome, Status};
use bench_record::{
    cell::{Access, Cell},
    rows::{Row, yes},
};
use serde::{Deserialize, Serialize};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The same build twice.
    Same,
    /// The same source, both sides built several times with functions in another order each.
    Shuffled,
    /// One cell slowed down by 5 %.
    #[serde(rename = "slower-5")]
    Slower5,
    /// One cell slowed down by 10 %.
    #[serde(rename = "slower-10")]
    Slower10,
    /// The head copies up to 64 bytes of each message once more, in the ring that all shared memory has in common.
    RingCopy,
    /// The head's pipe makes one system call more.
    PipeCall,
}

impl Kind {
    /// In the order of the summary.
    pub const ALL: [Self; 6] =
        [Self::Same, Self::Shuffled, Self::Slower10, Self::Slower5, Self::RingCopy, Self::PipeCall];

    /// As in the file and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Shuffled => "shuffled",
            Self::Slower5 => "slower-5",
            Self::Slower10 => "slower-10",
            Self::RingCopy => "ring-copy",
            Self::PipeCall => "pipe-call",
        }
    }

    /// Trials that a statement is made of.
    pub const fn wanted(self) -> u32 {
        match self {
            Self::Same => 100,
            Self::Shuffled => 30,
            Self::Slower5 | Self::Slower10 => 60,
            Self::RingCopy | Self::PipeCall => 20,
        }
    }

    /// Whether the code of both sides is the same, so that there is nothing to find.
    pub const fn is_unchanged(self) -> bool {
        matches!(self, Self::Same | Self::Shuffled)
    }

    /// By how much one cell is slowed down.
    pub const fn percent(self) -> Option<u32> {
        match self {
            Self::Slower5 => Some(5),
            Self::Slower10 => Some(10),
            Self::Same | Self::Shuffled | Self::RingCopy | Self::PipeCall => None,
        }
    }

    /// Whether the head's change makes `mechanism` slower, used by `access`.
    pub fn changes(self, mechanism: &str, access: &str) -> bool {
        match self {
            Self::Same | Self::Shuffled | Self::Slower5 | Self::Slower10 => false,
            // The ring's `send`. In place nobody calls it, and the two that carry the payload past the ring have their own.
            Self::RingCopy => access == Access::Copy.name() && RINGS.contains(&mechanism),
            Self::PipeCall => mechanism == "pipe",
        }
    }
}

/// The mechanisms that carry the payload through the ring.
pub const RINGS: [&str; 5] = ["sysv-shm", "posix-shm", "memfd", "mmap-file", "mmap-anon"];

/// What found a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The clock.
    Timing,
    /// A count, as of system calls.
    Exact,
    /// Either by itself.
    Both,
}

impl Tier {
    /// Of what each of them says.
    pub fn of(timing: bool, exact: bool) -> Option<Self> {
        match (timing, exact) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Timing),
            (false, true) => Some(Self::Exact),
            (false, false) => None,
        }
    }
}

/// One run of the gate whose right answer is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRow {
    /// What was tried.
    pub kind: Kind,
    /// When it began: RFC 3339, UTC.
    pub time: String,
    /// The base's revision; `+` after it where files differed from it.
    pub git: String,
    /// The gate's seed, and the trial's number: no two trials of a kind have the same.
    pub seed: u64,
    /// The cell that was slowed down; of a real change, what of it was found, separated by `;`.
    pub cell: String,
    /// The gate's verdict.
    pub outcome: Outcome,
    /// Whether that is a regression of what had become slower; empty where nothing had.
    #[serde(with = "yes")]
    pub found: Option<bool>,
    /// What found it.
    pub tier: Option<Tier>,
    /// What the gate calls slower and is not, separated by `;`.
    pub alarms: String,
    /// The change of the cell that was slowed down: 0.05 is 5 %.
    pub change: Option<f64>,
    /// Lower end of its interval.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// How long the gate took.
    pub duration_s: f64,
    /// Whether every control of the run did as it should; empty where there were none.
    #[serde(with = "yes")]
    pub controls_held: Option<bool>,
    /// What else is to be said.
    pub note: String,
    /// The gate's plan.
    pub plan: String,
    /// The environment, as the history names it; empty where it was not noted.
    pub env_key: String,
}

impl Row for TrialRow {
    const FILE: &'static str = "gate-trials.csv";
    const COLUMNS: &'static [&'static str] = &[
        "kind",
        "time",
        "git",
        "seed",
        "cell",
        "outcome",
        "found",
        "tier",
        "alarms",
        "change",
        "lo",
        "hi",
        "duration_s",
        "controls_held",
        "note",
        "plan",
        "env_key",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("trial {} of {}", self.seed, self.kind.name())
    }

    fn check(&self) -> Result<(), String> {
        let kind = self.kind.name();
        match (self.kind.is_unchanged(), self.found) {
            (true, Some(_)) => {
                return Err(format!("'found' says something: expected nothing, {kind} has nothing to find"));
            }
            (true, None) | (false, Some(_)) => {}
            (false, None) => return Err(format!("'found' is empty: expected yes or no, {kind} has something to find")),
        }
        if self.tier.is_some() != (self.found == Some(true)) {
            return Err("'tier' and 'found' disagree: expected a tier where something was found, and only there".into());
        }
        if self.found == Some(true) && self.outcome != Outcome::Regressed {
            return Err(format!("'found' is yes: expected the outcome regressed, not {}", self.outcome));
        }
        if self.kind.percent().is_some() {
            self.cell.parse::<Cell>().map_err(|why| format!("'cell': {why}"))?;
        }
        if !(self.duration_s.is_finite() && self.duration_s >= 0.0) {
            return Err(format!("'duration_s' is {}: expected seconds from 0 up", self.duration_s));
        }
        let wrong = [self.change, self.lo, self.hi].into_iter().flatten().find(|figure| !figure.is_finite());
        wrong.map_or(Ok(()), |figure| Err(format!("'change', 'lo' or 'hi' is {figure}: expected a number, or nothing")))
    }
}

/// One cell of a trial of `same`: what a comparison with stored figures would have had to go by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRow {
    /// The trial's seed.
    pub seed: u64,
    /// The cell.
    pub cell: Cell,
    /// What of it: the median round trip, or the time per message.
    pub metric: Metric,
    /// The base's figure in nanoseconds.
    pub base_ns: Option<f64>,
    /// The head's.
    pub head_ns: Option<f64>,
    /// The gate's verdict.
    pub status: Status,
}

impl Row for CellRow {
    const FILE: &'static str = "gate-trials-cells.csv";
    const COLUMNS: &'static [&'static str] = &["seed", "cell", "metric", "base_ns", "head_ns", "status"];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        format!("{} {} of trial {}", self.cell, self.metric, self.seed)
    }

    fn check(&self) -> Result<(), String> {
        let wrong = [self.base_ns, self.head_ns].into_iter().flatten().find(|ns| !(ns.is_finite() && *ns > 0.0));
        wrong.map_or(Ok(()), |ns| Err(format!("'{ns}' is no time: expected nanoseconds above 0, or nothing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_harness::STANDARD;

    #[test]
    fn mechanisms_that_a_change_makes_slower_exist() {
        for name in RINGS {
            assert!(STANDARD.named(name).is_some(), "{name}");
            assert!(Kind::RingCopy.changes(name, "copy") && !Kind::RingCopy.changes(name, "in-place"));
        }
    }

    #[test]
    fn a_kind_is_written_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
        }
    }
}
