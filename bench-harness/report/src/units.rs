//! Figures as text: as many digits as the interval supports, and a unit that keeps the number between 1 and 1000.
//!
//! Tables and charts round with [`Rounded`] and with nothing else.

/// The quantity of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Nanoseconds; less is better.
    Time,
    /// Messages per second; more is better.
    Messages,
    /// Payload bytes per second; more is better.
    Bytes,
}

impl Quantity {
    /// Whether the smaller of two figures is the better one.
    pub const fn less_is_better(self) -> bool {
        matches!(self, Quantity::Time)
    }

    const fn units(self) -> &'static [(f64, &'static str)] {
        match self {
            Quantity::Time => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
            Quantity::Messages => &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")],
            Quantity::Bytes => &[(1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")],
        }
    }

    /// The divisor and unit that suit `value`. 999.6 rounds to 1000 and takes the next unit.
    pub fn unit(self, value: f64) -> (f64, &'static str) {
        let units = self.units();
        units.iter().copied().find(|(divisor, _)| value.abs() / divisor < 999.5).unwrap_or(units[units.len() - 1])
    }

    /// `value` without an interval, such as `4.2 µs`. It has two digits, because nobody knows whether a third is true.
    pub fn format(self, value: f64) -> String {
        self.format_within(value, None)
    }

    /// `value` with its interval, such as `45 ± 7 µs`.
    pub fn format_within(self, value: f64, interval: Option<(f64, f64)>) -> String {
        let rounded = Rounded::of(value, interval);
        let unit = self.unit(rounded.value);
        let doubt = rounded.doubt(unit.0).map_or(String::new(), |doubt| format!(" ± {doubt}"));
        format!("{}{doubt} {}", rounded.number(unit.0), unit.1)
    }

    /// The figure of [`format_within`](Self::format_within) without its interval: a label for charts that draw the
    /// interval.
    pub fn format_label(self, value: f64, interval: Option<(f64, f64)>) -> String {
        let rounded = Rounded::of(value, interval);
        let (divisor, unit) = self.unit(rounded.value);
        format!("{} {unit}", rounded.number(divisor))
    }

    /// `value` in three digits, for tables that show a change with its own interval beside it. Such a change is often
    /// smaller than the second digit.
    pub fn format_side(self, value: f64) -> String {
        let (divisor, unit) = self.unit(value);
        format!("{:.*} {unit}", decimals(value / divisor), value / divisor)
    }

    /// Two values in the unit that suits the larger, such as `5.21 → 5.67 µs`. The digits are those of
    /// [`format_side`](Self::format_side).
    pub fn format_step(self, from: f64, to: f64) -> String {
        let (divisor, unit) = self.unit(from.abs().max(to.abs()));
        let number = |value: f64| format!("{:.*}", decimals(value / divisor), value / divisor);
        format!("{} → {} {unit}", number(from), number(to))
    }

    /// A round figure for an axis, such as `10 µs`, without superfluous decimals.
    pub fn format_tick(self, value: f64) -> String {
        let (divisor, unit) = self.unit(value);
        let scaled = (value / divisor * 1e3).round() / 1e3;
        format!("{scaled} {unit}")
    }
}

/// A figure with no more digits than are known.
///
/// Half the interval is rounded to one digit, or to two if the first is a 1. The value ends at the same decimal place,
/// with one to three digits. Without an interval it has two. If the interval is many times as wide as the figure, a
/// bound is shown instead, such as `± >40`: the ends of such an interval say nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded {
    /// The rounded figure.
    pub value: f64,
    /// Half of the interval, at least one unit of the last place. `None` if there is no interval.
    pub half: Option<f64>,
    /// The power of ten of the figure's last digit.
    place: i32,
    /// Whether half of the interval is more than [`half`](Self::half).
    more: bool,
}

/// Half an interval is shown up to this multiple of its figure.
const WIDEST: f64 = 10.0;

impl Rounded {
    /// Rounds `value`, whose 95 % interval is `interval`.
    pub fn of(value: f64, interval: Option<(f64, f64)>) -> Self {
        let half = interval.map(|(lo, hi)| (hi - lo).abs() / 2.0);
        let widest = WIDEST * value.abs();
        let more = value != 0.0 && half.is_some_and(|half| half > widest);
        let half = if more { Some(widest) } else { half };
        let first = first_digit(value);
        let place = match half {
            Some(half) => last_of_doubt(half).clamp(first - 2, first),
            None => first - 1,
        };
        let round = |value: f64, place: i32| (value / 10f64.powi(place)).round() * 10f64.powi(place);
        let half = half.map(|half| round(half, place.max(last_of_doubt(half))).max(10f64.powi(place)));
        Self { value: round(value, place), half, place, more }
    }

    /// The figure in units of `divisor`, a power of ten.
    pub fn number(&self, divisor: f64) -> String {
        format!("{:.*}", self.decimals(divisor), self.value / divisor)
    }

    /// Half the interval in units of `divisor`, a power of ten.
    pub fn doubt(&self, divisor: f64) -> Option<String> {
        let more = if self.more { ">" } else { "" };
        Some(format!("{more}{:.*}", self.decimals(divisor), self.half? / divisor))
    }

    fn decimals(&self, divisor: f64) -> usize {
        (divisor.log10().round() as i32 - self.place).max(0) as usize
    }
}

/// The power of ten of the first digit of `value`, rounded to two digits. 996 rounds to 1000, so its first digit stands
/// for thousands.
fn first_digit(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    let power = |value: f64| value.abs().log10().floor() as i32;
    let unit = 10f64.powi(power(value) - 1);
    power((value.abs() / unit).round() * unit * (1.0 + 1e-12))
}

/// The power of ten of the last digit in which the half interval `half` is shown.
fn last_of_doubt(half: f64) -> i32 {
    let first = first_digit(half);
    if (half / 10f64.powi(first)).round() < 2.0 { first - 1 } else { first }
}

/// The number of decimals for three significant digits.
fn decimals(value: f64) -> usize {
    match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    }
}

/// A message's length, such as `64 B`, `4 KiB`, `1 MiB`.
pub fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    match bytes {
        b if b >= KIB * KIB && b % (KIB * KIB) == 0 => format!("{} MiB", b / KIB / KIB),
        b if b >= KIB && b % KIB == 0 => format!("{} KiB", b / KIB),
        b => format!("{b} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_digits_that_its_interval_supports() {
        for (value, half, text) in [
            (45_300.0, 7_200.0, "45 ± 7 µs"),
            (666.0, 21.0, "670 ± 20 ns"),
            (110_000.0, 61_000.0, "110 ± 60 µs"),
            (12_340.0, 1_440.0, "12.3 ± 1.4 µs"),
            (3_390.0, 96.0, "3.39 ± 0.10 µs"),
            (996.0, 31.0, "1.00 ± 0.03 µs"),
            (84.04, 0.8, "84.0 ± 0.8 ns"),
            // Three digits are the most. A doubt below the last of them is not shown as zero.
            (4_213.0, 0.2, "4.21 ± 0.01 µs"),
            // One digit is the least, however wide the interval.
            (4.0, 39.0, "4 ± 40 ns"),
            (4.2, 1e9, "4 ± >40 ns"),
            (0.0, 0.0, "0.0 ± 0.1 ns"),
        ] {
            assert_eq!(Quantity::Time.format_within(value, Some((value - half, value + half))), text);
        }
        assert_eq!(Quantity::Bytes.format_within(22.2e9, Some((20.0e9, 24.4e9))), "22 ± 2 GB/s");
        assert_eq!(Quantity::Time.format_label(45_300.0, Some((38_100.0, 52_500.0))), "45 µs");
    }

    #[test]
    fn without_an_interval_there_are_two_digits() {
        for (value, text) in [
            (82.14, "82 ns"),
            (999.4, "1.0 µs"),
            (4_213.0, "4.2 µs"),
            (213_400.0, "210 µs"),
            (99_960.0, "100 µs"),
            (1.5e10, "15 s"),
        ] {
            assert_eq!(Quantity::Time.format(value), text);
        }
        assert_eq!(Quantity::Bytes.format(12.34e9), "12 GB/s");
        assert_eq!(Quantity::Messages.format(352_000.0), "350 k/s");
    }

    #[test]
    fn steps_and_ticks() {
        assert_eq!(Quantity::Time.format_step(5_213.0, 5_669.0), "5.21 → 5.67 µs");
        assert_eq!(Quantity::Time.format_step(990.0, 1_080.0), "0.99 → 1.08 µs");
        assert_eq!(Quantity::Time.format_tick(2e4), "20 µs");
        assert_eq!(Quantity::Time.format_tick(0.5), "0.5 ns");
    }

    #[test]
    fn lengths() {
        assert_eq!(
            [64, 1000, 4096, 65536, 1 << 20, 1500 * 1024].map(size),
            ["64 B", "1000 B", "4 KiB", "64 KiB", "1 MiB", "1500 KiB"]
        );
    }
}
