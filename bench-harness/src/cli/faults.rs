//! `ipc-bench faults`: kills, closes and stops one process of running pairs, and shows what became of the other.

use super::{Format, Verdict, output, run};
use crate::{
    experiments::{Choice, Found, Lab, Planned, faults},
    registry::Registry,
    selection::Selection,
};
use anyhow::{Context, bail};
use bench_lab::{interrupt, say, topology::Topology};
use bench_record::rows::{FaultRow, Row as _, outcome::Outcomes};
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

/// Inflicts the faults, writes and prints the rows. A broken contract is a negative verdict: a hang, a wrong or lost
/// message, or something left behind.
///
/// # Errors
/// A filter that leaves nothing, or a folder that cannot be written.
pub fn main(args: &Args, registry: &'static Registry) -> anyhow::Result<Verdict> {
    let complete = args.filter.is_none() && args.kills >= faults::KILLS;
    run::folder(args.out.as_deref(), complete)?;
    interrupt::install().context("sigaction")?;

    let (found, interrupted) = measured(args, registry, &Topology::here()?)?;
    let rows = &found.rows.faults;
    if let Some(why) = Outcomes::default().with(rows).why_nothing() {
        if interrupted {
            say!("interrupted before anything was measured: nothing is written");
            return Ok(Verdict::Interrupted);
        }
        bail!("nothing was measured and nothing is written: {why}")
    }
    let out = run::folder(args.out.as_deref(), complete && !interrupted)?;
    faults::write(rows, &out, &registry.specs())?;
    match args.format {
        Format::Json => output::print(&output::json(&output::records(rows)?)?)?,
        Format::Csv => output::print(&output::csv(rows)?)?,
        Format::Table => {
            output::print(&bench_report::faults::terminal(rows, output::width()))?;
            let origin = bench_report::faults::origin(rows);
            output::print(&format!("\n{origin} · written to {}\n", out.join(FaultRow::FILE).display()))?;
        }
    }
    for verdict in &found.verdicts {
        say!("{verdict}");
    }
    Ok(Verdict::of(!found.verdicts.is_empty(), interrupted))
}

/// The rows of the trials, and whether the user stopped them.
fn measured(args: &Args, registry: &'static Registry, topology: &Topology) -> anyhow::Result<(Found, bool)> {
    let selection = Selection::default();
    let choice = Choice::of(registry, &selection, topology, &mut Vec::new())?;
    let (experiment, subjects) = faults::Faults::of(&choice, args.kills);
    let mut planned = Planned { experiment, subjects };
    let filter = args.filter.as_deref();
    if let Err(example) = planned.choose(filter) {
        let filter = filter.unwrap_or_default();
        bail!("no fault's name contains '{filter}': names are MECHANISM/FAULT, such as {example}")
    }
    Ok(planned.measure(&mut Lab::new(registry, topology), "trials"))
}
