//! Lanes of figures over runs, one below the other.
//!
//! Each lane has its own scale around its median, so a difference of a tenth is visible whatever the figure is. Lines
//! end where the environment changes.

use super::{
    Header, MARGIN,
    axis::LogAxis,
    canvas::{Align, Canvas, GRID, INK, QUIET, STRIPE, Spot, render, text_width, tint},
    fit,
    palette::Look,
};
use crate::{text::NO_FIGURE, units::Quantity};
use bench_record::stats;

/// One run, as seen by all lanes.
pub struct Tick {
    /// The run's revision.
    pub revision: String,
    /// The run's day.
    pub day: String,
    /// The letter of the run's environment.
    pub environment: String,
}

/// A figure and its confidence interval.
pub type Reading = (f64, Option<(f64, f64)>);

/// The figures of one cell.
pub struct Lane {
    /// The label of the lane.
    pub label: String,
    /// The second line of the label.
    pub note: String,
    /// How the lane is drawn.
    pub look: Look,
    /// The quantity of the figures.
    pub quantity: Quantity,
    /// The figure of every run, if it has one. All figures are above zero.
    pub readings: Vec<Option<Reading>>,
    /// Lasting changes: the index of the first run with the change, and its size as text.
    pub changes: Vec<(usize, String)>,
}

/// Lanes under one heading.
pub struct Group {
    /// The heading.
    pub title: String,
    /// The text that explains the group.
    pub caption: String,
    /// The lanes; never empty.
    pub lanes: Vec<Lane>,
}

/// Groups below each other, under a heading.
pub struct Column {
    /// The heading.
    pub title: &'static str,
    /// The groups; never empty.
    pub groups: Vec<Group>,
}

/// The content of a chart of lanes.
pub struct Sheet<'a> {
    /// The header above the lanes.
    pub header: Header<'a>,
    /// The runs, from left to right.
    pub ticks: Vec<Tick>,
    /// The columns, beside each other.
    pub columns: Vec<Column>,
    /// Lines of text below the lanes.
    pub footer: Vec<String>,
}

/// Width of a column in pixels if there are two. A column that is alone is `ALONE` wide.
const COLUMN: f64 = 590.0;
const ALONE: f64 = 800.0;
const GAP: f64 = 24.0;
const COLUMN_HEAD: f64 = 30.0;
const GROUP_HEAD: f64 = 44.0;
const LANE: f64 = 52.0;
/// Space above and below the drawing in a lane, in pixels.
const INSET: f64 = 6.0;
const TICKS: f64 = 44.0;
const FOOTER_LINE: f64 = 17.0;
const LABEL: f64 = 74.0;
const SCALE: f64 = 62.0;
const LATEST: f64 = 72.0;
const SMALL: f64 = 10.0;
/// Least range of a lane above and below its median, as a part of the median.
const LEAST_RANGE: f64 = 0.15;
/// Intervals widen a lane's range up to this part of the median. Figures can widen it further.
const WIDEST_INTERVAL: f64 = 0.5;
/// Runs that are closer than this many pixels have no markers.
const MARKED: f64 = 7.0;

/// Draws the sheet.
pub fn draw(sheet: &Sheet<'_>) -> String {
    let columns = sheet.columns.len() as f64;
    let column_width = if sheet.columns.len() == 1 { ALONE } else { COLUMN };
    let width = 2.0 * MARGIN + columns * column_width + (columns - 1.0) * GAP;
    let top = sheet.header.height(width);
    let column_height = |column: &Column| {
        let groups = column.groups.iter().map(|group| GROUP_HEAD + group.lanes.len() as f64 * LANE);
        COLUMN_HEAD + groups.sum::<f64>() + TICKS
    };
    let tallest = sheet.columns.iter().map(column_height).fold(0.0, f64::max);
    let footer = if sheet.footer.is_empty() { 0.0 } else { 12.0 + sheet.footer.len() as f64 * FOOTER_LINE };
    render(sheet.header.title, (width, top + tallest + footer + MARGIN), |canvas| {
        let top = sheet.header.draw(canvas, width);
        for (index, column) in sheet.columns.iter().enumerate() {
            let left = MARGIN + index as f64 * (column_width + GAP);
            draw_column(canvas, column, &sheet.ticks, (left, top), column_width);
        }
        for (index, line) in sheet.footer.iter().enumerate() {
            let y = top + tallest + 12.0 + (index as f64 + 0.5) * FOOTER_LINE;
            canvas.text((MARGIN, y), &fit(line, 11.0, width - 2.0 * MARGIN), 11.0, QUIET, Align::Start);
        }
    })
}

/// Horizontal positions of runs.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    runs: usize,
}

impl Axis {
    fn step(self) -> f64 {
        (self.to - self.from) / self.runs as f64
    }

    fn at(self, run: usize) -> f64 {
        self.from + (run as f64 + 0.5) * self.step()
    }

    /// The position half way between `run` and the run before.
    fn before(self, run: usize) -> f64 {
        self.from + run as f64 * self.step()
    }
}

fn draw_column(canvas: &Canvas<'_>, column: &Column, ticks: &[Tick], (left, top): Spot, width: f64) {
    let axis = Axis { from: left + LABEL + SCALE, to: left + width - LATEST, runs: ticks.len() };
    canvas.bold((left, top + 8.0), column.title, 14.0, INK, Align::Start);
    let mut y = top + COLUMN_HEAD;
    for group in &column.groups {
        canvas.bold((left, y + 10.0), &group.title, 12.0, INK, Align::Start);
        let indent = text_width(&group.title, 12.0) + 14.0;
        canvas.text((left + indent, y + 10.0), &fit(&group.caption, 11.0, width - indent), 11.0, QUIET, Align::Start);
        let lanes = y + GROUP_HEAD - 10.0;
        let bottom = lanes + group.lanes.len() as f64 * LANE;
        for index in (0..group.lanes.len()).step_by(2) {
            let top = lanes + index as f64 * LANE;
            canvas.rect((left, top), (left + width, top + LANE), STRIPE);
        }
        environments(canvas, ticks, axis, (lanes, bottom));
        for (index, lane) in group.lanes.iter().enumerate() {
            draw_lane(canvas, lane, ticks, axis, (left, lanes + index as f64 * LANE));
        }
        y += GROUP_HEAD + group.lanes.len() as f64 * LANE;
    }
    draw_ticks(canvas, ticks, axis, y - 10.0);
}

/// Draws a line wherever the environment changes, with the letters of both sides.
fn environments(canvas: &Canvas<'_>, ticks: &[Tick], axis: Axis, (top, bottom): (f64, f64)) {
    let steps: Vec<usize> =
        (1..ticks.len()).filter(|&run| ticks[run].environment != ticks[run - 1].environment).collect();
    if steps.is_empty() {
        return;
    }
    let mut free_from = f64::MIN;
    for run in std::iter::once(0).chain(steps) {
        let x = axis.before(run);
        if run > 0 {
            canvas.dashed(&[(x, top - 9.0), (x, bottom)], QUIET, 1.0, (3.0, 3.0));
        }
        if x > free_from {
            let label = &ticks[run].environment;
            canvas.bold((x + 4.0, top - 8.0), label, SMALL, QUIET, Align::Start);
            free_from = x + 6.0 + text_width(label, SMALL);
        }
    }
}

fn draw_ticks(canvas: &Canvas<'_>, ticks: &[Tick], axis: Axis, top: f64) {
    let widest = ticks.iter().map(|tick| text_width(&tick.revision, SMALL).max(text_width(&tick.day, SMALL)));
    let stride = ((widest.fold(0.0, f64::max) + 6.0) / axis.step()).ceil().max(1.0) as usize;
    // The last run always has its label.
    for (run, tick) in ticks.iter().enumerate().rev().step_by(stride) {
        let x = axis.at(run);
        canvas.line(&[(x, top), (x, top + 4.0)], QUIET, 1.0);
        canvas.text((x, top + 12.0), &tick.revision, SMALL, QUIET, Align::Middle);
        canvas.text((x, top + 25.0), &tick.day, SMALL, QUIET, Align::Middle);
    }
}

fn draw_lane(canvas: &Canvas<'_>, lane: &Lane, ticks: &[Tick], axis: Axis, (left, top): Spot) {
    let figures: Vec<f64> = lane.readings.iter().flatten().map(|reading| reading.0).collect();
    let Some(middle) = stats::median(&mut figures.clone()) else { return };
    let furthest = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|value| *value > 0.0).map(|value| (value / middle).ln().abs()).fold(0.0, f64::max).exp_m1()
    };
    let of_figures = furthest(&mut figures.iter().copied());
    let ends = lane.readings.iter().flatten().filter_map(|reading| reading.1);
    let of_intervals = furthest(&mut ends.flat_map(|(lo, hi)| [lo, hi]));
    let range = range(of_figures.max(of_intervals.min(WIDEST_INTERVAL)));
    let (upper, lower) = (top + INSET, top + LANE - INSET);
    let y_axis = LogAxis::new((middle / (1.0 + range), middle * (1.0 + range)), (lower, upper));
    // The parts of an interval outside the range are cut off.
    let y = |value: f64| y_axis.at(value).clamp(upper, lower);
    let (color, text_color) = (lane.look.hue.color, lane.look.hue.text);

    let centre = y(middle);
    let room = LABEL - 6.0;
    let label_y = if lane.note.is_empty() { centre } else { centre - 7.0 };
    canvas.bold((left + 6.0, label_y), &fit(&lane.label, 11.0, room), 11.0, text_color, Align::Start);
    canvas.text((left + 6.0, centre + 8.0), &fit(&lane.note, SMALL, room), SMALL, QUIET, Align::Start);
    let scale = axis.from - 6.0;
    canvas.text((scale, centre), &lane.quantity.format(middle), SMALL, QUIET, Align::End);
    canvas.text((scale, upper + 3.0), &format!("+{:.0} %", 100.0 * range), 9.0, QUIET, Align::End);
    canvas.text((scale, lower - 3.0), &format!("−{:.0} %", 100.0 * range / (1.0 + range)), 9.0, QUIET, Align::End);

    let stretches = stretches(lane, ticks);
    for stretch in &stretches {
        band(canvas, lane, stretch, axis, &y);
    }
    canvas.line(&[(axis.from, centre), (axis.to, centre)], GRID, 1.0);
    for stretch in &stretches {
        let spots: Vec<Spot> = stretch.iter().map(|&(run, (figure, _))| (axis.at(run), y(figure))).collect();
        if lane.look.in_place {
            canvas.dashed(&spots, color, 1.5, (5.0, 2.5));
        } else if spots.len() > 1 {
            canvas.line(&spots, color, 1.5);
        }
        let all = axis.step() >= MARKED || spots.len() == 1;
        for spot in if all { &spots[..] } else { &spots[spots.len() - 1..] } {
            canvas.marker(*spot, lane.look, 2.8);
        }
    }
    for (run, text) in &lane.changes {
        let Some((figure, _)) = lane.readings.get(*run).copied().flatten() else { continue };
        let (x, at) = (axis.at(*run), y(figure));
        canvas.ring((x, at), INK, 6.0);
        let half = text_width(text, SMALL) / 2.0 + 2.0;
        let above = at > top + LANE / 2.0;
        let beside = (x.clamp(axis.from + half, axis.to - half), if above { at - 13.0 } else { at + 13.0 });
        canvas.bold(beside, text, SMALL, INK, Align::Middle);
    }
    // The figure of the last run, or none if it has none. An older figure would be mistaken for it.
    let latest = lane.readings.last().copied().flatten();
    let latest = latest.map_or(NO_FIGURE.to_owned(), |(figure, interval)| lane.quantity.format_label(figure, interval));
    canvas.bold((axis.to + 8.0, centre), &latest, 11.0, text_color, Align::Start);
}

/// The next round range that is not less than `furthest`.
fn range(furthest: f64) -> f64 {
    let round = [LEAST_RANGE, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0];
    round.into_iter().find(|range| *range >= furthest).unwrap_or(furthest.ceil())
}

/// The figures to join by a line: those of consecutive runs in one environment. A run without a figure ends the line.
fn stretches(lane: &Lane, ticks: &[Tick]) -> Vec<Vec<(usize, Reading)>> {
    let mut stretches: Vec<Vec<(usize, Reading)>> = Vec::new();
    for (run, reading) in lane.readings.iter().enumerate() {
        let Some(reading) = *reading else { continue };
        match stretches.last_mut().filter(|stretch| stretch.last().is_some_and(|last| last.0 + 1 == run)) {
            Some(stretch) if ticks[run - 1].environment == ticks[run].environment => stretch.push((run, reading)),
            _ => stretches.push(vec![(run, reading)]),
        }
    }
    stretches
}

/// Draws the intervals of consecutive figures as an area, or as a bar if there is one figure.
fn band(canvas: &Canvas<'_>, lane: &Lane, stretch: &[(usize, Reading)], axis: Axis, y: &impl Fn(f64) -> f64) {
    let color = tint(lane.look.hue.color, 0.22);
    let ends: Vec<(f64, f64, f64)> =
        stretch.iter().filter_map(|&(run, (_, interval))| Some((axis.at(run), interval?.0, interval?.1))).collect();
    if let [(x, lo, hi)] = ends[..] {
        canvas.rect((x - 2.5, y(hi)), (x + 2.5, y(lo)), color);
        return;
    }
    let upper = ends.iter().map(|&(x, _, hi)| (x, y(hi)));
    let lower = ends.iter().rev().map(|&(x, lo, _)| (x, y(lo)));
    let outline: Vec<Spot> = upper.chain(lower).collect();
    if !outline.is_empty() {
        canvas.area(&outline, color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_core::Family;

    fn lane(readings: Vec<Option<Reading>>) -> Lane {
        let look = Look::of(Family::Pipe, false);
        let (label, note) = ("64 B".to_owned(), String::new());
        Lane { label, note, look, quantity: Quantity::Time, readings, changes: Vec::new() }
    }

    #[test]
    fn nothing_is_joined_across_environments_or_gaps() {
        let at = |environment: &str| Tick {
            revision: "abc".into(),
            day: "2026-01-01".into(),
            environment: environment.into(),
        };
        let ticks: Vec<Tick> = ["A", "A", "B", "B", "B", "A"].map(at).into();
        let some = Some((5.0, None));
        let parts = stretches(&lane(vec![some, some, some, None, some, some]), &ticks);
        let runs: Vec<Vec<usize>> = parts.iter().map(|part| part.iter().map(|(run, _)| *run).collect()).collect();
        assert_eq!(runs, [vec![0, 1], vec![2], vec![4], vec![5]]);
    }

    #[test]
    fn a_lane_shows_all_its_figures_and_never_enlarges_noise() {
        assert_eq!([0.0, 0.02, 0.16, 0.9, 12.3].map(range), [0.15, 0.15, 0.2, 1.0, 13.0]);
    }
}
