//! Charts of the history. Each mechanism has one, with its cells as lanes over the runs. One more shows the baseline of
//! the machine.

use super::{
    Header,
    lanes::{self, Column, Group, Lane, Sheet, Tick},
    palette::{Look, Palette, Shape},
};
use crate::{
    history::letters,
    model::{Subject, View},
    units::{self, Quantity},
};
use bench_record::{
    baseline::BaselineItem,
    cell::{Access, Cell, Workload},
    history::{Book, warnings::Warning},
    rows::{
        Error, HistoryRow,
        folder::{self, Owned},
        write_atomically,
    },
};
use ipc_core::{Family, Spec};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// File name of the chart of the machine's baseline.
const MACHINE: &str = "machine.svg";
/// Number of environments that the footer describes. It describes the last ones.
const DESCRIBED: usize = 8;

const HINT: &str = "band: 95 % interval over pairs · dashed upright line: another environment, not to be compared · ring: a change that \
                    lasted";

/// Draws a chart for every mechanism of `book` into the folder `out`, and one of the machine's baseline if there is
/// any. Returns the written files.
///
/// # Errors
/// [`Error::Io`] with the path that cannot be written.
pub fn write(book: &Book, warnings: &[Warning], specs: &[Spec], out: &Path) -> Result<Vec<PathBuf>, Error> {
    // Charts of other mechanisms from an earlier call stay.
    folder::replace(out, Owned::NOTHING, |draft| {
        let mut written = Vec::new();
        for (name, svg) in all(book, warnings, specs) {
            let path = draft.join(name);
            write_atomically(&path, svg.as_bytes())?;
            written.push(path);
        }
        Ok(written)
    })
}

/// The charts: file name and SVG text of each.
pub fn all(book: &Book, warnings: &[Warning], specs: &[Spec]) -> Vec<(String, String)> {
    let mechanisms: BTreeSet<&str> = book.cells().iter().map(|cell| cell.mechanism).collect();
    let charts =
        mechanisms.into_iter().map(|name| (format!("{name}.svg"), of_mechanism(book, name, warnings, Palette(specs))));
    charts.chain(of_machine(book).map(|svg| (MACHINE.to_owned(), svg))).collect()
}

fn of_mechanism(book: &Book, mechanism: &str, warnings: &[Warning], palette: Palette<'_>) -> String {
    let cells: Vec<&Cell> = book.cells().into_iter().filter(|cell| cell.mechanism == mechanism).collect();
    let accesses: BTreeSet<Access> = cells.iter().map(|cell| cell.access).collect();
    let subjects: Vec<Subject> =
        accesses.into_iter().map(|access| Subject { mechanism: mechanism.to_owned(), access }).collect();
    let titles = [
        (Workload::Latency, "Round trip: less is better, each lane has a scale of its own"),
        (Workload::Throughput, "Messages a second, one way: more is better"),
    ];
    let columns = titles.into_iter().filter_map(|(workload, title)| {
        let mut views: BTreeMap<View, Vec<&Cell>> = BTreeMap::new();
        for cell in cells.iter().filter(|cell| cell.workload == workload) {
            views.entry(View { placement: cell.placement, wait: cell.wait }).or_default().push(cell);
        }
        let groups: Vec<Group> = views
            .into_iter()
            .map(|(view, mut cells)| {
                cells.sort_by_key(|cell| (cell.size, cell.access));
                let lanes = cells.into_iter().map(|cell| of_cell(book, cell, warnings, palette)).collect();
                Group { title: view.label(), caption: view.caption(), lanes }
            })
            .collect();
        (!groups.is_empty()).then_some(Column { title, groups })
    });
    let title = format!("{mechanism}, run after run");
    lanes::draw(&Sheet {
        header: Header { palette, title: &title, machine: span(book), subjects: subjects.iter().collect(), hint: HINT },
        ticks: ticks(book),
        columns: columns.collect(),
        footer: footer(book),
    })
}

fn of_cell(book: &Book, cell: &Cell, warnings: &[Warning], palette: Palette<'_>) -> Lane {
    let rows = book.of_cell(cell);
    let reading = |row: &HistoryRow| {
        let figure = row.figure().filter(|figure| *figure > 0.0)?;
        let interval = row.p50_lo_ns.zip(row.p50_hi_ns).filter(|_| cell.workload == Workload::Latency);
        Some((figure, interval))
    };
    let name = cell.to_string();
    let of_run = |run_id: &str| book.runs.iter().position(|run| run.run_id == run_id);
    let changes = warnings.iter().filter(|warning| warning.cell == name);
    let subject = Subject { mechanism: cell.mechanism.to_owned(), access: cell.access };
    Lane {
        label: units::size(cell.size),
        note: if cell.access == Access::InPlace { "in place".into() } else { String::new() },
        look: Look { shape: Shape::Circle, ..palette.look(&subject) },
        quantity: if cell.workload == Workload::Throughput { Quantity::Messages } else { Quantity::Time },
        readings: rows.iter().map(|row| row.and_then(reading)).collect(),
        changes: changes
            .filter_map(|warning| {
                let run = of_run(&warning.change.since)?;
                Some((run, format!("time {:+.1} %", 100.0 * warning.change.by)))
            })
            .collect(),
    }
}

/// The chart of the machine's baseline. `None` if no run has one.
fn of_machine(book: &Book) -> Option<String> {
    let lane = |&anchor: &BaselineItem| {
        let (label, note) = match anchor {
            BaselineItem::Syscall => ("system call", ""),
            BaselineItem::CacheLine => ("cache line", "round trip"),
            BaselineItem::Pipe => ("pipe", "round trip"),
            BaselineItem::Memcpy => ("memcpy", "1 MiB"),
        };
        let figure = |ns: &f64| (*ns > 0.0).then_some((*ns, None));
        let readings: Vec<_> = book.runs.iter().map(|run| run.anchors.get(&anchor).and_then(figure)).collect();
        readings.iter().any(Option::is_some).then_some(Lane {
            label: label.into(),
            note: note.into(),
            look: Look::of(Family::Other, false),
            quantity: Quantity::Time,
            readings,
            changes: Vec::new(),
        })
    };
    let lanes: Vec<Lane> = BaselineItem::ALL.iter().filter_map(lane).collect();
    if lanes.is_empty() {
        return None;
    }
    let caption = "no mechanism's code is in them: they move when the machine does".to_owned();
    let groups = vec![Group { title: "Anchors".into(), caption, lanes }];
    let hint = "median of start, middle and end of each run · each lane has a scale of its own · dashed upright line: another environment";
    Some(lanes::draw(&Sheet {
        header: Header {
            palette: Palette(&[]),
            title: "The machine itself, run after run",
            machine: span(book),
            subjects: Vec::new(),
            hint,
        },
        ticks: ticks(book),
        columns: vec![Column { title: "Time: less is better", groups }],
        footer: footer(book),
    }))
}

fn ticks(book: &Book) -> Vec<Tick> {
    let letters = letters(book);
    let tick = |run: &bench_record::history::Run| Tick {
        revision: run.revision(),
        day: run.time.get(..10).unwrap_or(&run.time).to_owned(),
        environment: letters[run.env_key.as_str()].clone(),
    };
    book.runs.iter().map(tick).collect()
}

/// The number of runs, and the days of the first and the last.
fn span(book: &Book) -> String {
    let day =
        |run: Option<&bench_record::history::Run>| run.map_or("", |run| run.time.get(..10).unwrap_or("")).to_owned();
    let (first, last) = (day(book.runs.first()), day(book.runs.last()));
    let environments = match book.env_keys().len() {
        1 => "one environment".to_owned(),
        n => format!("{n} environments"),
    };
    match book.runs.len() {
        1 => format!("one run, of {first}"),
        n if first == last => format!("{n} runs, of {first} · {environments}"),
        n => format!("{n} runs, {first} to {last} · {environments}"),
    }
}

/// The letters of the environments, and what they stand for.
fn footer(book: &Book) -> Vec<String> {
    let (keys, letters) = (book.env_keys(), letters(book));
    let known = |key: &str| {
        let parts = book.environments.get(key)?;
        let shown = ["cpu_model", "cpu_threads", "kernel_release", "rustc"];
        let value = |name: &&str| {
            parts
                .get(*name)
                .map(|value| if *name == "cpu_threads" { format!("{value} threads") } else { value.clone() })
        };
        Some(shown.iter().filter_map(value).collect::<Vec<_>>().join(" · "))
    };
    let mut lines: Vec<String> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let what = match index.checked_sub(1).map(|before| keys[before]) {
            None => known(key).unwrap_or_else(|| "not described".into()),
            Some(before) => format!("other than {}: {}", letters[before], book.difference(before, key)),
        };
        lines.push(format!("Environment {} ({key}): {what}", letters[key]));
    }
    let left_out = lines.len().saturating_sub(DESCRIBED);
    lines.drain(..left_out);
    lines
}
