//! The unit of a figure that a command prints: its name, and which direction is better.

use bench_report::units::Quantity;
use serde::{Deserialize, Serialize};

/// The unit of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The unit as written after a number: `ns`, `MB/s`.
    pub name: String,
    /// Whether a larger figure is better.
    pub higher_is_better: bool,
}

/// Units of time, in nanoseconds.
const TIMES: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("sec", 1e9),
    ("seconds", 1e9),
    ("min", 6e10),
];
/// Rates whose name contains no "per".
const RATES: [&str; 12] = ["bps", "kbps", "mbps", "gbps", "fps", "flops", "hz", "iops", "ops", "qps", "rps", "tps"];
/// Endings of units that are rates.
const PER_TIME: [&str; 5] = ["/s", "/sec", "/second", "/min", "/ms"];
/// Significant digits of a figure that is no time.
const DIGITS: i32 = 4;

impl Unit {
    /// The unit called `name`. A larger figure is better if the name is that of a rate, such as `MB/s`, `ops` or
    /// `requests/sec`.
    pub fn named(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let is_rate = PER_TIME.iter().any(|end| lower.ends_with(end)) || RATES.contains(&lower.as_str());
        Self { name: name.to_owned(), higher_is_better: is_rate }
    }

    /// Whether `name` is another spelling of this unit.
    pub fn is(&self, name: &str) -> bool {
        let micro = |text: &str| text.replace(['µ', 'μ'], "u");
        micro(&self.name) == micro(name)
    }

    /// The cost of a figure. It grows as the figure gets worse.
    pub fn cost(&self, value: f64) -> f64 {
        if self.higher_is_better { 1.0 / value } else { value }
    }

    /// Nanoseconds per unit. `None` if it is no unit of time.
    pub fn nanoseconds(&self) -> Option<f64> {
        TIMES.iter().find(|(name, _)| *name == self.name).map(|(_, ns)| *ns)
    }

    /// A figure with its unit. A time is shown in the unit that suits its size.
    pub fn format_side(&self, value: f64) -> String {
        match self.nanoseconds() {
            Some(ns) => Quantity::Time.format_side(value * ns),
            None => format!("{} {}", digits(value), self.name),
        }
    }

    /// Two figures with their unit, such as `5.21 → 5.67 µs`.
    pub fn format_step(&self, base: f64, head: f64) -> String {
        match self.nanoseconds() {
            Some(ns) => Quantity::Time.format_step(base * ns, head * ns),
            None => format!("{} → {} {}", digits(base), digits(head), self.name),
        }
    }
}

/// `value` to four significant digits. Values from 1e-6 to 1e12 have no exponent.
fn digits(value: f64) -> String {
    if value == 0.0 || !(1e-6..1e12).contains(&value.abs()) {
        return format!("{value:.*e}", DIGITS as usize - 1);
    }
    let after = (DIGITS - 1 - value.abs().log10().floor() as i32).max(0) as usize;
    format!("{value:.after$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_better_when_they_are_higher() {
        for name in ["MB/s", "req/sec", "ops", "Gbps", "FPS", "messages/s", "iops"] {
            assert!(Unit::named(name).higher_is_better, "{name}");
        }
        for name in ["ns", "ms", "s", "bytes", "cycles", "cps-ish", "steps", "ns/iter"] {
            assert!(!Unit::named(name).higher_is_better, "{name}");
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(Unit::named("ms").format_step(5.213, 5.671), "5.21 → 5.67 ms");
        assert_eq!(Unit::named("us").format_side(4200.0), "4.20 ms");
        assert_eq!(Unit::named("cycles").format_step(123456.7, 99.0), "123457 → 99.00 cycles");
        assert_eq!(Unit::named("MB/s").format_side(0.001234), "0.001234 MB/s");
        assert_eq!(Unit::named("widgets").format_side(3e15), "3.000e15 widgets");
    }

    #[test]
    fn micro_has_three_spellings() {
        assert!(Unit::named("us").is("µs") && Unit::named("µs").is("μs") && !Unit::named("us").is("ms"));
    }
}
