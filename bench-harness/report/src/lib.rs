//! Reports of a run: ranking tables, charts, a self-contained HTML page and a README.
//!
//! Everything here is a function of the result files: [`build`] reads them back and writes the rest. So a report can be
//! made again at any time, anywhere. Two reports of the same results are the same to the byte.

pub mod blocks;
pub mod charts;
pub mod copies;
pub mod cost;
pub mod facts;
pub mod faults;
pub mod history;
mod html;
mod latency;
pub mod lifecycle;
pub mod matrix;
pub mod model;
pub mod overview;
mod readme;
pub mod reference;
pub mod relay;
pub mod shown;
pub mod table;
pub mod tables;
pub mod text;
mod throughput;
pub mod units;

use crate::charts::palette::Palette;
use bench_record::{
    host::Host,
    rows::{
        self, Distribution, Error, Kind, Rows,
        folder::{self, Owned},
        write_atomically,
    },
};
use ipc_core::Spec;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// All results of a run, read back.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The rows of the run's CSV files. Rows of `faults.csv` may be from another run.
    pub rows: Rows,
    /// The facts in `host.json`. `None` if there is no such file.
    pub host: Option<Host>,
    /// Facts of mechanisms by which charts group them. No result file has them.
    pub specs: Vec<Spec>,
    /// The distributions of round trips, by the name of their cell.
    pub distributions: BTreeMap<String, Distribution>,
}

impl Results {
    /// Reads the results folder `dir`. `specs` are the facts by which charts group mechanisms. A run may have measured
    /// one workload only, so any CSV file may be missing.
    ///
    /// # Errors
    /// [`Error::NoResults`] if the folder has no results of a run. Otherwise the error of the first file that cannot be
    /// read.
    pub fn read(dir: &Path, specs: &[Spec]) -> Result<Self, Error> {
        let _lock = folder::settle(dir)?;
        Self::gather(dir, specs)
    }

    fn gather(dir: &Path, specs: &[Spec]) -> Result<Self, Error> {
        Self::of_kinds(dir, specs, |_| true)
    }

    /// Reads the results of a run, without faults, from a folder that no other process writes to.
    ///
    /// # Errors
    /// The errors of [`Results::read`].
    pub fn of_run(dir: &Path, specs: &[Spec]) -> Result<Self, Error> {
        Self::of_kinds(dir, specs, Kind::is_of_a_run)
    }

    fn of_kinds(dir: &Path, specs: &[Spec], kinds: impl Fn(Kind) -> bool) -> Result<Self, Error> {
        let rows = Rows::read(dir, kinds)?;
        let mut results = Self { rows, host: Host::read(dir)?, specs: specs.to_vec(), distributions: BTreeMap::new() };
        if !rows::has_run(dir) {
            return Err(Error::NoResults { dir: dir.into() });
        }
        let mut logged = Distribution::read_all(dir)?;
        let measured = results.rows.latency.iter().filter(|row| row.p50_ns.is_some()).map(|row| row.key().to_string());
        results.distributions = measured.filter_map(|cell| logged.remove_entry(&cell)).collect();
        Ok(results)
    }

    /// The palette with which the run's mechanisms are drawn.
    pub fn palette(&self) -> Palette<'_> {
        Palette(&self.specs)
    }

    /// Writes charts, `report.html` and `README.md` into the draft `dir`. Returns the written files, the HTML page
    /// first.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let (sections, drawn) = (shown::sections(self), shown::charts(self));

        let mut written = vec![dir.join(PAGE), dir.join(README)];
        write_atomically(&written[0], html::page(self, &sections, &drawn).as_bytes())?;
        write_atomically(&written[1], readme::text(self, &sections, &drawn).as_bytes())?;
        let folder = dir.join(charts::FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        for chart in &drawn {
            if let Ok(svg) = &chart.drawing {
                let path = folder.join(chart.file);
                write_atomically(&path, svg.as_bytes())?;
                written.push(path);
            }
        }
        Ok(written)
    }

    /// The machine, and the day of the run.
    fn source(&self) -> String {
        let started = self.host.as_ref().and_then(|host| host.run.started.as_deref());
        let day = started.map_or("an unknown day", |day| day.get(..10).unwrap_or(day));
        format!("{}, {day}", self.machine())
    }

    /// The line under a chart's title: the machine.
    fn machine(&self) -> String {
        self.host.as_ref().map_or("unknown machine".to_owned(), Host::title)
    }
}

/// The tables of a run for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// All tables but the last, and the meaning of their ranks and marks.
    pub tables: String,
    /// The most important table. It is printed last, so that it stays on the screen.
    pub answer: String,
}

/// The tables of `rows` for a terminal of `width` columns. The answer is the [main table](overview). If there is none,
/// it is the ranking of the smallest messages.
pub fn terminal(rows: &Rows, width: usize) -> Printed {
    let mut tables = shown::brief(rows);
    // System calls are also in the table of copies, so they are left out if the main table is too wide with them.
    let main = |with_calls| overview::table(rows, overview::short, with_calls);
    let glance = main(true).filter(|table| table.width() <= width).or_else(|| main(false));
    let legend = tables::legend(tables.iter().chain(&glance), width);
    let answer = match glance {
        Some(table) => table.terminal(width) + &overview::key(&table, width),
        None => tables.pop().map_or(String::new(), |table| table.terminal(width)),
    };
    let printed = tables.iter().map(|table| table.terminal(width)).chain((!legend.is_empty()).then_some(legend));
    Printed { tables: printed.collect::<Vec<_>>().join("\n"), answer }
}

/// File name of the HTML page.
pub const PAGE: &str = "report.html";
/// File name of the page for code hosts.
pub const README: &str = "README.md";

/// Text near the beginning of every HTML page.
pub const PAGE_MARK: &str = "<title>Linux IPC: ";
/// Text at the beginning of every page for code hosts.
pub const README_MARK: &str = "# Results\n\nGenerated; do not edit.";

/// The files that make up a report.
pub const OWNED: Owned = Owned { folders: &[charts::FOLDER], owns };

/// Whether a report may have written the file `name` of a results folder.
pub fn owns(name: &Path) -> bool {
    let is_chart = |chart: &charts::Chart| name == Path::new(charts::FOLDER).join(chart.file);
    name == Path::new(PAGE) || name == Path::new(README) || shown::charts(&Results::default()).iter().any(is_chart)
}

/// Reads the results in `dir` and writes charts, `report.html` and `README.md` beside them. Charts of an earlier run
/// that can no longer be drawn are removed. Returns the written files, the HTML page first.
///
/// # Errors
/// The errors of [`Results::read`], and [`Error::Io`] if a file cannot be written. The folder is then unchanged.
pub fn build(dir: &Path, specs: &[Spec]) -> Result<Vec<PathBuf>, Error> {
    rebuild(dir, specs).map(|(_, written)| written)
}

/// Writes a report like [`build`], and returns the results as well.
///
/// # Errors
/// The errors of [`build`].
pub fn rebuild(dir: &Path, specs: &[Spec]) -> Result<(Results, Vec<PathBuf>), Error> {
    if !dir.is_dir() {
        return Err(Error::NoResults { dir: dir.into() });
    }
    let mut results = Results::default();
    let written = folder::replace(dir, OWNED, |draft| {
        results = Results::gather(dir, specs)?;
        results.write(draft)
    })?;
    Ok((results, written))
}
