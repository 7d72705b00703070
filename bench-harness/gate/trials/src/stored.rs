//! Compares single runs of unchanged builds with stored figures: with one stored baseline, or with the run before.

use crate::rows::{CellRow, Kind, TrialRow};
use bench_gate::report::Metric;
use bench_record::cell::Cell;

/// The figure that a run's head is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The base of the first run, from which nothing else is kept: a stored baseline.
    First,
    /// The base of every other run, in turn. This averages over the moments at which a stored baseline may be taken.
    Any,
    /// The head of the run before.
    Previous,
    /// The base of the same run, measured in turns with the head. The threshold is the same.
    Own,
}

/// The figures of one trial of unchanged builds.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<'a> {
    revision: &'a str,
    env_key: &'a str,
    cells: Vec<&'a CellRow>,
}

impl Run<'_> {
    fn base(&self, cell: Cell, metric: Metric) -> Option<f64> {
        self.row(cell, metric)?.base_ns
    }

    fn head(&self, cell: Cell, metric: Metric) -> Option<f64> {
        self.row(cell, metric)?.head_ns
    }

    fn row(&self, cell: Cell, metric: Metric) -> Option<&CellRow> {
        self.cells.iter().copied().find(|row| row.cell == cell && row.metric == metric)
    }
}

/// The runs of `trials` that have figures, in order. Inconclusive runs are included, because single runs would not know of it.
pub fn runs<'a>(trials: &'a [TrialRow], cells: &'a [CellRow]) -> Vec<Run<'a>> {
    let same = trials.iter().filter(|row| row.kind == Kind::Same);
    let runs = same.map(|trial| Run {
        revision: &trial.git,
        env_key: &trial.env_key,
        cells: cells.iter().filter(|row| row.seed == trial.seed).collect(),
    });
    runs.filter(|run| !run.cells.is_empty()).collect()
}

/// How much a threshold would have called slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Runs that were compared.
    pub runs: u32,
    /// Runs with at least one cell that is slower by more than the threshold.
    pub alarmed: u32,
    /// Cells of all compared runs.
    pub cells: u32,
    /// Cells that took longer by more than the threshold.
    pub slower: u32,
    /// Cells that took less time by more than the threshold.
    pub faster: u32,
}

/// Compares the head of each of `runs` with the figures that `against` selects. `threshold` is 0.1 for 10 %. Only runs of one
/// revision in one environment are compared, because otherwise something may have changed.
pub fn compare(runs: &[Run<'_>], against: Against, threshold: f64) -> Share {
    let mut share = Share::default();
    for (i, run) in runs.iter().enumerate() {
        let alike = |other: &&Run<'_>| (other.revision, other.env_key) == (run.revision, run.env_key);
        let others: Vec<&Run<'_>> = match against {
            Against::First => runs[..i].iter().find(alike).into_iter().collect(),
            Against::Previous => runs[..i].iter().rev().find(alike).into_iter().collect(),
            Against::Any => runs[..i].iter().chain(&runs[i + 1..]).filter(alike).collect(),
            Against::Own => vec![run],
        };
        for other in others {
            let before = |cell, metric| match against {
                Against::Previous => other.head(cell, metric),
                Against::First | Against::Any | Against::Own => other.base(cell, metric),
            };
            let ratios = run.cells.iter().filter_map(|row| Some(row.head_ns? / before(row.cell, row.metric)?));
            let ratios: Vec<f64> = ratios.collect();
            let slower = ratios.iter().filter(|ratio| **ratio > 1.0 + threshold).count() as u32;
            share.runs += u32::from(!ratios.is_empty());
            share.alarmed += u32::from(slower > 0);
            share.cells += ratios.len() as u32;
            share.slower += slower;
            share.faster += ratios.iter().filter(|ratio| 1.0 / **ratio > 1.0 + threshold).count() as u32;
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge,
        sample::{cell, report},
    };
    use bench_gate::report::{Outcome, Status};

    /// Trials with their revision and one figure per cell for base and head.
    fn rows(runs: &[(&str, [(f64, f64); 2])]) -> (Vec<TrialRow>, Vec<CellRow>) {
        const NAMES: [&str; 2] = ["latency/pipe/64/same-core/block/copy", "latency/udp/64/same-core/block/copy"];
        let mut trials = Vec::new();
        let mut cells = Vec::new();
        for (seed, (revision, figures)) in (1..).zip(runs) {
            let report = report(Outcome::Passed, NAMES.map(|name| cell(name, Status::Unchanged)).into());
            trials.push(TrialRow { seed, git: (*revision).into(), ..judge::trial(Kind::Same, None, &report).unwrap() });
            cells.extend(NAMES.iter().zip(figures).map(|(name, &(base, head))| CellRow {
                seed,
                cell: name.parse().unwrap(),
                metric: Metric::P50,
                base_ns: (base > 0.0).then_some(base),
                head_ns: (head > 0.0).then_some(head),
                status: Status::Unchanged,
            }));
        }
        (trials, cells)
    }

    #[test]
    fn shares_of_a_table_made_by_hand() {
        let (trials, cells) = rows(&[
            ("a", [(100.0, 100.0), (1000.0, 1000.0)]),
            // Both cells are 12 % above the first run's base. They are 12 % and 3 % above their own base.
            ("a", [(100.0, 112.0), (1090.0, 1120.0)]),
            // Back to the start: 11 % below the run before.
            ("a", [(100.0, 100.0), (1000.0, 1000.0)]),
            // The second cell was not measured.
            ("a", [(100.0, 106.0), (1000.0, 0.0)]),
        ]);
        let runs = runs(&trials, &cells);
        let share = |runs, alarmed, cells, slower, faster| Share { runs, alarmed, cells, slower, faster };
        assert_eq!(compare(&runs, Against::First, 0.10), share(3, 1, 5, 2, 0));
        assert_eq!(compare(&runs, Against::First, 0.05), share(3, 2, 5, 3, 0));
        assert_eq!(compare(&runs, Against::First, 0.20), share(3, 0, 5, 0, 0));
        assert_eq!(compare(&runs, Against::Previous, 0.10), share(3, 1, 5, 2, 2));
        assert_eq!(compare(&runs, Against::Own, 0.10), share(4, 1, 7, 1, 0));
        // Each head against the three other bases. Only the second run's cells exceed any, and both exceed all three.
        assert_eq!(compare(&runs, Against::Any, 0.10), share(12, 3, 21, 6, 0));
    }

    #[test]
    fn revisions_are_not_compared_with_each_other() {
        let slow = [(200.0, 200.0), (2000.0, 2000.0)];
        let (trials, cells) = rows(&[("a", [(100.0, 100.0), (1000.0, 1000.0)]), ("b", slow), ("b", slow)]);
        let runs = runs(&trials, &cells);
        for against in [Against::First, Against::Previous] {
            assert_eq!(compare(&runs, against, 0.1), Share { runs: 1, cells: 2, ..Share::default() });
        }
    }

    #[test]
    fn environments_are_not_compared_with_each_other() {
        let (mut trials, cells) =
            rows(&[("a", [(100.0, 100.0), (1000.0, 1000.0)]), ("a", [(200.0, 200.0), (2000.0, 2000.0)])]);
        assert_eq!(compare(&runs(&trials, &cells), Against::First, 0.1).alarmed, 1);
        trials[1].env_key = "elsewhere".into();
        assert_eq!(compare(&runs(&trials, &cells), Against::First, 0.1), Share::default());
    }

    #[test]
    fn figures_without_a_trial_do_not_count() {
        let (mut trials, cells) = rows(&[("a", [(1.0, 1.0); 2]), ("a", [(2.0, 2.0); 2])]);
        trials.pop();
        assert_eq!(runs(&trials, &cells).len(), 1);
    }
}
