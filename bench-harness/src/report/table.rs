//! A table of text, for a terminal, Markdown or HTML.

use super::{
    charts::escape,
    tables::{escape_markdown, wrap},
};
use std::fmt::Write as _;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text, to the left.
    Words(&'static str),
    /// Numbers, to the right.
    Figures(&'static str),
    /// Numbers, under a heading that depends on them.
    Named(String),
}

impl Column {
    fn head(&self) -> &str {
        match self {
            Column::Words(head) | Column::Figures(head) => head,
            Column::Named(head) => head,
        }
    }

    const fn is_figure(&self) -> bool {
        matches!(self, Column::Figures(_) | Column::Named(_))
    }
}

/// A table with what explains it above and what remains to be said below.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub explanation: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// The lines, each with a field a column.
    pub lines: Vec<Vec<String>>,
    /// What stands below.
    pub notes: Vec<String>,
}

impl Table {
    /// Aligned text; only the words above and below it are wrapped at `width`.
    pub fn terminal(&self, width: usize) -> String {
        let mut text = String::new();
        wrap(&mut text, &format!("{} – {}", self.title, self.explanation), "", width);
        text.push('\n');
        let heads: Vec<String> = self.columns.iter().map(|column| column.head().to_owned()).collect();
        let lines = || [&heads].into_iter().chain(&self.lines);
        let widest = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(widest).collect();
        for line in lines() {
            let fields = line.iter().zip(&self.columns).zip(&widths).map(|((field, column), &width)| {
                if column.is_figure() { format!("{field:>width$}") } else { format!("{field:width$}") }
            });
            text.push_str(fields.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        for note in &self.notes {
            wrap(&mut text, note, "", width);
        }
        text
    }

    /// The same in Markdown, under a heading of the third level.
    pub fn markdown(&self) -> String {
        format!("### {}\n\n{}", self.title, self.markdown_body())
    }

    /// Without the heading.
    pub fn markdown_body(&self) -> String {
        let mut text = format!("{}\n\n", escape_markdown(&self.explanation));
        let heads: Vec<&str> = self.columns.iter().map(|column| column.head()).collect();
        let rule: Vec<&str> =
            self.columns.iter().map(|column| if column.is_figure() { "--:" } else { "---" }).collect();
        let _ = write!(text, "| {} |\n|{}|\n", heads.join(" | "), rule.join("|"));
        for line in &self.lines {
            let fields: Vec<String> = line.iter().map(|field| escape_markdown(field)).collect();
            let _ = writeln!(text, "| {} |", fields.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n{}\n", escape_markdown(note));
        }
        text.push('\n');
        text
    }

    /// The same in HTML, under a heading of the third level.
    pub fn html(&self) -> String {
        format!("<h3>{}</h3>\n{}", escape(&self.title), self.html_body())
    }

    /// Without the heading.
    pub fn html_body(&self) -> String {
        let explanation = escape(&self.explanation);
        let mut html = format!("<p class=\"quiet\">{explanation}</p>\n<div class=\"scroll\"><table>");
        let class = |column: &Column| if column.is_figure() { " class=\"figure\"" } else { "" };
        html.push_str("<thead><tr>");
        for column in &self.columns {
            let _ = write!(html, "<th{}>{}</th>", class(column), escape(column.head()));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for line in &self.lines {
            html.push_str("<tr>");
            for (field, column) in line.iter().zip(&self.columns) {
                let _ = write!(html, "<td{}>{}</td>", class(column), escape(field));
            }
            html.push_str("</tr>\n");
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

    #[test]
    fn words_are_left_and_figures_right() {
        let table = Table {
            title: "T".into(),
            explanation: "e".into(),
            columns: vec![Column::Words("name"), Column::Figures("n")],
            lines: vec![vec!["a|b".into(), "1.5".into()]],
            notes: vec!["below".into()],
        };
        assert_eq!(table.terminal(80), "T – e\n\nname    n\na|b   1.5\nbelow\n");
        assert_eq!(table.markdown(), "### T\n\ne\n\n| name | n |\n|---|--:|\n| a\\|b | 1.5 |\n\nbelow\n\n");
        assert!(table.html().contains("<td>a|b</td><td class=\"figure\">1.5</td>"));
    }
}
