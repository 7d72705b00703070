//! The row of a cost cell, from pairs that sent one way and pairs that played ping-pong.
//!
//! Both kinds are pairs of their own with a [metered](bench_lab::sample::Budget::Metered) budget; timed pairs have
//! another. A figure is a median over the pairs. For each pair it divides what the pair used in its measured window by
//! the messages that arrived in it. The three figures that are compared have a confidence interval over the pairs and
//! flags, by the same rules as latency.

use crate::experiments::accumulator::{Accumulator, common_proximity};
use bench_lab::{sample::Sample, usage::Usage};
use bench_record::{
    rows::{CostRow, Flag},
    stats::{self, Figure},
};

/// What one pair that sent one way used in its window.
struct Stretch {
    messages: u64,
    sender: Usage,
    receiver: Usage,
}

impl Stretch {
    /// The window of `sample`. `None` if nothing arrived.
    fn of(sample: &Sample) -> Option<Self> {
        let messages = sample.messages.saturating_sub(sample.lost);
        let (sender, receiver) = (sample.usage?, sample.responder_usage?);
        (messages > 0).then_some(Self { messages, sender, receiver })
    }

    fn per_message(&self, used: u64) -> f64 {
        used as f64 / self.messages as f64
    }
}

/// The row of the cell that both accumulators belong to.
pub fn of(one_way: &Accumulator, round_trip: &Accumulator) -> CostRow {
    let cell = &one_way.cell;
    // The cost of delivering wrong bytes is not worth knowing.
    if let Some(wrong) = [one_way, round_trip].into_iter().find(|accumulator| accumulator.has_wrong_payload()) {
        return CostRow::failed(cell, wrong.error());
    }
    let counted = one_way.counted();
    let stretches: Vec<Stretch> = counted.iter().filter_map(|sample| Stretch::of(sample)).collect();
    let median = |of: &dyn Fn(&Stretch) -> f64| stats::median(&mut stretches.iter().map(of).collect::<Vec<_>>());
    let send = |of: fn(&Usage) -> u64| median(&|stretch| stretch.per_message(of(&stretch.sender)));
    let recv = |of: fn(&Usage) -> u64| median(&|stretch| stretch.per_message(of(&stretch.receiver)));
    let energy = |stretch: &Stretch| Some(stretch.per_message(stretch.sender.energy_uj?) * 1e3);

    let trips = round_trip.counted();
    // A lost round trip took a whole deadline, and the mean cannot leave it out.
    let whole: Vec<_> = trips.iter().filter(|sample| sample.lost == 0 && sample.messages > 0).collect();
    let trip = |of: fn(&Sample) -> Option<u64>| -> Vec<f64> {
        whole.iter().filter_map(|sample| Some(of(sample)? as f64 / sample.messages as f64)).collect()
    };
    let cpu: Vec<f64> =
        stretches.iter().map(|stretch| stretch.per_message(stretch.sender.cpu_ns + stretch.receiver.cpu_ns)).collect();
    let trips_ns = trip(|sample| Some(sample.elapsed_ns));
    let trips_cpu = trip(|sample| Some(sample.usage?.cpu_ns + sample.responder_usage?.cpu_ns));
    let [cpu_figure, trip_figure, trip_cpu_figure] = [&cpu, &trips_ns, &trips_cpu].map(|values| Figure::of(values));
    let flags = |accumulator: &Accumulator, values: &[&[f64]]| -> Vec<Flag> {
        values
            .iter()
            .flat_map(|values| accumulator.flags(&accumulator.counted(), values, Figure::of(values).as_ref()))
            .collect()
    };

    CostRow {
        pairs: stretches.len() as u32,
        messages: stretches.iter().map(|stretch| stretch.messages).sum(),
        syscalls_send: send(|usage| usage.calls),
        syscalls_recv: recv(|usage| usage.calls),
        voluntary_send: send(|usage| usage.voluntary),
        voluntary_recv: recv(|usage| usage.voluntary),
        involuntary_send: send(|usage| usage.involuntary),
        involuntary_recv: recv(|usage| usage.involuntary),
        minor_faults_send: send(|usage| usage.minor_faults),
        minor_faults_recv: recv(|usage| usage.minor_faults),
        user_ns_send: send(|usage| usage.user_ns),
        user_ns_recv: recv(|usage| usage.user_ns),
        system_ns_send: send(|usage| usage.system_ns),
        system_ns_recv: recv(|usage| usage.system_ns),
        cpu_ns: cpu_figure.map(|figure| figure.value),
        utilisation: median(&|stretch| stretch.sender.utilisation() + stretch.receiver.utilisation()),
        round_trip_ns: trip_figure.map(|figure| figure.value),
        round_trip_cpu_ns: trip_cpu_figure.map(|figure| figure.value),
        energy_nj: stats::median(&mut stretches.iter().filter_map(energy).collect::<Vec<_>>()),
        error: error(one_way, round_trip, stretches.is_empty(), whole.is_empty()),
        cpu_lo_ns: cpu_figure.and_then(|figure| figure.lo),
        cpu_hi_ns: cpu_figure.and_then(|figure| figure.hi),
        round_trip_lo_ns: trip_figure.and_then(|figure| figure.lo),
        round_trip_hi_ns: trip_figure.and_then(|figure| figure.hi),
        round_trip_cpu_lo_ns: trip_cpu_figure.and_then(|figure| figure.lo),
        round_trip_cpu_hi_ns: trip_cpu_figure.and_then(|figure| figure.hi),
        flags: flags(one_way, &[&cpu]).into_iter().collect(),
        round_trip_flags: flags(round_trip, &[&trips_ns, &trips_cpu]).into_iter().collect(),
        round_trip_pairs: Some(whole.len() as u32),
        proximity: common_proximity(&counted),
        round_trip_proximity: common_proximity(&trips),
        ..CostRow::empty(cell)
    }
}

/// Why figures are missing, or why there are fewer pairs than planned.
fn error(one_way: &Accumulator, round_trip: &Accumulator, none_arrived: bool, none_whole: bool) -> String {
    let lost = |accumulator: &Accumulator, none: bool| {
        (none && !accumulator.counted().is_empty()).then_some("messages were lost")
    };
    let of = |accumulator: &Accumulator, none: bool| match accumulator.error() {
        error if error.is_empty() => lost(accumulator, none).unwrap_or_default().to_owned(),
        error => error,
    };
    match [of(one_way, none_arrived), of(round_trip, none_whole)] {
        [first, second] if first == second || second.is_empty() => first,
        [first, second] if first.is_empty() => format!("round trips: {second}"),
        [first, second] => format!("{first}; round trips: {second}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_lab::worker::PairError;
    use bench_record::{
        cell::{Access, Cell, Pattern, Placement, Workload},
        rows::Flags,
    };
    use ipc_core::{Error, Wait};

    fn accumulator(pattern: Pattern) -> Accumulator {
        let (workload, placement) = (Workload::Cost, Placement::CrossCore);
        let cell = Cell { workload, mechanism: "udp", size: 64, placement, wait: Wait::Block, access: Access::Copy };
        Accumulator::new(cell, pattern, 3, true)
    }

    /// A pair that moved `messages` in 1000 ns each. Per message its sender made one call, its receiver two.
    fn sample(messages: u64, lost: u64) -> Sample {
        let moved = messages - lost;
        let usage = Usage {
            calls: moved,
            voluntary: moved / 2,
            involuntary: moved / 4,
            minor_faults: moved / 5,
            user_ns: 100 * moved,
            system_ns: 300 * moved,
            cpu_ns: 400 * moved,
            elapsed_ns: 1000 * moved,
            energy_uj: Some(3 * moved),
        };
        let responder = Usage { calls: 2 * moved, cpu_ns: 900 * moved, energy_uj: None, ..usage };
        Sample {
            messages,
            lost,
            elapsed_ns: 1000 * moved,
            usage: Some(usage),
            responder_usage: Some(responder),
            ..Sample::default()
        }
    }

    fn filled(pattern: Pattern, samples: impl IntoIterator<Item = Sample>) -> Accumulator {
        let mut accumulator = accumulator(pattern);
        samples.into_iter().for_each(|sample| accumulator.add(Ok(sample)));
        accumulator
    }

    #[test]
    fn what_a_pair_used_is_divided_by_what_arrived() {
        let one_way = filled(Pattern::OneWay, [sample(1000, 200)]);
        let row = of(&one_way, &filled(Pattern::RoundTrip, [sample(100, 0)]));
        assert_eq!((row.pairs, row.messages, row.error.as_str()), (1, 800, ""));
        assert_eq!((row.syscalls_send, row.syscalls_recv), (Some(1.0), Some(2.0)));
        assert_eq!((row.voluntary_send, row.voluntary_recv), (Some(0.5), Some(0.5)));
        assert_eq!((row.involuntary_send, row.minor_faults_recv), (Some(0.25), Some(0.2)));
        assert_eq!((row.user_ns_send, row.system_ns_recv), (Some(100.0), Some(300.0)));
        assert_eq!((row.cpu_ns, row.energy_nj), (Some(1300.0), Some(3000.0)));
        assert!((row.utilisation.unwrap() - 1.3).abs() < 1e-9);
        assert_eq!((row.round_trip_ns, row.round_trip_cpu_ns), (Some(1000.0), Some(1300.0)));
    }

    #[test]
    fn a_figure_is_the_median_over_pairs() {
        let with_calls = |calls| {
            let mut sample = sample(100, 0);
            sample.usage.as_mut().unwrap().calls = calls;
            sample
        };
        let row = of(&filled(Pattern::OneWay, [500, 100, 120].map(with_calls)), &accumulator(Pattern::RoundTrip));
        assert_eq!((row.pairs, row.messages, row.syscalls_send), (3, 300, Some(1.2)));
    }

    #[test]
    fn what_is_compared_has_an_interval_and_the_flags_of_latency() {
        let at = |ns: u64| {
            let mut sample = sample(100, 0);
            sample.elapsed_ns = 100 * ns;
            sample.usage.as_mut().unwrap().cpu_ns = 100 * ns;
            sample.responder_usage.as_mut().unwrap().cpu_ns = 0;
            sample
        };
        let steady = of(
            &filled(Pattern::OneWay, [1000, 1010, 1020].map(at)),
            &filled(Pattern::RoundTrip, [2000, 2010, 2020].map(at)),
        );
        let ends = [
            (steady.cpu_lo_ns, steady.cpu_ns, steady.cpu_hi_ns),
            (steady.round_trip_lo_ns, steady.round_trip_ns, steady.round_trip_hi_ns),
            (steady.round_trip_cpu_lo_ns, steady.round_trip_cpu_ns, steady.round_trip_cpu_hi_ns),
        ];
        for (lo, value, hi) in ends {
            assert!(lo.unwrap() < value.unwrap() && value.unwrap() < hi.unwrap(), "{ends:?}");
        }
        assert!(steady.flags.is_empty() && steady.round_trip_flags.is_empty(), "{steady:?}");
        assert_eq!(steady.round_trip_pairs, Some(3));

        // Fewer pairs than planned one way; figures that are far apart in a round trip.
        let doubtful =
            of(&filled(Pattern::OneWay, [at(1000)]), &filled(Pattern::RoundTrip, [900, 1000, 2000, 2100].map(at)));
        assert_eq!((doubtful.cpu_ns, doubtful.cpu_lo_ns), (Some(1000.0), None));
        assert_eq!(doubtful.flags, Flags::from_iter([Flag::Partial]));
        assert_eq!(doubtful.round_trip_flags, Flags::from_iter([Flag::Unsteady, Flag::Bimodal]));
    }

    #[test]
    fn without_energy_its_column_is_empty_and_that_is_no_error() {
        let mut bare = sample(100, 0);
        bare.usage.as_mut().unwrap().energy_uj = None;
        let row = of(&filled(Pattern::OneWay, [bare]), &filled(Pattern::RoundTrip, [sample(100, 0)]));
        assert_eq!((row.energy_nj, row.error.as_str()), (None, ""));
        assert!(row.cpu_ns.is_some());
    }

    #[test]
    fn lost_trips_leave_no_mean_and_say_so() {
        let one_way = filled(Pattern::OneWay, [sample(100, 0)]);
        let some = of(&one_way, &filled(Pattern::RoundTrip, [sample(100, 1), sample(100, 0)]));
        assert_eq!((some.round_trip_ns, some.error.as_str()), (Some(1000.0), ""));
        let none = of(&one_way, &filled(Pattern::RoundTrip, [sample(100, 1)]));
        assert_eq!((none.round_trip_ns, none.round_trip_cpu_ns), (None, None));
        assert_eq!((none.error.as_str(), none.syscalls_send), ("round trips: messages were lost", Some(1.0)));
        let nothing = of(&filled(Pattern::OneWay, [sample(100, 100)]), &filled(Pattern::RoundTrip, [sample(9, 0)]));
        assert_eq!((nothing.error.as_str(), nothing.pairs, nothing.cpu_ns), ("messages were lost", 0, None));
    }

    #[test]
    fn a_cell_that_fails_says_why_once() {
        let failing = |pattern, error: PairError| {
            let mut accumulator = accumulator(pattern);
            accumulator.add(Err(error));
            accumulator
        };
        let too_large = || PairError::Channel(Error::TooLarge { len: 70_000, max: 65_507 });
        let row = |one_way, round_trip| super::of(&one_way, &round_trip);
        let failed = row(failing(Pattern::OneWay, too_large()), failing(Pattern::RoundTrip, too_large()));
        assert_eq!(failed.error, Error::TooLarge { len: 70_000, max: 65_507 }.to_string());
        assert_eq!((failed.pairs, failed.syscalls_send, failed.round_trip_ns), (0, None, None));

        let hung = PairError::Hung(std::time::Duration::from_secs(1));
        let half = row(filled(Pattern::OneWay, [sample(9, 0)]), failing(Pattern::RoundTrip, hung));
        assert_eq!(half.error, "round trips: no result within 1s");
        assert!(half.cpu_ns.is_some());

        let wrong = PairError::WrongPayload("byte 3".into());
        let none = row(filled(Pattern::OneWay, [sample(9, 0)]), failing(Pattern::RoundTrip, wrong));
        assert_eq!((none.error.as_str(), none.cpu_ns), ("wrong payload: byte 3", None));
    }
}
