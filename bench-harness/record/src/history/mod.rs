//! History of runs: their figures, beside the baseline of the machine in each run.
//!
//! `history.csv` has one row per run and cell. `environments.json` lists the parts of each environment by its key.
//!
//! The history advises and never fails anything: figures of different runs are hours and machines apart. A [`Book`] is
//! a history that was read. [`add`] appends a run. [`warnings`] finds figures that changed and stayed so.

mod add;
pub mod warnings;

pub use add::{Added, add};

use crate::{
    baseline::BaselineItem,
    cell::{Cell, Workload},
    host::{Environment, differences},
    rows::{self, Error, HistoryRow, Row as _},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};
use warnings::{Run as Sighting, Warning};

/// The file beside the history that lists the parts of each environment.
pub const ENVIRONMENTS: &str = "environments.json";

/// The parts of each environment, by the environment's key.
pub type Environments = BTreeMap<String, BTreeMap<String, String>>;

/// One run of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// The run's name.
    pub run_id: String,
    /// When the run started: RFC 3339, UTC.
    pub time: String,
    /// The git revision that the program was built from. Empty outside of git.
    pub git: String,
    /// Whether files differed from that revision.
    pub dirty: Option<bool>,
    /// The key of the environment.
    pub env_key: String,
    /// The baseline of the machine in this run, in nanoseconds.
    pub anchors: BTreeMap<BaselineItem, f64>,
    /// Number of cells with figures.
    pub cells: usize,
}

impl Run {
    /// The first seven letters of the revision, with a `+` if files differed from it. `no git` if there is none.
    pub fn revision(&self) -> String {
        let short = if self.git.is_empty() { "no git" } else { self.git.get(..7).unwrap_or(&self.git) };
        format!("{short}{}", if self.dirty == Some(true) { "+" } else { "" })
    }
}

/// A history that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// The runs in order of time.
    pub runs: Vec<Run>,
    /// The rows in the order of their runs.
    pub rows: Vec<HistoryRow>,
    /// The parts of each environment.
    pub environments: Environments,
}

impl Book {
    /// Reads the history at `path`, and the environments beside it.
    ///
    /// # Errors
    /// [`Error::NoHistory`] if there is none. [`Error::Row`] if a line is torn, foreign or no row, or if a run and cell
    /// occur twice.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = resolved(path)?;
        let Some((_, rows)) = read_rows(&path)? else { return Err(Error::NoHistory { path }) };
        Ok(Self::of(rows, read_environments(&beside(&path))?))
    }

    /// A history of `rows`, which may be in any order.
    pub fn of(mut rows: Vec<HistoryRow>, environments: Environments) -> Self {
        // Runs of the same second are kept apart by their names. The cells of a run keep their order.
        rows.sort_by(|a, b| (&a.time, &a.run_id).cmp(&(&b.time, &b.run_id)));
        let mut runs: Vec<Run> = Vec::new();
        for row in &rows {
            if runs.last().is_none_or(|run| run.run_id != row.run_id) {
                let anchors = BaselineItem::ALL.iter().filter_map(|&anchor| Some((anchor, row.anchor(anchor)?)));
                runs.push(Run {
                    run_id: row.run_id.clone(),
                    time: row.time.clone(),
                    git: row.git.clone(),
                    dirty: row.dirty,
                    env_key: row.env_key.clone(),
                    anchors: anchors.collect(),
                    cells: 0,
                });
            }
            if let (Some(run), Some(_)) = (runs.last_mut(), row.figure()) {
                run.cells += 1;
            }
        }
        Self { runs, rows, environments }
    }

    /// The part of the history with cells whose name contains `filter`, in the last `last` runs that have such cells.
    pub fn narrowed(&self, filter: Option<&str>, last: Option<usize>) -> Self {
        let named = |row: &&HistoryRow| filter.is_none_or(|part| row.cell.to_string().contains(part));
        let rows: Vec<HistoryRow> = self.rows.iter().filter(named).cloned().collect();
        let mut all = Self::of(rows, self.environments.clone());
        let left = last.map_or(0, |last| all.runs.len().saturating_sub(last));
        all.runs.drain(..left);
        let kept: BTreeSet<&str> = all.runs.iter().map(|run| run.run_id.as_str()).collect();
        all.rows.retain(|row| kept.contains(row.run_id.as_str()));
        all
    }

    /// The cells with a figure in at least one run.
    pub fn cells(&self) -> BTreeSet<&Cell> {
        self.rows.iter().filter(|row| row.figure().is_some()).map(|row| &row.cell).collect()
    }

    /// The row of `cell` in each run. `None` for a run without it.
    pub fn of_cell<'a>(&'a self, cell: &Cell) -> Vec<Option<&'a HistoryRow>> {
        let of: HashMap<&str, &HistoryRow> =
            self.rows.iter().filter(|row| row.cell == *cell).map(|row| (row.run_id.as_str(), row)).collect();
        self.runs.iter().map(|run| of.get(run.run_id.as_str()).copied()).collect()
    }

    /// The keys of the environments, in the order of their first run.
    pub fn env_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !keys.contains(&run.env_key.as_str()) {
                keys.push(&run.env_key);
            }
        }
        keys
    }

    /// How the environment `after` differs from `before`, in words.
    pub fn difference(&self, before: &str, after: &str) -> String {
        let (Some(before), Some(after)) = (self.environments.get(before), self.environments.get(after)) else {
            return format!("{ENVIRONMENTS} does not say in what");
        };
        let value = |value: Option<&str>| value.map_or("unknown".to_owned(), |value| format!("'{value}'"));
        let parts = differences(before, after).into_iter();
        parts.map(|(name, a, b)| format!("{name}: {} → {}", value(a), value(b))).collect::<Vec<_>>().join("; ")
    }

    /// The warnings from the last `LEAST_RUNS` runs. An older change is taken as the present level.
    pub fn recent(&self, warnings: &[Warning]) -> Vec<Warning> {
        let first = self.runs.len().saturating_sub(warnings::LEAST_RUNS);
        let last: BTreeSet<&str> = self.runs[first..].iter().map(|run| run.run_id.as_str()).collect();
        warnings.iter().filter(|warning| last.contains(warning.change.seen.as_str())).cloned().collect()
    }

    /// The lasting changes in every cell and environment (see [`warnings`]).
    pub fn warnings(&self) -> Vec<Warning> {
        let mut series: BTreeMap<(&Cell, &str), Vec<Sighting<'_>>> = BTreeMap::new();
        for row in &self.rows {
            // Throughput is turned into a time per message, so that more is slower for every workload.
            let time = row.figure().filter(|figure| *figure > 0.0).map(|figure| match row.cell.workload {
                Workload::Throughput => 1e9 / figure,
                _ => figure,
            });
            if let Some(time_ns) = time {
                let anchors = BaselineItem::ALL.iter().map(|&anchor| row.anchor(anchor)).collect();
                let sighting = Sighting { run_id: &row.run_id, time_ns, anchors };
                series.entry((&row.cell, &row.env_key)).or_default().push(sighting);
            }
        }
        let found = series.into_iter().flat_map(|((cell, env_key), runs)| {
            let named = move |change| Warning { cell: cell.to_string(), env_key: env_key.to_owned(), change };
            warnings::changes(&runs).into_iter().map(named)
        });
        found.collect()
    }
}

/// The target of `path` if that is a link. The target is replaced, and the environments lie beside it.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        // Nothing is there, not even a dangling link.
        Err(_) if fs::symlink_metadata(path).is_err() => Ok(path.to_owned()),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The path of the environments' file for the history at `path`.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(ENVIRONMENTS)
}

/// A history's text, and its rows in the order of the text.
type Text = (Vec<u8>, Vec<HistoryRow>);

/// The text and the rows of the history at `path`. `None` if there is no such file.
fn read_rows(path: &Path) -> Result<Option<Text>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    let expected = HistoryRow::COLUMNS.join(",");
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // A spreadsheet may have added a byte order mark, and changed line ends to CR LF.
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    if first != expected.as_bytes() {
        // Rows are appended to the file, so its columns must be exactly these.
        let found: String = String::from_utf8_lossy(first).chars().take(60).collect();
        return Err(Error::row(
            path,
            1,
            format!("'{}' is not the header of a history: expected {expected}", found.trim_end()),
        ));
    }
    let rows = rows::from_csv(path, &bytes)?;
    Ok(Some((bytes, rows)))
}

/// The known environments. Empty if there is no such file.
fn read_environments(path: &Path) -> Result<Environments, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Environments::new()),
        Err(e) => return Err(Error::io(path, e)),
    };
    let expected = "expected the parts of environments by their keys, as `ipc-bench history add` writes them";
    let known: Environments =
        serde_json::from_str(&text).map_err(|e| Error::row(path, e.line() as u64, format!("{e}: {expected}")))?;
    for (key, parts) in &known {
        let own = Environment::key(parts);
        if own != *key {
            let line = text.lines().position(|line| line.contains(key.as_str())).unwrap_or(0) as u64 + 1;
            return Err(Error::row(path, line, format!("the parts of '{key}' have the key {own}: {expected}")));
        }
    }
    Ok(known)
}
