//! The statistics of the gate: pure functions of numbers, which know neither cells nor clocks.
//!
//! A *difference* is ln(head / base) of one round: 0 where nothing changed, about 0.05 where the head took 5 % longer. Noise on a
//! shared machine comes in tails and steps, so everything here rests on ranks: [`signed_rank`] tests, [`hodges_lehmann`]
//! estimates, [`benjamini_hochberg`] keeps the false findings of many tests few, [`power`] plans.

mod adjust;
mod estimate;
pub mod power;
mod signed_rank;

pub use adjust::benjamini_hochberg;
pub use estimate::{Estimate, hodges_lehmann, spread};
pub use power::{Test, detectable, rounds_for};
pub use signed_rank::signed_rank;
