//! Writes the step summary: the verdict, what became slower, what could not be judged, and a collapsed table of everything.

use crate::{
    print,
    report::{CellReport, Report, Status},
    wording,
};
use bench_report::{
    table::{Column, Table, texts},
    text::escape_markdown,
};
use std::fmt::Write as _;

/// The document of `report`.
pub fn text(report: &Report) -> String {
    let gate = if report.is_of_commands() { "Performance gate" } else { "IPC performance gate" };
    let mut text = format!("## {gate}: {}\n\n", report.outcome);
    for reason in &report.reasons {
        let _ = writeln!(text, "- {}", escaped(reason));
    }
    let gap = if report.reasons.is_empty() { "" } else { "\n" };
    let _ = write!(text, "{gap}{}\n\n", escaped(&wording::run(report)));
    let slower = if report.is_of_commands() { "Worse" } else { "Slower" };
    section(&mut text, slower, &changes(report, Status::Regressed));
    section(&mut text, "More per message", &worse(report));
    let unjudged = unjudged(report);
    if !unjudged.is_empty() {
        let _ = write!(text, "### Could not be judged\n\n{unjudged}\n");
    }
    let faster = if report.is_of_commands() { "Better" } else { "Faster" };
    section(&mut text, faster, &changes(report, Status::Improved));
    let controls = print::controls(report);
    if !controls.is_empty() {
        let _ = writeln!(text, "{}", escaped(&controls));
        text.push('\n');
    }
    for table in [print::cells(report), print::counts(report)] {
        if !table.lines.is_empty() {
            let (title, body) = (escaped(&table.title), table.markdown_body());
            let _ = write!(text, "<details><summary>{title}</summary>\n\n{body}</details>\n\n");
        }
    }
    text
}

/// Free text, escaped and in one line.
fn escaped(text: &str) -> String {
    escape_markdown(&wording::one_line(text))
}

fn section(text: &mut String, title: &str, table: &Table) {
    if !table.lines.is_empty() {
        let _ = write!(text, "### {title}\n\n{}", table.markdown_body());
    }
}

/// The cells of one status, with their changes.
fn changes(report: &Report, status: Status) -> Table {
    let line = |cell: &CellReport| {
        vec![
            wording::name(cell),
            wording::figures(cell),
            wording::change(cell).unwrap_or_default(),
            wording::probability(cell).unwrap_or_default(),
            cell.rounds.to_string(),
            wording::percent(cell.margin),
        ]
    };
    Table {
        title: String::new(),
        explanation: format!("{}, with its 95 % interval.", print::meaning(report).replacen('c', "C", 1)),
        columns: vec![
            Column::Words(report.subject()),
            Column::Figures("base → head"),
            Column::Figures("change"),
            Column::Figures("p"),
            Column::Figures("rounds"),
            Column::Figures("margin"),
        ],
        lines: texts(report.cells.iter().filter(|cell| cell.status == status).map(line)),
        notes: Vec::new(),
    }
}

/// The counts that rose.
fn worse(report: &Report) -> Table {
    let mut lines = Vec::new();
    for exact in &report.exact {
        for count in exact.counts.iter().filter(|count| count.worse) {
            lines.push(vec![wording::one_line(&exact.name), wording::count(count)]);
        }
    }
    Table {
        title: String::new(),
        explanation: "Counted, not timed.".to_owned(),
        columns: vec![Column::Words("counted"), Column::Words("base → head")],
        lines: texts(lines),
        notes: Vec::new(),
    }
}

/// A list of the cells without a verdict and of the controls that failed.
fn unjudged(report: &Report) -> String {
    let mut text = String::new();
    for cell in &report.cells {
        if let Some(why) = wording::unjudged(cell) {
            let _ = writeln!(text, "- **{}** {}: {}", cell.status, escaped(&wording::name(cell)), escaped(&why));
        }
    }
    for control in report.controls.iter().filter(|control| !control.held) {
        let _ = writeln!(text, "- **control** {}", escaped(&print::failed_control(control, report)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::super::example, *};
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    /// The document as a reader sees it, by a parser of GitHub's tables: headings, list items and table rows, each as plain
    /// text. Any markup that is not intended is an error.
    fn read(markdown: &str) -> Vec<String> {
        let mut blocks = vec![String::new()];
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
        for event in Parser::new_ext(markdown, options) {
            match event {
                Event::Text(text) => blocks.last_mut().unwrap().push_str(&text),
                Event::SoftBreak => blocks.last_mut().unwrap().push(' '),
                Event::End(TagEnd::TableCell) => blocks.last_mut().unwrap().push('\t'),
                Event::End(_) => {}
                Event::Start(Tag::Strong | Tag::List(None) | Tag::Table(_) | Tag::TableCell | Tag::TableHead) => {}
                Event::Start(Tag::Heading { .. } | Tag::Item | Tag::TableRow | Tag::Paragraph | Tag::HtmlBlock) => {
                    blocks.push(String::new());
                }
                Event::Html(html) if html.starts_with("<details>") || html.starts_with("</details>") => {
                    blocks.last_mut().unwrap().push_str(&html);
                }
                other => panic!("{other:?} in {markdown}"),
            }
        }
        blocks.into_iter().map(|block| block.trim().to_owned()).filter(|block| !block.is_empty()).collect()
    }

    fn position(blocks: &[String], start: &str) -> usize {
        let found = blocks.iter().position(|block| block.starts_with(start));
        found.unwrap_or_else(|| panic!("nothing begins with '{start}' in {blocks:#?}"))
    }

    #[test]
    fn regressions_come_first_and_everything_is_folded_away() {
        let blocks = read(&text(&example::report()));
        let order = [
            "IPC performance gate: regressed",
            "2 of 7 cells became slower",
            "Slower",
            "latency/pipe/64/cross-core/block/copy\t5.21 → 5.67 µs\t+8.8 % [+6.9, +10.7]\tp=2e-7\t96\t2 %",
            "More per message",
            "copies/pipe/64/copy\tsyscalls 1.00 → 2.00 per message",
            "Could not be judged",
            "unresolved latency/udp/64/cross-core/block/copy: too noisy",
            "lacking latency/posix-mq",
            "failed latency/tcp",
            "Faster",
            "Controls:",
            "<details><summary>All 7 cells</summary>",
            "latency/memfd/64/cross-core/spin/in-place\t5.21 µs\t5.23 µs\t+0.4 % [-1.5, +2.3]\t3.1 %\t96\tunchanged",
            "<details><summary>Counts per message that differ</summary>",
        ];
        let positions: Vec<usize> = order.iter().map(|start| position(&blocks, start)).collect();
        assert!(positions.is_sorted(), "{positions:?} in {blocks:#?}");
    }

    #[test]
    fn free_text_is_shown_as_it_stands() {
        let mut report = example::report();
        report.reasons.push(example::NASTY.into());
        report.exact[0].counts[0].note = Some(example::NASTY.into());
        let blocks = read(&text(&report));
        let shown = wording::one_line(example::NASTY);
        assert_eq!(blocks[position(&blocks, "the child said")], shown);
        assert_eq!(
            blocks[position(&blocks, "failed latency/tcp")],
            format!("failed latency/tcp/64/same-core/block/copy: {shown}")
        );
        let row = "copies/pipe/64/copy\tsyscalls 1.00 → 2.00 per message";
        assert_eq!(blocks[position(&blocks, row)], format!("{row} ({shown})"));
    }

    #[test]
    fn a_summary_without_findings_has_no_empty_section() {
        let blocks = read(&text(&example::empty()));
        assert_eq!(blocks.len(), 2, "{blocks:?}");
        let blocks = read(&text(&example::failures()));
        assert!(blocks.iter().all(|block| !block.starts_with("Slower") && !block.starts_with("Faster")));
        position(&blocks, "failed latency/tcp");
    }
}
