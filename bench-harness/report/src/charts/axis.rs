//! A logarithmic axis: positions and ticks.

/// Maps figures to pixels on a logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub struct LogAxis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl LogAxis {
    /// An axis that shows `low` at pixel `from` and `high` at pixel `to`. Figures must be positive; others are shown at
    /// the lower end.
    pub fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let low = if low > 0.0 { low } else { f64::MIN_POSITIVE };
        // An axis of a single figure has it in the middle.
        let (low, high) = if high > low { (low, high) } else { (low / 2.0, low * 2.0) };
        Self { low, high, from, to }
    }

    /// The pixel of `value`. It never lies outside the axis.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.from + share.min(1.0) * (self.to - self.from)
    }

    /// The pixel where the axis begins.
    pub fn start(&self) -> f64 {
        self.from
    }

    /// The ticks inside the axis: figure, and whether it gets a label. Powers of ten always get one. 2 and 5 times a
    /// power of ten get one if the axis has fewer than three powers.
    pub fn ticks(&self) -> Vec<(f64, bool)> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let inside = |value: f64| value >= self.low * (1.0 - 1e-9) && value <= self.high * (1.0 + 1e-9);
        let powers = (first..=last).filter(|e| inside(10f64.powi(*e))).count();
        let mut ticks = Vec::new();
        for exponent in first..=last {
            for digit in 1..=9 {
                let value = f64::from(digit) * 10f64.powi(exponent);
                let labelled = digit == 1 || (powers < 3 && (digit == 2 || digit == 5));
                if inside(value) && (labelled || digit == 2 || digit == 5) {
                    ticks.push((value, labelled));
                }
            }
        }
        ticks
    }
}

/// Widens `range` on both sides to the next 1, 2 or 5 times a power of ten. So an axis begins and ends at a tick.
/// The result spans a factor of five at least, so that small differences look small.
pub fn widened((low, high): (f64, f64)) -> (f64, f64) {
    let spare = (5.0 / (high / low)).sqrt().max(1.0);
    let (low, high) = (low / spare, high * spare);
    let steps = |value: f64| {
        let power = 10f64.powi(value.log10().floor() as i32);
        [1.0, 2.0, 5.0, 10.0].map(|step| step * power)
    };
    let below = steps(low).into_iter().filter(|step| *step <= low).fold(f64::NAN, f64::max);
    let above = steps(high).into_iter().filter(|step| *step >= high).fold(f64::NAN, f64::min);
    (below, above)
}

/// The least and the greatest of those `values` that a logarithmic axis can show. `None` if there are none.
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let shown = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
    shown.fold(None, |extent, value| {
        let (low, high) = extent.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_even_in_the_logarithm() {
        let axis = LogAxis::new((1.0, 100.0), (0.0, 200.0));
        assert_eq!([1.0, 10.0, 100.0, 0.0, 1e9].map(|v| axis.at(v).round()), [0.0, 100.0, 200.0, 0.0, 200.0]);
    }

    #[test]
    fn a_widened_axis_has_two_labels_or_more() {
        for range in [(1.0, 1000.0), (3.0, 4.9), (30.0, 60.0), (7.0, 7.0), (1.0, 1.0), (99.9, 100.1), (0.3, 1e9)] {
            let (low, high) = widened(range);
            assert!(low <= range.0 && high >= range.1, "{range:?}");
            let labelled = LogAxis::new((low, high), (0.0, 1.0)).ticks().iter().filter(|t| t.1).count();
            assert!((3..=11).contains(&labelled), "{range:?}: {labelled}");
        }
    }

    #[test]
    fn what_cannot_be_shown_has_no_extent() {
        assert_eq!(extent([0.0, f64::NAN, -1.0]), None);
        assert_eq!(extent([2.0, 0.0, 8.0]), Some((2.0, 8.0)));
    }
}
