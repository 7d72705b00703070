//! The rows kept of a trial: one row of `gate-trials.csv`, and for trials of `same` the figures of each cell in
//! `gate-trials-cells.csv`.

use bench_gate::report::{Metric, Outcome, Status};
use bench_record::{
    cell::{Access, Cell},
    rows::{Row, yes},
};
use serde::{Deserialize, Serialize};

/// The kind of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The same build twice.
    Same,
    /// The same source. Both sides are built several times, each time with functions in another order.
    Shuffled,
    /// One cell slowed down by 5 %.
    #[serde(rename = "slower-5")]
    Slower5,
    /// One cell slowed down by 10 %.
    #[serde(rename = "slower-10")]
    Slower10,
    /// The head copies up to 64 bytes of each message once more, in the ring that all shared-memory mechanisms use.
    RingCopy,
    /// The head's pipe makes one system call more.
    PipeCall,
}

impl Kind {
    /// All kinds, in the order of the summary.
    pub const ALL: [Self; 6] =
        [Self::Same, Self::Shuffled, Self::Slower10, Self::Slower5, Self::RingCopy, Self::PipeCall];

    /// The name in the file and on the command line.
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

    /// The number of trials that a conclusion needs.
    pub const fn wanted(self) -> u32 {
        match self {
            Self::Same => 100,
            Self::Shuffled => 30,
            Self::Slower5 | Self::Slower10 => 60,
            Self::RingCopy | Self::PipeCall => 20,
        }
    }

    /// Whether both sides have the same code, so that there is nothing to find.
    pub const fn is_unchanged(self) -> bool {
        matches!(self, Self::Same | Self::Shuffled)
    }

    /// The slowdown of one cell, in percent. `None` if no cell is slowed down.
    pub const fn percent(self) -> Option<u32> {
        match self {
            Self::Slower5 => Some(5),
            Self::Slower10 => Some(10),
            Self::Same | Self::Shuffled | Self::RingCopy | Self::PipeCall => None,
        }
    }

    /// Whether the head's change makes `mechanism` slower when it is used by `access`.
    pub fn changes(self, mechanism: &str, access: &str) -> bool {
        match self {
            Self::Same | Self::Shuffled | Self::Slower5 | Self::Slower10 => false,
            // The change is in the ring's `send`. In-place access does not call it, and the two mechanisms that carry the
            // payload past the ring have their own.
            Self::RingCopy => access == Access::Copy.name() && RINGS.contains(&mechanism),
            Self::PipeCall => mechanism == "pipe",
        }
    }
}

/// The mechanisms that carry the payload through the ring.
pub const RINGS: [&str; 5] = ["sysv-shm", "posix-shm", "memfd", "mmap-file", "mmap-anon"];

/// The tier of the gate that found a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The clock.
    Timing,
    /// A count, such as system calls.
    Exact,
    /// Both, each by itself.
    Both,
}

impl Tier {
    /// The tier for what each of the two found. `None` if neither found anything.
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
    /// The kind of trial.
    pub kind: Kind,
    /// The start of the run: RFC 3339, UTC.
    pub time: String,
    /// The base's revision. A `+` after it means that files differed from it.
    pub git: String,
    /// The gate's seed, which is also the trial's number. It is unique among the trials of a kind.
    pub seed: u64,
    /// The cell that was slowed down. For a real change, what was found of it, separated by `;`.
    pub cell: String,
    /// The gate's verdict.
    pub outcome: Outcome,
    /// Whether the gate found what had become slower. Empty if nothing had.
    #[serde(with = "yes")]
    pub found: Option<bool>,
    /// The tier that found it.
    pub tier: Option<Tier>,
    /// False alarms: what the gate calls slower and is not, separated by `;`.
    pub alarms: String,
    /// The relative change of the cell that was slowed down: 0.05 is 5 %.
    pub change: Option<f64>,
    /// Lower end of the confidence interval of `change`.
    pub lo: Option<f64>,
    /// Upper end of the confidence interval of `change`.
    pub hi: Option<f64>,
    /// The gate's duration in seconds.
    pub duration_s: f64,
    /// Whether every control of the run held. Empty if there were none.
    #[serde(with = "yes")]
    pub controls_held: Option<bool>,
    /// Other remarks.
    pub note: String,
    /// The gate's plan.
    pub plan: String,
    /// The environment, as the history names it. Empty if it was not recorded.
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

/// One cell of a trial of `same`. A comparison with stored figures would rest on these figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRow {
    /// The trial's seed.
    pub seed: u64,
    /// The cell.
    pub cell: Cell,
    /// The metric: the median round trip, or the time per message.
    pub metric: Metric,
    /// The base's figure in nanoseconds.
    pub base_ns: Option<f64>,
    /// The head's figure in nanoseconds.
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
