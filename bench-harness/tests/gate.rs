//! The gate's engine against builds whose figures are known: this very test binary, called as `… sample CELL`, answers like a
//! build of the program, with the figures and the faults that the variable `STUB` asks for.

use bench_gate::{
    exact::{Evidence, ExactReading},
    reading::{Identity, Reading},
    report::{Expectation, Metric, Outcome, Report, Status},
};
use bench_harness::{STANDARD, readings};
use bench_lab::inject::Injection;
use ipc_conformance::surroundings::own;
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    time::{Duration, Instant},
};

/// What is wrong with a build.
const STUB: &str = "IPC_BENCH_TEST_STUB";
/// Rounds of the first stage in the plan `smoke`.
const SCREEN_ROUNDS: u64 = 30;
/// Where the tests' own name for a build is kept, for what is wrong with one side only: in the file, behind its end.
const MARK: &str = "\nIPC_BENCH_TEST_SIDE=head\n";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "sample") {
        return answer(&words[2..]);
    }
    let folder = own().expect("surroundings of their own");
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials());
    drop(folder);
    conclusion.exit_code()
}

/// Whether this is the head's file.
fn is_head() -> bool {
    let mut end = String::new();
    let mut file = fs::File::open("/proc/self/exe").unwrap();
    file.seek(SeekFrom::End(-(MARK.len() as i64))).unwrap();
    file.read_to_string(&mut end).is_ok_and(|_| end == MARK)
}

/// Counts what is called `what`, from 1 up since the folder of the test was made.
fn count(what: &str) -> u64 {
    let mut file = fs::File::options().create(true).append(true).open(std::env::temp_dir().join(what)).unwrap();
    file.write_all(b".").unwrap();
    file.metadata().unwrap().len()
}

/// Answers like a build.
fn answer(words: &[String]) -> ExitCode {
    let wrong = std::env::var(STUB).unwrap_or_default();
    let wrong = match wrong.strip_suffix("-both") {
        Some(of_both) => of_both,
        None if is_head() => wrong.as_str(),
        None => "",
    };
    let identity = readings::identity(&STANDARD);
    if wrong == "hangs" || (wrong == "hangs-later" && words[0] != "--identify") {
        std::thread::sleep(Duration::from_secs(300));
    }
    if words[0] == "--identify" {
        let text = match wrong {
            "crashes-at-once" => std::process::abort(),
            "old" => {
                eprintln!("error: unrecognized subcommand 'sample'");
                return ExitCode::from(2);
            }
            "schema" => serde_json::to_string(&Identity { schema: 99, ..identity }),
            "program" => serde_json::to_string(&Identity { program: "other".into(), ..identity }),
            // What a build of another profile says, and the slower one that it is.
            "opt-level" | "assertions" | "rustflags" | "settings" | "features" | "old-base" => {
                let mut identity = identity;
                let build = &mut identity.build;
                match wrong {
                    "opt-level" => build.opt_level = Some("z".into()),
                    "assertions" => build.debug_assertions = build.debug_assertions.map(|on| !on),
                    "rustflags" => build.rustflags = Some("-Ctarget-cpu=z15".into()),
                    "settings" => build.settings = Some("lto = never".into()),
                    "features" => build.target_features = Some("vector-z".into()),
                    _ => (build.settings, build.target_features) = (None, None),
                }
                serde_json::to_string(&identity)
            }
            "lacks" => {
                let mut identity = identity;
                identity.ways.retain(|way| way != "posix-mq/copy");
                serde_json::to_string(&identity)
            }
            "lacks-all" => serde_json::to_string(&Identity { ways: Vec::new(), ..identity }),
            _ => serde_json::to_string(&identity),
        };
        println!("{}", text.unwrap());
        return ExitCode::SUCCESS;
    }
    let cell = words[0].clone();
    if wrong == "crashes-always" {
        std::process::abort();
    }
    if cell.starts_with("copies/") {
        let syscalls = if wrong == "more-calls" && cell.starts_with("copies/pipe/") { 3.0 } else { 2.0 };
        let mistakes = wrong == "mistakes";
        let reading = ExactReading {
            wrong_payload: mistakes && cell == "copies/pipe/4096/copy",
            name: if mistakes && cell == "copies/pipe/64/copy" { "copies/fifo/64/copy".into() } else { cell },
            evidence: Some(Evidence::Traced),
            syscalls: Some(syscalls),
            ..ExactReading::default()
        };
        println!("{}", serde_json::to_string(&reading).unwrap());
        return ExitCode::SUCCESS;
    }
    let slow = Injection::from_environment().unwrap().and_then(|injection| injection.part(&cell)).unwrap_or(0.0);
    let slow = if wrong == "deaf" { 0.0 } else { slow };
    // A scatter of a per cent, another one in each process, and the same in each run of the test.
    let mut random = fastrand::Rng::with_seed(count("samples"));
    let noise = 1.0 + 0.01 * (random.f64() - 0.5);
    let noise = if wrong == "noisy" { noise * (4.0 * (random.f64() - 0.5)).exp() } else { noise };
    let is_slower = match wrong {
        "biased" => true,
        "slower-at-first" => cell.starts_with("latency/pipe/") && count("calls") <= SCREEN_ROUNDS,
        _ => false,
    };
    let bias = match is_slower {
        true if wrong == "biased" => 1.15,
        true => 1.3,
        false => 1.0,
    };
    let ns = 5000.0 * (1.0 + slow) * noise * bias;
    let mut reading = Reading { cell: cell.clone(), ..Reading::default() };
    if cell.starts_with("throughput/") {
        reading.msgs_per_s = Some(1e9 / ns);
    } else {
        reading.p50_ns = Some(ns);
        reading.p99_ns = Some(2.0 * ns);
    }
    let struck = cell.starts_with("latency/posix-shm/");
    match wrong {
        "fails" if struck => reading = Reading { cell, error: Some("no room".into()), ..Reading::default() },
        "payload" if struck => {
            let error = Some("wrong payload: byte 3".into());
            reading = Reading { cell, error, wrong_payload: true, ..Reading::default() };
        }
        "flaky" if struck && count("calls").is_multiple_of(4) => {
            reading = Reading { cell, error: Some("no answer".into()), ..Reading::default() };
        }
        "mistakes" if struck => reading.wrong_payload = true,
        "mistakes" if cell.starts_with("latency/posix-mq/") => {
            reading.cell = "latency/pipe/64/same-core/block/copy".into()
        }
        "mistakes" if cell.starts_with("throughput/") => (reading.p50_ns, reading.msgs_per_s) = (Some(ns), None),
        "timeless" if struck => reading.p50_ns = Some(0.0),
        "crashes" if struck => std::process::abort(),
        "garbage" if struck => {
            println!("hello");
            return ExitCode::SUCCESS;
        }
        "disturbed" => reading.disturbed = true,
        _ => {}
    }
    println!("{}", serde_json::to_string(&reading).unwrap());
    ExitCode::SUCCESS
}

/// A folder with a build of each side: copies of this program, of which the head's is marked.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        fs::copy(&own, dir.path().join("base")).unwrap();
        let mut head = fs::read(&own).unwrap();
        head.extend_from_slice(MARK.as_bytes());
        fs::write(dir.path().join("head"), head).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The gate's call, comparing `base` with `head`.
    fn command(&self, base: &str, head: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-bench"));
        command.args(["gate", "--base"]).arg(self.path(base)).arg("--head").arg(self.path(head));
        command.args(["--seed", "7"]).args(more);
        for (option, value) in [("--plan", PathBuf::from("smoke")), ("--out", self.path("out"))] {
            if !more.contains(&option) {
                command.arg(option).arg(value);
            }
        }
        command.env_remove("IPC_INJECT").env_remove("GITHUB_STEP_SUMMARY").env("TMPDIR", self.dir.path());
        command
    }

    /// Compares, the marked build as the head, or as the base where what is wrong starts with `base:`.
    fn run(&self, wrong: &str, more: &[&str]) -> (Output, Option<Report>) {
        let (base, head, wrong) = match wrong.strip_prefix("base:") {
            Some(wrong) => ("head", "base", wrong),
            None => ("base", "head", wrong),
        };
        let output = self.command(base, head, more).env(STUB, wrong).output().unwrap();
        (output, self.report())
    }

    fn report(&self) -> Option<Report> {
        let text = fs::read(self.path("out/gate.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn status(report: &Report, cell: &str) -> Status {
    report.cells.iter().find(|report| report.cell.starts_with(cell)).expect("the cell").status
}

/// Expects exit code `code`, and each of `words` in what is said; returns the report.
fn expect(stage: &Stage, wrong: &str, code: i32, words: &[&str]) -> Result<Option<Report>, Failed> {
    expect_with(stage, wrong, &[], code, words)
}

/// Likewise, with options.
fn expect_with(stage: &Stage, wrong: &str, more: &[&str], code: i32, words: &[&str]) -> Result<Option<Report>, Failed> {
    let (output, report) = stage.run(wrong, more);
    let text = said(&output);
    if output.status.code() != Some(code) {
        return Err(format!("{wrong}: {:?} instead of {code}: {text}", output.status).into());
    }
    match words.iter().find(|word| !text.contains(*word)) {
        Some(word) => Err(format!("{wrong}: no '{word}' in: {text}").into()),
        None => Ok(report),
    }
}

fn unchanged_code_passes() -> Result<(), Failed> {
    let report = expect(&Stage::new(), "", 0, &["passed"])?.expect("a report");
    assert_eq!((report.outcome, report.cells.len()), (Outcome::Passed, 4));
    assert!(report.cells.iter().all(|cell| cell.status == Status::Unchanged && cell.detectable.is_some()));
    assert_eq!(report.controls.iter().filter(|control| control.expectation == Expectation::Found).count(), 2);
    assert!(report.controls.iter().all(|control| control.held));
    assert!(!report.exact.is_empty());
    Ok(())
}

fn a_head_that_is_slowed_down_is_found_and_the_base_is_not_slowed_down() -> Result<(), Failed> {
    let stage = Stage::new();
    let output = stage.command("base", "head", &[]).env("IPC_INJECT", "latency/pipe/64:15").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = stage.report().expect("a report");
    assert_eq!(status(&report, "latency/pipe/64"), Status::Regressed);
    assert_eq!(report.cells.iter().filter(|cell| cell.status == Status::Regressed).count(), 1);
    let change = report.cells[0].change.unwrap();
    assert!((0.13..0.17).contains(&change.by) && change.lo < change.by && change.by < change.hi, "{change:?}");
    assert!(said(&output).contains("REGRESSED latency/pipe/64/same-core/block/copy"), "{}", said(&output));
    Ok(())
}

/// What all cells have in common is not taken for the machine's, however many builds there are.
fn a_slower_head_is_found_everywhere() -> Result<(), Failed> {
    let stage = Stage::new();
    let [base, head] = ["base", "head"].map(|side| {
        let other = stage.path(&format!("{side}-2"));
        fs::copy(stage.path(side), &other).unwrap();
        other.into_os_string().into_string().unwrap()
    });
    let more = ["--base", &base, "--head", &head];
    let report = expect_with(&stage, "biased", &more, 1, &["REGRESSED"])?.expect("a report");
    let mut typical = report.cells.iter().filter(|cell| cell.metric != Metric::P99);
    assert!(typical.all(|cell| cell.status == Status::Regressed), "{:?}", report.cells);
    assert!(report.controls.iter().all(|control| control.held), "controls say nothing about the head");
    Ok(())
}

/// What the screen found is judged by what was measured afterwards.
fn rounds_of_the_screen_confirm_nothing() -> Result<(), Failed> {
    let stage = Stage::new();
    let report = expect(&stage, "slower-at-first", 0, &["passed"])?.expect("a report");
    let pipe = report.cells.iter().find(|cell| cell.cell.starts_with("latency/pipe/64/")).expect("the cell");
    assert!(pipe.candidate && pipe.status == Status::Unchanged && pipe.rounds >= 30, "{pipe:?}");
    assert!(fs::metadata(stage.path("calls")).unwrap().len() > SCREEN_ROUNDS);
    Ok(())
}

fn controls_that_do_not_fire_leave_the_run_open() -> Result<(), Failed> {
    expect(&Stage::new(), "deaf-both", 3, &["inconclusive", "slowed down by 10 %"]).map(drop)
}

fn too_much_noise_leaves_the_run_open() -> Result<(), Failed> {
    expect(&Stage::new(), "noisy", 3, &["inconclusive", "could not be excluded"]).map(drop)
}

fn pairs_that_are_always_disturbed_leave_the_run_open() -> Result<(), Failed> {
    let report = expect(&Stage::new(), "disturbed-both", 3, &["inconclusive"])?.expect("a report");
    assert!(report.cells.iter().all(|cell| cell.status == Status::Unresolved && cell.error.is_some()));
    Ok(())
}

fn a_head_that_cannot_what_the_base_can_is_a_regression() -> Result<(), Failed> {
    for (wrong, word) in [("fails", "no room"), ("payload", "byte 3"), ("crashes", "SIGABRT"), ("garbage", "hello")] {
        let report = expect(&Stage::new(), wrong, 1, &["posix-shm", word])?.expect("a report");
        assert_eq!(status(&report, "latency/posix-shm"), Status::Failed, "{wrong}");
    }
    Ok(())
}

fn a_reading_of_something_else_is_none() -> Result<(), Failed> {
    let stage = Stage::new();
    let (output, report) = stage.run("mistakes", &[]);
    let report = report.expect("a report");
    assert_eq!((output.status.code(), report.outcome), (Some(1), Outcome::Regressed), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for (cell, word) in [
        ("latency/posix-mq/64/same-core/block/copy", "it answers for"),
        ("latency/posix-shm/64/same-core/block/in-place", "wrong payload"),
        ("throughput/pipe/65536/same-core/block/copy", "no figure"),
    ] {
        assert_eq!(status(&report, cell), Status::Failed);
        let line = text.lines().position(|line| line.starts_with(&format!("FAILED {cell}"))).expect("a line");
        assert!(text.lines().skip(line).take(3).any(|line| line.contains(word)), "{word}: {text}");
        // Once with its reason, and once in the table.
        assert_eq!(text.matches(cell).count(), 2, "{cell}: {text}");
    }
    for (name, word) in [("copies/pipe/64/copy", "it answers for"), ("copies/pipe/4096/copy", "wrong payload")] {
        let exact = report.exact.iter().find(|exact| exact.name == name).expect("its counts");
        let mut worse = exact.counts.iter().filter(|count| count.worse);
        assert!(worse.any(|count| count.note.as_ref().is_some_and(|note| note.contains(word))), "{exact:?}");
    }
    Ok(())
}

/// Wrong payloads are a finding, even if they are all that there is; a head without any figure is none.
fn a_head_that_cannot_be_measured_is_no_head() -> Result<(), Failed> {
    for (wrong, only, code, word) in [
        ("crashes-always", "", 2, "no pair of the head yielded a figure: killed by SIGABRT"),
        ("base:crashes-always", "", 4, "no pair of the base yielded a figure: killed by SIGABRT"),
        ("hangs-later", "posix-shm", 2, "no pair of the head yielded a figure: no answer within 5s"),
        ("garbage", "posix-shm", 2, "no pair of the head yielded a figure: it prints what is no line"),
        ("payload", "posix-shm", 1, "the head fails in 1 of 1 cells"),
        ("mistakes", "posix-shm", 1, "the head fails in 1 of 1 cells"),
    ] {
        let report = expect_with(&Stage::new(), wrong, &[only], code, &[word])?.expect("a report");
        let expected = match code {
            1 => Outcome::Regressed,
            2 => Outcome::HeadUnmeasured,
            _ => Outcome::BaseUnmeasured,
        };
        assert_eq!(report.outcome, expected, "{wrong}");
        assert_eq!(report.head.pairs == 0, code != 4, "{wrong}");
        assert!(report.controls.is_empty() && report.exact.is_empty(), "{wrong}");
    }
    Ok(())
}

fn what_both_cannot_is_no_regression() -> Result<(), Failed> {
    for (wrong, word) in [("fails-both", "no room"), ("payload-both", "byte 3"), ("timeless-both", "no figure")] {
        let report = expect(&Stage::new(), wrong, 0, &[word])?.expect("a report");
        assert_eq!(status(&report, "latency/posix-shm"), Status::Failed);
    }
    let output = Stage::new().command("base", "head", &["posix-shm"]).env(STUB, "fails-both").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "nothing was measured: {}", said(&output));
    Ok(())
}

/// A pair that fails now and then is measured again; but a head that does and a base that does not is a finding.
fn a_head_that_fails_at_times_is_a_regression_unless_the_base_does_too() -> Result<(), Failed> {
    let words = ["posix-shm", "pairs of the head failed: no answer"];
    let report = expect(&Stage::new(), "flaky", 1, &words)?.expect("a report");
    assert_eq!(status(&report, "latency/posix-shm"), Status::Failed);
    let report = expect(&Stage::new(), "flaky-both", 0, &["pairs of the base failed: no answer"])?.expect("a report");
    assert_eq!(status(&report, "latency/posix-shm"), Status::Unchanged);
    Ok(())
}

fn a_count_that_grew_is_found_whatever_the_timing() -> Result<(), Failed> {
    let report = expect(&Stage::new(), "more-calls", 1, &["copies/pipe/64/copy", "2.00 → 3.00"])?.expect("a report");
    assert!(report.cells.iter().all(|cell| cell.status == Status::Unchanged));
    Ok(())
}

fn a_cell_that_one_side_lacks_is_named_and_the_others_compared() -> Result<(), Failed> {
    let report = expect(&Stage::new(), "lacks", 0, &["posix-mq", "the head has no"])?.expect("a report");
    assert_eq!(status(&report, "latency/posix-mq"), Status::Lacking);
    assert_eq!(report.cells.iter().filter(|cell| cell.status == Status::Unchanged).count(), 3);
    expect(&Stage::new(), "lacks-all", 2, &["no cell of the plan"])?;
    expect(&Stage::new(), "base:lacks-all", 4, &["no cell of the plan in common"]).map(drop)
}

/// 2 where it is the head, 4 where it is the base.
fn what_cannot_be_measured_is_refused_and_nothing_is_written() -> Result<(), Failed> {
    let wrongs = [
        ("old", "before"),
        ("schema", "version 99"),
        ("program", "'other'"),
        ("crashes-at-once", "SIGABRT"),
        ("hangs", "5s"),
    ];
    for (wrong, word) in wrongs {
        let stage = Stage::new();
        assert!(expect(&stage, wrong, 2, &["error: head: ", word])?.is_none());
        if wrong != "hangs" {
            assert!(expect(&stage, &format!("base:{wrong}"), 4, &["base: ", word])?.is_none());
        }
        assert!(!stage.path("out/gate.json").exists());
    }
    Ok(())
}

fn other_flags_are_named_and_refused_unless_allowed() -> Result<(), Failed> {
    let stage = Stage::new();
    for (wrong, what, value) in [
        ("opt-level", "opt-level of", ": z"),
        ("assertions", "debug assertions of", ": off"),
        ("rustflags", "RUSTFLAGS of", ": -Ctarget-cpu=z15"),
        ("settings", "profile settings of", ": lto = never"),
        ("features", "target features of", ": vector-z"),
    ] {
        let words = [what, value, "/base'", "/head'", "--allow-other-flags"];
        assert!(expect(&stage, wrong, 2, &words)?.is_none(), "{wrong}");
        assert!(!stage.path("out/gate.json").exists());
    }
    expect_with(&stage, "settings", &["--allow-other-flags", "posix-shm"], 0, &["profile settings of", "passed"])?;
    // A base of before programs said it.
    let output =
        stage.command("head", "base", &[]).env(STUB, "old-base").env("IPC_INJECT", "nothing:1").output().unwrap();
    assert!(said(&output).contains("slows down no cell"), "refused by what comes after the flags: {}", said(&output));
    Ok(())
}

/// The start of an executable for another architecture: 64-bit little-endian ELF for s390 (elf(5)).
const FOREIGN: [u8; 64] = {
    let mut header = [0; 64];
    let start = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 22, 0, 1];
    let mut at = 0;
    while at < start.len() {
        header[at] = start[at];
        at += 1;
    }
    header
};

fn files_that_are_no_build_are_refused() -> Result<(), Failed> {
    let stage = Stage::new();
    fs::write(stage.path("text"), "hello\n").unwrap();
    fs::write(stage.path("empty"), "").unwrap();
    fs::write(stage.path("foreign"), FOREIGN).unwrap();
    fs::copy("/bin/true", stage.path("true")).unwrap();
    fs::copy("/bin/false", stage.path("false")).unwrap();
    fs::write(stage.path("script"), "#!/bin/sh\necho nonsense\n").unwrap();
    fs::set_permissions(stage.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    // As long as none can be, and a program as far as its start goes.
    fs::write(stage.path("long"), FOREIGN).unwrap();
    fs::File::options().write(true).open(stage.path("long")).unwrap().set_len(1 << 40).unwrap();
    nix::unistd::mkfifo(&stage.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(stage.path("socket")).unwrap();
    let files = [
        ("nowhere", "nowhere"),
        ("text", "ELF header"),
        ("empty", "is empty"),
        ("script", "a script"),
        ("long", "bytes"),
        ("foreign", "architecture"),
        ("true", "no ipc-bench"),
        ("false", "no ipc-bench"),
        (".", "a folder"),
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
        ("/dev/zero", "a device"),
    ];
    let sides = files.into_iter().flat_map(|(file, word)| [(file, "head", 4, word), ("base", file, 2, word)]);
    for (base, head, code, word) in sides.chain([("base", "base", 2, "one file")]) {
        let output = stage.command(base, head, &[]).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{base} {head}: {text}");
        assert!(text.contains(word) && text.lines().count() == 1, "{base} {head}: {text}");
        assert!(!stage.path("out/gate.json").exists());
    }
    std::os::unix::fs::symlink(stage.path("base"), stage.path("link")).unwrap();
    assert_eq!(stage.command("base", "link", &[]).output().unwrap().status.code(), Some(2), "a link is the same file");
    Ok(())
}

/// Runs `words` where the kernel runs nothing from memory: in a PID namespace of its own, whose `vm.memfd_noexec` is 2.
fn without_programs_in_memory(words: &[&str], dir: &Path) -> Output {
    let set = "echo 2 >/proc/sys/vm/memfd_noexec && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "sh", "-c", set, "sh"]).args(words);
    command.env("TMPDIR", dir).env(STUB, "lacks-all").output().unwrap_or_else(|error| panic!("unshare: {error}"))
}

/// Why that cannot be done here.
fn no_namespace() -> Option<String> {
    if !Path::new("/proc/sys/vm/memfd_noexec").exists() {
        return Some("this kernel has no vm.memfd_noexec (Linux 6.3)".into());
    }
    let tried = without_programs_in_memory(&["true"], &std::env::temp_dir());
    (!tried.status.success()).then(|| said(&tried).trim().to_owned())
}

/// The builds then run from files in TMPDIR, of which nothing is left; memory for messages needs no such permission.
fn where_nothing_runs_from_memory_it_runs_from_a_file() -> Result<(), Failed> {
    let stage = Stage::new();
    let [base, head, out] =
        ["base", "head", "out"].map(|name| stage.path(name).into_os_string().into_string().unwrap());
    let program = env!("CARGO_BIN_EXE_ipc-bench");
    let words = [program, "gate", "--base", &base, "--head", &head, "--plan", "smoke", "--out", &out];
    let output = without_programs_in_memory(&words, stage.dir.path());
    // The stub says so, asked what it is.
    assert!(said(&output).contains("it has no cell of the plan"), "{}", said(&output));
    let left: BTreeSet<_> = stage.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["base", "head", "out"].map(Into::into).into());

    let output = without_programs_in_memory(&words, Path::new("/proc/nowhere"));
    assert_eq!(output.status.code(), Some(2));
    for word in ["head: '", "/proc/nowhere", "memfd_create: EACCES", "set TMPDIR", "vm.memfd_noexec to 0 or 1"] {
        assert!(said(&output).contains(word), "no '{word}' in: {}", said(&output));
    }
    for cell in ["latency/memfd/64/same-core/block/copy", "latency/splice/64/same-core/block/in-place"] {
        let output = without_programs_in_memory(&[program, "sample", cell], stage.dir.path());
        let reading: Reading =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said(&output)))?;
        assert_eq!(reading.error, None, "{cell}");
    }
    Ok(())
}

fn options_that_make_no_sense_are_refused() -> Result<(), Failed> {
    let stage = Stage::new();
    for (more, word) in [
        (&["latency/tube"][..], "latency/tube"),
        (&["--plan", "huge"], "huge"),
        (&["--out", "/proc/nowhere"], "/proc/nowhere"),
    ] {
        let output = stage.command("base", "head", more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    for (injection, word) in [("latency", "CELL:PERCENT"), ("latency/pipes:15", "no cell of the plan 'smoke'")] {
        let output = stage.command("base", "head", &[]).env("IPC_INJECT", injection).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    Ok(())
}

fn ctrl_c_prints_what_is_known() -> Result<(), Failed> {
    let stage = Stage::new();
    let mut gate = stage.command("base", "head", &["--plan", "twelve", "--format", "json"]);
    gate.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = gate.spawn().unwrap();
    // Enough for a figure of each of the twelve cells and four controls, and by far not all.
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::metadata(stage.path("samples")).map_or(0, |file| file.len()) < 2 * 10 * 16 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "still too few samples");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(3));
    let printed: Report = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(printed.outcome, Outcome::Inconclusive);
    assert!(printed.reasons.iter().any(|reason| reason.contains("interrupted")), "{:?}", printed.reasons);
    assert!(printed.cells.iter().all(|cell| cell.change.is_some() && cell.rounds < 80), "{:?}", printed.cells);
    Ok(())
}

/// The real program against itself, on few cells: whatever this machine lets it find, code and report agree.
fn the_program_itself_is_measured() -> Result<(), Failed> {
    let stage = Stage::new();
    for side in ["base", "head"] {
        fs::remove_file(stage.path(side)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_ipc-bench"), stage.path(side)).unwrap();
    }
    let output = stage.command("base", "head", &["latency/p"]).output().unwrap();
    let report = stage.report().ok_or_else(|| said(&output))?;
    let code = match report.outcome {
        Outcome::Passed => 0,
        Outcome::Regressed => 1,
        Outcome::Inconclusive => 3,
        other => return Err(format!("{other}: {}", said(&output)).into()),
    };
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    // A tail that looked worse has a line of its own.
    let medians = report.cells.iter().filter(|cell| cell.metric == Metric::P50);
    let mechanisms: Vec<_> = medians.map(|cell| cell.cell.split('/').nth(1).unwrap_or_default()).collect();
    assert_eq!(mechanisms, ["pipe", "posix-mq", "posix-shm"]);
    for cell in &report.cells {
        assert!(cell.error.is_none() && cell.base.p50_ns.is_some() && cell.head.histogram.is_some(), "{cell:?}");
    }
    let left: Vec<_> =
        Path::new(stage.dir.path()).read_dir().unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "base, head, out: {left:?}");
    Ok(())
}

fn trials() -> Vec<Trial> {
    macro_rules! all {
        ($($test:ident),+ $(,)?) => { vec![$(Trial::test(stringify!($test), $test)),+] };
    }
    let mut trials = all![
        unchanged_code_passes,
        a_head_that_is_slowed_down_is_found_and_the_base_is_not_slowed_down,
        a_slower_head_is_found_everywhere,
        rounds_of_the_screen_confirm_nothing,
        controls_that_do_not_fire_leave_the_run_open,
        too_much_noise_leaves_the_run_open,
        pairs_that_are_always_disturbed_leave_the_run_open,
        a_head_that_cannot_what_the_base_can_is_a_regression,
        what_both_cannot_is_no_regression,
        a_head_that_fails_at_times_is_a_regression_unless_the_base_does_too,
        a_count_that_grew_is_found_whatever_the_timing,
        a_cell_that_one_side_lacks_is_named_and_the_others_compared,
        a_head_that_cannot_be_measured_is_no_head,
        a_reading_of_something_else_is_none,
        what_cannot_be_measured_is_refused_and_nothing_is_written,
        other_flags_are_named_and_refused_unless_allowed,
        files_that_are_no_build_are_refused,
        options_that_make_no_sense_are_refused,
        ctrl_c_prints_what_is_known,
        the_program_itself_is_measured,
    ];
    let why_not = no_namespace();
    if let Some(why) = &why_not {
        eprintln!("where_nothing_runs_from_memory_it_runs_from_a_file is ignored: {why}");
    }
    let test = Trial::test(
        "where_nothing_runs_from_memory_it_runs_from_a_file",
        where_nothing_runs_from_memory_it_runs_from_a_file,
    );
    trials.push(test.with_ignored_flag(why_not.is_some()));
    trials
}
