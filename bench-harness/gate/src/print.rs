//! Prints the findings of the gate to a terminal: findings first, and the verdict last, so that it stays on the screen.

use super::{
    report::{CellReport, Control, Expectation, Report, Status},
    wording,
};
use bench_report::{
    table::{Column, Table, texts},
    text::wrap,
};
use std::fmt::Write as _;

/// The width limit, in columns, of everything except the table of all cells.
const WIDTH: usize = 100;

/// The whole report. Its last line is the verdict.
pub fn text(report: &Report) -> String {
    let mut blocks = vec![findings(report), unjudged(report)];
    if !report.cells.is_empty() {
        blocks.push(cells(report).unbroken(WIDTH));
    }
    blocks.push(controls(report));
    let counts = counts(report);
    if !counts.lines.is_empty() {
        blocks.push(counts.unbroken(WIDTH));
    }
    blocks.push(verdict(report));
    let blocks: Vec<String> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
    blocks.join("\n")
}

/// One line for each cell and count that became worse.
fn findings(report: &Report) -> String {
    let mut text = String::new();
    for cell in report.cells.iter().filter(|cell| cell.status == Status::Regressed) {
        let mut parts = vec![format!("{} {}", word(Status::Regressed), wording::name(cell)), wording::figures(cell)];
        parts.extend(wording::change(cell));
        parts.extend(wording::probability(cell));
        parts.push(format!("n={}", cell.rounds));
        parts.push(format!("margin {}", wording::percent(cell.margin)));
        line(&mut text, &parts);
    }
    for exact in &report.exact {
        for count in exact.counts.iter().filter(|count| count.worse) {
            let name = wording::one_line(&exact.name);
            line(&mut text, &[format!("{} {name}", word(Status::Regressed)), wording::count(count)]);
        }
    }
    text
}

/// One line for each cell without a verdict, and for each control that failed.
fn unjudged(report: &Report) -> String {
    let mut text = String::new();
    for cell in &report.cells {
        if let Some(why) = wording::unjudged(cell) {
            wrap(&mut text, &format!("{} {}  {why}", word(cell.status), wording::name(cell)), "", WIDTH);
        }
    }
    for control in report.controls.iter().filter(|control| !control.held) {
        wrap(&mut text, &format!("CONTROL {}", failed_control(control, report)), "", WIDTH);
    }
    text
}

/// Describes how a control failed.
pub(super) fn failed_control(control: &Control, report: &Report) -> String {
    let name = wording::name(&control.report);
    let what = match control.expectation {
        Expectation::Silent => format!("the same {} twice was not found unchanged", measured(report)),
        Expectation::Found => "the slowdown made on purpose was not found".to_owned(),
    };
    let finding = wording::unjudged(&control.report).unwrap_or_else(|| wording::finding(&control.report));
    format!("{name}: {what}: {} {finding}", control.report.status).trim_end().to_owned()
}

/// The word for what a side runs.
fn measured(report: &Report) -> &'static str {
    if report.is_of_commands() { "command" } else { "binary" }
}

/// The table of all cells.
pub(super) fn cells(report: &Report) -> Table {
    Table {
        title: format!("All {} {}", report.cells.len(), report.subjects()),
        explanation: format!(
            "{}, with its 95 % interval; detectable: the least change that would have been found 19 times in 20",
            meaning(report)
        ),
        columns: vec![
            Column::Words(report.subject()),
            Column::Figures("base"),
            Column::Figures("head"),
            Column::Figures("change"),
            Column::Figures("detectable"),
            Column::Figures("rounds"),
            Column::Words("status"),
        ],
        lines: texts(report.cells.iter().map(cell_line)),
        notes: Vec::new(),
    }
}

/// What a change refers to, and which sign is bad.
pub(super) fn meaning(report: &Report) -> &'static str {
    if report.is_of_commands() { "change, plus is worse" } else { "change in time, plus is slower" }
}

fn cell_line(cell: &CellReport) -> Vec<String> {
    let side = |figures| wording::side(cell, figures);
    vec![
        wording::name(cell),
        side(&cell.base),
        side(&cell.head),
        wording::change(cell).unwrap_or_default(),
        wording::detectable(cell),
        cell.rounds.to_string(),
        cell.status.to_string(),
    ]
}

/// The number of controls that held. Those that failed are named [elsewhere](unjudged).
pub(super) fn controls(report: &Report) -> String {
    let mut kinds = Vec::new();
    let silent = format!("the same {} twice: silent", measured(report));
    for (expectation, what) in
        [(Expectation::Silent, silent.as_str()), (Expectation::Found, "slowed down on purpose: found")]
    {
        let all: Vec<_> = report.controls.iter().filter(|control| control.expectation == expectation).collect();
        if !all.is_empty() {
            kinds.push(format!("{what} {} of {}", all.iter().filter(|control| control.held).count(), all.len()));
        }
    }
    if kinds.is_empty() { String::new() } else { format!("Controls: {}\n", kinds.join("; ")) }
}

/// The counts that differ between the sides. The explanation gives the number of the others.
pub(super) fn counts(report: &Report) -> Table {
    let counts = || report.exact.iter().flat_map(|exact| exact.counts.iter().map(move |count| (exact, count)));
    let lines = counts().filter(|(_, count)| wording::differs(count)).map(|(exact, count)| {
        vec![
            wording::one_line(&exact.name),
            wording::one_line(&count.what),
            wording::number(count.base),
            wording::number(count.head),
            if count.worse { "worse".to_owned() } else { String::new() },
            count.note.as_deref().map(wording::one_line).unwrap_or_default(),
        ]
    });
    let lines = texts(lines);
    Table {
        title: "Counts per message that differ".to_owned(),
        explanation: format!("{} of {}", lines.len(), counts().count()),
        columns: vec![
            Column::Words("counted"),
            Column::Words("what"),
            Column::Figures("base"),
            Column::Figures("head"),
            Column::Words(""),
            Column::Words("note"),
        ],
        lines,
        notes: Vec::new(),
    }
}

fn verdict(report: &Report) -> String {
    let mut text = String::new();
    wrap(&mut text, &wording::run(report), "", WIDTH);
    for reason in &report.reasons {
        wrap(&mut text, &wording::one_line(reason), "", WIDTH);
    }
    let _ = writeln!(text, "verdict: {}", report.outcome);
    text
}

/// The first word of a line, easy to find by eye and by grep.
fn word(status: Status) -> String {
    status.name().to_uppercase()
}

/// Appends `parts`, separated by two spaces. A part that would exceed [`WIDTH`] starts an indented new line. No part is broken.
fn line(text: &mut String, parts: &[String]) {
    let mut used = 0;
    for part in parts {
        let width = part.chars().count();
        if used > 0 && used + 2 + width > WIDTH {
            text.push_str("\n        ");
            used = 8;
        }
        if used > 0 {
            text.push_str("  ");
            used += 2;
        }
        text.push_str(part);
        used += width;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{super::example, *};

    fn position(text: &str, what: &str) -> usize {
        text.find(what).unwrap_or_else(|| panic!("'{what}' is not in:\n{text}"))
    }

    #[test]
    fn a_finding_is_a_line_that_says_everything() {
        let text = text(&example::report());
        let first: Vec<&str> = text.lines().take(2).map(str::trim).collect();
        assert_eq!(
            first.join("  "),
            "REGRESSED latency/pipe/64/cross-core/block/copy  5.21 → 5.67 µs  +8.8 % [+6.9, +10.7]  p=2e-7  n=96  margin 2 %"
        );
    }

    #[test]
    fn findings_come_first_and_the_verdict_last() {
        let text = text(&example::report());
        let order = [
            "REGRESSED latency/pipe/64/cross-core/block/copy",
            "REGRESSED throughput/unix-seqpacket/65536/cross-core/hybrid/copy  352 → 324 k/s",
            "REGRESSED copies/pipe/64/copy  syscalls 1.00 → 2.00 per message",
            "UNRESOLVED latency/udp/64/cross-core/block/copy  too noisy: changes below 14.3 %",
            "LACKING latency/posix-mq/64/same-core/block/copy  the head has no such mechanism",
            "FAILED latency/tcp/64/same-core/block/copy  the child said",
            "All 7 cells",
            "Controls: the same binary twice: silent 1 of 1; slowed down on purpose: found 1 of 1",
            "Counts per message that differ – 2 of 4",
            "base 0123456789ab (3 builds); head fedcba987654 (3 builds); plan twelve, seed 7, 96 s",
            "2 of 7 cells became slower",
        ];
        let positions: Vec<usize> = order.iter().map(|what| position(&text, what)).collect();
        assert!(positions.is_sorted(), "{positions:?}\n{text}");
        assert_eq!(text.lines().last(), Some("verdict: regressed"));
    }

    #[test]
    fn what_stands_above_the_table_fits_a_terminal_and_does_nothing_to_it() {
        let text = text(&example::report());
        let (above, _) = text.split_at(position(&text, "All 7 cells"));
        assert!(above.lines().all(|line| line.chars().count() <= WIDTH), "{above}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn the_table_has_every_cell_with_what_it_could_have_found() {
        let text = text(&example::report());
        let row = text.lines().find(|line| line.starts_with("latency/unix-stream")).expect("a row");
        let fields: Vec<&str> = row.split("  ").map(str::trim).filter(|field| !field.is_empty()).collect();
        assert_eq!(
            fields,
            [
                "latency/unix-stream/64/same-core/block/copy",
                "5.21 µs",
                "4.59 µs",
                "-12.0 % [-13.9, -10.1]",
                "3.1 %",
                "96",
                "improved"
            ]
        );
    }

    #[test]
    fn controls_that_failed_are_named() {
        let mut report = example::report();
        report.controls.iter_mut().for_each(|control| control.held = false);
        let text = text(&report);
        position(&text, "CONTROL latency/pipe/64/same-core/block/copy: the same binary twice was not found unchanged");
        position(&text, "CONTROL latency/memfd/64/same-core/block/copy: the slowdown made on purpose was not found");
        position(&text, "silent 0 of 1");
    }

    #[test]
    fn nothing_to_show_is_a_verdict_alone() {
        let text = text(&example::empty());
        assert!(text.starts_with("base 0123456789ab") && text.ends_with("verdict: inconclusive\n"), "{text}");
        assert!(!super::text(&example::not_numbers()).contains("NaN"));
    }
}
