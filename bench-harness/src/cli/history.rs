//! `ipc-bench history`: keeps the figures of run after run, shows them and draws them. It advises, and never gives a
//! verdict.

use super::{Format, Verdict, folders, output};
use crate::Registry;
use anyhow::bail;
use bench_lab::say;
use bench_record::history::{self, Added, Book};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Options of `history`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Append the run whose results are in a folder
    Add(Add),
    /// Show the last runs, and what changed and stayed so
    Show(Show),
    /// Draw a chart for every mechanism, with the runs from left to right
    Plot(Plot),
}

#[derive(clap::Args)]
struct Add {
    /// Folder with the results of a run; results/latest by default
    dir: Option<PathBuf>,
    /// The history; results/history.csv by default
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    choice: Choice,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(clap::Args)]
struct Plot {
    #[command(flatten)]
    choice: Choice,
    /// Where to write; results/history by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Which part of the history.
#[derive(clap::Args)]
struct Choice {
    /// Only cells whose name, WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS, contains this
    filter: Option<String>,
    /// Only the last runs; of a table the last five by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// The history; results/history.csv by default
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// Appends, shows or draws, as the verb says.
///
/// # Errors
/// The fault in the results or in the history, by file and line.
pub fn main(args: &Args, registry: &Registry) -> anyhow::Result<Verdict> {
    match &args.verb {
        Verb::Add(args) => add(args),
        Verb::Show(args) => show(args),
        Verb::Plot(args) => plot(args, registry),
    }
}

fn file(chosen: Option<&Path>) -> PathBuf {
    chosen.unwrap_or(Path::new(folders::HISTORY)).to_owned()
}

fn add(args: &Add) -> anyhow::Result<Verdict> {
    let dir = args.dir.clone().unwrap_or_else(|| folders::LATEST.into());
    let path = file(args.history.as_deref());
    let added = history::add(&dir, &path)?;
    let cells = if added.rows == 1 { "one cell".to_owned() } else { format!("{} cells", added.rows) };
    let Added { run_id, figures, .. } = &added;
    output::print(&format!("run {run_id}: {cells}, {figures} with a figure, added to {}\n", path.display()))?;
    for note in added.notes {
        say!("note: {note}");
    }
    Ok(Verdict::Done)
}

impl Choice {
    /// Reads the history of the chosen cells, with all runs.
    fn read(&self) -> anyhow::Result<Book> {
        let book = Book::read(&file(self.history.as_deref()))?;
        let chosen = book.narrowed(self.filter.as_deref(), None);
        if let (Some(filter), true) = (&self.filter, chosen.rows.is_empty()) {
            let example = book.cells().first().map(ToString::to_string).unwrap_or_default();
            bail!("no cell of the history contains '{filter}': names look like {example}")
        }
        Ok(chosen)
    }

    fn last(&self) -> Option<usize> {
        self.last.map(|last| last as usize)
    }
}

/// The default number of runs beside each other in a table.
const BESIDE: usize = 5;

fn show(args: &Show) -> anyhow::Result<Verdict> {
    let whole = args.choice.read()?;
    // All runs are used to judge changes, however few are shown.
    let warnings = whole.warnings();
    let last = args.choice.last();
    match args.format {
        Format::Csv => {
            output::print(&bench_record::rows::to_csv(&whole.narrowed(None, last).rows))?;
            whole.recent(&warnings).iter().for_each(|warning| say!("warning: {warning}"));
        }
        Format::Json => {
            let shown = whole.narrowed(None, last);
            let environments: BTreeMap<_, _> =
                shown.env_keys().into_iter().map(|key| (key, shown.environments.get(key))).collect();
            output::print(&output::json(&serde_json::json!({
                "schema": output::SCHEMA,
                "runs": shown.runs,
                "rows": output::records(&shown.rows)?,
                "environments": environments,
                "warnings": warnings,
            }))?)?;
        }
        Format::Table => {
            let shown = whole.narrowed(None, Some(last.unwrap_or(BESIDE)));
            let recent = whole.recent(&warnings);
            output::print(&bench_report::history::terminal(&shown, whole.runs.len(), &recent, output::width()))?;
        }
    }
    Ok(Verdict::Done)
}

fn plot(args: &Plot, registry: &Registry) -> anyhow::Result<Verdict> {
    let whole = args.choice.read()?;
    let warnings = whole.warnings();
    let shown = whole.narrowed(None, args.choice.last());
    let out = args.out.clone().unwrap_or_else(|| folders::HISTORY_CHARTS.into());
    let written = bench_report::charts::history::write(&shown, &warnings, &registry.specs(), &out)?;
    let runs = if shown.runs.len() == 1 { "one run".to_owned() } else { format!("{} runs", shown.runs.len()) };
    let mut text = format!("{} charts of {runs} written to {}\n", written.len(), out.display());
    for warning in whole.recent(&warnings) {
        text += &format!("warning: {warning}\n");
    }
    output::print(&text)?;
    Ok(Verdict::Done)
}
