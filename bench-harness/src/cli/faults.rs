//! `ipc-bench faults`: kills, closes and stops one process of running pairs, and shows what became of the other.

use super::{Format, Verdict, output, run};
use crate::{experiments::faults, registry::Registry};
use anyhow::{Context, bail};
use bench_lab::{interrupt, say, topology::Topology};
use bench_record::{
    fault::Fault,
    rows::{FaultRow, Row as _, outcome::Tally},
};
use std::path::PathBuf;

/// Options of `faults`.
#[derive(clap::Args)]
pub struct Args {
    /// Only faults whose name, MECHANISM/FAULT, contains this
    filter: Option<String>,
    /// SIGKILLs a mechanism, half of them to its sender and half to its receiver; the other faults in proportion
    #[arg(long, value_name = "N", default_value_t = faults::KILLS, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    kills: u32,
    /// Where to write; by default results/latest for all faults and at least the default number of kills, else results/partial
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Inflicts, writes, prints. A broken contract (a hang, a wrong or lost message, something that stays) is a negative verdict.
///
/// # Errors
/// A filter that leaves nothing, a folder that cannot be written.
pub fn main(args: &Args, registry: &'static Registry) -> anyhow::Result<Verdict> {
    let complete = args.filter.is_none() && args.kills >= faults::KILLS;
    run::folder(args.out.as_deref(), complete)?;
    interrupt::install().context("sigaction")?;

    let results = faults::inflict(registry, args.kills, &Topology::here()?, |name| {
        args.filter.as_ref().is_none_or(|part| name.contains(part))
    });
    if results.rows.is_empty() {
        let filter = args.filter.as_deref().unwrap_or_default();
        let first = registry.iter().next().map_or("", |mechanism| mechanism.spec.name);
        let example = format!("{first}/{}", Fault::KillSender);
        bail!("no fault's name contains '{filter}': names are MECHANISM/FAULT, such as {example}")
    }
    if let Some(why) = Tally::default().with(&results.rows).why_nothing() {
        if results.interrupted {
            say!("interrupted before anything was measured: nothing is written");
            return Ok(Verdict::Interrupted);
        }
        bail!("nothing was measured and nothing is written: {why}")
    }
    let out = run::folder(args.out.as_deref(), complete && !results.interrupted)?;
    results.write(&out)?;
    match args.format {
        Format::Json => output::print(&output::json(&output::records(&results.rows)?)?)?,
        Format::Csv => output::print(&output::csv(&results.rows)?)?,
        Format::Table => {
            output::print(&bench_report::faults::terminal(&results.rows, output::width()))?;
            let origin = bench_report::faults::origin(&results.rows);
            output::print(&format!("\n{origin} · written to {}\n", out.join(FaultRow::FILE).display()))?;
        }
    }
    let bad: Vec<&FaultRow> = results.rows.iter().filter(|row| row.is_bad()).collect();
    for row in &bad {
        say!("{}: {}", row.name(), bench_report::faults::verdict(row));
    }
    Ok(match (bad.is_empty(), results.interrupted) {
        (false, _) => Verdict::Negative,
        (_, true) => Verdict::Interrupted,
        _ => Verdict::Done,
    })
}
