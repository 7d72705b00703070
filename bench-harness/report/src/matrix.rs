//! The ranking of one workload and size: a line per mechanism and access, a column per placement and wait policy.
//!
//! Figures are ranked within a column only, so that like is compared with like. Two figures with overlapping intervals
//! share a rank: a figure's rank is one more than the number of figures that are better beyond doubt.

use super::{
    model::{Figure, Point, Subject, View, quantity, views},
    table::{Field, Mark, Odd, Shown},
    units::Quantity,
};
use bench_record::{
    cell::Workload,
    rows::{Flag, Flags, LatencyRow, Proximity, ThroughputRow},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// One ranking table.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The workload that was measured.
    pub workload: Workload,
    /// Message length in bytes.
    pub size: usize,
    /// The quantity of the figures.
    pub quantity: Quantity,
    /// The columns.
    pub views: Vec<View>,
    /// The column that orders the lines. `None` if no column may be ranked.
    pub order_by: Option<usize>,
    /// The lines, best first.
    pub lines: Vec<Line>,
}

/// One line of a ranking table.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The subject of the line's figures.
    pub subject: Subject,
    /// One entry per column. `None` if the plan had no such cell.
    pub entries: Vec<Option<Entry>>,
}

/// One field of a ranking table.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The figure. `None` if it could not be measured.
    pub figure: Option<Figure>,
    /// The figure's rank in the column. `None` if there is no figure or the column is not ranked.
    pub rank: Option<usize>,
    /// Doubts about the figure.
    pub flags: Flags,
    /// How far apart the two processors were.
    pub proximity: Option<Proximity>,
    /// The entry's proximity if most of the column has the other one. Such figures cannot be compared, so it has no
    /// rank.
    pub odd: Option<Odd>,
    /// Why there is no figure.
    pub error: String,
}

impl Line {
    /// Whether any column has a figure.
    pub fn has_figure(&self) -> bool {
        self.entries.iter().flatten().any(|entry| entry.figure.is_some())
    }

    /// The best rank in any column. `None` if there is none.
    pub fn best_rank(&self) -> Option<usize> {
        self.entries.iter().flatten().filter_map(|entry| entry.rank).min()
    }
}

impl Entry {
    /// The marks of the entry's doubts.
    pub fn marks(&self) -> Vec<Mark> {
        // The column already says that its figures are unpinned.
        let flags = self.flags.iter().filter(|flag| *flag != Flag::Unpinned);
        flags.map(Mark::Flag).chain(self.odd.map(Mark::Odd)).collect()
    }

    /// The field that a table shows for this entry.
    pub fn field(&self, quantity: Quantity) -> Field {
        let Some(figure) = self.figure else { return Field::Missing(self.error.clone()) };
        Field::Figure(Shown {
            quantity,
            value: figure.value,
            interval: figure.interval,
            rank: self.rank,
            marks: self.marks(),
            beside: figure.beside().collect(),
        })
    }
}

impl Matrix {
    /// The entry of `subject` in the column `view`.
    pub fn entry(&self, subject: &Subject, view: View) -> Option<&Entry> {
        let column = self.views.iter().position(|known| *known == view)?;
        self.lines.iter().find(|line| line.subject == *subject)?.entries[column].as_ref()
    }
}

/// How to read the tables.
pub const LEAD: &str = "One column per placement and wait strategy: compare within a column. The lines are ordered by one column, the \
                        first of those with the most figures that may be ranked.";

/// The tables of round trips, small sizes first.
pub fn of_latency(rows: &[LatencyRow]) -> Vec<Matrix> {
    by_size(Workload::Latency, rows.iter().map(Point::from))
}

/// The tables of throughput, small sizes first.
pub fn of_throughput(rows: &[ThroughputRow]) -> Vec<Matrix> {
    let workload = Workload::Throughput;
    by_size(workload, rows.iter().map(|row| Point::of_throughput(row, quantity(workload, row.size))))
}

fn by_size(workload: Workload, points: impl Iterator<Item = Point>) -> Vec<Matrix> {
    let mut sizes: BTreeMap<usize, Vec<Point>> = BTreeMap::new();
    for point in points {
        sizes.entry(point.size).or_default().push(point);
    }
    sizes.into_iter().map(|(size, points)| of(workload, size, points)).collect()
}

/// The table of `points`, all of one workload and size.
pub fn of(workload: Workload, size: usize, points: Vec<Point>) -> Matrix {
    let quantity = quantity(workload, size);
    let views = views(&points);
    let order_by = leading(&views, &points);
    let mut lines: Vec<Line> = Vec::new();
    for point in points {
        let column = views.iter().position(|view| *view == point.view).unwrap_or_default();
        let index = lines.iter().position(|line| line.subject == point.subject).unwrap_or_else(|| {
            lines.push(Line { subject: point.subject.clone(), entries: vec![None; views.len()] });
            lines.len() - 1
        });
        lines[index].entries[column] = Some(Entry {
            figure: point.figure,
            rank: None,
            flags: point.flags,
            proximity: point.proximity,
            odd: None,
            error: point.error,
        });
    }
    for (column, view) in views.iter().enumerate() {
        rank(&mut lines, column, *view, quantity);
    }
    let first = order_by.unwrap_or(0);
    lines.sort_by(|a, b| order(a, b, first, quantity));
    Matrix { workload, size, quantity, views, order_by, lines }
}

/// The column that orders the table. It is the first rankable column among those with the most figures.
fn leading(views: &[View], points: &[Point]) -> Option<usize> {
    let figures = |view: &View| points.iter().filter(|p| p.view == *view && p.figure.is_some()).count();
    let ranked = views.iter().enumerate().filter(|(_, view)| view.is_ranked());
    ranked.map(|(column, view)| (figures(view), column)).rev().max_by_key(|(figures, _)| *figures).map(|(_, c)| c)
}

fn rank(lines: &mut [Line], column: usize, view: View, quantity: Quantity) {
    let count = |proximity| {
        let entries = lines.iter().filter_map(|line| line.entries[column].as_ref());
        entries.filter(|entry| entry.figure.is_some() && entry.proximity == Some(proximity)).count()
    };
    let mostly_far = count(Proximity::Far) > count(Proximity::Near);
    for entry in lines.iter_mut().filter_map(|line| line.entries[column].as_mut()) {
        entry.odd = match entry.proximity {
            Some(Proximity::Near) if mostly_far => Some(Odd::Near),
            Some(Proximity::Far) if !mostly_far => Some(Odd::Far),
            _ => None,
        };
    }
    // A best and a worst case for every figure, as costs: from here on less is better.
    let costs: Vec<Option<(f64, f64)>> = lines
        .iter()
        .map(|line| {
            let entry = line.entries[column].as_ref().filter(|entry| entry.odd.is_none() && view.is_ranked())?;
            let Figure { value, interval, .. } = entry.figure?;
            // A single pair has no interval. It is better than nothing beyond doubt, so it has no rank.
            let (lo, hi) = interval.map(|(lo, hi)| (lo.min(value), hi.max(value)))?;
            Some(if quantity.less_is_better() { (lo, hi) } else { (-hi, -lo) })
        })
        .collect();
    for (line, cost) in lines.iter_mut().zip(&costs) {
        if let (Some(entry), Some((best, _))) = (&mut line.entries[column], cost) {
            entry.rank = Some(1 + costs.iter().flatten().filter(|(_, worst)| worst < best).count());
        }
    }
}

/// Orders by the leading column. Lines without a figure there follow the other columns, then the name.
fn order(a: &Line, b: &Line, first: usize, quantity: Quantity) -> Ordering {
    let cost = |line: &Line, column: usize| {
        let value = line.entries[column].as_ref().and_then(|entry| entry.figure).map(|figure| figure.value);
        value.map_or(f64::INFINITY, |value| if quantity.less_is_better() { value } else { -value })
    };
    let columns = std::iter::once(first).chain(0..a.entries.len());
    let by_figures = columns.map(|column| cost(a, column).total_cmp(&cost(b, column)));
    by_figures.fold(Ordering::Equal, Ordering::then).then_with(|| a.subject.cmp(&b.subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::cell::{Access, Cell, Placement};
    use ipc_core::Wait;

    fn row(mechanism: &'static str, placement: Placement, median: f64, half: f64) -> LatencyRow {
        let (workload, wait, access) = (Workload::Latency, Wait::Block, Access::Copy);
        let mut row = LatencyRow::empty(&Cell { workload, mechanism, size: 64, placement, wait, access });
        (row.p50_ns, row.p50_lo_ns, row.p50_hi_ns) = (Some(median), Some(median - half), Some(median + half));
        row
    }

    #[test]
    fn overlapping_intervals_share_a_rank() {
        let place = Placement::CrossCore;
        let rows = [row("c", place, 30.0, 1.0), row("a", place, 10.0, 1.0), row("b", place, 11.0, 1.5)];
        let table = of_latency(&rows).remove(0);
        let ranks: Vec<_> =
            table.lines.iter().map(|l| (l.subject.mechanism.as_str(), l.best_rank().unwrap())).collect();
        assert_eq!(ranks, [("a", 1), ("b", 1), ("c", 3)]);
    }

    #[test]
    fn unpinned_is_shown_but_neither_ranked_nor_leading() {
        let rows = [row("a", Placement::Unpinned, 10.0, 1.0), row("b", Placement::Unpinned, 9.0, 1.0)];
        let table = of_latency(&rows).remove(0);
        assert_eq!(table.order_by, None);
        assert!(table.lines.iter().all(|line| line.best_rank().is_none() && line.has_figure()));
        let mut rows = rows.to_vec();
        rows.push(row("a", Placement::CrossCore, 10.0, 1.0));
        let table = of_latency(&rows).remove(0);
        assert_eq!(table.order_by.map(|column| table.views[column].placement), Some(Placement::CrossCore));
    }

    #[test]
    fn the_rarer_proximity_is_marked_and_not_ranked() {
        let mut rows = ["a", "b", "c"].map(|name| row(name, Placement::CrossCore, 10.0, 1.0));
        let mut entries = |proximities: [Proximity; 3]| {
            for (row, proximity) in rows.iter_mut().zip(proximities) {
                row.proximity = Some(proximity);
            }
            let table = of_latency(&rows).remove(0);
            table
                .lines
                .iter()
                .map(|l| l.entries[0].clone().unwrap())
                .map(|e| (e.rank, e.marks().into_iter().map(Mark::sign).collect()))
                .collect::<Vec<_>>()
        };
        use Proximity::{Far, Near};
        let (first, none) = (Some(1), String::new());
        assert_eq!(entries([Far, Far, Far]), [(first, none.clone()), (first, none.clone()), (first, none.clone())]);
        assert_eq!(entries([Near, Far, Near]), [(first, none.clone()), (None, "f".into()), (first, none.clone())]);
        assert_eq!(entries([Near, Far, Far]), [(None, "n".into()), (first, none.clone()), (first, none)]);
    }
}
