//! Criterion's view of every mechanism, for `--save-baseline` and `--baseline`: did my change make one slower?
//!
//! Every sample is a fresh forked pair, so that criterion's interval contains the variance between pairs. Sampling is
//! flat for the same reason. Blocking on one core, where a wake-up does not cover what the mechanism takes. Criterion is built
//! without rayon and so starts no thread, and `process::fork` refuses where there is one.
//!
//! What criterion compares with lies in the past, and on a shared machine the level moves by more between two runs than pairs differ
//! within one: more samples would make the intervals narrower and the verdicts no better. So the threshold of [`Group::noise`] decides, not
//! the interval.

use bench_harness::{Mechanism, STANDARD, cli::run::without_ours};
use bench_lab::{
    sample::{Budget, Job},
    topology::Topology,
};
use bench_record::cell::{Access, Cell, Placement, Workload};
use criterion::{Criterion, SamplingMode, Throughput};
use ipc_core::Wait;
use std::{os::unix::process::CommandExt, process::Command, time::Duration};

const DEADLINE: Duration = Duration::from_secs(10);
/// Pairs of a benchmark.
const PAIRS: usize = 30;
/// What is measured of each.
const STRETCH: Duration = Duration::from_millis(5);

/// The benchmarks of one workload.
struct Group {
    workload: Workload,
    /// Lengths of messages.
    sizes: &'static [usize],
    /// A change of the mean up to here is none, as a share of 1: what unchanged programs differ by (`scripts/baseline-noise.sh`).
    noise: f64,
}

/// How fast short messages follow each other on one core hangs on how many of them the scheduler has to a turn: that stays for
/// seconds, and differed up to six-fold the next time on an AMD EPYC virtual machine. So throughput is only that of long ones.
const GROUPS: [Group; 2] = [
    Group { workload: Workload::Latency, sizes: &[64, 64 << 10], noise: 0.3 },
    Group { workload: Workload::Throughput, sizes: &[64 << 10], noise: 0.5 },
];

fn main() {
    // `cargo bench -- OPTIONS` hands the same words to every target; criterion would fail on ours.
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let kept = without_ours(&words);
    if kept.len() < words.len() {
        let error = Command::new(std::env::current_exe().expect("this program's path")).args(&kept[1..]).exec();
        panic!("cannot start again without the options of `compare`: {error}");
    }
    let topology = Topology::here().expect("this process may run somewhere");
    for Group { workload, sizes, noise } in GROUPS {
        // Each its own, for a threshold of a group would go before the user's `--noise-threshold`.
        let mut criterion = Criterion::default()
            .warm_up_time(10 * STRETCH)
            .measurement_time(PAIRS as u32 * STRETCH)
            .sample_size(PAIRS)
            .nresamples(10_000)
            .noise_threshold(noise)
            .configure_from_args();
        for mechanism in STANDARD.iter() {
            for &size in sizes {
                bench(&mut criterion, &topology, workload, mechanism, size);
            }
        }
        criterion.final_summary();
    }
}

/// One benchmark, named as the cell it measures, so that the same filters work for `compare`.
fn bench(criterion: &mut Criterion, topology: &Topology, workload: Workload, mechanism: &Mechanism, size: usize) {
    let placement = Placement::SameCore;
    let cpus = topology.cpus(placement).expect("a process has a core");
    match mechanism.max_message() {
        Ok(max) if size > max => {
            eprintln!("{workload}/{}/{size}: left out: the limit here is {max} bytes", mechanism.spec.name);
            return;
        }
        Err(error) => {
            eprintln!("{workload}/{}/{size}: left out: {error}", mechanism.spec.name);
            return;
        }
        Ok(_) => {}
    }
    let cell =
        Cell { workload, mechanism: mechanism.spec.name, size, placement, wait: Wait::Block, access: Access::Copy };
    let mut group = criterion.benchmark_group(workload.name());
    group.sampling_mode(SamplingMode::Flat);
    if workload == Workload::Throughput {
        group.throughput(Throughput::Bytes(size as u64));
    }
    let name = cell.to_string();
    let id = name.split_once('/').map_or(name.as_str(), |(_, id)| id);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|count| {
            let budget = Budget::Messages(count);
            let pattern = workload.patterns()[0];
            let job = Job { pattern, size, cpus, wait: cell.wait, budget, deadline: DEADLINE, slow_by: None };
            let sample = mechanism.run(cell.access, &job).unwrap_or_else(|error| panic!("{name}: {error}"));
            Duration::from_nanos(sample.elapsed_ns)
        });
    });
    group.finish();
}
