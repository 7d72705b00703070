//! What a report shows of each kind of rows, in the order of the kinds.

use crate::{Results, charts::Chart, table::Table};
use bench_record::{
    each_kind,
    rows::{CopiesRow, CostRow, FaultRow, Kind, LatencyRow, LifecycleRow, RelayRow, Rows, ThroughputRow, list::Member},
};

/// A kind of rows that reports show.
pub trait Shown: Member {
    /// The heading of its section.
    const HEADING: &'static str;
    /// How to read its tables, where they do not say it themselves.
    const LEAD: &'static str = "";

    /// Every table of `rows`, of which there are some.
    fn tables(rows: &[Self]) -> Vec<Table>;

    /// The tables for a terminal, the most asked for last.
    fn brief(rows: &[Self]) -> Vec<Table> {
        Self::tables(rows)
    }

    /// The command that measures them and what is known of its run, where that is no part of a run.
    fn measured_by(_results: &Results) -> Option<(&'static str, String)> {
        None
    }

    /// What stands below them, a paragraph each.
    fn closing(_rows: &[Self]) -> Vec<String> {
        Vec::new()
    }

    /// Its charts. Each says itself why it could not be drawn.
    fn charts(_results: &Results) -> Vec<Chart> {
        Vec::new()
    }
}

/// The part of a report that shows one kind of rows.
pub struct Section {
    /// What it shows.
    pub kind: Kind,
    /// Its heading.
    pub heading: &'static str,
    /// How to read its tables.
    pub lead: &'static str,
    /// The command that measures them and what is known of its run, where that is no part of a run.
    pub measured_by: Option<(&'static str, String)>,
    /// The tables.
    pub tables: Vec<Table>,
    /// What stands below them, a paragraph each.
    pub closing: Vec<String>,
}

macro_rules! show {
    ($($(#[$doc:meta])* $Kind:ident = $name:literal in $field:ident: $Row:ident,)+) => {
        /// A section for each kind that has rows.
        pub fn sections(results: &Results) -> Vec<Section> {
            let mut sections = Vec::new();
            $(if !results.rows.$field.is_empty() {
                sections.push(Section {
                    kind: Kind::$Kind,
                    heading: $Row::HEADING,
                    lead: $Row::LEAD,
                    measured_by: $Row::measured_by(results),
                    tables: $Row::tables(&results.rows.$field),
                    closing: $Row::closing(&results.rows.$field),
                });
            })+
            sections
        }

        /// The tables of a run for a terminal, the most asked for last.
        pub fn brief(rows: &Rows) -> Vec<Table> {
            let mut kinds: Vec<Vec<Table>> = Vec::new();
            $(if Kind::$Kind.is_of_a_run() && !rows.$field.is_empty() {
                kinds.push($Row::brief(&rows.$field));
            })+
            kinds.into_iter().rev().flatten().collect()
        }

        /// Every chart, drawn or not.
        pub fn charts(results: &Results) -> Vec<Chart> {
            [$($Row::charts(results)),+].into_iter().flatten().collect()
        }
    };
}

each_kind!(show);
