//! `ipc-bench run` and the bench target `compare`: one engine with the same options.

use super::{Format, Verdict, output};
use crate::{
    beside,
    cell::{Access, Placement, Workload},
    interrupt,
    plan::{Depth, Plan, Selection},
    registry::{MECHANISMS, Mechanism},
    report::Rows,
    run,
    topology::Topology,
};
use anyhow::Context;
use clap::Parser;
use ipc_core::Wait;
use std::path::{Path, PathBuf};

/// Options of `run`. Lists are separated by commas.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Measure only cells whose name, WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS, contains this
    filter: Option<String>,
    /// A look around: fewer sizes and pairs, under 30 s
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// More sizes, hybrid waiting, unpinned pairs, three times the pairs
    #[arg(long)]
    full: bool,
    /// Mechanisms, see `ipc-bench list`
    #[arg(long, value_delimiter = ',', value_parser = mechanism)]
    mechanism: Vec<&'static Mechanism>,
    /// latency, throughput, copies, cost, lifecycle, relay
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Message lengths in bytes; K and M stand for 1024 and 1024²
    #[arg(long, value_delimiter = ',', value_parser = size)]
    size: Vec<usize>,
    /// same-core, smt, cross-core, cross-socket, unpinned
    #[arg(long, value_delimiter = ',')]
    placement: Vec<Placement>,
    /// block, spin, hybrid
    #[arg(long, value_delimiter = ',')]
    wait: Vec<Wait>,
    /// copy, in-place
    #[arg(long, value_delimiter = ',')]
    access: Vec<Access>,
    /// Forked pairs a cell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    forks: Option<u32>,
    /// The two hardware threads to use, such as 0,1
    #[arg(long, value_name = "A,B", value_parser = cpus)]
    cpus: Option<[usize; 2]>,
    /// Where to write; by default results/ for a complete run and target/ipc-bench for a partial one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print the tables
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn mechanism(name: &str) -> Result<&'static Mechanism, String> {
    Mechanism::named(name).ok_or_else(|| {
        let names: Vec<_> = MECHANISMS.iter().map(|mechanism| mechanism.spec.name).collect();
        format!("unknown mechanism '{name}': use one of {}", names.join(", "))
    })
}

/// The longest message that can be asked for: rings have room for eight, twice (see [`ipc_shm`]).
const MAX_SIZE: usize = 64 << 20;

/// Reads a message length.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']).map(|d| (d, 1 << 10)) {
        Some(found) => found,
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |d| (d, 1 << 20)),
    };
    let size = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    size.filter(|size| (1..=MAX_SIZE).contains(size))
        .ok_or_else(|| format!("'{text}' is no message length: use 1 to {MAX_SIZE} bytes, such as 64, 4K or 1M"))
}

fn cpus(text: &str) -> Result<[usize; 2], String> {
    let parse = || {
        let (a, b) = text.split_once(',')?;
        Some([a.trim().parse().ok()?, b.trim().parse().ok()?])
    };
    parse()
        .filter(|[a, b]| a != b)
        .ok_or_else(|| format!("'{text}' does not name two CPUs: use two different numbers, such as 0,1"))
}

impl Args {
    fn selection(&self) -> Selection {
        Selection {
            depth: match (self.quick, self.full) {
                (true, _) => Depth::Quick,
                (_, true) => Depth::Full,
                _ => Depth::Default,
            },
            filter: self.filter.clone(),
            mechanisms: self.mechanism.clone(),
            workloads: self.workload.clone(),
            sizes: self.size.clone(),
            placements: self.placement.clone(),
            waits: self.wait.clone(),
            accesses: self.access.clone(),
            pairs: self.forks,
        }
    }

    /// Whether the run measures all of the default plan or more: only such runs belong in `results/`.
    fn is_complete(&self) -> bool {
        let Self { filter, quick, full: _, mechanism, workload, size, placement, wait, access, forks, cpus, .. } = self;
        !quick
            && cpus.is_none()
            && filter.is_none()
            && forks.is_none()
            && (mechanism.is_empty() && workload.is_empty() && size.is_empty())
            && (placement.is_empty() && wait.is_empty() && access.is_empty())
    }
}

/// Where complete runs are kept: `results/` of the workspace.
pub fn results_dir() -> PathBuf {
    workspace().join("results")
}

/// Where the gate writes.
pub fn gate_dir() -> PathBuf {
    workspace().join("target/ipc-bench/gate")
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder to write to, which can be written: the one `asked` for, else the one for complete or for partial runs.
///
/// # Errors
/// Why it cannot be written.
pub fn folder(asked: Option<&Path>, complete: bool) -> anyhow::Result<PathBuf> {
    let default = || if complete { results_dir() } else { workspace().join("target/ipc-bench") };
    let folder = asked.map_or_else(default, Path::to_owned);
    ensure_writable(&folder)?;
    Ok(folder)
}

/// Measures, writes, prints.
///
/// # Errors
/// Options that leave nothing to measure, CPUs that are not there, a folder that cannot be written.
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let topology = match args.cpus {
        Some(cpus) => Topology::of_two(cpus)?,
        None => Topology::here()?,
    };
    let plan = Plan::expand(&args.selection(), &topology)?;
    // Before measuring for minutes: can it be kept?
    folder(args.out.as_deref(), args.is_complete())?;
    interrupt::install().context("cannot handle Ctrl-C")?;

    let results = run::measure(&plan, &topology, command());
    let out = folder(args.out.as_deref(), args.is_complete() && !results.interrupted)?;
    let written = results.write(&out)?;
    let run::Results { latency, throughput, cost, beside, .. } = &results;
    let beside::Rows { copies, lifecycle, relay, .. } = beside;
    let rows = Rows { latency, throughput, cost, copies, lifecycle, relay };
    let answer = output::tables(args.format, &rows)?;
    if args.format == Format::Table {
        output::paths(&out, &written);
    }
    for note in &results.host.run.notes {
        eprintln!("note: {note}");
    }
    let verdicts = beside.verdicts();
    for verdict in &verdicts {
        eprintln!("{verdict}");
    }
    output::answer(&answer)?;
    Ok(match (results.wrong_payload || !verdicts.is_empty(), results.interrupted) {
        (true, _) => Verdict::Negative,
        (_, true) => Verdict::Interrupted,
        _ => Verdict::Done,
    })
}

fn ensure_writable(dir: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to '{}': choose another folder with --out", dir.display());
    std::fs::create_dir_all(dir).with_context(cannot)?;
    crate::record::write_atomically(&dir.join(".probe"), b"").with_context(cannot)?;
    std::fs::remove_file(dir.join(".probe")).with_context(cannot)
}

/// How this process was called, with the program's file name only.
fn command() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if program.starts_with("compare-") {
        let rest: Vec<_> = words.filter(|word| word != "--bench").collect();
        return if rest.is_empty() { "cargo bench".into() } else { format!("cargo bench -- {}", rest.join(" ")) };
    }
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

/// Options that `cargo bench` users give for criterion, with and without a value; `compare` passes over them.
const CRITERION_VALUES: [&str; 17] = [
    "--save-baseline",
    "--baseline",
    "-b",
    "--baseline-lenient",
    "--load-baseline",
    "--sample-size",
    "--warm-up-time",
    "--measurement-time",
    "--nresamples",
    "--noise-threshold",
    "--confidence-level",
    "--significance-level",
    "--profile-time",
    "--plotting-backend",
    "--output-format",
    "--color",
    "--colour",
];
const CRITERION_SWITCHES: [&str; 13] = [
    "--bench",
    "--test",
    "--noplot",
    "-n",
    "--verbose",
    "-v",
    "--quiet",
    "--discard-baseline",
    "--exact",
    "--ignored",
    "--include-ignored",
    "--nocapture",
    "--show-output",
];

/// The options among `words` that are ours, criterion's left out.
pub fn without_criterion(words: impl IntoIterator<Item = String>) -> Vec<String> {
    without(words, &CRITERION_VALUES, &CRITERION_SWITCHES)
}

/// `words` without options called as one of `values` (and the word after, unless it is `--name=value`) or `switches`.
fn without(words: impl IntoIterator<Item = String>, values: &[&str], switches: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if values.contains(&name) {
            if !word.contains('=') {
                words.next();
            }
        } else if !switches.contains(&name) {
            kept.push(word);
        }
    }
    kept
}

/// The options of ours that criterion does not know, with and without a value.
const OUR_VALUES: [&str; 10] = [
    "--mechanism",
    "--workload",
    "--size",
    "--placement",
    "--wait",
    "--access",
    "--forks",
    "--cpus",
    "--out",
    "--format",
];
const OUR_SWITCHES: [&str; 1] = ["--full"];

/// The options among `words` that criterion knows, ours left out.
pub fn without_ours(words: &[String]) -> Vec<String> {
    without(words.iter().cloned(), &OUR_VALUES, &OUR_SWITCHES)
}

/// The command line of the bench target `compare`.
#[derive(Parser)]
#[command(name = "compare", about = "Measures every mechanism and writes results/", max_term_width = 100)]
struct Compare {
    #[command(flatten)]
    args: Args,
}

/// Runs the bench target: as [`main`] under `cargo bench`; elsewhere (`cargo test --benches`, nextest) one quick cell, to
/// show that it works.
///
/// # Errors
/// As [`main`].
pub fn compare() -> anyhow::Result<Verdict> {
    let words: Vec<String> = std::env::args().collect();
    if words.iter().any(|word| word == "--list") {
        println!("compare: benchmark");
        return Ok(Verdict::Done);
    }
    if !words.iter().any(|word| word == "--bench") {
        let smoke = Args { quick: true, forks: Some(1), filter: Some("latency/pipe/64".into()), ..Args::default() };
        return main(&smoke);
    }
    main(&super::parse::<Compare>(without_criterion(words)).args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_of_criterion_are_passed_over() {
        let line = "compare --bench --save-baseline main --quick --noise-threshold=0.05 -n latency/pipe";
        assert_eq!(without_criterion(words(line)), words("compare --quick latency/pipe"));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("4K"), Ok(4096));
        assert_eq!(size("1M"), Ok(1 << 20));
        for wrong in ["", "0", "-1", "4G", "K", "99999999999999999999", "65M"] {
            assert!(size(wrong).unwrap_err().contains(&format!("'{wrong}'")), "{wrong}");
        }
    }

    #[test]
    fn only_a_whole_plan_is_complete() {
        let parse = |line| Compare::parse_from(words(line)).args;
        assert!(parse("compare").is_complete() && parse("compare --full").is_complete());
        for line in ["compare --quick", "compare pipe", "compare --forks 3", "compare --wait spin"] {
            assert!(!parse(line).is_complete(), "{line}");
        }
    }
}
