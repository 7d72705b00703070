//! Flags that make a figure doubtful. They travel with the row, so no table or chart shows a figure without them.

use crate::named;
use std::{collections::BTreeSet, fmt, str::FromStr};

named! {
    /// A doubt about a figure.
    "flag" Flag {
        /// The processes ran wherever the scheduler put them.
        Unpinned = "unpinned",
        /// A process was seen on another hardware thread than the one it was pinned to.
        Migrated = "migrated",
        /// A process lost its processor to another one while it was measured.
        Preempted = "preempted",
        /// The interval over the pairs is wider than a quarter.
        Unsteady = "unsteady",
        /// The pairs' figures fall into two groups.
        Bimodal = "bimodal",
        /// A round trip is shorter than 20 clock reads.
        ClockBound = "clock-bound",
        /// The cache-line probe before and after a pair disagreed.
        Relocated = "relocated",
        /// Pairs of both proximity classes were measured; those of the smaller one are not in the figure.
        MixedProximity = "mixed-proximity",
        /// Datagrams were lost.
        Lossy = "lossy",
        /// Fewer pairs than planned were measured.
        Partial = "partial",
        /// The machine itself was not the same all through the run.
        AnchorsMoved = "anchors-moved",
        /// The run was started under a real-time policy.
        RealTime = "real-time",
        /// The run had a nice value, or a policy for background work.
        Niced = "niced",
        /// The pair was stopped while it was measured.
        Stopped = "stopped",
    }
}

impl Flag {
    /// What a reader who meets the flag must know, as one sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Flag::Unpinned => "The processes ran wherever the scheduler put them; shown, never ranked.",
            Flag::Migrated => "A process was seen on another hardware thread than the one it was pinned to.",
            Flag::Preempted => "Another task took a processor while the pair was measured; the tail holds that time.",
            Flag::Unsteady => "The pairs of processes differ widely; the interval says by how much.",
            Flag::Bimodal => "The pairs' figures fall into two groups, so the median may stand for neither.",
            Flag::ClockBound => {
                "The round trip is shorter than 20 clock reads, so the percentiles carry the clock's own cost; the mean \
                 from batches without clock reads (batch_mean_ns) does not."
            }
            Flag::Relocated => {
                "The two virtual CPUs moved under the pair: bare cache-line round trips before and after it differ."
            }
            Flag::MixedProximity => {
                "Some pairs had near CPUs and some far ones; those of which there were fewer are left out."
            }
            Flag::Lossy => "Datagrams were lost; the count is in the column lost.",
            Flag::Partial => "Fewer pairs than planned were measured.",
            Flag::AnchorsMoved => "What the machine itself takes changed by more than a quarter during the run.",
            Flag::RealTime => {
                "The run was started under a real-time policy; the pairs ran at the ordinary one, below the program that \
                 supervises them."
            }
            Flag::Niced => {
                "The run had a nice value, SCHED_BATCH or SCHED_IDLE, and so had the pairs: other processes were favoured, or \
                 these were."
            }
            Flag::Stopped => {
                "The program was stopped, or found no processor, while the pair was measured; the tail may hold that time."
            }
        }
    }

    /// One character that stands for the flag in tables.
    pub const fn mark(self) -> char {
        match self {
            Flag::Unpinned => 'u',
            Flag::Migrated => 'm',
            Flag::Preempted => 'p',
            Flag::Unsteady => '~',
            Flag::Bimodal => 'b',
            Flag::ClockBound => 'c',
            Flag::Relocated => 'r',
            Flag::MixedProximity => 'x',
            Flag::Lossy => 'l',
            Flag::Partial => 'i',
            Flag::AnchorsMoved => 'a',
            Flag::RealTime => 't',
            Flag::Niced => 'y',
            Flag::Stopped => 's',
        }
    }
}

/// The flags of one row. They are printed as `unsteady;bimodal`, or as nothing if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(BTreeSet<Flag>);

impl Flags {
    /// Adds a flag.
    pub fn insert(&mut self, flag: Flag) {
        self.0.insert(flag);
    }

    /// Whether `flag` is set.
    pub fn contains(&self, flag: Flag) -> bool {
        self.0.contains(&flag)
    }

    /// Whether no flag is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The flags that are set, in the order of [`Flag::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Flag> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        Self(flags.into_iter().collect())
    }
}

impl Extend<Flag> for Flags {
    fn extend<I: IntoIterator<Item = Flag>>(&mut self, flags: I) {
        self.0.extend(flags);
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Flag::name).collect();
        f.write_str(&names.join(";"))
    }
}

impl FromStr for Flags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(';').filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

named! {
    /// How far apart two processors were, judged by a bare cache-line round trip between them.
    "proximity" Proximity {
        /// They share a cache, or nearly.
        Near = "near",
        /// A cache line takes several times as long as between near ones.
        Far = "far",
        /// Some pairs were near, others far.
        Mixed = "mixed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_in_one_order_and_parse_back() {
        let flags: Flags = [Flag::Bimodal, Flag::Unsteady].into_iter().collect();
        assert_eq!(flags.to_string(), "unsteady;bimodal");
        assert_eq!("bimodal;unsteady".parse::<Flags>().unwrap(), flags);
        assert!("".parse::<Flags>().unwrap().is_empty());
        assert!("odd".parse::<Flags>().unwrap_err().contains("unknown flag 'odd': use one of unpinned"));
    }

    #[test]
    fn marks_are_distinct() {
        let marks: BTreeSet<_> = Flag::ALL.iter().map(|f| f.mark()).collect();
        assert_eq!(marks.len(), Flag::ALL.len());
    }
}
