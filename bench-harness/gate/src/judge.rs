//! Derives verdicts from differences, in the gate's two stages. Uses neither a clock nor a process.
//!
//! The screen measures all cells for a short time and raises alarms easily. Suspicious cells are measured again and judged by
//! the fresh rounds *alone*, to avoid selection bias: the worst of many screened cells are partly picked by noise.

use super::{
    report::Change,
    stats::{Estimate, Noise, Test, benjamini_hochberg, hodges_lehmann, signed_rank},
};

/// The rules of a gate run.
///
/// The [`Default`] was fitted to pairs of two identical programs on a shared virtual machine of two cores, resampled in blocks.
/// A round is one paired sample of short pairs. In the same time, several short rounds tell more than one long round or the
/// median of a few. Simulation does not show how often the gate is right: `docs/gate.md` has the runs of
/// `scripts/gate-trials.sh`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Rounds of each cell in the screen.
    pub screen_rounds: u32,
    /// A cell becomes a candidate if its one-sided p of being slower at all is below this.
    pub screen_p: f64,
    /// Minimum number of fresh rounds of a candidate.
    pub confirm_min: u32,
    /// Maximum number of fresh rounds of a candidate.
    pub confirm_max: u32,
    /// The relative change that the fresh rounds are planned to find.
    pub effect: f64,
    /// The probability with which the fresh rounds must find `effect`.
    pub power: f64,
    /// Factor on the planned rounds, because the screen has seen little of the noise.
    pub reserve: f64,
    /// The allowed share of false findings among the confirmed cells (false discovery rate).
    pub q: f64,
    /// The smallest relative change that counts.
    pub margin: f64,
    /// The margin is at least this multiple of the cell's spread over builds of one source with different layouts.
    pub layouts: f64,
    /// The smallest change in nanoseconds that counts.
    pub floor_ns: f64,
    /// If a change of this size cannot be excluded, the cell is unresolved.
    pub resolved: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            screen_rounds: 80,
            screen_p: 0.20,
            confirm_min: 100,
            confirm_max: 600,
            effect: 0.05,
            power: 0.99,
            reserve: 1.5,
            q: 0.01,
            margin: 0.02,
            layouts: 4.0,
            floor_ns: 3.0,
            resolved: 0.10,
        }
    }
}

/// The rounds of one cell, as a stage judges them.
#[derive(Clone, Copy, Debug)]
pub struct Rounds<'a> {
    /// ln(head / base) of each round. Above zero is slower, for a rate as well.
    pub differences: &'a [f64],
    /// The cell's margin. See [`Rules::margin`].
    pub margin: f64,
}

/// The screen's result for a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Screened {
    /// One-sided p of the cell being slower at all.
    pub p: f64,
    /// Number of fresh rounds to take. `None` if the cell is no candidate.
    pub candidate: Option<u32>,
    /// The change. `None` with fewer than six rounds.
    pub change: Option<Change>,
    /// The smallest change that both stages together find 19 times in 20.
    pub detectable: Option<f64>,
}

/// The result of the fresh rounds for a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmed {
    /// Whether the cell is slower by more than its margin.
    pub regressed: bool,
    /// One-sided p of the cell being slower by more than its margin.
    pub p: f64,
    /// The change. `None` with fewer than six rounds.
    pub change: Option<Change>,
}

/// The probability of finding a change of the detectable size. Each of two stages needs the square root of it.
const DETECTED: f64 = 0.95;

impl Rules {
    /// The margin of a cell that takes `base_ns` nanoseconds, and whose builds of one source scatter by `layout_spread`
    /// (relative).
    pub fn margin(&self, base_ns: f64, layout_spread: f64) -> f64 {
        self.margin.max(self.layouts * layout_spread).max(self.floor_ns / base_ns)
    }

    /// Stage 1: finds suspicious cells and the number of fresh rounds that each needs. Takes all cells of the run at once,
    /// because more candidates require more certainty for each.
    pub fn screen(&self, cells: &[Rounds]) -> Vec<Screened> {
        let tested: Vec<_> = cells.iter().map(|cell| signed_rank(cell.differences)).collect();
        let candidates = tested.iter().filter(|p| **p < self.screen_p).count();
        cells
            .iter()
            .zip(tested)
            .map(|(cell, p)| {
                let noise = Noise::of(cell.differences);
                let confirm = self.confirmation(cell.margin, candidates, self.power);
                let planned = noise.as_ref().map(|noise| noise.rounds_for(self.sought(cell.margin), confirm));
                let reserved = planned.map_or(self.confirm_max, |planned| (f64::from(planned) * self.reserve) as u32);
                let rounds = reserved.clamp(self.confirm_min, self.confirm_max);
                Screened {
                    p,
                    candidate: (p < self.screen_p).then_some(rounds),
                    change: hodges_lehmann(cell.differences).map(relative),
                    detectable: noise.and_then(|noise| {
                        let taken = [cell.differences.len() as u32, rounds];
                        self.detectable(&noise, cell.margin, taken, candidates)
                    }),
                }
            })
            .collect()
    }

    /// Stage 2: decides which candidates are slower, from fresh rounds only. Takes all candidates of the run at once.
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
            })
            .collect()
    }

    /// The smallest change that both stages together find 19 times in 20, in one of `candidates` candidates. The screen took
    /// `screened` rounds, and `fresh` holds all rounds of the second stage.
    pub fn detectable_by(&self, screened: usize, fresh: &Rounds, candidates: usize) -> Option<f64> {
        let taken = [screened as u32, fresh.differences.len() as u32];
        self.detectable(&Noise::of(fresh.differences)?, fresh.margin, taken, candidates)
    }

    /// The change that fresh rounds are planned to find in a cell. A wider margin raises it in proportion.
    fn sought(&self, margin: f64) -> f64 {
        self.effect.max(margin * self.effect / self.margin.max(f64::MIN_POSITIVE))
    }

    /// The test of one candidate's fresh rounds. Its alpha is Benjamini and Hochberg's limit for a single rejection among
    /// `candidates`.
    fn confirmation(&self, margin: f64, candidates: usize, power: f64) -> Test {
        Test { margin, alpha: self.q / candidates.max(1) as f64, power }
    }

    /// The smallest change that both stages find with `rounds` rounds each: the larger of the two stages' changes. Each stage
    /// must find it so often that both together reach [`DETECTED`].
    fn detectable(&self, noise: &Noise, margin: f64, rounds: [u32; 2], candidates: usize) -> Option<f64> {
        let power = DETECTED.sqrt();
        let screen = Test { margin: 0.0, alpha: self.screen_p, power };
        let confirm = self.confirmation(margin, candidates, power);
        Some(noise.detectable(rounds[0], screen)?.max(noise.detectable(rounds[1], confirm)?))
    }
}

/// Converts logarithms to relative changes.
fn relative(estimate: Estimate) -> Change {
    Change { by: estimate.by.exp_m1(), lo: estimate.lo.exp_m1(), hi: estimate.hi.exp_m1() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` differences around `shift`, symmetric and without ties.
    fn around(shift: f64, width: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| shift + width * (2.0 * (i as f64 + 0.5) / n as f64 - 1.0)).collect()
    }

    fn screen(differences: &[f64]) -> Screened {
        Rules::default().screen(&[Rounds { differences, margin: 0.02 }])[0]
    }

    fn confirm(differences: &[f64], margin: f64) -> Confirmed {
        Rules::default().confirm(&[Rounds { differences, margin }])[0]
    }

    #[test]
    fn slower_is_above_zero() {
        assert!(screen(&around(0.05, 0.04, 80)).candidate.is_some());
        assert_eq!(screen(&around(-0.05, 0.04, 80)).candidate, None, "faster is no candidate");
        assert_eq!(screen(&around(0.0, 0.04, 80)).candidate, None);
        assert!(confirm(&around(0.05, 0.04, 100), 0.02).regressed);
        assert!(!confirm(&around(-0.05, 0.04, 100), 0.02).regressed);
    }

    /// A cell that is surely slower by 1.5 % is within its margin. Its interval shows that.
    #[test]
    fn within_the_margin_is_none() {
        let slight = confirm(&around(0.015, 0.004, 600), 0.02);
        assert!(!slight.regressed && slight.p > 0.99, "{slight:?}");
        assert!(slight.change.unwrap().lo > 0.01);
        assert!(confirm(&around(0.015, 0.004, 600), 0.01).regressed);
    }

    #[test]
    fn change_is_relative_to_the_base() {
        let change = confirm(&around(1.5f64.ln(), 0.01, 100), 0.02).change.unwrap();
        assert!((change.by - 0.5).abs() < 1e-9 && change.lo < 0.5 && change.hi > 0.5, "{change:?}");
    }

    #[test]
    fn the_margin_is_the_widest_of_three() {
        let rules = Rules::default();
        assert_eq!(rules.margin(5_000.0, 0.001), 0.02);
        assert_eq!(rules.margin(5_000.0, 0.01), 0.04);
        assert_eq!(rules.margin(50.0, 0.001), 0.06);
        assert_eq!(rules.margin(f64::INFINITY, 0.0), 0.02, "a time that is not known");
    }

    #[test]
    fn noisier_cells_get_more_rounds_within_the_limits() {
        let rules = Rules::default();
        let rounds = |width| screen(&around(0.02, width, 80)).candidate.unwrap();
        assert_eq!(rounds(0.03), rules.confirm_min);
        assert!((rules.confirm_min + 1..rules.confirm_max).contains(&rounds(0.12)), "{}", rounds(0.12));
        // A median beyond its own noise: two groups far apart.
        let torn: Vec<f64> = around(0.05, 0.5, 80);
        assert_eq!(screen(&torn).candidate, Some(rules.confirm_max));
    }

    /// A margin of 20 % plans for a change of half as much again and more, not for all rounds there are.
    #[test]
    fn a_wide_margin_seeks_a_large_change() {
        let differences = around(0.3, 0.05, 80);
        let wide = Rules::default().screen(&[Rounds { differences: &differences, margin: 0.2 }]);
        assert_eq!(wide[0].candidate, Some(Rules::default().confirm_min));
    }

    #[test]
    fn more_candidates_have_to_be_surer() {
        let rules = Rules::default();
        let (slower, same) = (around(0.05, 0.3, 80), around(-0.01, 0.3, 80));
        let alone = rules.screen(&[Rounds { differences: &slower, margin: 0.02 }; 1])[0].detectable;
        let among = rules.screen(&[Rounds { differences: &slower, margin: 0.02 }; 20])[0].detectable;
        assert!(among > alone, "{among:?} {alone:?}");
        let doubtful = around(0.05, 0.135, 60);
        let p = confirm(&doubtful, 0.02).p;
        assert!((rules.q / 20.0..rules.q).contains(&p), "{p}");
        let many: Vec<_> = std::iter::once(&doubtful)
            .chain(std::iter::repeat_n(&same, 19))
            .map(|differences| Rounds { differences, margin: 0.02 })
            .collect();
        assert!(confirm(&doubtful, 0.02).regressed && !rules.confirm(&many)[0].regressed);
    }

    /// An interrupted screen detects less than a complete one.
    #[test]
    fn what_is_detectable_goes_by_the_rounds_that_were_taken() {
        let of = |n| screen(&around(0.0, 0.2, n)).detectable;
        assert!(of(20) > of(80), "{:?} {:?}", of(20), of(80));
        assert_eq!(of(4), None);
        let by = |screened, fresh| {
            let fresh = Rounds { differences: &around(0.0, 0.2, fresh), margin: 0.02 };
            Rules::default().detectable_by(screened, &fresh, 1)
        };
        assert!(by(20, 100) > by(80, 100), "{:?} {:?}", by(20, 100), by(80, 100));
        assert!(by(80, 60) > by(80, 100) && by(80, 0).is_none(), "{:?} {:?}", by(80, 60), by(80, 100));
    }

    #[test]
    fn nothing_measured_is_no_finding() {
        assert_eq!(screen(&[]), Screened { p: 1.0, candidate: None, change: None, detectable: None });
        assert_eq!(confirm(&[], 0.02), Confirmed { regressed: false, p: 1.0, change: None });
        assert!(!confirm(&[f64::NAN; 100], 0.02).regressed);
        assert_eq!(Rules::default().screen(&[]), []);
        assert_eq!(Rules::default().confirm(&[]), []);
    }
}
