//! Chart of processor time over latency: a panel per placement and wait policy, with the Pareto front marked.

use crate::charts::{
    Chart, Header, MARGIN,
    axis::{LogAxis, extent, widened},
    canvas::{Align, Canvas, GRID, INK, QUIET, Spot, render, text_width, tint},
    fit,
    labels::spread,
    lanes::Reading,
    palette::Palette,
};
use crate::{
    Results,
    model::{Subject, View},
    units::{self, Quantity},
};
use bench_record::rows::CostRow;

const HEAD: f64 = 66.0;
const FOOT: f64 = 52.0;
const LEFT: f64 = 64.0;
const PLOT: (f64, f64) = (470.0, 340.0);
const INSET: f64 = 10.0;
const LABEL_SIZE: f64 = 11.0;
const LABEL_GAP: f64 = 14.0;
const LEADER: f64 = 30.0;

/// Bars reach at most this factor away from their figure. Longer ones end at the edge of the panel.
const FURTHEST: f64 = 4.0;

/// One cell in the chart.
struct Dot {
    subject: Subject,
    round_trip_ns: f64,
    round_trip: Option<(f64, f64)>,
    cpu_ns: f64,
    cpu: Option<(f64, f64)>,
}

impl Dot {
    /// Whether this cell is as good in both respects, and better in at least one.
    fn beats(&self, other: &Self) -> bool {
        (self.round_trip_ns <= other.round_trip_ns && self.cpu_ns <= other.cpu_ns)
            && (self.round_trip_ns < other.round_trip_ns || self.cpu_ns < other.cpu_ns)
    }
}

/// Draws the chart for the smallest measured size.
pub fn cpu(results: &Results) -> Chart {
    let size = results.rows.cost.iter().filter(|row| row.round_trip_ns.is_some()).map(|row| row.size).min();
    let of = size.map_or(String::new(), |size| format!(" of a {} message", units::size(size)));
    let title = format!("Processor time and latency{of}");
    Chart {
        file: "cpu-latency.svg",
        caption: "Processor time that both processes together spend on a round trip, over the time that it takes; \
                  further left is faster, further down is cheaper, both on logarithmic scales. Bars: 95 % intervals over pairs of \
                  processes; where those of two mechanisms overlap this run cannot tell them apart. Labelled: the Pareto front of \
                  the medians, mechanisms that no other of the panel beats in one without losing in the other. On the upper \
                  dotted line two processors are busy all the time: what polls lies there however few messages come."
            .to_owned(),
        drawing: match size {
            Some(size) => Ok(draw(results, &title, results.rows.cost.iter().filter(|row| row.size == size))),
            None => Err("no processor time was measured".into()),
        },
        title,
    }
}

fn draw<'a>(results: &Results, title: &str, rows: impl Iterator<Item = &'a CostRow> + Clone) -> String {
    let view = |row: &CostRow| View { placement: row.placement, wait: row.wait };
    let mut views: Vec<View> = rows.clone().map(view).collect();
    views.sort();
    views.dedup();
    let of = |wanted| rows.clone().filter(|row| view(row) == wanted).filter_map(dot).collect();
    let panels = views.into_iter().map(|view| (view, of(view)));
    let panels: Vec<(View, Vec<Dot>)> = panels.filter(|(_, dots): &(View, Vec<Dot>)| !dots.is_empty()).collect();
    let dots = || panels.iter().flat_map(|(_, dots)| dots);
    let front = |dots: &[Dot]| -> Vec<usize> {
        (0..dots.len()).filter(|&index| !dots.iter().any(|dot| dot.beats(&dots[index]))).collect()
    };
    let labels = panels.iter().flat_map(|(_, dots)| front(dots).into_iter().map(|index| dots[index].subject.label()));
    let widest = labels.map(|label| text_width(&label, LABEL_SIZE)).fold(0.0, f64::max);
    let panel = LEFT + PLOT.0 + LEADER + widest + 24.0;
    let columns = panels.len().min(2);
    let width = (2.0 * MARGIN + panel * columns as f64).max(800.0);
    let mut subjects: Vec<&Subject> = dots().map(|dot| &dot.subject).collect();
    subjects.sort();
    subjects.dedup();
    let header = Header {
        palette: results.palette(),
        title,
        machine: results.machine(),
        subjects,
        hint: "marker: median over pairs of processes of a pair's mean · bars: 95 % interval · further left is faster · further down is cheaper · each panel has its own scales",
    };
    let block = HEAD + PLOT.1 + FOOT;
    let height = header.height(width) + panels.len().div_ceil(columns) as f64 * block;
    render(title, (width, height), |canvas| {
        let top = header.draw(canvas, width);
        for (index, (view, dots)) in panels.iter().enumerate() {
            let left = MARGIN + (index % columns) as f64 * panel;
            let top = top + (index / columns) as f64 * block;
            canvas.bold((left, top + 10.0), &view.label(), 13.0, INK, Align::Start);
            canvas.text((left, top + 28.0), &fit(&view.caption(), 11.0, panel), 11.0, QUIET, Align::Start);
            canvas.text((left, top + 50.0), "processor time of both, per round trip", 11.0, QUIET, Align::Start);
            let range = |of: fn(&Dot) -> Reading| {
                let ends = dots.iter().map(of).flat_map(|(value, interval)| {
                    let (lo, hi) = interval.unwrap_or((value, value));
                    [value, lo.max(value / FURTHEST), hi.min(value * FURTHEST)]
                });
                widened(extent(ends).unwrap_or((1.0, 10.0)))
            };
            let x_range = range(|dot| (dot.round_trip_ns, dot.round_trip));
            let y_range = range(|dot| (dot.cpu_ns, dot.cpu));
            let x_axis = LogAxis::new(x_range, (left + LEFT + INSET, left + LEFT + PLOT.0 - INSET));
            let y_axis = LogAxis::new(y_range, (top + HEAD + PLOT.1 - INSET, top + HEAD + INSET));
            grid(canvas, &x_axis, &y_axis, (left + LEFT, top + HEAD));
            busy(canvas, &x_axis, &y_axis, x_range, y_range);
            draw_dots(canvas, results.palette(), &x_axis, &y_axis, dots, &front(dots), (left + LEFT, top + HEAD));
        }
    })
}

fn dot(row: &CostRow) -> Option<Dot> {
    let subject = Subject { mechanism: row.mechanism.clone(), access: row.access };
    Some(Dot {
        subject,
        round_trip_ns: row.round_trip_ns?,
        round_trip: row.round_trip_lo_ns.zip(row.round_trip_hi_ns),
        cpu_ns: row.round_trip_cpu_ns?,
        cpu: row.round_trip_cpu_lo_ns.zip(row.round_trip_cpu_hi_ns),
    })
}

fn grid(canvas: &Canvas<'_>, x_axis: &LogAxis, y_axis: &LogAxis, (left, top): Spot) {
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let mut free_from = f64::MIN;
    for (value, labelled) in x_axis.ticks() {
        let x = x_axis.at(value);
        canvas.line(&[(x, top), (x, bottom)], GRID, if labelled { 1.0 } else { 0.5 });
        let label = Quantity::Time.format_tick(value);
        let half = text_width(&label, 11.0) / 2.0;
        if labelled && x - half > free_from {
            canvas.text((x, bottom + 13.0), &label, 11.0, QUIET, Align::Middle);
            free_from = x + half + 4.0;
        }
    }
    for (value, labelled) in y_axis.ticks() {
        let y = y_axis.at(value);
        canvas.line(&[(left, y), (right, y)], GRID, if labelled { 1.0 } else { 0.5 });
        if labelled {
            canvas.text((left - 6.0, y), &Quantity::Time.format_tick(value), 11.0, QUIET, Align::End);
        }
    }
    canvas.text(((left + right) / 2.0, bottom + 31.0), "round trip, mean", 11.0, QUIET, Align::Middle);
}

/// Draws the lines on which one processor and two processors are always busy.
fn busy(canvas: &Canvas<'_>, x_axis: &LogAxis, y_axis: &LogAxis, x: (f64, f64), y: (f64, f64)) {
    for (processors, name) in [(1.0, "1 CPU busy"), (2.0, "2 CPUs busy")] {
        let (from, to) = (x.0.max(y.0 / processors), x.1.min(y.1 / processors));
        if from >= to {
            continue;
        }
        let spots = [from, to].map(|ns| (x_axis.at(ns), y_axis.at(ns * processors)));
        canvas.dashed(&spots, QUIET, 0.75, (2.0, 3.0));
        // The label stands at the line's upper end: left of the upper line, right of the lower line.
        let (end, align) = if processors > 1.0 { (-5.0, Align::End) } else { (5.0, Align::Start) };
        canvas.text(
            (spots[1].0 + end, spots[1].1 + if processors > 1.0 { 2.0 } else { 12.0 }),
            name,
            10.0,
            QUIET,
            align,
        );
    }
}

fn draw_dots(
    canvas: &Canvas<'_>,
    palette: Palette<'_>,
    x_axis: &LogAxis,
    y_axis: &LogAxis,
    dots: &[Dot],
    front: &[usize],
    (left, top): Spot,
) {
    let spot = |dot: &Dot| (x_axis.at(dot.round_trip_ns), y_axis.at(dot.cpu_ns));
    let mut steps: Vec<Spot> = front.iter().map(|&index| spot(&dots[index])).collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Cells that the front beats lie right of it and above it, so the front is drawn as a staircase.
    let corners: Vec<Spot> = steps.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]).collect();
    let stairs: Vec<Spot> = corners.into_iter().chain(steps.last().copied()).collect();
    canvas.line(&stairs, INK, 1.0);
    for dot in dots {
        let ((x, y), color) = (spot(dot), tint(palette.look(&dot.subject).hue.color, 0.5));
        if let Some((lo, hi)) = dot.round_trip {
            canvas.line(&[(x_axis.at(lo), y), (x_axis.at(hi), y)], color, 1.0);
        }
        if let Some((lo, hi)) = dot.cpu {
            canvas.line(&[(x, y_axis.at(lo)), (x, y_axis.at(hi))], color, 1.0);
        }
    }
    for dot in dots {
        canvas.marker(spot(dot), palette.look(&dot.subject), 4.0);
    }
    let wanted: Vec<f64> = front.iter().map(|&index| spot(&dots[index]).1).collect();
    let places = spread(&wanted, LABEL_GAP, (top, top + PLOT.1));
    for (&index, y) in front.iter().zip(places) {
        let dot = &dots[index];
        let (look, from) = (palette.look(&dot.subject), spot(dot));
        let label = left + PLOT.0 + LEADER;
        // The leader is dotted: a solid line would look like a bar.
        let leader = [(from.0 + 6.0, from.1), (left + PLOT.0 + 6.0, from.1), (label - 14.0, y)];
        canvas.dashed(&leader, look.hue.color, 0.5, (1.0, 4.0));
        canvas.marker((label - 8.0, y), look, 4.0);
        canvas.text((label, y), &dot.subject.label(), LABEL_SIZE, look.hue.text, Align::Start);
    }
}
