//! What all verbs print alike: a table, CSV or one JSON document.

use super::printing::Table;
use bench_record::rows::{Row, to_csv};
use bench_report::{self, Rows};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

pub use bench_lab::streams::print;

/// How a verb prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// With a header line.
    Csv,
    /// One document and nothing else.
    Json,
}

/// Prints records as CSV: all of one type, field names as the header.
pub fn csv(records: impl IntoIterator<Item = impl Serialize>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.serialize(record)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// Prints a value as an indented JSON document.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The version of the JSON of `run`, `report` and `history show`. Keys may be added to it; where one goes or means something else, it
/// is raised.
pub const SCHEMA: u32 = 1;

/// The rows of all kinds as one JSON value. In the CSV files a figure is text with fixed decimals, or empty; here it is a
/// number, or null.
fn document(rows: &Rows<'_>) -> anyhow::Result<Value> {
    let mut all = Map::new();
    all.insert("schema".into(), SCHEMA.into());
    all.insert("host".into(), serde_json::to_value(rows.host)?);
    all.insert("latency".into(), records(rows.latency)?);
    all.insert("throughput".into(), records(rows.throughput)?);
    all.insert("cost".into(), records(rows.cost)?);
    all.insert("copies".into(), records(rows.copies)?);
    all.insert("lifecycle".into(), records(rows.lifecycle)?);
    all.insert("relay".into(), records(rows.relay)?);
    all.insert("faults".into(), records(rows.faults)?);
    Ok(Value::Object(all))
}

/// The text of the file of `table`.
fn csv_of(rows: &Rows<'_>, table: Table) -> String {
    match table {
        Table::Latency => to_csv(rows.latency),
        Table::Throughput => to_csv(rows.throughput),
        Table::Cost => to_csv(rows.cost),
        Table::Copies => to_csv(rows.copies),
        Table::Lifecycle => to_csv(rows.lifecycle),
        Table::Relay => to_csv(rows.relay),
        Table::Faults => to_csv(rows.faults),
    }
}

/// The tables that have rows in `rows`.
pub fn tables_of(rows: &Rows<'_>) -> Vec<Table> {
    let has_rows = |table: &Table| match table {
        Table::Latency => !rows.latency.is_empty(),
        Table::Throughput => !rows.throughput.is_empty(),
        Table::Cost => !rows.cost.is_empty(),
        Table::Copies => !rows.copies.is_empty(),
        Table::Lifecycle => !rows.lifecycle.is_empty(),
        Table::Relay => !rows.relay.is_empty(),
        Table::Faults => !rows.faults.is_empty(),
    };
    Table::ALL.iter().copied().filter(has_rows).collect()
}

/// Columns of the terminal, as far as lines of text can be read; of a file 100.
pub fn width() -> usize {
    if io::stdout().is_terminal() { textwrap::termwidth().clamp(40, 120) } else { 100 }
}

/// Rows as a JSON array, figures as numbers.
pub fn records<R: Row>(rows: &[R]) -> anyhow::Result<Value> {
    Ok(Value::Array(rows.iter().map(row).collect::<Result<_, _>>()?))
}

fn row<R: Row>(row: &R) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(row)?;
    for (column, field) in value.as_object_mut().into_iter().flatten() {
        if column.ends_with("flags") {
            let flags = field.as_str().unwrap_or_default().split(';').filter(|flag| !flag.is_empty());
            *field = flags.collect::<Vec<_>>().into();
        } else if field == "" {
            *field = Value::Null;
        } else if let Some(number) = field.as_str().and_then(|text| text.parse::<f64>().ok()) {
            *field = number.into();
        }
    }
    Ok(value)
}

/// Prints the rows of a run or of a folder: of `table` alone, where one was chosen. Of all tables the last one, which is returned, is
/// still to be [printed](answer): what else there is to say comes before it.
pub fn tables(format: Format, table: Option<Table>, rows: &Rows<'_>) -> anyhow::Result<String> {
    match (format, table) {
        (_, Some(table)) => print(&csv_of(rows, table))?,
        (Format::Json, None) => print(&json(&document(rows)?)?)?,
        (Format::Table | Format::Csv, None) => {
            let bench_report::Printed { tables, answer } = bench_report::terminal(rows, width());
            print(&tables)?;
            return Ok(answer);
        }
    }
    Ok(String::new())
}

/// Prints the table that answers, last.
pub fn answer(table: &str) -> anyhow::Result<()> {
    if table.is_empty() { Ok(()) } else { print(&format!("\n{table}")) }
}

/// Prints where everything was written, the page last: what there is one of by its name, the rest by its number.
pub fn paths(dir: &Path, written: &[PathBuf]) -> anyhow::Result<()> {
    let kind = |extension: &str, one: &str| {
        let of_kind = |path: &&PathBuf| path.extension().is_some_and(|it| it == extension);
        let found: Vec<&PathBuf> = written.iter().filter(of_kind).collect();
        match found[..] {
            [] => None,
            [only] => Some(only.strip_prefix(dir).unwrap_or(only).display().to_string()),
            _ => Some(format!("{} {one}s", found.len())),
        }
    };
    let kinds = [
        ("csv", "CSV file"),
        ("json", "JSON file"),
        ("hlog", "log"),
        ("svg", "chart"),
        ("md", "text"),
        ("html", "page"),
    ];
    let names: Vec<String> = kinds.iter().filter_map(|(extension, one)| kind(extension, one)).collect();
    print(&format!("\nwritten to {}: {}\n", dir.display(), names.join(", ")))
}
