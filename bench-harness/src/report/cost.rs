//! The cost tables: what a message takes beside its time, the cheapest in processor time first.

use super::{
    model::Subject,
    table::{Column, Table},
    tables::{NO_FIGURE, grouped, time},
    units,
};
use crate::{
    cell::Placement,
    record::{CostRow, Row as _},
};

/// So many lines of each wait strategy are shown on a terminal, the cheapest.
const LEADERS: usize = 3;

const EXPLANATION: &str = "per message sent one way as fast as they go, sender/receiver; switches: voluntary and \
                           involuntary; faults: of pages, both sides; CPU: processor time of both; busy: processors that \
                           the pair kept busy; then a round trip, and the processor time of both in it. Least CPU first, \
                           without an interval: neighbours may change places.";

const COLUMNS: [Column; 8] = [
    Column::Words("mechanism"),
    Column::Words("wait"),
    Column::Figures("calls s/r"),
    Column::Figures("switches s/r"),
    Column::Figures("faults"),
    Column::Figures("CPU"),
    Column::Figures("busy"),
    Column::Figures("round trip (CPU)"),
];

/// A table for each size and placement, the cheapest in processor time first; of each wait strategy at most `most` lines.
pub fn tables(rows: &[CostRow], most: usize) -> Vec<Table> {
    let mut groups: Vec<(usize, Placement)> = rows.iter().map(|row| (row.size, row.placement)).collect();
    groups.sort();
    groups.dedup();
    let table = |(index, &(size, placement)): (usize, &(usize, Placement))| {
        let of = rows.iter().filter(|row| (row.size, row.placement) == (size, placement));
        let (mut measured, failed): (Vec<_>, Vec<_>) = of.partition(|row| row.cpu_ns.is_some());
        measured.sort_by(|a, b| a.cpu_ns.unwrap_or_default().total_cmp(&b.cpu_ns.unwrap_or_default()));
        let shown = leaders(&measured, most);
        let rest = measured.len() - shown.len();
        let more = (rest > 0).then(|| format!("… and {rest} more, in {}", CostRow::FILE));
        let failures = grouped(failed.iter().map(|row| (row.error.as_str(), format!("{} {}", subject(row), row.wait))));
        let failures = failures.into_iter().map(|(why, who)| format!("{NO_FIGURE} {}: {why}", who.join(", ")));
        Table {
            title: format!("Cost, {}, {placement}", units::size(size)),
            explanation: if index == 0 { EXPLANATION.into() } else { "per message, as above".into() },
            columns: COLUMNS.into(),
            lines: shown.into_iter().map(line).collect(),
            notes: more.into_iter().chain(failures).collect(),
        }
    };
    groups.iter().enumerate().map(table).collect()
}

/// The tables for a terminal of 100 columns, of each wait strategy the cheapest; nothing where nothing was measured.
pub fn terminal(rows: &[CostRow]) -> String {
    let tables = tables(rows, LEADERS);
    tables.iter().map(|table| table.terminal(100)).collect::<Vec<_>>().join("\n")
}

/// The first `most` of each wait strategy, in the order given.
fn leaders<'a>(rows: &[&'a CostRow], most: usize) -> Vec<&'a CostRow> {
    let place = |index: usize| rows[..index].iter().filter(|row| row.wait == rows[index].wait).count();
    (0..rows.len()).filter(|&index| place(index) < most).map(|index| rows[index]).collect()
}

fn subject(row: &CostRow) -> String {
    Subject { mechanism: row.mechanism.clone(), access: row.access }.label()
}

fn line(row: &CostRow) -> Vec<String> {
    let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    let trip = match row.round_trip_cpu_ns {
        Some(cpu) => format!("{} ({})", time(row.round_trip_ns), time(Some(cpu))),
        None => NO_FIGURE.to_owned(),
    };
    vec![
        subject(row),
        row.wait.to_string(),
        both(row.syscalls_send, row.syscalls_recv),
        both(sum(row.voluntary_send, row.involuntary_send), sum(row.voluntary_recv, row.involuntary_recv)),
        count(sum(row.minor_faults_send, row.minor_faults_recv)),
        time(row.cpu_ns),
        count(row.utilisation),
        trip,
    ]
}

fn count(figure: Option<f64>) -> String {
    figure.map_or(NO_FIGURE.to_owned(), |figure| format!("{figure:.2}"))
}

fn both(send: Option<f64>, recv: Option<f64>) -> String {
    format!("{}/{}", count(send), count(recv))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Access, Cell, Workload};
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
            round_trip_ns: Some(81.0),
            round_trip_cpu_ns: Some(162.0),
            ..CostRow::empty(&Cell { workload, mechanism, size, placement, wait, access })
        }
    }

    #[test]
    fn the_cheapest_come_first_and_the_rest_is_pointed_to() {
        assert_eq!(terminal(&[]), "");
        let mut rows: Vec<CostRow> =
            (1..=5).rev().map(|n| row("pipe", 64, Wait::Block, 1000.0 * f64::from(n))).collect();
        rows.push(row("memfd", 64, Wait::Spin, 9000.0));
        rows.push(row("memfd", 65536, Wait::Spin, 9000.0));
        let text = terminal(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("mechanism")).collect();
        assert!(lines[0].starts_with("mechanism  wait   calls s/r  switches s/r  faults"), "{text}");
        for (line, start, cpu) in [(1, "pipe ", "1.00 µs"), (3, "pipe ", "3.00 µs"), (4, "memfd ", "9.00 µs")] {
            assert!(lines[line].starts_with(start) && lines[line].contains(cpu), "{text}");
        }
        for field in ["1.00/2.00", "0.75/0.00", "17.00", "2.00", "81.0 ns (162 ns)"] {
            assert!(lines[1].contains(field), "{field}: {text}");
        }
        assert_eq!(lines[5], "… and 2 more, in cost.csv");
        assert!(lines[7].starts_with("Cost, 64 KiB, cross-core – "), "{text}");
        assert_eq!(tables(&rows, usize::MAX)[0].lines.len(), 6);
    }

    #[test]
    fn what_failed_is_said_once() {
        let failed = |wait| CostRow { error: "too long".into(), cpu_ns: None, ..row("udp", 64, wait, 0.0) };
        let text = terminal(&[failed(Wait::Block), failed(Wait::Spin), row("pipe", 64, Wait::Block, 5.0)]);
        assert!(text.contains("– udp block, udp spin: too long\n"), "{text}");
    }
}
