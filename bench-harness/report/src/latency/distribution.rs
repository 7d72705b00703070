//! Chart of the distribution of round trips: time over percentile. An axis of 1/(1 − p) stretches the tail.

use crate::charts::{
    Chart, Header,
    lines::{Axes, Curve, Panel, draw},
};
use crate::{
    Results,
    model::{Point, View},
    units::{self, Quantity},
};
use bench_record::rows::Distribution;
use std::collections::BTreeMap;

/// Draws the distributions of the smallest measured size, 64 B in the default plan.
pub fn latency(results: &Results) -> Chart {
    let drawable = |row: &&bench_record::rows::LatencyRow| {
        let distribution = results.distributions.get(&row.key().to_string());
        row.p50_ns.is_some() && distribution.is_some_and(|distribution| !curve_points(distribution).is_empty())
    };
    let size = results.rows.latency.iter().filter(drawable).map(|row| row.size).min();
    let title = match size {
        Some(size) => format!("Distribution of the round trips of a {} message", units::size(size)),
        None => "Distribution of the round trips".to_owned(),
    };
    let mut panels: BTreeMap<View, Vec<Curve>> = BTreeMap::new();
    for row in results.rows.latency.iter().filter(drawable).filter(|row| Some(row.size) == size) {
        let point = Point::from(row);
        let points = curve_points(&results.distributions[&row.key().to_string()]);
        panels.entry(point.view).or_default().push(Curve { subject: point.subject, points, note: String::new() });
    }
    let panels: Vec<Panel> = panels.into_iter().map(|(view, curves)| Panel { view, curves }).collect();
    let drawing = if panels.is_empty() {
        Err("there is no histogram of a measured cell".to_owned())
    } else {
        let mut subjects: Vec<_> = panels.iter().flat_map(|p| p.curves.iter().map(|c| &c.subject)).collect();
        subjects.sort();
        subjects.dedup();
        let header = Header {
            palette: results.palette(),
            title: &title,
            machine: results.machine(),
            subjects,
            hint: "all pairs together · at 99 % one round trip in a hundred took longer · each panel has its own scale",
        };
        let longest = panels.iter().flat_map(|p| &p.curves).flat_map(|c| &c.points).map(|p| p.0).fold(2.0, f64::max);
        let axes = Axes {
            x_ticks: percentiles(longest),
            x_title: "share of round trips that took no longer",
            quantity: Quantity::Time,
            y_title: "time there and back",
            mark_all: false,
        };
        Ok(draw(&header, &panels, &axes))
    };
    Chart {
        file: "latency-distribution.svg",
        caption: "How long the slower round trips took: at 50 % the median, at 99 % one in a hundred took longer; a \
                  curve ends at its slowest round trip. Lower and flatter is better. Both scales are logarithmic."
            .to_owned(),
        drawing,
        title,
    }
}

/// Points of a curve: 1/(1 − p) and time. The last point is the maximum, at the number of round trips.
fn curve_points(distribution: &Distribution) -> Vec<(f64, f64)> {
    let count = (distribution.count() as f64).max(2.0);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for step in distribution.steps.iter().filter(|step| step.value_ns > 0.0) {
        let x = if step.quantile < 1.0 { (1.0 / (1.0 - step.quantile)).min(count) } else { count };
        match points.last_mut() {
            // Several lines can round to the same position. The slowest one is kept.
            Some(last) if x - last.0 < 1e-9 => last.1 = step.value_ns,
            _ => points.push((x, step.value_ns)),
        }
    }
    points
}

/// Labelled percentiles up to `longest` = 1/(1 − p). The axis begins at 0 %, which has no label: it would run into that
/// of 50 %.
fn percentiles(longest: f64) -> Vec<(f64, String)> {
    let mut ticks = vec![(1.0, String::new()), (2.0, "50 %".to_owned())];
    let mut nines = 1;
    while 10f64.powi(nines) <= longest * 1.001 {
        let decimals = (nines - 2).max(0) as usize;
        let percent = 100.0 - 100.0 / 10f64.powi(nines);
        ticks.push((10f64.powi(nines), format!("{percent:.decimals$} %")));
        nines += 1;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::rows::histograms::Step;

    #[test]
    fn percentiles_are_named_as_people_do() {
        let names: Vec<_> = percentiles(1e5).into_iter().map(|tick| tick.1).collect();
        assert_eq!(names, ["", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
    }

    #[test]
    fn a_curve_ends_at_its_maximum() {
        let step = |value_ns, quantile, count| Step { value_ns, quantile, count };
        let steps = vec![step(1.0, 0.0, 1), step(2.0, 0.5, 50), step(3.0, 0.999, 100), step(9.0, 1.0, 100)];
        assert_eq!(curve_points(&Distribution { steps }), [(1.0, 1.0), (2.0, 2.0), (100.0, 9.0)]);
        assert!(curve_points(&Distribution::default()).is_empty());
    }
}
