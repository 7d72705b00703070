//! `ipc-bench list`: shows the mechanisms and their facts, with the limits of this kernel.

use super::{Format, Verdict, output};
use crate::registry::{Mechanism, Registry};
use serde::Serialize;

/// Options of `list`.
#[derive(clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One mechanism, as shown in CSV and JSON.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    summary: &'static str,
    framing: &'static str,
    reliability: &'static str,
    reach: &'static str,
    in_place: bool,
    objects: &'static str,
    limit: &'static str,
    /// The longest message on this kernel with default options. `None` if there is no limit, or if the channel cannot
    /// be opened.
    max_message_bytes: Option<usize>,
    declared_copies: u32,
    declared_copies_in_place: Option<u32>,
    peer_death: &'static str,
    good_for: &'static str,
    bad_for: &'static str,
    manual: &'static str,
    error: Option<String>,
    trust: &'static str,
    custody: &'static str,
    family: &'static str,
    /// Whether epoll accepts the descriptor of an end.
    pollable: bool,
    attested_sender: &'static str,
    /// The interface that reports the sender. `None` if there is none.
    attested_by: Option<&'static str>,
    /// The limits and what they bound, one after the other.
    limits: String,
}

impl Row {
    fn of(mechanism: &Mechanism) -> Self {
        let spec = mechanism.spec;
        let max = mechanism.max_message();
        Self {
            name: spec.name,
            summary: spec.summary,
            framing: spec.framing.name(),
            reliability: spec.reliability.name(),
            reach: spec.reach.name(),
            in_place: mechanism.accesses().count() > 1,
            objects: spec.objects,
            limit: spec.limit,
            max_message_bytes: max.as_ref().ok().copied().filter(|&max| max != usize::MAX),
            declared_copies: spec.declared_copies.copying,
            declared_copies_in_place: spec.declared_copies.in_place,
            peer_death: spec.peer_death,
            good_for: spec.good_for,
            bad_for: spec.bad_for,
            manual: spec.manual,
            error: max.err().map(|error| error.to_string()),
            trust: spec.trust,
            custody: spec.custody.name(),
            family: spec.family.name(),
            pollable: spec.pollable,
            attested_sender: spec.attested_sender.name(),
            attested_by: spec.attested_sender.source(),
            limits: spec
                .limits
                .iter()
                .map(|limit| format!("{}: {}", limit.setting, limit.what))
                .collect::<Vec<_>>()
                .join("; "),
        }
    }
}

/// Prints the list.
///
/// # Errors
/// Stdout cannot be written.
pub fn main(args: &Args, registry: &Registry) -> anyhow::Result<Verdict> {
    let rows: Vec<Row> = registry.iter().map(Row::of).collect();
    match args.format {
        Format::Json => output::print(&output::json(&rows)?)?,
        Format::Csv => output::print(&output::csv(&rows)?)?,
        Format::Table => output::print(&table(&rows, output::width()))?,
    }
    Ok(Verdict::Done)
}

/// The terminal column where the last table column begins.
const COLUMN: usize = 67;
/// The width that the last column needs to stand beside the others.
const ROOM: usize = 30;

/// One line per mechanism. The last column says what it is good for. It wraps within its column, or goes below the
/// others on a narrow terminal.
fn table(rows: &[Row], width: usize) -> String {
    let mut text = String::new();
    let is_narrow = width < COLUMN + ROOM;
    let indent = " ".repeat(if is_narrow { 4 } else { COLUMN });
    let mut line = |[name, framing, reach, max, pollable, sender]: [&str; 6], words: &str| {
        let head = format!("{name:<15} {framing:<8} {reach:<9} {max:>11}  {pollable:<5} {sender:<11}  ");
        let first = if is_narrow { indent.as_str() } else { head.as_str() };
        if is_narrow && !head.trim().is_empty() {
            text.push_str(head.trim_end());
            text.push('\n');
        }
        let options = textwrap::Options::new(width).initial_indent(first).subsequent_indent(&indent);
        text.push_str(&textwrap::fill(words, options));
        text.push('\n');
    };
    line(["MECHANISM", "FRAMING", "REACH", "MAX MESSAGE", "EPOLL", "SENDER"], "GOOD FOR");
    for row in rows {
        let max = match (&row.error, row.max_message_bytes) {
            (Some(_), _) => "unavailable".into(),
            (None, None) => "any".into(),
            (None, Some(max)) => format!("{max} B"),
        };
        let pollable = if row.pollable { "yes" } else { "no" };
        line([row.name, row.framing, row.reach, &max, pollable, row.attested_sender], row.good_for);
        if let Some(error) = &row.error {
            line([""; 6], error);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_terminal_and_lose_no_word() {
        let mut rows: Vec<Row> = crate::STANDARD.iter().map(Row::of).collect();
        rows[0].error = Some("mq_open: EMFILE: too many open files in this process".into());
        for width in [72, 80, 100, 120] {
            let text = table(&rows, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            for row in &rows {
                let expected: Vec<&str> = row.good_for.split_whitespace().collect();
                assert!(words.windows(expected.len()).any(|found| found == expected), "{width}: {}\n{text}", row.name);
            }
        }
    }
}
