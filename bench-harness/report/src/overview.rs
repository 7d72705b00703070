//! The main table: time, throughput, copies, system calls and processor time of each mechanism, in one view.

use super::{
    Rows,
    matrix::{self, Matrix},
    model::{Cost, Point, Subject, View, views},
    table::{Column, Compared, Field, Mark, Table},
    tables::RANKS,
    text::wrap,
    units::{self, Quantity},
};
use bench_record::{
    cell::{Access, Placement, Workload},
    rows::CopiesRow,
};
use ipc_core::Wait;
use std::collections::BTreeSet;

/// The length of a small message, which is shown for its time. `LARGE` messages are shown for their bytes.
pub(super) const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// Two cores, and sleeping while waiting: what most programs do.
pub(super) const USUAL: View = View { placement: Placement::CrossCore, wait: Wait::Block };

/// One line per mechanism and access, the shortest round trip first. `None` if neither copies nor costs were measured.
/// Columns without a figure are left out. The column of system calls is shown only if `with_calls`.
pub fn table(rows: &Rows, name: fn(&Subject) -> String, with_calls: bool) -> Option<Table> {
    if rows.copies.is_empty() && rows.cost.is_empty() {
        return None;
    }
    let latency: Vec<Point> = rows.latency.iter().filter(|row| row.size == SMALL).map(Point::from).collect();
    let throughput = rows.throughput.iter().filter(|row| row.size == LARGE);
    let throughput: Vec<Point> = throughput.map(|row| Point::of_throughput(row, Quantity::Bytes)).collect();
    let of_cost = |which| -> Vec<Point> {
        rows.cost.iter().filter(|row| row.size == SMALL).map(|row| Point::of_cost(row, which)).collect()
    };
    let (one_way, round_trip_cpu) = (of_cost(Cost::OneWay), of_cost(Cost::RoundTripCpu));
    let known = views(latency.iter().chain(&throughput).chain(&one_way));
    let view = if known.contains(&USUAL) { Some(USUAL) } else { known.first().copied() };

    let times = matrix::of(Workload::Latency, SMALL, latency);
    let compared = [
        ("round trip", times.clone()),
        ("throughput", matrix::of(Workload::Throughput, LARGE, throughput)),
        ("CPU one way", matrix::of(Workload::Cost, SMALL, one_way)),
        ("CPU round trip", matrix::of(Workload::Cost, SMALL, round_trip_cpu)),
    ];
    let mut subjects = subjects(rows);
    subjects.sort_by(|a, b| {
        let time =
            |subject| view.and_then(|view| times.entry(subject, view)?.figure).map_or(f64::INFINITY, |f| f.value);
        time(a).total_cmp(&time(b))
    });
    let figures = |matrix: &Matrix| -> Vec<Field> {
        let entry = |subject| view.and_then(|view| matrix.entry(subject, view));
        subjects
            .iter()
            .map(|subject| entry(subject).map_or(Field::Missing(String::new()), |e| e.field(matrix.quantity).alone()))
            .collect()
    };
    let mut columns: Vec<(Column, Vec<Field>)> = compared
        .iter()
        .enumerate()
        .map(|(index, (head, matrix))| {
            let compared = Compared {
                head: (*head).to_owned(),
                caption: view.map_or(String::new(), View::caption),
                less_is_better: matrix.quantity.less_is_better(),
                leads: index == 0,
            };
            (Column::Compared(compared), figures(matrix))
        })
        .collect();
    let of = |subject| copies_of(&rows.copies, subject);
    let counted = |field: &dyn Fn(&CopiesRow) -> Field| -> Vec<Field> {
        subjects.iter().map(|subject| of(subject).map_or(Field::Missing(String::new()), field)).collect()
    };
    columns.insert(2, (Column::Figures("copies"), counted(&|row| Field::number(row.total_copies, count))));
    if with_calls {
        columns.insert(3, (Column::Figures("calls"), counted(&calls)));
    }
    columns.retain(|(_, fields)| fields.iter().any(|field| !matches!(field, Field::Missing(_))));

    let mut lines: Vec<Vec<Field>> = subjects.iter().map(|subject| vec![name(subject).into()]).collect();
    let (heads, fields): (Vec<Column>, Vec<Vec<Field>>) = columns.into_iter().unzip();
    for column in fields {
        lines.iter_mut().zip(column).for_each(|(line, field)| line.push(field));
    }
    let circumstances = view.map_or(String::new(), |view| format!("{} ({}). ", capital(&view.caption()), view.label()));
    Some(Table {
        title: "At a glance".into(),
        explanation: format!(
            "{circumstances}Round trip of a {small} message and payload per second of {large} messages: medians over pairs \
             of processes, ± half their 95 % interval. Copies of a {large} message (or of the longest that passes) from \
             buffer to buffer{calls}. CPU: processor time of both \
             processes for a {small} message, one way at saturation, where buffers keep the ends from sleeping, and in a \
             round trip, where every message is waited for.",
            calls = if with_calls { "; system calls of sender/receiver where nobody has to wait" } else { "" },
            small = units::size(SMALL),
            large = units::size(LARGE),
        ),
        columns: [Column::Words("mechanism")].into_iter().chain(heads).collect(),
        lines,
        notes: Vec::new(),
    })
}

/// The name of `subject` in little room: a star stands for in-place access.
pub fn short(subject: &Subject) -> String {
    match subject.access {
        Access::Copy => subject.mechanism.clone(),
        Access::InPlace => format!("{}*", subject.mechanism),
    }
}

/// The explanation below [`table`] with short names on a terminal.
pub fn key(table: &Table, width: usize) -> String {
    let starred = table.lines.iter().any(|line| line[0].text().ends_with('*'));
    let star = starred.then(|| "*: payload produced, and where possible consumed, in place".to_owned());
    let ranks = table.has_ranks().then(|| format!("the number before a figure is its rank: {RANKS}"));
    let marks: BTreeSet<Mark> = table.marks().collect();
    let marks: Vec<String> = marks.iter().map(|mark| format!("{} {}", mark.sign(), mark.name())).collect();
    let marks = (!marks.is_empty()).then(|| format!("marks, explained above: {}", marks.join(", ")));
    let mut text = String::new();
    let parts: Vec<String> = [ranks, star, marks].into_iter().flatten().collect();
    if !parts.is_empty() {
        wrap(&mut text, &format!("{}.", capital(&parts.join("; "))), "", width);
    }
    text
}

/// The subjects with a figure in at least one file, in the order of the files.
fn subjects(rows: &Rows) -> Vec<Subject> {
    let latency = rows.latency.iter().map(|row| (&row.mechanism, row.access));
    let copies = rows.copies.iter().map(|row| (&row.mechanism, row.access));
    let cost = rows.cost.iter().map(|row| (&row.mechanism, row.access));
    let mut subjects: Vec<Subject> = Vec::new();
    for (mechanism, access) in latency.chain(copies).chain(cost) {
        if !subjects.iter().any(|known| known.mechanism == *mechanism && known.access == access) {
            subjects.push(Subject { mechanism: mechanism.clone(), access });
        }
    }
    subjects
}

/// The row of `subject` with the longest message that has a figure.
pub(super) fn copies_of<'a>(rows: &'a [CopiesRow], subject: &Subject) -> Option<&'a CopiesRow> {
    let own = rows.iter().filter(|row| row.mechanism == subject.mechanism && row.access == subject.access);
    own.filter(|row| row.total_copies.is_some() && row.size <= LARGE).max_by_key(|row| row.size)
}

/// System calls of sender and receiver, such as `1/1`.
pub(super) fn calls(row: &CopiesRow) -> Field {
    let both = row.syscalls_send.zip(row.syscalls_recv);
    both.map_or(Field::Missing(String::new()), |(send, recv)| {
        Field::Number(send + recv, format!("{}/{}", count(send), count(recv)))
    })
}

/// A count per message, without decimals if it is whole.
pub fn count(value: f64) -> String {
    if (value - value.round()).abs() < 0.005 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// `text` with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
