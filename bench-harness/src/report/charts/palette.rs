//! Which colour and marker a mechanism has, the same in every chart.
//!
//! Hues are those of Okabe and Ito (*Color Universal Design*, 2008), which colour-blind readers can tell apart. A hue
//! stands for a family; within it mechanisms differ by marker, and in-place access by a hollow marker and a dashed line.

use crate::{cell::Access, report::model::Subject};
use plotters::style::RGBColor;

/// Mechanisms that share a kernel facility, and a hue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Pipes, named or not.
    Pipe,
    /// Message queues, SysV and POSIX.
    Queue,
    /// Memory mapped into both processes.
    Memory,
    /// Unix domain sockets.
    Unix,
    /// Sockets of the network stack, over loopback.
    Network,
    /// Whatever is newer than this list.
    Other,
}

impl Family {
    /// Every family, in the order keys show them.
    pub const ALL: [Family; 6] =
        [Family::Pipe, Family::Queue, Family::Memory, Family::Unix, Family::Network, Family::Other];

    /// The family of a mechanism.
    pub fn of(mechanism: &str) -> Self {
        match mechanism {
            "pipe" | "fifo" | "vmsplice" | "splice" => Family::Pipe,
            "sysv-msgq" | "posix-mq" => Family::Queue,
            "sysv-shm" | "posix-shm" | "memfd" | "mmap-file" | "mmap-anon" | "memfd-write" | "process-vm" => {
                Family::Memory
            }
            "unix-stream" | "unix-dgram" | "unix-seqpacket" => Family::Unix,
            "tcp" | "tcp-zerocopy" | "udp" => Family::Network,
            _ => Family::Other,
        }
    }

    /// The name in keys.
    pub const fn label(self) -> &'static str {
        match self {
            Family::Pipe => "pipes",
            Family::Queue => "message queues",
            Family::Memory => "shared memory",
            Family::Unix => "Unix sockets",
            Family::Network => "network loopback",
            Family::Other => "others",
        }
    }

    /// The hue of lines and markers.
    pub const fn color(self) -> RGBColor {
        match self {
            Family::Pipe => RGBColor(0, 114, 178),
            Family::Queue => RGBColor(204, 121, 167),
            Family::Memory => RGBColor(0, 158, 115),
            Family::Unix => RGBColor(230, 159, 0),
            Family::Network => RGBColor(213, 94, 0),
            Family::Other => RGBColor(70, 70, 70),
        }
    }

    /// The hue of text: darker, so that small letters keep a contrast of 4.5 to white.
    pub const fn text_color(self) -> RGBColor {
        match self {
            Family::Pipe => RGBColor(0, 92, 148),
            Family::Queue => RGBColor(150, 66, 112),
            Family::Memory => RGBColor(0, 107, 78),
            Family::Unix => RGBColor(135, 90, 0),
            Family::Network => RGBColor(168, 70, 0),
            Family::Other => RGBColor(70, 70, 70),
        }
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

/// How a subject is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whose hue it has.
    pub family: Family,
    /// Its marker.
    pub shape: Shape,
    /// Hollow marker, dashed line.
    pub in_place: bool,
}

/// The look of `subject`.
pub fn look(subject: &Subject) -> Look {
    let shape = match subject.mechanism.as_str() {
        "fifo" | "posix-mq" | "posix-shm" | "unix-dgram" | "udp" => Shape::Square,
        "memfd" | "unix-seqpacket" | "vmsplice" | "tcp-zerocopy" => Shape::Triangle,
        "mmap-file" | "splice" => Shape::Diamond,
        "mmap-anon" => Shape::Wedge,
        "memfd-write" => Shape::Bar,
        "process-vm" => Shape::Pillar,
        _ => Shape::Circle,
    };
    Look { family: Family::of(&subject.mechanism), shape, in_place: subject.access == Access::InPlace }
}
