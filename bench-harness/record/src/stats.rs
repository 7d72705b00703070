//! From the pairs of a cell to its figure: median, interval, and whether the pairs agree.

/// A figure over several pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The median over pairs.
    pub value: f64,
    /// Lower end of the 95 % interval; absent with fewer than two pairs.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
}

impl Figure {
    /// Of one value per pair, all above zero; `None` where there is none.
    ///
    /// The interval is Student's t over the logarithms, that is of the geometric mean: noise on a shared machine multiplies
    /// rather than adds, and the interval of a positive quantity stays positive. Where the pairs are so skewed that the
    /// median lies outside, it is widened to contain it.
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

    /// Whether the interval is so wide that the figure hardly ranks: more than a quarter from end to end.
    pub fn is_unsteady(&self) -> bool {
        self.lo.zip(self.hi).is_some_and(|(lo, hi)| hi > 1.25 * lo)
    }
}

/// The median; the mean of the middle two where the count is even.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

/// Whether the values fall into two groups, each of two or more, that lie further apart than half again.
pub fn is_bimodal(values: &[f64]) -> bool {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    (2..values.len().saturating_sub(1)).any(|i| values[i] > 1.5 * values[i - 1])
}

/// The 97.5 % quantile of Student's t distribution with `degrees` degrees of freedom.
fn student_t_975(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    // Beyond the table: the first two terms of the Cornish-Fisher expansion, within 0.002.
    let d = degrees as f64;
    TABLE.get(degrees.wrapping_sub(1)).copied().unwrap_or(1.96 + 2.4 / d)
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
        // Logarithms 0, 1, 2: mean 1, standard error 1/sqrt(3), t(2) = 4.303.
        let e = std::f64::consts::E;
        let figure = Figure::of(&[1.0, e, e * e]).unwrap();
        let half = 4.303 / 3f64.sqrt();
        assert!((figure.value - e).abs() < 1e-12);
        assert!((figure.lo.unwrap() - (1.0 - half).exp()).abs() < 1e-9);
        assert!((figure.hi.unwrap() - (1.0 + half).exp()).abs() < 1e-9);
        assert!(figure.is_unsteady());
    }

    #[test]
    fn one_pair_has_no_interval_and_none_no_figure() {
        assert_eq!(Figure::of(&[]), None);
        assert_eq!(Figure::of(&[7.0]), Some(Figure { value: 7.0, lo: None, hi: None }));
    }

    /// The interval must contain the true median about 95 times in 100: multiplicative noise, 5 pairs, 4000 trials.
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

    #[test]
    fn quantiles_fall_to_the_normal_one() {
        assert_eq!(student_t_975(4), 2.776);
        assert!((student_t_975(31) - 2.040).abs() < 0.003);
        assert!((student_t_975(10_000) - 1.96).abs() < 0.001);
    }
}
