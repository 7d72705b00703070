//! Appending a run to the history without losing anything.
//!
//! The present history is read and checked first. The new file then replaces the old one whole. A lock on the folder
//! keeps two writers from losing each other's rows.

use super::{Environments, beside, read_environments, read_rows, resolved};
use crate::{
    baseline::BaselineItem,
    cell::{Cell, Workload},
    host::{self, Environment, Host},
    rows::{
        self, CopiesRow, CostRow, Error, Flag, HistoryRow, LatencyRow, Row, ThroughputRow, folder, outcome::Outcomes,
        write_durably,
    },
};
use nix::{errno::Errno, fcntl::FlockArg};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long to wait for another writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Summary of an appended run.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The run's name in the history.
    pub run_id: String,
    /// Number of rows of the run.
    pub rows: usize,
    /// Number of those rows that have a figure.
    pub figures: usize,
    /// What the run lacks. One sentence each.
    pub notes: Vec<String>,
}

/// Appends the run with results in `dir` to the history at `path`. Creates the history if there is none.
///
/// # Errors
/// The fault in the results or in the history, by file and line. [`Error::Known`] if the history has the run already.
/// After an error the history is unchanged.
pub fn add(dir: &Path, path: &Path) -> Result<Added, Error> {
    let (rows, environment, notes) = rows_of(dir)?;
    let run_id = rows[0].run_id.clone();
    let path = resolved(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let Some(_lock) = folder::lock(folder, FlockArg::LockExclusiveNonblock, PATIENCE)? else {
        return Err(Error::io(folder, Errno::ENOLCK.into()));
    };

    let text = match read_rows(&path)? {
        None => rows::to_csv(&rows),
        Some((bytes, known)) => {
            if let Some(index) = known.iter().position(|row| row.run_id == run_id) {
                return Err(Error::Known { path, line: index as u64 + 2, run: run_id });
            }
            let new = rows::to_csv(&rows);
            let (_, new) = new.split_once('\n').expect("a header");
            // The old text stays the same to the byte. The new lines get the old line ends.
            let text = String::from_utf8(bytes).expect("it was read as text");
            if text.ends_with("\r\n") { text + &new.replace('\n', "\r\n") } else { text + new }
        }
    };
    remember(&beside(&path), environment)?;
    write_durably(&path, text.as_bytes())?;
    // Syncing the folder puts the file's name on the disk.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(Added { run_id, rows: rows.len(), figures: rows.iter().filter(|row| row.figure().is_some()).count(), notes })
}

/// Stores the parts of `environment` under its key, unless the key is known.
fn remember(path: &Path, environment: Environment) -> Result<(), Error> {
    let mut known: Environments = read_environments(path)?;
    if known.insert(environment.env_key, environment.parts).is_some() {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(&known).map_err(|e| Error::io(path, e.into()))?;
    write_durably(path, format!("{text}\n").as_bytes())
}

/// The history's view of the run in `dir`: its rows, its environment, and what it lacks.
fn rows_of(dir: &Path) -> Result<(Vec<HistoryRow>, Environment, Vec<String>), Error> {
    let _lock = folder::settle(dir)?;
    let (latency, throughput) = (rows::read_any::<LatencyRow>(dir)?, rows::read_any::<ThroughputRow>(dir)?);
    let (cost, copies) = (rows::read_any::<CostRow>(dir)?, rows::read_any::<CopiesRow>(dir)?);
    if latency.is_empty() && throughput.is_empty() {
        return Err(Error::NoResults { dir: dir.into() });
    }
    let unfit = |what: &str| Error::Unfit { path: dir.join(host::FILE), what: what.into() };
    let host = Host::read(dir)?.ok_or_else(|| unfit("no such file: it says when and where the figures were taken"))?;
    let time =
        host.run.started.clone().ok_or_else(|| unfit("'run.started' is missing: expected when the run started"))?;
    let environment = environment_of(&host, dir)?;
    let run_id = run_id(&host, &time);

    let mut notes = Vec::new();
    let anchors = host.run.anchors.as_ref();
    if anchors.is_none() {
        notes.push("the run has no anchors: it explains no change, and no warning will rest on it".to_owned());
    }
    let anchor = |anchor| anchors.and_then(|anchors| anchors.median(anchor));
    let moved = anchors.is_some_and(|anchors| anchors.moved().count() > 0);
    let syscalls = |cell: &Cell| {
        let row = cost.iter().find(|row| Cell { workload: cell.workload, ..row.key() } == *cell)?;
        Some(row.syscalls_send? + row.syscalls_recv?)
    };
    let copied = |cell: &Cell| {
        let is_it =
            |row: &&CopiesRow| (&*row.mechanism, row.size, row.access) == (cell.mechanism, cell.size, cell.access);
        copies.iter().find(is_it)?.total_copies
    };
    let row = |cell: Cell, flags: &rows::Flags| {
        let mut flags = flags.clone();
        flags.extend(moved.then_some(Flag::AnchorsMoved));
        HistoryRow {
            syscalls: syscalls(&cell),
            copies: copied(&cell),
            anchor_syscall_ns: anchor(BaselineItem::Syscall),
            anchor_cache_line_ns: anchor(BaselineItem::CacheLine),
            anchor_pipe_ns: anchor(BaselineItem::Pipe),
            anchor_memcpy_ns: anchor(BaselineItem::Memcpy),
            flags,
            ..HistoryRow::empty(
                run_id.clone(),
                time.clone(),
                host.build.revision.clone().unwrap_or_default(),
                host.build.dirty,
                environment.env_key.clone(),
                cell,
            )
        }
    };
    let of_latency = latency.iter().map(|from| HistoryRow {
        p50_ns: from.p50_ns,
        p50_lo_ns: from.p50_lo_ns,
        p50_hi_ns: from.p50_hi_ns,
        p99_ns: from.p99_ns,
        ..row(from.key(), &from.flags)
    });
    let of_throughput =
        throughput.iter().map(|from| HistoryRow { msgs_per_s: from.msgs_per_s, ..row(from.key(), &from.flags) });
    let rows: Vec<HistoryRow> = of_latency.chain(of_throughput).collect();
    if let Some(why) = Outcomes::default().with(&latency).with(&throughput).why_nothing() {
        return Err(Error::Unfit { path: dir.into(), what: format!("{why}: nothing to add") });
    }
    for row in &rows {
        fits(row).map_err(|what| Error::Unfit { path: dir.join(file_of(row.cell.workload)), what })?;
    }
    Ok((rows, environment, notes))
}

fn file_of(workload: Workload) -> PathBuf {
    match workload {
        Workload::Throughput => ThroughputRow::FILE.into(),
        _ => LatencyRow::FILE.into(),
    }
}

/// Checks that the row can be read back after it is written. A revision or time edited by hand must not spoil the
/// history.
fn fits(row: &HistoryRow) -> Result<(), String> {
    let text = rows::to_csv(std::slice::from_ref(row));
    match rows::from_csv::<HistoryRow>(Path::new(HistoryRow::FILE), text.as_bytes()) {
        Err(Error::Row { what, .. }) => Err(format!("what {} has cannot be a row of a history: {what}", host::FILE)),
        Err(other) => Err(other.to_string()),
        Ok(_) => Ok(()),
    }
}

/// The environment that the host's file names. An older file names none, and its facts give the environment.
fn environment_of(host: &Host, dir: &Path) -> Result<Environment, Error> {
    let Some(environment) = &host.environment else { return Ok(Environment::of(host)) };
    let own = Environment::key(&environment.parts);
    if own == environment.env_key {
        return Ok(environment.clone());
    }
    let what =
        format!("environment: the parts have the key {own}, not '{}': expected what a run wrote", environment.env_key);
    Err(Error::Unfit { path: dir.join(host::FILE), what })
}

/// The run's name: its start, and eight digits of a hash of what tells it from other runs. The same results always have
/// the same name.
fn run_id(host: &Host, time: &str) -> String {
    let Host { run, build, .. } = host;
    let own = format!("{time}\n{:?}\n{:?}\n{:?}\n", run.duration_s, run.command, build.revision);
    let start: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{start}-{}", host::digest(&own, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_by_what_it_is() {
        let mut host = Host::default();
        host.run.duration_s = Some(192.695178277);
        let name = run_id(&host, "2026-11-21T11:01:58Z");
        assert!(name.starts_with("20261121T110158Z-") && name.len() == 25, "{name}");
        // Facts that a later version adds about the machine do not make it another run.
        host.kernel.parameters = Some("quiet".into());
        assert_eq!(run_id(&host, "2026-11-21T11:01:58Z"), name);
        host.run.duration_s = Some(192.695178278);
        assert_ne!(run_id(&host, "2026-11-21T11:01:58Z"), name);
    }
}
