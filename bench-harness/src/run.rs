//! One whole run: measures every cell of a plan, pair by pair, and writes the results.

use crate::{
    experiments::{self, Found, Lab},
    plan::Plan,
};
use bench_lab::{baseline, clock, interrupt, progress::Progress, topology::Topology};
use bench_record::{
    baseline::Baselines,
    host::{self, Host, rfc3339},
    rows::{
        self, Kind,
        folder::{self, Owned},
        histograms,
    },
    stats,
};
use bench_report::{self, charts};
use ipc_core::{Spec, process::Schedule};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

/// The results of a run.
pub struct Results {
    /// Rows and histograms, and what is wrong with them.
    pub found: Found,
    /// The machine and the run.
    pub host: Host,
    /// Whether the user stopped the run. The results are then those until the stop.
    pub interrupted: bool,
    started: SystemTime,
    specs: Vec<Spec>,
}

/// Measures all of `plan`. `command` is the command line, for the record.
pub fn measure(mut plan: Plan, topology: &Topology, command: String) -> Results {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let mut null_syscalls = Vec::new();
    let mut progress = Progress::new(plan.steps(), "steps");
    let (passes, has_anchors) = (plan.passes(), plan.has_anchors());
    let take = || (has_anchors && !interrupt::requested()).then(|| baseline::measure(topology));
    let mut anchors = Baselines { start: take(), ..Default::default() };
    let mut lab = Lab::new(plan.registry, topology);
    experiments::measure(&mut plan.experiments, &mut lab, &mut progress, |pass| {
        if pass > 0 && pass == passes / 2 {
            anchors.middle = take();
        }
        null_syscalls.push(clock::null_syscall_ns());
    });
    if passes == 1 {
        anchors.middle = take();
    }
    anchors.end = take();
    progress.finish();

    let mut found = Found::default();
    plan.experiments.iter().for_each(|planned| planned.finish(&mut found));
    let mut host = crate::built::host();
    host.run.command = Some(command);
    host.run.started = Some(rfc3339(started));
    host.run.duration_s = Some(clock.elapsed().as_secs_f64());
    host.run.pairs = Some(passes);
    host.run.clock_read_ns = stats::median(&mut lab.clock_reads);
    host.run.null_syscall_ns = stats::median(&mut null_syscalls);
    host.run.cache_line_round_trip_ns = stats::median(&mut lab.probes);
    host.run.anchors = has_anchors.then_some(anchors);
    host.run.notes = plan.notes;
    host.run.notes.extend(schedule_note(Schedule::current()));
    if let Some(cause) = interrupt::cause() {
        host.run.notes.push(format!("the run was stopped by {cause}: cells have fewer pairs than planned, or none"));
    }
    Results { found, host, interrupted: interrupt::requested(), started, specs: plan.registry.specs() }
}

/// A note for readers who compare this run with others. `None` for an ordinary schedule.
fn schedule_note(own: Schedule) -> Option<String> {
    let pairs = own.of_children();
    let note = match own.policy.is_real_time() {
        true => format!("this program ran under {own}, what it measures under {pairs}, so that it can end what hangs"),
        false => format!("this program and what it measures ran under {own}"),
    };
    (own != Schedule::ORDINARY).then(|| format!("{note}: compare it with runs of the same kind only"))
}

impl Results {
    /// Writes rows, histograms, host and everything that `bench-report` makes of them to `dir`, all together or not at
    /// all. Returns the paths of all files; for the histograms, only the path of their log.
    ///
    /// Files of an earlier run that this run has nothing for are removed. Files of others stay. `faults.csv` stays as
    /// well: it says when and where it was measured.
    ///
    /// # Errors
    /// [`rows::Error`] with the file's name. The folder is then unchanged.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, rows::Error> {
        folder::replace(dir, OWNED, |draft| {
            let rows = self.found.rows.write(draft)?;
            histograms::write(draft, self.started, &self.found.histograms)?;
            self.host.write(draft)?;
            let mut results = bench_report::Results::of_run(draft, &self.specs)?;
            // An error in `faults.csv` must not lose the run. `report` shows the error.
            results.rows.faults = rows::read_any(dir).unwrap_or_default();
            let others = [draft.join(histograms::LOG), draft.join(host::FILE)];
            Ok(rows.into_iter().chain(others).chain(results.write(draft)?).collect())
        })
    }
}

/// The files that a run may have written.
const OWNED: Owned = Owned { folders: &["", charts::FOLDER, histograms::FOLDER], owns };

fn of_a_run() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.is_of_a_run())
}

fn owns(name: &Path) -> bool {
    of_a_run().any(|kind| name == Path::new(kind.file()))
        || [host::FILE, histograms::LOG].iter().any(|file| name == Path::new(file))
        || histograms::owns(name)
        || bench_report::owns(name)
}

/// A file in `dir` that a run would replace, but that no run wrote. `None` if there is no such file.
pub fn foreign(dir: &Path) -> Option<PathBuf> {
    // Each file has certain words near its beginning. Columns are added at the end, so the first ones are in every
    // version.
    let csv = of_a_run().map(|kind| (kind.file(), kind.columns()[..2].join(",")));
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
