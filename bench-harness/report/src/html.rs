//! `report.html`: one self-contained page with the charts, the tables and the host's facts.
//!
//! Style and script are inline and nothing is fetched. So the page reads the same offline and years later. Without the
//! script only sorting is missing.

use super::{
    PAGE_MARK, Results,
    charts::Chart,
    facts,
    model::Subject,
    overview,
    shown::Section,
    table::Table,
    tables::{RANKS, have_ranks, marks},
    text::escape,
};
use bench_record::rows::{Kind, list::List};
use std::fmt::Write as _;

/// The whole page.
pub fn page(results: &Results, sections: &[Section], drawn: &[Chart]) -> String {
    let machine = results.machine();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         {PAGE_MARK}{machine}</title>\n<style>\n{style}</style>\n<body>\n\
         <h1>What Linux IPC mechanisms cost</h1>\n<p>{machine}</p>\n{lead}",
        machine = escape(&machine),
        style = include_str!("html/style.css"),
        lead = lead(results),
    );
    html.push_str("<nav>");
    let glance = overview::table(&results.rows, Subject::label, true);
    if glance.is_some() {
        html.push_str("<a href=\"#glance\">At a glance</a>");
    }
    html.push_str("<a href=\"#charts\">Charts</a>");
    for Section { kind, heading, .. } in sections {
        let _ = write!(html, "<a href=\"#{kind}\">{heading}</a>");
    }
    html.push_str("<a href=\"#cells\">All cells</a><a href=\"#flags\">Flags</a><a href=\"#host\">Host</a></nav>\n");

    notes(&mut html, results, drawn);
    let shown = || sections.iter().flat_map(|section| &section.tables);
    html.push_str("<p>A click or Enter on a heading sorts a table.");
    if have_ranks(shown()) {
        let _ = write!(html, " The small number before a figure is its rank in the column: {RANKS}.");
    }
    html.push_str("</p>\n");
    if let Some(table) = glance {
        let _ = write!(html, "<h2 id=\"glance\">{}</h2>\n{}", table.title, table.html_body());
    }
    html.push_str("<h2 id=\"charts\">Charts</h2>\n");
    for chart in drawn {
        figure(&mut html, chart);
    }
    sections.iter().for_each(|section| push(&mut html, section));
    html.push_str("<h2 id=\"cells\">All cells</h2>\n<p class=\"quiet\">The CSV files as they are.</p>\n");
    for (kind, rows) in results.rows.lists() {
        cells(&mut html, kind, rows);
    }
    flags(&mut html, shown());
    host(&mut html, results);
    let _ = write!(html, "<script>\n{}</script>\n</body>\n</html>\n", include_str!("html/sort.js"));
    html
}

fn lead(results: &Results) -> String {
    let Some(run) = results.host.as_ref().map(|host| &host.run) else { return String::new() };
    let started = run.started.as_ref().map_or(String::new(), |started| format!(", {}", escape(started)));
    let command = run
        .command
        .as_ref()
        .map(|c| format!("<p class=\"quiet\">Measured by <code>{}</code>{started}</p>\n", escape(c)));
    command.unwrap_or_default()
}

fn notes(html: &mut String, results: &Results, drawn: &[Chart]) {
    let notes: Vec<&String> = results.host.iter().flat_map(|host| &host.run.notes).collect();
    let omitted: Vec<_> = drawn.iter().filter_map(|c| Some((&c.title, c.drawing.as_ref().err()?))).collect();
    if notes.is_empty() && omitted.is_empty() {
        return;
    }
    html.push_str("<h2>What was left out, and other notes</h2>\n<ul>\n");
    for note in notes {
        let _ = writeln!(html, "<li>{}</li>", escape(note));
    }
    for (title, why) in omitted {
        let _ = writeln!(html, "<li>No chart “{}”: {}.</li>", escape(title), escape(why));
    }
    html.push_str("</ul>\n");
}

fn figure(html: &mut String, chart: &Chart) {
    if let Ok(svg) = &chart.drawing {
        let caption = escape(&chart.caption);
        // On a small screen the chart scrolls instead of shrinking, so its letters stay readable.
        let _ = writeln!(
            html,
            "<figure><div class=\"scroll\" tabindex=\"0\">\n{svg}</div><figcaption>{caption}</figcaption></figure>"
        );
    }
}

fn push(html: &mut String, section: &Section) {
    let Section { kind, heading, lead, measured_by, tables, closing } = section;
    let _ = writeln!(html, "<h2 id=\"{kind}\">{heading}</h2>");
    if !lead.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", escape(lead));
    }
    if let Some((command, run)) = measured_by {
        let _ = writeln!(html, "<p class=\"quiet\">Measured by <code>{command}</code>, {}.</p>", escape(run));
    }
    tables.iter().for_each(|table| html.push_str(&table.html(None)));
    for paragraph in closing {
        let _ = writeln!(html, "<p>{}</p>", escape(paragraph));
    }
}

/// The rows of a CSV file with all columns.
fn cells(html: &mut String, kind: Kind, rows: &dyn List) {
    let count = rows.count();
    if count == 0 {
        return;
    }
    let _ =
        write!(html, "<details><summary><code>{}</code>: {count} rows</summary>\n<div class=\"scroll\">", kind.file());
    html.push_str("<table class=\"sortable\"><thead><tr>");
    // The column is left out, because all rows of a file have the same workload.
    let shown = |column: &str| column != "workload";
    for column in kind.columns().iter().filter(|column| shown(column)) {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    let csv = rows.csv();
    for row in csv::Reader::from_reader(csv.as_bytes()).records().flatten() {
        html.push_str("<tr>");
        for (column, field) in kind.columns().iter().zip(&row).filter(|(column, _)| shown(column)) {
            let class = match *column {
                "error" | "learned" => " class=\"text\"",
                _ if field.parse::<f64>().is_ok() => " class=\"figure\"",
                _ => "",
            };
            let _ = write!(html, "<td{class}>{}</td>", escape(field));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div></details>\n");
}

fn flags<'a>(html: &mut String, tables: impl Iterator<Item = &'a Table>) {
    html.push_str("<h2 id=\"flags\">Flags</h2>\n");
    let marks = marks(tables);
    if marks.is_empty() {
        html.push_str("<p>No figure carries one.</p>\n");
        return;
    }
    html.push_str("<p>A mark behind a figure says why to doubt it:</p>\n<dl class=\"wide\">\n");
    for mark in marks {
        let (sign, name, meaning) = (mark.sign(), mark.name(), escape(mark.meaning()));
        let _ = writeln!(html, "<dt><code>{sign}</code> {name}</dt><dd>{meaning}</dd>");
    }
    html.push_str("</dl>\n");
}

fn host(html: &mut String, results: &Results) {
    html.push_str("<h2 id=\"host\">Host</h2>\n");
    let Some(host) = &results.host else {
        html.push_str("<p>Unknown: there is no host.json.</p>\n");
        return;
    };
    html.push_str("<div class=\"facts\">\n");
    for group in facts::groups(host) {
        if group.facts.is_empty() {
            continue;
        }
        let _ = write!(html, "<section><h3>{}</h3>\n<dl>\n", group.title);
        for (label, fact) in group.facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(&label), escape(&fact));
        }
        html.push_str("</dl></section>\n");
    }
    html.push_str("</div>\n");
}
