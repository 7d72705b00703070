//! `ipc-bench export FORMAT [DIR]`: prints the figures of a run for tools that keep a history of benchmarks.

use super::{Verdict, folders, output};
use anyhow::bail;
use bench_gate::{
    export::{Measure, Measurement, bencher, github},
    wording,
};
use bench_lab::say;
use bench_record::{
    named,
    rows::{self, Error, LatencyRow, Row, ThroughputRow},
};
use std::path::{Path, PathBuf};

named! {
    /// What to print.
    "format" Format {
        /// Bencher Metric Format: latency and throughput.
        Bencher = "bencher",
        /// github-action-benchmark, tool `customSmallerIsBetter`: latency.
        GithubLatency = "github-latency",
        /// github-action-benchmark, tool `customBiggerIsBetter`: throughput.
        GithubThroughput = "github-throughput",
    }
}

/// Options of `export`.
#[derive(clap::Args)]
pub struct Args {
    /// bencher (Bencher Metric Format), github-latency or github-throughput (github-action-benchmark)
    format: Format,
    /// Folder with the CSV files of a run; results/latest by default
    dir: Option<PathBuf>,
}

/// Prints one JSON document. Rows without a figure are named on stderr.
///
/// # Errors
/// A missing or broken file, by name and line. Files without a single figure: the tools would take that for an error of
/// their own.
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let dir = args.dir.clone().unwrap_or_else(|| folders::LATEST.into());
    let latency = |dir| measurements(dir, Measurement::of_latency, |row: &LatencyRow| &row.error);
    let throughput = |dir| measurements(dir, Measurement::of_throughput, |row: &ThroughputRow| &row.error);
    let measurements = match args.format {
        Format::GithubLatency => latency(&dir)?,
        Format::GithubThroughput => throughput(&dir)?,
        // A run may have measured only one of the two.
        Format::Bencher => match (latency(&dir), throughput(&dir)) {
            (Err(Error::Missing { .. }), Err(Error::Missing { .. })) => bail!(Error::NoResults { dir }),
            (one, Err(Error::Missing { .. })) | (Err(Error::Missing { .. }), one) => one?,
            (one, other) => one?.into_iter().chain(other?).collect(),
        },
    };
    if measurements.is_empty() {
        bail!("{}: nothing to export: no row has a figure", dir.display());
    }
    let text = match args.format {
        Format::Bencher => Some(bencher::text(&measurements)),
        Format::GithubLatency => github::text(Measure::Latency, &measurements),
        Format::GithubThroughput => github::text(Measure::Throughput, &measurements),
    };
    output::print(&text.unwrap_or_default())?;
    Ok(Verdict::Done)
}

/// The figures in the rows of a file.
fn measurements<R: Row>(
    dir: &Path,
    of: fn(&R) -> Option<Measurement>,
    error: fn(&R) -> &String,
) -> Result<Vec<Measurement>, Error> {
    let rows: Vec<R> = rows::read(dir)?;
    let mut measurements = Vec::new();
    for row in &rows {
        let Some(measurement) = of(row) else {
            let error = wording::one_line(error(row));
            let why = if error.is_empty() { "not measured" } else { &error };
            say!("left out: {}: {why}", row.name());
            continue;
        };
        measurements.push(measurement);
    }
    Ok(measurements)
}
