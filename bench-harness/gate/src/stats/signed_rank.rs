//! Wilcoxon's signed-rank test, one-sided.
//!
//! It is implemented here because no maintained crate has it. `statrs`, whose normal distribution is used here, stops at
//! Mann–Whitney. The gate also decides at p far below 1e-3, where the usual normal approximation is too conservative by a
//! factor.

use super::finite;
use statrs::distribution::{ContinuousCDF, Normal};

/// Up to this number of differences the distribution is enumerated. Beyond it the normal approximation is used. Its tail is too
/// large, by half at p = 1e-7 and less above. So a larger sample loses a little power and gains no false findings.
const EXACT_UP_TO: usize = 250;

/// The p-value of the differences lying above zero: the chance that random signs put at least as much rank on the positive
/// side.
///
/// - Up to 250 differences it is exact, ties and zeros included, because the distribution is that of the given ranks.
/// - Beyond 250 it is a normal approximation, corrected for ties and continuity.
/// - Zeros are handled as Pratt (1959) does: ranked with the others, then left out. So a cell with a coarse clock does not look
///   surer than it is.
/// - Non-finite values are left out.
/// - Without any non-zero difference it is 1.
pub fn signed_rank(differences: &[f64]) -> f64 {
    let ranks = Ranks::of(differences);
    if ranks.doubled.is_empty() {
        return 1.0;
    }
    if ranks.doubled.len() <= EXACT_UP_TO { ranks.exact() } else { ranks.normal() }
}

/// The doubled ranks of the absolute differences. Ties share a mean rank, which may end in a half, so ranks are doubled.
struct Ranks {
    /// The doubled ranks of the non-zero differences, ascending.
    doubled: Vec<usize>,
    /// The sum of the doubled ranks of the differences above zero.
    positive: usize,
}

impl Ranks {
    fn of(differences: &[f64]) -> Self {
        let mut sorted = finite(differences);
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let (mut doubled, mut positive, mut below) = (Vec::with_capacity(sorted.len()), 0, 0);
        for tied in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
            // Twice the mean of the ranks below+1 ..= below+len.
            let rank = 2 * below + tied.len() + 1;
            below += tied.len();
            if tied[0] != 0.0 {
                doubled.extend(std::iter::repeat_n(rank, tied.len()));
                positive += rank * tied.iter().filter(|difference| **difference > 0.0).count();
            }
        }
        Self { doubled, positive }
    }

    /// P(sum of positive ranks ≥ the observed one), if every sign is + or − with equal chance.
    fn exact(&self) -> f64 {
        // Without ties and zeros all doubled ranks are even, and half the table suffices.
        let step = if self.doubled.iter().all(|rank| rank % 2 == 0) { 2 } else { 1 };
        let ranks: Vec<_> = self.doubled.iter().map(|rank| rank / step).collect();
        let (total, positive) = (ranks.iter().sum::<usize>(), self.positive / step);
        // The distribution is symmetric. The smaller tail is summed, so that a small p is not computed as a rest of 1.
        let tail = |most| distribution(&ranks, most).iter().sum::<f64>();
        if 2 * positive > total {
            tail(total - positive)
        } else {
            positive.checked_sub(1).map_or(1.0, |most| 1.0 - tail(most))
        }
    }

    fn normal(&self) -> f64 {
        let sum: usize = self.doubled.iter().sum();
        let mean = sum as f64 / 2.0;
        let sigma = self.doubled.iter().map(|rank| (*rank as f64).powi(2)).sum::<f64>().sqrt() / 2.0;
        // The continuity correction is half a rank, which is 1 in doubled ranks.
        Normal::standard().sf((self.positive as f64 - mean - 1.0) / sigma)
    }
}

/// The probabilities of the sums 0 to `most` of a random subset of `ranks`.
pub(super) fn distribution(ranks: &[usize], most: usize) -> Vec<f64> {
    let mut chance = vec![0.0; most + 1];
    chance[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        reached = most.min(reached + rank);
        // Go down from the top, so that each rank counts once.
        let mut sum = reached + 1;
        while sum > 0 {
            sum -= 1;
            let without = if sum >= *rank { chance[sum - rank] } else { 0.0 };
            chance[sum] = (chance[sum] + without) / 2.0;
        }
    }
    chance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, reference: f64) {
        assert!((found / reference - 1.0).abs() < 1e-9, "{found:e} instead of {reference:e}");
    }

    /// References by scipy 1.17, `wilcoxon(…, alternative="greater", method="exact")`.
    #[test]
    fn exact_p_values() {
        close(signed_rank(&[0.021, -0.013, 0.034, 0.008, -0.005, 0.047, 0.016, -0.027, 0.039, 0.011]), 0.0654296875);
        let hundred: Vec<f64> =
            (1..=100).map(|i| f64::from(i).powf(1.3) * if i % 5 == 0 { -1.0 } else { 1.0 }).collect();
        close(signed_rank(&hundred), 6.734093549454201e-8);
        close(signed_rank(&ramp(240, 34)), 5.36362572622906e-6);
        // All signs are above zero: one way in 2^30.
        close(signed_rank(&ramp(30, 0)), 9.313225746154785e-10);
    }

    /// The numbers 1 to n, of which `negative` percent have a minus.
    fn ramp(n: i32, negative: i32) -> Vec<f64> {
        (1..=n).map(|i| f64::from(i) * if (i * 37) % 100 < negative { -1.0 } else { 1.0 }).collect()
    }

    /// References by scipy 1.17, `method="approx", zero_method="pratt", correction=True`.
    #[test]
    fn normal_p_values() {
        close(signed_rank(&ramp(500, 38)), 1.6617185865889356e-6);
        // 600 values with ties and 20 zeros.
        let tied: Vec<f64> = (0..600).map(|i| f64::from(((i * 7919) % 601 - 260i32).div_euclid(20))).collect();
        assert_eq!(tied.iter().filter(|value| **value == 0.0).count(), 20);
        close(signed_rank(&tied), 2.641653310914994e-5);
    }

    /// At the switch to the normal approximation its tail is larger, by at most two thirds. It is smaller only for a large p,
    /// which decides nothing.
    #[test]
    fn the_normal_tail_is_careful() {
        for negative in [46, 38, 34, 32, 30] {
            let ranks = Ranks::of(&ramp(EXACT_UP_TO as i32, negative));
            let (exact, normal) = (ranks.exact(), ranks.normal());
            assert!((0.99..1.7).contains(&(normal / exact)), "{exact:e}, {normal:e}");
        }
        let ranks = Ranks::of(&ramp(EXACT_UP_TO as i32, 30));
        assert!(ranks.exact() < 1e-7, "the far tail was looked at: {:e}", ranks.exact());
    }

    /// Ties and zeros: all 1024 ways to set ten signs, enumerated one by one.
    #[test]
    fn ties_and_zeros_are_exact() {
        let tied = [0.0, 0.01, 0.01, -0.01, 0.02, 0.02, 0.03, -0.02, 0.03, 0.0, 0.04, 0.01];
        close(signed_rank(&tied), 0.0283203125);
    }

    #[test]
    fn is_a_number_always() {
        assert_eq!(signed_rank(&[]), 1.0);
        assert_eq!(signed_rank(&[0.0; 50]), 1.0);
        assert_eq!(signed_rank(&[0.0; 700]), 1.0);
        assert_eq!(signed_rank(&[f64::NAN, f64::INFINITY]), 1.0);
        close(signed_rank(&[0.02; 40]), 0.5f64.powi(40));
        assert_eq!(signed_rank(&[-0.02; 40]), 1.0);
        assert!(signed_rank(&[0.02; 2000]) < 1e-200);
        assert_eq!(signed_rank(&[-0.0, 1.0]), signed_rank(&[0.0, 1.0]), "a negative zero is a zero");
    }
}
