//! What all verbs print alike: a table, CSV or one JSON document.

use crate::{
    record::Row,
    report::{self, Rows},
};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

pub use crate::streams::print;

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

impl Rows<'_> {
    /// The rows of all kinds as one JSON value. In the CSV files a figure is text with fixed decimals, or empty; here it is a
    /// number, or null.
    fn json(&self) -> anyhow::Result<Value> {
        let mut all = Map::new();
        all.insert("latency".into(), records(self.latency)?);
        all.insert("throughput".into(), records(self.throughput)?);
        all.insert("cost".into(), records(self.cost)?);
        all.insert("copies".into(), records(self.copies)?);
        all.insert("lifecycle".into(), records(self.lifecycle)?);
        all.insert("relay".into(), records(self.relay)?);
        Ok(Value::Object(all))
    }
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

/// Prints the rows of a run or of a folder. Of tables the last one, which is returned, is still to be [printed](answer): what
/// else there is to say comes before it.
pub fn tables(format: Format, rows: &Rows<'_>) -> anyhow::Result<String> {
    match format {
        Format::Table => {
            let report::Printed { tables, answer } = report::terminal(rows, width());
            print(&tables)?;
            return Ok(answer);
        }
        Format::Json => print(&json(&rows.json()?)?)?,
        Format::Csv => print(&joined(&[
            csv(rows.latency)?,
            csv(rows.throughput)?,
            csv(rows.cost)?,
            csv(rows.copies)?,
            csv(rows.lifecycle)?,
            csv(rows.relay)?,
        ]))?,
    }
    Ok(String::new())
}

/// Prints the table that answers, last.
pub fn answer(table: &str) -> anyhow::Result<()> {
    if table.is_empty() { Ok(()) } else { print(&format!("\n{table}")) }
}

/// The parts that are not empty, an empty line between them.
fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// Prints where everything was written: the report and the folder, not each chart.
pub fn paths(dir: &Path, written: &[PathBuf]) -> anyhow::Result<()> {
    let charts = written.iter().filter(|path| path.extension().is_some_and(|e| e == "svg")).count();
    let page = dir.join("report.html");
    let dir = dir.display();
    print(&format!("\nwritten to {dir}: CSV files, histograms, {charts} charts, README.md and\n  {}\n", page.display()))
}
