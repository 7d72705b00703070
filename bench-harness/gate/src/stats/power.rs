//! Plans how many rounds find a change, and which change a number of rounds finds.
//!
//! The test is the signed-rank test, planned by Noether's formula (1987). It uses the chance that the mean of two rounds falls
//! above the margin. n rounds find a change with the wanted power if that chance is ½ + (z_α + z_power) / √(3n).
//!
//! Noise on a shared machine is a narrow core between steps of ±15 % and more, which no single spread describes. A plan from
//! the median absolute deviation needed up to twice the rounds for the recorded noise. So the chance is read from the
//! differences themselves. They are assumed to be independent, and their distribution to shift without a change of shape.

use super::finite;
use statrs::distribution::{ContinuousCDF, Normal};

/// The requirements of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The largest relative change that does not count: 0.02 is 2 %.
    pub margin: f64,
    /// The one-sided p below which the test finds a change.
    pub alpha: f64,
    /// The probability of finding a change.
    pub power: f64,
}

impl Test {
    /// The share of all pairs of rounds that a change has to exceed, times √rounds.
    fn share_per_root(&self) -> f64 {
        let normal = Normal::standard();
        2.0 * (normal.inverse_cdf(1.0 - self.alpha) + normal.inverse_cdf(self.power)) / 3f64.sqrt()
    }
}

/// The scatter of differences, whatever their middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// The distance between every two differences. The mean of two noisy rounds is distributed as half of it, in either
    /// direction.
    gaps: Vec<f64>,
}

impl Noise {
    /// The noise of the finite differences. `None` with fewer than two. Time and memory grow with n².
    pub fn of(differences: &[f64]) -> Option<Self> {
        let values = finite(differences);
        let gaps: Vec<f64> =
            values.iter().enumerate().flat_map(|(i, a)| values[i + 1..].iter().map(move |b| (a - b).abs())).collect();
        (!gaps.is_empty()).then_some(Self { gaps })
    }

    /// Rounds needed to find the relative change `effect`. `u32::MAX` if no number suffices, as for a change within the margin.
    /// The caller clamps.
    pub fn rounds_for(&self, effect: f64, test: Test) -> u32 {
        let beyond = effect.ln_1p() - test.margin.ln_1p();
        let exceeded = self.gaps.iter().filter(|gap| **gap < 2.0 * beyond).count();
        let share = exceeded as f64 / self.gaps.len() as f64;
        // Casting saturates: a share of zero needs infinitely many rounds.
        (test.share_per_root() / share).powi(2).ceil() as u32
    }

    /// The smallest relative change that `rounds` rounds find. `None` if so few rounds find no change with the wanted power,
    /// however large it is.
    pub fn detectable(&self, rounds: u32, test: Test) -> Option<f64> {
        let share = test.share_per_root() / f64::from(rounds).sqrt();
        let exceeded = (share.max(0.0) * self.gaps.len() as f64).ceil() as usize;
        (share < 1.0).then(|| {
            let mut gaps = self.gaps.clone();
            let (_, gap, _) = gaps.select_nth_unstable_by(exceeded.saturating_sub(1), f64::total_cmp);
            (test.margin.ln_1p() + *gap / 2.0).exp_m1()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::signed_rank;

    const TEST: Test = Test { margin: 0.02, alpha: 0.0033, power: 0.99 };

    /// The most even normal sample: its quantiles.
    fn normal(sigma: f64) -> Vec<f64> {
        let normal = Normal::new(0.0, sigma).unwrap();
        (0..1000).map(|i| normal.inverse_cdf((f64::from(i) + 0.5) / 1000.0)).collect()
    }

    /// If the noise is normal and the effect small, the number of rounds is that of the t test divided by the relative
    /// efficiency 3/π.
    #[test]
    fn normal_noise_needs_what_the_textbook_says() {
        let (sigma, effect) = (0.05, 0.025);
        let rounds = Noise::of(&normal(sigma)).unwrap().rounds_for(effect, TEST);
        let z = 2.7164 + 2.3263; // 1 − 0.0033 and 0.99
        let beyond = (1.025f64 / 1.02).ln();
        let textbook = (z * sigma / beyond).powi(2) * std::f64::consts::PI / 3.0;
        assert!((f64::from(rounds) / textbook - 1.0).abs() < 0.05, "{rounds}, textbook {textbook}");
    }

    #[test]
    fn the_detectable_change_is_the_inverse() {
        let noise = Noise::of(&normal(0.04)).unwrap();
        for rounds in [60, 100, 240, 600] {
            let change = noise.detectable(rounds, TEST).unwrap();
            let back = noise.rounds_for(change + 1e-9, TEST);
            assert!(f64::from(back.abs_diff(rounds)) <= 0.02 * f64::from(rounds), "{rounds} → {change} → {back}");
        }
        assert!(noise.detectable(600, TEST) < noise.detectable(100, TEST));
    }

    /// Steps of ±15 % in every fourth round do not change the median absolute deviation, but they change the test.
    #[test]
    fn steps_take_more_rounds() {
        let quiet = normal(0.02);
        let stepping: Vec<_> =
            quiet.iter().enumerate().map(|(i, d)| d + [0.0, 0.15, 0.0, 0.0, 0.0, -0.15, 0.0, 0.0][i % 8]).collect();
        let rounds = |differences: &[f64]| Noise::of(differences).unwrap().rounds_for(0.05, TEST);
        assert!(rounds(&stepping) > 3 * rounds(&quiet) / 2, "{} {}", rounds(&stepping), rounds(&quiet));
    }

    /// The planned number of rounds finds the change as often as planned, even if the noise has steps.
    #[test]
    fn the_plan_holds() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut noise = |shift: f64| {
            let core = 0.02 * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0);
            let step = if rng.f64() < 0.2 { if rng.bool() { 0.15 } else { -0.15 } } else { 0.0 };
            core + step + shift
        };
        let known: Vec<f64> = (0..400).map(|_| noise(0.0)).collect();
        let test = Test { power: 0.9, ..TEST };
        let rounds = Noise::of(&known).unwrap().rounds_for(0.05, test);
        let beyond = (1.05f64 / 1.02).ln();
        let found = (0..400)
            .filter(|_| signed_rank(&(0..rounds).map(|_| noise(beyond)).collect::<Vec<_>>()) <= TEST.alpha)
            .count();
        assert!((336..=384).contains(&found), "{found} of 400 with {rounds} rounds");
    }

    #[test]
    fn the_impossible_is_said() {
        let noise = Noise::of(&normal(0.04)).unwrap();
        assert_eq!(noise.rounds_for(0.02, TEST), u32::MAX, "within the margin");
        assert_eq!(noise.rounds_for(0.01, TEST), u32::MAX);
        assert_eq!(noise.detectable(0, TEST), None);
        assert_eq!(noise.detectable(20, TEST), None, "20 rounds do not reach p = 0.0033 in 99 of 100 cases");
        assert_eq!(Noise::of(&[0.1]), None);
        assert_eq!(Noise::of(&[0.1, f64::NAN]), None);
    }

    #[test]
    fn no_noise_at_all_needs_few_rounds() {
        let noise = Noise::of(&[0.01; 30]).unwrap();
        assert!((20..50).contains(&noise.rounds_for(0.05, TEST)));
        assert!((noise.detectable(100, TEST).unwrap() - 0.02).abs() < 1e-12);
    }
}
