//! What a run leaves in its folder: the whole run or the whole one before it, whatever happens, and no file of others less.

use bench_harness::{
    STANDARD,
    plan::Plan,
    run::{self, Results},
    selection::{Depth, Selection},
};
use bench_lab::topology::Topology;
use bench_record::{
    cell::{Placement, Workload},
    fault::Fault,
    rows::{self, FaultRow, Row as _, folder},
};
use ipc_conformance::{Suite, Verdict, run_all, surroundings};
use ipc_core::{Wait, process};
use nix::sys::{
    signal::{Signal, kill},
    statvfs::statvfs,
};
use std::{
    collections::BTreeMap,
    env::{set_current_dir, temp_dir},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

/// Room on the filesystem of these tests.
const ROOM: usize = 8 << 20;

fn main() {
    let room = || surroundings::isolate(ROOM);
    run_all([Suite::new("folders")
        .within(Duration::from_secs(60))
        .prepared("a_full_disk_leaves_the_run_before", room, a_full_disk_leaves_the_run_before)
        .prepared("a_mount_point_and_the_current_folder_will_do", room, a_mount_point_and_the_current_folder_will_do)
        .prepared("a_kill_leaves_one_run_or_the_other", room, a_kill_leaves_one_run_or_the_other)
        .prepared("of_two_at_once_one_is_there", room, of_two_at_once_one_is_there)
        .prepared("files_of_others_stay", room, files_of_others_stay)
        .prepared("faults_of_another_machine_are_marked", room, faults_of_another_machine_are_marked)
        .test("nothing_measured_is_no_success", nothing_measured_is_no_success)
        .test("folders_are_relative_to_where_it_runs", folders_are_relative_to_where_it_runs)])
}

/// Makes an error of what the assertion says.
macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A run of one latency cell for each of `sizes`.
fn measured(sizes: &[usize]) -> std::result::Result<Results, String> {
    let topology = Topology::here().map_err(said)?;
    let selection = Selection {
        depth: Depth::Quick,
        mechanisms: STANDARD.named("pipe").into_iter().collect(),
        workloads: vec![Workload::Latency],
        sizes: sizes.to_vec(),
        placements: vec![Placement::SameCore],
        waits: vec![Wait::Block],
        pairs: Some(1),
        ..Selection::default()
    };
    let plan = Plan::expand(&STANDARD, &selection, &topology).map_err(said)?;
    Ok(run::measure(plan, &topology, "a test".into()))
}

/// A run and a later one, which has other files.
fn two() -> std::result::Result<[Results; 2], String> {
    Ok([measured(&[64, 128, 256])?, measured(&[64])?])
}

/// An empty folder to write to.
fn folder_for(name: &str) -> std::result::Result<PathBuf, String> {
    let path = temp_dir().join(name);
    fs::create_dir_all(&path).map_err(said)?;
    Ok(path)
}

/// All files in `dir`, with what is in them.
fn state(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(state(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// What `results` look like in `dir`; `dir` is empty before and afterwards.
fn looks(results: &Results, dir: &Path) -> std::result::Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    results.write(dir).map_err(said)?;
    let all = state(dir);
    fs::remove_dir_all(dir).and_then(|()| fs::create_dir(dir)).map_err(said)?;
    Ok(all)
}

fn a_full_disk_leaves_the_run_before() -> Verdict {
    let [old, new] = two()?;
    let dir = folder_for("out")?;
    let [before, after] = [looks(&old, &dir)?, looks(&new, &dir)?];
    let need: usize = after.values().map(Vec::len).sum();
    let filler = temp_dir().join("filler");
    old.write(&dir).map_err(said)?;
    let (mut failed, mut free) = (0, 0);
    // From no room at all to enough for all, page by page, so that each file is once the first that has none.
    loop {
        let there = statvfs(&temp_dir()).map_err(said)?;
        let available = there.blocks_available() as usize * there.fragment_size() as usize;
        fs::write(&filler, vec![0; available.saturating_sub(free)]).map_err(said)?;
        let written = new.write(&dir);
        let kept = state(&dir);
        fs::remove_file(&filler).map_err(said)?;
        match written {
            Err(error) => {
                ensure!(kept == before, "{free} bytes free: changed by what failed: {error}");
                ensure!(error.to_string().contains("No space left") && !error.to_string().contains("draft"), "{error}");
                failed += 1;
            }
            Ok(_) => {
                ensure!(kept == after, "{free} bytes free: not all of the new run is there");
                break;
            }
        }
        bench_report::build(&dir, &STANDARD.specs()).map_err(said)?;
        free += 4 << 10;
        ensure!(free < 2 * need + (1 << 20), "{free} bytes are not enough for {need}");
    }
    ensure!(failed > 10, "only {failed} sizes were too small");
    Ok(())
}

fn a_mount_point_and_the_current_folder_will_do() -> Verdict {
    let [old, new] = two()?;
    let dir = temp_dir();
    set_current_dir(&dir).map_err(said)?;
    for results in [&old, &new] {
        results.write(Path::new(".")).map_err(said)?;
        ensure!(Path::new("latency.csv").exists(), "the current folder is another one");
        let read = bench_report::Results::read(&dir, &STANDARD.specs()).map_err(said)?;
        ensure!(read.rows.latency.len() == results.found.rows.latency.len(), "not the run that was written");
    }
    ensure!(
        state(&dir).keys().filter(|path| path.extension().is_some_and(|e| e == "hgrm")).count() == 1,
        "old listings stay"
    );
    Ok(())
}

fn a_kill_leaves_one_run_or_the_other() -> Verdict {
    let [old, new] = two()?;
    let dir = folder_for("out")?;
    let looks = [looks(&old, &dir)?, looks(&new, &dir)?];
    old.write(&dir).map_err(said)?;
    for round in 0..24 {
        let mut child = process::fork(|| {
            loop {
                let (Ok(_), Ok(_)) = (new.write(&dir), old.write(&dir)) else { return 1 };
            }
        })
        .map_err(said)?;
        // Long enough to be amid the files of a run, each time elsewhere.
        sleep(Duration::from_micros(2_000 + 1_700 * round));
        kill(child.pid(), Signal::SIGKILL).map_err(said)?;
        child.wait(Duration::from_secs(10)).map_err(said)?;
        drop(folder::settle(&dir).map_err(said)?);
        let kept = state(&dir);
        let whole: BTreeMap<_, _> =
            kept.into_iter().filter(|(path, _)| !path.to_string_lossy().contains("/.ipc-bench-draft-")).collect();
        ensure!(looks.contains(&whole), "round {round}: neither of the two runs: {:?}", whole.keys());
    }
    // What the killed ones left goes.
    old.write(&dir).map_err(said)?;
    ensure!(state(&dir) == looks[0], "something of killed runs is left: {:?}", state(&dir).keys());
    Ok(())
}

fn of_two_at_once_one_is_there() -> Verdict {
    let runs = two()?;
    let dir = folder_for("out")?;
    let looks = [looks(&runs[0], &dir)?, looks(&runs[1], &dir)?];
    let write = |results: &Results| i32::from((0..12).any(|_| results.write(&dir).is_err()));
    let children = [process::fork(|| write(&runs[0])), process::fork(|| write(&runs[1]))];
    for child in children {
        let exit = child.map_err(said)?.wait(Duration::from_secs(30)).map_err(said)?;
        ensure!(exit == Some(process::Exit::Code(0)), "a writer failed: {exit:?}");
    }
    ensure!(looks.contains(&state(&dir)), "files of both runs: {:?}", state(&dir).keys());
    Ok(())
}

fn bench(args: &[&str]) -> std::result::Result<Output, String> {
    Command::new(env!("CARGO_BIN_EXE_ipc-bench")).args(args).output().map_err(said)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A run of one cell in the current folder, with `more` arguments.
fn quick(more: &[&str]) -> std::result::Result<Output, String> {
    let few = ["run", "--quick", "--forks", "1", "--placement", "same-core", "--wait", "block", "--size", "64"];
    bench(&[&few[..], more].concat())
}

fn files_of_others_stay() -> Verdict {
    let [old, new] = two()?;
    let dir = folder_for("out")?;
    let mine = ["notes.txt", "charts/mine.svg", "histograms/mine.hgrm", "histograms/all.txt"];
    fs::create_dir_all(dir.join("charts")).and_then(|()| fs::create_dir_all(dir.join("histograms"))).map_err(said)?;
    for name in mine {
        fs::write(dir.join(name), "mine").map_err(said)?;
    }
    old.write(&dir).map_err(said)?;
    new.write(&dir).map_err(said)?;
    for name in mine {
        ensure!(fs::read(dir.join(name)).is_ok_and(|text| text == b"mine"), "{name} is gone");
    }
    // What a run would replace is looked at before measuring.
    for name in ["README.md", "report.html", "host.json", "latency.csv", "relay.csv"] {
        let dir = folder_for(&format!("with-{name}"))?;
        fs::write(dir.join(name), "mine").map_err(said)?;
        let output = quick(&["latency/pipe", "--out", dir.to_str().unwrap_or_default()])?;
        let text = stderr(&output);
        ensure!(output.status.code() == Some(2) && text.contains(name) && text.contains("--out"), "{name}: {text}");
        ensure!(state(&dir).len() == 1, "{name}: {:?}", state(&dir).keys());
    }
    // Nor do counts of copies get into a run that has counted its own.
    let output = bench(&["copies", "copies/pipe/4096", "--out", dir.to_str().unwrap_or_default()])?;
    ensure!(output.status.code() == Some(2) && stderr(&output).contains("holds a run"), "{}", stderr(&output));
    // And a file of a run is none of somebody else's.
    let output = quick(&["latency/pipe", "--out", dir.to_str().unwrap_or_default()])?;
    ensure!(output.status.success(), "{}", stderr(&output));
    Ok(())
}

/// A row of faults from some machine.
fn fault(machine: &str) -> FaultRow {
    FaultRow {
        trials: 2,
        learned: "end of file 2".into(),
        p50_ns: Some(1000.0),
        p99_ns: Some(1000.0),
        max_ns: Some(1000.0),
        measured: "2026-03-01T12:30:05Z".into(),
        machine: machine.into(),
        ..FaultRow::empty("pipe".into(), Fault::KillSender)
    }
}

fn faults_of_another_machine_are_marked() -> Verdict {
    let run = measured(&[64])?;
    let dir = folder_for("out")?;
    for (machine, other) in [("a machine · Linux".to_owned(), true), (run.host.title(), false)] {
        rows::write(&dir, &[fault(&machine)]).map_err(said)?;
        run.write(&dir).map_err(said)?;
        ensure!(dir.join(FaultRow::FILE).exists(), "the faults are gone");
        for file in ["README.md", "report.html"] {
            let text = fs::read_to_string(dir.join(file)).map_err(said)?;
            ensure!(text.contains("2026-03-01T12:30:05Z"), "{file} does not say when");
            ensure!(text.contains("another machine") == other, "{file}: {machine} is another machine: {other}");
        }
    }
    Ok(())
}

fn nothing_measured_is_no_success() -> Verdict {
    let dir = tempfile::tempdir().map_err(said)?;
    let text = |path: PathBuf| path.to_str().unwrap_or_default().to_owned();
    let out = text(dir.path().join("good"));
    let good = quick(&["--mechanism", "pipe", "--out", &out])?;
    ensure!(good.status.success(), "{}", stderr(&good));
    let before = state(Path::new(&out));

    let too_long = ["--mechanism", "posix-mq", "--size", "64K", "--workload", "latency,throughput,cost"];
    let run = ["run", "--quick", "--forks", "1", "--placement", "same-core", "--wait", "block", "--out", &out];
    let mut calls = vec![(bench(&[&run[..], &too_long].concat())?, "cannot pass")];
    let few_files = |args: &[&str]| {
        // With ten, a build under the address sanitizer measures a pair.
        let words = ["-c", "ulimit -n 9 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ipc-bench")];
        Command::new("sh").args(words).args(args).output().map_err(said)
    };
    calls.push((few_files(&[&run[..], &["--mechanism", "pipe,posix-shm", "--size", "64"]].concat())?, "EMFILE"));
    calls.push((few_files(&["faults", "pipe/kill", "--kills", "2", "--out", &out])?, "EMFILE"));
    calls.push((few_files(&["copies", "copies/pipe/4096", "--out", &text(dir.path().join("copies"))])?, ""));
    for (output, reason) in calls {
        let text = stderr(&output);
        ensure!(output.status.code() == Some(2), "{:?}: {text}", output.status);
        ensure!(text.starts_with("error: nothing was") && text.contains("no figure in"), "{text}");
        ensure!(text.contains(reason) && output.stdout.is_empty(), "without '{reason}': {text}");
        ensure!(state(Path::new(&out)) == before, "the run before has changed: {text}");
    }

    // A folder of such a run is of no use to anybody.
    let csv = Path::new(&out).join("latency.csv");
    let mut rows: Vec<rows::LatencyRow> = rows::read(csv.parent().unwrap_or(Path::new("."))).map_err(said)?;
    for row in &mut rows {
        *row = rows::LatencyRow { error: "refused".into(), ..rows::LatencyRow::empty(&cell_of(row)?) };
    }
    for file in ["throughput.csv", "cost.csv", "copies.csv", "lifecycle.csv"] {
        let _ = fs::remove_file(Path::new(&out).join(file));
    }
    rows::write(Path::new(&out), &rows).map_err(said)?;
    let history = text(dir.path().join("history.csv"));
    for args in [&["report", &out][..], &["history", "add", &out, "--history", &history], &["export", "bencher", &out]]
    {
        let output = bench(args)?;
        ensure!(output.status.code() == Some(2), "{args:?}: {:?} {}", output.status, stderr(&output));
        ensure!(stderr(&output).contains("figure"), "{args:?}: {}", stderr(&output));
    }
    ensure!(!Path::new(&history).exists(), "a history was begun");
    Ok(())
}

fn cell_of(row: &rows::LatencyRow) -> std::result::Result<bench_record::cell::Cell, String> {
    row.key().to_string().parse()
}

fn folders_are_relative_to_where_it_runs() -> Verdict {
    let dir = tempfile::tempdir().map_err(said)?;
    set_current_dir(dir.path()).map_err(said)?;
    let program = dir.path().join("copied");
    fs::copy(env!("CARGO_BIN_EXE_ipc-bench"), &program).map_err(said)?;
    let run = |args: &[&str]| Command::new(&program).args(args).output().map_err(said);
    let few = ["run", "--quick", "--forks", "1", "latency/pipe/64/same-core/block"];
    let output = run(&few)?;
    ensure!(output.status.success(), "{}", stderr(&output));
    ensure!(Path::new("results/partial/report.html").exists(), "{:?}", state(dir.path()).keys());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(printed.lines().any(|line| line.contains("written to results/partial")), "{printed}");

    let output = run(&["report"])?;
    ensure!(output.status.code() == Some(2) && stderr(&output).contains("results/latest"), "{}", stderr(&output));
    fs::rename("results/partial", "results/latest").map_err(said)?;
    for args in [&["report"][..], &["export", "github-latency"], &["history", "add"], &["history", "plot"]] {
        let output = run(args)?;
        ensure!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    ensure!(Path::new("results/history.csv").exists() && Path::new("results/history/pipe.svg").exists(), "no history");
    Ok(())
}
