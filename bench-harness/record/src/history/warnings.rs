//! Warnings about figures that changed and stayed so, although the machine did not. All functions are pure: they take
//! the runs of a cell in one environment.
//!
//! A ridge regression predicts what a run should take on the machine as it was then. It works on the logarithms of all
//! baseline items that the runs have, usually four. Dividing by one item instead makes matters worse: it adds that
//! item's own noise, and no cell moves with one item alone.
//!
//! A change is reported if three runs in a row deviate to the same side from what earlier runs predict. At least sixty
//! earlier runs are needed. A warning is advice: nothing fails because of it.

use crate::{baseline::BaselineItem, stats};
use serde::Serialize;

/// Number of earlier runs in the same environment that a judgement needs.
pub const LEAST_RUNS: usize = 60;
/// Number of consecutive runs that must agree.
pub const IN_A_ROW: usize = 3;
/// Number of earlier runs that are used. Older runs disturb more than they tell.
const WINDOW: usize = 150;
/// First limit of an expected deviation, in standard deviations of the residuals. The largest of the three limits
/// decides.
const DEVIATIONS: f64 = 2.5;
/// Second limit: the residual that this share of earlier runs does not exceed. Residuals of some cells fall into two
/// groups.
const SHARE: f64 = 0.98;
/// Third limit: this part of the figure.
const MARGIN: f64 = 0.03;
/// The penalty of the regression, in runs: as if that many runs had shown no effect of a baseline item.
const RIDGE: f64 = 1.0;
/// Lower bound for the standard deviation of a baseline item's logarithm.
const LEAST_SPREAD: f64 = 0.01;
/// How far the machine may be outside the range seen so far, in standard deviations. Beyond this it counts as unknown.
const KNOWN: f64 = 3.0;
/// Runs with a residual beyond this many standard deviations are left out of the regression.
const TRIM: f64 = 4.0;

/// A cell in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<'a> {
    /// The run's name.
    pub run_id: &'a str,
    /// Time of a message or a round trip, in nanoseconds.
    pub time_ns: f64,
    /// The baseline of the machine, in the order of [`BaselineItem::ALL`].
    pub anchors: Vec<Option<f64>>,
}

/// A lasting change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The first run with the change.
    pub since: String,
    /// The run that confirmed the change.
    pub seen: String,
    /// Relative change of the time; below zero if it became shorter.
    pub by: f64,
    /// The standard deviation of the earlier runs, relative to the figure, after correction by the baseline of the
    /// machine.
    pub usual: f64,
}

/// A lasting change of one cell in one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// The cell.
    pub cell: String,
    /// The key of the environment.
    pub env_key: String,
    /// What changed.
    #[serde(flatten)]
    pub change: Change,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cell, change: Change { since, seen, by, usual }, .. } = self;
        let how = if *by > 0.0 { "slower" } else { "faster" };
        let (by, usual) = (100.0 * by, 100.0 * usual);
        write!(f, "{cell}: {how} since run {since}, {by:+.1} % (seen by {seen}; runs before: ±{usual:.1} %)")
    }
}

/// The changes in `runs`: the runs of one cell in one environment, in order of time.
pub fn changes(runs: &[Run<'_>]) -> Vec<Change> {
    let (known, seen) = seen(runs);
    let mut changes = Vec::new();
    // `times` has every earlier run at the present level. `streak` has the residuals of runs that may have begun a
    // change.
    let mut times: Vec<f64> = seen.iter().map(|(run, _)| run.time_ns.ln()).collect();
    let mut streak: Vec<f64> = Vec::new();
    for now in 0..seen.len() {
        let before = now - streak.len();
        if before < LEAST_RUNS {
            continue;
        }
        let oldest = before.saturating_sub(WINDOW);
        let anchors: Vec<&[f64]> = seen[oldest..before].iter().map(|(_, anchors)| &anchors[..]).collect();
        let expectation = Expectation::of(&anchors, &times[oldest..before], known);
        let Some((expected, limit)) = expectation.at(&seen[now].1) else {
            streak.clear();
            continue;
        };
        let residual = times[now] - expected;
        if residual.abs() <= limit {
            streak.clear();
            continue;
        }
        if streak.last().is_some_and(|last| last.signum() != residual.signum()) {
            streak.clear();
        }
        streak.push(residual);
        if streak.len() < IN_A_ROW {
            continue;
        }
        let step = stats::median(&mut streak).expect("there are runs");
        let first = now + 1 - IN_A_ROW;
        changes.push(Change {
            since: seen[first].0.run_id.to_owned(),
            seen: seen[now].0.run_id.to_owned(),
            by: step.exp_m1(),
            usual: expectation.deviation,
        });
        // From here on this is the level: the change is reported once, and later runs are judged by the new level.
        times[..first].iter_mut().for_each(|time| *time += step);
        streak.clear();
    }
    changes
}

/// The runs to judge, with the logarithms of their baseline items, and the number of those items. An item counts if
/// most runs with a baseline have it; a run without all of these items is left out.
fn seen<'a, 'b>(runs: &'b [Run<'a>]) -> (usize, Vec<(&'b Run<'a>, Vec<f64>)>) {
    let figure = |run: &Run<'_>, anchor: usize| run.anchors.get(anchor).copied().flatten().filter(|ns| *ns > 0.0);
    let of_any = runs.iter().filter(|run| run.anchors.iter().flatten().count() > 0).count();
    let has = |anchor: &usize| 2 * runs.iter().filter(|run| figure(run, *anchor).is_some()).count() > of_any;
    let known: Vec<usize> = (0..BaselineItem::ALL.len()).filter(has).collect();
    if known.is_empty() {
        return (0, Vec::new());
    }
    let logs = |run: &Run<'_>| known.iter().map(|&anchor| figure(run, anchor).map(f64::ln)).collect::<Option<Vec<_>>>();
    let is_time = |run: &&Run<'_>| run.time_ns > 0.0 && run.time_ns.is_finite();
    (known.len(), runs.iter().filter(is_time).filter_map(|run| Some((run, logs(run)?))).collect())
}

/// What earlier runs predict for a run.
struct Expectation {
    /// Mean, standard deviation, least and greatest value of each baseline item.
    scale: Vec<Scale>,
    fit: Fit,
    /// The standard deviation of the residuals, computed from their median.
    deviation: f64,
    /// The residual that a share of [`SHARE`] of the runs does not exceed.
    share: f64,
}

struct Scale {
    mean: f64,
    spread: f64,
    least: f64,
    greatest: f64,
}

/// A regression: its mean, its coefficients, and the inverse of the matrix that they were solved with.
struct Fit {
    runs: f64,
    mean: f64,
    coefficients: Vec<f64>,
    /// The mean of its runs in each baseline item.
    centre: Vec<f64>,
    inverse: Vec<Vec<f64>>,
}

impl Expectation {
    fn of(anchors: &[&[f64]], times: &[f64], known: usize) -> Self {
        let scale: Vec<Scale> = (0..known).map(|index| Scale::of(anchors.iter().map(|of| of[index]))).collect();
        let rows: Vec<Vec<f64>> = anchors.iter().map(|of| standard(&scale, of)).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        let mut fit = Fit::of(&rows, times, &all);
        let residuals =
            |fit: &Fit| -> Vec<f64> { rows.iter().zip(times).map(|(row, time)| (time - fit.at(row)).abs()).collect() };
        let first = residuals(&fit);
        let usual = deviation(&first, known);
        let inside: Vec<usize> = all.into_iter().filter(|&run| first[run] <= TRIM * usual.max(f64::EPSILON)).collect();
        if inside.len() > times.len() / 2 {
            fit = Fit::of(&rows, times, &inside);
        }
        let mut last = residuals(&fit);
        let deviation = deviation(&last, known);
        last.sort_by(f64::total_cmp);
        let share = last[((last.len() as f64 * SHARE).ceil() as usize).clamp(1, last.len()) - 1];
        Self { scale, fit, deviation, share }
    }

    /// The prediction for a run with the baseline `anchors`, and the limit of an expected deviation. `None` if the
    /// machine is unlike all that was seen.
    fn at(&self, anchors: &[f64]) -> Option<(f64, f64)> {
        let is_known = |(scale, value): (&Scale, &f64)| {
            let room = KNOWN * scale.spread;
            (scale.least - room..=scale.greatest + room).contains(value)
        };
        if !self.scale.iter().zip(anchors).all(is_known) {
            return None;
        }
        let row = standard(&self.scale, anchors);
        let spread = DEVIATIONS * self.deviation * (1.0 + self.fit.leverage(&row)).sqrt();
        Some((self.fit.at(&row), spread.max(self.share).max(MARGIN.ln_1p())))
    }
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let variance = values.clone().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        Self {
            mean,
            spread: variance.sqrt().max(LEAST_SPREAD),
            least: values.clone().fold(f64::INFINITY, f64::min),
            greatest: values.fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn standard(scale: &[Scale], anchors: &[f64]) -> Vec<f64> {
    scale.iter().zip(anchors).map(|(scale, value)| (value - scale.mean) / scale.spread).collect()
}

/// The standard deviation, estimated from the median of `residuals`, which are all positive. It is corrected for the
/// degrees of freedom that the fit used.
fn deviation(residuals: &[f64], known: usize) -> f64 {
    let n = residuals.len() as f64;
    let median = stats::median(&mut residuals.to_vec()).unwrap_or(0.0);
    1.4826 * median * (n / (n - known as f64 - 1.0)).sqrt()
}

impl Fit {
    fn of(rows: &[Vec<f64>], times: &[f64], chosen: &[usize]) -> Self {
        let (runs, known) = (chosen.len() as f64, rows[0].len());
        let mean_of = |value: &dyn Fn(usize) -> f64| chosen.iter().map(|&run| value(run)).sum::<f64>() / runs;
        let centre: Vec<f64> = (0..known).map(|i| mean_of(&|run| rows[run][i])).collect();
        let middle = mean_of(&|run| times[run]);
        let sum = |value: &dyn Fn(usize) -> f64| chosen.iter().map(|&run| value(run)).sum::<f64>();
        let away = |run: usize, i: usize| rows[run][i] - centre[i];
        let matrix: Vec<Vec<f64>> = (0..known)
            .map(|i| {
                let ridge = |j| if i == j { RIDGE } else { 0.0 };
                (0..known).map(|j| sum(&|run| away(run, i) * away(run, j)) + ridge(j)).collect()
            })
            .collect();
        let inverse = inverse(matrix);
        let right: Vec<f64> = (0..known).map(|i| sum(&|run| away(run, i) * (times[run] - middle))).collect();
        let coefficients: Vec<f64> = inverse.iter().map(|row| dot(row, &right)).collect();
        // The regression passes through the mean of its runs.
        let mean = middle - dot(&coefficients, &centre);
        Self { runs, mean, coefficients, centre, inverse }
    }

    fn at(&self, row: &[f64]) -> f64 {
        self.mean + dot(&self.coefficients, row)
    }

    /// The variance of the prediction at `row`, in units of the variance of one run.
    fn leverage(&self, row: &[f64]) -> f64 {
        let away: Vec<f64> = row.iter().zip(&self.centre).map(|(a, b)| a - b).collect();
        let moved: Vec<f64> = self.inverse.iter().map(|of| dot(of, &away)).collect();
        1.0 / self.runs + dot(&moved, &away)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The inverse of a symmetric, positive definite matrix by Gauss-Jordan elimination. Such a matrix needs no pivoting.
fn inverse(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = matrix.len();
    let mut inverse: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for column in 0..n {
        let pivot = matrix[column][column];
        for half in [&mut matrix, &mut inverse] {
            half[column].iter_mut().for_each(|value| *value /= pivot);
        }
        for row in (0..n).filter(|&row| row != column) {
            let factor = matrix[row][column];
            for half in [&mut matrix, &mut inverse] {
                let taken = half[column].clone();
                half[row].iter_mut().zip(taken).for_each(|(value, taken)| *value -= factor * taken);
            }
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs whose time follows the machine. `machine` gives the factors of the four baseline items, `step` a factor of
    /// the source's own.
    fn series(
        seed: u64,
        count: usize,
        machine: impl Fn(usize) -> [f64; 4],
        step: impl Fn(usize) -> f64,
    ) -> Vec<(String, f64, [f64; 4])> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut noise = |deviation: f64| {
            let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            (deviation * normal).exp()
        };
        (0..count)
            .map(|run| {
                let factors = machine(run);
                let time =
                    5000.0 * factors[0].powf(0.6) * factors[1].powf(0.1) * factors[2].powf(0.5) * factors[3].powf(0.1);
                let anchors = [130.0, 110.0, 40_000.0, 60_000.0];
                let anchors = std::array::from_fn(|i| anchors[i] * factors[i] * noise(0.005));
                (format!("run-{run}"), time * step(run) * noise(0.015), anchors)
            })
            .collect()
    }

    fn found(series: &[(String, f64, [f64; 4])]) -> Vec<Change> {
        let run = |(run_id, time_ns, anchors): &'_ (String, f64, [f64; 4])| -> (String, f64, Vec<Option<f64>>) {
            (run_id.clone(), *time_ns, anchors.map(Some).to_vec())
        };
        let owned: Vec<_> = series.iter().map(run).collect();
        let runs: Vec<Run<'_>> = owned
            .iter()
            .map(|(run_id, time_ns, anchors)| Run { run_id, time_ns: *time_ns, anchors: anchors.clone() })
            .collect();
        changes(&runs)
    }

    /// A machine that fluctuates, and slows down by a fifth in a hundred runs. Each baseline item does so in its own
    /// way.
    fn drifting(run: usize) -> [f64; 4] {
        let at = run as f64;
        let slow = 1.0 + 0.002 * at;
        [
            slow,
            slow * (1.0 + 0.2 * (at / 5.0).sin()),
            slow * (1.0 + 0.1 * (at / 9.0).cos()),
            1.0 + 0.1 * (at / 7.0).sin(),
        ]
    }

    fn steady(_: usize) -> [f64; 4] {
        [1.0; 4]
    }

    #[test]
    fn a_step_on_a_drifting_machine_is_found_by_its_third_run() {
        for seed in 0..20 {
            let all = series(seed, 110, drifting, |run| if run >= 100 { 1.10 } else { 1.0 });
            assert!(found(&all[..102]).is_empty(), "seed {seed}: two runs are not enough");
            let changes = found(&all[..103]);
            assert_eq!(changes.len(), 1, "seed {seed}");
            assert_eq!((changes[0].since.as_str(), changes[0].seen.as_str()), ("run-100", "run-102"));
            assert!((0.06..0.15).contains(&changes[0].by), "{changes:?}");
            assert!(changes[0].usual < 0.03, "{changes:?}");
            assert_eq!(found(&all), changes, "it is told once");
        }
    }

    #[test]
    fn a_machine_that_changes_is_no_change_of_the_source() {
        for seed in 0..20 {
            let changes = found(&series(seed, 160, drifting, |_| 1.0));
            assert!(changes.is_empty(), "seed {seed}: {changes:?}");
        }
        // A machine that was slower for two runs once, and later is slower for good.
        let slower = |run: usize| if (30..32).contains(&run) || run >= 100 { [1.12; 4] } else { [1.0; 4] };
        for seed in 0..20 {
            let mut all = series(seed, 130, slower, |_| 1.0);
            let changes = found(&all);
            assert!(changes.is_empty(), "seed {seed}: {changes:?}");
            // The times alone look like a change.
            let steady = all[0].2;
            all.iter_mut().for_each(|run| run.2 = steady);
            assert_eq!(found(&all).len(), 1, "seed {seed}");
        }
    }

    #[test]
    fn a_machine_unlike_all_that_was_seen_is_not_judged() {
        let moved = |run: usize| if run >= 100 { [1.0, 4.3, 2.0, 1.0] } else { [1.0; 4] };
        // If the machine never changed before, the effect of its change is unknown.
        let slower = |run: usize| if run >= 100 { [1.15; 4] } else { [1.0; 4] };
        for seed in 0..20 {
            let changes = found(&series(seed, 130, slower, |_| 1.0));
            assert!(changes.is_empty(), "seed {seed}: {changes:?}");
        }
        // A step beyond what the baseline suggests, at the same moment.
        let changes = found(&series(1, 130, moved, |run| if run >= 100 { 1.3 } else { 1.0 }));
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[test]
    fn a_short_history_never_warns() {
        let doubled = |run: usize| if run >= 40 { 2.0 } else { 1.0 };
        assert!(found(&series(3, 59, steady, doubled)).is_empty());
        let late = |first: usize| move |run: usize| if run >= first { 2.0 } else { 1.0 };
        assert!(found(&series(3, LEAST_RUNS - 1 + IN_A_ROW, steady, late(LEAST_RUNS - 1))).is_empty());
        assert_eq!(found(&series(3, LEAST_RUNS + IN_A_ROW, steady, late(LEAST_RUNS))).len(), 1);
    }

    #[test]
    fn what_does_not_last_is_none() {
        let blip = |run: usize| if (100..102).contains(&run) { 1.5 } else { 1.0 };
        assert!(found(&series(5, 120, steady, blip)).is_empty());
        let both_ways = |run: usize| match run {
            100 | 102 => 1.4,
            101 | 103 => 0.6,
            _ => 1.0,
        };
        assert!(found(&series(5, 120, steady, both_ways)).is_empty());
        // Residuals in two groups, as on processors that move: every tenth run is in the upper group, and once three in
        // a row are.
        let group = |run: usize| if run % 10 == 3 || (200..203).contains(&run) { 1.3 } else { 1.0 };
        assert!(found(&series(5, 230, steady, group)).is_empty());
    }

    #[test]
    fn a_change_and_its_return_are_both_told() {
        let pulse = |run: usize| if (90..120).contains(&run) { 1.2 } else { 1.0 };
        let changes = found(&series(7, 150, steady, pulse));
        let told: Vec<_> = changes.iter().map(|change| (change.since.as_str(), change.by > 0.0)).collect();
        assert_eq!(told, [("run-90", true), ("run-120", false)]);
    }

    #[test]
    fn runs_without_anchors_are_passed_over() {
        let all = series(9, 110, drifting, |run| if run >= 100 { 1.15 } else { 1.0 });
        let mut runs: Vec<Run<'_>> = Vec::new();
        for (index, (run_id, time_ns, anchors)) in all.iter().enumerate() {
            runs.push(Run { run_id, time_ns: *time_ns, anchors: anchors.map(Some).to_vec() });
            if index % 10 == 0 {
                runs.push(Run { run_id: "without", time_ns: 1e9, anchors: vec![None; 4] });
            }
        }
        let told = changes(&runs);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].since.as_str(), told[0].seen.as_str()), ("run-100", "run-102"));

        let none: Vec<Run<'_>> = runs.iter().map(|run| Run { anchors: vec![None; 4], ..run.clone() }).collect();
        assert!(changes(&none).is_empty());
        // On one hardware thread there are two baseline items.
        let two = |run: &Run<'_>| vec![run.anchors[0], None, None, run.anchors[3]];
        let of_two: Vec<Run<'_>> = runs.iter().map(|run| Run { anchors: two(run), ..run.clone() }).collect();
        assert_eq!(seen(&of_two).0, 2);
        assert!(changes(&[]).is_empty());
    }

    #[test]
    fn the_inverse_is_one() {
        let matrix = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, 0.2], vec![0.5, 0.2, 2.0]];
        let inverse = inverse(matrix.clone());
        for (i, row) in matrix.iter().enumerate() {
            for j in 0..3 {
                let column: Vec<f64> = inverse.iter().map(|row| row[j]).collect();
                assert!((dot(row, &column) - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }
}
