//! Charts of latency and throughput over message size.

use super::{
    Chart, Header,
    lines::{Axes, Curve, Panel, draw},
};
use crate::{
    Results,
    model::{Point, Subject, views},
    units::{self, Quantity},
};
use std::collections::BTreeSet;

/// The chart of round trips over message size.
pub fn latency(results: &Results) -> Chart {
    let points: Vec<Point> = results.rows.latency.iter().map(Point::from).collect();
    let title = "Round trip over message size".to_owned();
    let header = |subjects| Header {
        palette: results.palette(),
        title: &title,
        machine: results.machine(),
        subjects,
        hint: "median over pairs of processes · lower is faster · each panel has its own scale",
    };
    let y_title = "time there and back";
    Chart {
        file: "latency-by-size.svg",
        caption: "Median time there and back over message length; lower is faster. Both scales are logarithmic, and \
                  each panel has its own vertical one. A flat line costs per message, a rising one per byte."
            .to_owned(),
        drawing: chart(&points, header, Quantity::Time, y_title),
        title: title.clone(),
    }
}

/// The chart of payload bytes per second over message size.
pub fn throughput(results: &Results) -> Chart {
    let rows = results.rows.throughput.iter();
    let points: Vec<Point> = rows.map(|row| Point::of_throughput(row, Quantity::Bytes)).collect();
    let title = "Throughput over message size".to_owned();
    let header = |subjects| Header {
        palette: results.palette(),
        title: &title,
        machine: results.machine(),
        subjects,
        hint: "median over pairs of processes · every cache line written and checked · higher is better · each panel has its own scale",
    };
    let y_title = "payload per second, one way";
    Chart {
        file: "throughput-by-size.svg",
        caption: "Payload moved one way per second over message length; higher is better. The sender writes every \
                  cache line and the receiver checks it. Both scales are logarithmic, and each panel has its own \
                  vertical one."
            .to_owned(),
        drawing: chart(&points, header, Quantity::Bytes, y_title),
        title: title.clone(),
    }
}

fn chart<'a>(
    points: &'a [Point],
    header: impl FnOnce(Vec<&'a Subject>) -> Header<'a>,
    quantity: Quantity,
    y_title: &str,
) -> Result<String, String> {
    let measured = || points.iter().filter(|point| point.figure.is_some());
    let sizes: BTreeSet<usize> = measured().map(|point| point.size).collect();
    if sizes.len() < 2 {
        return Err(match sizes.first() {
            Some(size) => format!("only one message size was measured ({}); it takes two", units::size(*size)),
            None => "nothing was measured".to_owned(),
        });
    }
    let panels: Vec<Panel> = views(measured())
        .into_iter()
        .map(|view| {
            let here = || points.iter().filter(move |point| point.view == view);
            let subjects: BTreeSet<&Subject> = here().map(|point| &point.subject).collect();
            let curves = subjects.into_iter().filter_map(|s| curve(s, here().filter(|p| p.subject == *s)));
            Panel { view, curves: curves.collect() }
        })
        .collect();
    let subjects: BTreeSet<&Subject> = measured().map(|point| &point.subject).collect();
    let x_ticks = sizes.iter().map(|size| ((*size).max(1) as f64, units::size(*size))).collect();
    let axes = Axes { x_ticks, x_title: "message size", quantity, y_title, mark_all: true };
    Ok(draw(&header(subjects.into_iter().collect()), &panels, &axes))
}

fn curve<'a>(subject: &Subject, points: impl Iterator<Item = &'a Point>) -> Option<Curve> {
    let mut points: Vec<&Point> = points.collect();
    points.sort_by_key(|point| point.size);
    let coordinates = |point: &&Point| Some((point.size.max(1) as f64, point.figure?.value));
    let last = points.iter().filter(|point| point.figure.is_some()).map(|point| point.size).max()?;
    let stopped = points.iter().any(|point| point.figure.is_none() && point.size > last);
    let note = if stopped { format!(", to {}", units::size(last)) } else { String::new() };
    Some(Curve { subject: subject.clone(), points: points.iter().filter_map(coordinates).collect(), note })
}
