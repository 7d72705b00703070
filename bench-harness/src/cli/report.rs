//! `ipc-bench report`: rebuilds everything that is made from the CSV files.

use super::{Format, Verdict, output, run};
use crate::report::Results;
use std::path::PathBuf;

/// Options of `report`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with the CSV files of a run; the suite's own `results/` by default
    dir: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Rebuilds and prints the tables.
///
/// # Errors
/// A missing or broken file, by name and line.
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let dir = args.dir.clone().unwrap_or_else(run::results_dir);
    let results = Results::read(&dir)?;
    let written = results.write(&dir)?;
    let answer = output::tables(args.format, &results.rows())?;
    if args.format == Format::Table {
        output::paths(&dir, &written);
    }
    output::answer(&answer)?;
    Ok(Verdict::Done)
}
