//! How large a difference is, and how far differences scatter.

use super::signed_rank::{EXACT_UP_TO, distribution};
use crate::stats::median;
use statrs::distribution::{ContinuousCDF, Normal};

/// A difference with its 95 % interval, on the scale of the differences that it was made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The Hodges–Lehmann estimate: the median of the means of all couples of differences.
    pub by: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// The share left out on each side of a 95 % interval.
const TAIL: f64 = 0.025;

/// The Hodges–Lehmann pseudo-median and the interval that belongs to the signed-rank test.
///
/// The interval covers at least 95 % whatever the distribution, so long as it is symmetric. `None` with fewer than six finite
/// differences, for which no such interval exists. Time and memory grow with n².
pub fn hodges_lehmann(differences: &[f64]) -> Option<Estimate> {
    let values = finite(differences);
    let left_out = left_out(values.len())?;
    // Walsh averages: of each with itself and each later one.
    let mut means: Vec<f64> =
        values.iter().enumerate().flat_map(|(i, a)| values[i..].iter().map(|b| a.midpoint(*b))).collect();
    let by = median(&mut means)?;
    Some(Estimate { by, lo: means[left_out], hi: means[means.len() - 1 - left_out] })
}

/// How many Walsh averages of `n` values lie outside the interval on each side.
fn left_out(n: usize) -> Option<usize> {
    let within = if n <= EXACT_UP_TO {
        let ranks: Vec<_> = (1..=n).collect();
        let mut below = 0.0;
        distribution(&ranks)
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

/// The spread of the differences around their median: the median absolute deviation, scaled to be the standard deviation where
/// they are normal. 0 where more than half of them are equal; of what is finite only.
pub fn spread(differences: &[f64]) -> f64 {
    let mut values = finite(differences);
    let Some(middle) = median(&mut values) else { return 0.0 };
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * median(&mut deviations).unwrap_or(0.0)
}

fn finite(differences: &[f64]) -> Vec<f64> {
    differences.iter().copied().filter(|difference| difference.is_finite()).collect()
}
