//! Reports for tests.

use bench_gate::{
    reading::Identity,
    report::{
        CellReport, Change, Control, Count, ExactReport, Expectation, Figures, Metric, Outcome, Report, Side, Status,
    },
};
use bench_record::{
    cell::{Cell, Workload},
    host::Build,
};

/// A run that took a minute and a half.
pub fn report(outcome: Outcome, cells: Vec<CellReport>) -> Report {
    let build = Build { revision: Some("0123456789abcdef".into()), dirty: Some(true), ..Build::default() };
    let identity = Some(Identity { build, ..Identity::new(Build::default(), Vec::new()) });
    let side = Side { identity, command: None, builds: 1, pairs: 400 };
    Report {
        outcome,
        reasons: vec!["a\nreason".into()],
        base: side.clone(),
        head: side,
        plan: "twelve".into(),
        seed: 1,
        started: "2026-03-01T12:30:05Z".into(),
        duration_s: 90.04,
        cells,
        controls: Vec::new(),
        exact: Vec::new(),
    }
}

/// A cell: round trips of 1000 and 1010 ns, or 500 and 400 ns a message.
pub fn cell(name: &str, status: Status) -> CellReport {
    let cell: Cell = name.parse().unwrap();
    let latency = cell.workload == Workload::Latency;
    let figures = |p50_ns, msgs_per_s| Figures {
        p50_ns: latency.then_some(p50_ns),
        msgs_per_s: (!latency).then_some(msgs_per_s),
        ..Figures::default()
    };
    CellReport {
        cell: name.to_owned(),
        metric: if latency { Metric::P50 } else { Metric::Rate },
        unit: None,
        status,
        base: figures(1000.0, 2e6),
        head: figures(1010.0, 2.5e6),
        change: Some(Change { by: 0.051_234, lo: 0.04, hi: 0.06 }),
        p: None,
        rounds: 30,
        candidate: false,
        margin: 0.02,
        detectable: None,
        proximity: None,
        pairs: 180,
        error: None,
    }
}

/// One count.
pub fn count(name: &str, what: &str, worse: bool) -> ExactReport {
    let head = if worse { 3.0 } else { 2.0 };
    let count = Count { what: what.into(), base: Some(2.0), head: Some(head), worse, note: None };
    ExactReport { name: name.into(), counts: vec![count] }
}

/// A control that should be silent.
pub fn control(name: &str, held: bool) -> Control {
    Control { expectation: Expectation::Silent, held, report: cell(name, Status::Unchanged) }
}
