//! The command line of `ipc-bench`: one file per verb.
//!
//! Exit codes: 0 done; 1 a measured verdict is negative; 2 usage or environment; 3 the gate cannot tell; 4 the gate has
//! nothing to compare with; 130 stopped by a signal.

mod ci;
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

use crate::registry::Registry;
use anyhow::Context;
use bench_lab::{interrupt, say, streams};
use clap::{Command, CommandFactory, Parser, Subcommand, builder::PossibleValuesParser};
use std::{ffi::OsString, process::ExitCode};

/// The text at the end of `--help`.
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
    /// Compare a change with what it came from: build both, and let the gate measure them in turns
    #[command(after_help = ci::AFTER_HELP)]
    Ci(ci::CiArgs),
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

/// The outcome of a verb. Errors end with code 2.
pub enum Verdict {
    /// Exit code 0.
    Done,
    /// Exit code 1.
    Negative,
    /// Exit code 3.
    Inconclusive,
    /// Exit code 4. The verb has said what is not comparable.
    Incomparable,
    /// Exit code 130: a signal asked to stop.
    Interrupted,
}

impl Verdict {
    /// The verdict of a measurement that found something wrong, or that the user stopped.
    fn of(negative: bool, interrupted: bool) -> Self {
        match (negative, interrupted) {
            (true, _) => Self::Negative,
            (_, true) => Self::Interrupted,
            _ => Self::Done,
        }
    }
}

/// Runs the program.
pub fn main(registry: &'static Registry) -> ExitCode {
    let prepared = registry.check().map_err(anyhow::Error::new);
    let prepared = prepared.and_then(|()| interrupt::prepare().context("sigaction"));
    finish(prepared.and_then(|()| run_verb(registry)))
}

fn run_verb(registry: &'static Registry) -> anyhow::Result<Verdict> {
    match &parse::<Cli>(registry, std::env::args_os()).verb {
        Verb::List(args) => list::main(args, registry),
        Verb::Run(args) => run::main(args, registry),
        Verb::Gate(args) => gate::main(args, registry),
        Verb::Ci(args) => ci::main(args),
        Verb::Sample(args) => sample::main(args, registry),
        Verb::Copies(args) => copies::main(args, registry),
        Verb::Faults(args) => faults::main(args, registry),
        Verb::Report(args) => report::main(args, registry),
        Verb::Export(args) => export::main(args),
        Verb::History(args) => history::main(args, registry),
        Verb::Sweep(args) => sweep::main(args),
        Verb::Doctor(args) => doctor::main(args, registry),
        Verb::Completions(args) => shell::completions(args, command::<Cli>(registry)),
        Verb::Man(args) => shell::manual(args, command::<Cli>(registry)),
    }
}

/// The description of the command line. `--mechanism` takes the names in `registry`.
fn command<P: CommandFactory>(registry: &Registry) -> Command {
    let names: Vec<&'static str> = registry.iter().map(|mechanism| mechanism.spec.name).collect();
    let named = |command: Command| {
        command.mut_arg("mechanism", |argument| argument.value_parser(PossibleValuesParser::new(names)))
    };
    match P::command() {
        program if program.find_subcommand("run").is_some() => program.mut_subcommand("run", named),
        program => named(program),
    }
}

/// Parses the command line. Ends the process if there is nothing to do: with 0 after help or version, with 2 after an
/// error.
fn parse<P: Parser>(registry: &Registry, words: impl IntoIterator<Item = OsString>) -> P {
    let parsed = command::<P>(registry).try_get_matches_from(words);
    parsed.and_then(|found| P::from_arg_matches(&found)).unwrap_or_else(|message| {
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

/// The elements of `list`, each once.
fn distinct<T: PartialEq + Clone>(list: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in list {
        if !kept.contains(value) {
            kept.push(value.clone());
        }
    }
    kept
}

/// Turns a verb's outcome into an exit code. An error is printed as one line on stderr.
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
