//! From differences to verdicts: the gate's two stages, without a clock or a process.
//!
//! The screen looks at all cells for a short time and is easily alarmed; what it finds suspicious is measured again, and judged by
//! the fresh rounds *alone*. A screen that picks the worst of many cells has picked noise as well, and rounds that were
//! picked for being high must not testify that they are.

use super::{
    report::Change,
    stats::{Estimate, Test, benjamini_hochberg, detectable, hodges_lehmann, rounds_for, signed_rank, spread},
};

/// What a run of the gate goes by. [`Default`] is what was found to suffice with the noise of a shared two-core machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Rounds of each cell in the screen.
    pub screen_rounds: u32,
    /// Couples of one base and one head pair in a round, whose median is its difference.
    pub couples_per_round: u32,
    /// A cell becomes a candidate below this one-sided p of being slower at all.
    pub screen_p: f64,
    /// Fresh rounds of a candidate, at least.
    pub confirm_min: u32,
    /// And at most.
    pub confirm_max: u32,
    /// The change that the fresh rounds are planned to find …
    pub effect: f64,
    /// … this often.
    pub power: f64,
    /// The part of the confirmed cells that may be false.
    pub q: f64,
    /// The least relative change that counts.
    pub margin: f64,
    /// The margin is at least so many times the cell's spread over differently laid out builds of one source.
    pub layouts: f64,
    /// The least change in nanoseconds that counts.
    pub floor_ns: f64,
    /// A change of this size that cannot be excluded leaves a cell unresolved.
    pub resolved: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            screen_rounds: 30,
            couples_per_round: 1,
            screen_p: 0.15,
            confirm_min: 40,
            confirm_max: 240,
            effect: 0.05,
            power: 0.99,
            q: 0.01,
            margin: 0.02,
            layouts: 4.0,
            floor_ns: 3.0,
            resolved: 0.10,
        }
    }
}

/// The rounds of one cell: what a stage judges.
#[derive(Clone, Copy, Debug)]
pub struct Rounds<'a> {
    /// ln(head / base) of each round; above zero is slower, for a rate as well.
    pub differences: &'a [f64],
    /// The cell's margin, see [`Rules::margin`].
    pub margin: f64,
}

/// What the screen says of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Screened {
    /// One-sided p of its being slower at all.
    pub p: f64,
    /// Fresh rounds to take, where it is a candidate.
    pub candidate: Option<u32>,
    /// The change, with six rounds or more.
    pub change: Option<Change>,
    /// The least change that both stages together find 19 times in 20.
    pub detectable: Option<f64>,
}

/// What the fresh rounds say of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmed {
    /// Whether it is slower by more than its margin.
    pub regressed: bool,
    /// One-sided p of that.
    pub p: f64,
    /// The change, with six rounds or more.
    pub change: Option<Change>,
    /// The least change that both stages together find 19 times in 20.
    pub detectable: Option<f64>,
}

/// How often a change of the size called detectable is found, and how often each of two stages must then find it.
const DETECTED: f64 = 0.95;

impl Rules {
    /// The margin of a cell that takes `base_ns`, and whose builds of one source scatter by `layout_spread` (relative).
    pub fn margin(&self, base_ns: f64, layout_spread: f64) -> f64 {
        self.margin.max(self.layouts * layout_spread).max(self.floor_ns / base_ns)
    }

    /// Stage 1: which cells are suspicious, and how many fresh rounds each of them needs. All cells of the run at once, as
    /// the more candidates there are the surer each has to be.
    pub fn screen(&self, cells: &[Rounds]) -> Vec<Screened> {
        let tested: Vec<_> = cells.iter().map(|cell| signed_rank(cell.differences)).collect();
        let candidates = tested.iter().filter(|p| **p < self.screen_p).count();
        cells
            .iter()
            .zip(tested)
            .map(|(cell, p)| {
                let sigma = spread(cell.differences);
                let alone = Test { margin: cell.margin, alpha: self.q / candidates.max(1) as f64, power: self.power };
                let needed = || rounds_for(sigma, self.effect.max(2.5 * cell.margin), alone);
                let rounds = needed().clamp(self.confirm_min, self.confirm_max);
                Screened {
                    p,
                    candidate: (p < self.screen_p).then_some(rounds),
                    change: hodges_lehmann(cell.differences).map(relative),
                    detectable: self.detectable(cell, sigma, rounds, candidates),
                }
            })
            .collect()
    }

    /// Stage 2: which candidates are slower, from fresh rounds and no others. All candidates of the run at once.
    pub fn confirm(&self, candidates: &[Rounds]) -> Vec<Confirmed> {
        let tested: Vec<_> = candidates
            .iter()
            .map(|cell| {
                let within = cell.margin.ln_1p();
                signed_rank(&cell.differences.iter().map(|difference| difference - within).collect::<Vec<_>>())
            })
            .collect();
        let found = benjamini_hochberg(&tested, self.q);
        candidates
            .iter()
            .zip(tested.iter().zip(found))
            .map(|(cell, (p, regressed))| Confirmed {
                regressed,
                p: *p,
                change: hodges_lehmann(cell.differences).map(relative),
                detectable: self.detectable(
                    cell,
                    spread(cell.differences),
                    cell.differences.len() as u32,
                    candidates.len(),
                ),
            })
            .collect()
    }

    /// What both stages find: the larger of what each finds, each so often that both do as often as wanted.
    fn detectable(&self, cell: &Rounds, sigma: f64, fresh: u32, candidates: usize) -> Option<f64> {
        let power = DETECTED.sqrt();
        let screen = Test { margin: 0.0, alpha: self.screen_p, power };
        let confirm = Test { margin: cell.margin, alpha: self.q / candidates.max(1) as f64, power };
        Some(detectable(sigma, self.screen_rounds, screen)?.max(detectable(sigma, fresh, confirm)?))
    }
}

/// From logarithms to parts.
fn relative(estimate: Estimate) -> Change {
    Change { by: estimate.by.exp_m1(), lo: estimate.lo.exp_m1(), hi: estimate.hi.exp_m1() }
}
