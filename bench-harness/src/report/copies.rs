//! The table of copies: one line a mechanism, access and size, with the declared figure beside the measured one.

use super::{
    tables::{NO_FIGURE, wrap},
    units,
};
use crate::{
    copies,
    record::{CopiesRow, Row as _},
};

/// The columns; all but the first three are figures.
const HEADS: [&str; 10] =
    ["mechanism", "access", "size", "kernel", "user", "total", "declared", "moved", "by reference", "calls s/r"];
const WORDS: usize = 2;
/// Columns of the terminal.
const WIDTH: usize = 100;

const EXPLANATION: &str = "Copies of each payload byte between the sender's buffer and the receiver's: by the kernel, from the \
                           traced system calls; by the two processes, from a watch on one byte. Moved: bytes that passed through \
                           system calls, copied or not, for each byte of payload. By reference: whether the receiver sees what is \
                           written into the payload after it has been sent. Calls: system calls of the sender and of the receiver \
                           for a message that need not wait.";

/// The table as aligned text, with the reasons for missing figures and the verdicts below.
pub fn terminal(rows: &[CopiesRow]) -> String {
    let lines: Vec<[String; HEADS.len()]> = rows.iter().map(line).collect();
    let widths: [usize; HEADS.len()] = std::array::from_fn(|column| {
        let fields = lines.iter().map(|line| line[column].chars().count());
        fields.chain([HEADS[column].len()]).max().unwrap_or(0)
    });
    let mut text = String::new();
    wrap(&mut text, EXPLANATION, "", WIDTH);
    text.push('\n');
    for line in [&HEADS.map(str::to_owned)].into_iter().chain(&lines) {
        let fields = line.iter().zip(widths).enumerate();
        let fields = fields.map(|(column, (field, width))| match column < WORDS {
            true => format!("{field:width$}"),
            false => format!("{field:>width$}"),
        });
        text.push_str(fields.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text.push('\n');
    for (label, of) in [("how", evidence as fn(&CopiesRow) -> &str), ("not measured", error)] {
        for (what, names) in grouped(rows, of) {
            wrap(&mut text, &format!("{label}: {what} – {names}"), "  ", WIDTH);
        }
    }
    text
}

fn line(row: &CopiesRow) -> [String; HEADS.len()] {
    let figure = |value: Option<f64>| value.map_or(NO_FIGURE.into(), |value| format!("{value:.2}"));
    let yes = |value| if value { "yes" } else { "no" };
    [
        row.mechanism.clone(),
        row.access.to_string(),
        units::size(row.size),
        figure(row.kernel_copies),
        figure(row.user_copies),
        figure(row.total_copies),
        row.declared.map_or(NO_FIGURE.into(), |declared| match copies::verdict(row) {
            Some(_) => format!("{declared} ✗"),
            None => declared.to_string(),
        }),
        figure(row.moved),
        row.by_reference.map_or(NO_FIGURE, yes).to_owned(),
        match (row.syscalls_send, row.syscalls_recv) {
            (None, None) => NO_FIGURE.into(),
            (sender, receiver) => format!("{}/{}", figure(sender), figure(receiver)),
        },
    ]
}

fn evidence(row: &CopiesRow) -> &str {
    &row.evidence
}

fn error(row: &CopiesRow) -> &str {
    &row.error
}

/// What the rows say, each with the names of those that say it, in the order of the rows.
fn grouped(rows: &[CopiesRow], of: fn(&CopiesRow) -> &str) -> Vec<(&str, String)> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows.iter().filter(|row| !of(row).is_empty()) {
        let name = row.name();
        let name = name.strip_prefix("copies/").unwrap_or(&name).to_owned();
        match groups.iter_mut().find(|(said, _)| *said == of(row)) {
            Some((_, names)) => names.push(name),
            None => groups.push((of(row), vec![name])),
        }
    }
    let all = rows.len();
    let join = |names: Vec<String>| if names.len() == all { "all".to_owned() } else { names.join(", ") };
    groups.into_iter().map(|(said, names)| (said, join(names))).collect()
}
