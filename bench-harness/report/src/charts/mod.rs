//! Charts, and the parts that they have in common.

pub(crate) mod axis;
pub(crate) mod canvas;
pub mod history;
pub(crate) mod labels;
pub(crate) mod lanes;
pub(crate) mod lines;
pub mod palette;
pub(crate) mod sizes;

use super::model::Subject;
use canvas::{Align, Canvas, INK, QUIET, text_width};
use ipc_core::Family;
use palette::{Look, Palette};
use std::collections::{BTreeMap, BTreeSet};

/// The folder of the charts, inside the results folder.
pub const FOLDER: &str = "charts";

/// One chart, drawn or not.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The file's name in [`FOLDER`].
    pub file: &'static str,
    /// The title: what the chart shows.
    pub title: String,
    /// How to read the chart, in one or two sentences.
    pub caption: String,
    /// The SVG document, or the reason why there is none.
    pub drawing: Result<String, String>,
}

/// The header above the panels of a chart.
pub(crate) struct Header<'a> {
    pub palette: Palette<'a>,
    pub title: &'a str,
    /// The machine on which the figures were measured.
    pub machine: String,
    /// The subjects that are drawn. The key has their entries.
    pub subjects: Vec<&'a Subject>,
    /// What the figures are, how to read the marks, and which direction is better.
    pub hint: &'a str,
}

/// How in-place access is drawn. The lines of such curves are also dashed.
const IN_PLACE: &str = "hollow: payload produced, and where possible consumed, in place";

/// Space left and right of the content, in pixels.
pub(crate) const MARGIN: f64 = 16.0;

impl Header<'_> {
    /// Draws the header over `width` pixels. Returns the position where the panels may begin.
    pub fn draw(&self, canvas: &Canvas<'_>, width: f64) -> f64 {
        let room = width - 2.0 * MARGIN;
        canvas.bold((MARGIN, 24.0), &fit(self.title, 18.0, room), 18.0, INK, Align::Start);
        canvas.text((MARGIN, 47.0), &fit(&self.machine, 12.0, room), 12.0, QUIET, Align::Start);
        let bottom = self.key(canvas, width);
        canvas.text((MARGIN, bottom + 21.0), &fit(self.hint, 12.0, room), 12.0, QUIET, Align::Start);
        bottom + 42.0
    }

    /// The height of the header over `width` pixels.
    pub fn height(&self, width: f64) -> f64 {
        let rows = key_rows(&self.entries(), width);
        71.0 + 20.0 * (rows as f64 - 1.0) + 42.0
    }

    /// Entries of the key: the families that occur, and mechanisms without a family by name. The last one explains
    /// hollow and dashed if they occur.
    fn entries(&self) -> Vec<(Look, String)> {
        let looks: Vec<(Look, &str)> =
            self.subjects.iter().map(|subject| (self.palette.look(subject), subject.mechanism.as_str())).collect();
        let families: BTreeSet<Family> = looks.iter().map(|(look, _)| look.family).collect();
        let known = families.into_iter().filter(|family| *family != Family::Other);
        let mut entries: Vec<_> =
            known.map(|family| (Look::of(family, false), palette::label(family).to_owned())).collect();
        let others = looks.iter().filter(|(look, _)| look.family == Family::Other);
        let named: BTreeMap<&str, Look> =
            others.map(|(look, name)| (*name, Look { in_place: false, ..*look })).collect();
        entries.extend(named.into_iter().map(|(name, look)| (look, name.to_owned())));
        if let Some((hollow, _)) = looks.iter().find(|(look, _)| look.in_place) {
            entries.push((Look::of(hollow.family, true), IN_PLACE.to_owned()));
        }
        entries
    }

    fn key(&self, canvas: &Canvas<'_>, width: f64) -> f64 {
        let (mut x, mut y) = (MARGIN, 71.0);
        for (look, label) in self.entries() {
            let needed = entry_width(&label);
            if x > MARGIN && x + needed > width - MARGIN {
                (x, y) = (MARGIN, y + 20.0);
            }
            canvas.marker((x + 6.0, y), look, 5.0);
            canvas.text((x + 17.0, y), &label, 12.0, look.hue.text, Align::Start);
            x += needed;
        }
        y
    }
}

fn entry_width(label: &str) -> f64 {
    17.0 + text_width(label, 12.0) + 14.0
}

fn key_rows(entries: &[(Look, String)], width: f64) -> usize {
    let (mut rows, mut x) = (1, MARGIN);
    for (_, label) in entries {
        let needed = entry_width(label);
        if x > MARGIN && x + needed > width - MARGIN {
            (rows, x) = (rows + 1, MARGIN);
        }
        x += needed;
    }
    rows
}

/// `text`, cut with an ellipsis if it is wider than `room`.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if text_width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        if text_width(&cut, size) + text_width("m…", size) > room {
            break;
        }
        cut.push(c);
    }
    cut.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::cell::Access;
    use ipc_core::Spec;

    #[test]
    fn the_key_has_families_once_and_others_by_name() {
        let specs = [
            Spec { family: Family::Pipe, ..Spec::new("first", "") },
            Spec { family: Family::Pipe, ..Spec::new("second", "") },
            Spec::new("mine", ""),
            Spec::new("yours", ""),
        ];
        let subjects: Vec<Subject> =
            specs.iter().map(|spec| Subject { mechanism: spec.name.into(), access: Access::Copy }).collect();
        let palette = Palette(&specs);
        let header =
            Header { palette, title: "", machine: String::new(), subjects: subjects.iter().collect(), hint: "" };
        let entries = header.entries();
        let labels: Vec<&str> = entries.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["pipes", "mine", "yours"]);
        let drawn = [&subjects[2], &subjects[3]].map(|subject| palette.look(subject));
        for ((entry, _), look) in entries[1..].iter().zip(drawn) {
            assert_eq!((entry.hue, entry.shape), (look.hue, look.shape));
        }
    }
}
