//! `ipc-bench ci`: compares a change with its base, by the gate.

use super::Verdict;
use crate::ci::{self, Request, Stop, What};
use anyhow::{Context, anyhow};
use bench_gate::plan::Plan;
use bench_lab::{interrupt, say, streams::print};
use std::{ffi::OsString, io::Write, path::PathBuf};

/// The text at the end of `ci --help`.
pub const AFTER_HELP: &str = "\
Head is HEAD_REV. Without it, it is HEAD with all uncommitted changes, new files that are not ignored included.
Base is BASE_REV. Without it, it is where head left the main branch (origin/HEAD, origin/main, main, origin/master or master,
the first that there is). On the main branch itself it is HEAD where there are uncommitted changes, else the commit before.
What a shallow clone lacks is fetched, if there is a remote. Neither the checkout nor the index is touched.

This program's own workspace is built and measured cell by cell; changes to its folder results/ alone are no change. With
--measure it is any repository:
  ipc-bench ci --build 'make' --measure './bench' -- --unit ns

Exit codes are the gate's: 0 no regression; 1 a regression; 2 usage or environment, head does not build or cannot be measured;
3 inconclusive, also Ctrl-C; 4 no base, or base does not build or cannot be measured.";

/// Options of `ci`.
#[derive(clap::Args)]
pub struct CiArgs {
    /// The revision to compare with
    #[arg(value_name = "BASE_REV")]
    base: Option<String>,
    /// The revision that is compared
    #[arg(value_name = "HEAD_REV")]
    head: Option<String>,
    /// The top folder of the repository
    #[arg(long, value_name = "DIR", default_value = ".")]
    repository: PathBuf,
    /// How much of this program is measured: smoke, twelve, full
    #[arg(long, default_value = "full", conflicts_with = "measure")]
    plan: Plan,
    /// Only cells or figures whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Builds of each side, their functions in different orders
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99),
        conflicts_with = "measure")]
    builds: u32,
    /// The command that builds a side of another repository, in the side's top folder
    #[arg(long, value_name = "CMD", requires = "measure")]
    build: Option<String>,
    /// The command that prints the figures of a side, in its top folder; `gate --help` says how
    #[arg(long, value_name = "CMD")]
    measure: Option<String>,
    /// Where the reports go; by default results/gate in the repository
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// End with 0 where it would end with 3 or 4, and warn
    #[arg(long)]
    soft: bool,
    /// What the gate is told beside that
    #[arg(last = true, value_name = "GATE_OPTIONS")]
    gate_options: Vec<OsString>,
}

/// Runs the comparison.
///
/// # Errors
/// Errors with exit code 2.
pub fn main(args: &CiArgs) -> anyhow::Result<Verdict> {
    interrupt::install().context("sigaction")?;
    let what = match &args.measure {
        Some(measure) => What::Commands { build: args.build.clone(), measure: measure.clone() },
        None => What::Workspace { plan: args.plan, builds: args.builds },
    };
    let request = Request {
        repository: args.repository.clone(),
        base: args.base.clone(),
        head: args.head.clone(),
        what,
        filter: args.filter.clone(),
        out: args.out.clone(),
        gate_options: args.gate_options.clone(),
    };
    let code = ci::compare(&request).or_else(|Stop { code, why }| {
        summarize(&why);
        if code == 2 {
            return Err(anyhow!(why));
        }
        say!("ci: {why}");
        Ok(code)
    })?;
    end(code, args.soft)
}

/// Shows in the CI's summary why there is no verdict.
fn summarize(why: &str) {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return };
    let file = std::fs::File::options().create(true).append(true).open(path);
    // The reason is printed in any case.
    let _ = file.and_then(|mut file| writeln!(file, "**Latency gate**: {why}"));
}

fn end(code: u8, soft: bool) -> anyhow::Result<Verdict> {
    let means = match code {
        0 => return Ok(Verdict::Done),
        1 => return Ok(Verdict::Negative),
        2 => return Err(anyhow!("the gate ended with 2; the reason stands above")),
        3 => "inconclusive",
        _ => "nothing to compare with",
    };
    if !soft {
        return Ok(if code == 3 { Verdict::Inconclusive } else { Verdict::Incomparable });
    }
    say!("ci: {means} (exit code {code}), which --soft lets pass");
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| !value.is_empty()) {
        print(&format!("::warning title=Latency gate::{means}: no verdict on this change (exit code {code})\n"))?;
    }
    Ok(Verdict::Done)
}
