//! `ipc-bench gate`: compares two builds of this program, or two commands, and says whether the second is slower.

mod commands;

use super::{Format, Verdict, folders, output, run};
use crate::{gate_cells, registry::Registry};
use anyhow::{Context, anyhow, bail};
use bench_gate::{
    builds::{self, Request},
    export,
    image::Unfit,
    plan::Plan,
    print,
    program::{Program, all_have},
    report::{CellReport, Metric, Outcome, Report, Status},
};
use bench_lab::{
    inject::{self, Injection},
    interrupt, say,
    topology::Topology,
};
use serde::Serialize;
use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The text at the end of `gate --help`.
pub const AFTER_HELP: &str = "\
Two commands: each prints a number, or JSON lines such as {\"name\":\"parse\",\"value\":12.5,\"unit\":\"ms\"}, or leaves \
results of criterion or hyperfine. They take turns in random order. The base command is also compared with itself, as a control.
  ipc-bench gate --base-command 'base/bench' --head-command 'head/bench' --unit ns

Of two builds not looked at, and no reason for a red run:
  - tails beyond p99: p99.9 and the maximum are only reported
  - making, connecting and closing a channel; its memory, descriptors and processor time
  - sizes other than 64 B, 4 KiB and 64 KiB, waiting by hybrid, more than one pair at a time
  - what begins later than some milliseconds after the start of a pair
The other verbs measure most of this; none of them compares two builds.

Exit codes:
  0  no regression: the head was measured, and is not slower than each cell says could be seen
  1  a regression, or the head fails where the base does not
  2  usage or environment; the head cannot be measured; the builds have other compiler flags; a command fails three times in
     a row or six times in all, or does not print its figures in its unit
  3  inconclusive
  4  the base is missing or cannot be measured";

/// Options of `gate`.
#[derive(clap::Args)]
pub struct Args {
    /// Compare only cells or figures whose name contains this
    filter: Option<String>,
    /// A build of the base; may be given more than once, for builds that differ in the order of their sections
    #[arg(long, value_name = "BIN", required_unless_present = "base_command")]
    base: Vec<PathBuf>,
    /// A build of the head, likewise
    #[arg(long, value_name = "BIN", required_unless_present = "base_command")]
    head: Vec<PathBuf>,
    #[command(flatten)]
    commands: commands::CommandArgs,
    /// smoke, twelve, full
    #[arg(long, default_value = "full", conflicts_with = "base_command")]
    plan: Plan,
    /// Compare builds whose compiler flags or profiles differ, which is refused otherwise
    #[arg(long, conflicts_with = "base_command")]
    allow_other_flags: bool,
    /// The seed of all random choices; by default another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Where to write the reports; by default results/gate
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A cell's verdict as a row of CSV.
#[derive(Serialize)]
struct Row<'a> {
    cell: &'a str,
    metric: Metric,
    status: Status,
    change: Option<f64>,
    change_lo: Option<f64>,
    change_hi: Option<f64>,
    p: Option<f64>,
    rounds: u32,
    margin: f64,
    detectable: Option<f64>,
    error: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(report: &'a CellReport) -> Self {
        let CellReport { cell, metric, status, change, p, rounds, margin, detectable, error, .. } = report;
        Self {
            cell,
            metric: *metric,
            status: *status,
            change: change.map(|change| change.by),
            change_lo: change.map(|change| change.lo),
            change_hi: change.map(|change| change.hi),
            p: *p,
            rounds: *rounds,
            margin: *margin,
            detectable: *detectable,
            error: error.as_deref(),
        }
    }
}

/// Compares, writes and prints.
///
/// # Errors
/// A head that is missing or cannot be measured, other flags, or identical files. A filter that leaves nothing, or a
/// folder that cannot be written.
pub fn main(args: &Args, registry: &Registry) -> anyhow::Result<Verdict> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let Some(comparison) = args.commands.comparison(args.filter.as_ref(), seed) else {
        return builds(args, seed, registry);
    };
    let out = args.folder()?;
    interrupt::install().context("sigaction")?;
    match commands::compare(&comparison)? {
        Some(report) => args.show(&report, &out),
        None => {
            say!("interrupted before anything was measured");
            Ok(Verdict::Inconclusive)
        }
    }
}

fn builds(args: &Args, seed: u64, registry: &Registry) -> anyhow::Result<Verdict> {
    let injection = Injection::from_environment().map_err(|why| anyhow!(why))?;
    let topology = Topology::here()?;
    let mut notes = Vec::new();
    let mut cells = gate_cells::cells(registry, args.plan, &topology, &mut notes);
    if let Some(filter) = &args.filter {
        let example = cells.first().map(ToString::to_string).unwrap_or_default();
        cells.retain(|cell| cell.to_string().contains(filter.as_str()));
        if cells.is_empty() {
            bail!("no cell of the plan '{}' matches '{filter}': names look like {example}", args.plan);
        }
    }
    refuse_itself(&args.base, &args.head)?;
    let out = args.folder()?;
    // The head is loaded first. Without a base a CI may stay green, without a head it may not.
    let head = load(&args.head).map_err(|unfit| anyhow!("head: {unfit}"))?;
    let base = match load(&args.base) {
        Ok(base) => base,
        Err(unfit @ Unfit::System { .. }) => bail!("base: {unfit}"),
        Err(unfit) => {
            say!("base: {unfit}");
            return Ok(Verdict::Incomparable);
        }
    };
    let others = other_flags(&base, &head);
    if !others.is_empty() && !args.allow_other_flags {
        bail!(
            "the builds have other flags, and a difference may be theirs: {}. Build all alike; or compare them all the same with \
             --allow-other-flags",
            others.join("; ")
        );
    }
    notes.extend(others);
    let has = |side: &[Program]| cells.iter().any(|cell| all_have(side, cell.mechanism, cell.access));
    if !has(&head) {
        bail!("head: '{}' cannot be measured: it has no cell of the plan", head[0].path.display());
    }
    if !cells.iter().any(|cell| [&base, &head].iter().all(|side| all_have(side, cell.mechanism, cell.access))) {
        say!("base and head cannot be compared: they have no cell of the plan in common");
        return Ok(Verdict::Incomparable);
    }
    let compilers = [&base, &head].map(|side| side[0].identity.build.rustc.as_deref().unwrap_or("unknown"));
    if compilers[0] != compilers[1] {
        notes.push(format!("the base was compiled by {}, the head by {}", compilers[0], compilers[1]));
    }
    interrupt::install().context("sigaction")?;
    if let Some(injection) = &injection {
        if !cells.iter().any(|cell| injection.part(&cell.to_string()).is_some()) {
            bail!("{}='{injection}' slows down no cell of the plan '{}'", inject::VARIABLE, args.plan);
        }
        notes.push(format!("the head was slowed down on purpose: {}={injection}", inject::VARIABLE));
    }
    let injection = injection.map(|injection| injection.to_string());
    let request = Request {
        base,
        head,
        plan: args.plan,
        cells,
        controls: gate_cells::controls(registry),
        notes,
        seed,
        injection,
    };
    args.show(&builds::compare(&request), &out)
}

impl Args {
    /// Creates the folder of the reports, and returns it.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        run::folder(Some(self.out.as_deref().unwrap_or(Path::new(folders::GATE))), false)
    }

    /// Prints `report`, and writes it to `out`.
    fn show(&self, report: &Report, out: &Path) -> anyhow::Result<Verdict> {
        // The result is printed first, so that it is known whatever becomes of the files.
        let printed = output::print(&match self.format {
            Format::Table => print::text(report),
            Format::Csv => output::csv(report.cells.iter().map(Row::of))?,
            Format::Json => output::json(report)?,
        });
        let written = export::write(out, report)?;
        say!("{} files written to {}", written.len(), out.display());
        if let Err(error) = export::append_step_summary(report) {
            say!("note: {error}");
        }
        printed?;
        Ok(match report.outcome {
            Outcome::Passed => Verdict::Done,
            Outcome::Regressed => Verdict::Negative,
            Outcome::HeadUnmeasured => bail!("the head cannot be measured: {}", report.reasons[0]),
            Outcome::Inconclusive => Verdict::Inconclusive,
            Outcome::BaseUnmeasured => Verdict::Incomparable,
        })
    }
}

fn load(paths: &[PathBuf]) -> Result<Vec<Program>, Unfit> {
    // A build that is given twice, by whatever paths, is one build.
    let mut seen = HashSet::new();
    let mut is_new = |path: &PathBuf| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    paths.iter().filter(|path| is_new(path)).map(|path| Program::load(path)).collect()
}

/// Refuses to compare a file with itself. It would pass, and say nothing.
fn refuse_itself(base: &[PathBuf], head: &[PathBuf]) -> anyhow::Result<()> {
    let file = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    for path in head {
        if let Some(same) = base.iter().find(|base| file(base).is_some() && file(base) == file(path)) {
            let (base, head) = (same.display(), path.display());
            bail!("base '{base}' and head '{head}' are one file: to compare a build with itself, copy it");
        }
    }
    Ok(())
}

/// The flags in which builds differ from the first base, apart from their source. A base that is older than the record
/// of flags does not know them, and that is no difference.
fn other_flags(base: &[Program], head: &[Program]) -> Vec<String> {
    let first = &base[0];
    let others = base[1..].iter().chain(head).flat_map(|program| {
        let flags = first.identity.build.flags().into_iter().zip(program.identity.build.flags());
        flags.filter(|((_, one), (_, other))| one.is_some() && one != other).map(move |((what, one), (_, other))| {
            let [one, other] = [one, other].map(|value| match value {
                Some("") => "none",
                value => value.unwrap_or("unknown"),
            });
            format!("{what} of '{}': {one}, of '{}': {other}", first.path.display(), program.path.display())
        })
    });
    others.collect()
}
