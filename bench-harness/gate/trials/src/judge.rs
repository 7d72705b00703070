//! Judges a trial by its report: whether the slowdown was found, by what, and what else was called slower.

use crate::rows::{CellRow, Kind, Tier, TrialRow};
use bench_gate::report::{CellReport, Figures, Metric, Outcome, Report, Status};
use bench_record::cell::Cell;

/// The row of a trial of `kind`, in which `slower` was slowed down.
///
/// # Errors An error if the report cannot be of such a trial, or contradicts itself.
pub fn trial(kind: Kind, slower: Option<Cell>, report: &Report) -> Result<TrialRow, String> {
    let regressed = || report.cells.iter().filter(|cell| cell.status == Status::Regressed);
    let expected = |cell: Cell| Some(cell) == slower || kind.changes(cell.mechanism, cell.access.name());
    let (hits, mut alarms): (Vec<_>, Vec<_>) = regressed().partition(|report| cell_of(report).is_some_and(expected));
    // A head that fails in a cell that works in the base is a red build like any other.
    if report.outcome == Outcome::Regressed {
        alarms.extend(report.cells.iter().filter(|cell| cell.status == Status::Failed));
    }
    let counts = report.exact.iter().flat_map(|exact| {
        let worse = exact.counts.iter().filter(|count| count.worse);
        worse.map(move |count| (way(&exact.name), format!("{} {}", exact.name, count.what)))
    });
    let (exact_hits, exact_alarms): (Vec<_>, Vec<_>) =
        counts.partition(|((mechanism, access), _)| kind.changes(mechanism, access));
    let named = !(hits.is_empty() && alarms.is_empty() && exact_hits.is_empty() && exact_alarms.is_empty());
    match report.outcome {
        Outcome::Passed if named => return Err("the gate passed, and names what became slower".into()),
        Outcome::Regressed if !named => return Err("the gate found a regression, and names none".into()),
        _ => {}
    }

    let of_slower = || report.cells.iter().filter(|report| slower.is_some() && cell_of(report) == slower);
    if let (Some(cell), None) = (slower, of_slower().next()) {
        return Err(format!("the gate did not measure '{cell}', which was to be slowed down"));
    }
    let change = of_slower().find(|report| gates(report)).and_then(|report| report.change);
    // An inconclusive gate has found nothing, because it does not fail a commit.
    let counts = report.outcome == Outcome::Regressed;
    let tier = Tier::of(counts && !hits.is_empty(), counts && !exact_hits.is_empty());
    let cell = slower.map_or_else(|| names(&hits, exact_hits), |cell| cell.to_string());
    Ok(TrialRow {
        kind,
        time: report.started.clone(),
        git: revision(report),
        seed: report.seed,
        cell,
        outcome: report.outcome,
        found: (!kind.is_unchanged()).then_some(tier.is_some()),
        tier,
        alarms: names(&alarms, exact_alarms),
        change: change.map(|change| rounded(change.by, 4)),
        lo: change.map(|change| rounded(change.lo, 4)),
        hi: change.map(|change| rounded(change.hi, 4)),
        duration_s: rounded(report.duration_s, 1),
        controls_held: (!report.controls.is_empty()).then(|| report.controls.iter().all(|control| control.held)),
        note: note(report),
        plan: report.plan.clone(),
        env_key: String::new(),
    })
}

/// The rows of a trial's cells, without the p99 metric.
pub fn cells(report: &Report) -> Vec<CellRow> {
    let row = |cell: &CellReport| {
        Some(CellRow {
            seed: report.seed,
            cell: cell_of(cell)?,
            metric: cell.metric,
            base_ns: time_ns(&cell.base, cell.metric),
            head_ns: time_ns(&cell.head, cell.metric),
            status: cell.status,
        })
    };
    report.cells.iter().filter(|report| gates(report)).filter_map(row).collect()
}

fn cell_of(report: &CellReport) -> Option<Cell> {
    report.cell.parse().ok()
}

fn gates(report: &CellReport) -> bool {
    report.metric != Metric::P99
}

fn time_ns(figures: &Figures, metric: Metric) -> Option<f64> {
    let ns = match metric {
        Metric::P50 => figures.p50_ns,
        Metric::P99 => figures.p99_ns,
        Metric::Rate => figures.msgs_per_s.filter(|rate| *rate > 0.0).map(|rate| 1e9 / rate),
        // A figure of a command. No trial runs commands.
        Metric::Value => None,
    };
    ns.filter(|ns| ns.is_finite() && *ns > 0.0).map(|ns| rounded(ns, 2))
}

/// The mechanism and the access in the name of what was counted, `copies/MECHANISM/SIZE/ACCESS`.
fn way(name: &str) -> (&str, &str) {
    let mut words = name.split('/').skip(1);
    (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default())
}

fn names(timed: &[&CellReport], counted: Vec<((&str, &str), String)>) -> String {
    let timed = timed.iter().map(|report| match report.metric {
        Metric::P50 | Metric::Rate | Metric::Value => report.cell.clone(),
        Metric::P99 => format!("{} {}", report.cell, report.metric),
    });
    timed.chain(counted.into_iter().map(|(_, name)| name)).collect::<Vec<_>>().join(";")
}

fn revision(report: &Report) -> String {
    let Some(identity) = &report.base.identity else { return String::new() };
    let build = &identity.build;
    let revision = build.revision.as_deref().map(|revision| revision.get(..12).unwrap_or(revision));
    format!("{}{}", revision.unwrap_or_default(), if build.dirty == Some(true) { "+" } else { "" })
}

fn note(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.outcome == Outcome::Inconclusive {
        parts.extend(report.reasons.iter().map(|reason| reason.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let broken = report.controls.iter().filter(|control| !control.held);
    parts.extend(broken.map(|control| format!("control {} was not {}", control.report.cell, control.expectation)));
    for status in [Status::Unresolved, Status::Lacking, Status::Failed] {
        let count = report.cells.iter().filter(|cell| cell.status == status).count();
        parts.extend((count > 0).then(|| format!("{count} {status}")));
    }
    parts.join("; ")
}

/// Rounds `value` to `decimals` decimals.
fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{cell, control, count, report};

    const PIPE: &str = "latency/pipe/64/same-core/block/copy";
    const RING: &str = "latency/memfd/64/cross-core/spin/in-place";
    const UDP: &str = "throughput/udp/64/same-core/block/copy";

    #[test]
    fn unchanged_builds() {
        let row = trial(Kind::Same, None, &report(Outcome::Passed, vec![cell(PIPE, Status::Unchanged)])).unwrap();
        assert_eq!((row.found, row.tier, row.alarms.as_str(), row.cell.as_str()), (None, None, "", ""));
        assert_eq!((row.git.as_str(), row.plan.as_str(), row.controls_held), ("0123456789ab+", "twelve", None));
        let mut alarm = report(Outcome::Regressed, vec![cell(PIPE, Status::Regressed), cell(UDP, Status::Regressed)]);
        alarm.exact =
            vec![count("copies/pipe/64/copy", "syscalls", true), count("copies/udp/64/copy", "copies", false)];
        let row = trial(Kind::Same, None, &alarm).unwrap();
        assert_eq!(row.alarms, format!("{PIPE};{UDP};copies/pipe/64/copy syscalls"));
        assert_eq!((row.found, row.tier), (None, None));
    }

    #[test]
    fn a_slower_cell_is_found_or_not_and_other_cells_are_alarms() {
        let slower = Some(UDP.parse().unwrap());
        let run = |pipe, udp, outcome| {
            trial(Kind::Slower5, slower, &report(outcome, vec![cell(PIPE, pipe), cell(UDP, udp)])).unwrap()
        };
        let found = run(Status::Unchanged, Status::Regressed, Outcome::Regressed);
        assert_eq!((found.found, found.tier, found.alarms.as_str()), (Some(true), Some(Tier::Timing), ""));
        assert_eq!(
            (found.cell.as_str(), found.change, found.lo, found.hi),
            (UDP, Some(0.0512), Some(0.04), Some(0.06))
        );
        let other = run(Status::Regressed, Status::Unchanged, Outcome::Regressed);
        assert_eq!((other.found, other.tier, other.alarms.as_str()), (Some(false), None, PIPE));
        let unsure = run(Status::Unresolved, Status::Regressed, Outcome::Inconclusive);
        assert_eq!((unsure.found, unsure.tier), (Some(false), None), "an inconclusive gate fails no commit");
        assert_eq!(unsure.note, "a reason; 1 unresolved");
    }

    #[test]
    fn a_real_change_is_found_by_either_tier() {
        const COPYING: &str = "latency/memfd/64/cross-core/spin/copy";
        let run = |kind, ring: Status, syscalls| {
            let timed = vec![cell(COPYING, ring), cell(PIPE, Status::Unchanged)];
            let slower = ring == Status::Regressed || syscalls;
            let mut report = report(if slower { Outcome::Regressed } else { Outcome::Passed }, timed);
            report.exact = vec![count("copies/memfd/64/copy", "copies", syscalls)];
            trial(kind, None, &report).unwrap()
        };
        for (ring, counted, tier, names) in [
            (Status::Regressed, false, Some(Tier::Timing), COPYING.to_owned()),
            (Status::Unchanged, true, Some(Tier::Exact), "copies/memfd/64/copy copies".to_owned()),
            (Status::Regressed, true, Some(Tier::Both), format!("{COPYING};copies/memfd/64/copy copies")),
            (Status::Unchanged, false, None, String::new()),
        ] {
            let row = run(Kind::RingCopy, ring, counted);
            assert_eq!((row.found, row.tier, row.cell, row.alarms.as_str()), (Some(tier.is_some()), tier, names, ""));
        }
        let other = run(Kind::PipeCall, Status::Regressed, true);
        assert_eq!((other.found, other.alarms), (Some(false), format!("{COPYING};copies/memfd/64/copy copies")));
        // In-place access has not changed.
        let beside = trial(Kind::RingCopy, None, &report(Outcome::Regressed, vec![cell(RING, Status::Regressed)]));
        assert_eq!(beside.map(|row| (row.found, row.alarms)), Ok((Some(false), RING.to_owned())));
    }

    #[test]
    fn a_head_that_fails_is_an_alarm() {
        let row = trial(Kind::Same, None, &report(Outcome::Regressed, vec![cell(PIPE, Status::Failed)])).unwrap();
        assert_eq!((row.outcome, row.alarms.as_str()), (Outcome::Regressed, PIPE));
    }

    #[test]
    fn a_tail_that_regressed_is_told_from_a_median() {
        let mut tail = cell(PIPE, Status::Regressed);
        tail.metric = Metric::P99;
        let run = report(Outcome::Regressed, vec![cell(PIPE, Status::Unchanged), tail]);
        assert_eq!(trial(Kind::Same, None, &run).unwrap().alarms, format!("{PIPE} p99"));
        assert_eq!(cells(&run).len(), 1);
    }

    #[test]
    fn contradictions_and_foreign_reports_are_no_trials() {
        let passed = report(Outcome::Passed, vec![cell(PIPE, Status::Regressed)]);
        assert!(trial(Kind::Same, None, &passed).unwrap_err().contains("passed"));
        let regressed = report(Outcome::Regressed, vec![cell(PIPE, Status::Unchanged)]);
        assert!(trial(Kind::Same, None, &regressed).unwrap_err().contains("names none"));
        let without = report(Outcome::Passed, vec![cell(PIPE, Status::Unchanged)]);
        let error = trial(Kind::Slower5, Some(UDP.parse().unwrap()), &without).unwrap_err();
        assert!(error.contains(UDP), "{error}");
    }

    #[test]
    fn controls_that_failed_are_noted() {
        let mut run = report(Outcome::Inconclusive, vec![cell(PIPE, Status::Unchanged)]);
        run.controls = vec![control(PIPE, true), control(UDP, false)];
        let row = trial(Kind::Same, None, &run).unwrap();
        assert_eq!((row.controls_held, row.note), (Some(false), format!("a reason; control {UDP} was not silent")));
    }

    #[test]
    fn figures_are_times_of_both_sides() {
        let rows = cells(&report(Outcome::Passed, vec![cell(PIPE, Status::Unchanged), cell(UDP, Status::Unchanged)]));
        assert_eq!((rows[0].base_ns, rows[0].head_ns, rows[0].metric), (Some(1000.0), Some(1010.0), Metric::P50));
        assert_eq!((rows[1].base_ns, rows[1].head_ns, rows[1].metric), (Some(500.0), Some(400.0), Metric::Rate));
    }
}
