//! The cost tables: what a message takes besides its time, in ascending order of processor time.

mod pareto;

use crate::{
    Results,
    charts::Chart,
    matrix::{self, Matrix},
    model::{Cost, Point, Subject, View},
    shown::Shown,
    table::{Column, Compared, Field, Table},
    tables::grouped,
    text::NO_FIGURE,
    units,
};
use bench_record::{
    cell::{Placement, Workload},
    rows::{CostRow, Row as _},
};

/// Number of lines per wait policy on a terminal: the cheapest ones.
pub const LEADERS: usize = 3;

const EXPLANATION: &str = "messages sent one way at saturation, sender/receiver: system calls, context switches of both \
                           kinds, page faults of both sides, CPU one way (processor time of both) and how many processors \
                           they kept busy. Then a round trip, where every message is waited for: its mean, and CPU round \
                           trip, the processor time of both in it. Per message or round trip, medians over pairs; ranked \
                           among those that wait alike";

/// A table for each size and placement, in ascending order of processor time. Each wait policy has at most `most`
/// lines.
pub fn tables(rows: &[CostRow], most: usize) -> Vec<Table> {
    let mut groups: Vec<(usize, Placement)> = rows.iter().map(|row| (row.size, row.placement)).collect();
    groups.sort();
    groups.dedup();
    let table = |(index, &(size, placement)): (usize, &(usize, Placement))| {
        let of: Vec<&CostRow> = rows.iter().filter(|row| (row.size, row.placement) == (size, placement)).collect();
        let compared = [Cost::OneWay, Cost::RoundTrip, Cost::RoundTripCpu]
            .map(|which| matrix::of(Workload::Cost, size, of.iter().map(|row| Point::of_cost(row, which)).collect()));
        let (mut measured, failed): (Vec<_>, Vec<_>) = of.into_iter().partition(|row| row.cpu_ns.is_some());
        measured.sort_by(|a, b| a.cpu_ns.unwrap_or_default().total_cmp(&b.cpu_ns.unwrap_or_default()));
        let shown = leaders(&measured, most);
        let rest = measured.len() - shown.len();
        let more = (rest > 0).then(|| format!("… and {rest} more, in {}", CostRow::FILE));
        let failures =
            grouped(failed.iter().map(|row| (row.error.as_str(), format!("{} {}", subject(row).label(), row.wait))));
        let failures = failures.into_iter().map(|(why, who)| format!("{NO_FIGURE} {}: {why}", who.join(", ")));
        Table {
            title: format!("Cost, {}, {placement}", units::size(size)),
            explanation: if index == 0 { EXPLANATION.into() } else { "as above".into() },
            columns: columns(),
            lines: shown.into_iter().map(|row| line(row, &compared)).collect(),
            notes: more.into_iter().chain(failures).collect(),
        }
    };
    groups.iter().enumerate().map(table).collect()
}

fn columns() -> Vec<Column> {
    let compared = |head: &str, caption: &str, leads| {
        let (head, caption) = (head.to_owned(), caption.to_owned());
        Column::Compared(Compared { head, caption, less_is_better: true, leads })
    };
    vec![
        Column::Words("mechanism"),
        Column::Words("wait"),
        Column::Figures("calls s/r"),
        Column::Figures("switches s/r"),
        Column::Figures("faults"),
        compared("CPU one way", "processor time of both processes per message, sent one way at saturation", true),
        Column::Figures("busy"),
        compared("round trip", "mean time there and back", false),
        compared("CPU round trip", "processor time of both processes per round trip", false),
    ]
}

/// The first `most` rows of each wait policy, in the given order.
fn leaders<'a>(rows: &[&'a CostRow], most: usize) -> Vec<&'a CostRow> {
    let place = |index: usize| rows[..index].iter().filter(|row| row.wait == rows[index].wait).count();
    (0..rows.len()).filter(|&index| place(index) < most).map(|index| rows[index]).collect()
}

fn subject(row: &CostRow) -> Subject {
    Subject { mechanism: row.mechanism.clone(), access: row.access }
}

fn line(row: &CostRow, [one_way, round_trip, round_trip_cpu]: &[Matrix; 3]) -> Vec<Field> {
    let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    let (subject, view) = (subject(row), View { placement: row.placement, wait: row.wait });
    let compared = |matrix: &Matrix| {
        let entry = matrix.entry(&subject, view);
        entry.map_or(Field::Missing(String::new()), |entry| entry.field(matrix.quantity))
    };
    vec![
        subject.label().into(),
        row.wait.to_string().into(),
        both(row.syscalls_send, row.syscalls_recv),
        both(sum(row.voluntary_send, row.involuntary_send), sum(row.voluntary_recv, row.involuntary_recv)),
        count(sum(row.minor_faults_send, row.minor_faults_recv)),
        compared(one_way),
        count(row.utilisation),
        compared(round_trip),
        compared(round_trip_cpu),
    ]
}

fn count(figure: Option<f64>) -> Field {
    Field::number(figure, |figure| format!("{figure:.2}"))
}

fn both(send: Option<f64>, recv: Option<f64>) -> Field {
    let both = send.zip(recv);
    both.map_or(Field::Missing(String::new()), |(send, recv)| {
        Field::Number(send + recv, format!("{send:.2}/{recv:.2}"))
    })
}

impl Shown for CostRow {
    const HEADING: &'static str = "What a message costs";

    fn tables(rows: &[Self]) -> Vec<Table> {
        tables(rows, usize::MAX)
    }

    fn brief(rows: &[Self]) -> Vec<Table> {
        tables(rows, LEADERS)
    }

    fn charts(results: &Results) -> Vec<Chart> {
        vec![pareto::cpu(results)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::{
        cell::{Access, Cell},
        rows::Flag,
    };
    use ipc_core::Wait;

    fn row(mechanism: &'static str, size: usize, wait: Wait, cpu_ns: f64) -> CostRow {
        let (workload, placement, access) = (Workload::Cost, Placement::CrossCore, Access::Copy);
        CostRow {
            cpu_ns: Some(cpu_ns),
            syscalls_send: Some(1.0),
            syscalls_recv: Some(2.004),
            voluntary_send: Some(0.25),
            involuntary_send: Some(0.5),
            voluntary_recv: Some(0.0),
            involuntary_recv: Some(0.0),
            minor_faults_send: Some(1.0),
            minor_faults_recv: Some(16.0),
            utilisation: Some(1.996),
            cpu_lo_ns: Some(0.9 * cpu_ns),
            cpu_hi_ns: Some(1.1 * cpu_ns),
            round_trip_ns: Some(81.0),
            round_trip_lo_ns: Some(80.0),
            round_trip_hi_ns: Some(82.0),
            round_trip_cpu_ns: Some(162.0),
            flags: [Flag::Partial].into_iter().collect(),
            ..CostRow::empty(&Cell { workload, mechanism, size, placement, wait, access })
        }
    }

    #[test]
    fn the_cheapest_come_first_and_the_rest_is_pointed_to() {
        let mut rows: Vec<CostRow> =
            (1..=5).rev().map(|n| row("pipe", 64, Wait::Block, 1000.0 * f64::from(n))).collect();
        // A cell has one row; the access makes these rows differ.
        rows[0].access = Access::InPlace;
        rows.push(row("memfd", 64, Wait::Spin, 9000.0));
        rows.push(row("memfd", 65536, Wait::Spin, 9000.0));
        let found = tables(&rows, LEADERS);
        let names: Vec<String> =
            found[0].lines.iter().map(|line| format!("{} {}", line[0].text(), line[5].text())).collect();
        assert_eq!(names[0], "pipe 1.00 ± 0.10 µs i");
        assert_eq!((names.len(), names[3].as_str()), (4, "memfd 9.0 ± 0.9 µs i"));
        assert_eq!(found[0].notes, ["… and 2 more, in cost.csv"]);
        assert_eq!(found[1].title, "Cost, 64 KiB, cross-core");
        let fields: Vec<String> = found[0].lines[0].iter().map(Field::text).collect();
        for field in ["1.00/2.00", "0.75/0.00", "17.00", "2.00", "81.0 ± 1.0 ns", "160 ns"] {
            assert!(fields.iter().any(|text| text == field), "{field}: {fields:?}");
        }
        assert_eq!(tables(&rows, usize::MAX)[0].lines.len(), 6);
        for width in [80, 100] {
            let text = found[0].terminal(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_shares_a_rank() {
        let mut rows = [("pipe", 1000.0), ("fifo", 1100.0), ("tcp", 3000.0)]
            .map(|(name, ns)| row(name, 64, Wait::Block, ns))
            .to_vec();
        rows.push(row("memfd", 64, Wait::Spin, 100.0));
        let ranks: Vec<_> = tables(&rows, usize::MAX)[0]
            .lines
            .iter()
            .map(|line| match &line[5] {
                Field::Figure(shown) => (line[0].text(), shown.rank),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [("memfd", 1), ("pipe", 1), ("fifo", 1), ("tcp", 3)];
        assert_eq!(ranks, expected.map(|(name, rank)| (name.to_owned(), Some(rank))));
    }

    #[test]
    fn what_failed_is_said_once() {
        let failed = |wait| CostRow { error: "too long".into(), cpu_ns: None, ..row("udp", 64, wait, 0.0) };
        let found = tables(&[failed(Wait::Block), failed(Wait::Spin), row("pipe", 64, Wait::Block, 5.0)], LEADERS);
        assert_eq!(found[0].notes, ["– udp block, udp spin: too long"]);
    }
}
