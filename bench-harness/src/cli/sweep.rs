//! `ipc-bench sweep`: removes what killed runs left behind, as recorded in the journal (see [`ipc_core::objects`]).

use super::{Format, Verdict, output};
use ipc_core::objects::{self, Fate, Leftover};
use serde::Serialize;

/// Options of `sweep`.
#[derive(clap::Args)]
pub struct Args {
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Also remove what may have a living owner elsewhere, such as on another host that shares TMPDIR, unless something
    /// shows that it lives; look at the evidence with --dry-run first
    #[arg(long)]
    foreign: bool,
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
    /// Why it is not known whether the owner lives.
    doubt: Option<String>,
}

impl Row {
    fn of(leftover: &Leftover) -> Self {
        let (fate, error, doubt) = match &leftover.fate {
            Fate::Found => ("found", None, None),
            Fate::Removed => ("removed", None, None),
            Fate::Gone => ("already gone", None, None),
            Fate::Unknown(why) => ("kept", None, Some(why.clone())),
            Fate::Failed(why) => ("failed", Some(why.clone()), None),
        };
        Self { pid: leftover.pid, object: leftover.object.as_ref().map(ToString::to_string), fate, error, doubt }
    }
}

/// Sweeps. An object that cannot be removed is a negative verdict. An object that is kept in doubt is not.
///
/// # Errors
/// The errors of [`objects::sweep`].
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let sweep = if args.foreign { objects::sweep_foreign } else { objects::sweep };
    let rows: Vec<Row> = sweep(args.dry_run)?.iter().map(Row::of).collect();
    output::print(&match args.format {
        Format::Json => output::json(&rows)?,
        Format::Csv => output::csv(&rows)?,
        Format::Table => table(&rows, args.foreign),
    })?;
    Ok(if rows.iter().any(|row| row.error.is_some()) { Verdict::Negative } else { Verdict::Done })
}

/// A table with one line per object.
fn table(rows: &[Row], foreign: bool) -> String {
    if rows.is_empty() {
        return "nothing left behind\n".into();
    }
    let line = |Row { pid, object, fate, error, doubt }: &Row| {
        let object = object.as_deref().unwrap_or("?");
        match (doubt, error) {
            (Some(doubt), _) => format!("{fate} {object}: {doubt}\n"),
            (None, Some(error)) => format!("{fate} {object} (process {pid}): {error}\n"),
            (None, None) => format!("{fate} {object} (process {pid}, dead)\n"),
        }
    };
    let mut text: String = rows.iter().map(line).collect();
    if !foreign && rows.iter().any(|row| row.doubt.is_some()) {
        text += "'ipc-bench sweep --foreign' removes what is kept, unless the evidence says that its owner lives\n";
    }
    text
}
