//! Estimates how large a difference is, and how much differences scatter.

use super::{finite, signed_rank::distribution};
use bench_record::stats::median;
use statrs::distribution::{ContinuousCDF, Normal};

/// A difference with its 95 % confidence interval, on the scale of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The Hodges–Lehmann estimate: the median of the means of all pairs of differences.
    pub by: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
}

/// Up to this number of differences the count that bounds the interval is exact. Beyond it the normal approximation is used.
/// That count is lower by one or two, which widens the interval accordingly.
const EXACT_UP_TO: usize = 60;

/// The probability outside a 95 % interval, on each side.
const TAIL: f64 = 0.025;

/// The Hodges–Lehmann pseudo-median, and the confidence interval that belongs to the signed-rank test.
///
/// The interval covers at least 95 % for any symmetric distribution. `None` with fewer than six finite differences, for which
/// no such interval exists. Time and memory grow with n².
pub fn hodges_lehmann(differences: &[f64]) -> Option<Estimate> {
    let values = finite(differences);
    let left_out = left_out(values.len())?;
    // Walsh averages: the mean of each value with itself and with each later value.
    let mut means: Vec<f64> =
        values.iter().enumerate().flat_map(|(i, a)| values[i..].iter().map(|b| a.midpoint(*b))).collect();
    // Selecting four order statistics takes a fraction of the time of sorting.
    let last = means.len() - 1;
    let mut at = |index| *means.select_nth_unstable_by(index, f64::total_cmp).1;
    let by = at(last / 2).midpoint(at(last.div_ceil(2)));
    Some(Estimate { by, lo: at(left_out), hi: at(last - left_out) })
}

/// How many Walsh averages of `n` values lie outside the interval on each side.
fn left_out(n: usize) -> Option<usize> {
    let within = if n <= EXACT_UP_TO {
        let ranks: Vec<_> = (1..=n).collect();
        let mut below = 0.0;
        distribution(&ranks, n * (n + 1) / 4)
            .iter()
            .take_while(|chance| {
                below += **chance;
                below <= TAIL
            })
            .count()
    } else {
        let n = n as f64;
        let sigma = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        (n * (n + 1.0) / 4.0 + Normal::standard().inverse_cdf(TAIL) * sigma) as usize
    };
    within.checked_sub(1)
}

/// The spread of the differences around their median. This is the median absolute deviation, scaled to equal the standard
/// deviation of a normal distribution. 0 if more than half of the differences are equal. Ignores non-finite values.
pub fn spread(differences: &[f64]) -> f64 {
    let mut values = finite(differences);
    let Some(middle) = median(&mut values) else { return 0.0 };
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * median(&mut deviations).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of the tests of `signed_rank`.
    const TEN: [f64; 10] = [0.021, -0.013, 0.034, 0.008, -0.005, 0.047, 0.016, -0.027, 0.039, 0.011];

    /// Reference by scipy 1.17: the ninth Walsh average from either end, because P(W ≤ 8) = 0.0244 and P(W ≤ 9) = 0.0322.
    #[test]
    fn known_data() {
        let Estimate { by, lo, hi } = hodges_lehmann(&TEN).unwrap();
        assert!((by - 0.0135).abs() < 1e-12, "{by}");
        assert!((lo + 0.005).abs() < 1e-12, "{lo}");
        assert!((hi - 0.030).abs() < 1e-12, "{hi}");
    }

    #[test]
    fn six_differences_are_the_least() {
        assert_eq!(hodges_lehmann(&TEN[..5]), None);
        assert_eq!(hodges_lehmann(&[]), None);
        assert_eq!(hodges_lehmann(&[f64::NAN, 1.0, 2.0, 3.0, 4.0, 5.0]), None);
        let Estimate { lo, hi, .. } = hodges_lehmann(&TEN[..6]).unwrap();
        assert_eq!((lo, hi), (-0.013, 0.047), "of six the whole range");
        assert_eq!(hodges_lehmann(&[0.5; 7]), Some(Estimate { by: 0.5, lo: 0.5, hi: 0.5 }));
    }

    #[test]
    fn the_normal_count_continues_the_exact_one() {
        // Reference by scipy 1.17. For 60: P(W ≤ 648) = 0.02464 and P(W ≤ 649) = 0.02508. For 100: 1955 is the exact index.
        assert_eq!(left_out(60), Some(648));
        assert_eq!(left_out(100), Some(1953), "a little wide, never narrow");
    }

    /// The interval must contain the middle in 95 of 100 samples, even with heavy tails: 25 rounds, 2000 trials.
    #[test]
    fn interval_covers_the_truth() {
        let mut rng = fastrand::Rng::with_seed(3);
        let covered = (0..2000)
            .filter(|_| {
                // Cauchy noise, around 0.03.
                let values: Vec<f64> =
                    (0..25).map(|_| 0.03 + 0.01 * (std::f64::consts::PI * (rng.f64() - 0.5)).tan()).collect();
                let Estimate { lo, hi, .. } = hodges_lehmann(&values).unwrap();
                (lo..=hi).contains(&0.03)
            })
            .count();
        assert!((1880..=1925).contains(&covered), "covered {covered} of 2000");
    }

    #[test]
    fn spread_is_the_standard_deviation_of_the_core() {
        // Deviations from 3: 2, 1, 0, 1, 97.
        assert!((spread(&[1.0, 2.0, 3.0, 4.0, 100.0]) - 1.4826).abs() < 1e-12);
        assert_eq!(spread(&[]), 0.0);
        assert_eq!(spread(&[f64::INFINITY]), 0.0);
    }
}
