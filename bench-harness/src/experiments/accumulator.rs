//! The accumulator of a cell: the results of its pairs so far, and the row made from them.

use bench_lab::{
    sample::{Sample, is_relocated, proximity},
    worker::PairError,
};
use bench_record::{
    cell::{Cell, Pattern, Placement, Workload},
    packed::histogram,
    rows::{Flag, LatencyRow, Proximity, ThroughputRow},
    stats::{self, Figure},
};
use hdrhistogram::Histogram;
use ipc_core::process::Schedule;

/// Limit of involuntary switches per second. Above it, a pinned pair on two threads shared them with others.
const PREEMPTIONS_PER_S: f64 = 200.0;

/// The results of the pairs of one cell with one pattern.
#[derive(Clone, Debug)]
pub struct Accumulator {
    /// The cell.
    pub cell: Cell,
    /// The order of messages in these pairs.
    pub pattern: Pattern,
    planned: u32,
    lossy: bool,
    samples: Vec<Sample>,
    errors: Vec<PairError>,
    /// Whether a pair moved between its two probes, and in every repetition as well.
    relocated: bool,
}

impl Accumulator {
    /// An empty accumulator for `planned` pairs. `lossy` says whether the mechanism may lose messages.
    pub fn new(cell: Cell, pattern: Pattern, planned: u32, lossy: bool) -> Self {
        Self { cell, pattern, planned, lossy, samples: Vec::new(), errors: Vec::new(), relocated: false }
    }

    /// Adds the outcome of a pair.
    pub fn add(&mut self, outcome: Result<Sample, PairError>) {
        match outcome {
            Ok(sample) => {
                self.relocated |= is_relocated(&sample);
                self.samples.push(sample);
            }
            // An interruption is no fault of the cell.
            Err(PairError::Interrupted) => {}
            Err(error) => self.errors.push(error),
        }
    }

    /// Whether further pairs would only fail again.
    pub fn is_hopeless(&self) -> bool {
        let fatal = |error: &PairError| {
            matches!(
                error,
                PairError::Channel(_) | PairError::WrongPayload(_) | PairError::OutOfMemory(..) | PairError::Hung(_)
            )
        };
        self.errors.iter().any(fatal)
    }

    /// Whether a payload was wrong. The run's verdict is then negative.
    pub fn has_wrong_payload(&self) -> bool {
        self.errors.iter().any(|error| matches!(error, PairError::WrongPayload(_)))
    }

    /// The timed round trips of all counted pairs. `None` if there are none.
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        let mut all = histogram();
        for sample in self.counted() {
            all.add(sample.histogram.as_ref()?.unpack()).expect("all have the same bounds");
        }
        (!all.is_empty()).then_some(all)
    }

    /// The samples of the larger proximity class. Figures of different distances are not mixed.
    pub(crate) fn counted(&self) -> Vec<&Sample> {
        // A mechanism that delivers wrong bytes has no speed.
        if self.has_wrong_payload() {
            return Vec::new();
        }
        let near = self.samples.iter().filter(|sample| proximity(sample) != Some(Proximity::Far));
        let near: Vec<_> = near.collect();
        if 2 * near.len() >= self.samples.len() {
            return near;
        }
        self.samples.iter().filter(|sample| proximity(sample) == Some(Proximity::Far)).collect()
    }

    /// Doubts about the pairs in `counted`, their `figures`, and the `figure` made from them.
    pub(crate) fn flags(&self, counted: &[&Sample], figures: &[f64], figure: Option<&Figure>) -> Vec<Flag> {
        let observed_s = counted.iter().map(|sample| sample.observed_ns).sum::<u64>() as f64 * 1e-9;
        let preemptions = counted.iter().map(|sample| sample.preemptions).sum::<u64>() as f64;
        // On one thread the two processes displace each other. That belongs to the mechanism and is no disturbance.
        let alone = !matches!(self.cell.placement, Placement::SameCore | Placement::Unpinned);
        [
            (Flag::Unpinned, self.cell.placement == Placement::Unpinned),
            (Flag::Migrated, counted.iter().any(|sample| sample.migrated)),
            (Flag::Preempted, alone && preemptions > PREEMPTIONS_PER_S * observed_s),
            (Flag::Unsteady, figure.is_some_and(Figure::is_unsteady)),
            (Flag::Bimodal, stats::is_bimodal(figures)),
            (Flag::ClockBound, counted.iter().any(|sample| sample.batch_mean_ns.is_some())),
            (Flag::Relocated, self.relocated),
            (Flag::MixedProximity, !counted.is_empty() && counted.len() < self.samples.len()),
            (Flag::Lossy, counted.iter().any(|sample| sample.lost > 0)),
            (Flag::Partial, !counted.is_empty() && (self.samples.len() as u32) < self.planned),
            (Flag::RealTime, counted.iter().any(|sample| sample.schedule.policy.is_real_time())),
            (Flag::Niced, counted.iter().any(|sample| sample.schedule.of_children() != Schedule::ORDINARY)),
            (Flag::Stopped, counted.iter().any(|sample| sample.stopped)),
        ]
        .into_iter()
        .filter_map(|(flag, holds)| holds.then_some(flag))
        .collect()
    }

    /// Why there are no figures, or fewer than planned.
    pub(crate) fn error(&self) -> String {
        let wrong = self.errors.iter().find(|error| matches!(error, PairError::WrongPayload(_)));
        match wrong.or(self.errors.first()) {
            Some(error) => error.to_string(),
            None if self.samples.is_empty() => "interrupted before it was measured".into(),
            None => String::new(),
        }
    }

    fn lost(&self, counted: &[&Sample]) -> Option<u64> {
        (self.lossy && !counted.is_empty()).then(|| counted.iter().map(|sample| sample.lost).sum())
    }

    /// The row of a latency cell.
    pub fn latency_row(&self) -> LatencyRow {
        debug_assert_eq!(self.cell.workload, Workload::Latency);
        let counted = self.counted();
        let medians: Vec<f64> = counted
            .iter()
            .filter_map(|sample| Some(sample.histogram.as_ref()?.unpack().value_at_quantile(0.5) as f64))
            .collect();
        let batches: Vec<f64> = counted.iter().filter_map(|sample| sample.batch_mean_ns).collect();
        let (median, batch) = (Figure::of(&medians), Figure::of(&batches));
        let all = self.histogram();
        let quantile = |q| all.as_ref().map(|all| all.value_at_quantile(q) as f64);
        LatencyRow {
            pairs: medians.len() as u32,
            samples: all.as_ref().map_or(0, Histogram::len),
            min_ns: all.as_ref().map(|all| all.min() as f64),
            p50_ns: median.map(|figure| figure.value),
            p50_lo_ns: median.and_then(|figure| figure.lo),
            p50_hi_ns: median.and_then(|figure| figure.hi),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: all.as_ref().map(|all| all.max() as f64),
            mean_ns: all.as_ref().map(Histogram::mean),
            flags: self.flags(&counted, &medians, median.as_ref()).into_iter().collect(),
            error: self.error(),
            batch_mean_ns: batch.map(|figure| figure.value),
            batch_mean_lo_ns: batch.and_then(|figure| figure.lo),
            batch_mean_hi_ns: batch.and_then(|figure| figure.hi),
            proximity: common_proximity(&counted),
            probe_ns: common_probe(&counted),
            lost: self.lost(&counted),
            ..LatencyRow::empty(&self.cell)
        }
    }

    /// The row of a throughput cell.
    pub fn throughput_row(&self) -> ThroughputRow {
        debug_assert_eq!(self.cell.workload, Workload::Throughput);
        let counted = self.counted();
        // Lost messages do not count as moved.
        let rates: Vec<f64> = counted.iter().map(|sample| sample.msgs_per_s()).collect();
        let figure = Figure::of(&rates);
        let bytes = |rate: f64| rate * self.cell.size as f64;
        ThroughputRow {
            pairs: rates.len() as u32,
            messages: counted.iter().map(|sample| sample.messages - sample.lost).sum(),
            msgs_per_s: figure.map(|figure| figure.value),
            bytes_per_s: figure.map(|figure| bytes(figure.value)),
            bytes_per_s_lo: figure.and_then(|figure| figure.lo).map(bytes),
            bytes_per_s_hi: figure.and_then(|figure| figure.hi).map(bytes),
            flags: self.flags(&counted, &rates, figure.as_ref()).into_iter().collect(),
            error: self.error(),
            lost: self.lost(&counted),
            proximity: common_proximity(&counted),
            probe_ns: common_probe(&counted),
            ..ThroughputRow::empty(&self.cell)
        }
    }
}

/// The proximity class of the `counted` pairs, which all have the same.
pub(crate) fn common_proximity(counted: &[&Sample]) -> Option<Proximity> {
    counted.first().and_then(|sample| proximity(sample))
}

fn common_probe(counted: &[&Sample]) -> Option<f64> {
    let mut probes: Vec<f64> = counted.iter().flat_map(|sample| sample.probe_ns).flatten().collect();
    stats::median(&mut probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::{cell::Access, packed::Packed};
    use ipc_core::{
        Error, Wait,
        process::{Exit, Policy},
    };

    fn accumulator(workload: Workload) -> Accumulator {
        let placement = Placement::CrossCore;
        let cell = Cell { workload, mechanism: "pipe", size: 64, placement, wait: Wait::Block, access: Access::Copy };
        Accumulator::new(cell, workload.patterns()[0], 3, false)
    }

    fn sample(ns: u64, probe_ns: f64) -> Sample {
        let mut histogram = histogram();
        histogram.record_n(ns, 100).unwrap();
        Sample {
            histogram: Some(Packed::of(&histogram)),
            elapsed_ns: 100 * ns,
            messages: 100,
            probe_ns: [Some(probe_ns); 2],
            ..Sample::default()
        }
    }

    #[test]
    fn the_figure_is_the_median_over_pairs() {
        let mut accumulator = accumulator(Workload::Latency);
        for ns in [1000, 1010, 5000] {
            accumulator.add(Ok(sample(ns, 60.0)));
        }
        let row = accumulator.latency_row();
        assert_eq!((row.pairs, row.samples), (3, 300));
        assert_eq!(row.p50_ns, Some(1010.0));
        assert!(row.flags.contains(Flag::Unsteady) && !row.flags.contains(Flag::Partial));
        assert_eq!((row.proximity, row.probe_ns), (Some(Proximity::Near), Some(60.0)));
    }

    #[test]
    fn how_the_scheduler_treated_a_pair_is_flagged() {
        let flags = |policy, nice, stopped| {
            let mut accumulator = accumulator(Workload::Latency);
            let schedule = Schedule { policy, nice, ..Schedule::ORDINARY };
            accumulator.add(Ok(Sample { schedule, stopped, ..sample(1000, 60.0) }));
            let flags = accumulator.latency_row().flags;
            [Flag::RealTime, Flag::Niced, Flag::Stopped].map(|flag| flags.contains(flag))
        };
        assert_eq!(flags(Policy::OTHER, 0, false), [false; 3]);
        assert_eq!(flags(Policy::FIFO, 0, false), [true, false, false], "the pair itself ran as all do");
        assert_eq!(flags(Policy::RR, 5, false), [true, true, false]);
        assert_eq!(flags(Policy::IDLE, 0, false), [false, true, false]);
        assert_eq!(flags(Policy::OTHER, -1, true), [false, true, true]);
    }

    #[test]
    fn distances_are_not_mixed() {
        let mut accumulator = accumulator(Workload::Throughput);
        for (ns, probe) in [(1000, 60.0), (9000, 470.0), (1000, 61.0)] {
            accumulator.add(Ok(sample(ns, probe)));
        }
        let row = accumulator.throughput_row();
        assert_eq!(row.pairs, 2);
        assert_eq!(row.msgs_per_s.map(f64::round), Some(1e6));
        assert_eq!(row.bytes_per_s.map(f64::round), Some(64e6));
        assert!(row.flags.contains(Flag::MixedProximity) && !row.flags.contains(Flag::Partial));
    }

    #[test]
    fn a_cell_without_figures_says_why() {
        let mut accumulator = accumulator(Workload::Latency);
        assert_eq!(accumulator.latency_row().error, "interrupted before it was measured");
        accumulator.add(Err(PairError::Channel(Error::TooLarge { len: 65536, max: 8192 })));
        let row = accumulator.latency_row();
        assert_eq!((row.p50_ns, row.min_ns, row.samples), (None, None, 0));
        assert!(row.error.contains("65536") && row.error.contains("8192"), "{}", row.error);
        assert!(accumulator.is_hopeless() && !accumulator.has_wrong_payload());
    }

    #[test]
    fn a_wrong_payload_takes_the_figure_away() {
        let mut accumulator = accumulator(Workload::Throughput);
        accumulator.add(Ok(sample(1000, 60.0)));
        accumulator.add(Err(PairError::Died("responder", Exit::Code(1))));
        accumulator.add(Err(PairError::WrongPayload("corrupt".into())));
        let row = accumulator.throughput_row();
        assert_eq!((row.pairs, row.msgs_per_s), (0, None));
        assert!(row.error.contains("wrong payload") && accumulator.has_wrong_payload(), "{}", row.error);
    }

    #[test]
    fn an_interrupted_cell_keeps_its_pairs() {
        let mut accumulator = accumulator(Workload::Latency);
        accumulator.add(Ok(sample(1000, 60.0)));
        accumulator.add(Err(PairError::Interrupted));
        let row = accumulator.latency_row();
        assert!(row.flags.contains(Flag::Partial) && row.error.is_empty());
        assert_eq!((row.p50_ns, row.p50_lo_ns), (Some(1000.0), None));
    }

    #[test]
    fn a_move_between_the_probes_is_noticed() {
        let moved = Sample { probe_ns: [Some(60.0), Some(470.0)], ..Sample::default() };
        assert!(is_relocated(&moved) && !is_relocated(&sample(1000, 60.0)));
    }
}
