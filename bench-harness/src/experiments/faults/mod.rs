//! Faults: what becomes of a process whose peer dies, closes or stops in the middle of a transfer. Tests guarantee the
//! behaviour. This experiment measures it in figures that help to choose.
//!
//! A [`Fault`] strikes one process of a pair in a [`Trial`](bench_lab::faults::Trial). The trials of one fault on one
//! mechanism become a [`FaultRow`]. `ipc-bench faults` measures them; they are no part of a run.

mod series;

use super::{Choice, Experiment, Found, Lab};
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

/// The default number of kills per mechanism.
pub const KILLS: u32 = 50;

/// The experiment that inflicts every fault on every mechanism. Details of the trials are left to chance.
pub struct Faults {
    kills: u32,
    /// The CPUs of the two processes: two cores if the machine has them. On one core, a survivor that polls would delay
    /// the victim's death by a time slice, and that would be measured.
    cpus: Cpus,
    started: SystemTime,
    machine: String,
}

impl Faults {
    /// An experiment with `kills` SIGKILLs per mechanism, and other faults in proportion. Returns it with its series.
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

/// Writes `rows` to `dir`. If `dir` has a run, its report with these faults is written as well, together or not at all.
/// `specs` are the facts of the mechanisms. Returns the files of the report.
///
/// # Errors
/// [`rows::Error`] with the file's name. The folder is then unchanged.
pub fn write(rows: &[FaultRow], dir: &Path, specs: &[Spec]) -> Result<Vec<PathBuf>, rows::Error> {
    // Without a run there is no report. A README.md in the folder then belongs to somebody else.
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
