//! Colour and marker of each mechanism, the same in every chart.
//!
//! Hues are those of Okabe and Ito (*Color Universal Design*, 2008), which colour-blind readers can tell apart. A hue
//! stands for a family. Mechanisms of a family differ by marker. In-place access has a hollow marker and a dashed line.
//! A mechanism of no known family has a hue computed from its name, and its own entry in the key.

use crate::model::Subject;
use bench_record::cell::Access;
use ipc_core::{Family, Spec};
use plotters::style::{Color, HSLColor, RGBColor};

/// The colour of a family, or of one mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hue {
    /// The colour of lines and markers.
    pub color: RGBColor,
    /// The colour of text. It is darker, so that small letters keep a contrast of 4.5 to white.
    pub text: RGBColor,
}

impl Hue {
    /// The hue of things that belong to no mechanism, and of the family of mechanisms without a family.
    pub const GREY: Self = Self { color: RGBColor(70, 70, 70), text: RGBColor(70, 70, 70) };

    const fn new((r, g, b): (u8, u8, u8), (text_r, text_g, text_b): (u8, u8, u8)) -> Self {
        Self { color: RGBColor(r, g, b), text: RGBColor(text_r, text_g, text_b) }
    }

    /// The hue of a family in keys.
    pub fn of(family: Family) -> Self {
        match family {
            Family::Pipe => Self::new((0, 114, 178), (0, 92, 148)),
            Family::MessageQueue => Self::new((204, 121, 167), (150, 66, 112)),
            Family::SharedMemory => Self::new((0, 158, 115), (0, 107, 78)),
            Family::UnixSocket => Self::new((230, 159, 0), (135, 90, 0)),
            Family::InternetSocket => Self::new((213, 94, 0), (168, 70, 0)),
            Family::Other => Self::GREY,
            family => Self::made_of(family.name()),
        }
    }

    /// A hue computed from a name. The same name always has the same hue.
    fn made_of(name: &str) -> Self {
        let angle = f64::from(hash(name) % 360) / 360.0;
        let shade = |lightness| {
            let (r, g, b) = HSLColor(angle, 0.6, lightness).rgb();
            RGBColor(r, g, b)
        };
        Self { color: shade(0.4), text: shade(0.25) }
    }
}

/// The FNV-1a hash of `name`.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The name of a family in keys.
pub const fn label(family: Family) -> &'static str {
    match family {
        Family::Pipe => "pipes",
        Family::MessageQueue => "message queues",
        Family::SharedMemory => "shared memory",
        Family::UnixSocket => "Unix sockets",
        Family::InternetSocket => "network loopback",
        Family::Other => "others",
        family => family.name(),
    }
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square on its side.
    Square,
    /// A triangle on its base.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A triangle on its tip.
    Wedge,
    /// A flat rectangle.
    Bar,
    /// An upright rectangle.
    Pillar,
}

impl Shape {
    /// All shapes, in the order in which the mechanisms of a family get them.
    const ALL: [Self; 7] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Wedge, Self::Bar, Self::Pillar];
}

/// How to draw a subject.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The subject's family in keys.
    pub family: Family,
    /// The subject's colour.
    pub hue: Hue,
    /// The subject's marker.
    pub shape: Shape,
    /// Whether the marker is hollow and the line dashed.
    pub in_place: bool,
}

impl Look {
    /// The look of a family in keys.
    pub fn of(family: Family, in_place: bool) -> Self {
        Self { family, hue: Hue::of(family), shape: Shape::Circle, in_place }
    }
}

/// Facts of mechanisms that determine their looks. Mechanisms of one family get their markers in this order.
#[derive(Clone, Copy, Debug)]
pub struct Palette<'a>(pub &'a [Spec]);

impl Palette<'_> {
    /// The look of `subject`.
    pub fn look(self, subject: &Subject) -> Look {
        let name = subject.mechanism.as_str();
        let family = self.0.iter().find(|spec| spec.name == name).map_or(Family::Other, |spec| spec.family);
        let hue = if family == Family::Other { Hue::made_of(name) } else { Hue::of(family) };
        let siblings = self.0.iter().filter(|spec| spec.family == family);
        let rank = siblings.map(|spec| spec.name).take_while(|sibling| *sibling != name).count();
        Look { family, hue, shape: Shape::ALL[rank % Shape::ALL.len()], in_place: subject.access == Access::InPlace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SPECS: [Spec; 4] = [
        Spec { family: Family::Pipe, ..Spec::new("pipe", "") },
        Spec { family: Family::Pipe, ..Spec::new("fifo", "") },
        Spec { family: Family::SharedMemory, ..Spec::new("ring", "") },
        Spec::new("my-channel", ""),
    ];

    fn of(mechanism: &str) -> Look {
        Palette(&SPECS).look(&Subject { mechanism: mechanism.into(), access: Access::Copy })
    }

    #[test]
    fn no_two_mechanisms_look_alike() {
        let looks: BTreeSet<_> = SPECS.map(|spec| of(spec.name)).map(|look| (look.family, look.shape as u8)).into();
        assert_eq!(looks.len(), SPECS.len());
    }

    #[test]
    fn a_mechanism_that_is_not_known_has_a_colour_of_its_own() {
        let (first, second) = (of("length-prefixed-pipe"), of("my-channel"));
        assert_eq!((first.family, second.family), (Family::Other, Family::Other));
        assert_eq!(first.hue, of("length-prefixed-pipe").hue);
        assert_ne!(first.hue, second.hue);
        assert_ne!(first.hue, Hue::GREY);
    }

    #[test]
    fn text_keeps_its_contrast_to_white() {
        // Relative luminance as defined by WCAG 2.
        let part = |value: u8| match f64::from(value) / 255.0 {
            value if value <= 0.04045 => value / 12.92,
            value => ((value + 0.055) / 1.055).powf(2.4),
        };
        for name in (0..720).map(|number| format!("channel-{number}")) {
            let RGBColor(r, g, b) = Hue::made_of(&name).text;
            let luminance = 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
            assert!(1.05 / (luminance + 0.05) >= 4.5, "{name}: {r} {g} {b}");
        }
    }
}
