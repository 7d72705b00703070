//! The main table: time, throughput, copies, system calls and processor time of each mechanism, in one view.

use super::{
    Results,
    model::{Point, Subject, View, views},
    table::{Column, Table},
    tables::{NO_FIGURE, time},
    units::{self, Quantity},
};
use crate::{
    cell::Placement,
    record::{CopiesRow, CostRow},
};
use ipc_core::Wait;

/// The lengths that are shown: a small message for its time, a large one for its bytes.
const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// One line for each mechanism and access; `None` where neither copies nor costs were measured.
pub fn table(results: &Results) -> Option<Table> {
    if results.copies.is_empty() && results.cost.is_empty() {
        return None;
    }
    let latency: Vec<Point> = results.latency.iter().filter(|row| row.size == SMALL).map(Point::from).collect();
    let large = results.throughput.iter().filter(|row| row.size == LARGE);
    let throughput: Vec<Point> = large.map(|row| Point::of_throughput(row, Quantity::Bytes)).collect();
    let small = |row: &&CostRow| row.size == SMALL;
    let cost_views = results.cost.iter().filter(small).map(|row| View { placement: row.placement, wait: row.wait });
    let mut known: Vec<View> = views(latency.iter().chain(&throughput)).into_iter().chain(cost_views).collect();
    known.sort();
    // Two cores, asleep while waiting, is what most programs do.
    let usual = View { placement: Placement::CrossCore, wait: Wait::Block };
    let view = if known.contains(&usual) { Some(usual) } else { known.first().copied() };

    let figure = |points: &[Point], subject: &Subject, quantity: Quantity| {
        let point = points.iter().find(|point| point.subject == *subject && Some(point.view) == view);
        point.and_then(|point| point.figure).map_or(NO_FIGURE.into(), |figure| quantity.format(figure.value))
    };
    let lines = subjects(results).into_iter().map(|subject| {
        let copies = copies_of(&results.copies, &subject);
        let cost = results.cost.iter().filter(small).find(|row| {
            row.mechanism == subject.mechanism
                && row.access == subject.access
                && Some(View { placement: row.placement, wait: row.wait }) == view
        });
        let calls = copies.and_then(|row| row.syscalls_send.zip(row.syscalls_recv));
        vec![
            subject.label(),
            figure(&latency, &subject, Quantity::Time),
            figure(&throughput, &subject, Quantity::Bytes),
            copies.and_then(|row| row.total_copies).map_or(NO_FIGURE.into(), count),
            calls.map_or(NO_FIGURE.into(), |(send, recv)| format!("{} / {}", count(send), count(recv))),
            time(cost.and_then(|row| row.cpu_ns)),
        ]
    });
    let circumstances = view.map_or(String::new(), |view| format!(" ({}: {})", view.label(), view.caption()));
    Some(Table {
        title: "At a glance".into(),
        explanation: format!(
            "Round trip of {small} and payload per second of {large} messages, medians{circumstances}; how often the \
             payload of a {large} message (or of the longest measured that passes) is copied, by the kernel and the two \
             processes; system calls of sender and receiver for a message that need not wait; processor time of both \
             per {small} message, sent one way as fast as they go.",
            small = units::size(SMALL),
            large = units::size(LARGE),
        ),
        columns: vec![
            Column::Words("mechanism"),
            Column::Figures("round trip"),
            Column::Figures("throughput"),
            Column::Figures("copies"),
            Column::Figures("system calls"),
            Column::Figures("CPU/message"),
        ],
        lines: lines.collect(),
        notes: Vec::new(),
    })
}

/// What has a figure somewhere, in the order of the files.
fn subjects(results: &Results) -> Vec<Subject> {
    let latency = results.latency.iter().map(|row| (&row.mechanism, row.access));
    let copies = results.copies.iter().map(|row| (&row.mechanism, row.access));
    let cost = results.cost.iter().map(|row| (&row.mechanism, row.access));
    let mut subjects: Vec<Subject> = Vec::new();
    for (mechanism, access) in latency.chain(copies).chain(cost) {
        if !subjects.iter().any(|known| known.mechanism == *mechanism && known.access == access) {
            subjects.push(Subject { mechanism: mechanism.clone(), access });
        }
    }
    subjects
}

/// The row of the longest message that has a figure.
fn copies_of<'a>(rows: &'a [CopiesRow], subject: &Subject) -> Option<&'a CopiesRow> {
    let own = rows.iter().filter(|row| row.mechanism == subject.mechanism && row.access == subject.access);
    own.filter(|row| row.total_copies.is_some() && row.size <= LARGE).max_by_key(|row| row.size)
}

/// A count per message: whole where it is.
pub fn count(value: f64) -> String {
    if (value - value.round()).abs() < 0.005 { format!("{value:.0}") } else { format!("{value:.2}") }
}
