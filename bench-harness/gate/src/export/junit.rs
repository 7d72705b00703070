//! Writes JUnit XML: a test case for every cell, control and count. So any viewer of test results shows what became slower.
//!
//! - A regression is a failure.
//! - A cell that a side lacks, or that was too noisy to be judged, is skipped.
//! - A cell that could not be measured is an error.
//! - The verdict is a test case of its own: an inconclusive run without a regression must not look like a success.
//! - No test case has a time. Readers would take it for the time of measuring the cell, which is not known.

use super::started;
use crate::{
    print,
    report::{CellReport, Control, ExactReport, Outcome, Report, Status},
    wording,
};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The name of the report, and the beginning of every class name.
const NAME: &str = "ipc-bench gate";

/// The document of `report`.
pub fn text(report: &Report) -> String {
    let time = Duration::try_from_secs_f64(report.duration_s).unwrap_or_default();
    let started = started(report);
    // Each suite has the time stamp, because Jenkins' schema has none for the whole report.
    let mut all = quick_junit::Report::new(NAME);
    all.set_time(time);
    let suites = [
        ("verdict", vec![verdict(report)]),
        (report.subjects(), report.cells.iter().map(cell).collect()),
        ("controls", report.controls.iter().map(|one| control(one, report)).collect()),
        ("exact", report.exact.iter().map(exact).collect()),
    ];
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name);
        if let Some(started) = started {
            suite.set_timestamp(started);
        }
        suite.set_time(if name == report.subjects() { time } else { Duration::ZERO });
        suite.add_test_cases(cases);
        all.add_test_suite(suite);
    }
    // Characters that XML cannot hold are removed from every text on its way in.
    all.to_string().expect("memory takes every byte") + "\n"
}

fn case(suite: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(wording::one_line(name), status);
    case.set_classname(format!("ipc-bench.gate.{suite}"));
    case
}

fn failure(kind: &str, message: &str) -> TestCaseStatus {
    not_passed(TestCaseStatus::non_success(NonSuccessKind::Failure), kind, message)
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    not_passed(TestCaseStatus::non_success(NonSuccessKind::Error), kind, message)
}

fn not_passed(mut status: TestCaseStatus, kind: &str, message: &str) -> TestCaseStatus {
    status.set_type(kind).set_message(wording::one_line(message));
    status
}

fn verdict(report: &Report) -> TestCase {
    let reasons = if report.reasons.is_empty() { report.outcome.to_string() } else { report.reasons.join("; ") };
    let status = match report.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Regressed => failure(report.outcome.name(), &reasons),
        Outcome::HeadUnmeasured | Outcome::Inconclusive | Outcome::BaseUnmeasured => {
            error(report.outcome.name(), &reasons)
        }
    };
    let mut case = case("verdict", "verdict", status);
    case.set_system_out(wording::run(report));
    case
}

fn cell(report: &CellReport) -> TestCase {
    let why = || wording::unjudged(report).unwrap_or_default();
    let status = match report.status {
        Status::Unchanged | Status::Improved => TestCaseStatus::success(),
        Status::Regressed => failure("regression", &wording::finding(report)),
        Status::Unresolved | Status::Lacking => not_passed(TestCaseStatus::skipped(), report.status.name(), &why()),
        Status::Failed => error(report.status.name(), &why()),
    };
    let mut case = case(report.metric.name(), &report.cell, status);
    case.set_system_out(output(report));
    case
}

/// The figures. A reader wants them for passed cells as well.
fn output(report: &CellReport) -> String {
    let mut parts = vec![report.status.to_string(), wording::figures(report), wording::finding(report)];
    parts.push(format!("n={}", report.rounds));
    parts.push(format!("margin {}", wording::percent(report.margin)));
    parts.push(format!("detectable {}", wording::detectable(report)));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

fn control(control: &Control, report: &Report) -> TestCase {
    let status = if control.held {
        TestCaseStatus::success()
    } else {
        failure(control.expectation.name(), &print::failed_control(control, report))
    };
    let name = format!("{} {}", wording::name(&control.report), control.expectation);
    let mut case = case("controls", &name, status);
    case.set_system_out(output(&control.report));
    case
}

fn exact(report: &ExactReport) -> TestCase {
    let all = |worse: bool| {
        let counts = report.counts.iter().filter(|count| count.worse || !worse).map(wording::count);
        counts.collect::<Vec<_>>().join("; ")
    };
    let worse = all(true);
    let status = if worse.is_empty() { TestCaseStatus::success() } else { failure("regression", &worse) };
    let mut case = case("exact", &report.name, status);
    case.set_system_out(all(false));
    case
}

#[cfg(test)]
mod tests {
    use super::{super::super::example, *};
    use crate::report::Report;
    use junit_parser::{TestCase as Read, TestStatus, TestSuite, TestSuites};

    fn read(report: &Report) -> TestSuites {
        let text = text(report);
        junit_parser::from_reader(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn suite<'a>(all: &'a TestSuites, name: &str) -> &'a TestSuite {
        all.suites.iter().find(|suite| suite.name == name).unwrap_or_else(|| panic!("no suite '{name}'"))
    }

    fn case<'a>(all: &'a TestSuites, suite_name: &str, name: &str) -> &'a Read {
        let case = suite(all, suite_name).cases.iter().find(|case| case.original_name == name);
        case.unwrap_or_else(|| panic!("no case '{name}' in '{suite_name}'"))
    }

    #[test]
    fn each_status_has_its_element() {
        let all = read(&example::report());
        let cell = |name| &case(&all, "cells", name).status;
        assert!(matches!(cell("latency/memfd/64/cross-core/spin/in-place"), TestStatus::Success));
        assert!(matches!(cell("latency/unix-stream/64/same-core/block/copy"), TestStatus::Success));
        let TestStatus::Failure(failure) = cell("latency/pipe/64/cross-core/block/copy") else { panic!("no failure") };
        assert_eq!(failure.message, "+8.8 % [+6.9, +10.7] p=2e-7");
        assert_eq!(failure.failure_type, "regression");
        let TestStatus::Skipped(lacking) = cell("latency/posix-mq/64/same-core/block/copy") else { panic!("no skip") };
        assert_eq!(lacking.message, "the head has no such mechanism");
        assert!(matches!(cell("latency/udp/64/cross-core/block/copy"), TestStatus::Skipped(_)));
        let TestStatus::Error(error) = cell("latency/tcp/64/same-core/block/copy") else { panic!("no error") };
        assert_eq!(error.message, expected_error());
    }

    /// The expected error text: XML cannot hold an escape character, and a message is one line.
    fn expected_error() -> String {
        wording::one_line(example::NASTY)
    }

    #[test]
    fn suites_count_what_is_in_them() {
        let all = read(&example::report());
        let names: Vec<_> = all.suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["verdict", "cells", "controls", "exact"]);
        let cells = suite(&all, "cells");
        assert_eq!((cells.tests, cells.failures, cells.errors, cells.skipped), (7, 2, 1, 2));
        assert_eq!((all.tests, all.failures, all.errors, all.skipped), (12, 4, 1, 2));
        assert!((all.time - 96.4).abs() < 1e-6 && (cells.time - 96.4).abs() < 1e-6);
        assert!(cells.timestamp.as_deref().is_some_and(|time| time.starts_with("2026-03-01T12:30:05")));
    }

    #[test]
    fn exact_counts_and_controls_are_judged_on_their_own() {
        let mut report = example::report();
        report.controls[0].held = false;
        let all = read(&report);
        let TestStatus::Failure(failure) = &case(&all, "exact", "copies/pipe/64/copy").status else { panic!("passed") };
        assert_eq!(failure.message, "syscalls 1.00 → 2.00 per message");
        let spared = case(&all, "exact", "copies/memfd/64/in-place");
        assert!(matches!(spared.status, TestStatus::Success));
        // This reader drops escaped characters in running text, but not in attributes as above.
        let shown = expected_error().replace(['<', '>', '&', '"', '\''], "");
        assert!(spared.system_out.as_deref().is_some_and(|text| text.contains(&shown)), "{:?}", spared.system_out);
        let silent = &case(&all, "controls", "latency/pipe/64/same-core/block/copy silent").status;
        assert!(matches!(silent, TestStatus::Failure(failure) if failure.message.contains("the same binary twice")));
        let found = &case(&all, "controls", "latency/memfd/64/same-core/block/copy found").status;
        assert!(matches!(found, TestStatus::Success));
    }

    #[test]
    fn a_run_without_a_verdict_is_never_a_success() {
        for report in [example::empty(), example::failures()] {
            let all = read(&report);
            assert!(matches!(case(&all, "verdict", "verdict").status, TestStatus::Error(_)));
        }
        let passed = Report { outcome: Outcome::Passed, ..example::empty() };
        assert!(matches!(case(&read(&passed), "verdict", "verdict").status, TestStatus::Success));
    }
}
