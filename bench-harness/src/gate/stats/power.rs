//! How many rounds a change needs to be found, and which change a number of rounds finds.
//!
//! For the signed-rank test, by Noether's formula (1987): n rounds find with the wanted power what makes the mean of two rounds
//! fall above the margin with a chance of ½ + (z_α + z_power) / √(3n). That chance is taken from differences which are normal
//! with the spread given, where this comes to the t test's count over the asymptotic relative efficiency 3/π, with the limit that
//! ranks set to very few rounds. What the noise has in tails beyond that costs little, as ranks do not see how far out a value lies.

use statrs::distribution::{ContinuousCDF, Normal};

/// What a test shall do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The relative change up to which there is none: 0.02 is 2 %.
    pub margin: f64,
    /// The one-sided p below which it finds.
    pub alpha: f64,
    /// How often it shall find.
    pub power: f64,
}

impl Test {
    fn z(&self) -> f64 {
        let normal = Normal::standard();
        normal.inverse_cdf(1.0 - self.alpha) + normal.inverse_cdf(self.power)
    }
}

/// Rounds needed to find the relative change `effect`, where the differences scatter by `sigma`. `u32::MAX` where none suffice,
/// as an effect within the margin: the caller clamps.
pub fn rounds_for(sigma: f64, effect: f64, test: Test) -> u32 {
    let beyond = effect.ln_1p() - test.margin.ln_1p();
    if beyond <= 0.0 {
        return u32::MAX;
    }
    // A spread of zero makes it certain.
    let chance = Normal::standard().cdf(std::f64::consts::SQRT_2 * beyond / sigma.max(f64::MIN_POSITIVE));
    ((test.z() / (chance - 0.5)).powi(2) / 3.0).ceil() as u32
}

/// The least relative change that `rounds` find, where the differences scatter by `sigma`. `None` where so few rounds find
/// nothing that often, however large.
pub fn detectable(sigma: f64, rounds: u32, test: Test) -> Option<f64> {
    let chance = 0.5 + test.z() / (3.0 * f64::from(rounds)).sqrt();
    (chance < 1.0).then(|| {
        let beyond = sigma * Normal::standard().inverse_cdf(chance) / std::f64::consts::SQRT_2;
        (test.margin.ln_1p() + beyond).exp_m1()
    })
}
