//! `ipc-bench doctor`: shows what on this machine limits or distorts a run, and what to do about it.

use super::{Format, output};
use crate::{
    doctor::{self, Finding, Verdict},
    registry::Registry,
};
use anyhow::Context;
use bench_lab::interrupt;

/// Options of `doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Examines the machine and prints the findings. A problem is a negative verdict; notes do not count.
///
/// # Errors
/// Signals cannot be handled, or a document cannot be made.
pub fn main(args: &Args, registry: &'static Registry) -> anyhow::Result<super::Verdict> {
    interrupt::install().context("sigaction")?;
    let findings = doctor::examine(registry);
    if interrupt::requested() {
        return Ok(super::Verdict::Interrupted);
    }
    match args.format {
        Format::Json => output::print(&output::json(&findings)?)?,
        Format::Csv => output::print(&output::csv(&findings)?)?,
        Format::Table => output::print(&table(&findings, output::width()))?,
    }
    let problems = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
    Ok(if problems { super::Verdict::Negative } else { super::Verdict::Done })
}

/// One line per finding, under the heading of its group. Below it are the effect, and the advice if something is wrong.
fn table(findings: &[Finding], width: usize) -> String {
    let mut text = String::new();
    for group in findings.chunk_by(|a, b| a.group == b.group) {
        text.push_str(&format!("{}\n", group[0].group.title()));
        for finding in group {
            entry(&mut text, finding, width);
        }
        text.push('\n');
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let problems: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).collect();
    let names = problems.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { names } else { format!(" ({names})") };
    let counts =
        [(Verdict::Symptom, "symptoms"), (Verdict::Note, "notes")].map(|(verdict, name)| match count(verdict) {
            0 if verdict == Verdict::Symptom => String::new(),
            count => format!(", {name}: {count}"),
        });
    for line in textwrap::wrap(&format!("problems: {}{names}{}", problems.len(), counts.concat()), width) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn entry(text: &mut String, finding: &Finding, width: usize) {
    /// The terminal column where values and the text about them begin.
    const COLUMN: usize = 36;
    let mut line = |first: &str, words: &str| {
        let indent = " ".repeat(COLUMN);
        // Names and commands are not broken.
        let options = textwrap::Options::new(width)
            .initial_indent(first)
            .subsequent_indent(&indent)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        for line in textwrap::wrap(words, options) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    };
    let value = finding.value.as_deref().or(finding.error.as_deref()).unwrap_or_default();
    let used = finding.used.as_ref().map_or(String::new(), |used| format!("; {used}"));
    let name = format!("{:>9}  {:<24} ", finding.verdict.name(), finding.what);
    line(&name, &format!("{value}{used}"));
    let amiss = finding.verdict != Verdict::Ok;
    for (mark, words) in [("", &finding.effect), ("→ ", &finding.advice)] {
        if let Some(words) = words.as_ref().filter(|_| amiss) {
            line(&" ".repeat(COLUMN), &format!("{mark}{words}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Group;

    fn finding(what: &str, verdict: Verdict) -> Finding {
        Finding {
            verdict,
            effect: Some("cuts cells of unix-seqpacket and others".into()),
            advice: Some("sysctl -w x=1".into()),
            ..Finding::new(Group::Queues, what, Ok("8192 bytes".into()))
        }
    }

    #[test]
    fn only_what_is_amiss_is_explained_and_lines_fit() {
        let text = table(&[finding("a", Verdict::Ok), finding("b", Verdict::Note)], 60);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let expected = [
            "Message queues",
            "ok  a                        8192 bytes",
            "note  b                        8192 bytes",
            "cuts cells of",
            "unix-seqpacket and",
            "others",
            "→ sysctl -w x=1",
            "",
            "problems: 0, notes: 1",
        ];
        assert_eq!(lines, expected);
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn problems_are_named_last() {
        let all = [finding("a", Verdict::Problem), finding("b", Verdict::Symptom), finding("c", Verdict::Problem)];
        assert!(table(&all, 100).ends_with("\nproblems: 2 (a, c), symptoms: 1, notes: 0\n"));
    }

    #[test]
    fn what_cannot_be_read_shows_why() {
        let unread =
            Finding { value: None, error: Some("/proc/x: Permission denied".into()), ..finding("a", Verdict::Note) };
        assert!(table(&[unread], 100).contains("a                        /proc/x: Permission denied"));
    }
}
