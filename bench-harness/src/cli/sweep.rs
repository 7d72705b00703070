//! `ipc-bench sweep`: removes what killed runs left, as the journal has it (see [`ipc_core::objects`]).

use super::{Format, Verdict, output};
use ipc_core::objects::{self, Fate, Leftover};
use serde::Serialize;

/// Options of `sweep`.
#[derive(clap::Args)]
pub struct Args {
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    pid: u32,
    object: Option<String>,
    fate: &'static str,
    error: Option<String>,
}

impl Row {
    fn of(leftover: &Leftover) -> Self {
        let (fate, error) = match &leftover.fate {
            Fate::Found => ("found", None),
            Fate::Removed => ("removed", None),
            Fate::Gone => ("already gone", None),
            Fate::Failed(why) => ("failed", Some(why.clone())),
        };
        Self { pid: leftover.pid, object: leftover.object.as_ref().map(ToString::to_string), fate, error }
    }
}

/// Sweeps. An object that cannot be removed is a negative verdict.
///
/// # Errors
/// As [`objects::sweep`].
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let rows: Vec<Row> = objects::sweep(args.dry_run)?.iter().map(Row::of).collect();
    match args.format {
        Format::Json => output::print(&output::json(&rows)?)?,
        Format::Csv => output::print(&output::csv(&rows)?)?,
        Format::Table if rows.is_empty() => output::print("nothing left behind\n")?,
        Format::Table => {
            let line = |row: &Row| {
                let object = row.object.as_deref().unwrap_or("?");
                format!("{} {object} (process {}, dead) {}\n", row.fate, row.pid, row.error.as_deref().unwrap_or(""))
            };
            output::print(&rows.iter().map(line).collect::<String>())?;
        }
    }
    Ok(if rows.iter().any(|row| row.error.is_some()) { Verdict::Negative } else { Verdict::Done })
}
