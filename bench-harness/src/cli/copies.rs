//! `ipc-bench copies`: counts how often each mechanism copies a payload, and compares that with its declaration.

use super::{Format, Verdict, distinct, output, run};
use crate::{
    experiments::{Choice, Found, Lab, Plannable as _, Planned, copies::Copies},
    registry::Registry,
    selection::Selection,
};
use anyhow::{Context, bail};
use bench_lab::{copies::SHORTEST, interrupt, say, topology::Topology};
use bench_record::{
    host,
    rows::{self, CopiesRow, Row as _, outcome::Outcomes},
};
use std::path::PathBuf;

/// Options of `copies`. Lists are separated by commas.
#[derive(clap::Args)]
pub struct Args {
    /// Only what is called like this in copies/MECHANISM/SIZE/ACCESS
    filter: Option<String>,
    /// Message lengths in bytes; K and M stand for 1024 and 1024². By default 4K and 64K
    #[arg(long, value_delimiter = ',', value_parser = size)]
    size: Vec<usize>,
    /// Where to write copies.csv; nowhere unless given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn size(text: &str) -> Result<usize, String> {
    let size = run::size(text)?;
    if size >= SHORTEST {
        return Ok(size);
    }
    let why = "below that what is said about a message weighs as much as the message";
    Err(format!("'{text}' is too short to count copies by: use {} bytes or more; {why}", SHORTEST))
}

/// Counts copies, writes and prints them. A figure that differs from the declared one is a negative verdict, and so is
/// a wrong payload.
///
/// # Errors
/// A filter that leaves nothing, or a folder that cannot be written.
pub fn main(args: &Args, registry: &'static Registry) -> anyhow::Result<Verdict> {
    let out = args.out.as_deref().map(|out| run::folder(Some(out), false)).transpose()?;
    // Beside the other figures of a run, these figures would look like the run's own.
    if let Some(out) = out.as_ref().filter(|out| out.join(host::FILE).exists()) {
        bail!(
            "'{0}' holds a run, whose copies these are not: choose another folder, or `ipc-bench run --workload copies --out {0}`",
            out.display()
        )
    }
    interrupt::install().context("sigaction")?;

    let (found, interrupted) = measured(args, registry, &Topology::here()?)?;
    let rows = &found.rows.copies;
    let nothing = Outcomes::default().with(rows).why_nothing();
    if let Some(why) = nothing.filter(|_| found.verdicts.is_empty()) {
        if interrupted {
            return Ok(Verdict::Interrupted);
        }
        bail!("nothing was counted and nothing is written: {why}")
    }
    if let Some(out) = &out {
        rows::write(out, rows)?;
    }
    match args.format {
        Format::Json => output::print(&output::json(&output::records(rows)?)?)?,
        Format::Csv => output::print(&output::csv(rows)?)?,
        Format::Table => {
            output::print(&bench_report::copies::table(rows).terminal(output::width()))?;
            if let Some(out) = &out {
                output::print(&format!("\nwritten to {}\n", out.join(CopiesRow::FILE).display()))?;
            }
        }
    }
    for verdict in &found.verdicts {
        say!("{verdict}");
    }
    Ok(Verdict::of(!found.verdicts.is_empty(), interrupted))
}

/// The counted rows, and whether the user stopped the count.
fn measured(args: &Args, registry: &'static Registry, topology: &Topology) -> anyhow::Result<(Found, bool)> {
    let selection = Selection { sizes: distinct(&args.size), ..Selection::default() };
    let choice = Choice::of(registry, &selection, topology, &mut Vec::new())?;
    let (experiment, subjects) = Copies::plan(&choice, &mut Vec::new());
    let mut planned = Planned { experiment, subjects };
    let filter = args.filter.as_deref();
    if let Err(example) = planned.choose(filter) {
        let filter = filter.unwrap_or_default();
        bail!("no name contains '{filter}': names are copies/MECHANISM/SIZE/ACCESS, such as {example}")
    }
    Ok(planned.measure(&mut Lab::new(registry, topology), "subjects"))
}
