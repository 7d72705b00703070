//! A thin layer over plotters' drawing area: shapes and text at fractions of a pixel, and one SVG document at the end.
//!
//! plotters draws at whole pixels. So the canvas is twice as large inside as it is shown, and the document's view box
//! scales it down. The width of text is a cautious estimate, since the reader's font is not known here.

use super::palette::{Look, Shape};
use crate::text::escape;
use plotters::{
    coord::Shift,
    element::{Circle, PathElement, Polygon, Rectangle, Text},
    prelude::{DrawingArea, IntoDrawingArea, SVGBackend},
    style::{
        Color, FontFamily, FontStyle, RGBAColor, RGBColor, ShapeStyle, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

const SCALE: f64 = 2.0;

/// Nearly black, for important text.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// Grey, for explanations. Its contrast to white is 5.9.
pub const QUIET: RGBColor = RGBColor(100, 100, 100);
/// Light grey for grid lines.
pub const GRID: RGBColor = RGBColor(222, 222, 222);
/// Light background of every second row.
pub const STRIPE: RGBColor = RGBColor(246, 247, 249);

/// `color` as it looks in a thin layer on white. `share` is the layer's opacity.
pub fn tint(color: RGBColor, share: f64) -> RGBColor {
    let mix = |part: u8| (255.0 - share * (255.0 - f64::from(part))).round() as u8;
    RGBColor(mix(color.0), mix(color.1), mix(color.2))
}

/// A point on the canvas, in shown pixels.
pub type Spot = (f64, f64);

/// Horizontal alignment of a text to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// The text starts at the point.
    Start,
    /// The text is centred on the point.
    Middle,
    /// The text ends at the point.
    End,
}

/// Upper estimate for the width of `text` at `size` in common sans-serif fonts, in pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | '\'' | '|' | ' ' | ':' | '·' => 0.34,
            'f' | 't' | 'r' | '-' | '(' | ')' | '/' => 0.42,
            'm' | 'w' | 'M' | 'W' | '%' => 0.97,
            c if c.is_ascii_uppercase() => 0.71,
            _ => 0.625,
        })
        .sum();
    ems * size
}

/// The drawing area of a chart.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a document of `width` by `height` pixels. `title` names it for readers who cannot see it.
pub fn render(title: &str, (width, height): (f64, f64), draw: impl FnOnce(&Canvas<'_>)) -> String {
    let inner = ((width * SCALE) as u32, (height * SCALE) as u32);
    let mut body = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut body, inner).into_drawing_area() };
        canvas.rect((0.0, 0.0), (width, height), WHITE);
        draw(&canvas);
        settled(canvas.area.present());
    }
    // The backend's root element has the inner size. It is replaced by one with the shown size and the name.
    let content = body.split_once('\n').map_or("", |(_, content)| content);
    let (inner_width, inner_height) = inner;
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {inner_width} {inner_height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{content}"
    )
}

/// Drawing into a string has no input or output that could fail.
fn settled<E: std::fmt::Debug>(result: Result<(), E>) {
    result.expect("drawing into a string");
}

fn inner((x, y): Spot) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

fn stroke(color: RGBColor, width: f64) -> ShapeStyle {
    ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: (width * SCALE).round().max(1.0) as u32 }
}

impl Canvas<'_> {
    /// A line through all of `spots`.
    pub fn line(&self, spots: &[Spot], color: RGBColor, width: f64) {
        let path: Vec<_> = spots.iter().copied().map(inner).collect();
        settled(self.area.draw(&PathElement::new(path, stroke(color, width))));
    }

    /// A dashed line through `spots`: `dash` pixels drawn, `gap` pixels left out. Dashes continue around corners.
    pub fn dashed(&self, spots: &[Spot], color: RGBColor, width: f64, (dash, gap): (f64, f64)) {
        let mut left = dash;
        let mut drawing = true;
        for pair in spots.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = (x1 - x0).hypot(y1 - y0);
            let mut done = 0.0;
            while done < length {
                let step = left.min(length - done);
                let at = |along: f64| (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length);
                if drawing {
                    self.line(&[at(done), at(done + step)], color, width);
                }
                done += step;
                left -= step;
                if left <= 1e-9 {
                    drawing = !drawing;
                    left = if drawing { dash } else { gap };
                }
            }
        }
    }

    /// A filled rectangle.
    pub fn rect(&self, from: Spot, to: Spot, color: RGBColor) {
        settled(self.area.draw(&Rectangle::new([inner(from), inner(to)], color.filled())));
    }

    /// A filled shape.
    pub fn area(&self, spots: &[Spot], color: RGBColor) {
        let path: Vec<_> = spots.iter().copied().map(inner).collect();
        settled(self.area.draw(&Polygon::new(path, color.filled())));
    }

    /// A ring of `radius` pixels.
    pub fn ring(&self, spot: Spot, color: RGBColor, radius: f64) {
        let radius = (radius * SCALE).round() as i32;
        settled(self.area.draw(&Circle::new(inner(spot), radius, stroke(color, 1.2))));
    }

    /// Text centred vertically on `spot`.
    pub fn text(&self, spot: Spot, text: &str, size: f64, color: RGBColor, align: Align) {
        self.styled_text(spot, text, size, color.to_rgba(), align, FontStyle::Normal);
    }

    /// Bold text centred vertically on `spot`.
    pub fn bold(&self, spot: Spot, text: &str, size: f64, color: RGBColor, align: Align) {
        self.styled_text(spot, text, size, color.to_rgba(), align, FontStyle::Bold);
    }

    fn styled_text(&self, spot: Spot, text: &str, size: f64, color: RGBAColor, align: Align, style: FontStyle) {
        let h_pos = match align {
            Align::Start => HPos::Left,
            Align::Middle => HPos::Center,
            Align::End => HPos::Right,
        };
        // The backend divides font sizes by 1.24, its guess for the sum of a font's ascent and descent.
        let font = (FontFamily::SansSerif, size * SCALE * 1.24, style);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Center));
        // XML has no control characters, but the backend passes them on.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        settled(self.area.draw(&Text::new(text, inner(spot), style)));
    }

    /// A marker of about `radius` pixels.
    pub fn marker(&self, (x, y): Spot, look: Look, radius: f64) {
        let color = look.hue.color;
        let r = radius;
        let corners: &[Spot] = match look.shape {
            Shape::Circle => {
                let (center, radius) = (inner((x, y)), (r * SCALE).round() as i32);
                if look.in_place {
                    settled(self.area.draw(&Circle::new(center, radius, WHITE.filled())));
                    settled(self.area.draw(&Circle::new(center, radius, stroke(color, 1.5))));
                } else {
                    settled(self.area.draw(&Circle::new(center, radius, color.filled())));
                }
                return;
            }
            Shape::Square => &[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            Shape::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Shape::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            Shape::Bar => &[(-1.3, -0.55), (1.3, -0.55), (1.3, 0.55), (-1.3, 0.55)],
            Shape::Pillar => &[(-0.55, -1.3), (0.55, -1.3), (0.55, 1.3), (-0.55, 1.3)],
            Shape::Wedge => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        };
        let mut path: Vec<(i32, i32)> = corners.iter().map(|(dx, dy)| inner((x + dx * r, y + dy * r))).collect();
        let fill = if look.in_place { WHITE } else { color };
        settled(self.area.draw(&Polygon::new(path.clone(), fill.filled())));
        if look.in_place {
            path.extend([path[0], path[1]]);
            settled(self.area.draw(&PathElement::new(path, stroke(color, 1.5))));
        }
    }
}
