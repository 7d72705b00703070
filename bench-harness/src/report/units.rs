//! Figures as text: three significant digits and a unit that keeps the number between 1 and 1000.

/// What kind of figure is shown.
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

    /// The divisor and unit that suit `value`; 999.6 rounds to 1000 and takes the next unit.
    fn unit(self, value: f64) -> (f64, &'static str) {
        let units = self.units();
        units.iter().copied().find(|(divisor, _)| value.abs() / divisor < 999.5).unwrap_or(units[units.len() - 1])
    }

    /// `value` with its unit, such as `4.21 µs`.
    pub fn format(self, value: f64) -> String {
        let (divisor, unit) = self.unit(value);
        format!("{:.*} {unit}", decimals(value / divisor), value / divisor)
    }

    /// Two values in the unit that suits the larger, such as `5.21 → 5.67 µs`.
    pub fn format_step(self, from: f64, to: f64) -> String {
        let (divisor, unit) = self.unit(from.abs().max(to.abs()));
        let number = |value: f64| format!("{:.*}", decimals(value / divisor), value / divisor);
        format!("{} → {} {unit}", number(from), number(to))
    }

    /// Half the width of `interval` in the unit and with the decimals of `value`, such as `±0.08`.
    pub fn format_half_width(self, value: f64, (lo, hi): (f64, f64)) -> String {
        let (divisor, _) = self.unit(value);
        format!("±{:.*}", decimals(value / divisor), (hi - lo).abs() / 2.0 / divisor)
    }

    /// A round figure for an axis, such as `10 µs`, without superfluous decimals.
    pub fn format_tick(self, value: f64) -> String {
        let (divisor, unit) = self.unit(value);
        let scaled = (value / divisor * 1e3).round() / 1e3;
        format!("{scaled} {unit}")
    }
}

/// Decimals for three significant digits.
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
    fn three_digits_and_a_fitting_unit() {
        for (value, text) in [
            (0.0, "0.00 ns"),
            (82.14, "82.1 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (4_213.0, "4.21 µs"),
            (99_960.0, "100 µs"),
            (1.5e10, "15.0 s"),
        ] {
            assert_eq!(Quantity::Time.format(value), text);
        }
        assert_eq!(Quantity::Bytes.format(12.34e9), "12.3 GB/s");
        assert_eq!(Quantity::Messages.format(352_000.0), "352 k/s");
        assert_eq!(Quantity::Time.format_half_width(4_213.0, (4_130.0, 4_290.0)), "±0.08");
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
