//! A figure in the form that history tools take: name, value and interval. A gate's report and the rows of a plain run both
//! become such figures. [`bencher`](super::bencher) and [`github`](super::github) print them.

use crate::report::{CellReport, Figures, Metric, Report, Unit};
use bench_record::{
    named,
    rows::{Flags, LatencyRow, Row, ThroughputRow},
};
use std::collections::HashSet;

named! {
    /// The kind of figure, named like Bencher's built-in measures.
    "measure" Measure {
        /// The median round trip in nanoseconds. Less is better.
        Latency = "latency",
        /// Messages per second. More is better.
        Throughput = "throughput",
    }
}

/// The figure of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The cell's name.
    pub cell: String,
    /// The kind of figure.
    pub measure: Measure,
    /// The unit of a command's figure that is no time. `measure` then tells which direction is better.
    pub unit: Option<Unit>,
    /// The figure. Without a `unit` it is in the unit of `measure`, rounded to tenths.
    pub value: f64,
    /// The 95 % confidence interval, if it is known.
    pub interval: Option<(f64, f64)>,
    /// Other known facts, by name.
    pub details: Vec<(&'static str, String)>,
}

impl Measurement {
    /// A figure of a cell. `None` if it was not measured or is not finite.
    fn new(cell: String, measure: Measure, [value, lo, hi]: [Option<f64>; 3]) -> Option<Self> {
        let tenths = |figure: f64| (figure * 10.0).round() / 10.0;
        let finite = |figure: Option<f64>| figure.filter(|figure| figure.is_finite()).map(tenths);
        let interval = finite(lo).zip(finite(hi));
        Some(Self { cell, measure, unit: None, value: finite(value)?, interval, details: Vec::new() })
    }

    /// The figure of a command. A time is converted to nanoseconds, as for cells.
    fn of_command(report: &CellReport, unit: &Unit) -> Option<Self> {
        let Figures { value, value_lo, value_hi, .. } = report.head;
        if let Some(ns) = unit.nanoseconds() {
            let figures = [value, value_lo, value_hi].map(|value| Some(value? * ns));
            return Self::new(report.cell.clone(), Measure::Latency, figures);
        }
        let measure = if unit.higher_is_better { Measure::Throughput } else { Measure::Latency };
        let value = value.filter(|value| value.is_finite())?;
        let interval = value_lo.zip(value_hi).filter(|(lo, hi)| lo.is_finite() && hi.is_finite());
        let unit = Some(unit.clone());
        Some(Self { cell: report.cell.clone(), measure, unit, value, interval, details: Vec::new() })
    }

    /// The head's figures of every cell that has any. A cell judged by several metrics appears once.
    pub fn of_head(report: &Report) -> Vec<Self> {
        let mut seen = HashSet::new();
        report.cells.iter().filter_map(Self::of_cell).filter(|one| seen.insert(one.cell.clone())).collect()
    }

    fn of_cell(report: &CellReport) -> Option<Self> {
        let Figures { p50_ns, p50_lo_ns, p50_hi_ns, msgs_per_s, msgs_per_s_lo, msgs_per_s_hi, p99_ns, .. } =
            report.head;
        let cell = || report.cell.clone();
        let mut one = match report.metric {
            Metric::P50 | Metric::P99 => Self::new(cell(), Measure::Latency, [p50_ns, p50_lo_ns, p50_hi_ns]),
            Metric::Rate => Self::new(cell(), Measure::Throughput, [msgs_per_s, msgs_per_s_lo, msgs_per_s_hi]),
            Metric::Value => Self::of_command(report, report.unit.as_ref()?),
        }?;
        one.detail(if report.metric == Metric::Value { "runs" } else { "pairs" }, Some(report.pairs.to_string()));
        one.detail("rounds", Some(report.rounds.to_string()));
        one.detail("p99_ns", p99_ns.filter(|ns| ns.is_finite()).map(|ns| format!("{ns:.1}")));
        one.detail("proximity", report.proximity.map(|proximity| proximity.to_string()));
        one.detail("status", Some(report.status.to_string()));
        Some(one)
    }

    /// The figure of a row of `latency.csv`.
    pub fn of_latency(row: &LatencyRow) -> Option<Self> {
        let mut one = Self::new(row.name(), Measure::Latency, [row.p50_ns, row.p50_lo_ns, row.p50_hi_ns])?;
        one.of_run(row.pairs, &row.flags);
        one.detail("p99_ns", row.p99_ns.map(|ns| format!("{ns:.1}")));
        one.detail("proximity", row.proximity.map(|proximity| proximity.to_string()));
        Some(one)
    }

    /// The figure of a row of `throughput.csv`. The row's interval is in bytes per second and is converted to messages.
    pub fn of_throughput(row: &ThroughputRow) -> Option<Self> {
        let messages = |bytes: Option<f64>| bytes.map(|bytes| bytes / row.size as f64);
        let figures = [row.msgs_per_s, messages(row.bytes_per_s_lo), messages(row.bytes_per_s_hi)];
        let mut one = Self::new(row.name(), Measure::Throughput, figures)?;
        one.of_run(row.pairs, &row.flags);
        one.detail("proximity", row.proximity.map(|proximity| proximity.to_string()));
        Some(one)
    }

    fn of_run(&mut self, pairs: u32, flags: &Flags) {
        self.detail("pairs", Some(pairs.to_string()));
        self.detail("flags", Some(flags.to_string()).filter(|flags| !flags.is_empty()));
    }

    fn detail(&mut self, name: &'static str, value: Option<String>) {
        self.details.extend(value.map(|value| (name, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::example, *};
    use bench_record::{cell::Cell, rows::Flag};

    #[test]
    fn a_report_gives_the_head_once_a_cell() {
        let mut report = example::report();
        report.cells.push(CellReport { metric: Metric::P99, ..report.cells[1].clone() });
        let found = Measurement::of_head(&report);
        let names: Vec<_> = found.iter().map(|one| one.cell.as_str()).collect();
        // All cells except the failed one and the one that the head lacks.
        let expected: Vec<_> = report.cells[..5].iter().map(|cell| cell.cell.clone()).collect();
        assert_eq!(names, expected);
        assert_eq!((found[1].value, found[1].interval), (5_671.7, Some((5_558.3, 5_785.2))));
        assert_eq!((found[2].measure, found[2].value), (Measure::Throughput, 323_529.4));
    }

    #[test]
    fn rows_give_figures_in_the_same_units() {
        let cell: Cell = "throughput/pipe/64/same-core/block/copy".parse().unwrap();
        let mut row = ThroughputRow::failed(&cell, "no");
        assert_eq!(Measurement::of_throughput(&row), None);
        row.msgs_per_s = Some(1000.0);
        (row.bytes_per_s_lo, row.bytes_per_s_hi) = (Some(57_600.0), Some(70_400.0));
        row.flags = [Flag::Unsteady].into_iter().collect();
        let one = Measurement::of_throughput(&row).unwrap();
        assert_eq!((one.value, one.interval), (1000.0, Some((900.0, 1100.0))));
        assert_eq!(one.details, [("pairs", "0".to_owned()), ("flags", "unsteady".to_owned())]);

        let mut row = LatencyRow::empty(&"latency/pipe/64/same-core/block/copy".parse().unwrap());
        assert_eq!(Measurement::of_latency(&row), None);
        row.p50_ns = Some(5210.44);
        let one = Measurement::of_latency(&row).unwrap();
        assert_eq!((one.value, one.interval), (5210.4, None));
    }
}
