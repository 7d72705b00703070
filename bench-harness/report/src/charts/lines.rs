//! Panels of curves on logarithmic axes, each curve labelled at its end.

use super::{
    Header, MARGIN,
    axis::{LogAxis, extent, widened},
    canvas::{Align, Canvas, GRID, INK, QUIET, Spot, render, text_width},
    fit,
    labels::spread,
    palette::Palette,
};
use crate::{
    model::{Subject, View},
    units::Quantity,
};

/// One curve.
pub struct Curve {
    /// The subject of the curve.
    pub subject: Subject,
    /// The curve's points, ascending in x. Both coordinates are positive.
    pub points: Vec<(f64, f64)>,
    /// Text of the label besides the name.
    pub note: String,
}

/// The curves of one view.
pub struct Panel {
    /// The view that the curves share.
    pub view: View,
    /// The curves; never empty.
    pub curves: Vec<Curve>,
}

/// Meaning of the axes.
pub struct Axes<'a> {
    /// Positions and labels along x.
    pub x_ticks: Vec<(f64, String)>,
    /// Title of the x axis.
    pub x_title: &'a str,
    /// Quantity of the figures along y.
    pub quantity: Quantity,
    /// Title of the y axis.
    pub y_title: &'a str,
    /// Whether every point has a marker. Otherwise only the last point of a curve has one.
    pub mark_all: bool,
}

const HEAD: f64 = 66.0;
const FOOT: f64 = 52.0;
const LEFT: f64 = 64.0;
const LABEL_SIZE: f64 = 11.0;
const LABEL_GAP: f64 = 13.5;
/// Space between a curve's end and its label, for the line that joins them, in pixels.
const LEADER: f64 = 30.0;
const INSET: f64 = 10.0;

/// Draws the panels, two in a row.
pub fn draw(header: &Header<'_>, panels: &[Panel], axes: &Axes<'_>) -> String {
    let columns = panels.len().min(2);
    let width = if columns == 1 { 800.0 } else { 1160.0 };
    let panel_width = (width - 2.0 * MARGIN) / columns as f64;
    let crowd = panels.iter().map(|panel| panel.curves.len()).max().unwrap_or(0) as f64;
    let plot_height = (crowd * LABEL_GAP + 20.0).max(260.0);
    let block = HEAD + plot_height + FOOT;
    let top = header.height(width);
    let height = top + panels.len().div_ceil(columns) as f64 * block;
    render(header.title, (width, height), |canvas| {
        let top = header.draw(canvas, width);
        for (index, panel) in panels.iter().enumerate() {
            let left = MARGIN + (index % columns) as f64 * panel_width;
            let top = top + (index / columns) as f64 * block;
            draw_panel(canvas, header.palette, panel, axes, (left, top), (panel_width, plot_height));
        }
    })
}

fn draw_panel(
    canvas: &Canvas<'_>,
    palette: Palette<'_>,
    panel: &Panel,
    axes: &Axes<'_>,
    (left, top): Spot,
    (width, height): (f64, f64),
) {
    let widest = panel.curves.iter().map(|curve| text_width(&label(curve), LABEL_SIZE)).fold(0.0, f64::max);
    let (plot_left, plot_right) = (left + LEFT, left + width - widest - LEADER - 18.0);
    let (plot_top, plot_bottom) = (top + HEAD, top + HEAD + height);
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let x_range = extent(axes.x_ticks.iter().map(|tick| tick.0).chain(points().map(|p| p.0))).unwrap_or((1.0, 2.0));
    let y_range = widened(extent(points().map(|p| p.1)).unwrap_or((1.0, 10.0)));
    let x_axis = LogAxis::new(x_range, (plot_left + INSET, plot_right - INSET));
    let y_axis = LogAxis::new(y_range, (plot_bottom - INSET, plot_top + INSET));

    let room = width - 10.0;
    canvas.bold((left, top + 10.0), &fit(&panel.view.label(), 13.0, room), 13.0, INK, Align::Start);
    canvas.text((left, top + 28.0), &fit(&panel.view.caption(), 11.0, room), 11.0, QUIET, Align::Start);
    canvas.text((left, top + 50.0), axes.y_title, 11.0, QUIET, Align::Start);
    for (value, labelled) in y_axis.ticks() {
        let y = y_axis.at(value);
        canvas.line(&[(plot_left, y), (plot_right, y)], GRID, if labelled { 1.0 } else { 0.5 });
        if labelled {
            let text = axes.quantity.format_tick(value);
            canvas.text((plot_left - 6.0, y), &text, 11.0, QUIET, Align::End);
        }
    }
    let mut free_from = f64::MIN;
    for (value, text) in &axes.x_ticks {
        let x = x_axis.at(*value);
        canvas.line(&[(x, plot_top), (x, plot_bottom)], GRID, 1.0);
        let half = text_width(text, 11.0) / 2.0;
        if x - half > free_from {
            canvas.text((x, plot_bottom + 13.0), text, 11.0, QUIET, Align::Middle);
            free_from = x + half + 4.0;
        }
    }
    canvas.text(((plot_left + plot_right) / 2.0, plot_bottom + 31.0), axes.x_title, 11.0, QUIET, Align::Middle);

    let spots: Vec<Vec<Spot>> = panel
        .curves
        .iter()
        .map(|curve| curve.points.iter().map(|(x, y)| (x_axis.at(*x), y_axis.at(*y))).collect())
        .collect();
    for (curve, spots) in panel.curves.iter().zip(&spots) {
        let look = palette.look(&curve.subject);
        if look.in_place {
            canvas.dashed(spots, look.hue.color, 1.5, (6.0, 3.0));
        } else {
            canvas.line(spots, look.hue.color, 1.5);
        }
        let marked = if axes.mark_all { &spots[..] } else { &spots[spots.len() - 1..] };
        for spot in marked {
            canvas.marker(*spot, look, 3.5);
        }
    }
    let ends: Vec<f64> = spots.iter().map(|spots| spots[spots.len() - 1].1).collect();
    let places = spread(&ends, LABEL_GAP, (plot_top - 6.0, plot_bottom + 6.0));
    for ((curve, spots), y) in panel.curves.iter().zip(&spots).zip(places) {
        let look = palette.look(&curve.subject);
        let end = spots[spots.len() - 1];
        let label_left = plot_right + LEADER;
        let leader =
            [(end.0 + 5.0, end.1), ((plot_right - INSET + 9.0).max(end.0 + 5.0), end.1), (label_left - 16.0, y)];
        let color = look.hue.color;
        if end.0 < plot_right - 2.0 * INSET {
            // The curve ends early. A dotted line cannot be mistaken for a part of it.
            canvas.dashed(&leader, color, 1.0, (1.0, 4.0));
        } else {
            canvas.line(&leader, color, 0.5);
        }
        canvas.marker((label_left - 10.0, y), look, 3.5);
        canvas.text((label_left, y), &label(curve), LABEL_SIZE, look.hue.text, Align::Start);
    }
}

fn label(curve: &Curve) -> String {
    format!("{}{}", curve.subject.label(), curve.note)
}
