//! The program as its user meets it: errors that name the value and what is valid, exit codes, formats, streams.

mod common;

use bench_gate::exact::ExactReading;
use bench_harness::STANDARD;
use bench_record::{
    cell::Cell,
    host::Host,
    rows::{self, CostRow, LatencyRow, ThroughputRow},
};
use common::{PROGRAM, own_folder, program};
use std::{
    ffi::OsStr,
    fs::File,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// Runs the program with its own temporary folder, in which it must leave nothing.
fn bench(args: &[&str]) -> Output {
    let own = own_folder();
    let output = program(own.path()).args(args).output().expect("the program starts");
    let left: Vec<_> = own.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{args:?} left {left:?}");
    output
}

/// Runs the program, which must fail with exit code 2 and name every one of `names` on stderr.
fn refused(args: &[&str], names: &[&str]) {
    let output = bench(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
    // An error of ours is one line; the parser's ends with where there is help.
    let whole = text.lines().count() == 1 || text.ends_with("\nFor more information, try '--help'.\n");
    assert!(text.starts_with("error: ") && whole, "{args:?}: {text}");
    for name in names {
        assert!(text.contains(name), "{args:?} does not name '{name}': {text}");
    }
}

/// A quick run of one cell into `dir`.
fn run_one(dir: &Path, more: &[&str]) -> Output {
    let dir = dir.to_str().expect("a UTF-8 path");
    let mut args = vec!["run", "--quick", "--forks", "2", "--out", dir, "--placement", "same-core", "--wait", "block"];
    args.extend(more);
    bench(&args)
}

#[test]
fn unknown_names_are_refused() {
    refused(&["run", "--mechanism", "tube"], &["tube", "pipe", "udp"]);
    refused(&["run", "--mechanism", "pip"], &["'pip'", "a similar value exists: 'pipe'"]);
    refused(&["run", "--workload", "speed"], &["speed", "latency", "throughput"]);
    refused(&["run", "--placement", "moon"], &["moon", "same-core", "cross-core"]);
    refused(&["run", "--wait", "nap"], &["nap", "block", "spin", "hybrid"]);
    refused(&["run", "--access", "osmosis"], &["osmosis", "copy", "in-place"]);
    refused(&["run", "no/such/cell"], &["no/such/cell", "latency/pipe/64"]);
}

#[test]
fn a_wrong_command_line_is_explained_whole() {
    refused(&["run", "--format", "xml"], &["--format <FORMAT>", "[possible values: table, csv, json]"]);
    refused(&["gate", "--plan", "half"], &["[possible values: smoke, twelve, full]"]);
    refused(&["gate"], &["--base <BIN>", "--head <BIN>", "Usage: ipc-bench gate"]);
    refused(&["export"], &["<FORMAT>", "Usage: ipc-bench export <FORMAT> [DIR]"]);
    refused(&["sample"], &["<NAME>", "Usage: ipc-bench sample"]);
    refused(&["run", "--wiat", "spin"], &["'--wiat'", "a similar argument exists: '--wait'"]);
    refused(&["rnu"], &["'rnu'", "Usage: ipc-bench <COMMAND>"]);
    for (args, verbs) in
        [(&[][..], &["list", "run", "history", "doctor"][..]), (&["history"], &["add", "show", "plot"])]
    {
        let output = bench(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{text}");
        assert!(verbs.iter().all(|verb| text.contains(&format!("\n  {verb} "))), "{text}");
    }
}

#[test]
fn what_is_given_twice_is_measured_once() {
    let dir = own_folder();
    let twice = "--mechanism pipe,pipe --mechanism pipe --size 1K,1024 --workload latency,latency --access copy,copy \
                 --wait block,block --placement same-core,same-core --forks 1";
    let mut args = vec!["run", "--quick", "--out", dir.path().to_str().unwrap()];
    args.extend(twice.split_whitespace());
    let output = bench(&args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rows::read::<LatencyRow>(dir.path()).expect("a cell once").len(), 1);

    let output = bench(&["copies", "fifo", "--size", "4K,4096", "--format", "csv"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "a header and a row");
}

/// For each verb what it is called with where it prints to stdout, on results that lie in `dir`.
fn printing(dir: &str) -> Vec<Vec<String>> {
    let lines = [
        "--help",
        "--version",
        "help",
        "list",
        "list --format json",
        "run --help",
        "run --quick --forks 1 --mechanism pipe --size 64 --workload latency --placement same-core --wait block --out DIR",
        "gate --help",
        "ci --help",
        "sample --identify",
        "sample copies/pipe/64/copy",
        "copies copies/pipe/4096",
        "faults pipe/close --kills 2 --out DIR/faults",
        "report DIR",
        "report DIR --format json",
        "export bencher DIR",
        "history show --history DIR/history.csv",
        "history show --history DIR/history.csv --format csv",
        "history plot --history DIR/history.csv --out DIR/plots",
        "sweep --dry-run",
        "doctor",
        "completions bash",
        "man",
        "man --out DIR/man",
    ];
    lines.map(|line| line.replace("DIR", dir).split(' ').map(str::to_owned).collect()).into()
}

/// Runs the program with the streams that are given, in a temporary folder of its own.
fn with_streams(dir: &Path, args: &[String], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Output {
    let mut command = program(dir);
    command.args(args).stdout(stdout).stderr(stderr);
    command.spawn().and_then(Child::wait_with_output).expect("the program starts")
}

/// In every verb a reader that went away is no error, a full device is one, and no stream makes it panic.
#[test]
fn streams_that_cannot_be_written() {
    let dir = own_folder();
    let path = dir.path().to_str().unwrap();
    assert_eq!(run_one(dir.path(), &["latency/pipe/64"]).status.code(), Some(0));
    let book = format!("{path}/history.csv");
    assert_eq!(bench(&["history", "add", path, "--history", &book]).status.code(), Some(0));
    let lines = printing(path);
    let help = bench(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout);
    let verbs =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).map_while(|line| line.split_whitespace().next());
    for verb in verbs {
        assert!(lines.iter().any(|line| line[0] == verb), "no line tries the verb {verb}");
    }

    let full = || File::options().write(true).open("/dev/full").unwrap();
    for args in &lines {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = with_streams(dir.path(), args, writer, Stdio::piped());
        let text = String::from_utf8_lossy(&output.stderr);
        // What the machine is like, which decides how the doctor ends, is not the point.
        let usual = output.status.code();
        assert!(matches!(usual, Some(0 | 1)), "{args:?} into a closed pipe: {usual:?}, {text}");
        assert!(!text.contains("panic") && !text.contains("error"), "{args:?} into a closed pipe: {text}");

        let output = with_streams(dir.path(), args, full(), Stdio::piped());
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last();
        assert_eq!(output.status.code(), Some(2), "{args:?} to a full device: {text}");
        assert_eq!(last, Some("error: stdout: No space left on device (os error 28)"), "{args:?}: {text}");

        if args[0] == "doctor" {
            // It takes a second each time.
            continue;
        }
        let output = with_streams(dir.path(), args, Stdio::null(), full());
        assert_eq!(output.status.code(), usual, "{args:?} with a full stderr");

        let mut closed = vec!["-c".to_owned(), "exec \"$0\" \"$@\" >&- 2>&-".into()];
        closed.push(PROGRAM.into());
        closed.extend(args.iter().cloned());
        let status = Command::new("sh").args(&closed).env("TMPDIR", dir.path()).status().unwrap();
        assert_eq!(status.code(), usual, "{args:?} with streams that are closed");
    }
    // An error that nobody can be told is still an error.
    let wrong = ["run".to_owned(), "--nonsense".into()];
    assert_eq!(with_streams(dir.path(), &wrong, full(), full()).status.code(), Some(2));
}

#[test]
fn shells_complete_every_verb_and_manual_pages_say_what_help_says() {
    let verbs = ["run", "gate", "sample", "copies", "history", "completions", "man"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bench(&["completions", shell]);
        let script = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(verbs.iter().all(|verb| script.contains(verb)), "{script}");
        // The others complete no values.
        assert!(["elvish", "powershell"].contains(&shell) || script.contains("unix-seqpacket"), "{script}");
    }
    refused(&["completions", "tcsh"], &["'tcsh'", "bash", "zsh", "fish"]);
    refused(&["completions"], &["<SHELL>"]);
    // Where there is such a shell it takes the script.
    if let Ok(mut bash) = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        bash.stdin.take().unwrap().write_all(&bench(&["completions", "bash"]).stdout).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let dir = own_folder();
    let out = dir.path().join("pages");
    let page = bench(&["man"]).stdout;
    let text = String::from_utf8_lossy(&page);
    assert!(text.starts_with(".ie") || text.starts_with(".TH"), "{text}");
    assert!(text.contains(".SH SYNOPSIS") && text.contains("Exit codes"), "{text}");
    assert_eq!(bench(&["man", "--out", out.to_str().unwrap()]).status.code(), Some(0));
    for verb in verbs {
        let text = std::fs::read_to_string(out.join(format!("ipc-bench-{verb}.1"))).expect("a page of the verb");
        assert!(text.contains(".SH OPTIONS"), "{text}");
    }
    assert!(out.join("ipc-bench.1").exists() && out.join("ipc-bench-history-add.1").exists());
    refused(&["man", "--out", "/proc/nowhere"], &["/proc/nowhere"]);
}

#[test]
fn a_path_may_have_any_bytes_and_nothing_else_may() {
    let dir = own_folder();
    let strange = dir.path().join(OsStr::from_bytes(b"caf\xe9 'x'"));
    let strange_file = strange.join("h\u{1}.csv");
    let strange_copies = strange.join("copies");
    let plots = dir.path().join("plots");
    let plots = plots.to_str().unwrap();
    let os = |words: &[&str], paths: &[&Path]| {
        let output = program(dir.path()).args(words).args(paths).output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let quick =
        "run --quick --forks 1 --mechanism pipe --size 64 --placement same-core --wait block --workload latency --out";
    let quick: Vec<&str> = quick.split(' ').collect();
    assert_eq!(os(&quick, &[&strange]).0, Some(0));
    let host = Host::read(&strange).unwrap().expect("the facts");
    let command = host.run.command.unwrap();
    assert!(command.starts_with("ipc-bench run --quick") && command.contains(r"caf\xe9\x20\x27x\x27'"), "{command}");
    for (words, paths) in [
        (&["report"][..], &[&*strange][..]),
        (&["export", "bencher"], &[&strange]),
        (&["copies", "pipe/4096", "--out"], &[&strange_copies]),
        (&["faults", "pipe/close", "--kills", "2", "--out"], &[&strange]),
        (&["history", "add", "--history"], &[&strange_file, &strange]),
        (&["history", "show", "--history"], &[&strange_file]),
        (&["history", "plot", "--out", plots, "--history"], &[&strange_file]),
    ] {
        let outcome = os(words, paths);
        assert!(outcome.0 == Some(0) && !outcome.1.contains("error"), "{words:?}: {outcome:?}");
    }
    for words in [
        &["run"][..],
        &["run", "--mechanism"],
        &["run", "--size"],
        &["run", "--wait"],
        &["copies"],
        &["faults"],
        &["sample"],
        &["list", "--format"],
        &["history", "show"],
        &[],
    ] {
        let (code, text) = os(words, &[&strange]);
        assert!(code == Some(2) && text.starts_with("error: ") && !text.contains("panic"), "{words:?}: {text}");
    }
}

#[test]
fn what_leaves_nothing_to_measure_is_told() {
    let why = ["64, 512 bytes", "from 1024 bytes on"];
    refused(&["run", "--workload", "copies", "--size", "64,512"], &why);
    refused(&["run", "copies/pipe", "--workload", "copies", "--size", "64,512"], &why);
    refused(&["run", "--workload", "relay", "--size", "64"], &["relay is left out: it has no size"]);
    refused(&["run", "--workload", "relay,lifecycle", "--wait", "spin"], &["relay", "lifecycle", "no wait"]);
    refused(&["run", "--access", "in-place", "--mechanism", "pipe"], &["mechanisms has access in-place"]);
}

#[test]
fn impossible_numbers_are_refused() {
    refused(&["run", "--size", "0"], &["'0'", "1 to"]);
    refused(&["run", "--size", "64,1T"], &["1T", "4K"]);
    refused(&["run", "--forks", "0"], &["0", "1..=1000"]);
    refused(&["run", "--cpus", "1"], &["'1'", "0,1"]);
    refused(&["run", "--cpus", "0,0"], &["'0,0'", "different"]);
    refused(&["run", "--cpus", "0,4095"], &["4095", "allowed"]);
    refused(&["run", "--quick", "--full"], &["--full"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_measuring() {
    refused(&["run", "--quick", "latency/pipe", "--out", "/proc/nowhere"], &["/proc/nowhere", "--out"]);
    refused(&["run", "--quick", "latency/pipe", "--out", "/dev/null"], &["/dev/null", "--out"]);
}

#[test]
fn broken_results_are_refused_by_name_and_line() {
    let dir = own_folder();
    let path = dir.path().to_str().unwrap();
    refused(&["report", path], &[path, "latency.csv"]);
    refused(&["report", "/no/such/folder"], &["/no/such/folder"]);

    assert_eq!(run_one(dir.path(), &["latency/pipe"]).status.code(), Some(0));
    let csv = dir.path().join("latency.csv");
    let whole = std::fs::read_to_string(&csv).unwrap();
    std::fs::write(&csv, whole.replacen("block", "nap", 1)).unwrap();
    refused(&["report", path], &["latency.csv", "line 2", "nap", "block"]);
    std::fs::write(&csv, &whole[..whole.len() - 5]).unwrap();
    refused(&["report", path], &["latency.csv", "line 2"]);
    std::fs::write(&csv, "a,b\n1,2\n").unwrap();
    refused(&["report", path], &["latency.csv", "workload"]);
}

#[test]
fn a_size_over_the_limit_is_a_row_with_the_error() {
    let dir = own_folder();
    let output = run_one(dir.path(), &["--mechanism", "pipe,sysv-msgq,posix-mq,udp", "--size", "1M"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let csv = std::fs::read_to_string(dir.path().join("latency.csv")).unwrap();
    for mechanism in ["sysv-msgq", "posix-mq", "udp"] {
        let row = csv.lines().find(|line| line.contains(mechanism)).expect("a row");
        assert!(row.contains("1048576 bytes cannot pass: the limit is"), "{row}");
    }
    assert!(!csv.lines().find(|line| line.contains("pipe")).expect("a row").contains("cannot pass"));
}

#[test]
fn list_prints_one_json_document() {
    let output = bench(&["list", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let names: Vec<_> = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), STANDARD.iter().count());
    assert!(names.contains(&"unix-seqpacket") && names.contains(&"mmap-anon"));
    assert!(list.as_array().unwrap().iter().all(|row| row["error"].is_null()), "{list}");
    let row = |name: &str| list.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    assert_eq!((&row("pipe")["pollable"], &row("mmap-anon")["pollable"]), (&true.into(), &false.into()));
    assert_eq!(row("unix-stream")["attested_sender"], "pid+uid+gid");
    assert!(row("unix-stream")["attested_by"].as_str().unwrap().contains("SO_PEERCRED"));
    assert!(row("pipe")["attested_by"].is_null());
    assert!(row("sysv-msgq")["limits"].as_str().unwrap().contains("kernel.msgmax"));

    let table = String::from_utf8(bench(&["list"]).stdout).unwrap();
    assert!(["EPOLL", "SENDER", "pid+uid+gid", "address"].iter().all(|word| table.contains(word)), "{table}");
}

#[test]
fn run_and_report_print_json_and_csv() {
    let dir = own_folder();
    let output = run_one(dir.path(), &["--mechanism", "pipe", "--size", "64", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let latency = &rows["latency"][0];
    assert_eq!(latency["mechanism"], "pipe");
    assert!(latency["p50_ns"].as_f64().is_some_and(|ns| ns > 100.0), "{latency}");
    assert!(rows["throughput"][0]["bytes_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{rows}");

    assert_eq!(rows["schema"], 1);
    assert!(rows["host"]["kernel"]["release"].is_string() && rows["host"]["run"]["started"].is_string(), "{rows}");
    assert_eq!(rows["faults"], serde_json::json!([]));

    // A folder has what others measured as well.
    let path = dir.path().to_str().unwrap();
    let output = bench(&["faults", "pipe/close-sender", "--kills", "2", "--out", path]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = bench(&["report", path, "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!((&report["faults"][0]["mechanism"], &report["faults"][0]["hung"]), (&"pipe".into(), &0.into()));
    for key in ["schema", "host", "latency", "throughput", "cost", "copies", "lifecycle", "relay"] {
        assert_eq!(report[key], rows[key], "{key}");
    }
}

#[test]
fn csv_on_stdout_is_one_table() {
    let dir = own_folder();
    let path = dir.path().to_str().unwrap();
    // It is known before anything is measured.
    let run = ["run", "pipe/64", "--quick", "--workload", "latency,throughput", "--format", "csv", "--out", path];
    refused(&run, &["CSV is one table", "--table", "latency, throughput"]);
    refused(&[&run[..], &["--table", "cost"]].concat(), &["no table 'cost' here", "latency, throughput"]);
    refused(&["run", "--table", "cost"], &["--format csv"]);
    refused(&["run", "--table", "tables"], &["'tables'", "[possible values: latency, throughput,"]);
    assert!(!dir.path().join("latency.csv").exists());
    let one = ["--placement", "same-core", "--wait", "block", "--forks", "1", "--table", "throughput"];
    let output = bench(&[&run[..], &one].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, std::fs::read(dir.path().join("throughput.csv")).unwrap(), "what the file holds");

    refused(&["report", path, "--format", "csv"], &["--table", "latency, throughput"]);
    refused(&["report", path, "--format", "csv", "--table", "relay"], &["no table 'relay' here"]);
    let output = bench(&["report", path, "--format", "csv", "--table", "latency"]);
    assert_eq!(output.stdout, std::fs::read(dir.path().join("latency.csv")).unwrap());
    // Where there is one, it need not be named.
    std::fs::remove_file(dir.path().join("latency.csv")).unwrap();
    // As a spreadsheet saves it.
    let csv = dir.path().join("throughput.csv");
    let text = std::fs::read_to_string(&csv).unwrap();
    std::fs::write(&csv, text.replace('\n', "\r\n")).unwrap();
    let output = bench(&["report", path, "--format", "csv"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), text);
}

/// What is told of files is true of each of them.
#[test]
fn only_files_that_were_written_are_named() {
    let dir = own_folder();
    let path = dir.path().to_str().unwrap();
    let told = |args: &[&str]| {
        let output = bench(args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("written to {path}"))).expect("a line");
        line.to_owned()
    };
    let copies = told(&["run", "--workload", "copies", "--mechanism", "pipe", "--size", "4K", "--out", path]);
    assert!(copies.starts_with(": copies.csv, host.json, ") && !copies.contains("latency"), "{copies}");
    for name in copies.trim_start_matches(": ").split(", ").filter(|name| name.contains('.')) {
        assert!(dir.path().join(name).exists(), "{name} is not there");
    }
    let report = told(&["report", path]);
    assert!(report.ends_with("README.md, report.html") && !report.contains(".csv"), "{report}");
    let alone = dir.path().join("alone");
    assert_eq!(told(&["copies", "copies/pipe/4096", "--out", alone.to_str().unwrap()]), "/alone/copies.csv");
}

#[test]
fn export_prints_one_document_and_names_what_it_leaves_out() {
    let dir = own_folder();
    let path = dir.path().to_str().unwrap();
    let cell = |name: &str| name.parse::<Cell>().unwrap();
    let refused_rows = LatencyRow::failed(&cell("latency/udp/1048576/same-core/block/copy"), "cannot <pass>");
    let latency = |rows: &[LatencyRow]| rows::write(dir.path(), rows).unwrap();
    let mut measured = LatencyRow::empty(&cell("latency/pipe/64/same-core/block/copy"));
    (measured.p50_ns, measured.p50_lo_ns, measured.p50_hi_ns) = (Some(5210.4), Some(5120.1), Some(5304.9));
    measured.pairs = 5;

    refused(&["export", "csv", path], &["csv", "bencher"]);
    refused(&["export", "bencher", path], &[path, "no results here"]);
    latency(std::slice::from_ref(&refused_rows));
    let output = bench(&["export", "bencher", path]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    latency(&[measured, refused_rows]);
    refused(&["export", "github-throughput", path], &["throughput.csv"]);

    // The other file does not exist, which is no error as long as one does.
    let output = bench(&["export", "bencher", path]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let metric = serde_json::json!({ "value": 5210.4, "lower_value": 5120.1, "upper_value": 5304.9 });
    assert_eq!(document, serde_json::json!({ "latency/pipe/64/same-core/block/copy": { "latency": metric } }));
    let left_out = "left out: latency/udp/1048576/same-core/block/copy: cannot <pass>\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), left_out);

    let mut rate = ThroughputRow::empty(&cell("throughput/pipe/64/same-core/block/copy"));
    (rate.msgs_per_s, rate.pairs) = (Some(1e6), 3);
    rows::write(dir.path(), &[rate]).unwrap();
    let document = |format| -> serde_json::Value {
        serde_json::from_slice(&bench(&["export", format, path]).stdout).expect("JSON and nothing else")
    };
    assert_eq!(document("bencher").as_object().map(serde_json::Map::len), Some(2));
    let entry = |figure, unit, value: f64, extra| serde_json::json!({ "name": figure, "unit": unit, "value": value, "extra": extra });
    let expected = entry("throughput/pipe/64/same-core/block/copy messages", "messages/s", 1e6, "pairs=3");
    assert_eq!(document("github-throughput"), serde_json::json!([expected]));
    let mut expected = entry("latency/pipe/64/same-core/block/copy p50", "ns", 5210.4, "pairs=5");
    expected["range"] = "± 92.4".into();
    assert_eq!(document("github-latency"), serde_json::json!([expected]));

    std::fs::write(dir.path().join("throughput.csv"), "a,b\n1,2\n").unwrap();
    refused(&["export", "github-throughput", path], &["throughput.csv", "line 1", "workload"]);
}

#[test]
fn costs_are_measured_without_a_timed_cell() {
    let dir = own_folder();
    let more = ["--workload", "cost", "--mechanism", "pipe,memfd", "--size", "64,1M", "--format", "json"];
    let output = run_one(dir.path(), &more);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!((&rows["latency"], &rows["throughput"]), (&serde_json::json!([]), &serde_json::json!([])));
    let printed = rows["cost"].as_array().unwrap();
    assert_eq!(printed[0]["mechanism"], "pipe");
    assert!(printed[0]["syscalls_send"].as_f64().is_some_and(|calls| calls >= 1.0), "{}", printed[0]);
    assert!(printed[0]["error"].is_null(), "{}", printed[0]);

    let read: Vec<CostRow> = rows::read(dir.path()).expect("what was written is strict");
    assert_eq!(read.len(), printed.len());
    assert_eq!(read.iter().map(|row| (row.size, row.access.name())).collect::<Vec<_>>(), {
        [(64, "copy"), (64, "copy"), (64, "in-place"), (1 << 20, "copy"), (1 << 20, "copy"), (1 << 20, "in-place")]
    });
    for row in &read {
        assert!(row.pairs > 0 && row.cpu_ns.is_some() && row.round_trip_cpu_ns.is_some(), "{row:?}");
    }
    assert!(!dir.path().join("latency.csv").exists());

    let output = run_one(dir.path(), &["cost/pipe/64/same-core"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Cost, 64 B, same-core") && text.contains("pipe       block"), "{text}");
    assert_eq!(rows::read::<CostRow>(dir.path()).unwrap().len(), 1);

    // A run without costs leaves none of an earlier one.
    assert_eq!(run_one(dir.path(), &["latency/pipe"]).status.code(), Some(0));
    assert!(!dir.path().join("cost.csv").exists());
}

#[test]
#[cfg_attr(sanitized, ignore = "the runtime of a sanitizer makes calls and copies of its own")]
fn copies_are_counted_and_printed() {
    refused(&["copies", "pipe/nap"], &["pipe/nap", "copies/pipe/4096/copy"]);
    refused(&["copies", "pipe", "--size", "64"], &["'64'", "1024"]);
    refused(&["copies", "pipe", "--out", "/proc/nowhere"], &["/proc/nowhere", "--out"]);

    let dir = own_folder();
    let out = dir.path().to_str().unwrap();
    let output = bench(&["copies", "sysv-msgq", "--out", out, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let [short, long] = &rows.as_array().unwrap()[..] else { panic!("{rows}") };
    assert_eq!((&short["declared"], &long["total_copies"]), (&2.0.into(), &().into()), "{rows}");
    assert!(long["error"].as_str().unwrap().contains("65536 bytes cannot pass"), "{long}");
    let csv = std::fs::read_to_string(dir.path().join("copies.csv")).unwrap();
    assert!(csv.starts_with("workload,mechanism,size,access,kernel_copies,user_copies,total_copies,moved,"), "{csv}");
}

#[test]
#[cfg_attr(sanitized, ignore = "the runtime of a sanitizer makes calls and copies of its own")]
fn a_counted_sample_is_one_line() {
    let shapes = ["WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS", "copies/MECHANISM/SIZE/ACCESS"];
    for wrong in ["pipe", "latency/pipe/64/copy", "copies/pipe/64/same-core/block/copy"] {
        refused(&["sample", wrong], &[wrong, shapes[0], shapes[1]]);
    }
    refused(&["sample", "copies/tube/64/copy"], &["'tube'"]);
    refused(&["sample", "copies/pipe/none/copy"], &["'none'"]);
    refused(&["sample", "latency/tube/64/same-core/block/copy"], &["'tube'"]);

    let output = bench(&["sample", "copies/pipe/64/copy"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{text}");
    let reading: ExactReading = serde_json::from_str(&text).unwrap();
    assert_eq!((reading.name.as_str(), reading.syscalls, reading.error), ("copies/pipe/64/copy", Some(2.0), None));

    // What cannot be counted is a line as well, and no success.
    let output = bench(&["sample", "copies/pipe/64/in-place"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: nothing was counted: "));
    let reading: ExactReading = serde_json::from_slice(&output.stdout).unwrap();
    assert!(reading.error.is_some_and(|why| why.contains("pipe has no access in-place")) && reading.evidence.is_none());
}

#[test]
fn faults_are_inflicted_and_printed() {
    refused(&["faults", "--kills", "1"], &["'1'", "2..="]);
    refused(&["faults", "pipe/nap"], &["pipe/nap", "pipe/kill-sender"]);
    refused(&["faults", "pipe/", "--out", "/proc/nowhere"], &["/proc/nowhere", "--out"]);

    let dir = own_folder();
    let out = dir.path().to_str().unwrap();
    let output = bench(&["faults", "fifo/", "--kills", "4", "--out", out, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 7);
    let kill = rows.iter().find(|row| row["fault"] == "kill-sender").expect("a row");
    assert_eq!((&kill["trials"], &kill["hung"], &kill["error"]), (&2.into(), &0.into(), &().into()), "{kill}");
    assert_eq!(kill["learned"], "end of file 2");
    let csv = std::fs::read_to_string(dir.path().join("faults.csv")).unwrap();
    assert!(csv.starts_with("mechanism,fault,trials,learned,p50_ns,p99_ns,max_ns,hung,corrupted,"), "{csv}");
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let own = own_folder();
    let started: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| {
            let out = own.path().join(name);
            program(own.path())
                .args(["run", "--quick", "--forks", "1", "--size", "64", "--placement", "same-core", "--out"])
                .arg(out)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        })
        .collect();
    for child in started {
        let output = child.and_then(Child::wait_with_output).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
