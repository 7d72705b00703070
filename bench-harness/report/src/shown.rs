//! The content of a report for each kind of rows, in the order of the kinds.

use crate::{Results, charts::Chart, table::Table};
use bench_record::{
    each_kind,
    rows::{CopiesRow, CostRow, FaultRow, Kind, LatencyRow, LifecycleRow, RelayRow, Rows, ThroughputRow, list::Member},
};

/// A kind of rows that reports show.
pub trait Shown: Member {
    /// The heading of the section.
    const HEADING: &'static str;
    /// How to read the tables. Empty if they explain themselves.
    const LEAD: &'static str = "";

    /// All tables of `rows`, which is never empty.
    fn tables(rows: &[Self]) -> Vec<Table>;

    /// The tables for a terminal, the most important last.
    fn brief(rows: &[Self]) -> Vec<Table> {
        Self::tables(rows)
    }

    /// The command that measures these rows, and what is known of its run. `None` for rows that `ipc-bench run`
    /// measures.
    fn measured_by(_results: &Results) -> Option<(&'static str, String)> {
        None
    }

    /// Paragraphs below the tables.
    fn closing(_rows: &[Self]) -> Vec<String> {
        Vec::new()
    }

    /// The charts. A chart that could not be drawn says why.
    fn charts(_results: &Results) -> Vec<Chart> {
        Vec::new()
    }
}

/// The part of a report that shows one kind of rows.
pub struct Section {
    /// The kind of the rows.
    pub kind: Kind,
    /// The heading of the section.
    pub heading: &'static str,
    /// How to read the tables. Empty if they explain themselves.
    pub lead: &'static str,
    /// The command that measures these rows, and what is known of its run. `None` for rows that `ipc-bench run`
    /// measures.
    pub measured_by: Option<(&'static str, String)>,
    /// The tables of the section.
    pub tables: Vec<Table>,
    /// Paragraphs below the tables.
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

        /// The tables of a run for a terminal, the most important last.
        pub fn brief(rows: &Rows) -> Vec<Table> {
            let mut kinds: Vec<Vec<Table>> = Vec::new();
            $(if Kind::$Kind.is_of_a_run() && !rows.$field.is_empty() {
                kinds.push($Row::brief(&rows.$field));
            })+
            kinds.into_iter().rev().flatten().collect()
        }

        /// All charts, drawn or not.
        pub fn charts(results: &Results) -> Vec<Chart> {
            [$($Row::charts(results)),+].into_iter().flatten().collect()
        }
    };
}

each_kind!(show);
