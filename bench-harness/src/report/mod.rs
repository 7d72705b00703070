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
pub mod lifecycle;
pub mod matrix;
pub mod model;
pub mod overview;
mod readme;
pub mod relay;
pub mod table;
pub mod tables;
pub mod units;

use crate::host::Host;
use crate::record::{
    self, CopiesRow, CostRow, Distribution, Error, FaultRow, LatencyRow, LifecycleRow, RelayRow, Row, ThroughputRow,
    write_atomically,
};
use matrix::Matrix;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use table::Table;

/// The rows of one run, and where it was taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<'a> {
    /// The facts of `host.json`.
    pub host: Option<&'a Host>,
    /// The rows of `latency.csv`.
    pub latency: &'a [LatencyRow],
    /// The rows of `throughput.csv`.
    pub throughput: &'a [ThroughputRow],
    /// The rows of `cost.csv`.
    pub cost: &'a [CostRow],
    /// The rows of `copies.csv`.
    pub copies: &'a [CopiesRow],
    /// The rows of `lifecycle.csv`.
    pub lifecycle: &'a [LifecycleRow],
    /// The rows of `relay.csv`.
    pub relay: &'a [RelayRow],
    /// The rows of `faults.csv`.
    pub faults: &'a [FaultRow],
}

/// All that a run has written, read back.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The rows of `latency.csv`; empty where there is none.
    pub latency: Vec<LatencyRow>,
    /// The rows of `throughput.csv`; empty where there is none.
    pub throughput: Vec<ThroughputRow>,
    /// The rows of `copies.csv`; empty where there is none.
    pub copies: Vec<CopiesRow>,
    /// The rows of `cost.csv`; empty where there is none.
    pub cost: Vec<CostRow>,
    /// The rows of `lifecycle.csv`; empty where there is none.
    pub lifecycle: Vec<LifecycleRow>,
    /// The rows of `relay.csv`; empty where there is none.
    pub relay: Vec<RelayRow>,
    /// The rows of `faults.csv`, which another run may have measured; empty where there is none.
    pub faults: Vec<FaultRow>,
    /// The facts of `host.json`; `None` where there is none.
    pub host: Option<Host>,
    /// The histograms, by the name of their cell.
    pub distributions: BTreeMap<String, Distribution>,
}

impl Results {
    /// Reads the results folder `dir`. A run may have measured one workload only, so any CSV file may be missing.
    ///
    /// # Errors
    /// [`Error::NoResults`] where there is none of a run, otherwise what is wrong with the first file that cannot be read.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let mut results = Self {
            latency: record::read_any(dir)?,
            throughput: record::read_any(dir)?,
            copies: record::read_any(dir)?,
            cost: record::read_any(dir)?,
            lifecycle: record::read_any(dir)?,
            relay: record::read_any(dir)?,
            faults: record::read_any(dir)?,
            host: Host::read(dir)?,
            distributions: BTreeMap::new(),
        };
        let of_a_run =
            [LatencyRow::FILE, ThroughputRow::FILE, CopiesRow::FILE, CostRow::FILE, LifecycleRow::FILE, RelayRow::FILE];
        if !of_a_run.iter().any(|file| dir.join(file).exists()) {
            return Err(Error::NoResults { dir: dir.into() });
        }
        for row in results.latency.iter().filter(|row| row.p50_ns.is_some()) {
            let cell = row.key().to_string();
            if let Some(distribution) = Distribution::read(dir, &cell)? {
                results.distributions.insert(cell, distribution);
            }
        }
        Ok(results)
    }

    /// The rows of the run.
    pub fn rows(&self) -> Rows<'_> {
        let Self { host, latency, throughput, cost, copies, lifecycle, relay, faults, .. } = self;
        Rows { host: host.as_ref(), latency, throughput, cost, copies, lifecycle, relay, faults }
    }

    /// Every table with figures that may have ranks or marks.
    fn shown(&self) -> Vec<Table> {
        let rankings = self.tables().iter().map(Matrix::table).collect::<Vec<_>>();
        rankings.into_iter().chain(cost::tables(&self.cost, usize::MAX)).collect()
    }

    /// The ranking tables of every workload and size.
    pub fn tables(&self) -> Vec<Matrix> {
        matrix::all(&self.latency, &self.throughput)
    }

    /// Writes charts, `report.html` and `README.md` into `dir`; charts of an earlier run that can no longer be drawn are
    /// removed. Returns the files written, the HTML page first.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let tables = self.tables();
        let drawn = charts::all(self);

        let folder = dir.join(charts::FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let mut written = vec![dir.join("report.html"), dir.join("README.md")];
        write_atomically(&written[0], html::page(self, &tables, &drawn).as_bytes())?;
        write_atomically(&written[1], readme::text(self, &tables, &drawn).as_bytes())?;
        for chart in &drawn {
            let path = folder.join(chart.file);
            match &chart.drawing {
                Ok(svg) => {
                    write_atomically(&path, svg.as_bytes())?;
                    written.push(path);
                }
                Err(_) => match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&path, e)),
                    _ => {}
                },
            }
        }
        Ok(written)
    }

    /// The tables of what messages and channels cost: an anchor, a heading and the tables under it. Nothing is listed that was
    /// not measured.
    fn costs(&self) -> Vec<(&'static str, &'static str, Vec<Table>)> {
        let copies = (!self.copies.is_empty()).then(|| copies::table(&self.copies));
        let lifecycle = (!self.lifecycle.is_empty()).then(|| lifecycle::table(&self.lifecycle));
        let sections = [
            ("copies", "Copies", Vec::from_iter(copies)),
            ("relay", "From file to file", Vec::from_iter(relay::table(&self.relay))),
            ("cost", "What a message costs", cost::tables(&self.cost, usize::MAX)),
            ("lifecycle", "What a channel costs", Vec::from_iter(lifecycle)),
        ];
        sections.into_iter().filter(|(.., tables)| !tables.is_empty()).collect()
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
pub fn terminal(rows: &Rows<'_>, width: usize) -> Printed {
    let some = |table: Table| (!table.lines.is_empty() || !table.notes.is_empty()).then_some(table);
    let mut tables: Vec<Table> = Vec::from_iter(some(lifecycle::table(rows.lifecycle)));
    tables.extend(relay::table(rows.relay));
    tables.extend(some(copies::table(rows.copies)));
    tables.extend(cost::tables(rows.cost, cost::LEADERS));
    tables.extend(tables::brief(&matrix::all(rows.latency, rows.throughput)));
    let glance = overview::table(rows, overview::short);
    let legend = tables::legend(&tables.iter().chain(&glance).cloned().collect::<Vec<_>>(), width);
    let answer = match glance {
        Some(table) => table.terminal(width) + &overview::key(&table, width),
        None => tables.pop().map_or(String::new(), |table| table.terminal(width)),
    };
    let printed = tables.iter().map(|table| table.terminal(width)).chain((!legend.is_empty()).then_some(legend));
    Printed { tables: printed.collect::<Vec<_>>().join("\n"), answer }
}

/// Reads the results in `dir` and [writes](Results::write) the report beside them.
///
/// # Errors
/// As [`Results::read`], before anything is written, and as [`Results::write`].
pub fn build(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    Results::read(dir)?.write(dir)
}
