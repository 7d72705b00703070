//! Runs trials of one kind, one after the other, until enough are in the file.

use crate::{
    file::Growing,
    gate::Gate,
    judge,
    rows::{CellRow, Kind, TrialRow},
};
use anyhow::{Context, anyhow, bail};
use bench_gate::report::Report;
use bench_lab::gather;
use bench_record::{cell::Cell, host::Environment, rows::Row};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The settings of a series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The kind of trial.
    pub kind: Kind,
    /// The gate to run.
    pub gate: Gate,
    /// The number of trials of this kind in the file at which the series ends.
    pub count: u32,
    /// Time limit of the series. No trial begins if it would exceed the limit, judged by the duration of the last one.
    pub limit: Option<Duration>,
    /// The cells that are slowed down in turn. If empty, those that the trials of `same` measured.
    pub cells: Vec<Cell>,
    /// The folder of the result files.
    pub results: PathBuf,
}

/// The reason why a series ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The file has as many trials as requested.
    Complete,
    /// The time limit is reached.
    OutOfTime,
    /// The series was asked to stop.
    Interrupted,
}

impl Series {
    /// Continues from the end of the file. Reports each result to `say`.
    ///
    /// # Errors An error if nothing can be added to a result file, or if a gate ends without a verdict. What was measured
    /// before is in the file.
    pub fn run(&self, stop: &dyn Fn() -> bool, say: &mut dyn FnMut(&str)) -> anyhow::Result<End> {
        let mut trials = Growing::<TrialRow>::open(&self.results)?;
        let mut figures = (self.kind == Kind::Same).then(|| Growing::<CellRow>::open(&self.results)).transpose()?;
        let of_kind = |row: &&TrialRow| row.kind == self.kind;
        let (kind, plan, file) = (self.kind.name(), &self.gate.plan, self.results.join(TrialRow::FILE));
        if let Some(other) = trials.rows().iter().filter(of_kind).find(|row| row.plan != *plan) {
            let file = file.display();
            bail!("{file}: trials of {kind} are of plan {}: use --plan {0}, or --results elsewhere", other.plan);
        }
        let slowed = if self.kind.percent().is_some() { self.slowed(plan, trials.rows())? } else { Vec::new() };
        let start = Instant::now();
        let mut last = Duration::ZERO;
        loop {
            let done = trials.rows().iter().filter(of_kind).count();
            if done >= self.count as usize {
                return Ok(End::Complete);
            }
            if stop() {
                return Ok(End::Interrupted);
            }
            if self.limit.is_some_and(|limit| start.elapsed() + last > limit) {
                return Ok(End::OutOfTime);
            }
            // Figures without a trial come from a trial that ended between the two writes. Its number is not used again.
            let used = trials.rows().iter().filter(of_kind).map(|row| row.seed);
            let figured = figures.iter().flat_map(Growing::rows).map(|row| row.seed);
            let seed = used.chain(figured).max().unwrap_or(0) + 1;
            let slower = slowed.get((seed as usize - 1) % slowed.len().max(1)).copied();
            let began = Instant::now();
            let trial = format!("trial {seed} of {kind}");
            let dealt = (self.kind == Kind::Shuffled).then(|| self.gate.dealt(seed)).transpose()?;
            let gate = dealt.as_ref().unwrap_or(&self.gate);
            let Some(report) = gate.run(seed, slower.zip(self.kind.percent()), stop).with_context(|| trial.clone())?
            else {
                return Ok(End::Interrupted);
            };
            last = began.elapsed();
            let row = judge::trial(self.kind, slower, &report).map_err(|why| anyhow!(why)).context(trial)?;
            let row = TrialRow { env_key: env_key(&report), ..row };
            let told = tell(&row);
            if let Some(figures) = &mut figures {
                figures.add(judge::cells(&report))?;
            }
            trials.add(vec![row])?;
            say(&format!("{kind} {} of {}: {told}", done + 1, self.count));
        }
    }

    /// The cells to slow down, in turn.
    fn slowed(&self, plan: &str, trials: &[TrialRow]) -> anyhow::Result<Vec<Cell>> {
        if !self.cells.is_empty() {
            return Ok(self.cells.clone());
        }
        let rows = bench_record::rows::read_any::<CellRow>(&self.results)?;
        // The last trial shows best which cells the plan has today.
        let mut same = trials.iter().rev().filter(|row| row.kind == Kind::Same && row.plan == plan);
        let last = same.next().map(|row| row.seed);
        let measured =
            rows.iter().filter(|row| Some(row.seed) == last && row.base_ns.is_some() && row.head_ns.is_some());
        let mut cells: Vec<Cell> = Vec::new();
        for row in measured {
            if !cells.contains(&row.cell) {
                cells.push(row.cell);
            }
        }
        if cells.is_empty() {
            let file = self.results.join(CellRow::FILE);
            bail!(
                "which cells plan {plan} holds is not known yet: {} tells after a trial of {}; or name them with --cell",
                file.display(),
                Kind::Same.name()
            );
        }
        Ok(cells)
    }
}

/// The environment of a trial: this machine, and the build of the base.
fn env_key(report: &Report) -> String {
    let build = report.base.identity.as_ref().map(|identity| identity.build.clone()).unwrap_or_default();
    Environment::of(&gather::host(build)).env_key
}

fn tell(row: &TrialRow) -> String {
    let mut text = format!("{}, {:.0} s", row.outcome, row.duration_s);
    match row.found {
        Some(true) => text += &format!("; found {}", row.cell),
        Some(false) => text += &format!("; not found {}", row.cell),
        None => {}
    }
    for (what, names) in [("called slower", &row.alarms), ("note", &row.note)] {
        if !names.is_empty() {
            text += &format!("; {what}: {names}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{cell, report};
    use bench_gate::report::{Outcome, Status};
    use std::{cell::Cell as Counter, fs, path::Path};

    const PIPE: &str = "latency/pipe/64/same-core/block/copy";
    const UDP: &str = "throughput/udp/64/same-core/block/copy";

    /// A series with a gate that repeats what is stored in the folder `dir`, which also holds its base.
    fn series(dir: &Path, kind: Kind, count: u32) -> Series {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stub-gate.sh");
        let gate = Gate { program, plan: "twelve".into(), base: vec![dir.join("base")], head: vec![dir.join("head")] };
        Series { kind, gate, count, limit: None, cells: Vec::new(), results: dir.join("results") }
    }

    /// Stores what the gate will report next.
    fn says(dir: &Path, code: &str, report: &Report) {
        // The script replaces SEED with the seed that it is called with.
        let text = serde_json::to_string(report).unwrap().replace("\"seed\":1,", "\"seed\":SEED,");
        fs::write(dir.join("gate.json"), text).unwrap();
        fs::write(dir.join("code"), code).unwrap();
    }

    fn passed() -> Report {
        report(Outcome::Passed, vec![cell(PIPE, Status::Unchanged), cell(UDP, Status::Unchanged)])
    }

    /// The arguments of every call of the gate, one line per call.
    fn calls(dir: &Path) -> Vec<String> {
        fs::read_to_string(dir.join("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn run(series: &Series) -> anyhow::Result<End> {
        series.run(&|| false, &mut |_| {})
    }

    fn trials(dir: &Path) -> Vec<TrialRow> {
        bench_record::rows::read(&dir.join("results")).unwrap()
    }

    #[test]
    fn a_series_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        assert_eq!(run(&series(dir.path(), Kind::Same, 2)).unwrap(), End::Complete);
        // Other kinds count their trials separately.
        assert_eq!(run(&series(dir.path(), Kind::Slower5, 1)).unwrap(), End::Complete);
        assert_eq!(run(&series(dir.path(), Kind::Same, 5)).unwrap(), End::Complete);
        assert_eq!(run(&series(dir.path(), Kind::Same, 5)).unwrap(), End::Complete);
        let seeds: Vec<_> = trials(dir.path()).iter().map(|row| (row.kind, row.seed)).collect();
        let same = |seed| (Kind::Same, seed);
        assert_eq!(seeds, [same(1), same(2), (Kind::Slower5, 1), same(3), same(4), same(5)]);
        assert_eq!(calls(dir.path()).len(), 6);
        let cells: Vec<CellRow> = bench_record::rows::read(&dir.path().join("results")).unwrap();
        assert_eq!(cells.iter().map(|row| row.seed).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn figures_of_a_trial_that_was_not_recorded_keep_their_number() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        run(&series(dir.path(), Kind::Same, 2)).unwrap();
        let path = dir.path().join("results").join(TrialRow::FILE);
        let text = fs::read_to_string(&path).unwrap();
        let without: Vec<_> = text.lines().take(2).collect();
        fs::write(&path, without.join("\n") + "\n").unwrap();
        run(&series(dir.path(), Kind::Same, 2)).unwrap();
        assert_eq!(trials(dir.path()).iter().map(|row| row.seed).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn cells_are_slowed_down_in_turn_in_the_head_alone() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        let error = run(&series(dir.path(), Kind::Slower10, 3)).unwrap_err().to_string();
        assert!(error.contains("--cell") && error.contains(CellRow::FILE), "{error}");
        run(&series(dir.path(), Kind::Same, 1)).unwrap();
        run(&series(dir.path(), Kind::Slower10, 3)).unwrap();
        let injected: Vec<_> = trials(dir.path()).iter().skip(1).map(|row| row.cell.clone()).collect();
        assert_eq!(injected, [PIPE, UDP, PIPE]);
        let calls = calls(dir.path());
        assert!(calls[0].starts_with("inject= ") && calls[0].contains("--plan twelve"), "{calls:?}");
        assert!(calls[1].starts_with(&format!("inject={PIPE}:10 ")) && calls[1].contains("--seed 1 "), "{calls:?}");
        assert!(calls[2].starts_with(&format!("inject={UDP}:10 ")) && calls[2].contains("--seed 2 "), "{calls:?}");
    }

    /// Each trial has other builds on both sides, and no build is on both.
    #[test]
    fn builds_of_one_source_are_dealt_anew() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        let mut shuffled = series(dir.path(), Kind::Shuffled, 4);
        let error = format!("{:#}", run(&shuffled).unwrap_err());
        assert!(error.contains("2 builds") && error.contains("at least 6"), "{error}");
        for (side, name) in [(&mut shuffled.gate.base, "base"), (&mut shuffled.gate.head, "head")] {
            *side = (1..=6).map(|seed| dir.path().join(format!("{name}-{seed}"))).collect();
        }
        run(&shuffled).unwrap();
        let dealt: Vec<Vec<String>> = calls(dir.path())
            .iter()
            .map(|call| {
                let words: Vec<&str> = call.split(' ').collect();
                let pairs = words.windows(2).filter(|pair| ["--base", "--head"].contains(&pair[0]));
                pairs.map(|pair| pair.join(" ")).collect()
            })
            .collect();
        assert_eq!(dealt.len(), 4);
        for (i, builds) in dealt.iter().enumerate() {
            assert_eq!(builds.iter().filter(|build| build.starts_with("--base")).count(), 3);
            let files: std::collections::BTreeSet<&str> = builds.iter().map(|build| &build[7..]).collect();
            assert_eq!(files.len(), 6, "{builds:?}");
            assert!(!dealt[..i].contains(builds), "{builds:?}");
        }
    }

    #[test]
    fn a_regression_that_was_found_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let found = vec![cell(PIPE, Status::Regressed), cell(UDP, Status::Regressed)];
        says(dir.path(), "1", &report(Outcome::Regressed, found));
        run(&series(dir.path(), Kind::PipeCall, 1)).unwrap();
        let row = &trials(dir.path())[0];
        assert_eq!((row.found, row.cell.as_str(), row.alarms.as_str()), (Some(true), PIPE, UDP));
    }

    #[test]
    fn an_inconclusive_gate_is_recorded_as_such() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "3", &report(Outcome::Inconclusive, vec![cell(PIPE, Status::Unresolved)]));
        assert_eq!(run(&series(dir.path(), Kind::Same, 1)).unwrap(), End::Complete);
        let row = &trials(dir.path())[0];
        assert_eq!((row.outcome, row.note.as_str()), (Outcome::Inconclusive, "a reason; 1 unresolved"));
    }

    #[test]
    fn a_gate_without_a_verdict_is_no_trial() {
        let dir = tempfile::tempdir().unwrap();
        for (code, names) in [
            ("2", "exit code 2"),
            ("4", "exit code 4"),
            ("killed", "signal 9"),
            ("1", "says regressed, its gate.json passed"),
            ("silent", "left no gate.json"),
        ] {
            says(dir.path(), code, &passed());
            let error = format!("{:#}", run(&series(dir.path(), Kind::Same, 3)).unwrap_err());
            assert!(error.starts_with("trial 1 of same: ") && error.contains(names), "{error}");
            assert_eq!(trials(dir.path()), []);
        }
        let mut absent = series(dir.path(), Kind::Same, 3);
        absent.gate.program = dir.path().join("absent");
        let error = format!("{:#}", run(&absent).unwrap_err());
        assert!(error.contains("cannot start") && error.contains("absent"), "{error}");
    }

    #[test]
    fn a_report_of_another_plan_or_seed_is_no_trial() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = passed();
        other.plan = "smoke".into();
        says(dir.path(), "0", &other);
        let error = format!("{:#}", run(&series(dir.path(), Kind::Same, 1)).unwrap_err());
        assert!(error.contains("smoke"), "{error}");
        other = passed();
        other.seed = 7;
        says(dir.path(), "0", &other);
        let error = format!("{:#}", run(&series(dir.path(), Kind::Same, 1)).unwrap_err());
        assert!(error.contains("seed 7"), "{error}");
        assert_eq!(trials(dir.path()), []);
    }

    #[test]
    fn trials_of_two_plans_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        run(&series(dir.path(), Kind::Same, 1)).unwrap();
        let mut other = series(dir.path(), Kind::Same, 2);
        other.gate.plan = "smoke".into();
        let error = run(&other).unwrap_err().to_string();
        assert!(error.contains("--plan twelve"), "{error}");
    }

    #[test]
    fn a_torn_file_stops_the_series_before_the_gate_runs() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        run(&series(dir.path(), Kind::Same, 2)).unwrap();
        let path = dir.path().join("results").join(TrialRow::FILE);
        let torn = fs::read_to_string(&path).unwrap().trim_end().to_owned();
        fs::write(&path, &torn).unwrap();
        let error = run(&series(dir.path(), Kind::Same, 3)).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains(TrialRow::FILE), "{error}");
        assert_eq!((calls(dir.path()).len(), fs::read_to_string(&path).unwrap()), (2, torn));
    }

    #[test]
    fn an_interrupted_trial_is_stopped_and_not_recorded() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "waits", &passed());
        // Stop once the gate has started.
        let asked = || dir.path().join("calls").exists();
        let end = series(dir.path(), Kind::Same, 2).run(&asked, &mut |_| {}).unwrap();
        assert_eq!((end, trials(dir.path())), (End::Interrupted, Vec::new()));
        assert_eq!(fs::read_to_string(dir.path().join("signal")).unwrap().trim(), "TERM");
    }

    #[test]
    fn between_trials_it_stops_by_request_or_by_time() {
        let dir = tempfile::tempdir().unwrap();
        says(dir.path(), "0", &passed());
        let told = Counter::new(0);
        let end =
            series(dir.path(), Kind::Same, 9).run(&|| told.get() == 2, &mut |_| told.set(told.get() + 1)).unwrap();
        assert_eq!((end, trials(dir.path()).len()), (End::Interrupted, 2));
        let mut short = series(dir.path(), Kind::Same, 9);
        // The first trial always begins. It takes longer than this limit.
        short.limit = Some(Duration::from_millis(1));
        assert_eq!((run(&short).unwrap(), trials(dir.path()).len()), (End::OutOfTime, 3));
    }
}
