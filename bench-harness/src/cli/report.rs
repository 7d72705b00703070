//! `ipc-bench report`: rebuilds everything that is made from the CSV files.

use super::{Format, Verdict, folders, output, printing::Printing};
use crate::registry::Registry;
use anyhow::{Context, bail};
use bench_record::rows::write_atomically;
use bench_report::{self, Results, blocks};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Options of `report`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with the CSV files of a run; results/latest by default
    dir: Option<PathBuf>,
    /// Rewrite the measured blocks of this Markdown page, such as README.md, from DIR, and print no tables
    #[arg(long, value_name = "PAGE")]
    blocks: Option<PathBuf>,
    #[command(flatten)]
    printing: Printing,
}

/// Rebuilds the report and prints the tables.
///
/// # Errors
/// A missing or broken file, by name and line. CSV of several tables without a choice.
pub fn main(args: &Args, registry: &Registry) -> anyhow::Result<Verdict> {
    let dir = args.dir.clone().unwrap_or_else(|| folders::LATEST.into());
    // A wrong choice of the table is reported before anything is written.
    let table = args.printing.choose(&Results::read(&dir, &registry.specs())?.rows.kinds())?;
    let (results, written) = bench_report::rebuild(&dir, &registry.specs())?;
    if let Some(why) = results.rows.why_nothing() {
        bail!("{}: {why}", dir.display())
    }
    if let Some(page) = &args.blocks {
        rewrite(page, &results, &dir)?;
        return Ok(Verdict::Done);
    }
    let answer = output::tables(args.printing.format, table, results.host.as_ref(), &results.rows)?;
    if args.printing.format == Format::Table {
        output::paths(&dir, &written)?;
    }
    output::answer(&answer)?;
    Ok(Verdict::Done)
}

/// Generates the blocks of `page` anew. Its links are relative, so the results must lie below its folder.
fn rewrite(page: &Path, results: &Results, dir: &Path) -> anyhow::Result<()> {
    let real = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
    let (whole, from) = (real(dir)?, real(page)?);
    let beside = from.parent().unwrap_or(Path::new("/"));
    let folder = whole.strip_prefix(beside).ok().and_then(Path::to_str).filter(|folder| !folder.is_empty());
    let folder = folder.with_context(|| {
        format!(
            "'{}' does not lie below the folder of '{}', to which its links would lead",
            dir.display(),
            page.display()
        )
    })?;
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let made = blocks::rewritten(&text, results, folder).with_context(|| page.display().to_string())?;
    write_atomically(&from, made.as_bytes())?;
    output::print(&format!("rewritten from {folder}: the measured blocks of {}\n", page.display()))
}
