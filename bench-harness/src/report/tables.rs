//! The ranking tables as text: aligned for a terminal, and as Markdown.

use super::matrix::{Entry, Line, Matrix, Odd};
use super::units;
use crate::cell::{Access, Workload};
use crate::record::{Flag, Flags};
use std::fmt::Write as _;

/// What stands where nothing could be measured.
pub const NO_FIGURE: &str = "–";

/// Of tables that are not shown whole, lines are shown that have at least this rank in some column.
const BRIEF_RANK: usize = 3;

/// Such a table is brief only if that leaves out more lines than this; a gap for less would save nothing.
const BRIEF_SAVING: usize = 3;

impl Matrix {
    /// What the table shows, in a few words.
    pub fn title(&self) -> String {
        let what = match self.workload {
            Workload::Throughput => "Throughput",
            _ => "Round trip",
        };
        format!("{what}, {}", units::size(self.size))
    }

    /// What its figures are.
    pub fn explanation(&self) -> &'static str {
        match (self.workload, self.quantity) {
            (Workload::Latency, _) => "time there and back, median; less is better",
            (_, units::Quantity::Messages) => "messages per second one way, median; more is better",
            _ => "payload per second one way, median; more is better",
        }
    }

    /// Why figures are missing: each reason with the lines it holds for, in the order of the table.
    pub fn failures(&self) -> Vec<(String, String)> {
        let mut reasons: Vec<(&str, String)> = Vec::new();
        for line in &self.lines {
            let planned = line.entries.iter().flatten().count();
            let mut own: Vec<(&str, Vec<String>)> = Vec::new();
            for (entry, view) in line.entries.iter().zip(&self.views) {
                let Some(entry) = entry.as_ref().filter(|entry| entry.figure.is_none()) else { continue };
                let error = if entry.error.is_empty() { "not measured" } else { &entry.error };
                match own.iter_mut().find(|(reason, _)| *reason == error) {
                    Some((_, views)) => views.push(view.label()),
                    None => own.push((error, vec![view.label()])),
                }
            }
            for (reason, views) in own {
                let label = line.subject.label();
                let who = if views.len() == planned { label } else { format!("{label} ({})", views.join(", ")) };
                reasons.push((reason, who));
            }
        }
        let reasons = grouped(reasons).into_iter();
        reasons.map(|(reason, lines)| (lines.join(", "), reason.to_owned())).collect()
    }
}

/// Each text once, in the order of their first appearance, with the names of all that have it.
pub fn grouped<'a>(named: impl IntoIterator<Item = (&'a str, String)>) -> Vec<(&'a str, Vec<String>)> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (text, name) in named {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    groups
}

/// A time, or what stands where there is none.
pub fn time(ns: Option<f64>) -> String {
    ns.map_or(NO_FIGURE.to_owned(), |ns| units::Quantity::Time.format(ns))
}

/// The marks that occur in `tables`: character, name and meaning.
pub fn marks(tables: &[Matrix]) -> Vec<(char, &'static str, &'static str)> {
    let entries = || tables.iter().flat_map(|t| &t.lines).flat_map(|line| line.entries.iter().flatten());
    let flags: Flags = entries().flat_map(|entry| entry.flags.iter()).collect();
    let odd = Odd::ALL.into_iter().filter(|odd| entries().any(|entry| entry.odd == Some(*odd)));
    let known = flags.iter().map(|flag: Flag| (flag.mark(), flag.name(), flag.meaning()));
    known.chain(odd.map(|odd| (odd.mark(), odd.name(), odd.meaning()))).collect()
}

/// All tables for a terminal of `width` columns, the most asked for (latency, smallest messages) last, where it stays
/// on the screen. Only the smallest size of a workload is shown whole; of the others the leaders of every column.
pub fn terminal(tables: &[Matrix], width: usize) -> String {
    let mut text = String::new();
    for (index, table) in tables.iter().enumerate().rev() {
        let whole = index == 0 || tables[index - 1].workload != table.workload;
        text.push_str(&one_terminal(table, width, whole));
        text.push('\n');
    }
    if tables.is_empty() {
        return text;
    }
    let legend = "The number before a figure is its rank in the column; equal ranks: the 95 % intervals (±) overlap.";
    wrap(&mut text, legend, "", width);
    for (mark, name, meaning) in marks(tables) {
        wrap(&mut text, &format!("{mark} {name}: {meaning}"), "  ", width);
    }
    text
}

fn one_terminal(table: &Matrix, width: usize, whole: bool) -> String {
    let mut text = String::new();
    wrap(&mut text, &format!("{} – {}", table.title(), table.explanation()), "", width);
    let figures = table.lines.iter().filter(|line| line.has_figure());
    let brief = |line: &&Line| line.best_rank().is_some_and(|rank| rank <= BRIEF_RANK);
    let all: Vec<&Line> = figures.collect();
    let leaders: Vec<&Line> = all.iter().copied().filter(brief).collect();
    let shown = if whole || leaders.is_empty() || all.len() - leaders.len() <= BRIEF_SAVING { &all } else { &leaders };

    let names: Vec<[&str; 2]> = shown.iter().map(|line| [line.subject.mechanism.as_str(), access(line)]).collect();
    let name_width = |i: usize| names.iter().map(|name| name[i].len()).max().unwrap_or(0);
    let head = 2 + name_width(0) + 1 + name_width(1);
    let columns: Vec<Column> = (0..table.views.len()).map(|view| Column::of(table, shown, view)).collect();

    // As many columns side by side as fit; the others below, under the same names.
    let mut first = 0;
    while first < columns.len() && !shown.is_empty() {
        let mut used = head;
        let mut last = first;
        while last < columns.len() && (last == first || used + 2 + columns[last].width() <= width) {
            used += 2 + columns[last].width();
            last += 1;
        }
        let block = &columns[first..last];
        let heads: String = block.iter().map(|column| format!("  {:1$}", column.head, column.width())).collect();
        let _ = writeln!(text, "{}", format!("{:head$}{heads}", "").trim_end());
        for (row, name) in names.iter().enumerate() {
            let figures: String = block.iter().map(|column| format!("  {}", column.field(row))).collect();
            let line = format!("  {:1$} {2:3$}{figures}", name[0], name_width(0), name[1], name_width(1));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        first = last;
    }
    if shown.len() < all.len() {
        let rest = all.len() - shown.len();
        let _ = writeln!(text, "  … and {rest} more, in README.md and report.html");
    }
    for (who, reason) in table.failures() {
        wrap(&mut text, &format!("{NO_FIGURE} {who}: {reason}"), "  ", width);
    }
    text
}

fn access(line: &Line) -> &'static str {
    match line.subject.access {
        Access::Copy => "",
        Access::InPlace => Access::InPlace.name(),
    }
}

/// A column of figures, cut into parts that line up: rank, figure with unit, spread and marks.
struct Column {
    head: String,
    parts: Vec<[String; 3]>,
    widths: [usize; 3],
}

impl Column {
    fn of(table: &Matrix, lines: &[&Line], view: usize) -> Self {
        let mark = if table.order_by == Some(view) && table.views.len() > 1 { " ▼" } else { "" };
        let head = format!("{}{mark}", table.views[view].label());
        let parts: Vec<_> = lines.iter().map(|line| parts(table, line.entries[view].as_ref())).collect();
        let widest = |i: usize| parts.iter().map(|part: &[String; 3]| part[i].chars().count()).max().unwrap_or(0);
        let mut widths = [widest(0), widest(1), widest(2)];
        let missing = head.chars().count().saturating_sub(widths.iter().sum::<usize>() + 2);
        widths[2] += missing;
        Self { head, parts, widths }
    }

    fn width(&self) -> usize {
        self.widths.iter().sum::<usize>() + 2
    }

    fn field(&self, row: usize) -> String {
        let ([rank, figure, spread], [a, b, c]) = (&self.parts[row], self.widths);
        format!("{rank:>a$} {figure:>b$} {spread:c$}")
    }
}

fn parts(table: &Matrix, entry: Option<&Entry>) -> [String; 3] {
    let Some(entry) = entry else { return Default::default() };
    let Some(figure) = entry.figure else { return [String::new(), NO_FIGURE.to_owned(), String::new()] };
    let spread = figure.interval.map(|interval| table.quantity.format_half_width(figure.value, interval));
    let (spread, marks) = (spread.unwrap_or_default(), entry.marks());
    let spread = if marks.is_empty() { spread } else { format!("{spread} {marks}") };
    [entry.rank.map_or(String::new(), |rank| rank.to_string()), table.quantity.format(figure.value), spread]
}

/// Appends `sentence`, broken at spaces into lines of `width`; the second and later lines are indented.
pub(crate) fn wrap(text: &mut String, sentence: &str, indent: &str, width: usize) {
    let deeper = format!("{indent}  ");
    let options = textwrap::Options::new(width)
        .initial_indent(indent)
        .subsequent_indent(&deeper)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    text.push_str(&textwrap::fill(sentence, options));
    text.push('\n');
}

/// One table in Markdown, with its footnotes.
pub fn markdown(table: &Matrix) -> String {
    let mut text = format!("### {}\n\n{}.\n\n", table.title(), capital(table.explanation()));
    let heads: Vec<String> = table.views.iter().map(|view| view.label()).collect();
    let _ = writeln!(text, "| mechanism | access | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "--:|".repeat(heads.len()));
    for line in table.lines.iter().filter(|line| line.has_figure()) {
        let fields: Vec<String> = line.entries.iter().map(|entry| markdown_field(table, entry.as_ref())).collect();
        let _ =
            writeln!(text, "| {} | {} | {} |", line.subject.mechanism, line.subject.access.name(), fields.join(" | "));
    }
    let failures = table.failures();
    if !failures.is_empty() {
        text.push('\n');
    }
    for (who, reason) in failures {
        let _ = writeln!(text, "- {NO_FIGURE} {who}: {}", escape_markdown(&reason));
    }
    text
}

fn markdown_field(table: &Matrix, entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return String::new() };
    let Some(figure) = entry.figure else { return NO_FIGURE.to_owned() };
    let rank = entry.rank.map_or(String::new(), |rank| format!("**{rank}** · "));
    let [_, value, spread] = parts(table, Some(entry));
    let beside = figure.beside().map(|(name, value)| format!(" · {name} {}", table.quantity.format(value)));
    let beside: String = beside.collect();
    // `~` alone is a mark; two of them would strike the text out.
    format!("{rank}{}{beside}", format!("{value} {spread}").trim_end().replace('~', "\\~"))
}

/// Text that is to be read as it stands in Markdown.
pub fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '&' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#') {
            escaped.push('\\');
        }
        escaped.push(if c == '\n' { ' ' } else { c });
    }
    escaped
}

/// `text` with its first letter capital.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
