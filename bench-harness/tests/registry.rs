//! A program with channels of its own: this very test binary, started with the variable [`REGISTRY`], is one.

mod common;

use bench_harness::{Mechanism, Registry, STANDARD};
use common::own_folder;
use ipc_core::{Channel, Copies, Error, Options, Result, Spec, stream::StreamEnd};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use std::{
    env, fs,
    io::pipe,
    path::Path,
    process::{Command, ExitCode, Output},
};

/// Which registry the program has.
const REGISTRY: &str = "IPC_BENCH_TEST_REGISTRY";

/// A mechanism that the workspace does not know.
struct MadeUp;

impl Channel for MadeUp {
    const SPEC: Spec = Spec { pollable: true, ..Spec::new("made-up", "two anonymous pipes") };
    type Endpoint = StreamEnd;

    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        let pipe = || pipe().map_err(|error| Error::io("pipe2", &error));
        let ((a, to_a), (b, to_b)) = (pipe()?, pipe()?);
        Ok((StreamEnd::new(a.into(), to_b.into(), options)?, StreamEnd::new(b.into(), to_a.into(), options)?))
    }
}

/// Says that it has payloads in place, and has none.
struct Boastful;

impl Channel for Boastful {
    const SPEC: Spec = Spec {
        declared_copies: Copies { copying: 2, in_place: Some(1) },
        ..Spec::new("boastful", "no channel at all")
    };
    type Endpoint = StreamEnd;

    fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
        MadeUp::pair(options)
    }
}

static BESIDE: Registry = STANDARD.with(&[Mechanism::of::<MadeUp>()]);
static ALONE: Registry = Registry::new(&[Mechanism::of::<MadeUp>()]);
static EMPTY: Registry = Registry::new(&[]);
static TWICE: Registry = BESIDE.with(&[Mechanism::of::<MadeUp>()]);
static CONTRADICTORY: Registry = STANDARD.with(&[Mechanism::of::<Boastful>()]);

fn main() -> ExitCode {
    match env::var(REGISTRY).as_deref() {
        Ok("beside") => bench_harness::main(&BESIDE),
        Ok("alone") => bench_harness::main(&ALONE),
        Ok("empty") => bench_harness::main(&EMPTY),
        Ok("twice") => bench_harness::main(&TWICE),
        Ok("contradictory") => bench_harness::main(&CONTRADICTORY),
        Ok(other) => panic!("no registry {other}"),
        Err(_) => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

/// Runs the program with `registry` in the folder `dir`.
fn called(dir: &Path, registry: &str, line: &str) -> Output {
    let mut program = Command::new("/proc/self/exe");
    program.env("TMPDIR", dir).env(REGISTRY, registry).current_dir(dir).args(line.split_whitespace());
    program.output().expect("the program starts")
}

/// What it prints. `line` must end with one of `codes`.
fn said(dir: &Path, registry: &str, line: &str, codes: &[i32]) -> String {
    let output = called(dir, registry, line);
    let code = output.status.code().unwrap_or(-1);
    assert!(codes.contains(&code), "{line}: {code}, {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The rows that `line` prints as JSON, in which `key` is `made-up`.
fn rows(dir: &Path, registry: &str, line: &str, key: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(&said(dir, registry, line, &[0, 1])).expect("a list");
    all.into_iter().filter(|row| row[key] == "made-up").collect()
}

fn it_is_in_the_list() {
    let dir = own_folder();
    let rows = rows(dir.path(), "beside", "list --format json", "name");
    assert!(rows.len() == 1 && rows[0]["pollable"] == true && rows[0]["family"] == "other", "{rows:?}");
    let names: Value = serde_json::from_str(&said(dir.path(), "alone", "list --format json", &[0])).unwrap();
    assert_eq!(names.as_array().map(Vec::len), Some(1), "{names}");
}

/// The file `path` in `dir` names it.
fn is_named(dir: &Path, path: &str) {
    let text = fs::read_to_string(dir.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.contains("made-up"), "{path}: {text}");
}

fn it_is_measured_and_drawn() {
    let dir = own_folder();
    let timed = "timed --workload latency,throughput,cost --placement same-core --wait block --forks 2";
    for (run, tables) in [
        (timed, &["latency", "throughput", "cost"][..]),
        ("counted --workload copies,lifecycle", &["copies", "lifecycle"]),
    ] {
        let said = |line: &str| said(dir.path(), "beside", line, &[0]);
        assert!(said(&format!("run --quick --mechanism made-up,pipe --out {run}")).contains("made-up"));
        let folder = run.split(' ').next().unwrap_or_default();
        for table in tables {
            is_named(dir.path(), &format!("{folder}/{table}.csv"));
            assert!(said(&format!("report {folder} --format csv --table {table}")).contains("made-up"), "{table}");
        }
        for file in ["README.md", "report.html"] {
            is_named(dir.path(), &format!("{folder}/{file}"));
        }
    }
    let charts: Vec<_> = fs::read_dir(dir.path().join("timed/charts")).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(charts.len() > 2, "{charts:?}");
    for chart in charts {
        is_named(dir.path(), &format!("timed/charts/{}", chart.file_name().display()));
    }
}

fn it_is_killed() {
    let dir = own_folder();
    let text = said(dir.path(), "beside", "faults made-up --kills 2 --format json --out faults", &[0]);
    assert!(text.contains("made-up") && !text.contains("\"pipe\""), "{text}");
}

fn the_doctor_examines_it() {
    let dir = own_folder();
    let rows = rows(dir.path(), "beside", "doctor --format json", "what");
    assert!(rows.len() == 1 && rows[0]["group"] == "mechanisms" && rows[0]["verdict"] == "ok", "{rows:?}");
}

fn it_is_gated() {
    let dir = own_folder();
    for side in ["base", "head"] {
        fs::copy("/proc/self/exe", dir.path().join(side)).expect("a copy");
    }
    let cell = "latency/made-up/64/same-core/block/copy";
    for registry in ["beside", "alone"] {
        // On a busy machine equal builds can be inconclusive, and this test judges no time.
        let gate = "gate made-up --plan smoke --base base --head head --format json --out gate";
        let report: Value = serde_json::from_str(&said(dir.path(), registry, gate, &[0, 1, 3])).expect("a report");
        let cells = report["cells"].as_array().expect("cells");
        assert!(
            cells.iter().any(|found| found["cell"] == cell && found["rounds"].as_u64() > Some(0)),
            "{registry}: {cells:?}"
        );
        let exact = report["exact"].to_string();
        assert!(exact.contains("copies/made-up/64/copy"), "{registry}: {exact}");
    }
}

fn what_does_not_fit_together_is_refused_before_anything_is_measured() {
    let dir = own_folder();
    for (registry, names) in [
        ("empty", &["no mechanism", "Mechanism::of"][..]),
        ("twice", &["two mechanisms", "'made-up'", "SPEC.name"]),
        ("contradictory", &["'boastful'", "SPEC.declared_copies.in_place", ".in_place"]),
    ] {
        for line in
            ["list", "run --quick --out run", "doctor", "sample --identify", "gate --base a --head b", "nonsense"]
        {
            let output = called(dir.path(), registry, line);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{registry}, {line}: {text}");
            assert!(output.stdout.is_empty() && text.starts_with("error: ") && text.lines().count() == 1, "{text}");
            assert!(names.iter().all(|name| text.contains(name)), "{registry}, {line}: {text}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{registry} left something");
    }
}

fn trials() -> Vec<Trial> {
    macro_rules! all {
        ($($test:ident),+ $(,)?) => {
            vec![$(Trial::test(stringify!($test), || {
                $test();
                Ok(())
            })),+]
        };
    }
    all![
        it_is_in_the_list,
        it_is_measured_and_drawn,
        it_is_killed,
        the_doctor_examines_it,
        it_is_gated,
        what_does_not_fit_together_is_refused_before_anything_is_measured,
    ]
}
