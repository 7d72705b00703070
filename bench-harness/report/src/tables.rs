//! Ranking tables, and what all tables share: ranks, marks, reasons.

use super::{
    matrix::{Line, Matrix},
    table::{Column, Compared, Field, Mark, Table},
    text::{NO_FIGURE, wrap},
    units,
};
use bench_record::cell::Workload;
use std::collections::BTreeSet;

/// A shortened table shows the lines that have at least this rank in some column.
const BRIEF_RANK: usize = 3;

/// A table is shortened only if more lines than this are left out. A gap for fewer would save nothing.
const BRIEF_SAVING: usize = 3;

impl Matrix {
    /// The title of the table, in a few words.
    pub fn title(&self) -> String {
        let what = match self.workload {
            Workload::Throughput => "Throughput",
            _ => "Round trip",
        };
        format!("{what}, {}", units::size(self.size))
    }

    /// What the table's figures are.
    pub fn explanation(&self) -> &'static str {
        match (self.workload, self.quantity) {
            (Workload::Latency, _) => "time there and back, median; less is better",
            (_, units::Quantity::Messages) => "messages per second one way, median; more is better",
            _ => "payload per second one way, median; more is better",
        }
    }

    /// The table of all lines that have a figure.
    pub fn table(&self) -> Table {
        self.with(self.lines.iter().filter(|line| line.has_figure()).collect())
    }

    /// The table of the lines that lead in some column, if that saves enough lines. Otherwise the whole table.
    fn leaders(&self) -> Table {
        let all: Vec<&Line> = self.lines.iter().filter(|line| line.has_figure()).collect();
        let brief = |line: &&&Line| line.best_rank().is_some_and(|rank| rank <= BRIEF_RANK);
        let leaders: Vec<&Line> = all.iter().filter(brief).copied().collect();
        if leaders.is_empty() || all.len() - leaders.len() <= BRIEF_SAVING {
            return self.table();
        }
        let rest = all.len() - leaders.len();
        let mut table = self.with(leaders);
        table.notes.insert(0, format!("… and {rest} more, in README.md and report.html"));
        table
    }

    fn with(&self, lines: Vec<&Line>) -> Table {
        let columns = self.views.iter().enumerate().map(|(column, view)| {
            Column::Compared(Compared {
                head: view.label(),
                caption: view.caption(),
                less_is_better: self.quantity.less_is_better(),
                leads: self.order_by == Some(column) && self.views.len() > 1,
            })
        });
        let fields = |line: &Line| {
            let figures = line.entries.iter().map(|entry| match entry {
                Some(entry) => entry.field(self.quantity),
                None => Field::Text(String::new()),
            });
            [Field::from(line.subject.label())].into_iter().chain(figures).collect()
        };
        let failures = self.failures().into_iter();
        Table {
            title: self.title(),
            explanation: self.explanation().into(),
            columns: [Column::Words("mechanism")].into_iter().chain(columns).collect(),
            lines: lines.into_iter().map(fields).collect(),
            notes: failures.map(|(who, reason)| format!("{NO_FIGURE} {who}: {reason}")).collect(),
        }
    }

    /// Why figures are missing: each reason with the lines that have it, in the order of the table.
    pub fn failures(&self) -> Vec<(String, String)> {
        let mut reasons: Vec<(&str, String)> = Vec::new();
        for line in &self.lines {
            let planned = line.entries.iter().flatten().count();
            let mut own: Vec<(&str, Vec<String>)> = Vec::new();
            for (entry, view) in line.entries.iter().zip(&self.views) {
                let Some(entry) = entry.as_ref().filter(|entry| entry.figure.is_none()) else { continue };
                let error = if entry.error.is_empty() { "not measured" } else { &entry.error };
                match own.iter_mut().find(|(reason, _)| *reason == error) {
                    Some((_, views)) => views.push(view.label()),
                    None => own.push((error, vec![view.label()])),
                }
            }
            for (reason, views) in own {
                let label = line.subject.label();
                let who = if views.len() == planned { label } else { format!("{label} ({})", views.join(", ")) };
                reasons.push((reason, who));
            }
        }
        let reasons = grouped(reasons).into_iter();
        reasons.map(|(reason, lines)| (lines.join(", "), reason.to_owned())).collect()
    }
}

/// Groups `named` by text. The texts are in the order of first appearance, each with the names that have it.
pub fn grouped<'a>(named: impl IntoIterator<Item = (&'a str, String)>) -> Vec<(&'a str, Vec<String>)> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (text, name) in named {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    groups
}

/// The meaning of ranks, for text under tables that have some.
pub const RANKS: &str =
    "equal ranks mean that the 95 % intervals overlap, so that this run cannot tell the figures apart";

/// Whether any of `tables` has a rank.
pub fn have_ranks<'a>(tables: impl IntoIterator<Item = &'a Table>) -> bool {
    tables.into_iter().any(Table::has_ranks)
}

/// The marks that occur in `tables`, each once.
pub fn marks<'a>(tables: impl IntoIterator<Item = &'a Table>) -> BTreeSet<Mark> {
    tables.into_iter().flat_map(Table::marks).collect()
}

/// The ranking tables of one workload for a terminal, the smallest size last. That one is whole; the others show the
/// leaders of every column.
pub fn brief(matrices: &[Matrix]) -> Vec<Table> {
    let table = |(index, matrix): (usize, &Matrix)| if index == 0 { matrix.table() } else { matrix.leaders() };
    matrices.iter().enumerate().map(table).rev().collect()
}

/// The meaning of the ranks and marks in `tables`, for a terminal of `width` columns. Empty if there are none.
pub fn legend<'a>(tables: impl IntoIterator<Item = &'a Table> + Clone, width: usize) -> String {
    let mut text = String::new();
    if have_ranks(tables.clone()) {
        wrap(&mut text, &format!("The number before a figure is its rank in the column; {RANKS}."), "", width);
    }
    for mark in marks(tables) {
        wrap(&mut text, &format!("{} {}: {}", mark.sign(), mark.name(), mark.meaning()), "  ", width);
    }
    text
}
