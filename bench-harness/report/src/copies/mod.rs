//! The table of copies: a line per mechanism, access and size. The declared figure stands beside the measured one.

mod chart;

use crate::{
    Results,
    charts::Chart,
    overview::calls,
    shown::Shown,
    table::{Column, Field, Table},
    tables::grouped,
    text::NO_FIGURE,
    units,
};
use bench_record::rows::{CopiesRow, Row as _};

/// The table of copies. The notes below it say how figures were obtained, and why others are missing.
pub fn table(rows: &[CopiesRow]) -> Table {
    let name = |row: &CopiesRow| format!("{}/{}/{}", row.mechanism, row.size, row.access);
    let failed = rows.iter().filter(|row| !row.error.is_empty());
    let missing = grouped(failed.map(|row| (row.error.as_str(), name(row))));
    let missing = missing.into_iter().map(|(why, names)| format!("{NO_FIGURE} {}: {why}", names.join(", ")));
    let evidence = rows.iter().any(|row| !row.evidence.is_empty());
    let evidence = evidence.then(|| format!("How each figure was had stands in {}.", CopiesRow::FILE));
    Table {
        title: "Copies of a message".into(),
        explanation: "Copies of each byte between the sender's buffer and the receiver's: by the kernel, from the traced \
                      system calls; by the two processes, from a watch on one byte; and what the mechanism declares. Moved: \
                      bytes that passed through system calls, copied or not, for each byte of payload. By reference: \
                      whether the receiver sees what is written into the payload after it has been sent. Calls: system \
                      calls of the sender and of the receiver for a message that need not wait."
            .into(),
        columns: vec![
            Column::Words("mechanism"),
            Column::Words("access"),
            Column::Figures("size"),
            Column::Figures("kernel"),
            Column::Figures("user"),
            Column::Figures("total"),
            Column::Figures("declared"),
            Column::Figures("moved"),
            Column::Words("by reference"),
            Column::Figures("calls"),
        ],
        lines: rows.iter().map(line).collect(),
        notes: missing.chain(evidence).collect(),
    }
}

fn line(row: &CopiesRow) -> Vec<Field> {
    let figure = |value: Option<f64>| Field::number(value, |value| format!("{value:.2}"));
    let yes = |value| if value { "yes" } else { "no" };
    let differs = if row.verdict().is_some() { "≠ " } else { "" };
    vec![
        row.mechanism.clone().into(),
        row.access.to_string().into(),
        Field::Number(row.size as f64, units::size(row.size)),
        figure(row.kernel_copies),
        figure(row.user_copies),
        figure(row.total_copies),
        Field::number(row.declared.map(f64::from), |declared| format!("{differs}{declared}")),
        figure(row.moved),
        row.by_reference.map_or(NO_FIGURE, yes).into(),
        calls(row),
    ]
}

impl Shown for CopiesRow {
    const HEADING: &'static str = "Copies";

    fn tables(rows: &[Self]) -> Vec<Table> {
        vec![table(rows)]
    }

    fn charts(results: &Results) -> Vec<Chart> {
        vec![chart::throughput(results)]
    }
}
