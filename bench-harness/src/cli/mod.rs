//! The command line of `ipc-bench`: one file a verb.
//!
//! Exit codes: 0 done; 1 a measured verdict is negative; 2 usage or environment; 3 the gate cannot tell; 4 the gate has nothing to
//! compare with; 130 stopped by a signal.

mod copies;
mod doctor;
mod export;
mod faults;
mod folders;
mod gate;
mod history;
mod list;
mod output;
mod printing;
mod report;
pub mod run;
mod sample;
mod shell;
mod sweep;

pub use output::Format;

use crate::{
    interrupt,
    streams::{self, say},
};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

/// What `--help` ends with.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 a measured verdict is negative, 2 usage or environment, \
                          130 stopped by a signal; for those of the gate see `ipc-bench gate --help`";

/// Compares Linux IPC mechanisms: latency, throughput, and what they cost.
#[derive(Parser)]
#[command(name = "ipc-bench", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the mechanisms and their facts
    List(list::Args),
    /// Measure
    Run(run::Args),
    /// Compare two builds of this program, or any two commands: did this commit make something slower?
    #[command(after_help = gate::AFTER_HELP)]
    Gate(gate::Args),
    /// Measure one pair of a cell, or count what a message takes, and print one line of JSON
    Sample(sample::Args),
    /// Count how often each mechanism copies a payload, and compare that with what it declares
    Copies(copies::Args),
    /// Kill, close and stop one process of running pairs, and see what becomes of the other
    Faults(faults::Args),
    /// Rebuild tables, charts and HTML from the CSV files alone
    Report(report::Args),
    /// Print a run's figures in a format that tools which keep a history of benchmarks read
    Export(export::Args),
    /// Keep the figures of run after run, show them, draw them
    History(history::Args),
    /// Remove the kernel objects that killed runs left behind
    Sweep(sweep::Args),
    /// Show what of this machine limits or bends a run, and what to do about it
    Doctor(doctor::Args),
    /// Print what makes a shell complete the words of this program
    Completions(shell::Completions),
    /// Print the manual page, or write the pages of all verbs
    Man(shell::Manual),
}

/// How a verb ended; errors end with code 2.
pub enum Verdict {
    /// 0
    Done,
    /// 1
    Negative,
    /// 3
    Inconclusive,
    /// 4; what is not comparable has been said.
    Incomparable,
    /// 130: a signal asked to stop.
    Interrupted,
}

/// Runs the program.
pub fn main() -> ExitCode {
    finish(interrupt::prepare().context("sigaction").and_then(|()| run_verb()))
}

fn run_verb() -> anyhow::Result<Verdict> {
    match &parse::<Cli>(std::env::args_os()).verb {
        Verb::List(args) => list::main(args),
        Verb::Run(args) => run::main(args),
        Verb::Gate(args) => gate::main(args),
        Verb::Sample(args) => sample::main(args),
        Verb::Copies(args) => copies::main(args),
        Verb::Faults(args) => faults::main(args),
        Verb::Report(args) => report::main(args),
        Verb::Export(args) => export::main(args),
        Verb::History(args) => history::main(args),
        Verb::Sweep(args) => sweep::main(args),
        Verb::Doctor(args) => doctor::main(args),
        Verb::Completions(args) => shell::completions(args, Cli::command()),
        Verb::Man(args) => shell::manual(args, Cli::command()),
    }
}

/// Parses the command line. Ends the process where there is nothing to do: with 0 after help or version, with 2 after an error.
fn parse<P: Parser>(words: impl IntoIterator<Item = OsString>) -> P {
    P::try_parse_from(words).unwrap_or_else(|message| {
        let attempt = message.print();
        let code = match (message.use_stderr(), streams::printed(attempt)) {
            (true, _) => 2,
            (false, Ok(())) => 0,
            (false, Err(error)) => {
                say!("error: {error}");
                2
            }
        };
        std::process::exit(code)
    })
}

/// What `list` names, each once: what is given twice is meant once.
fn distinct<T: PartialEq + Clone>(list: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in list {
        if !kept.contains(value) {
            kept.push(value.clone());
        }
    }
    kept
}

/// Turns a verb's outcome into an exit code; an error is one line on stderr.
pub fn finish(outcome: anyhow::Result<Verdict>) -> ExitCode {
    match outcome {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::Negative) => ExitCode::from(1),
        Ok(Verdict::Inconclusive) => ExitCode::from(3),
        Ok(Verdict::Incomparable) => ExitCode::from(4),
        Ok(Verdict::Interrupted) => {
            say!("stopped by {}", interrupt::cause().unwrap_or_default());
            ExitCode::from(interrupt::EXIT_CODE as u8)
        }
        Err(error) => {
            say!("error: {}", streams::told(&error));
            ExitCode::from(2)
        }
    }
}
