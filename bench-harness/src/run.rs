//! One whole run: every cell of a plan, pair by pair, and what is written of it.

use crate::{
    beside,
    experiments::{cost, tally::Tally},
    plan::Plan,
};
use bench_lab::{
    baseline, clock, interrupt,
    pair::DEADLINE,
    progress::Progress,
    sample::{Job, Sample, is_relocated},
    topology::Topology,
    worker::PairError,
};
use bench_record::{
    baseline::Baselines,
    cell::{Cell, Workload},
    host::{self, Host, rfc3339},
    rows::{
        self, CostRow, LatencyRow, ThroughputRow,
        folder::{self, Owned},
        histograms,
        outcome::Tally as Outcomes,
    },
    stats,
};
use bench_report::{self, charts};
use hdrhistogram::Histogram;
use ipc_core::{Reliability, Spec, process::Schedule};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

/// How often a pair that moved between its probes is measured again.
const REPETITIONS: u32 = 2;

/// What a run has measured.
pub struct Results {
    /// One row per latency cell.
    pub latency: Vec<LatencyRow>,
    /// One row per throughput cell.
    pub throughput: Vec<ThroughputRow>,
    /// One row per cost cell.
    pub cost: Vec<CostRow>,
    /// What was measured beside the cells.
    pub beside: beside::Rows,
    /// The stamped round trips of every latency cell that has some.
    pub histograms: Vec<(String, Histogram<u64>)>,
    /// The machine and the run.
    pub host: Host,
    /// Whether the user stopped it; it then holds what was measured until then.
    pub interrupted: bool,
    /// Whether any payload arrived wrong: a negative verdict.
    pub wrong_payload: bool,
    started: SystemTime,
    specs: Vec<Spec>,
}

/// Measures every cell of `plan`. `command` is how it was called, for the record.
pub fn measure(plan: &Plan, topology: &Topology, command: String) -> Results {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let mut tallies: Vec<Vec<Tally>> = plan.cells.iter().map(|&cell| tallies_of(cell, plan)).collect();
    let mut null_syscalls = Vec::new();
    let mut progress = Progress::new(plan.steps(), "steps");
    let take = || (plan.has_anchors() && !interrupt::requested()).then(|| baseline::measure(topology));
    let mut anchors = Baselines { start: take(), ..Default::default() };
    'run: for pass in 0..plan.passes() {
        if pass > 0 && pass == plan.passes() / 2 {
            anchors.middle = take();
        }
        null_syscalls.push(clock::null_syscall_ns());
        for index in plan.order(pass) {
            let cell = plan.cells[index];
            if pass >= plan.effort(cell.workload).pairs {
                continue;
            }
            progress.begin(&cell);
            for tally in &mut tallies[index] {
                if !tally.is_hopeless() {
                    tally.add(measure_steady(plan, topology, tally));
                }
                progress.advance(1);
                if interrupt::requested() {
                    break 'run;
                }
            }
        }
    }
    if plan.passes() == 1 {
        anchors.middle = take();
    }
    let beside = plan.beside.measure(topology, &mut progress);
    anchors.end = take();
    progress.finish();

    let (mut probes, mut clock_reads) = (Vec::new(), Vec::new());
    for tally in tallies.iter().flatten() {
        let (probe, clock_read) = tally.floors();
        probes.extend(probe);
        clock_reads.extend(clock_read);
    }
    let mut host = crate::built::host();
    host.run.command = Some(command);
    host.run.started = Some(rfc3339(started));
    host.run.duration_s = Some(clock.elapsed().as_secs_f64());
    host.run.pairs = Some(plan.passes());
    host.run.clock_read_ns = stats::median(&mut clock_reads);
    host.run.null_syscall_ns = stats::median(&mut null_syscalls);
    host.run.cache_line_round_trip_ns = stats::median(&mut probes);
    host.run.anchors = plan.has_anchors().then_some(anchors);
    host.run.notes.clone_from(&plan.notes);
    host.run.notes.extend(schedule_note(Schedule::current()));
    if let Some(cause) = interrupt::cause() {
        host.run.notes.push(format!("the run was stopped by {cause}: cells have fewer pairs than planned, or none"));
    }

    let of = |workload| tallies.iter().flatten().filter(move |tally: &&Tally| tally.cell.workload == workload);
    let costs = tallies.iter().filter_map(|tallies| match &tallies[..] {
        [one_way, round_trip] => Some(cost::row(one_way, round_trip)),
        _ => None,
    });
    Results {
        latency: of(Workload::Latency).map(Tally::latency_row).collect(),
        throughput: of(Workload::Throughput).map(Tally::throughput_row).collect(),
        cost: costs.collect(),
        histograms: of(Workload::Latency).filter_map(|t| Some((t.cell.to_string(), t.histogram()?))).collect(),
        host,
        interrupted: interrupt::requested(),
        wrong_payload: beside.wrong_payload || tallies.iter().flatten().any(Tally::has_wrong_payload),
        beside,
        started,
        specs: plan.registry.specs(),
    }
}

/// What a reader must know who compares a run that the scheduler treated so with others.
fn schedule_note(own: Schedule) -> Option<String> {
    let pairs = own.of_children();
    let note = match own.policy.is_real_time() {
        true => format!("this program ran under {own}, what it measures under {pairs}, so that it can end what hangs"),
        false => format!("this program and what it measures ran under {own}"),
    };
    (own != Schedule::ORDINARY).then(|| format!("{note}: compare it with runs of the same kind only"))
}

/// An empty tally for each pattern of `cell`.
fn tallies_of(cell: Cell, plan: &Plan) -> Vec<Tally> {
    let pairs = plan.effort(cell.workload).pairs;
    let lossy =
        plan.registry.named(cell.mechanism).is_some_and(|mechanism| mechanism.spec.reliability == Reliability::Lossy);
    cell.workload.patterns().iter().map(|&pattern| Tally::new(cell, pattern, pairs, lossy)).collect()
}

/// Measures one pair; one that the hypervisor moved meanwhile is measured again, and the last one counts.
fn measure_steady(plan: &Plan, topology: &Topology, tally: &Tally) -> Result<Sample, PairError> {
    let cell = tally.cell;
    let job = Job {
        pattern: tally.pattern,
        size: cell.size,
        cpus: topology.cpus(cell.placement).expect("the plan has placements of this topology only"),
        wait: cell.wait,
        budget: plan.effort(cell.workload).budget,
        deadline: DEADLINE,
        slow_by: None,
    };
    let mechanism = plan.registry.named(cell.mechanism).expect("the plan has mechanisms of the registry only");
    let mut sample = mechanism.run(cell.access, &job)?;
    for _ in 0..REPETITIONS {
        if !is_relocated(&sample) {
            break;
        }
        sample = mechanism.run(cell.access, &job)?;
    }
    Ok(sample)
}

impl Results {
    /// Why there is not a single figure; `None` where there is one.
    pub fn why_nothing(&self) -> Option<String> {
        let beside::Rows { copies, lifecycle, relay, .. } = &self.beside;
        let cells = Outcomes::default().with(&self.latency).with(&self.throughput).with(&self.cost);
        cells.with(copies).with(lifecycle).with(relay).why_nothing()
    }

    /// Writes rows, histograms, host and everything that `bench-report` makes of them to `dir`, all together or not at all, and returns
    /// the paths of all of it, of the histograms that of their log. Files of an earlier run that this one has nothing for are removed. Files of others stay, and so does
    /// `faults.csv`, which says itself when and where it was measured.
    ///
    /// # Errors
    /// [`rows::Error`] naming the file. The folder is then as it was.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, rows::Error> {
        folder::replace(dir, OWNED, |draft| {
            let rows = [
                write_unless_empty(draft, &self.latency)?,
                write_unless_empty(draft, &self.throughput)?,
                write_unless_empty(draft, &self.cost)?,
                write_unless_empty(draft, &self.beside.copies)?,
                write_unless_empty(draft, &self.beside.lifecycle)?,
                write_unless_empty(draft, &self.beside.relay)?,
            ];
            histograms::write(draft, self.started, &self.histograms)?;
            self.host.write(draft)?;
            let mut results = bench_report::Results::of_run(draft, &self.specs)?;
            // What is wrong with the faults is no reason to lose the run: `report` says it.
            results.faults = rows::read_any(dir).unwrap_or_default();
            let others = [draft.join(histograms::LOG), draft.join(host::FILE)];
            Ok(rows.into_iter().flatten().chain(others).chain(results.write(draft)?).collect())
        })
    }
}

/// The files that a run may have written.
const OWNED: Owned = Owned { folders: &["", charts::FOLDER, histograms::FOLDER], owns };

fn owns(name: &Path) -> bool {
    rows::OF_A_RUN.iter().any(|(file, _)| name == Path::new(file))
        || [host::FILE, histograms::LOG].iter().any(|file| name == Path::new(file))
        || histograms::owns(name)
        || bench_report::owns(name)
}

/// A file in `dir` that has the name of one that a run writes and is none, if there is one.
pub fn foreign(dir: &Path) -> Option<PathBuf> {
    // Each with words near its beginning. Columns are added at the end, so the first ones are in every version.
    let csv = rows::OF_A_RUN.iter().map(|(file, columns)| (*file, columns[..2].join(",")));
    let others = [
        (host::FILE, "\"cpu\":"),
        (bench_report::README, bench_report::README_MARK),
        (bench_report::PAGE, bench_report::PAGE_MARK),
    ];
    let all = csv.chain(others.map(|(file, words)| (file, words.to_owned())));
    all.map(|(file, words)| (dir.join(file), words))
        .find(|(path, words)| {
            let mut start = Vec::new();
            let read = File::open(path).and_then(|file| file.take(1 << 12).read_to_end(&mut start));
            read.is_ok_and(|len| len > 0) && !String::from_utf8_lossy(&start).contains(words)
        })
        .map(|(path, _)| path)
}

fn write_unless_empty<R: rows::Row>(dir: &Path, rows: &[R]) -> Result<Option<PathBuf>, rows::Error> {
    if rows.is_empty() { Ok(None) } else { rows::write(dir, rows).map(|()| Some(dir.join(R::FILE))) }
}
