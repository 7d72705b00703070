//! `README.md` of a results folder: the command, the host, the charts and the ranking tables.

use super::{
    README_MARK, Results,
    charts::{self, Chart},
    facts,
    model::Subject,
    overview,
    shown::Section,
    tables::{RANKS, have_ranks, marks},
    text::escape_markdown,
};
use std::fmt::Write as _;

/// The whole text of the file.
pub fn text(results: &Results, sections: &[Section], drawn: &[Chart]) -> String {
    let mut text = format!("{README_MARK} ");
    let command = results.host.as_ref().and_then(|host| host.run.command.as_deref());
    match command {
        Some(command) => {
            // The fence is long enough that no back-tick in the command can end it.
            let _ = write!(text, "Measured by\n\n````sh\n{command}\n````\n\n");
        }
        None => text.push_str("The command that measured them is not recorded.\n\n"),
    }
    text.push_str(
        "`ipc-bench report` with this folder rebuilds everything here from the CSV files, `host.json` and \
         `all.hlog`. It also writes `report.html`: the same with sortable tables, in one file that can be read offline.\n\n",
    );
    host(&mut text, results);
    notes(&mut text, results, drawn);
    let shown = || sections.iter().flat_map(|section| &section.tables);
    if have_ranks(shown()) {
        let _ = write!(text, "**Bold** before a figure is its rank in the column: {RANKS}.\n\n");
    }
    if let Some(table) = overview::table(&results.rows, Subject::label, true) {
        let _ = write!(text, "## {}\n\n{}", table.title, table.markdown_body());
    }
    text.push_str("## Charts\n\n");
    for chart in drawn.iter().filter(|chart| chart.drawing.is_ok()) {
        let (title, caption) = (escape_markdown(&chart.title), escape_markdown(&chart.caption));
        let _ = write!(text, "![{title}]({}/{})\n\n*{caption}*\n\n", charts::FOLDER, chart.file);
    }
    for Section { heading, lead, measured_by, tables, closing, .. } in sections {
        let _ = write!(text, "## {heading}\n\n");
        if !lead.is_empty() {
            let _ = write!(text, "{lead}\n\n");
        }
        if let Some((command, run)) = measured_by {
            let _ = write!(text, "Measured by `{command}`, {}.\n\n", escape_markdown(run));
        }
        tables.iter().for_each(|table| text.push_str(&table.markdown()));
        for paragraph in closing {
            let _ = write!(text, "{}\n\n", escape_markdown(paragraph));
        }
    }
    let marks = marks(shown());
    if !marks.is_empty() {
        text.push_str("## Marks behind figures\n\n");
        for mark in marks {
            let _ = writeln!(text, "- `{}` **{}**: {}", mark.sign(), mark.name(), escape_markdown(mark.meaning()));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn host(text: &mut String, results: &Results) {
    text.push_str("## Host\n\n");
    let Some(host) = &results.host else {
        text.push_str("Unknown: there is no `host.json`.\n\n");
        return;
    };
    text.push_str("| | |\n|---|---|\n");
    // Limits and mitigations are long. The HTML page and host.json have them.
    for group in facts::groups(host).iter().take(3) {
        for (label, fact) in group.facts.iter().filter(|(label, _)| label != "Command") {
            let _ = writeln!(text, "| {} | {} |", escape_markdown(label), escape_markdown(fact));
        }
    }
    text.push('\n');
}

fn notes(text: &mut String, results: &Results, drawn: &[Chart]) {
    let notes = results.host.iter().flat_map(|host| &host.run.notes).cloned();
    let omitted = drawn.iter().filter_map(|chart| Some((&chart.title, chart.drawing.as_ref().err()?)));
    let omitted = omitted.map(|(title, why)| format!("No chart “{title}”: {why}."));
    let all: Vec<String> = notes.chain(omitted).collect();
    if all.is_empty() {
        return;
    }
    text.push_str("## What was left out, and other notes\n\n");
    for note in all {
        let _ = writeln!(text, "- {}", escape_markdown(&note));
    }
    text.push('\n');
}
