//! Wilcoxon's signed-rank test, one-sided.
//!
//! Our own, because no kept crate has it (`statrs`, which has the normal distribution used here, stops at Mann–Whitney), and
//! because the gate decides at p far below 1e-3, where the usual normal approximation is too careful by a factor.

use statrs::distribution::{ContinuousCDF, Normal};

/// Up to here the distribution is enumerated; beyond, it is taken as normal. At 500 the normal tail is still twice as large as the
/// true one at p = 1e-7 (and never smaller), so a larger sample loses a little power there and gains no false finding.
pub(super) const EXACT_UP_TO: usize = 500;

/// The p-value of the differences lying above zero: how often signs drawn at random would put as much rank on the positive side.
///
/// Exact up to 500 differences, ties and zeros included, as the distribution is that of the ranks at hand; normal with the
/// corrections for ties and continuity beyond. Zeros are handled as Pratt (1959) does: ranked with the others, then left
/// out, so that a cell whose clock is coarse is not made to look surer than it is. What is not finite is left out.
/// Without any non-zero difference it is 1.
pub fn signed_rank(differences: &[f64]) -> f64 {
    let ranks = Ranks::of(differences);
    if ranks.doubled.is_empty() {
        return 1.0;
    }
    if ranks.doubled.len() <= EXACT_UP_TO { ranks.exact() } else { ranks.normal() }
}

/// The ranks of the absolute differences, twice each: tied ones share a mean rank, which may end in a half.
struct Ranks {
    /// Of the non-zero differences, ascending.
    doubled: Vec<usize>,
    /// The sum of those whose difference is above zero.
    positive: usize,
}

impl Ranks {
    fn of(differences: &[f64]) -> Self {
        let mut sorted: Vec<f64> = differences.iter().copied().filter(|difference| difference.is_finite()).collect();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let (mut doubled, mut positive, mut below) = (Vec::with_capacity(sorted.len()), 0, 0);
        for tied in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
            // Mean of the ranks below+1 ..= below+len, twice.
            let rank = 2 * below + tied.len() + 1;
            below += tied.len();
            if tied[0] != 0.0 {
                doubled.extend(std::iter::repeat_n(rank, tied.len()));
                positive += rank * tied.iter().filter(|difference| **difference > 0.0).count();
            }
        }
        Self { doubled, positive }
    }

    /// P(sum of positive ranks ≥ the one found), every sign being + or − with equal chance.
    fn exact(&self) -> f64 {
        // Without ties and zeros all doubled ranks are even: half the table does.
        let step = if self.doubled.iter().all(|rank| rank % 2 == 0) { 2 } else { 1 };
        let ranks: Vec<_> = self.doubled.iter().map(|rank| rank / step).collect();
        distribution(&ranks)[self.positive / step..].iter().sum::<f64>().min(1.0)
    }

    fn normal(&self) -> f64 {
        let sum: usize = self.doubled.iter().sum();
        let mean = sum as f64 / 2.0;
        let sigma = self.doubled.iter().map(|rank| (*rank as f64).powi(2)).sum::<f64>().sqrt() / 2.0;
        // Half a rank of continuity, in doubled ranks 1.
        Normal::standard().sf((self.positive as f64 - mean - 1.0) / sigma)
    }
}

/// Chances of every sum of a random subset of `ranks`, which ascend; index = sum.
pub(super) fn distribution(ranks: &[usize]) -> Vec<f64> {
    let mut chance = vec![0.0; ranks.iter().sum::<usize>() + 1];
    chance[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        // From the top, so that each rank counts once.
        for sum in (0..=reached).rev() {
            let half = chance[sum] / 2.0;
            chance[sum] = half;
            chance[sum + rank] += half;
        }
        reached += rank;
    }
    chance
}
