//! The rounds of one cell: base and head measured beside each other, and what that adds up to.

use super::{
    reading::Reading,
    report::{Figures, Metric},
};
use crate::{
    cell::{Cell, Workload},
    packed::Packed,
    record::Proximity,
    stats::{Figure, median},
    workload::histogram,
};

/// One pair of each side, right after each other, in one proximity class.
pub struct Couple {
    /// Base and head.
    pub readings: [Reading; 2],
}

impl Couple {
    /// Whether both say something, and about the same distance.
    pub fn is_sound(&self) -> bool {
        let [base, head] = &self.readings;
        !base.disturbed && !head.disturbed && base.proximity == head.proximity
    }

    /// The distance class.
    pub fn proximity(&self) -> Option<Proximity> {
        self.readings[0].proximity
    }
}

/// What one side showed in one round: medians over its pairs.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    /// Nanoseconds a round trip, or a message.
    typical_ns: f64,
    p99_ns: Option<f64>,
    p999_ns: Option<f64>,
}

/// The rounds of one cell so far.
#[derive(Default)]
pub struct Rounds {
    values: [Vec<Values>; 2],
    /// Which build of either side each round used.
    builds: Vec<[usize; 2]>,
    classes: Vec<Option<Proximity>>,
    max_ns: [f64; 2],
    /// Histograms that are not merged yet, the merged one first.
    histograms: [Vec<Packed>; 2],
    /// Pairs of both sides that were measured, those of no use included.
    pub pairs: u32,
}

/// Packed histograms are merged when this many have come together: unpacking takes longer than a round trip.
const MERGE: usize = 64;

impl Rounds {
    /// Takes a round: sound couples of one class, of these builds.
    pub fn add(&mut self, cell: &Cell, couples: &[Couple], builds: [usize; 2]) {
        for side in 0..2 {
            let over = |of: fn(&Reading) -> Option<f64>| {
                median(&mut couples.iter().filter_map(|couple| of(&couple.readings[side])).collect::<Vec<_>>())
            };
            let typical = match cell.workload {
                Workload::Throughput => over(|reading| Some(1e9 / reading.msgs_per_s?)),
                _ => over(|reading| reading.p50_ns),
            };
            let typical_ns = typical.expect("a reading without an error has its figure");
            self.values[side].push(Values {
                typical_ns,
                p99_ns: over(|reading| reading.p99_ns),
                p999_ns: over(|reading| reading.p999_ns),
            });
            for couple in couples {
                let reading = &couple.readings[side];
                self.max_ns[side] = self.max_ns[side].max(reading.max_ns.unwrap_or(0.0));
                self.histograms[side].extend(reading.histogram.clone());
            }
            if self.histograms[side].len() >= MERGE {
                self.histograms[side] = merged(&self.histograms[side]).into_iter().collect();
            }
        }
        self.builds.push(builds);
        self.classes.push(couples.first().and_then(Couple::proximity));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.builds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }

    /// ln(head/base) of each round from number `from` on.
    pub fn differences(&self, metric: Metric, from: usize) -> Vec<f64> {
        let [base, head] = &self.values;
        let of = |values: &Values| match metric {
            Metric::P50 | Metric::Rate => Some(values.typical_ns),
            Metric::P99 => values.p99_ns,
        };
        base.iter().zip(head).skip(from).filter_map(|(base, head)| Some((of(head)? / of(base)?).ln())).collect()
    }

    /// The base's median, in nanoseconds a round trip or a message.
    pub fn base_ns(&self) -> Option<f64> {
        median(&mut self.values[0].iter().map(|values| values.typical_ns).collect::<Vec<_>>())
    }

    /// The class that most rounds belong to.
    pub fn proximity(&self) -> Option<Proximity> {
        let near = self.classes.iter().filter(|&&class| class == Some(Proximity::Near)).count();
        let far = self.classes.iter().filter(|&&class| class == Some(Proximity::Far)).count();
        match (near, far) {
            (0, 0) => None,
            (near, far) if near >= far => Some(Proximity::Near),
            _ => Some(Proximity::Far),
        }
    }

    /// How far builds of one side lie apart whose sections have another order: a standard deviation of logarithms.
    ///
    /// The variance of the builds' means, less what the rounds' own scatter puts into it; 0 with one build a side.
    pub fn layout_spread(&self) -> f64 {
        let differences = self.differences(Metric::P50, 0);
        let of_side = |side: usize| {
            let builds = self.builds.iter().map(|builds| builds[side]).max().map_or(0, |most| most + 1);
            let groups = (0..builds).map(|build| {
                let of_build = self.builds.iter().zip(&differences).filter(move |(builds, _)| builds[side] == build);
                of_build.map(|(_, &difference)| difference).collect::<Vec<f64>>()
            });
            between_groups(&groups.collect::<Vec<_>>())
        };
        let variances: Vec<f64> = [0, 1].into_iter().filter_map(of_side).collect();
        if variances.is_empty() {
            return 0.0;
        }
        (variances.iter().sum::<f64>() / variances.len() as f64).max(0.0).sqrt()
    }

    /// The figures of base (0) or head (1).
    pub fn figures(&self, cell: &Cell, side: usize) -> Figures {
        let values = &self.values[side];
        let over = |of: fn(&Values) -> Option<f64>| median(&mut values.iter().filter_map(of).collect::<Vec<_>>());
        let typical = Figure::of(&values.iter().map(|values| values.typical_ns).collect::<Vec<_>>());
        let histogram = merged(&self.histograms[side]);
        if cell.workload == Workload::Throughput {
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
            histogram,
            ..Figures::default()
        }
    }
}

/// The variance of the groups' medians beyond what the scatter within them explains (half again for medians); `None` with
/// fewer than two groups of three.
fn between_groups(groups: &[Vec<f64>]) -> Option<f64> {
    let groups: Vec<&Vec<f64>> = groups.iter().filter(|group| group.len() >= 3).collect();
    if groups.len() < 2 {
        return None;
    }
    let medians: Vec<f64> = groups.iter().filter_map(|group| median(&mut group.to_vec())).collect();
    let mean = medians.iter().sum::<f64>() / medians.len() as f64;
    let between = medians.iter().map(|median| (median - mean).powi(2)).sum::<f64>() / (medians.len() - 1) as f64;
    let explained = groups.iter().zip(&medians).map(|(group, center)| {
        let mut off: Vec<f64> = group.iter().map(|value| (value - center).abs()).collect();
        let sigma = 1.4826 * median(&mut off).unwrap_or(0.0);
        // The variance of a median of n normal values is π/2 times that of their mean.
        std::f64::consts::FRAC_PI_2 * sigma * sigma / group.len() as f64
    });
    Some((between - explained.sum::<f64>() / groups.len() as f64).max(0.0))
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

    fn reading(p50_ns: f64, proximity: Option<Proximity>) -> Reading {
        let mut histogram = histogram();
        histogram.record(p50_ns as u64).unwrap();
        Reading {
            p50_ns: Some(p50_ns),
            p99_ns: Some(2.0 * p50_ns),
            max_ns: Some(9.0 * p50_ns),
            histogram: Some(Packed::of(&histogram)),
            proximity,
            ..Reading::default()
        }
    }

    fn couple(base: f64, head: f64) -> Couple {
        Couple { readings: [reading(base, None), reading(head, None)] }
    }

    fn cell() -> Cell {
        "latency/pipe/64/same-core/block/copy".parse().unwrap()
    }

    #[test]
    fn a_round_is_the_medians_of_its_pairs() {
        let mut rounds = Rounds::default();
        rounds.add(&cell(), &[couple(100.0, 900.0), couple(1.0, 110.0), couple(200.0, 1.0)], [0, 0]);
        assert_eq!(rounds.differences(Metric::P50, 0), [(110.0_f64 / 100.0).ln()]);
        assert_eq!(rounds.differences(Metric::P99, 0), [(220.0_f64 / 200.0).ln()]);
        assert!(rounds.differences(Metric::P50, 1).is_empty());
        let head = rounds.figures(&cell(), 1);
        assert_eq!((head.p50_ns, head.max_ns), (Some(110.0), Some(8100.0)));
        assert_eq!(head.histogram.unwrap().unpack().len(), 3);
    }

    #[test]
    fn merging_on_the_way_loses_nothing() {
        let mut rounds = Rounds::default();
        for _ in 0..2 * MERGE {
            rounds.add(&cell(), &[couple(100.0, 110.0)], [0, 0]);
        }
        assert_eq!(rounds.figures(&cell(), 0).histogram.unwrap().unpack().len(), 2 * MERGE as u64);
    }

    #[test]
    fn couples_of_two_distances_say_nothing() {
        let of = |base, head| Couple { readings: [reading(1.0, Some(base)), reading(1.0, Some(head))] };
        assert!(of(Proximity::Near, Proximity::Near).is_sound());
        assert!(!of(Proximity::Near, Proximity::Far).is_sound());
        let mut moved = of(Proximity::Far, Proximity::Far);
        moved.readings[1].disturbed = true;
        assert!(!moved.is_sound());
    }

    /// Builds that differ by what scatter within explains have no spread; those that lie 6 % apart have about that.
    #[test]
    fn layouts_spread_beyond_scatter() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut rounds_of = |apart: f64| {
            let mut rounds = Rounds::default();
            for round in 0..60 {
                let build = round % 3;
                let head = 100.0 * (1.0 + 0.02 * (random.f64() - 0.5)) * (1.0 + apart * build as f64);
                rounds.add(&cell(), &[couple(100.0, head)], [0, build]);
            }
            rounds.layout_spread()
        };
        assert!(rounds_of(0.0) < 0.004);
        assert!((0.04..0.08).contains(&rounds_of(0.06)));
    }
}
