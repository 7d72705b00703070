//! Measured blocks of a Markdown page written by people, such as the project's README. They hold tables, charts, and
//! sentences that follow from figures.
//!
//! A block stands between `<!-- NAME of FOLDER -->` and `<!-- /NAME -->`, each at the start of a line. Everything
//! between is generated from the results in FOLDER. So no figure on the page goes stale, and no conclusion outlives its
//! figures.

use super::{
    Results, charts, faults,
    matrix::{self, Matrix},
    model::{Cost, Point, Subject, View},
    overview::{SMALL, USUAL, calls, capital, copies_of, count},
    relay, shown,
    table::{Column, Field, Mark, Table},
    text::and,
    units::{self, Quantity},
};
use bench_record::{
    cell::{Access, Placement, Workload},
    rows::{CopiesRow, CostRow, FaultRow, LatencyRow, Row},
};
use ipc_core::{Spec, Wait};
use std::{collections::BTreeSet, ops::Range};

/// Generates a block. Returns its text, or the name of the missing file.
type Make = fn(&Results, &str) -> Result<String, &'static str>;

/// All blocks, by name.
const BLOCKS: [(&str, Make); 6] = [
    ("latency", latency),
    ("mechanisms", mechanisms),
    ("copies", copies),
    ("relay", relay::block::text),
    ("placements", placements),
    ("faults", killed),
];

/// An error in a page, or in the results that it is to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no block of this name.
    #[error("no block is called '{name}': use one of {known}")]
    Unknown {
        /// The block's name in the page.
        name: String,
        /// The names of all blocks.
        known: String,
    },
    /// A block has no end marker.
    #[error("the block '{0}' has no end: expected <!-- /{0} -->")]
    Endless(String),
    /// The page has no block.
    #[error("no measured block: expected <!-- NAME of FOLDER -->, such as <!-- relay of results -->")]
    None,
    /// The results that a block shows were not measured.
    #[error("the block '{name}' needs {file}, and {folder} has none or one without figures")]
    NotMeasured {
        /// The block's name.
        name: String,
        /// The file that the block is generated from.
        file: &'static str,
        /// The folder of the results.
        folder: String,
    },
}

/// One block of a page.
struct Block<'a> {
    name: &'a str,
    folder: &'a str,
    /// From the start of the first marker to the end of the last one.
    range: Range<usize>,
}

fn blocks(page: &str) -> Result<Vec<Block<'_>>, Error> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(start) = page[at..].find("<!-- ").map(|found| at + found) {
        let Some(end) = page[start..].find(" -->").map(|found| start + found) else { break };
        at = end + " -->".len();
        // A marker within a line is a quotation, as in this file.
        if start > 0 && !page[..start].ends_with('\n') {
            continue;
        }
        let Some((name, folder)) = page[start + "<!-- ".len()..end].split_once(" of ") else { continue };
        let last = format!("\n<!-- /{name} -->");
        let length = page[at..].find(&last).ok_or_else(|| Error::Endless(name.to_owned()))?;
        blocks.push(Block { name, folder, range: start..at + length + last.len() });
        at += length + last.len();
    }
    if blocks.is_empty() { Err(Error::None) } else { Ok(blocks) }
}

/// The folders named by the blocks of `page`, each once.
///
/// # Errors
/// [`Error::None`] if the page has no block, [`Error::Endless`] if a block does not end.
pub fn folders(page: &str) -> Result<Vec<String>, Error> {
    let folders: BTreeSet<String> = blocks(page)?.into_iter().map(|block| block.folder.to_owned()).collect();
    Ok(folders.into_iter().collect())
}

/// The text of `page` with every block generated anew from `results`. They lie in `folder` as seen from the page.
///
/// # Errors
/// [`Error`].
pub fn rewritten(page: &str, results: &Results, folder: &str) -> Result<String, Error> {
    let mut text = String::with_capacity(page.len());
    let mut at = 0;
    for Block { name, range, .. } in blocks(page)? {
        let known = || BLOCKS.map(|(name, _)| name).join(", ");
        let (_, make) = BLOCKS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| Error::Unknown { name: name.to_owned(), known: known() })?;
        let missing = |file| Error::NotMeasured { name: name.to_owned(), file, folder: folder.to_owned() };
        let made = make(results, folder).map_err(missing)?;
        text.push_str(&page[at..range.start]);
        text.push_str(&format!("<!-- {name} of {folder} -->\n{}\n<!-- /{name} -->", made.trim_end()));
        at = range.end;
    }
    text.push_str(&page[at..]);
    Ok(text)
}

/// The image of one chart.
fn chart(results: &Results, folder: &str, file: &str) -> Option<String> {
    let chart = shown::charts(results).into_iter().find(|chart| chart.file == file && chart.drawing.is_ok())?;
    Some(format!("![{}]({folder}/{}/{file})\n", chart.title, charts::FOLDER))
}

fn latency(results: &Results, folder: &str) -> Result<String, &'static str> {
    let chart = chart(results, folder, "latency-by-mechanism.svg").ok_or(LatencyRow::FILE)?;
    Ok(format!(
        "{chart}\nMeasured on {}. Tables, charts and CSV files of that run: [{folder}]({folder}/README.md).",
        results.source()
    ))
}

fn copies(results: &Results, folder: &str) -> Result<String, &'static str> {
    chart(results, folder, "copies-throughput.svg").ok_or(CopiesRow::FILE)
}

/// Rankings of processor time for small messages with copying access: one way, and in a round trip.
fn processor_time(results: &Results) -> [Matrix; 2] {
    let rows = || results.rows.cost.iter().filter(|row| row.size == SMALL && row.access == Access::Copy);
    [Cost::OneWay, Cost::RoundTripCpu]
        .map(|which| matrix::of(Workload::Cost, SMALL, rows().map(|row| Point::of_cost(row, which)).collect()))
}

fn mechanisms(results: &Results, _: &str) -> Result<String, &'static str> {
    if results.rows.copies.is_empty() {
        return Err(CopiesRow::FILE);
    }
    let times = processor_time(results);
    if !times[0].views.contains(&USUAL) {
        return Err(CostRow::FILE);
    }
    let line = |spec: &Spec| {
        let subject = |access| Subject { mechanism: spec.name.to_owned(), access };
        let counted = |access| copies_of(&results.rows.copies, &subject(access));
        let total = |access| Field::number(counted(access).and_then(|row| row.total_copies), count);
        let time = |matrix: &Matrix| {
            let entry = matrix.entry(&subject(Access::Copy), USUAL);
            entry.map_or(Field::Missing(String::new()), |entry| entry.field(matrix.quantity))
        };
        let in_place = spec.declared_copies.in_place.is_some();
        vec![
            spec.name.into(),
            total(Access::Copy),
            if in_place { total(Access::InPlace) } else { "".into() },
            counted(Access::Copy).map_or(Field::Missing(String::new()), calls),
            time(&times[0]),
            time(&times[1]),
            spec.good_for.into(),
            spec.bad_for.into(),
        ]
    };
    let table = Table {
        title: String::new(),
        explanation: String::new(),
        columns: vec![
            Column::Words("mechanism"),
            Column::Figures("copies"),
            Column::Figures("in place"),
            Column::Figures("calls"),
            Column::Figures("CPU, one way"),
            Column::Figures("CPU, round trip"),
            Column::Words("good for"),
            Column::Words("bad for"),
        ],
        lines: results.specs.iter().map(line).collect(),
        notes: Vec::new(),
    };
    let [one_way, round_trip] = times.each_ref().map(cheapest);
    let marks: BTreeSet<Mark> = table.marks().collect();
    let marks: Vec<String> = marks.iter().map(|mark| format!("`{}` {}", mark.sign(), mark.name())).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" Marks: {}.", marks.join(", ")) };
    Ok(format!(
        "{}\nCPU: processor time of both processes for a {} message, on {} ({}). Measured on {}.{marks} Cheapest one way at \
         saturation: {one_way}. Cheapest in a round trip: {round_trip}. Mechanisms in one list share a rank: this run \
         cannot tell them apart.",
        table.markdown_lines(),
        units::size(SMALL),
        USUAL.caption(),
        USUAL.label(),
        results.source(),
    ))
}

/// The mechanisms with rank 1 in the usual view.
fn cheapest(matrix: &Matrix) -> String {
    let entries = || matrix.lines.iter().filter_map(|line| Some((&line.subject, matrix.entry(&line.subject, USUAL)?)));
    let first = entries().filter(|(_, entry)| entry.rank == Some(1));
    let names: Vec<String> = first.map(|(subject, _)| format!("`{}`", subject.label())).collect();
    if names.is_empty() { "not known, for want of intervals".to_owned() } else { and(&names) }
}

/// How placement and waiting change one mechanism's time. It is the first in the order of lists.
fn placements(results: &Results, _: &str) -> Result<String, &'static str> {
    let rows = || results.rows.latency.iter().filter(|row| row.size == SMALL && row.access == Access::Copy);
    let mut names = results.specs.iter().map(|spec| spec.name);
    let mechanism = names.find(|name| rows().any(|row| row.mechanism == *name)).ok_or(LatencyRow::FILE)?;
    let points: Vec<Point> = rows().filter(|row| row.mechanism == mechanism).map(Point::from).collect();
    let views = [
        View { placement: Placement::SameCore, wait: Wait::Block },
        USUAL,
        View { placement: Placement::CrossCore, wait: Wait::Spin },
    ];
    let said: Vec<String> = views
        .into_iter()
        .filter_map(|view| {
            let figure = points.iter().find(|point| point.view == view)?.figure?;
            Some(format!("{} `{}`", Quantity::Time.format_within(figure.value, figure.interval), view.label()))
        })
        .collect();
    if said.is_empty() {
        return Err(LatencyRow::FILE);
    }
    let size = units::size(SMALL);
    Ok(format!("Round trip of {size} through `{mechanism}`: {}. Measured on {}.", and(&said), results.source()))
}

fn killed(results: &Results, folder: &str) -> Result<String, &'static str> {
    let tables = faults::tables(&results.rows.faults);
    let table = tables.first().ok_or(FaultRow::FILE)?;
    Ok(format!(
        "{}\n{} Measured on {}. Closing, stopping and dying in `bind`: see [{folder}]({folder}/README.md#faults).",
        table.markdown_lines(),
        capital(&faults::summary(&results.rows.faults)),
        faults::origin(&results.rows.faults),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::{
        file_copy::FileCopy,
        rows::{RelayRow, Rows},
    };

    #[test]
    fn a_page_keeps_what_people_wrote() {
        let results = Results {
            rows: Rows {
                relay: vec![RelayRow { bytes_per_s: Some(1e9), ..RelayRow::of(FileCopy::Splice, 64 << 20, 64 << 10) }],
                ..Rows::default()
            },
            ..Results::default()
        };
        let page = "before `<!-- relay of X -->`\n<!-- relay of old -->\nstale\n<!-- /relay -->\nafter\n";
        let text = rewritten(page, &results, "results/machines/x").unwrap();
        assert!(
            text.starts_with("before `<!-- relay of X -->`\n<!-- relay of results/machines/x -->\n| relay |"),
            "{text}"
        );
        assert!(text.ends_with("\n<!-- /relay -->\nafter\n") && !text.contains("stale"), "{text}");
        assert_eq!(rewritten(&text, &results, "results/machines/x").unwrap(), text);
        assert_eq!(folders(&text).unwrap(), ["results/machines/x"]);
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let page = |name: &str| format!("<!-- {name} of x -->\n<!-- /{name} -->\n");
        let error = |page: &str| rewritten(page, &Results::default(), "x").unwrap_err().to_string();
        assert!(error(&page("tubes")).starts_with("no block is called 'tubes': use one of latency, mechanisms"));
        assert_eq!(error("<!-- relay of x -->\n"), "the block 'relay' has no end: expected <!-- /relay -->");
        assert!(error("nothing").starts_with("no measured block"));
        for (name, file) in [
            ("latency", "latency.csv"),
            ("mechanisms", "copies.csv"),
            ("copies", "copies.csv"),
            ("relay", "relay.csv"),
            ("placements", "latency.csv"),
            ("faults", "faults.csv"),
        ] {
            let expected = format!("the block '{name}' needs {file}, and x has none or one without figures");
            assert_eq!(error(&page(name)), expected);
        }
    }
}
