//! Faults: what becomes of a process whose peer dies, closes or stops in the middle of a transfer. Guaranteed by tests, and
//! measured here as figures that help to choose.
//!
//! A [`Fault`] strikes one process of a pair in a [`Trial`](bench_lab::faults::Trial). The trials of one fault on one mechanism become
//! a [`FaultRow`]. `ipc-bench faults` measures them; they are no part of a run.

mod series;

use super::{Choice, Experiment, Found, Lab, Part};
use bench_lab::topology::Cpus;
use bench_record::{
    cell::Placement,
    fault::Fault,
    host::rfc3339,
    rows::{
        self, FaultRow,
        folder::{self, Owned},
    },
};
use ipc_core::Spec;
use series::Series;
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Kills of a mechanism where none are asked for.
pub const KILLS: u32 = 50;

/// Every fault on every mechanism, in trials whose details are left to chance.
pub struct Faults {
    kills: u32,
    /// The two processes run on two cores, where the machine has them: on one, a survivor that polls would keep the victim from
    /// dying for a time slice, and that would be measured.
    cpus: Cpus,
    started: SystemTime,
    machine: String,
}

impl Faults {
    /// As many SIGKILLs of each mechanism as `kills`; the other faults in proportion.
    pub fn of(choice: &Choice<'_>, kills: u32) -> (Self, Vec<Series>) {
        let of = |mechanism| Fault::ALL.iter().filter_map(move |&fault| Series::new(mechanism, fault));
        let faults = Self {
            kills,
            cpus: choice.topology.cpus(Placement::CrossCore).flatten(),
            started: SystemTime::now(),
            machine: crate::built::host().title(),
        };
        (faults, choice.mechanisms().into_iter().flat_map(of).collect())
    }
}

impl Experiment for Faults {
    type Row = FaultRow;
    type Subject = Series;
    const PARTS: &'static [Part] = &[Part::Mechanism];
    const TIMED: bool = false;

    fn plan(choice: &Choice<'_>, _notes: &mut Vec<String>) -> (Self, Vec<Series>) {
        Self::of(choice, KILLS)
    }

    fn visits(&self, series: &Series) -> u32 {
        series.fault.trials(self.kills)
    }

    fn visit(&mut self, _lab: &mut Lab<'_>, series: &mut Series, _visit: u32) {
        series.play(self.cpus);
    }

    fn row(&self, series: &Series, _found: &mut Found) -> Option<FaultRow> {
        Some(FaultRow { measured: rfc3339(self.started), machine: self.machine.clone(), ..series.row() })
    }

    fn verdict(row: &FaultRow) -> Option<String> {
        row.is_bad().then(|| bench_report::faults::verdict(row))
    }
}

/// Writes `rows` to `dir`, and where a run lies there its report with these faults, together or not at all. `specs` are the facts of
/// the mechanisms. Returns the files of the report.
///
/// # Errors
/// [`rows::Error`] naming the file. The folder is then as it was.
pub fn write(rows: &[FaultRow], dir: &Path, specs: &[Spec]) -> Result<Vec<PathBuf>, rows::Error> {
    // Without a run there is no report, so a README.md that lies there is somebody else's.
    let has_run = rows::has_run(dir);
    folder::replace(dir, if has_run { bench_report::OWNED } else { Owned::NOTHING }, |draft| {
        rows::write(draft, rows)?;
        if !has_run {
            return Ok(Vec::new());
        }
        let mut results = bench_report::Results::of_run(dir, specs)?;
        results.rows.faults = rows.to_vec();
        results.write(draft)
    })
}
