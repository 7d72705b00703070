//! The rounds of one subject: base and head measured next to each other, and the figures that follow.

use super::{
    report::{Figures, Metric, Unit},
    stats::spread,
};
use bench_record::{
    packed::{Packed, histogram},
    rows::Proximity,
    stats::{Figure, median},
};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::f64::consts::FRAC_PI_2;

/// The result of one run of one side for one subject.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The figure that is judged, as a cost: nanoseconds per round trip or message, or the value that a command printed. If
    /// more is better, it is the reciprocal.
    pub typical: f64,
    /// The judged figure without the cost of time stamps, if it is known.
    pub unstamped: Option<f64>,
    /// The 99th percentile of the round trips, in nanoseconds.
    pub p99_ns: Option<f64>,
    /// The 99.9th percentile of the round trips, in nanoseconds.
    pub p999_ns: Option<f64>,
    /// The longest round trip, in nanoseconds.
    pub max_ns: Option<f64>,
    /// Histogram of all stamped round trips.
    pub histogram: Option<Packed>,
    /// The distance class of the two hardware threads, if there are two.
    pub proximity: Option<Proximity>,
    /// Whether something disturbed the run, so that it is void.
    pub disturbed: bool,
}

/// One run of each side, right after each other, in one proximity class.
#[derive(Clone, Debug)]
pub struct PairedSample {
    /// Base and head.
    pub sides: [Measured; 2],
}

impl PairedSample {
    /// Whether both runs are valid and have the same distance class.
    pub fn is_sound(&self) -> bool {
        let [base, head] = &self.sides;
        !base.disturbed && !head.disturbed && base.proximity == head.proximity
    }

    /// The distance class of both runs.
    pub fn proximity(&self) -> Option<Proximity> {
        self.sides[0].proximity
    }
}

/// The figures of one side in one round.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    /// Nanoseconds per round trip or message, or the cost that a command printed.
    typical: f64,
    p99_ns: Option<f64>,
    p999_ns: Option<f64>,
}

/// The rounds of one subject so far.
#[derive(Default)]
pub struct Rounds {
    values: [Vec<Values>; 2],
    /// The builds of base and head that each round used.
    builds: Vec<[usize; 2]>,
    classes: Vec<Option<Proximity>>,
    max_ns: [f64; 2],
    /// Histograms that are not merged yet. The merged one comes first.
    histograms: [Vec<Packed>; 2],
    /// Runs of both sides, including void ones.
    pub pairs: u32,
}

/// The number of packed histograms at which they are merged. Unpacking takes longer than a round trip.
const MERGE: usize = 64;

impl Rounds {
    /// Adds a round: a sound paired sample of these builds.
    pub fn add(&mut self, sample: &PairedSample, builds: [usize; 2]) {
        // Use the unstamped figures only if both sides have one. Otherwise the sides would differ by the cost of a stamp.
        let both = sample.sides.iter().all(|measured| measured.unstamped.is_some());
        for (side, measured) in sample.sides.iter().enumerate() {
            let typical = measured.unstamped.filter(|_| both).unwrap_or(measured.typical);
            self.values[side].push(Values { typical, p99_ns: measured.p99_ns, p999_ns: measured.p999_ns });
            self.max_ns[side] = self.max_ns[side].max(measured.max_ns.unwrap_or(0.0));
            self.histograms[side].extend(measured.histogram.clone());
            if self.histograms[side].len() >= MERGE {
                self.histograms[side] = merged(&self.histograms[side]).into_iter().collect();
            }
        }
        self.builds.push(builds);
        self.classes.push(sample.proximity());
    }

    /// Number of rounds.
    pub fn len(&self) -> usize {
        self.builds.len()
    }

    /// Whether there is no round.
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }

    /// ln(head/base) of each round, starting with round number `from`.
    pub fn differences(&self, metric: Metric, from: usize) -> Vec<f64> {
        let [base, head] = &self.values;
        let of = |values: &Values| match metric {
            Metric::P50 | Metric::Rate | Metric::Value => Some(values.typical),
            Metric::P99 => values.p99_ns,
        };
        base.iter().zip(head).skip(from).filter_map(|(base, head)| Some((of(head)? / of(base)?).ln())).collect()
    }

    /// The base's median: nanoseconds per round trip or message, or the cost that a command printed.
    pub fn base_cost(&self) -> Option<f64> {
        median(&mut self.values[0].iter().map(|values| values.typical).collect::<Vec<_>>())
    }

    /// The distance class of most rounds. `None` if no round has one.
    pub fn proximity(&self) -> Option<Proximity> {
        let near = self.classes.iter().filter(|&&class| class == Some(Proximity::Near)).count();
        let far = self.classes.iter().filter(|&&class| class == Some(Proximity::Far)).count();
        match (near, far) {
            (0, 0) => None,
            (near, far) if near >= far => Some(Proximity::Near),
            _ => Some(Proximity::Far),
        }
    }

    /// The spread between builds of one side that differ in the order of their sections: a standard deviation of logarithms.
    ///
    /// The variance of the builds' medians is reduced by the part that the rounds' own scatter explains. The result is 0 with
    /// one build per side, or if that scatter explains everything (χ², 5 %).
    pub fn layout_spread(&self) -> f64 {
        let differences = self.differences(Metric::P50, 0);
        let of_side = |side: usize| {
            let builds = self.builds.iter().map(|builds| builds[side]).max().map_or(0, |most| most + 1);
            let groups = (0..builds).map(|build| {
                let of_build = self.builds.iter().zip(&differences).filter(move |(builds, _)| builds[side] == build);
                of_build.map(|(_, &difference)| difference).collect::<Vec<f64>>()
            });
            Apart::of(&groups.collect::<Vec<_>>())
        };
        let [mut squares, mut freedom, mut explained] = [0.0; 3];
        for apart in [0, 1].into_iter().filter_map(of_side) {
            squares += apart.squares;
            freedom += apart.freedom;
            explained += apart.freedom * apart.explained;
        }
        let Ok(chance) = ChiSquared::new(freedom) else { return 0.0 };
        let (between, explained) = (squares / freedom, explained / freedom);
        if squares > explained * chance.inverse_cdf(0.95) { (between - explained).sqrt() } else { 0.0 }
    }

    /// The figures of base (0) or head (1), for a subject whose own metric is `metric`, in `unit`.
    pub fn figures(&self, metric: Metric, unit: Option<&Unit>, side: usize) -> Figures {
        let values = &self.values[side];
        let over = |of: fn(&Values) -> Option<f64>| median(&mut values.iter().filter_map(of).collect::<Vec<_>>());
        let typical = Figure::of(&values.iter().map(|values| values.typical).collect::<Vec<_>>());
        if let (Metric::Value, Some(unit)) = (metric, unit) {
            return figures_in(unit, typical);
        }
        if metric == Metric::Rate {
            let rate = |ns: f64| 1e9 / ns;
            return Figures {
                msgs_per_s: typical.map(|figure| rate(figure.value)),
                msgs_per_s_lo: typical.and_then(|figure| figure.hi).map(rate),
                msgs_per_s_hi: typical.and_then(|figure| figure.lo).map(rate),
                ..Figures::default()
            };
        }
        Figures {
            p50_ns: typical.map(|figure| figure.value),
            p50_lo_ns: typical.and_then(|figure| figure.lo),
            p50_hi_ns: typical.and_then(|figure| figure.hi),
            p99_ns: over(|values| values.p99_ns),
            p999_ns: over(|values| values.p999_ns),
            max_ns: (self.max_ns[side] > 0.0).then_some(self.max_ns[side]),
            histogram: merged(&self.histograms[side]),
            ..Figures::default()
        }
    }
}

/// The figures of a side in `unit`, from its costs `cost`.
fn figures_in(unit: &Unit, cost: Option<Figure>) -> Figures {
    // The cost of a cost is the figure. If more is better, the lower end of the cost is the upper end of the figure.
    let value = |cost: f64| unit.cost(cost);
    let ends = |figure: Figure| {
        let (lo, hi) = (figure.lo.map(value), figure.hi.map(value));
        if unit.higher_is_better { (hi, lo) } else { (lo, hi) }
    };
    let (value_lo, value_hi) = cost.map_or((None, None), ends);
    Figures { value: cost.map(|figure| value(figure.value)), value_lo, value_hi, ..Figures::default() }
}

/// How far the medians of groups lie apart.
struct Apart {
    /// The sum of the squared distances of the medians from their mean.
    squares: f64,
    /// The number of groups minus one (degrees of freedom).
    freedom: f64,
    /// The variance of a median that the scatter within the groups explains.
    explained: f64,
}

impl Apart {
    /// Compares the medians of `groups`. `None` with fewer than two groups of at least three values.
    fn of(groups: &[Vec<f64>]) -> Option<Self> {
        let groups: Vec<&Vec<f64>> = groups.iter().filter(|group| group.len() >= 3).collect();
        if groups.len() < 2 {
            return None;
        }
        let count = groups.len() as f64;
        let medians: Vec<f64> = groups.iter().filter_map(|group| median(&mut group.to_vec())).collect();
        let mean = medians.iter().sum::<f64>() / count;
        // The variance of the median of n normal values is π/2 times the variance of their mean.
        let explained = groups.iter().map(|group| FRAC_PI_2 * spread(group).powi(2) / group.len() as f64);
        Some(Self {
            squares: medians.iter().map(|median| (median - mean).powi(2)).sum(),
            freedom: count - 1.0,
            explained: explained.sum::<f64>() / count,
        })
    }
}

fn merged(histograms: &[Packed]) -> Option<Packed> {
    let mut all = histogram();
    for packed in histograms {
        all.add(packed.unpack()).ok()?;
    }
    (!all.is_empty()).then(|| Packed::of(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(p50_ns: f64, proximity: Option<Proximity>) -> Measured {
        let mut histogram = histogram();
        histogram.record(p50_ns as u64).unwrap();
        Measured {
            typical: p50_ns,
            p99_ns: Some(2.0 * p50_ns),
            max_ns: Some(9.0 * p50_ns),
            histogram: Some(Packed::of(&histogram)),
            proximity,
            ..Measured::default()
        }
    }

    fn paired(base: f64, head: f64) -> PairedSample {
        PairedSample { sides: [measured(base, None), measured(head, None)] }
    }

    #[test]
    fn a_round_is_a_paired_sample() {
        let mut rounds = Rounds::default();
        for (base, head) in [(100.0, 110.0), (1.0, 900.0), (200.0, 1.0)] {
            rounds.add(&paired(base, head), [0, 0]);
        }
        assert_eq!(rounds.differences(Metric::P50, 0)[0], (110.0_f64 / 100.0).ln());
        assert_eq!(rounds.differences(Metric::P99, 0)[0], (220.0_f64 / 200.0).ln());
        assert_eq!(rounds.differences(Metric::P50, 1).len(), 2);
        let head = rounds.figures(Metric::P50, None, 1);
        assert_eq!((head.p50_ns, head.max_ns), (Some(110.0), Some(8100.0)));
        assert_eq!(head.histogram.unwrap().unpack().len(), 3);
    }

    /// Near the length from which stamps weigh, only one of two pairs may have measured without them.
    #[test]
    fn both_sides_are_taken_with_stamps_or_both_without() {
        let mut both = paired(480.0, 480.0);
        both.sides.iter_mut().for_each(|measured| measured.unstamped = Some(450.0));
        let mut one = both.clone();
        one.sides[1].unstamped = None;
        let mut rounds = Rounds::default();
        rounds.add(&both, [0, 0]);
        rounds.add(&one, [0, 0]);
        assert_eq!(rounds.differences(Metric::P50, 0), [0.0, 0.0]);
        assert_eq!([rounds.values[0][0].typical, rounds.values[0][1].typical], [450.0, 480.0]);
    }

    #[test]
    fn merging_on_the_way_loses_nothing() {
        let mut rounds = Rounds::default();
        for _ in 0..2 * MERGE {
            rounds.add(&paired(100.0, 110.0), [0, 0]);
        }
        assert_eq!(rounds.figures(Metric::P50, None, 0).histogram.unwrap().unpack().len(), 2 * MERGE as u64);
    }

    #[test]
    fn a_rate_becomes_a_cost_and_back() {
        let unit = Unit::named("MB/s");
        let cost = Figure { value: unit.cost(200.0), lo: Some(unit.cost(210.0)), hi: Some(unit.cost(190.0)) };
        let figures = figures_in(&unit, Some(cost));
        let close = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-9;
        assert!(close(figures.value, 200.0) && close(figures.value_lo, 190.0) && close(figures.value_hi, 210.0));
    }

    #[test]
    fn paired_samples_of_two_distances_say_nothing() {
        let of = |base, head| PairedSample { sides: [measured(1.0, Some(base)), measured(1.0, Some(head))] };
        assert!(of(Proximity::Near, Proximity::Near).is_sound());
        assert!(!of(Proximity::Near, Proximity::Far).is_sound());
        let mut moved = of(Proximity::Far, Proximity::Far);
        moved.sides[1].disturbed = true;
        assert!(!moved.is_sound());
    }

    /// Builds whose differences the scatter within explains have no spread. Builds that lie 6 % apart have a spread of about 6
    /// %.
    #[test]
    fn layouts_spread_beyond_scatter() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut rounds_of = |apart: f64| {
            let mut rounds = Rounds::default();
            for round in 0..60 {
                let build = round % 3;
                let head = 100.0 * (1.0 + 0.02 * (random.f64() - 0.5)) * (1.0 + apart * build as f64);
                rounds.add(&paired(100.0, head), [0, build]);
            }
            rounds.layout_spread()
        };
        assert_eq!(rounds_of(0.0), 0.0);
        assert!((0.04..0.08).contains(&rounds_of(0.06)));
    }
}
