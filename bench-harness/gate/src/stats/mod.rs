//! The statistics of the gate: pure functions of numbers, without cells or clocks.
//!
//! A *difference* is ln(head / base) of one round. It is 0 if nothing changed, and about 0.05 if the head took 5 % longer.
//! Noise on a shared machine has heavy tails and steps, so all functions here use ranks:
//! - [`signed_rank`] tests.
//! - [`hodges_lehmann`] estimates.
//! - [`benjamini_hochberg`] limits the false findings among many tests.
//! - [`Noise`] plans.

mod adjust;
mod estimate;
mod power;
mod signed_rank;

pub use adjust::benjamini_hochberg;
pub use estimate::{Estimate, hodges_lehmann, spread};
pub use power::{Noise, Test};
pub use signed_rank::signed_rank;

/// The values that can be ranked. A round that went wrong must not count.
fn finite(differences: &[f64]) -> Vec<f64> {
    differences.iter().copied().filter(|difference| difference.is_finite()).collect()
}
