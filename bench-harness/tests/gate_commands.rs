//! `ipc-bench gate` on two commands whose figures are known: shell scripts that scatter by 2 %, in the same way in every run of
//! the test. No time is judged.

mod common;

use bench_gate::report::{Outcome, Report, Status};
use common::{LONG, PROGRAM, within};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A folder for one test.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The beginning of a script that sets `v` to about `mean`, another value in each run.
    fn noisy(&self, side: &str, mean: u32) -> String {
        let count = self.path(side).display().to_string();
        format!("printf . >>{count}; n=$(wc -c <{count}); v=$(( {mean} * (9800 + n * 7919 % 401) / 100 ));")
    }

    fn command(&self, base: &str, head: &str, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["gate", "--base-command", base, "--head-command", head, "--seed", "7", "--out"]);
        command.arg(self.path("out")).args(more).env("TMPDIR", self.dir.path()).env_remove("GITHUB_STEP_SUMMARY");
        command
    }

    fn report(&self) -> Option<Report> {
        Some(serde_json::from_slice(&fs::read(self.path("out/gate.json")).ok()?).unwrap())
    }

    /// Compares, and expects exit code `code`; returns what was said and the report.
    fn run(&self, code: i32, base: &str, head: &str, more: &[&str]) -> (String, Option<Report>) {
        let output = self.command(base, head, more).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{head}: {text}");
        (text, self.report())
    }

    /// Two noisy commands that print a number alone.
    fn numbers(&self, code: i32, means: [u32; 2], more: &[&str]) -> (String, Report) {
        let [base, head] =
            [("base", means[0]), ("head", means[1])].map(|(side, mean)| self.noisy(side, mean) + " echo $v");
        let (text, report) = self.run(code, &base, &head, more);
        (text, report.expect("a report"))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn equal_commands_pass() {
    let stage = Stage::new();
    let (text, report) = stage.numbers(0, [1000, 1000], &["--unit", "ns"]);
    assert_eq!((report.outcome, report.cells.len()), (Outcome::Passed, 1));
    let one = &report.cells[0];
    assert_eq!((one.cell.as_str(), one.status), ("command", Status::Unchanged), "{text}");
    assert!(one.detectable.is_some_and(|share| share < 0.1), "{:?}", one.detectable);
    assert_eq!(report.controls.iter().map(|control| control.held).collect::<Vec<_>>(), [true, true]);
    for file in ["summary.md", "junit.xml", "bencher.json", "benchmark-latency.json"] {
        assert!(stage.path("out").join(file).exists(), "{file}");
    }
}

#[test]
fn fifteen_percent_more_is_found() {
    let (text, report) = Stage::new().numbers(1, [1000, 1150], &["--unit", "ns", "--name", "parse"]);
    let one = &report.cells[0];
    assert_eq!((one.cell.as_str(), one.status), ("parse", Status::Regressed));
    let change = one.change.unwrap();
    assert!((0.13..0.17).contains(&change.by) && change.lo < change.by && change.by < change.hi, "{change:?}");
    assert!(text.contains("REGRESSED parse  ") && text.contains("1 of 1 figures are worse"), "{text}");
}

#[test]
fn of_a_rate_less_is_worse() {
    let stage = Stage::new();
    let (_, report) = stage.numbers(1, [1000, 850], &["--unit", "MB/s"]);
    let one = &report.cells[0];
    assert!(one.base.value > one.head.value && one.change.unwrap().by > 0.1, "{one:?}");
    assert!(stage.path("out/benchmark-throughput.json").exists());
    Stage::new().numbers(1, [1000, 850], &["--unit", "points", "--higher-is-better"]);
    Stage::new().numbers(0, [1000, 850], &["--unit", "ns"]);
}

#[test]
fn a_threshold_and_rounds_are_kept() {
    let (_, report) = Stage::new().numbers(0, [1000, 1150], &["--unit", "ns", "--threshold", "20", "--rounds", "12"]);
    let one = &report.cells[0];
    assert_eq!((one.status, one.margin), (Status::Unchanged, 0.2));
    assert!((12..=48).contains(&one.rounds), "{}", one.rounds);
}

#[test]
fn named_figures_are_judged_one_by_one() {
    let stage = Stage::new();
    let line =
        |name: &str, value: &str| format!(r#"echo "{{\"name\":\"{name}\",\"value\":{value},\"unit\":\"ms\"}}";"#);
    let [base, head] = ["base", "head"].map(|side| stage.noisy(side, 1000) + &line("quick", "$v"));
    let base = base + &line("slow", "$((v * 2))") + &line("old", "3");
    let head = head + &line("slow", "$((v * 23 / 10))") + &line("new", "3");
    let (text, report) = stage.run(1, &base, &head, &["--unit", "ms"]);
    let found: Vec<_> = report.unwrap().cells.iter().map(|one| (one.cell.clone(), one.status)).collect();
    let expected =
        [("quick", Status::Unchanged), ("slow", Status::Regressed), ("old", Status::Lacking), ("new", Status::Lacking)];
    assert_eq!(found, expected.map(|(name, status)| (name.to_owned(), status)));
    assert!(text.contains("LACKING old  the head command prints no such figure"), "{text}");
    let (_, report) = stage.run(0, &base, &head, &["quick", "--unit", "ms"]);
    assert_eq!(report.unwrap().cells.len(), 1);
}

#[test]
fn what_scatters_too_much_is_inconclusive() {
    let stage = Stage::new();
    let [base, head] = ["base", "head"].map(|side| {
        let count = stage.path(side).display().to_string();
        format!("printf . >>{count}; n=$(wc -c <{count}); echo $(( 100 + n * 7919 % 401 ))")
    });
    let (text, _) = stage.run(3, &base, &head, &["--unit", "ns"]);
    assert!(text.contains("verdict: inconclusive"), "{text}");
}

/// Each has its reason and its last line, and no verdict.
#[test]
fn bad_commands_are_named_with_their_last_line() {
    let more: &[&str] = &["--unit", "ns"];
    for (command, more, words) in [
        ("echo building; echo hello", more, &["prints no number", "\"hello\""][..]),
        ("true", more, &["prints no number", "printed nothing"]),
        ("echo 1 2", more, &["prints two numbers", "\"1 2\""]),
        ("echo 1; echo 2", more, &["prints two numbers", "\"2\""]),
        ("echo 100 ms", more, &["unit 'ms'", "'ns'", "\"100 ms\""]),
        (r#"echo '{"name":"a","value":1,"unit":"ms"}'"#, more, &["unit 'ms'", "'ns'"]),
        (r#"echo '{"name":"a","value":1}'; echo '{"name":"a","value":2}'"#, more, &["two numbers for 'a'"]),
        (r#"echo '{"name":"a"}'"#, more, &["no figure", "use {\"name\""]),
        ("echo 0", more, &["prints 0", "above zero"]),
        ("echo -4", more, &["prints -4", "above zero"]),
        ("echo 100", &[], &["no unit", "--unit ns"]),
        ("echo gone >&2; exit 3", more, &["fails", "3 of 3 runs", "exit code 3", "\"gone\""]),
        ("kill -9 $$", more, &["fails", "SIGKILL"]),
        ("no-such-program", more, &["exit code 127", "not found"]),
        ("cat; exit 1", more, &["exit code 1", "printed nothing"]),
        (" ", more, &["-command is empty"]),
    ] {
        for side in ["base", "head"] {
            let stage = Stage::new();
            let good = r#"if [ -e json ]; then echo; else echo 100 ns; fi"#;
            let (base, head) = if side == "base" { (command, good) } else { (good, command) };
            let (text, report) = stage.run(2, base, head, more);
            // A unit of one side is judged by the other.
            let words = words.iter().filter(|_| !(more.is_empty() && side == "head"));
            for word in words {
                assert!(text.contains(word), "{command}: no '{word}' in: {text}");
            }
            assert!(text.lines().count() == 1 && (text.contains(side) || command.contains("100")), "{command}: {text}");
            assert!(report.is_none(), "{command}: there is a report");
        }
    }
}

#[test]
fn a_command_that_fails_half_of_the_time_has_no_verdict() {
    for side in ["base", "head"] {
        let stage = Stage::new();
        let flag = stage.path("flag").display().to_string();
        let flaky = format!("if [ -e {flag} ]; then rm {flag}; echo no luck >&2; exit 1; fi; touch {flag}; echo 100");
        let (base, head) = if side == "base" { (flaky.as_str(), "echo 115") } else { ("echo 115", flaky.as_str()) };
        let (text, report) = stage.run(2, base, head, &["--unit", "ns"]);
        assert!(text.contains(&format!("the {side} command fails, 6 of 1")), "{text}");
        assert!(text.contains("no luck") && report.is_none(), "{text}");
    }
}

/// Now and then is no reason to end: the round is taken again, and the report says so.
#[test]
fn a_rare_failure_is_noted() {
    let stage = Stage::new();
    let count = stage.path("head").display().to_string();
    let head = stage.noisy("head", 1000) + &format!("[ $(wc -c <{count}) != 9 ] || exit 7; echo $v");
    let base = stage.noisy("base", 1000) + "echo $v";
    let (text, report) = stage.run(0, &base, &head, &["--unit", "ns"]);
    assert!(text.contains("1 of ") && text.contains("runs of the head failed: exit code 7"), "{text}");
    assert_eq!(report.unwrap().cells[0].status, Status::Unchanged);
}

#[test]
fn figures_that_change_between_runs_are_an_error() {
    let stage = Stage::new();
    let count = stage.path("n").display().to_string();
    let names = format!(r#"printf . >>{count}; echo "{{\"name\":\"run $(wc -c <{count})\",\"value\":1}}""#);
    let (text, report) = stage.run(2, &names, &names, &["--unit", "ns"]);
    assert!(text.contains("no figure of one name") && report.is_none(), "{text}");
    let later = format!(
        r#"{}; [ $(wc -c <{count}) -gt 3 ] && n=b || n=a; echo "{{\"name\":\"$n\",\"value\":1}}""#,
        "printf . >>n"
    );
    let later = later.replace("n;", &format!("{count};")).replace(">>n", &format!(">>{count}"));
    fs::remove_file(stage.path("n")).unwrap();
    let (text, report) = stage.run(2, &later, r#"echo '{"name":"a","value":1}'"#, &["--unit", "ns"]);
    assert!(text.contains("no longer prints 'a'") && report.is_none(), "{text}");
}

#[test]
fn results_of_criterion_and_hyperfine_are_read_from_the_folder_of_a_run() {
    let stage = Stage::new();
    let criterion = |side: &str, mean: u32| {
        stage.noisy(side, mean)
            + r#"d=$CRITERION_HOME/parse/small/new; mkdir -p $d; echo "benchmarking 1 2 3";
            echo "{\"median\":{\"point_estimate\":$v.5}}" >$d/estimates.json;
            echo '{"full_id":"parse/small"}' >$d/benchmark.json"#
    };
    let (_, report) = stage.run(1, &criterion("base", 1000), &criterion("head", 1150), &[]);
    let one = &report.unwrap().cells[0];
    assert_eq!((one.cell.as_str(), one.unit.as_ref().unwrap().name.as_str()), ("parse/small", "ns"));

    let hyperfine = |side: &str, mean: u32| {
        stage.noisy(side, mean)
            + &format!(r#"echo "{{\"results\":[{{\"command\":\"{side}/run\",\"median\":$v}}]}}" >$GATE_OUT/any.json"#)
    };
    let more: &[&str] = &["--command-format", "hyperfine", "--name", "start"];
    let (_, report) = stage.run(1, &hyperfine("base", 1000), &hyperfine("head", 1150), more);
    let one = &report.unwrap().cells[0];
    assert_eq!((one.cell.as_str(), one.unit.as_ref().unwrap().name.as_str()), ("start", "s"));
    let (text, _) = stage.run(2, "echo 5", "echo 5", more);
    assert!(text.contains("no JSON export of hyperfine"), "{text}");
    let left: Vec<_> = fs::read_dir(stage.dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "folders of runs are left: {left:?}");
}

/// The processes that a command started, by the ids that it wrote into `file`.
fn started(file: &Path) -> Vec<i32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn are_gone(pids: &[i32]) {
    within(LONG, "the processes of a command end", || {
        pids.iter().all(|&pid| kill(Pid::from_raw(pid), None).is_err() || is_zombie(pid))
    });
}

fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let stage = Stage::new();
    let pids = stage.path("pids");
    let hangs = format!("sleep 300 & echo $! $$ >>{}; sleep 300", pids.display());
    let (text, report) = stage.run(2, "echo 5", &hangs, &["--unit", "ns", "--timeout", "1"]);
    assert!(text.contains("no end within 1s (--timeout)") && report.is_none(), "{text}");
    let pids = started(&pids);
    assert_eq!(pids.len(), 6, "{pids:?}");
    are_gone(&pids);
}

#[test]
fn what_a_command_leaves_running_is_killed_when_it_ends() {
    let stage = Stage::new();
    let pids = stage.path("pids");
    let leaves = format!("sleep 300 & echo $! >>{}; echo 5", pids.display());
    stage.run(0, &leaves, "echo 5", &["--unit", "ns", "--rounds", "10"]);
    are_gone(&started(&pids));
}

#[test]
fn each_command_has_its_folder() {
    let stage = Stage::new();
    for (folder, number) in [("one", "100"), ("it's two", "115")] {
        fs::create_dir(stage.path(folder)).unwrap();
        fs::write(stage.path(folder).join("number"), number).unwrap();
    }
    let [base, head] = ["one", "it's two"].map(|name| stage.path(name).into_os_string().into_string().unwrap());
    let more = ["--unit", "ns", "--rounds", "10", "--base-directory", &base, "--head-directory"];
    stage.run(1, "cat number", "cat number", &[&more[..], &[&head]].concat());
    let (text, _) = stage.run(2, "cat number", "cat number", &[&more[..], &["/nowhere"]].concat());
    assert!(text.contains("--head-directory '/nowhere' is no folder"), "{text}");
}

#[test]
fn a_command_has_no_input() {
    Stage::new().run(0, "cat; echo 5", "cat; echo 5", &["--unit", "ns", "--rounds", "10"]);
}

/// The gate while its command sleeps.
fn held(stage: &Stage) -> (std::process::Child, Vec<i32>) {
    let pids = stage.path("pids");
    let sleeps = format!("echo $$ >>{}; exec sleep 300", pids.display());
    let mut gate = stage.command("echo 5", &sleeps, &["--unit", "ns"]);
    let gate = gate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    within(LONG, "a command starts", || !started(&pids).is_empty());
    (gate, started(&pids))
}

#[test]
fn ctrl_c_ends_the_command_and_is_inconclusive() {
    let stage = Stage::new();
    let (gate, pids) = held(&stage);
    kill(Pid::from_raw(gate.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = gate.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    are_gone(&pids);
}

#[test]
fn a_command_does_not_outlive_a_killed_gate() {
    let stage = Stage::new();
    let (mut gate, pids) = held(&stage);
    gate.kill().unwrap();
    assert_eq!(gate.wait().unwrap().signal(), Some(9));
    are_gone(&pids);
}

#[test]
fn options_of_builds_and_of_commands_do_not_mix() {
    let stage = Stage::new();
    for more in [
        &["--base", "x", "--head", "y"][..],
        &["--plan", "smoke"],
        &["--allow-other-flags"],
        &["--rounds", "9"],
        &["--threshold", "0"],
        &["--threshold", "nan"],
        &["--timeout", "0"],
        &["--command-format", "csv"],
    ] {
        let (text, report) = stage.run(2, "echo 5", "echo 5", &[&["--unit", "ns"], more].concat());
        assert!(report.is_none() && text.contains(more[0]), "{more:?}: {text}");
    }
    let alone = Command::new(PROGRAM).args(["gate", "--base-command", "echo 5"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
    let alone = Command::new(PROGRAM).args(["gate", "--base", "x", "--head", "y", "--unit", "ns"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
}
