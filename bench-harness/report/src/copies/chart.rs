//! Chart of throughput over copies: a panel per placement and wait policy, a column per number of copies.

use crate::charts::{
    Chart, Header, MARGIN,
    axis::{LogAxis, extent, widened},
    canvas::{Align, Canvas, GRID, INK, QUIET, STRIPE, Spot, render, text_width, tint},
    fit,
    labels::spread,
    palette::Palette,
};
use crate::{
    Results,
    model::{Point, Subject, View, views},
    units::Quantity,
};
use bench_record::rows::CopiesRow;

/// The message length that is drawn, in bytes.
const SIZE: usize = 64 << 10;
const HEAD: f64 = 52.0;
const FOOT: f64 = 44.0;
const LEFT: f64 = 64.0;
const LABEL_SIZE: f64 = 11.0;
const LABEL_GAP: f64 = 13.5;
/// Space from a column's left edge to its markers, in pixels. `LEADER` is the space from the markers to their labels.
const INSET: f64 = 26.0;
const LEADER: f64 = 22.0;

/// One mechanism in one view.
struct Dot<'a> {
    subject: &'a Subject,
    copies: f64,
    bytes_per_s: f64,
    interval: Option<(f64, f64)>,
}

/// Draws the throughput of 64 KiB messages over the measured number of copies.
pub fn throughput(results: &Results) -> Chart {
    let title = "Copies and throughput of a 64 KiB message".to_owned();
    Chart {
        file: "copies-throughput.svg",
        caption: "A column per number of times that the payload is copied between the sender's and the receiver's \
                  buffer, as measured; up is faster, on a logarithmic scale. Bars: 95 % intervals over pairs of processes. Fewer copies help where copying is what a \
                  message waits for: compare the columns of a panel with the spread within each."
            .to_owned(),
        drawing: draw(results, &title),
        title,
    }
}

fn draw(results: &Results, title: &str) -> Result<String, String> {
    let rows = results.rows.throughput.iter().filter(|row| row.size == SIZE);
    let points: Vec<Point> = rows.map(|row| Point::of_throughput(row, Quantity::Bytes)).collect();
    let panels: Vec<(View, Vec<Dot<'_>>)> = views(&points)
        .into_iter()
        .map(|view| (view, dots(points.iter().filter(|point| point.view == view), &results.rows.copies)))
        .filter(|(_, dots)| !dots.is_empty())
        .collect();
    let all = || panels.iter().flat_map(|(_, dots)| dots);
    let mut columns: Vec<f64> = all().map(|dot| dot.copies).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup();
    if columns.is_empty() {
        return Err("no mechanism has both copies and throughput of 64 KiB messages".into());
    }
    let mut subjects: Vec<&Subject> = all().map(|dot| dot.subject).collect();
    subjects.sort();
    subjects.dedup();

    let widest = subjects.iter().map(|subject| text_width(&subject.label(), LABEL_SIZE)).fold(0.0, f64::max);
    let column = INSET + LEADER + widest + 12.0;
    let crowd = |dots: &[Dot<'_>]| {
        let most = columns.iter().map(|copies| dots.iter().filter(|dot| dot.copies == *copies).count()).max();
        (most.unwrap_or(0) as f64 * LABEL_GAP + 16.0).max(180.0)
    };
    let heights: Vec<f64> = panels.iter().map(|(_, dots)| crowd(dots)).collect();
    let width = (2.0 * MARGIN + LEFT + column * columns.len() as f64).max(760.0);
    let header = Header {
        palette: results.palette(),
        title,
        machine: results.machine(),
        subjects,
        hint: "copies: measured by tracing · throughput: median over pairs of processes, bar: its 95 % interval · higher is better",
    };
    let top = header.height(width);
    let height = top + heights.iter().map(|height| HEAD + height + FOOT).sum::<f64>();
    let range = widened(extent(all().flat_map(ends)).unwrap_or((1.0, 10.0)));
    Ok(render(title, (width, height), |canvas| {
        let mut top = header.draw(canvas, width);
        for ((view, dots), height) in panels.iter().zip(&heights) {
            let plot = (top + HEAD, top + HEAD + height);
            canvas.bold((MARGIN, top + 10.0), &view.label(), 13.0, INK, Align::Start);
            let caption = fit(&format!("{}; payload per second, one way", view.caption()), 11.0, width - 2.0 * MARGIN);
            canvas.text((MARGIN, top + 28.0), &caption, 11.0, QUIET, Align::Start);
            let axis = LogAxis::new(range, (plot.1 - 8.0, plot.0 + 8.0));
            grid(canvas, &axis, &columns, column, plot);
            for (index, copies) in columns.iter().enumerate() {
                let left = MARGIN + LEFT + index as f64 * column;
                let here: Vec<&Dot<'_>> = dots.iter().filter(|dot| dot.copies == *copies).collect();
                draw_column(canvas, results.palette(), &axis, &here, left, plot);
            }
            top = plot.1 + FOOT;
        }
    }))
}

/// The figures of a dot that the axis must show. Interval ends are limited to a factor of `FURTHEST` around the figure.
fn ends(dot: &Dot<'_>) -> [f64; 3] {
    const FURTHEST: f64 = 4.0;
    let (value, (lo, hi)) = (dot.bytes_per_s, dot.interval.unwrap_or((dot.bytes_per_s, dot.bytes_per_s)));
    [value, lo.max(value / FURTHEST), hi.min(value * FURTHEST)]
}

fn dots<'a>(points: impl Iterator<Item = &'a Point>, copies: &[CopiesRow]) -> Vec<Dot<'a>> {
    let of = |subject: &Subject| {
        let row = copies
            .iter()
            .find(|row| row.size == SIZE && row.access == subject.access && row.mechanism == subject.mechanism);
        row.and_then(|row| row.total_copies)
    };
    points
        .filter_map(|point| {
            let (figure, copies) = (point.figure?, of(&point.subject)?);
            Some(Dot { subject: &point.subject, copies, bytes_per_s: figure.value, interval: figure.interval })
        })
        .collect()
}

fn grid(canvas: &Canvas<'_>, axis: &LogAxis, columns: &[f64], column: f64, (top, bottom): (f64, f64)) {
    let (left, right) = (MARGIN + LEFT, MARGIN + LEFT + column * columns.len() as f64);
    for (index, copies) in columns.iter().enumerate() {
        let from = left + index as f64 * column;
        if index % 2 == 0 {
            canvas.rect((from, top), (from + column, bottom), STRIPE);
        }
        let label = match *copies {
            1.0 => "1 copy".to_owned(),
            copies => format!("{copies} copies"),
        };
        canvas.bold((from + INSET, bottom + 15.0), &label, 12.0, INK, Align::Middle);
    }
    for (value, labelled) in axis.ticks() {
        let y = axis.at(value);
        canvas.line(&[(left, y), (right, y)], GRID, if labelled { 1.0 } else { 0.5 });
        if labelled {
            canvas.text((left - 6.0, y), &Quantity::Bytes.format_tick(value), 11.0, QUIET, Align::End);
        }
    }
}

fn draw_column(
    canvas: &Canvas<'_>,
    palette: Palette<'_>,
    axis: &LogAxis,
    dots: &[&Dot<'_>],
    left: f64,
    (top, bottom): (f64, f64),
) {
    let spots: Vec<Spot> = dots.iter().map(|dot| (left + INSET, axis.at(dot.bytes_per_s))).collect();
    let wanted: Vec<f64> = spots.iter().map(|spot| spot.1).collect();
    let places = spread(&wanted, LABEL_GAP, (top + 4.0, bottom - 4.0));
    for ((dot, spot), y) in dots.iter().zip(&spots).zip(places) {
        let look = palette.look(dot.subject);
        let label = (spot.0 + LEADER, y);
        canvas.line(&[(spot.0 + 5.0, spot.1), (label.0 - 3.0, y)], look.hue.color, 0.5);
        if let Some((lo, hi)) = dot.interval {
            let bar = [(spot.0, axis.at(lo)), (spot.0, axis.at(hi))];
            canvas.line(&bar, tint(look.hue.color, 0.5), 1.0);
        }
        canvas.marker(*spot, look, 4.5);
        canvas.text(label, &dot.subject.label(), LABEL_SIZE, look.hue.text, Align::Start);
    }
}
