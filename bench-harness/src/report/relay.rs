//! The relay table: one line a way from file to file, with the copies that textbooks give beside the measured ones.

use super::{
    overview::count,
    table::{Column, Table},
    tables::{NO_FIGURE, grouped},
    units::{self, Quantity},
};
use crate::{record::RelayRow, relay::Relay};

/// Columns of the terminal.
const WIDTH: usize = 100;

/// What every ratio is to.
const BASE: Relay = Relay::ReadPipeWrite;

/// How far a figure may lie from what books say: half of the last decimal shown, twice.
const TOLERANCE: f64 = 0.01;

/// The table as aligned text for 100 columns; nothing where nothing was measured.
pub fn terminal(rows: &[RelayRow]) -> String {
    table(rows).map_or(String::new(), |table| table.terminal(WIDTH))
}

/// The table, with how the copies were counted and why figures are missing below; `None` where nothing was measured.
pub fn table(rows: &[RelayRow]) -> Option<Table> {
    let first = rows.first()?;
    let file = if rows.iter().all(|row| row.bytes == first.bytes) {
        usize::try_from(first.bytes).map_or("A file".into(), |bytes| format!("A file of {}", units::size(bytes)))
    } else {
        "A file".to_owned()
    };
    let how = said(rows, |row| &row.evidence).into_iter().map(|(how, names)| format!("Copies by: {how} ({names})"));
    let why = said(rows, |row| &row.error).into_iter().map(|(why, names)| format!("{NO_FIGURE} {names}: {why}"));
    let base = rows.iter().find(|row| row.relay == BASE).and_then(|row| row.bytes_per_s);
    Some(Table {
        title: "Relay".into(),
        explanation: format!(
            "{file} carried into another, from page cache to page cache. Copies of each byte: by the kernel + by the \
             processes; books: what textbooks give, and whether that holds. Calls: system calls of all processes per \
             chunk; CPU: their processor time. Ratio: throughput against {BASE}."
        ),
        columns: vec![
            Column::Words("relay"),
            Column::Figures("chunk"),
            Column::Figures("copies"),
            Column::Figures("books"),
            Column::Figures("calls"),
            Column::Figures("CPU/KiB"),
            Column::Figures("throughput"),
            Column::Figures("ratio"),
        ],
        lines: rows.iter().map(|row| line(row, base)).collect(),
        notes: how.chain(why).collect(),
    })
}

fn line(row: &RelayRow, base: Option<f64>) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NO_FIGURE.to_owned());
    vec![
        row.relay.to_string(),
        units::size(row.chunk),
        or_none(copies(row)),
        or_none(row.claimed.map(|claimed| match holds(row) {
            Some(true) => format!("{claimed} ✓"),
            Some(false) => format!("{claimed} ✗"),
            None => format!("{claimed} ?"),
        })),
        or_none(row.syscalls.map(|calls| format!("{calls:.2}"))),
        or_none(row.cpu_ns_per_kib.map(|ns| Quantity::Time.format(ns))),
        or_none(row.bytes_per_s.map(|value| {
            let spread = row.bytes_per_s_lo.zip(row.bytes_per_s_hi);
            let spread = spread.map_or(String::new(), |ends| Quantity::Bytes.format_half_width(value, ends));
            format!("{} {spread}", Quantity::Bytes.format(value)).trim_end().to_owned()
        })),
        or_none(row.bytes_per_s.zip(base).map(|(value, base)| format!("{:.2}", value / base))),
    ]
}

/// Whether what books say is what was measured; `None` where one of the two is missing.
pub fn holds(row: &RelayRow) -> Option<bool> {
    let (total, claimed) = (row.total_copies?, row.claimed?);
    Some((total - f64::from(claimed)).abs() <= TOLERANCE)
}

/// Such as `2 + 2 = 4`; what is not known of it shows as such.
fn copies(row: &RelayRow) -> Option<String> {
    let figure = |value: Option<f64>| value.map_or(NO_FIGURE.to_owned(), count);
    row.kernel_copies.or(row.user_copies)?;
    let [kernel, user, total] = [row.kernel_copies, row.user_copies, row.total_copies].map(figure);
    Some(format!("{kernel} + {user} = {total}"))
}

/// Each text with the names of the rows that have it, in the order of the table; rows without one are left out.
fn said(rows: &[RelayRow], of: fn(&RelayRow) -> &str) -> Vec<(&str, String)> {
    let some = rows.iter().filter(|row| !of(row).is_empty());
    let groups = grouped(some.map(|row| (of(row), row.relay.to_string()))).into_iter();
    let all = |names: &[String]| names.len() == rows.len() && rows.len() > 1;
    groups.map(|(text, names)| (text, if all(&names) { "all".to_owned() } else { names.join(", ") })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(relay: Relay, kernel: f64, user: f64, bytes_per_s: f64) -> RelayRow {
        RelayRow {
            runs: 7,
            kernel_copies: Some(kernel),
            user_copies: Some(user),
            total_copies: Some(kernel + user),
            moved: Some(kernel),
            syscalls: Some(4.0),
            cpu_ns_per_kib: Some(350.0),
            bytes_per_s: Some(bytes_per_s),
            bytes_per_s_lo: Some(0.9 * bytes_per_s),
            bytes_per_s_hi: Some(1.1 * bytes_per_s),
            evidence: "system calls traced; ledger".into(),
            ..RelayRow::empty(relay, 64 << 20, 64 << 10)
        }
    }

    #[test]
    fn a_claim_is_marked_by_what_was_measured() {
        let mut rows = vec![
            row(Relay::ReadPipeWrite, 4.0, 0.0, 1e9),
            row(Relay::SharedMemoryPrivate, 2.0, 2.0, 2e9),
            row(Relay::SharedMemoryInPlace, 2.004, 0.0, 2.5e9),
            row(Relay::Splice, 1.5, 0.0, 1.85e9),
        ];
        rows.push(RelayRow { error: "EPERM".into(), ..RelayRow::empty(Relay::ReadTcpWrite, 64 << 20, 64 << 10) });
        let fields: Vec<_> = table(&rows).unwrap().lines;
        let fields: Vec<_> = fields.iter().map(|line| (&*line[2], &*line[3], &*line[7])).collect();
        let expected = [
            ("4 + 0 = 4", "4 ✓", "1.00"),
            ("2 + 2 = 4", "2 ✗", "2.00"),
            ("2 + 0 = 2", "2 ✓", "2.50"),
            ("1.50 + 0 = 1.50", "–", "1.85"),
            ("–", "4 ?", "–"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_widest_table_fits_a_terminal() {
        let rows: Vec<RelayRow> = Relay::ALL
            .iter()
            .map(|&relay| RelayRow { chunk: 1500 << 10, ..row(relay, 3.99, 1.99, 99.9e6) })
            .chain([RelayRow { error: "reason ".repeat(30), ..RelayRow::empty(Relay::Sendfile, 1, 1) }])
            .collect();
        let text = terminal(&rows);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("read-unix-stream-write") && text.contains("– sendfile: reason"), "{text}");
        assert_eq!(terminal(&[]), "");
    }

    #[test]
    fn without_a_pipe_there_is_no_ratio() {
        let table = table(&[row(Relay::Splice, 1.0, 0.0, 1e9)]).unwrap();
        assert_eq!(table.lines[0].last().unwrap(), NO_FIGURE);
    }
}
