//! Tables. All of them are of one type, which is shown on a terminal, as Markdown, and as HTML that can be sorted.

use super::{
    text::{NO_FIGURE, escape, escape_markdown, wrap},
    units::{Quantity, Rounded},
};
use bench_record::{rows::Flag, stats};
use std::fmt::Write as _;

/// A proximity that differs from that of most of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Odd {
    /// A near figure among far ones.
    Near,
    /// A far figure among near ones.
    Far,
}

impl Odd {
    /// Both values, in the order of legends.
    pub const ALL: [Odd; 2] = [Odd::Near, Odd::Far];

    /// The character that stands for the proximity in tables.
    pub const fn mark(self) -> char {
        match self {
            Odd::Near => 'n',
            Odd::Far => 'f',
        }
    }

    /// The proximity's name in legends.
    pub const fn name(self) -> &'static str {
        match self {
            Odd::Near => "near",
            Odd::Far => "far",
        }
    }

    /// What a reader who meets the mark must know.
    pub const fn meaning(self) -> &'static str {
        match self {
            Odd::Near => {
                "The two CPUs were near each other while most others in the column were far apart (a cache line took \
                 several times as long between those); not comparable with them, and not ranked."
            }
            Odd::Far => {
                "The two CPUs were far apart (a cache line took several times as long between them) while most others \
                 in the column were near; not comparable with them, and not ranked."
            }
        }
    }
}

/// The type of a column's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text, aligned to the left.
    Words(&'static str),
    /// Numbers, aligned to the right.
    Figures(&'static str),
    /// Numbers, with a heading made at run time.
    Named(String),
    /// Measured figures that may be compared with each other.
    Compared(Compared),
}

/// A column of figures that may be compared with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The heading.
    pub head: String,
    /// The heading in words that need no glossary.
    pub caption: String,
    /// Whether the smaller of two figures is the better one.
    pub less_is_better: bool,
    /// Whether the lines are in the order of this column.
    pub leads: bool,
}

impl Column {
    fn head(&self) -> &str {
        match self {
            Column::Words(head) | Column::Figures(head) => head,
            Column::Named(head) => head,
            Column::Compared(compared) => &compared.head,
        }
    }

    const fn is_figure(&self) -> bool {
        !matches!(self, Column::Words(_))
    }

    /// The heading on a terminal. `unit` is given if all figures below it are in that unit.
    fn terminal_head(&self, unit: Option<&str>) -> String {
        let unit = unit.map_or(String::new(), |unit| format!(", {unit}"));
        let mark = if matches!(self, Column::Compared(compared) if compared.leads) { " ▼" } else { "" };
        format!("{}{unit}{mark}", self.head())
    }
}

/// The content of one line in one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Words or a count. Its text is the key for sorting.
    Text(String),
    /// A number for sorting, and the text that is shown.
    Number(f64, String),
    /// A measured figure.
    Figure(Shown),
    /// No figure, for this reason.
    Missing(String),
}

/// A measured figure with its doubts.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The quantity of the figure.
    pub quantity: Quantity,
    /// The figure.
    pub value: f64,
    /// The 95 % confidence interval of the figure.
    pub interval: Option<(f64, f64)>,
    /// The figure's rank in the column.
    pub rank: Option<usize>,
    /// The marks of the figure's doubts.
    pub marks: Vec<Mark>,
    /// Further figures of the same cell.
    pub beside: Vec<Beside>,
}

/// A figure that is shown beside another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    /// The name of the figure.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// The 95 % confidence interval of the figure.
    pub interval: Option<(f64, f64)>,
}

/// A doubt, as shown in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A flag of the row.
    Flag(Flag),
    /// A proximity that differs from that of most of the column.
    Odd(Odd),
}

impl Mark {
    /// The character that stands for the mark.
    pub const fn sign(self) -> char {
        match self {
            Mark::Flag(flag) => flag.mark(),
            Mark::Odd(odd) => odd.mark(),
        }
    }

    /// The name of the mark.
    pub fn name(self) -> &'static str {
        match self {
            Mark::Flag(flag) => flag.name(),
            Mark::Odd(odd) => odd.name(),
        }
    }

    /// What a reader who meets the mark must know.
    pub const fn meaning(self) -> &'static str {
        match self {
            Mark::Flag(flag) => flag.meaning(),
            Mark::Odd(odd) => odd.meaning(),
        }
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Field::Text(text)
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Field::Text(text.to_owned())
    }
}

/// Converts lines of text into lines of fields.
pub fn texts(lines: impl IntoIterator<Item = Vec<String>>) -> Vec<Vec<Field>> {
    lines.into_iter().map(|line| line.into_iter().map(Field::Text).collect()).collect()
}

impl Field {
    /// A figure without flags and rank. It is a dash if there is no value.
    pub fn of(quantity: Quantity, value: Option<f64>, interval: Option<(f64, f64)>) -> Self {
        let shown = |value| Shown { quantity, value, interval, rank: None, marks: Vec::new(), beside: Vec::new() };
        value.map_or(Field::Missing(String::new()), |value| Field::Figure(shown(value)))
    }

    /// A time without an interval. It is a dash if there is no value.
    pub fn time(ns: Option<f64>) -> Self {
        Self::of(Quantity::Time, ns, None)
    }

    /// A number. It is a dash if there is no value.
    pub fn number(value: Option<f64>, text: impl FnOnce(f64) -> String) -> Self {
        value.map_or(Field::Missing(String::new()), |value| Field::Number(value, text(value)))
    }

    /// Removes the figures that are shown beside this one.
    pub fn alone(mut self) -> Self {
        if let Field::Figure(shown) = &mut self {
            shown.beside.clear();
        }
        self
    }

    const fn shown(&self) -> Option<&Shown> {
        match self {
            Field::Figure(shown) => Some(shown),
            _ => None,
        }
    }

    /// The text of the field, without the rank.
    pub fn text(&self) -> String {
        match self {
            Field::Text(text) | Field::Number(_, text) => text.clone(),
            Field::Missing(_) => NO_FIGURE.to_owned(),
            Field::Figure(shown) => {
                let marks = shown.signs();
                let figure = shown.quantity.format_within(shown.value, shown.interval);
                if marks.is_empty() { figure } else { format!("{figure} {marks}") }
            }
        }
    }

    fn markdown(&self) -> String {
        let Some(shown) = self.shown() else { return escape_markdown(&self.text()) };
        let rank = shown.rank.map_or(String::new(), |rank| format!("**{rank}** · "));
        let figure = |Beside { name, value, interval }: &Beside| {
            format!(" · {name} {}", shown.quantity.format_within(*value, *interval))
        };
        let beside: String = shown.beside.iter().map(figure).collect();
        format!("{rank}{}{beside}", escape_markdown(&self.text()))
    }

    /// The key by which the HTML table is sorted. `None` if the text itself is the key.
    fn key(&self) -> Option<String> {
        match self {
            Field::Text(_) => None,
            Field::Number(value, _) => Some(value.to_string()),
            Field::Figure(shown) => Some(shown.value.to_string()),
            Field::Missing(_) => Some(String::new()),
        }
    }

    fn html(&self, class: &str) -> String {
        let key = self.key().map_or(String::new(), |key| format!(" data-v=\"{key}\""));
        let content = match self {
            Field::Missing(why) if !why.is_empty() => {
                return format!("<td{class}{key} title=\"{}\">{NO_FIGURE}</td>", escape(why));
            }
            Field::Figure(shown) => shown.html(),
            _ => escape(&self.text()),
        };
        format!("<td{class}{key}>{content}</td>")
    }

    /// The parts of the field on a terminal: rank, number, doubt, unit and marks, or a text alone. If `unit` is given,
    /// figures are in that unit and do not show it.
    fn parts(&self, unit: Option<f64>) -> Parts {
        let Field::Figure(shown) = self else { return Parts::Text(self.text()) };
        let rounded = Rounded::of(shown.value, shown.interval);
        let (divisor, name) = match unit {
            Some(divisor) => (divisor, ""),
            None => shown.quantity.unit(rounded.value),
        };
        Parts::Figure([
            shown.rank.map_or(String::new(), |rank| rank.to_string()),
            rounded.number(divisor),
            rounded.doubt(divisor).map_or(String::new(), |doubt| format!("±{doubt}")),
            name.to_owned(),
            shown.signs(),
        ])
    }
}

impl Shown {
    fn signs(&self) -> String {
        self.marks.iter().map(|mark| mark.sign()).collect()
    }

    fn html(&self) -> String {
        let mut html = String::new();
        if let Some(rank) = self.rank {
            let best = if rank == 1 { " best" } else { "" };
            let _ = write!(html, "<span class=\"rank{best}\">{rank}</span>");
        }
        html.push_str(&escape(&self.quantity.format_within(self.value, self.interval)));
        if !self.marks.is_empty() {
            let names: Vec<&str> = self.marks.iter().map(|mark| mark.name()).collect();
            let _ = write!(html, " <sup title=\"{}\">{}</sup>", names.join(", "), escape(&self.signs()));
        }
        for Beside { name, value, interval } in &self.beside {
            let _ = write!(html, "<small>{name} {}</small>", self.quantity.format_within(*value, *interval));
        }
        html
    }
}

/// A field on a terminal.
enum Parts {
    Text(String),
    Figure([String; 5]),
}

/// A column on a terminal, with the widths of its parts.
struct Laid {
    head: String,
    is_figure: bool,
    widths: [usize; 5],
    width: usize,
    parts: Vec<Parts>,
}

/// The number of terminal columns that `text` takes.
fn columns_of(text: &str) -> usize {
    textwrap::core::display_width(text)
}

/// `text` padded with spaces to `width` columns: in front if `right`, else behind.
fn padded(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(columns_of(text)));
    if right { space + text } else { text.to_owned() + &space }
}

impl Laid {
    fn of(table: &Table, column: usize, unit: Option<(f64, &str)>) -> Self {
        let head = table.columns[column].terminal_head(unit.map(|(_, name)| name));
        let divisor = unit.map(|(divisor, _)| divisor);
        let parts: Vec<Parts> = table.lines.iter().map(|line| line[column].parts(divisor)).collect();
        let mut widths = [0; 5];
        let mut width = columns_of(&head);
        for part in &parts {
            match part {
                Parts::Figure(fields) => {
                    widths.iter_mut().zip(fields).for_each(|(width, field)| *width = columns_of(field).max(*width));
                }
                Parts::Text(text) => width = width.max(columns_of(text)),
            }
        }
        let figures =
            widths.iter().sum::<usize>() + widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
        Self { head, is_figure: table.columns[column].is_figure(), widths, width: width.max(figures), parts }
    }

    fn head(&self) -> String {
        self.aligned(&self.head)
    }

    fn aligned(&self, text: &str) -> String {
        padded(text, self.width, self.is_figure)
    }

    fn field(&self, line: usize) -> String {
        match &self.parts[line] {
            // Below figures, a dash stands where their numbers end.
            Parts::Text(text) if self.widths[1] > 0 => {
                let [rank, number, ..] = self.widths;
                let lead = rank + usize::from(rank > 0) + number;
                self.aligned(&padded(&padded(text, lead, true), self.figures(), false))
            }
            Parts::Text(text) => self.aligned(text),
            Parts::Figure(fields) => {
                let cells = fields.iter().zip(self.widths).enumerate().filter(|(_, (_, width))| *width > 0);
                let cells = cells.map(|(index, (field, width))| padded(field, width, index < 2));
                self.aligned(&cells.collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn figures(&self) -> usize {
        self.widths.iter().sum::<usize>() + self.widths.iter().filter(|width| **width > 0).count().saturating_sub(1)
    }
}

/// A table with an explanation above and notes below.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The title: what the table shows.
    pub title: String,
    /// How to read the table.
    pub explanation: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// The lines. Each has one field per column.
    pub lines: Vec<Vec<Field>>,
    /// Notes below the table.
    pub notes: Vec<String>,
}

/// The gap between two columns on a terminal.
const GAP: &str = "  ";

/// The width of `columns` beside each other, in terminal columns.
fn total(columns: &[Laid]) -> usize {
    columns.iter().map(|column| column.width + GAP.len()).sum::<usize>().saturating_sub(GAP.len())
}

impl Table {
    /// Whether any figure has a rank.
    pub fn has_ranks(&self) -> bool {
        self.shown().any(|shown| shown.rank.is_some())
    }

    /// The doubts of all figures.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.shown().flat_map(|shown| shown.marks.iter().copied())
    }

    fn shown(&self) -> impl Iterator<Item = &Shown> {
        self.lines.iter().flatten().filter_map(Field::shown)
    }

    /// Aligned text of at most `width` columns, if the first column and one other fit into them. If figures with their
    /// units do not fit, the units move into the headings. If that is not enough, the remaining columns follow below,
    /// after the first column again.
    pub fn terminal(&self, width: usize) -> String {
        self.laid_out(width, width)
    }

    /// Aligned text with unbroken lines, however wide, for logs that are searched. Only the text around the lines wraps
    /// at `width`.
    pub fn unbroken(&self, width: usize) -> String {
        self.laid_out(width, usize::MAX)
    }

    /// The number of terminal columns needed to show the table in one piece.
    pub fn width(&self) -> usize {
        total(&self.laid(|_| None)).min(total(&self.laid(|column| self.unit(column))))
    }

    fn laid(&self, unit: impl Fn(usize) -> Option<(f64, &'static str)>) -> Vec<Laid> {
        (0..self.columns.len()).map(|column| Laid::of(self, column, unit(column))).collect()
    }

    fn laid_out(&self, words: usize, width: usize) -> String {
        let mut text = String::new();
        wrap(&mut text, &format!("{} – {}", self.title, self.explanation), "", words);
        text.push('\n');
        let mut columns = self.laid(|_| None);
        if total(&columns) > width {
            let hoisted = self.laid(|column| self.unit(column));
            if total(&hoisted) <= width {
                columns = hoisted;
            }
        }
        if let Some((names, rest)) = columns.split_first() {
            let mut first = 0;
            while first == 0 || first < rest.len() {
                let mut last = first;
                let mut used = names.width;
                while last < rest.len() && (last == first || used + GAP.len() + rest[last].width <= width) {
                    used += GAP.len() + rest[last].width;
                    last += 1;
                }
                let block = || std::iter::once(names).chain(&rest[first..last]);
                let mut line = |fields: Vec<String>| {
                    text.push_str(fields.join(GAP).trim_end());
                    text.push('\n');
                };
                line(block().map(Laid::head).collect());
                (0..self.lines.len()).for_each(|index| line(block().map(|column| column.field(index)).collect()));
                first = last.max(1);
            }
        }
        for note in &self.notes {
            wrap(&mut text, note, "", words);
        }
        text
    }

    /// The unit that suits the median of a column's figures.
    fn unit(&self, column: usize) -> Option<(f64, &'static str)> {
        let figures = || self.lines.iter().filter_map(|line| line[column].shown());
        let median = stats::median(&mut figures().map(|shown| shown.value).collect::<Vec<_>>())?;
        Some(figures().next()?.quantity.unit(median))
    }

    /// The table in Markdown, under a heading of the third level.
    pub fn markdown(&self) -> String {
        format!("### {}\n\n{}", self.title, self.markdown_body())
    }

    /// The table in Markdown, without the heading.
    pub fn markdown_body(&self) -> String {
        let mut text = format!("{}\n\n{}", escape_markdown(&self.explanation), self.markdown_lines());
        for note in &self.notes {
            let _ = write!(text, "\n{}\n", escape_markdown(note));
        }
        text.push('\n');
        text
    }

    /// The table's column headings and lines in Markdown.
    pub fn markdown_lines(&self) -> String {
        let heads: Vec<&str> = self.columns.iter().map(|column| column.head()).collect();
        let rule: Vec<&str> =
            self.columns.iter().map(|column| if column.is_figure() { "--:" } else { "---" }).collect();
        let mut text = format!("| {} |\n|{}|\n", heads.join(" | "), rule.join("|"));
        for line in &self.lines {
            let fields: Vec<String> = line.iter().map(Field::markdown).collect();
            let _ = writeln!(text, "| {} |", fields.join(" | "));
        }
        text
    }

    /// The table in HTML, under a heading of the third level. Links can refer to the heading by `id`.
    pub fn html(&self, id: Option<&str>) -> String {
        let id = id.map_or(String::new(), |id| format!(" id=\"{id}\""));
        format!("<h3{id}>{}</h3>\n{}", escape(&self.title), self.html_body())
    }

    /// The table in HTML, without the heading.
    pub fn html_body(&self) -> String {
        let explanation = escape(&self.explanation);
        let mut html = format!(
            "<p class=\"quiet\">{explanation}</p>\n<div class=\"scroll\"><table class=\"sortable\"><thead><tr>"
        );
        let class = |column: &Column| if column.is_figure() { " class=\"figure\"" } else { "" };
        for column in &self.columns {
            let mut more = String::new();
            if let Column::Compared(compared) = column {
                let first = if compared.less_is_better { "ascending" } else { "descending" };
                let sorted = if compared.leads { format!(" aria-sort=\"{first}\"") } else { String::new() };
                more = format!(" data-first=\"{first}\"{sorted} title=\"{}\"", escape(&compared.caption));
            }
            let _ = write!(html, "<th scope=\"col\"{}{more}>{}</th>", class(column), escape(column.head()));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for line in &self.lines {
            let fields = line.iter().zip(&self.columns).map(|(field, column)| field.html(class(column)));
            let _ = writeln!(html, "<tr>{}</tr>", fields.collect::<String>());
        }
        html.push_str("</tbody></table></div>\n");
        for note in &self.notes {
            let _ = writeln!(html, "<p class=\"quiet\">{}</p>", escape(note));
        }
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<Column>, lines: Vec<Vec<Field>>) -> Table {
        Table { title: "T".into(), explanation: "e".into(), columns, lines, notes: vec!["below".into()] }
    }

    fn compared(head: &str) -> Column {
        let (head, caption) = (head.to_owned(), "in words".to_owned());
        Column::Compared(Compared { head, caption, less_is_better: true, leads: true })
    }

    fn figure(ns: f64, half: f64, rank: usize, marks: &[Flag]) -> Field {
        Field::Figure(Shown {
            quantity: Quantity::Time,
            value: ns,
            interval: Some((ns - half, ns + half)),
            rank: Some(rank),
            marks: marks.iter().copied().map(Mark::Flag).collect(),
            beside: vec![Beside { name: "p99", value: 2.0 * ns, interval: None }],
        })
    }

    #[test]
    fn words_are_left_and_figures_right() {
        let table = table(vec![Column::Words("name"), Column::Figures("n")], vec![vec!["a|b".into(), "1.5".into()]]);
        assert_eq!(table.terminal(80), "T – e\n\nname    n\na|b   1.5\nbelow\n");
        assert_eq!(table.markdown(), "### T\n\ne\n\n| name | n |\n|---|--:|\n| a\\|b | 1.5 |\n\nbelow\n\n");
        assert!(table.html(None).contains("<td>a|b</td><td class=\"figure\">1.5</td>"));
    }

    #[test]
    fn columns_are_those_of_a_terminal() {
        // A wide letter takes two columns, a combining accent none.
        let lines = vec![vec!["管道".into(), "1".into()], vec!["e\u{301}".into(), "22".into()]];
        let table = table(vec![Column::Words("name"), Column::Figures("n")], lines);
        assert_eq!(table.terminal(80), "T – e\n\nname   n\n管道   1\ne\u{301}     22\nbelow\n");
    }

    #[test]
    fn a_figure_shows_its_doubts_everywhere() {
        let lines = vec![
            vec!["pipe".into(), figure(45_300.0, 7_200.0, 1, &[Flag::Unsteady, Flag::Bimodal])],
            vec!["fifo".into(), figure(102_000.0, 2_000.0, 2, &[])],
            vec!["udp".into(), Field::Missing("too <long>".into())],
        ];
        let table = table(vec![Column::Words("name"), compared("round trip")], lines);
        let expected = "name    round trip ▼\npipe  1  45 ±7 µs ~b\nfifo  2 102 ±2 µs\nudp       –\n";
        assert!(table.terminal(80).contains(expected), "{}\n{expected}", table.terminal(80));
        let markdown = table.markdown();
        assert!(markdown.contains("| pipe | **1** · 45 ± 7 µs \\~b · p99 91 µs |"), "{markdown}");
        let html = table.html(None);
        for part in [
            "<th scope=\"col\" class=\"figure\" data-first=\"ascending\" aria-sort=\"ascending\" title=\"in words\">",
            "<td class=\"figure\" data-v=\"45300\"><span class=\"rank best\">1</span>45 ± 7 µs <sup title=\"unsteady, bimodal\">~b</sup>",
            "<td class=\"figure\" data-v=\"\" title=\"too &lt;long&gt;\">–</td>",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
    }

    #[test]
    fn what_is_too_wide_moves_its_units_into_the_headings_and_then_goes_below() {
        let figures = || (0..3).map(|_| figure(45_300.0, 7_200.0, 1, &[]));
        let columns = [Column::Words("name")].into_iter().chain(["a", "b", "c"].map(compared)).collect();
        let table = table(columns, vec![[Field::from("pipe")].into_iter().chain(figures()).collect()]);
        let lines = |width| table.terminal(width).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(40)[1], "pipe  1 45 ±7 µs  1 45 ±7 µs  1 45 ±7 µs");
        assert_eq!(lines(31)[..2], ["name  a, µs ▼  b, µs ▼  c, µs ▼", "pipe  1 45 ±7  1 45 ±7  1 45 ±7"]);
        assert_eq!(lines(30).len(), 5);
        assert_eq!(table.width(), 31);
        assert_eq!(lines(30)[3], "pipe  1 45 ±7 µs");
    }
}
