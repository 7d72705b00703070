//! Statistics over the pairs of a cell: median, confidence interval, and whether the pairs agree.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A figure over several pairs, with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The median over the pairs.
    pub value: f64,
    /// Lower end of the 95 % confidence interval. `None` with fewer than two pairs.
    pub lo: Option<f64>,
    /// Upper end of the 95 % confidence interval. `None` with fewer than two pairs.
    pub hi: Option<f64>,
}

impl Figure {
    /// The figure of `values`, one per pair, all above zero. `None` if there are no values.
    ///
    /// The interval is Student's t over the logarithms, so it is an interval of the geometric mean. Noise on a shared
    /// machine multiplies rather than adds, and the interval of a positive quantity stays positive. If the pairs are so
    /// skewed that the median lies outside the interval, the interval is widened to contain it.
    pub fn of(values: &[f64]) -> Option<Self> {
        let value = median(&mut values.to_vec())?;
        let n = values.len();
        if n < 2 {
            return Some(Self { value, lo: None, hi: None });
        }
        let logs = || values.iter().map(|value| value.max(f64::MIN_POSITIVE).ln());
        let mean = logs().sum::<f64>() / n as f64;
        let variance = logs().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let half = student_t_975(n - 1) * (variance / n as f64).sqrt();
        let (lo, hi) = ((mean - half).exp().min(value), (mean + half).exp().max(value));
        Some(Self { value, lo: Some(lo), hi: Some(hi) })
    }

    /// Whether the interval is too wide for ranking: its upper end is more than 1.25 times its lower end.
    pub fn is_unsteady(&self) -> bool {
        self.lo.zip(self.hi).is_some_and(|(lo, hi)| hi > 1.25 * lo)
    }
}

/// The median. For an even count it is the mean of the middle two. `None` if there are no values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

/// Whether the values fall into two groups of at least two each. The gap between the groups must be a factor above 1.5.
pub fn is_bimodal(values: &[f64]) -> bool {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    (2..values.len().saturating_sub(1)).any(|i| values[i] > 1.5 * values[i - 1])
}

/// The 97.5 % quantile of Student's t distribution with `degrees` degrees of freedom, at least one.
fn student_t_975(degrees: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees as f64).expect("there is a degree of freedom").inverse_cdf(0.975)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn interval_of_known_data() {
        // Logarithms 0, 1, 2: mean 1, standard error 1/sqrt(3), t(2) = 4.3027.
        let e = std::f64::consts::E;
        let figure = Figure::of(&[1.0, e, e * e]).unwrap();
        let half = 4.302_652_73 / 3f64.sqrt();
        assert!((figure.value - e).abs() < 1e-12);
        assert!((figure.lo.unwrap() - (1.0 - half).exp()).abs() < 1e-6);
        assert!((figure.hi.unwrap() - (1.0 + half).exp()).abs() < 1e-6);
        assert!(figure.is_unsteady());
    }

    #[test]
    fn one_pair_has_no_interval_and_none_no_figure() {
        assert_eq!(Figure::of(&[]), None);
        assert_eq!(Figure::of(&[7.0]), Some(Figure { value: 7.0, lo: None, hi: None }));
    }

    /// The interval must contain the true median about 95 times in 100. The noise is multiplicative; 5 pairs, 4000
    /// trials.
    #[test]
    fn interval_covers_the_truth() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let covered = (0..4000)
            .filter(|_| {
                let values: Vec<f64> = (0..5).map(|_| 5000.0 * (0.1 * normal()).exp()).collect();
                let figure = Figure::of(&values).unwrap();
                (figure.lo.unwrap()..=figure.hi.unwrap()).contains(&5000.0)
            })
            .count();
        assert!((3720..=3880).contains(&covered), "covered {covered} of 4000");
    }

    #[test]
    fn two_groups_are_bimodal_and_one_outlier_is_not() {
        assert!(is_bimodal(&[100.0, 101.0, 470.0, 480.0, 99.0]));
        assert!(!is_bimodal(&[100.0, 101.0, 102.0, 470.0]));
        assert!(!is_bimodal(&[100.0, 110.0, 120.0, 130.0]));
        assert!(!is_bimodal(&[1.0]));
    }

    /// Source: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, and the normal distribution beyond it.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, quantile) in [(1, 12.706), (2, 4.303), (4, 2.776), (14, 2.145), (30, 2.042), (1_000_000, 1.960)] {
            assert!((student_t_975(degrees) - quantile).abs() < 0.0006, "{degrees}: {}", student_t_975(degrees));
        }
    }
}
