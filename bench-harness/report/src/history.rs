//! Tables of the history: the last runs, each cell's figures in them, and lasting changes.

use super::{
    table::{Column, Field, Mark, Shown, Table},
    tables::legend,
    text::wrap,
    units::Quantity,
};
use bench_record::{
    baseline::BaselineItem,
    cell::Workload,
    history::{
        Book, Run,
        warnings::{IN_A_ROW, LEAST_RUNS, Warning},
    },
    rows::HistoryRow,
};
use std::collections::HashMap;

/// The history `book` as text of `width` columns, with its last `runs` runs.
pub fn terminal(book: &Book, runs: usize, warnings: &[Warning], width: usize) -> String {
    let cells = of_cells(book, warnings);
    let mut text = of_runs(book, runs).terminal(width);
    text.push('\n');
    text.push_str(&cells.terminal(width));
    text.push_str(&legend(&[cells], width));
    text.push('\n');
    text.push_str(&advice(warnings, width));
    text
}

/// The letters of the environments: A, B, … in the order of their first run.
pub fn letters(book: &Book) -> HashMap<&str, String> {
    let letter = |index: usize| match u8::try_from(index).ok().filter(|index| *index < 26) {
        Some(index) => char::from(b'A' + index).to_string(),
        None => format!("A{index}"),
    };
    book.env_keys().into_iter().enumerate().map(|(index, key)| (key, letter(index))).collect()
}

fn of_runs(book: &Book, runs: usize) -> Table {
    let letters = letters(book);
    let anchor = |run: &Run, anchor: BaselineItem| Field::time(run.anchors.get(&anchor).copied());
    let line = |run: &Run| {
        let words = [run.run_id.clone(), run.revision(), letters[run.env_key.as_str()].clone()];
        let mut line: Vec<Field> = words.map(Field::from).into();
        line.extend(BaselineItem::ALL.iter().map(|&which| anchor(run, which)));
        line.push(run.cells.to_string().into());
        line
    };
    let mut notes: Vec<String> = Vec::new();
    let keys = book.env_keys();
    for (index, key) in keys.iter().enumerate() {
        let letter = &letters[key];
        notes.push(match index.checked_sub(1).map(|before| keys[before]) {
            None => format!("{letter}: environment {key}"),
            Some(before) => {
                format!("{letter}: environment {key}; other than {}: {}", letters[before], book.difference(before, key))
            }
        });
    }
    let shown = book.runs.len();
    let which = match shown {
        1 if runs == 1 => "one run".to_owned(),
        _ if shown == runs => format!("all {runs} runs"),
        _ => format!("the last {shown} of {runs} runs"),
    };
    Table {
        title: "History".into(),
        explanation: format!("{which}, with what the machine itself took in each (the anchors)"),
        columns: vec![
            Column::Words("run"),
            Column::Words("revision"),
            Column::Words("env"),
            Column::Figures("system call"),
            Column::Figures("cache line"),
            Column::Figures("pipe"),
            Column::Figures("1 MiB copy"),
            Column::Figures("cells"),
        ],
        lines: book.runs.iter().map(line).collect(),
        notes,
    }
}

/// A figure in the unit of its workload, with its doubts. The history keeps intervals of latencies only.
fn figure(row: Option<&HistoryRow>) -> Field {
    let Some((row, value)) = row.and_then(|row| Some((row, row.figure()?))) else {
        return Field::Missing(String::new());
    };
    let (quantity, interval) = match row.cell.workload {
        Workload::Throughput => (Quantity::Messages, None),
        _ => (Quantity::Time, row.p50_lo_ns.zip(row.p50_hi_ns)),
    };
    let marks = row.flags.iter().map(Mark::Flag).collect();
    Field::Figure(Shown { quantity, value, interval, rank: None, marks, beside: Vec::new() })
}

fn of_cells(book: &Book, warnings: &[Warning]) -> Table {
    let letters = letters(book);
    let head = |run: &Run| format!("{} {}", run.revision(), letters[run.env_key.as_str()]);
    let heads = book.runs.iter().map(|run| Column::Named(head(run)));
    let lines = book.cells().into_iter().map(|cell| {
        let name = cell.to_string();
        let rows = book.of_cell(cell);
        let mut line: Vec<Field> = rows.iter().map(|row| figure(*row)).collect();
        line.insert(0, name.clone().into());
        line.push(since_before(&rows).into());
        line.push(if warnings.iter().any(|warning| warning.cell == name) { "!".into() } else { "".into() });
        line
    });
    let lines = lines.collect();
    let mut columns = vec![Column::Words("cell")];
    columns.extend(heads);
    columns.extend([Column::Figures("change"), Column::Words("")]);
    Table {
        title: "Cells".into(),
        explanation: "median round trip, or messages per second; change: of the last figure against the one before, where both are of \
                      one environment. Runs lie apart in time: the machine is in that figure as well"
            .into(),
        columns,
        lines,
        notes: Vec::new(),
    }
}

/// The change from the figure before the last one, if both have the same environment.
fn since_before(rows: &[Option<&HistoryRow>]) -> String {
    let mut latest = rows.iter().rev().flatten().filter_map(|row| Some((row, row.figure()?)));
    match (latest.next(), latest.next()) {
        (Some((last, now)), Some((row, before))) if last.env_key == row.env_key && before > 0.0 => {
            format!("{:+.1} %", 100.0 * (now / before - 1.0))
        }
        _ => String::new(),
    }
}

/// The lasting changes, one per line, or why nothing can be said.
fn advice(warnings: &[Warning], width: usize) -> String {
    if warnings.is_empty() {
        let mut text = String::new();
        let rule = format!(
            "No lasting change found. One is told of where {IN_A_ROW} runs in a row lie beyond what {LEAST_RUNS} or more before them, of \
             the same environment, and the anchors lead one to expect."
        );
        wrap(&mut text, &rule, "", width);
        return text;
    }
    warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
}
