//! A plausible report that contains every status, for the tests of all output formats.

use super::{
    reading::{Identity, PROGRAM, SCHEMA},
    report::*,
};
use bench_record::{
    host::Build,
    packed::{Packed, histogram},
};

/// An error text with characters that some format must escape.
pub const NASTY: &str = "the child said <\"a|b\" & 'c'>\n`pipe_2` *died* ]]> [x](y) \u{1b}[31m~#\\";

/// A cell of `status`, with matching figures.
pub fn cell(name: &str, status: Status) -> CellReport {
    let metric = if name.starts_with("throughput") { Metric::Rate } else { Metric::P50 };
    let by = match status {
        Status::Regressed => 0.088,
        Status::Improved => -0.12,
        _ => 0.004,
    };
    let measured = !matches!(status, Status::Lacking | Status::Failed);
    let head = if measured { figures(metric, 1.0 + by) } else { Figures::default() };
    let base = if status == Status::Failed { Figures::default() } else { figures(metric, 1.0) };
    let (half, detectable) = if status == Status::Unresolved { (0.12, 0.143) } else { (0.019, 0.031) };
    CellReport {
        cell: name.to_owned(),
        metric,
        unit: None,
        status,
        base,
        head,
        change: measured.then_some(Change { by, lo: by - half, hi: by + half }),
        p: measured.then_some(if status == Status::Regressed { 2.1e-7 } else { 0.4 }),
        rounds: if measured { 96 } else { 0 },
        candidate: status == Status::Regressed,
        margin: 0.02,
        detectable: measured.then_some(detectable),
        proximity: None,
        pairs: if measured { 580 } else { 3 },
        error: match status {
            Status::Lacking => Some("the head has no such mechanism".into()),
            Status::Failed => Some(NASTY.into()),
            _ => None,
        },
    }
}

/// Example figures, `times` times as slow.
fn figures(metric: Metric, times: f64) -> Figures {
    if metric == Metric::Rate {
        let rate = 352_000.0 / times;
        let (msgs_per_s_lo, msgs_per_s_hi) = (Some(rate * 0.99), Some(rate * 1.01));
        return Figures { msgs_per_s: Some(rate), msgs_per_s_lo, msgs_per_s_hi, ..Figures::default() };
    }
    let p50 = 5_213.0 * times;
    let mut all = histogram();
    let mut random = fastrand::Rng::with_seed(5);
    (0..2_000).for_each(|_| all.record((p50 * (0.9 + 0.3 * random.f64())) as u64).expect("within its range"));
    Figures {
        p50_ns: Some(p50),
        p50_lo_ns: Some(p50 * 0.98),
        p50_hi_ns: Some(p50 * 1.02),
        p99_ns: Some(p50 * 1.19),
        p999_ns: Some(p50 * 1.2),
        max_ns: Some(all.max() as f64),
        histogram: Some(Packed::of(&all)),
        ..Figures::default()
    }
}

/// A run with a cell of every status, controls of both kinds and counts of every kind.
pub fn report() -> Report {
    let count = |what: &str, base, head, worse| Count { what: what.into(), base, head, worse, note: None };
    let control = |expectation, name, status| Control { expectation, held: true, report: cell(name, status) };
    Report {
        outcome: Outcome::Regressed,
        reasons: vec!["2 of 7 cells became slower".into(), "1 count rose".into()],
        cells: vec![
            cell("latency/memfd/64/cross-core/spin/in-place", Status::Unchanged),
            cell("latency/pipe/64/cross-core/block/copy", Status::Regressed),
            cell("throughput/unix-seqpacket/65536/cross-core/hybrid/copy", Status::Regressed),
            cell("latency/udp/64/cross-core/block/copy", Status::Unresolved),
            cell("latency/unix-stream/64/same-core/block/copy", Status::Improved),
            cell("latency/posix-mq/64/same-core/block/copy", Status::Lacking),
            cell("latency/tcp/64/same-core/block/copy", Status::Failed),
        ],
        controls: vec![
            control(Expectation::Silent, "latency/pipe/64/same-core/block/copy", Status::Unchanged),
            control(Expectation::Found, "latency/memfd/64/same-core/block/copy", Status::Regressed),
        ],
        exact: vec![
            ExactReport {
                name: "copies/pipe/64/copy".into(),
                counts: vec![
                    count("syscalls", Some(1.0), Some(2.0), true),
                    count("copies", Some(2.0), Some(2.0), false),
                ],
            },
            ExactReport {
                name: "copies/memfd/64/in-place".into(),
                counts: vec![
                    count("faults", Some(0.5), Some(0.25), false),
                    Count { note: Some(NASTY.into()), ..count("copies", None, None, false) },
                ],
            },
        ],
        ..empty()
    }
}

/// A run that found nothing because it measured nothing.
pub fn empty() -> Report {
    let side = |revision: &str| Side {
        identity: Some(Identity {
            ways: vec!["pipe/copy".into()],
            program: PROGRAM.into(),
            schema: SCHEMA,
            build: Build { revision: Some(revision.into()), dirty: Some(false), ..Build::default() },
        }),
        command: None,
        builds: 3,
        pairs: 2_100,
    };
    Report {
        outcome: Outcome::Inconclusive,
        reasons: Vec::new(),
        base: side("0123456789abcdef"),
        head: side("fedcba9876543210"),
        plan: "twelve".into(),
        seed: 7,
        started: "2026-03-01T12:30:05Z".into(),
        duration_s: 96.4,
        cells: Vec::new(),
        controls: Vec::new(),
        exact: Vec::new(),
    }
}

/// A run in which no cell could be measured.
pub fn failures() -> Report {
    Report {
        reasons: vec!["no cell could be measured".into()],
        cells: vec![
            cell("latency/tcp/64/same-core/block/copy", Status::Failed),
            cell("throughput/posix-mq/64/same-core/block/copy", Status::Lacking),
        ],
        ..empty()
    }
}

/// A run whose engine divided zero by zero wherever possible.
pub fn not_numbers() -> Report {
    let mut report = report();
    for cell in report.cells.iter_mut().chain(report.controls.iter_mut().map(|control| &mut control.report)) {
        let nan = Some(f64::NAN);
        let histogram = cell.head.histogram.take();
        let nans = || Figures {
            p50_ns: nan,
            p50_lo_ns: Some(f64::NEG_INFINITY),
            p50_hi_ns: Some(f64::INFINITY),
            p99_ns: nan,
            msgs_per_s: nan,
            ..Figures::default()
        };
        (cell.base, cell.head) = (nans(), Figures { histogram, ..nans() });
        cell.change = Some(Change { by: f64::NAN, lo: f64::NEG_INFINITY, hi: f64::INFINITY });
        (cell.p, cell.detectable) = (nan, Some(f64::INFINITY));
    }
    for count in report.exact.iter_mut().flat_map(|exact| &mut exact.counts) {
        (count.base, count.head) = (Some(f64::NAN), Some(f64::INFINITY));
    }
    report
}
