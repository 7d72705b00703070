//! `ipc-bench run` and the bench target `compare`: one engine with the same options.

use super::{Format, Verdict, distinct, folders, output, printing::Printing};
use crate::{
    experiments::Found,
    plan::Plan,
    registry::Registry,
    run,
    selection::{Depth, Selection},
};
use anyhow::{Context, bail};
use bench_lab::{interrupt, say, topology::Topology};
use bench_record::cell::{Access, Placement, Workload};
use bench_report::reference;
use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ipc_core::Wait;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

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
    #[arg(long, value_delimiter = ',')]
    mechanism: Vec<String>,
    /// What to measure
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Message lengths in bytes; K and M stand for 1024 and 1024²
    #[arg(long, value_delimiter = ',', value_parser = size)]
    size: Vec<usize>,
    /// On which hardware threads the two processes run
    #[arg(long, value_delimiter = ',')]
    placement: Vec<Placement>,
    /// How a process waits
    #[arg(long, value_delimiter = ',', value_parser = wait())]
    wait: Vec<Wait>,
    /// How the payload gets into and out of the channel
    #[arg(long, value_delimiter = ',')]
    access: Vec<Access>,
    /// Forked pairs a cell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    forks: Option<u32>,
    /// The two hardware threads to use, such as 0,1
    #[arg(long, value_name = "A,B", value_parser = cpus)]
    cpus: Option<[usize; 2]>,
    /// Where to write; by default results/latest for a complete run, results/partial for any other
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    printing: Printing,
}

fn wait() -> impl TypedValueParser<Value = Wait> {
    PossibleValuesParser::new(Wait::ALL.map(Wait::name)).map(|name| name.parse().expect("one of the possible values"))
}

/// The longest message that can be asked for, in bytes. Rings have room for eight messages, in each direction (see
/// [`ipc_shm`]).
const MAX_SIZE: usize = 64 << 20;

/// Parses a message length.
///
/// # Errors
/// A text that says what is wrong, and what would be right.
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
    fn selection(&self, registry: &Registry) -> Selection {
        Selection {
            depth: match (self.quick, self.full) {
                (true, _) => Depth::Quick,
                (_, true) => Depth::Full,
                _ => Depth::Default,
            },
            filter: self.filter.clone(),
            mechanisms: distinct(&self.mechanism).iter().filter_map(|name| registry.named(name)).collect(),
            workloads: distinct(&self.workload),
            sizes: distinct(&self.size),
            placements: distinct(&self.placement),
            waits: distinct(&self.wait),
            accesses: distinct(&self.access),
            pairs: self.forks,
        }
    }

    /// Whether the run measures at least the whole default plan. Only such runs belong in `results/latest`.
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

/// The folder to write to, checked to be writable. It is the one `asked` for, or else the default for complete or
/// partial runs.
///
/// # Errors
/// The reason why it cannot be written.
pub fn folder(asked: Option<&Path>, complete: bool) -> anyhow::Result<PathBuf> {
    let default = if complete { folders::LATEST } else { folders::PARTIAL };
    let folder = asked.unwrap_or(Path::new(default)).to_owned();
    ensure_writable(&folder)?;
    Ok(folder)
}

/// The folder of a run, chosen like `folder`. It must not have a foreign file that the run would replace.
fn folder_of_run(asked: Option<&Path>, complete: bool) -> anyhow::Result<PathBuf> {
    let folder = folder(asked, complete)?;
    if let Some(foreign) = run::foreign(&folder) {
        bail!(
            "'{}' is no file of a run, and a run would replace it: choose another folder with --out",
            foreign.display()
        )
    }
    Ok(folder)
}

/// Measures, writes and prints.
///
/// # Errors
/// Options that leave nothing to measure, CPUs that do not exist, or a folder that cannot be written.
pub fn main(args: &Args, registry: &'static Registry) -> anyhow::Result<Verdict> {
    let topology = match args.cpus {
        Some(cpus) => Topology::of_two(cpus)?,
        None => Topology::here()?,
    };
    let plan = Plan::expand(registry, &args.selection(registry), &topology)?;
    let table = args.printing.choose(&plan.kinds())?;
    // The folder is checked before minutes of measurement.
    folder_of_run(args.out.as_deref(), args.is_complete())?;
    interrupt::install().context("sigaction")?;

    let results = run::measure(plan, &topology, command());
    let Found { rows, wrong_payload, verdicts, .. } = &results.found;
    if let Some(why) = rows.why_nothing().filter(|_| !wrong_payload) {
        if results.interrupted {
            say!("interrupted before anything was measured: nothing is written");
            return Ok(Verdict::Interrupted);
        }
        bail!("nothing was measured and nothing is written: {why}")
    }
    let out = folder_of_run(args.out.as_deref(), args.is_complete() && !results.interrupted)?;
    let written = results.write(&out);
    // The results are shown whatever becomes of the files. What is wrong with them is shown whatever becomes of stdout.
    let mut printed = output::tables(args.printing.format, table, Some(&results.host), rows);
    if let (Format::Table, Ok(_), Ok(written)) = (args.printing.format, &printed, &written) {
        let complete = args.is_complete() && !results.interrupted;
        let compared = if complete { compare_with_reference(&results, &out) } else { Ok(()) };
        printed = compared.and(output::paths(&out, written)).and(printed);
    }
    for note in &results.host.run.notes {
        say!("note: {note}");
    }
    for verdict in verdicts {
        say!("{verdict}");
    }
    let printed = printed.and_then(|answer| output::answer(&answer));
    written?;
    printed?;
    Ok(Verdict::of(*wrong_payload || !verdicts.is_empty(), results.interrupted))
}

/// Prints how the run compares with the nearest reference, if there is one.
fn compare_with_reference(results: &run::Results, out: &Path) -> anyhow::Result<()> {
    let Some(nearest) = reference::nearest(Path::new(folders::MACHINES), &results.host, out) else { return Ok(()) };
    let lines = nearest.compare(&results.found.rows.latency, &results.found.rows.throughput);
    output::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn ensure_writable(dir: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to '{}': choose another folder with --out", dir.display());
    std::fs::create_dir_all(dir).with_context(cannot)?;
    std::fs::write(dir.join(".probe"), b"").with_context(cannot)?;
    std::fs::remove_file(dir.join(".probe")).with_context(cannot)
}

/// The command line of this process, with the program's file name only.
fn command() -> String {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let program = quoted(Path::new(&program).file_name().unwrap_or_default());
    let rest: Vec<_> = words.filter(|word| word != "--bench").map(|word| quoted(&word)).collect();
    let (program, between) =
        if program.starts_with("compare-") { ("cargo bench", " -- ") } else { (program.as_str(), " ") };
    if rest.is_empty() { program.into() } else { format!("{program}{between}{}", rest.join(" ")) }
}

/// Quotes `word` for a shell, whatever bytes it has.
fn quoted(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_=+,./:@%".contains(byte);
    match word.to_str() {
        Some(text) if !bytes.is_empty() && bytes.iter().all(plain) => text.into(),
        Some(text) if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        // Bash and others read this form: every byte that is not plain is written as its number.
        _ => {
            let escaped = |byte: &u8| if plain(byte) { char::from(*byte).into() } else { format!("\\x{byte:02x}") };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}

/// Criterion's options that users give to `cargo bench`; `compare` skips them. These have a value, `CRITERION_SWITCHES`
/// have none.
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

/// `words` without criterion's options.
pub fn without_criterion<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Vec<W> {
    without(words, &CRITERION_VALUES, &CRITERION_SWITCHES)
}

/// `words` without the options in `values` and `switches`. An option in `values` also takes the next word, unless it is
/// `--name=value`.
fn without<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>, values: &[&str], switches: &[&str]) -> Vec<W> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let bytes = word.as_ref().as_bytes();
        let name = bytes.split(|byte| *byte == b'=').next().unwrap_or_default();
        let is_of = |options: &[&str]| options.iter().any(|option| option.as_bytes() == name);
        if is_of(values) {
            if name.len() == bytes.len() {
                words.next();
            }
        } else if !is_of(switches) {
            kept.push(word);
        }
    }
    kept
}

/// Our options that criterion does not know. These have a value, `OUR_SWITCHES` have none.
const OUR_VALUES: [&str; 11] = [
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
    "--table",
];
const OUR_SWITCHES: [&str; 1] = ["--full"];

/// `words` without our options that criterion does not know.
pub fn without_ours<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Vec<W> {
    without(words, &OUR_VALUES, &OUR_SWITCHES)
}

/// The command line of the bench target `compare`.
#[derive(Parser)]
#[command(name = "compare", about = "Measures every mechanism and writes results/latest", max_term_width = 100)]
struct Compare {
    #[command(flatten)]
    args: Args,
}

/// Runs the bench target. Under `cargo bench` it is the same as [`main`]. Elsewhere (`cargo test --benches`, nextest)
/// it measures one quick cell, to show that it works.
///
/// # Errors
/// The errors of [`main`].
pub fn compare(registry: &'static Registry) -> anyhow::Result<Verdict> {
    folders::enter_workspace()?;
    interrupt::prepare().context("sigaction")?;
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.iter().any(|word| word == "--list") {
        output::print("compare: benchmark\n")?;
        return Ok(Verdict::Done);
    }
    if !words.iter().any(|word| word == "--bench") {
        let first = registry.iter().next().map(|mechanism| format!("latency/{}/64", mechanism.spec.name));
        let smoke = Args { quick: true, forks: Some(1), filter: first, ..Args::default() };
        return main(&smoke, registry);
    }
    main(&super::parse::<Compare>(registry, without_criterion(words)).args, registry)
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
    fn a_command_is_quoted_for_a_shell() {
        for (word, shell) in [
            ("--size=64,4K", "--size=64,4K"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("größe", "'größe'"),
            ("a\nb", r"$'a\x0ab'"),
        ] {
            assert_eq!(quoted(OsStr::new(word)), shell);
        }
        assert_eq!(quoted(OsStr::from_bytes(b"/tmp/\xff")), r"$'/tmp/\xff'");
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
