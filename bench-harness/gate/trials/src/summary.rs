//! Summarises all trials: how often the gate was right, with bounds, and what stored figures would have said.

use crate::{
    rows::{CellRow, Kind, Tier, TrialRow},
    stored::{self, Against, Share},
};
use bench_gate::report::Outcome;
use bench_report::table::{Column, Table, texts};
use statrs::function::beta::inv_beta_reg;

/// The tables of the summary.
pub fn tables(trials: &[TrialRow], cells: &[CellRow]) -> Vec<Table> {
    vec![right(trials), beside(trials, cells)]
}

/// Clopper and Pearson's 95 % bounds of the share `count` of `of` (Biometrika 26, 1934). They contain the true share at least
/// 95 times in 100, however small it is.
pub fn bounds(count: u32, of: u32) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    let (x, n) = (f64::from(count), f64::from(of));
    let lo = if count == 0 { 0.0 } else { inv_beta_reg(x, n - x + 1.0, TAIL) };
    let hi = if count == of { 1.0 } else { inv_beta_reg(x + 1.0, n - x, 1.0 - TAIL) };
    (lo, hi)
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Same => "unchanged",
        Kind::Shuffled => "unchanged, functions in another order",
        Kind::Slower10 => "one cell slower by 10 %",
        Kind::Slower5 => "one cell slower by 5 %",
        Kind::RingCopy => "one copy more in the ring",
        Kind::PipeCall => "one system call more in the pipe",
    }
}

const fn goal(kind: Kind) -> &'static str {
    match kind {
        Kind::Same => "0 of 100",
        Kind::Shuffled => "0 of 30",
        Kind::Slower10 => "59 of 60",
        Kind::Slower5 => "55 of 60",
        Kind::RingCopy => "20 of 20",
        Kind::PipeCall => "20 of 20, exact",
    }
}

fn right(trials: &[TrialRow]) -> Table {
    let of = |kind: Kind| trials.iter().filter(move |row| row.kind == kind);
    let mut notes = Vec::new();
    notes.extend(when(trials));
    notes.extend(trials.iter().filter_map(failure));
    Table {
        title: "How often the gate is right".into(),
        explanation: "Each trial is one run of the gate with a known answer. Alarms: runs of unchanged code that found a regression. \
                      Found: runs that found what had become slower; an inconclusive run found nothing. Bounds: 95 % bounds of the \
                      share of all runs, by Clopper and Pearson. Other: runs that also found a regression where there was none. \
                      Minutes: per run."
            .into(),
        columns: vec![
            Column::Words("the head is"),
            Column::Words("result"),
            Column::Figures("95 % bounds"),
            Column::Words("goal"),
            Column::Words("by timing, count, both"),
            Column::Figures("other"),
            Column::Figures("inconclusive"),
            Column::Figures("controls failed"),
            Column::Figures("minutes, median"),
            Column::Figures("longest"),
        ],
        lines: texts(Kind::ALL.into_iter().map(|kind| line(kind, &of(kind).collect::<Vec<_>>()))),
        notes,
    }
}

fn line(kind: Kind, rows: &[&TrialRow]) -> Vec<String> {
    let trials = rows.len() as u32;
    if trials == 0 {
        let empty = std::iter::repeat_n("–".to_owned(), 6);
        let begin = [title(kind).to_owned(), "not measured yet".into(), "–".into(), goal(kind).into()];
        return begin.into_iter().chain(empty).collect();
    }
    let count = |is: &dyn Fn(&TrialRow) -> bool| rows.iter().filter(|row| is(row)).count() as u32;
    let alarmed = count(&|row| row.outcome == Outcome::Regressed && !row.alarms.is_empty());
    let found = count(&|row| row.found == Some(true));
    let (hits, word) = if kind.is_unchanged() { (alarmed, "alarms") } else { (found, "found") };
    let tier = |tier| count(&|row| row.tier == Some(tier));
    let mut seconds: Vec<f64> = rows.iter().map(|row| row.duration_s).collect();
    let median = bench_record::stats::median(&mut seconds).unwrap_or_default();
    let longest = seconds.last().copied().unwrap_or_default();
    vec![
        title(kind).into(),
        format!("{hits} of {trials} {word}"),
        range(hits, trials),
        goal(kind).into(),
        if kind.is_unchanged() {
            "–".into()
        } else {
            [Tier::Timing, Tier::Exact, Tier::Both].map(|each| tier(each).to_string()).join(", ")
        },
        if kind.is_unchanged() { "–".into() } else { alarmed.to_string() },
        count(&|row| row.outcome == Outcome::Inconclusive).to_string(),
        count(&|row| row.controls_held == Some(false)).to_string(),
        format!("{:.1}", median / 60.0),
        format!("{:.1}", longest / 60.0),
    ]
}

fn range(count: u32, of: u32) -> String {
    let (lo, hi) = bounds(count, of);
    format!("{:.1}–{:.1} %", 100.0 * lo, 100.0 * hi)
}

/// The first and the last time of the trials, the environments, and the revisions.
fn when(trials: &[TrialRow]) -> Option<String> {
    let mut times: Vec<&str> = trials.iter().map(|row| row.time.as_str()).collect();
    times.sort_unstable();
    let mut revisions: Vec<&str> = Vec::new();
    for row in trials {
        let revision = if row.git.is_empty() { "unknown" } else { &row.git };
        if !revisions.contains(&revision) {
            revisions.push(revision);
        }
    }
    let mut machines: Vec<&str> = trials.iter().map(|row| row.env_key.as_str()).collect();
    machines.sort_unstable();
    machines.dedup();
    let environments = match machines.len() {
        1 => "one environment".to_owned(),
        several => format!("{several} environments"),
    };
    let (first, last) = times.first().zip(times.last())?;
    Some(format!(
        "Measured from {first} to {last} in {environments}. Revision: {} (+: files differed from it).",
        revisions.join(", ")
    ))
}

/// Describes a trial in which the gate was wrong, in one line. `None` if it was right.
fn failure(row: &TrialRow) -> Option<String> {
    let trial = format!("{}, trial {}", title(row.kind), row.seed);
    let seen = match (row.change, row.lo, row.hi) {
        (Some(change), Some(lo), Some(hi)) => {
            format!(", seen as {:+.1} % [{:+.1}, {:+.1}]", 100.0 * change, 100.0 * lo, 100.0 * hi)
        }
        _ => String::new(),
    };
    let mut parts = Vec::new();
    if row.found == Some(false) {
        parts.push(if row.cell.is_empty() { "not found".into() } else { format!("not found {}{seen}", row.cell) });
    }
    if !row.alarms.is_empty() {
        parts.push(format!("called slower and is not: {}", row.alarms.replace(';', ", ")));
    }
    if row.outcome == Outcome::Inconclusive {
        parts.push(format!("inconclusive ({})", row.note));
    }
    (!parts.is_empty()).then(|| format!("{trial}: {}.", parts.join("; ")))
}

fn beside(trials: &[TrialRow], cells: &[CellRow]) -> Table {
    let runs = stored::runs(trials, cells);
    let percent = |part: u32, of: u32| {
        if of == 0 {
            "not measured yet".into()
        } else {
            format!("{:.0} % ({part} of {of})", 100.0 * f64::from(part) / f64::from(of))
        }
    };
    let line = |what: &str, threshold: &str, share: Share| {
        vec![
            what.into(),
            threshold.into(),
            percent(share.alarmed, share.runs),
            percent(share.slower, share.cells),
            percent(share.faster, share.cells),
        ]
    };
    let of_gate = {
        let alarmed =
            trials.iter().filter(|row| row.kind == Kind::Same && row.outcome == Outcome::Regressed).count() as u32;
        let all = trials.iter().filter(|row| row.kind == Kind::Same).count() as u32;
        let known: Vec<u64> = trials.iter().filter(|row| row.kind == Kind::Same).map(|row| row.seed).collect();
        let status =
            |status| cells.iter().filter(|row| known.contains(&row.seed) && row.status == status).count() as u32;
        use bench_gate::report::Status::{Improved, Regressed};
        let judged = cells.iter().filter(|row| known.contains(&row.seed) && row.head_ns.is_some()).count() as u32;
        Share { runs: all, alarmed, cells: judged, slower: status(Regressed), faster: status(Improved) }
    };
    let mut lines = vec![line("this gate", "its own", of_gate)];
    for (what, against, thresholds) in [
        ("one stored baseline", Against::First, &[0.05, 0.10, 0.20][..]),
        ("any stored baseline", Against::Any, &[0.05, 0.10, 0.20]),
        ("the run before", Against::Previous, &[0.05, 0.10, 0.20]),
        ("base of the same run", Against::Own, &[0.10]),
    ] {
        let each = thresholds.iter().map(|&threshold| {
            line(what, &format!("{:.0} %", 100.0 * threshold), stored::compare(&runs, against, threshold))
        });
        lines.extend(each);
    }
    Table {
        title: "What stored figures would have said of the same runs".into(),
        explanation: "The trials of the same build twice, judged by stored figures. Nothing had changed, so every finding is false. \
                      The head's figure of a cell is the median over the run's rounds. It is compared with one of four figures. \
                      One stored baseline: the base of the first trial. Any stored baseline: the base of every other trial in turn. \
                      The run before: the head of the trial before. Base of the same run: its own base. A cell counts as slower if the \
                      ratio exceeds 1 + threshold. Only trials of one revision in one environment are compared. There are no \
                      bounds: the comparisons share a baseline, so they are not independent."
            .into(),
        columns: vec![
            Column::Words("compared with"),
            Column::Figures("threshold"),
            Column::Figures("runs with a false alarm"),
            Column::Figures("cells called slower"),
            Column::Figures("cells called faster"),
        ],
        lines: texts(lines),
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge,
        sample::{cell, control, count, report},
    };
    use bench_gate::report::{Report, Status};
    use bench_report::table::Field;

    #[test]
    fn bounds_are_those_of_scipy() {
        // scipy.stats.beta.ppf(0.025, x, n - x + 1), beta.ppf(0.975, x + 1, n - x)
        for (count, of, lo, hi) in [
            (0, 100, 0.0, 0.036_216_692_645_176_41),
            (0, 20, 0.0, 0.168_433_470_983_085_3),
            (20, 20, 0.831_566_529_016_914_6, 1.0),
            (59, 60, 0.910_600_949_942_513, 0.999_578_125_547_658),
            (55, 60, 0.816_142_216_623_414_2, 0.972_386_689_662_373_6),
            (1, 300, 8.438_913_231_780_044e-5, 0.018_431_252_048_067_885),
            (3, 7, 0.098_988_278_442_507_86, 0.815_948_433_235_991_9),
        ] {
            let (low, high) = bounds(count, of);
            assert!((low - lo).abs() < 1e-7 && (high - hi).abs() < 1e-7, "{count} of {of}: {low} to {high}");
        }
    }

    const PIPE: &str = "latency/pipe/64/same-core/block/copy";
    const UDP: &str = "throughput/udp/64/same-core/block/copy";

    fn trial(kind: Kind, seed: u64, report: Report) -> TrialRow {
        let slower = kind.percent().map(|_| UDP.parse().unwrap());
        judge::trial(kind, slower, &Report { seed, ..report }).unwrap()
    }

    fn run(outcome: Outcome, pipe: Status, udp: Status) -> Report {
        report(outcome, vec![cell(PIPE, pipe), cell(UDP, udp)])
    }

    #[test]
    fn known_rows_make_a_known_table() {
        use Outcome::{Inconclusive, Passed, Regressed};
        use Status::Unchanged;
        let mut rows: Vec<TrialRow> =
            (1..=97).map(|seed| trial(Kind::Same, seed, run(Passed, Unchanged, Unchanged))).collect();
        rows.push(trial(Kind::Same, 98, run(Regressed, Status::Regressed, Unchanged)));
        let mut broken = run(Inconclusive, Status::Regressed, Unchanged);
        broken.controls = vec![control(UDP, false)];
        rows.push(trial(Kind::Same, 99, broken));
        rows.push(trial(Kind::Same, 100, Report { duration_s: 150.0, ..run(Passed, Unchanged, Unchanged) }));
        rows.push(trial(Kind::Slower10, 1, run(Regressed, Status::Regressed, Status::Regressed)));
        rows.push(trial(Kind::Slower10, 2, run(Passed, Unchanged, Unchanged)));
        rows.push(trial(Kind::Slower10, 3, run(Inconclusive, Unchanged, Status::Regressed)));
        let mut counted = run(Regressed, Unchanged, Unchanged);
        counted.exact = vec![count("copies/pipe/64/copy", "syscalls", true)];
        rows.push(trial(Kind::PipeCall, 1, counted.clone()));
        counted.cells[0].status = Status::Regressed;
        rows.push(trial(Kind::PipeCall, 2, counted));

        let table = right(&rows);
        let lines: Vec<String> =
            table.lines.iter().map(|line| line.iter().map(Field::text).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(
            lines,
            [
                "unchanged|1 of 100 alarms|0.0–5.4 %|0 of 100|–|–|1|1|1.5|2.5",
                "unchanged, functions in another order|not measured yet|–|0 of 30|–|–|–|–|–|–",
                "one cell slower by 10 %|1 of 3 found|0.8–90.6 %|59 of 60|1, 0, 0|1|1|0|1.5|1.5",
                "one cell slower by 5 %|not measured yet|–|55 of 60|–|–|–|–|–|–",
                "one copy more in the ring|not measured yet|–|20 of 20|–|–|–|–|–|–",
                "one system call more in the pipe|2 of 2 found|15.8–100.0 %|20 of 20, exact|0, 1, 1|0|0|0|1.5|1.5",
            ]
        );
        let notes = table.notes.join("\n");
        for part in [
            "Revision: 0123456789ab+",
            &format!("unchanged, trial 98: called slower and is not: {PIPE}."),
            &format!(
                "unchanged, trial 99: called slower and is not: {PIPE}; inconclusive (a reason; control {UDP} was not silent)."
            ),
            &format!("one cell slower by 10 %, trial 1: called slower and is not: {PIPE}."),
            &format!("one cell slower by 10 %, trial 2: not found {UDP}, seen as +5.1 % [+4.0, +6.0]."),
            &format!("one cell slower by 10 %, trial 3: not found {UDP}"),
        ] {
            assert!(notes.contains(part), "{part} is not in:\n{notes}");
        }
        assert!(!notes.contains("trial 97") && !notes.contains("one system call"), "{notes}");
    }

    #[test]
    fn without_trials_every_line_says_so() {
        let tables = tables(&[], &[]);
        assert!(tables[0].lines.iter().all(|line| line[1].text() == "not measured yet"));
        assert!(tables[1].lines.iter().all(|line| line[2].text() == "not measured yet"));
        for table in &tables {
            assert!(table.lines.iter().all(|line| line.len() == table.columns.len()));
            assert!(!table.markdown_body().is_empty() && !table.terminal(100).is_empty());
        }
    }

    #[test]
    fn the_gate_stands_beside_stored_figures() {
        let reports =
            [1, 2, 3].map(|seed| Report { seed, ..run(Outcome::Passed, Status::Unchanged, Status::Unchanged) });
        let trials: Vec<TrialRow> =
            reports.iter().map(|report| trial(Kind::Same, report.seed, report.clone())).collect();
        let mut cells: Vec<CellRow> = reports.iter().flat_map(judge::cells).collect();
        // The head of the second run is 1.3 times the first base. The third run is like the first.
        cells[2].head_ns = Some(1300.0);
        let table = beside(&trials, &cells);
        let line = |what: &str, threshold: &str| {
            let line = table.lines.iter().find(|line| line[0].text() == what && line[1].text() == threshold).unwrap();
            line[2..].iter().map(Field::text).collect::<Vec<_>>().join("|")
        };
        assert_eq!(line("this gate", "its own"), "0 % (0 of 3)|0 % (0 of 6)|0 % (0 of 6)");
        // Throughput heads take 400 ns per message, the bases 500: faster.
        assert_eq!(line("one stored baseline", "10 %"), "50 % (1 of 2)|25 % (1 of 4)|50 % (2 of 4)");
        assert_eq!(line("one stored baseline", "20 %"), "50 % (1 of 2)|25 % (1 of 4)|50 % (2 of 4)");
        assert_eq!(line("the run before", "10 %"), "50 % (1 of 2)|25 % (1 of 4)|25 % (1 of 4)");
        assert_eq!(line("any stored baseline", "10 %"), "33 % (2 of 6)|17 % (2 of 12)|50 % (6 of 12)");
        assert_eq!(line("base of the same run", "10 %"), "33 % (1 of 3)|17 % (1 of 6)|50 % (3 of 6)");
    }
}
