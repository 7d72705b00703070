//! `ipc-bench report`: rebuilds everything that is made from the CSV files.

use super::{Format, Verdict, output, run};
use crate::record::{self, LatencyRow, Row, ThroughputRow};
use std::path::{Path, PathBuf};

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
    let written = crate::report::build(&dir)?;
    let (latency, throughput) = (read::<LatencyRow>(&dir)?, read::<ThroughputRow>(&dir)?);
    output::tables(args.format, &latency, &throughput)?;
    if args.format == Format::Table {
        output::paths(&dir, &written);
    }
    Ok(Verdict::Done)
}

/// The rows of a file; none where a run had none of that workload.
fn read<R: Row>(dir: &Path) -> Result<Vec<R>, record::Error> {
    match record::read(dir) {
        Err(record::Error::Missing { .. }) => Ok(Vec::new()),
        rows => rows,
    }
}
