//! Chart of latency by mechanism: a panel per placement and wait policy, a row per mechanism. A dot is the median, a
//! whisker ends at the 99th percentile.

use crate::charts::{
    Chart, Header, MARGIN,
    axis::{LogAxis, extent, widened},
    canvas::{Align, Canvas, GRID, INK, QUIET, STRIPE, render, text_width},
    fit,
    palette::Look,
};
use crate::{
    Results,
    matrix::{self, Entry, Matrix},
    model::View,
    units::{self, Quantity},
};
use plotters::style::WHITE;

const FILE: &str = "latency-by-mechanism.svg";
const ROW: f64 = 21.0;
const PANEL_HEAD: f64 = 46.0;
const PANEL_FOOT: f64 = 34.0;
const GAP: f64 = 18.0;
/// Space behind the whiskers for the figures, in pixels.
const FIGURE: f64 = 84.0;

/// Draws the chart for the smallest measured size, 64 B in the default plan.
pub fn latency(results: &Results) -> Chart {
    let matrices = matrix::of_latency(&results.rows.latency);
    let table = matrices.iter().find(|t| t.lines.iter().any(|l| l.has_figure()));
    let size = table.map_or(String::new(), |table| format!(" of a {} message", units::size(table.size)));
    let title = format!("Round trip{size}, by mechanism");
    Chart {
        file: FILE,
        caption: "Dot: median round trip. Whisker: up to the 99th percentile. Further left is faster; the scale is \
                  logarithmic and the same in every panel. Compare within a panel: between panels the scheduler's \
                  part differs."
            .to_owned(),
        drawing: table.map(|table| draw(results, table, &title)).ok_or_else(|| "no latency was measured".to_owned()),
        title,
    }
}

fn draw(results: &Results, table: &Matrix, title: &str) -> String {
    let lines: Vec<_> = table.lines.iter().filter(|line| line.has_figure()).collect();
    let measured = |view: usize| lines.iter().any(|l| l.entries[view].as_ref().is_some_and(|e| e.figure.is_some()));
    let views: Vec<usize> = (0..table.views.len()).filter(|view| measured(*view)).collect();
    let columns = views.len().min(3);
    let names = lines.iter().map(|line| text_width(&line.subject.label(), 12.0)).fold(0.0, f64::max) + 30.0;
    let panel = match columns {
        1 => 680.0,
        2 => 400.0,
        _ => 300.0,
    };
    let width = 2.0 * MARGIN + names + columns as f64 * (panel + GAP) - GAP;
    let header = Header {
        palette: results.palette(),
        title,
        machine: results.machine(),
        subjects: lines.iter().map(|line| &line.subject).collect(),
        hint: "marker and figure: median over pairs of processes ± half its 95 % interval · line: up to the 99th percentile · further left is faster",
    };
    let block = PANEL_HEAD + lines.len() as f64 * ROW + PANEL_FOOT;
    let top = header.height(width);
    let height = top + views.len().div_ceil(columns) as f64 * block;

    let entries = lines.iter().flat_map(|line| line.entries.iter().flatten());
    let figures = entries.filter_map(|entry| entry.figure);
    let range = extent(figures.flat_map(|f| [f.value, f.p99.unwrap_or(f.value)])).unwrap_or((1.0, 10.0));

    render(title, (width, height), |canvas| {
        let top = header.draw(canvas, width);
        for (row, chunk) in views.chunks(columns).enumerate() {
            let top = top + row as f64 * block;
            for (index, line) in lines.iter().enumerate() {
                let y = top + PANEL_HEAD + (index as f64 + 0.5) * ROW;
                if index % 2 == 0 {
                    canvas.rect((MARGIN, y - ROW / 2.0), (width - MARGIN, y + ROW / 2.0), STRIPE);
                }
                let look = results.palette().look(&line.subject);
                canvas.marker((MARGIN + 9.0, y), look, 4.5);
                let color = look.hue.text;
                canvas.text((MARGIN + 20.0, y), &line.subject.label(), 12.0, color, Align::Start);
            }
            for (column, view) in chunk.iter().enumerate() {
                let left = MARGIN + names + column as f64 * (panel + GAP);
                let axis = LogAxis::new(widened(range), (left + 8.0, left + panel - FIGURE));
                let bottom = top + PANEL_HEAD + lines.len() as f64 * ROW;
                draw_frame(canvas, table.views[*view], &axis, (left, left + panel), (top, bottom));
                for (index, line) in lines.iter().enumerate() {
                    let y = top + PANEL_HEAD + (index as f64 + 0.5) * ROW;
                    if let Some(entry) = &line.entries[*view] {
                        draw_entry(canvas, &axis, entry, results.palette().look(&line.subject), y, index % 2 == 0);
                    }
                }
            }
        }
    })
}

fn draw_frame(canvas: &Canvas<'_>, view: View, axis: &LogAxis, (left, right): (f64, f64), (top, bottom): (f64, f64)) {
    let room = right - left;
    canvas.bold((left, top + 10.0), &fit(&view.label(), 13.0, room), 13.0, INK, Align::Start);
    canvas.text((left, top + 28.0), &fit(&view.caption(), 11.0, room + GAP), 11.0, QUIET, Align::Start);
    let mut free_from = f64::MIN;
    for (value, labelled) in axis.ticks() {
        let x = axis.at(value);
        canvas.line(&[(x, top + PANEL_HEAD), (x, bottom)], GRID, if labelled { 1.0 } else { 0.5 });
        let label = Quantity::Time.format_tick(value);
        let half = text_width(&label, 11.0) / 2.0;
        if labelled && x - half > free_from {
            canvas.text((x, bottom + 12.0), &label, 11.0, QUIET, Align::Middle);
            free_from = x + half + 4.0;
        }
    }
}

fn draw_entry(canvas: &Canvas<'_>, axis: &LogAxis, entry: &Entry, look: Look, y: f64, striped: bool) {
    let Some(figure) = entry.figure else {
        canvas.text((axis.start(), y), "not measured", 11.0, QUIET, Align::Start);
        return;
    };
    let x = axis.at(figure.value);
    let mut end = x + 5.0;
    if let Some(p99) = figure.p99 {
        let tip = axis.at(p99);
        let color = look.hue.color;
        canvas.line(&[(x, y), (tip, y)], color, 1.5);
        canvas.line(&[(tip, y - 4.0), (tip, y + 4.0)], color, 1.5);
        end = end.max(tip);
    }
    canvas.marker((x, y), look, 4.5);
    let text = Quantity::Time.format_within(figure.value, figure.interval);
    // A background of its own keeps the grid lines off the figure.
    let ground = (end + 4.0, end + 7.0 + text_width(&text, 11.0));
    canvas.rect((ground.0, y - 7.0), (ground.1, y + 7.0), if striped { STRIPE } else { WHITE });
    canvas.text((end + 6.0, y), &text, 11.0, look.hue.text, Align::Start);
}
