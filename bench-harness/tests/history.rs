//! `ipc-bench history`: what is added is there to the byte and once, and what is wrong with a history or a run is said without a
//! letter of either being lost.

mod common;

use bench_record::{
    baseline::{Baseline, Baselines},
    cell::{Access, Cell, Placement, Workload},
    history::{Book, ENVIRONMENTS},
    host::{self, Host},
    rows::{self, CopiesRow, CostRow, Flag, HistoryRow, LatencyRow, Row, ThroughputRow},
};
use common::{own_folder, program};
use ipc_core::Wait;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

fn bench(args: &[&str]) -> Output {
    let own = own_folder();
    program(own.path()).args(args).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Runs the program, which must print and end with exit code 0.
fn done(args: &[&str]) -> String {
    let output = bench(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must fail with exit code 2 and an error that has every one of `names`: a line, or what the parser says.
fn refused(args: &[&str], names: &[&str]) {
    let output = bench(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    let whole = text.lines().count() == 1 || text.ends_with("\nFor more information, try '--help'.\n");
    assert!(output.stdout.is_empty() && text.starts_with("error: ") && whole, "{args:?}: {text}");
    for name in names {
        assert!(text.contains(name), "{args:?} does not name '{name}': {text}");
    }
}

fn cell(workload: Workload) -> Cell {
    let (placement, wait, access) = (Placement::SameCore, Wait::Block, Access::Copy);
    Cell { workload, mechanism: "pipe", size: 4096, placement, wait, access }
}

fn host(second: u32) -> Host {
    let mut host = bench_harness::built::host();
    host.run.started = Some(format!("2026-03-01T12:{:02}:{:02}Z", second / 60, second % 60));
    host.run.duration_s = Some(5.0);
    host
}

/// What anchors take, all times `factor`.
fn anchors(factor: f64) -> Option<Baseline> {
    let [syscall_ns, cache_line_ns, pipe_ns, memcpy_ns] =
        [130.0, 110.0, 40_000.0, 60_000.0].map(|ns| Some(ns * factor));
    Some(Baseline { syscall_ns, cache_line_ns, pipe_ns, memcpy_ns, ..Baseline::default() })
}

/// A run of two cells in `dir`.
fn results(dir: &Path, host: &Host, p50_ns: f64) {
    fs::create_dir_all(dir).unwrap();
    let latency = LatencyRow {
        p50_ns: Some(p50_ns),
        p50_lo_ns: Some(p50_ns - 100.0),
        p50_hi_ns: Some(p50_ns + 100.0),
        p99_ns: Some(2.0 * p50_ns),
        ..LatencyRow::empty(&cell(Workload::Latency))
    };
    rows::write(dir, &[latency]).unwrap();
    let throughput = ThroughputRow { msgs_per_s: Some(2e6), ..ThroughputRow::empty(&cell(Workload::Throughput)) };
    rows::write(dir, &[throughput, ThroughputRow::failed(&Cell { size: 64, ..cell(Workload::Throughput) }, "no")])
        .unwrap();
    let cost = CostRow { syscalls_send: Some(1.0), syscalls_recv: Some(1.25), ..CostRow::empty(&cell(Workload::Cost)) };
    rows::write(dir, &[cost]).unwrap();
    rows::write(dir, &[CopiesRow { total_copies: Some(2.0), ..CopiesRow::empty("pipe".into(), 4096, Access::Copy) }])
        .unwrap();
    host.write(dir).unwrap();
}

/// A folder with a run in `run`, and where a history of it is to be.
fn folder(host: &Host) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (run, history) = (dir.path().join("run"), dir.path().join("kept/history.csv"));
    results(&run, host, 5000.0);
    (dir, run, history)
}

#[test]
fn a_run_is_added_with_all_that_is_known_of_it() {
    let mut host = host(5);
    host.run.anchors = Some(Baselines { start: anchors(1.0), middle: anchors(1.1), end: anchors(1.3) });
    let (_dir, run, history) = folder(&host);
    let printed = done(&["history", "add", text(&run), "--history", text(&history)]);
    assert!(printed.contains("3 cells, 2 with a figure"), "{printed}");

    let book = Book::read(&history).unwrap();
    assert_eq!((book.runs.len(), book.rows.len()), (1, 3));
    let row = &book.rows[0];
    assert_eq!(row.cell.to_string(), "latency/pipe/4096/same-core/block/copy");
    assert_eq!(
        (row.time.as_str(), &row.git),
        ("2026-03-01T12:00:05Z", &host.build.revision.clone().unwrap_or_default())
    );
    assert_eq!(
        (row.p50_ns, row.p50_lo_ns, row.p99_ns, row.msgs_per_s),
        (Some(5000.0), Some(4900.0), Some(10_000.0), None)
    );
    assert_eq!((row.syscalls, row.copies), (Some(2.25), Some(2.0)));
    assert_eq!((row.anchor_syscall_ns, row.anchor_memcpy_ns), (Some(143.0), Some(66_000.0)), "the median of three");
    assert!(row.flags.contains(Flag::AnchorsMoved), "by three tenths");
    assert_eq!((book.rows[1].msgs_per_s, book.rows[1].p50_ns), (Some(2e6), None));
    assert_eq!((book.rows[2].msgs_per_s, book.rows[2].syscalls), (None, None), "a row, without a figure");

    // The key is explained beside it.
    let environment = host.environment.expect("the machine was looked at");
    assert_eq!(row.env_key, environment.env_key);
    assert_eq!(book.environments[&row.env_key], environment.parts);
}

#[test]
fn committed_references_can_be_added() {
    let dir = tempfile::tempdir().unwrap();
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let history = dir.path().join(HistoryRow::FILE);
    let references: Vec<_> =
        fs::read_dir(results.join("machines")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for reference in &references {
        done(&["history", "add", text(reference), "--history", text(&history)]);
    }
    let book = Book::read(&history).unwrap();
    assert!(!references.is_empty() && book.runs.len() == references.len(), "{:?}", book.runs);
    assert!(book.runs.iter().all(|run| run.cells > 100), "{:?}", book.runs);
    // And the history that is committed beside them can be read.
    let committed = Book::read(&results.join(HistoryRow::FILE)).unwrap();
    assert!(committed.env_keys().iter().all(|key| committed.environments.contains_key(*key)));
}

#[test]
fn a_run_is_added_once_and_what_was_there_stays_to_the_byte() {
    let (_dir, run, history) = folder(&host(5));
    let add = ["history", "add", text(&run), "--history", text(&history)];
    done(&add);
    let first = fs::read(&history).unwrap();
    let name = Book::read(&history).unwrap().runs[0].run_id.clone();
    refused(&add, &[text(&history), "line 2", &name, "already"]);
    assert_eq!(fs::read(&history).unwrap(), first);

    results(&run, &host(6), 6000.0);
    done(&add);
    let both = fs::read(&history).unwrap();
    assert!(both.starts_with(&first) && both.len() > first.len());
    assert_eq!(Book::read(&history).unwrap().runs.len(), 2);
    let left: Vec<_> =
        fs::read_dir(history.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the history and its environments: {left:?}");
}

/// As a spreadsheet saves it: lines that end with CR and LF, perhaps a byte order mark before the first.
#[test]
fn a_history_that_was_edited_elsewhere_is_read_and_goes_on_as_it_was() {
    for mark in ["", "\u{feff}"] {
        let (_keep, dir, path) = folder(&host(0));
        done(&["history", "add", text(&dir), "--history", text(&path)]);
        let edited = mark.to_owned() + &fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
        fs::write(&path, &edited).unwrap();
        assert_eq!(Book::read(&path).unwrap().runs.len(), 1);
        results(&dir, &host(7), 5000.0);
        done(&["history", "add", text(&dir), "--history", text(&path)]);
        let longer = fs::read_to_string(&path).unwrap();
        assert!(longer.starts_with(&edited) && longer.lines().count() > edited.lines().count(), "{longer}");
        assert!(longer.split_inclusive('\n').all(|line| line.ends_with("\r\n")), "{longer}");
        assert_eq!(Book::read(&path).unwrap().runs.len(), 2);
        refused(&["history", "add", text(&dir), "--history", text(&path)], &["history.csv", "is here already"]);

        fs::write(&path, &longer[..longer.len() - 2]).unwrap();
        refused(&["history", "show", "--history", text(&path)], &["history.csv", "cut off"]);
    }
}

#[test]
fn runs_that_are_added_at_once_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join(HistoryRow::FILE);
    let children: Vec<_> = (0..8)
        .map(|index| {
            let run = dir.path().join(format!("run-{index}"));
            let mut host = host(index);
            // Environments of their own: that file has to keep them all as well.
            host.build.rustflags = Some(format!("-Ccodegen-units={index}"));
            host.environment = Some(host::Environment::of(&host));
            results(&run, &host, 5000.0);
            program(dir.path())
                .args(["history", "add", text(&run), "--history", text(&history)])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let book = Book::read(&history).unwrap();
    assert_eq!((book.runs.len(), book.rows.len(), book.environments.len()), (8, 24, 8));
}

#[test]
fn a_history_that_is_broken_is_named_and_stays_as_it_is() {
    let (_dir, run, history) = folder(&host(5));
    let add = ["history", "add", text(&run), "--history", text(&history)];
    let plot = ["history", "plot", "--history", text(&history), "--out", text(history.parent().unwrap())];
    done(&add);
    let whole = fs::read_to_string(&history).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    // Another run, so that nothing but the history is in the way.
    results(&run, &host(6), 6000.0);
    let broken = [
        (whole[..whole.len() - 20].to_owned(), ["line 4", "cut off"]),
        (whole[..whole.len() - 1].to_owned(), ["line 4", "cut off"]),
        ("a,b\n1,2\n".to_owned(), ["line 1", "'a,b'"]),
        (whole.replacen(",flags\n", ",flags,more\n", 1), ["line 1", "expected run_id,time,"]),
        (whole.replacen("p50_ns,p50_lo_ns", "p50_lo_ns,p50_ns", 1), ["line 1", "expected run_id,time,"]),
        (String::new(), ["line 1", "expected run_id,time,"]),
        (whole.replacen(",5000.0,", ",fast,", 1), ["line 2", "'p50_ns': 'fast' is no figure"]),
        (whole.replacen(",5000.0,", ",-5000.0,", 1), ["line 2", "'p50_ns'"]),
        (whole.replacen(",2026-03-01T12:00:05Z,", ",yesterday,", 1), ["line 2", "'time': 'yesterday'"]),
        (whole.replacen("latency/pipe", "latency/a pipe", 1), ["line 2", "'cell': 'latency/a pipe/"]),
        (whole.replacen("same-core", "somewhere", 1), ["line 2", "somewhere"]),
        (format!("{whole}{}\n", lines[2]), ["line 5", "occurs twice"]),
    ];
    for (text, names) in broken {
        fs::write(&history, &text).unwrap();
        let names = [&["history.csv"], &names[..]].concat();
        refused(&add, &names);
        refused(&["history", "show", "--history", add[4]], &names);
        refused(&plot, &names);
        assert_eq!(fs::read_to_string(&history).unwrap(), text);
    }
    fs::write(&history, &whole).unwrap();

    let environments = history.with_file_name(ENVIRONMENTS);
    let known = fs::read_to_string(&environments).unwrap();
    for (text, name) in [
        (known[..known.len() / 2].to_owned(), "environments.json: line "),
        (known.replacen("\"target\": \"", "\"target\": \"another-", 1), "have the key"),
    ] {
        fs::write(&environments, &text).unwrap();
        refused(&add, &[name]);
        assert_eq!(fs::read_to_string(&environments).unwrap(), text);
        assert_eq!(fs::read_to_string(&history).unwrap(), whole);
    }
}

#[test]
fn a_folder_without_a_run_is_refused_and_makes_no_history() {
    let (dir, run, history) = folder(&host(5));
    let add = ["history", "add", text(&run), "--history", text(&history)];
    let file = run.join(host::FILE);
    let whole = fs::read_to_string(&file).unwrap();
    for (text, name) in [
        (whole.replacen("2026-03-01T12:00:05Z", "yesterday", 1), "'yesterday'"),
        (whole.replacen("\"started\"", "\"begun\"", 1), "run.started"),
        (whole.replacen("\"env_key\": \"", "\"env_key\": \"00", 1), "have the key"),
        ("{}".to_owned(), "run.started"),
        ("{".to_owned(), "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        refused(&add, &[name]);
    }
    fs::remove_file(&file).unwrap();
    refused(&add, &["host.json", "no such file"]);
    fs::write(&file, whole).unwrap();
    fs::write(run.join(ThroughputRow::FILE), "torn").unwrap();
    refused(&add, &["throughput.csv", "line 1"]);
    for row in [LatencyRow::FILE, ThroughputRow::FILE] {
        fs::remove_file(run.join(row)).unwrap();
    }
    refused(&add, &[text(&run), "no results here"]);
    refused(&["history", "add", "/no/such/folder", "--history", text(&history)], &["/no/such/folder"]);
    assert!(!history.exists() && !dir.path().join("kept").exists());

    for verb in ["show", "plot"] {
        refused(&["history", verb, "--history", text(&history)], &["no history yet", "history add"]);
    }
}

#[test]
fn a_history_is_shown_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join(HistoryRow::FILE);
    let run = dir.path().join("run");
    let add = ["history", "add", text(&run), "--history", text(&history)];
    let mut host = host(0);
    host.run.anchors = Some(Baselines { start: anchors(1.0), ..Baselines::default() });
    results(&run, &host, 5000.0);
    done(&add);
    let charts = dir.path().join("charts");
    let plot = ["history", "plot", "--history", text(&history), "--out", text(&charts)];
    assert!(done(&plot).contains("2 charts of one run"));
    let one = fs::read_to_string(charts.join("pipe.svg")).unwrap();
    assert!(one.starts_with("<svg") && one.contains("one run, of 2026-03-01") && one.contains("5.00 µs"));
    assert!(fs::read_to_string(charts.join("machine.svg")).unwrap().contains("130 ns"));

    // Another kernel, and a run on it.
    host.kernel.release = Some("99.9".into());
    host.environment = Some(host::Environment::of(&host));
    host.run.started = Some("2026-03-02T00:00:00Z".into());
    results(&run, &host, 4000.0);
    done(&add);
    let shown = done(&["history", "show", "--history", text(&history)]);
    assert!(
        shown.contains("all 2 runs") && shown.contains("kernel_release: '") && shown.contains("→ '99.9'"),
        "{shown}"
    );
    let line = shown.lines().find(|line| line.starts_with("latency/pipe")).unwrap();
    assert!(line.trim_end().ends_with(" µs"), "no change is told of another environment: {line}");
    let last = done(&["history", "show", "latency", "--last", "1", "--format", "json", "--history", text(&history)]);
    let json: serde_json::Value = serde_json::from_str(&last).expect("JSON and nothing else");
    assert_eq!((json["runs"].as_array().unwrap().len(), json["rows"].as_array().unwrap().len()), (1, 1));
    assert_eq!((&json["rows"][0]["p50_ns"], &json["rows"][0]["msgs_per_s"]), (&4000.0.into(), &().into()));
    assert_eq!(json["environments"].as_object().unwrap().len(), 1);
    let csv = done(&["history", "show", "--format", "csv", "--history", text(&history)]);
    assert_eq!(csv, fs::read_to_string(&history).unwrap());
    done(&plot);
    let two = fs::read_to_string(charts.join("pipe.svg")).unwrap();
    assert!(two.contains("2 environments") && two.contains("99.9") && two.contains("Environment B"));
    refused(&["history", "show", "tube", "--history", text(&history)], &["'tube'", "latency/pipe/4096"]);
    refused(&["history", "show", "--last", "0", "--history", text(&history)], &["'0'"]);
}

#[test]
fn a_change_that_lasts_is_told_for_a_while_and_fails_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join(HistoryRow::FILE);
    let mut random = fastrand::Rng::with_seed(1);
    let mut rows = Vec::new();
    for run in 0..140_u32 {
        let machine = 1.0 + f64::from(run % 10) / 100.0;
        let mut noise = || 1.0 + 0.01 * (random.f64() - 0.5);
        let step = if run >= 66 { 1.15 } else { 1.0 };
        let ns = |ns: f64, noise: f64| Some((ns * machine * noise * 10.0).round() / 10.0);
        rows.push(HistoryRow {
            p50_ns: ns(5000.0 * step, noise()),
            anchor_syscall_ns: ns(130.0, noise()),
            anchor_cache_line_ns: ns(110.0, noise()),
            anchor_pipe_ns: ns(40_000.0, noise()),
            anchor_memcpy_ns: ns(60_000.0, noise()),
            ..HistoryRow::empty(
                format!("run-{run:02}"),
                format!("2026-03-01T12:{:02}:{:02}Z", run / 60, run % 60),
                format!("{run:040x}"),
                Some(false),
                "0123456789abcdef".into(),
                "latency/pipe/64/same-core/block/copy".parse().unwrap(),
            )
        });
    }
    for (count, told) in [(68, false), (69, true)] {
        fs::write(&history, rows::to_csv(&rows[..count])).unwrap();
        let shown = done(&["history", "show", "--last", "3", "--history", text(&history)]);
        assert_eq!(shown.contains("slower since run run-66"), told, "{shown}");
        let json = done(&["history", "show", "--last", "1", "--format", "json", "--history", text(&history)]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["warnings"].as_array().unwrap().len(), usize::from(told), "{json}");
        let charts = dir.path().join("charts");
        let printed = done(&["history", "plot", "--history", text(&history), "--out", text(&charts)]);
        assert_eq!(printed.contains("warning: latency/pipe/64/same-core/block/copy: slower"), told, "{printed}");
        assert_eq!(fs::read_to_string(charts.join("pipe.svg")).unwrap().contains("time +1"), told);
    }
    // After as many runs again that is how it is, and no news.
    fs::write(&history, rows::to_csv(&rows)).unwrap();
    let shown = done(&["history", "show", "--history", text(&history)]);
    assert!(shown.contains("No lasting change found"), "{shown}");
    let json = done(&["history", "show", "--last", "1", "--format", "json", "--history", text(&history)]);
    assert!(json.contains("run-66"), "{json}");
}

/// The history may lie elsewhere: what a link leads to is read and written, and what lies beside it.
#[test]
fn a_link_is_followed_and_stays_one() {
    let (dir, run, history) = folder(&host(5));
    done(&["history", "add", text(&run), "--history", text(&history)]);
    let link = dir.path().join("link.csv");
    std::os::unix::fs::symlink(&history, &link).unwrap();
    let book = Book::read(&link).unwrap();
    assert_eq!(book, Book::read(&history).unwrap());
    assert_eq!(book.environments.len(), 1);
    results(&run, &host(6), 6000.0);
    done(&["history", "add", text(&run), "--history", text(&link)]);
    assert!(link.is_symlink());
    assert_eq!(Book::read(&history).unwrap().runs.len(), 2);
    assert!(!dir.path().join(ENVIRONMENTS).exists());
    // The disk that it leads to is not there.
    fs::rename(dir.path().join("kept"), dir.path().join("away")).unwrap();
    refused(&["history", "add", text(&run), "--history", text(&link)], &[text(&link)]);
    assert!(link.is_symlink() && !history.exists());
}

#[test]
fn a_run_that_is_long_enough_has_anchors() {
    let dir = tempfile::tempdir().unwrap();
    let (run, history) = (dir.path().join("run"), dir.path().join(HistoryRow::FILE));
    // 140 pairs of 37 ms: just more than it takes for a run to have them.
    let measure = |forks| {
        done(&["run", "latency/pipe/64/same-core/block", "--forks", forks, "--out", text(&run)]);
    };
    measure("140");
    let host = Host::read(&run).unwrap().unwrap();
    let Baselines { start, middle, end } = host.run.anchors.expect("anchors");
    for taken in [start, middle, end] {
        let taken = taken.expect("at all three moments");
        assert!(taken.syscall_ns.is_some() && taken.memcpy_ns.is_some(), "{taken:?}");
    }
    done(&["history", "add", text(&run), "--history", text(&history)]);
    assert!(Book::read(&history).unwrap().rows[0].anchor_syscall_ns.is_some());

    measure("2");
    assert_eq!(Host::read(&run).unwrap().unwrap().run.anchors, None, "a short one has none");
}
