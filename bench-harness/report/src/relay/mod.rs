//! The relay table: a line per way from file to file. The copies that textbooks give stand beside the measured ones.

pub(crate) mod block;

use crate::{
    overview::count,
    shown::Shown,
    table::{Column, Compared, Field, Table},
    tables::grouped,
    text::NO_FIGURE,
    units::{self, Quantity, Rounded},
};
use bench_record::{file_copy::FileCopy, rows::RelayRow};

/// The way that every ratio refers to.
const BASE: FileCopy = FileCopy::ReadPipeWrite;

/// How far a figure may lie from the textbooks' figure. The value is twice half a unit of the last decimal shown.
const TOLERANCE: f64 = 0.01;

/// The relay table. Notes below it say how copies were counted and why figures are missing. `None` if nothing was
/// measured.
pub fn table(rows: &[RelayRow]) -> Option<Table> {
    let first = rows.first()?;
    let file = if rows.iter().all(|row| row.bytes == first.bytes) {
        usize::try_from(first.bytes).map_or("A file".into(), |bytes| format!("A file of {}", units::size(bytes)))
    } else {
        "A file".to_owned()
    };
    let how = said(rows, |row| &row.evidence).into_iter().map(|(how, names)| format!("Copies by: {how} ({names})"));
    let why = said(rows, |row| &row.error).into_iter().map(|(why, names)| format!("{NO_FIGURE} {names}: {why}"));
    let base = rows.iter().find(|row| row.relay == BASE);
    Some(Table {
        title: "Relay".into(),
        explanation: format!(
            "{file} carried into another, from page cache to page cache. Copies of each byte: by the kernel + by the \
             processes; books: what textbooks give, and whether that holds. Calls: system calls of all processes per \
             chunk; CPU: their processor time. Throughput: the median over the runs, ± half its 95 % interval; ratio: \
             against {BASE}."
        ),
        columns: vec![
            Column::Words("relay"),
            Column::Figures("chunk"),
            Column::Figures("copies"),
            Column::Figures("books"),
            Column::Figures("calls"),
            Column::Figures("CPU/KiB"),
            Column::Compared(Compared {
                head: "throughput".into(),
                caption: "bytes of the file per second".into(),
                less_is_better: false,
                leads: false,
            }),
            Column::Figures("ratio"),
        ],
        lines: rows.iter().map(|row| line(row, base)).collect(),
        notes: how.chain(why).collect(),
    })
}

fn line(row: &RelayRow, base: Option<&RelayRow>) -> Vec<Field> {
    let or_none = |text: Option<String>| text.map_or(Field::Missing(String::new()), Field::Text);
    let claimed = row.claimed.map(|claimed| match holds(row) {
        Some(true) => format!("{claimed} ✓"),
        Some(false) => format!("{claimed} ✗"),
        None => format!("{claimed} ?"),
    });
    let ratio = base.and_then(|base| ratio(row, base));
    vec![
        row.relay.to_string().into(),
        Field::Number(row.chunk as f64, units::size(row.chunk)),
        or_none(copies(row)),
        or_none(claimed),
        Field::number(row.syscalls, |calls| format!("{calls:.2}")),
        Field::time(row.cpu_ns_per_kib),
        Field::of(Quantity::Bytes, row.bytes_per_s, interval(row)),
        ratio.map_or(Field::Missing(String::new()), |(value, interval)| Field::Number(value, times(value, interval))),
    ]
}

fn interval(row: &RelayRow) -> Option<(f64, f64)> {
    row.bytes_per_s_lo.zip(row.bytes_per_s_hi)
}

/// The speed of `row` relative to `base`, with its interval. The half widths of the logarithms add as those of
/// independent figures do.
fn ratio(row: &RelayRow, base: &RelayRow) -> Option<(f64, Option<(f64, f64)>)> {
    let value = row.bytes_per_s? / base.bytes_per_s?;
    let half = |(lo, hi): (f64, f64)| (lo > 0.0).then(|| (hi / lo).ln() / 2.0);
    let both = interval(row).and_then(half).zip(interval(base).and_then(half));
    let both = both.filter(|_| row.relay != base.relay);
    Some((value, both.map(|(a, b)| a.hypot(b)).map(|half| (value * (-half).exp(), value * half.exp()))))
}

/// A ratio as text, such as `1.08 ± 0.05`. The ratio of something to itself has no interval.
fn times(value: f64, interval: Option<(f64, f64)>) -> String {
    let rounded = Rounded::of(value, interval);
    match rounded.doubt(1.0) {
        Some(doubt) => format!("{} ± {doubt}", rounded.number(1.0)),
        None if value == 1.0 => "1".to_owned(),
        None => rounded.number(1.0),
    }
}

/// Whether the measured copies are those that textbooks give. `None` if one of the two is missing.
pub fn holds(row: &RelayRow) -> Option<bool> {
    let (total, claimed) = (row.total_copies?, row.claimed?);
    Some((total - f64::from(claimed)).abs() <= TOLERANCE)
}

/// The copies as text, such as `2 + 2 = 4`. An unknown part is shown as missing.
fn copies(row: &RelayRow) -> Option<String> {
    let figure = |value: Option<f64>| value.map_or(NO_FIGURE.to_owned(), count);
    row.kernel_copies.or(row.user_copies)?;
    let [kernel, user, total] = [row.kernel_copies, row.user_copies, row.total_copies].map(figure);
    Some(format!("{kernel} + {user} = {total}"))
}

/// Each text with the names of the rows that have it, in the order of the table. Rows without text are left out.
fn said(rows: &[RelayRow], of: fn(&RelayRow) -> &str) -> Vec<(&str, String)> {
    let some = rows.iter().filter(|row| !of(row).is_empty());
    let groups = grouped(some.map(|row| (of(row), row.relay.to_string()))).into_iter();
    let all = |names: &[String]| names.len() == rows.len() && rows.len() > 1;
    groups.map(|(text, names)| (text, if all(&names) { "all".to_owned() } else { names.join(", ") })).collect()
}

impl Shown for RelayRow {
    const HEADING: &'static str = "From file to file";

    fn tables(rows: &[Self]) -> Vec<Table> {
        table(rows).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(relay: FileCopy, kernel: f64, user: f64, bytes_per_s: f64) -> RelayRow {
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
            ..RelayRow::of(relay, 64 << 20, 64 << 10)
        }
    }

    #[test]
    fn a_claim_is_marked_by_what_was_measured() {
        let mut rows = vec![
            row(FileCopy::ReadPipeWrite, 4.0, 0.0, 1e9),
            row(FileCopy::SharedMemoryPrivate, 2.0, 2.0, 2e9),
            row(FileCopy::SharedMemoryInPlace, 2.004, 0.0, 2.5e9),
            row(FileCopy::Splice, 1.5, 0.0, 1.85e9),
        ];
        rows.push(RelayRow { error: "EPERM".into(), ..RelayRow::of(FileCopy::ReadTcpWrite, 64 << 20, 64 << 10) });
        let fields: Vec<_> = table(&rows).unwrap().lines;
        let fields: Vec<_> = fields.iter().map(|line| [2, 3, 7].map(|column| line[column].text())).collect();
        let expected = [
            ["4 + 0 = 4", "4 ✓", "1"],
            ["2 + 2 = 4", "2 ✗", "2.0 ± 0.3"],
            ["2 + 0 = 2", "2 ✓", "2.5 ± 0.4"],
            ["1.50 + 0 = 1.50", "–", "1.9 ± 0.3"],
            ["–", "4 ?", "–"],
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_widest_table_fits_a_terminal() {
        let rows: Vec<RelayRow> = FileCopy::ALL
            .iter()
            .map(|&relay| RelayRow { chunk: 1500 << 10, ..row(relay, 3.99, 1.99, 99.9e6) })
            .chain([RelayRow { error: "reason ".repeat(30), ..RelayRow::of(FileCopy::Sendfile, 1, 1) }])
            .collect();
        for width in [80, 100] {
            let text = table(&rows).unwrap().terminal(width);
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{line}");
            }
            assert!(text.contains("read-unix-stream-write") && text.contains("– sendfile: reason"), "{text}");
        }
        assert_eq!(table(&[]), None);
    }

    #[test]
    fn without_a_pipe_there_is_no_ratio() {
        let table = table(&[row(FileCopy::Splice, 1.0, 0.0, 1e9)]).unwrap();
        assert_eq!(table.lines[0].last().unwrap().text(), NO_FIGURE);
    }
}
