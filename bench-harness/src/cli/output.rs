//! Output that all verbs share: a table, CSV or one JSON document.

use bench_record::{
    host::Host,
    rows::{Kind, Row, Rows},
};
use bench_report;
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

/// Formats records as CSV. All are of one type; the header has the field names.
pub fn csv(records: impl IntoIterator<Item = impl Serialize>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.serialize(record)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// Formats a value as an indented JSON document.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The version of the JSON of `run`, `report` and `history show`. New keys do not raise it. It is raised if a key is
/// removed or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The facts of the host and the rows of all kinds as one JSON value. In CSV a figure is text with fixed decimals, or
/// empty. In JSON it is a number, or null.
fn document(host: Option<&Host>, rows: &Rows) -> anyhow::Result<Value> {
    let mut all = Map::new();
    all.insert("schema".into(), SCHEMA.into());
    all.insert("host".into(), serde_json::to_value(host)?);
    for (kind, list) in rows.lists() {
        all.insert(kind.name().into(), numbers(list.objects()?));
    }
    Ok(Value::Object(all))
}

/// The width of the terminal in columns, limited to what is readable: 40 to 120. It is 100 for a file.
pub fn width() -> usize {
    if io::stdout().is_terminal() { textwrap::termwidth().clamp(40, 120) } else { 100 }
}

/// Rows as a JSON array, with figures as numbers.
pub fn records<R: Row>(rows: &[R]) -> anyhow::Result<Value> {
    Ok(numbers(rows.iter().map(serde_json::to_value).collect::<Result<_, _>>()?))
}

/// Turns the figures of `rows` from text into numbers.
fn numbers(mut rows: Vec<Value>) -> Value {
    for (column, field) in rows.iter_mut().filter_map(Value::as_object_mut).flatten() {
        if column.ends_with("flags") {
            let flags = field.as_str().unwrap_or_default().split(';').filter(|flag| !flag.is_empty());
            *field = flags.collect::<Vec<_>>().into();
        } else if field == "" {
            *field = Value::Null;
        } else if let Some(number) = field.as_str().and_then(|text| text.parse::<f64>().ok()) {
            *field = number.into();
        }
    }
    rows.into()
}

/// Prints the rows of a run or of a folder, or only those of `table` if it is given. Returns the last of several
/// tables. The caller [prints](answer) it after its other remarks.
pub fn tables(format: Format, table: Option<Kind>, host: Option<&Host>, rows: &Rows) -> anyhow::Result<String> {
    match (format, table) {
        (_, Some(table)) => print(&rows.of(table).csv())?,
        (Format::Json, None) => print(&json(&document(host, rows)?)?)?,
        (Format::Table | Format::Csv, None) => {
            let bench_report::Printed { tables, answer } = bench_report::terminal(rows, width());
            print(&tables)?;
            return Ok(answer);
        }
    }
    Ok(String::new())
}

/// Prints the most important table, which comes last.
pub fn answer(table: &str) -> anyhow::Result<()> {
    if table.is_empty() { Ok(()) } else { print(&format!("\n{table}")) }
}

/// Prints where everything was written, the page last. Kinds with one file are shown by name, the others by their
/// number.
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
