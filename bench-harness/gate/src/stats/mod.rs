//! The statistics of the gate: pure functions of numbers, which know neither cells nor clocks.
//!
//! A *difference* is ln(head / base) of one round: 0 where nothing changed, about 0.05 where the head took 5 % longer. Noise on a
//! shared machine comes in tails and steps, so everything here rests on ranks: [`signed_rank`] tests, [`hodges_lehmann`]
//! estimates, [`benjamini_hochberg`] keeps the false findings of many tests few, [`Noise`] plans.

mod adjust;
mod estimate;
mod power;
mod signed_rank;

pub use adjust::benjamini_hochberg;
pub use estimate::{Estimate, hodges_lehmann, spread};
pub use power::{Noise, Test};
pub use signed_rank::signed_rank;

/// What can be ranked. A round that went wrong must not decide by what it compares to.
fn finite(differences: &[f64]) -> Vec<f64> {
    differences.iter().copied().filter(|difference| difference.is_finite()).collect()
}
