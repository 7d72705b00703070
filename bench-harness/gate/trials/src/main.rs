//! Trials of the regression gate: runs whose right answer is known, counted.
//!
//! - `trials same|shuffled|slower-5|slower-10|ring-copy|pipe-call --base BIN… --head BIN…` adds trials of one kind to
//!   `gate-trials.csv`, until there are enough; it can be interrupted and called again at any time;
//! - `trials summary` prints what they say together, with bounds, beside what a comparison with stored figures would have said.
//!
//! Call it through `scripts/gate-trials.sh`, which makes the builds.

mod file;
mod gate;
mod judge;
mod rows;
#[cfg(test)]
mod sample;
mod series;
mod stored;
mod summary;

use anyhow::Context;
use bench_lab::interrupt;
use bench_record::cell::Cell;
use clap::{Parser, Subcommand};
use rows::{CellRow, Kind, TrialRow};
use series::{End, Series};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Runs the regression gate where the right answer is known, and counts.
#[derive(Parser)]
#[command(name = "trials", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The same build twice: nothing may be found
    Same(Args),
    /// The same source twice, in three builds each with functions in another order, drawn from those given: nothing may be found
    Shuffled(Args),
    /// One cell slowed down by 5 %
    #[command(name = "slower-5")]
    Slower5(Args),
    /// One cell slowed down by 10 %
    #[command(name = "slower-10")]
    Slower10(Args),
    /// A head whose ring copies up to 64 bytes of each message once more
    RingCopy(Args),
    /// A head whose pipe makes one system call more
    PipeCall(Args),
    /// What all trials together say
    Summary(Summary),
}

#[derive(clap::Args)]
struct Args {
    /// A build of the base; several differ in the order of their sections
    #[arg(long, value_name = "BIN", required = true)]
    base: Vec<PathBuf>,
    /// A build of the head
    #[arg(long, value_name = "BIN", required = true)]
    head: Vec<PathBuf>,
    /// The program whose verb `gate` is called [default: the first base]
    #[arg(long, value_name = "BIN")]
    gate: Option<PathBuf>,
    /// Go on until so many trials of this kind are in the file [default: 100 of same, 60 of slower, 30 of shuffled, 20 of others]
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// Begin no trial that would end later than this, as far as the last one tells
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// The gate's plan
    #[arg(long, default_value = "twelve")]
    plan: String,
    /// A cell to slow down, each in turn [default: those that the trials of `same` measured]
    #[arg(long, value_name = "CELL")]
    cell: Vec<Cell>,
    /// The folder of gate-trials.csv
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

#[derive(clap::Args)]
struct Summary {
    /// In Markdown
    #[arg(long)]
    markdown: bool,
    /// The folder of gate-trials.csv
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

fn main() -> ExitCode {
    let ended = match Cli::parse().verb {
        Verb::Same(args) => try_out(Kind::Same, args),
        Verb::Shuffled(args) => try_out(Kind::Shuffled, args),
        Verb::Slower5(args) => try_out(Kind::Slower5, args),
        Verb::Slower10(args) => try_out(Kind::Slower10, args),
        Verb::RingCopy(args) => try_out(Kind::RingCopy, args),
        Verb::PipeCall(args) => try_out(Kind::PipeCall, args),
        Verb::Summary(args) => summarise(&args),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {}", bench_lab::streams::told(&error));
        ExitCode::from(2)
    })
}

fn try_out(kind: Kind, args: Args) -> anyhow::Result<ExitCode> {
    interrupt::install().context("cannot handle Ctrl-C")?;
    let program = args.gate.unwrap_or_else(|| args.base[0].clone());
    let gate = gate::Gate { program, plan: args.plan, base: args.base, head: args.head };
    let count = args.count.unwrap_or(kind.wanted());
    let limit = args.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let series = Series { kind, gate, count, limit, cells: args.cell, results: args.results };
    Ok(match series.run(&interrupt::requested, &mut |line| eprintln!("{line}"))? {
        End::Complete => ExitCode::SUCCESS,
        End::OutOfTime => {
            eprintln!("the time is over; the same command goes on from here");
            ExitCode::SUCCESS
        }
        End::Interrupted => {
            eprintln!("interrupted; the same command goes on from here");
            ExitCode::from(130)
        }
    })
}

fn summarise(args: &Summary) -> anyhow::Result<ExitCode> {
    let (trials, cells) = (
        bench_record::rows::read_any::<TrialRow>(&args.results)?,
        bench_record::rows::read_any::<CellRow>(&args.results)?,
    );
    for (i, table) in summary::tables(&trials, &cells).iter().enumerate() {
        if i > 0 {
            println!();
        }
        if args.markdown {
            print!("**{}.** {}", table.title, table.markdown_body());
        } else {
            print!("{}", table.unbroken(120));
        }
    }
    Ok(ExitCode::SUCCESS)
}
