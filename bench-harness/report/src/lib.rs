//! What a run leaves for readers: ranking tables, charts, a self-contained HTML page and a README.
//!
//! Everything here is a function of the result files: [`build`] reads them back and writes the rest, so that a report
//! can be made again at any time, anywhere, and two reports of the same results are the same to the byte.

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

/// All that a run has written, read back.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The rows of its CSV files. Those of `faults.csv` may be of another run.
    pub rows: Rows,
    /// The facts of `host.json`; `None` where there is none.
    pub host: Option<Host>,
    /// The facts of mechanisms by which charts group them; they are in no file.
    pub specs: Vec<Spec>,
    /// The histograms, by the name of their cell.
    pub distributions: BTreeMap<String, Distribution>,
}

impl Results {
    /// Reads the results folder `dir`; `specs` are the facts by which charts group mechanisms. A run may have measured one workload only, so any CSV file may be missing.
    ///
    /// # Errors
    /// [`Error::NoResults`] where there is none of a run, otherwise what is wrong with the first file that cannot be read.
    pub fn read(dir: &Path, specs: &[Spec]) -> Result<Self, Error> {
        let _lock = folder::settle(dir)?;
        Self::gather(dir, specs)
    }

    fn gather(dir: &Path, specs: &[Spec]) -> Result<Self, Error> {
        Self::of_kinds(dir, specs, |_| true)
    }

    /// What a run has written, without faults, from a folder that no other process writes to.
    ///
    /// # Errors
    /// As [`Results::read`].
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

    /// By which its mechanisms are drawn.
    pub fn palette(&self) -> Palette<'_> {
        Palette(&self.specs)
    }

    /// Writes charts, `report.html` and `README.md` into the draft `dir`. Returns the files written, the HTML page first.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
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

    /// The machine and the day.
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

/// What a terminal shows of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// All tables but the last, and what their ranks and marks mean.
    pub tables: String,
    /// The table that answers: it is printed last, where it stays on the screen.
    pub answer: String,
}

/// The tables of `rows` for a terminal of `width` columns. Where there is no [main table](overview) the ranking of the
/// smallest messages answers.
pub fn terminal(rows: &Rows, width: usize) -> Printed {
    let mut tables = shown::brief(rows);
    // The table of copies has the calls as well, and what is in one piece is read at one look.
    let main = |with_calls| overview::table(rows, overview::short, with_calls);
    let glance = main(true).filter(|table| table.width() <= width).or_else(|| main(false));
    let legend = tables::legend(&tables.iter().chain(&glance).cloned().collect::<Vec<_>>(), width);
    let answer = match glance {
        Some(table) => table.terminal(width) + &overview::key(&table, width),
        None => tables.pop().map_or(String::new(), |table| table.terminal(width)),
    };
    let printed = tables.iter().map(|table| table.terminal(width)).chain((!legend.is_empty()).then_some(legend));
    Printed { tables: printed.collect::<Vec<_>>().join("\n"), answer }
}

/// The HTML page.
pub const PAGE: &str = "report.html";
/// The page for code hosts.
pub const README: &str = "README.md";

/// What each of them has near its beginning.
pub const PAGE_MARK: &str = "<title>Linux IPC: ";
/// What the page for code hosts begins with.
pub const README_MARK: &str = "# Results\n\nGenerated; do not edit.";

/// The files that a report consists of.
pub const OWNED: Owned = Owned { folders: &[charts::FOLDER], owns };

/// Whether a report may have written the file `name` of a results folder.
pub fn owns(name: &Path) -> bool {
    let is_chart = |chart: &charts::Chart| name == Path::new(charts::FOLDER).join(chart.file);
    name == Path::new(PAGE) || name == Path::new(README) || shown::charts(&Results::default()).iter().any(is_chart)
}

/// Reads the results in `dir` and writes charts, `report.html` and `README.md` beside them; charts of an earlier run that can no
/// longer be drawn are removed. Returns the files written, the HTML page first.
///
/// # Errors
/// As [`Results::read`], and [`Error::Io`] where a file cannot be written. The folder is then as it was.
pub fn build(dir: &Path, specs: &[Spec]) -> Result<Vec<PathBuf>, Error> {
    rebuild(dir, specs).map(|(_, written)| written)
}

/// The same, and returns the results as well.
///
/// # Errors
/// As [`build`].
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
