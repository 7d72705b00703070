//! The result files: flat rows in CSV, and HDR histograms. They are written whole or not at all, and read back
//! strictly.
//!
//! A measurement becomes a row and nothing else. Tables, charts and the report are functions of the rows. So a row is
//! read as carefully as it is written. A file that is torn, foreign or edited by mistake is an [`Error`]. It names the
//! file, the line and what belongs there.

#[macro_use]
mod row;

pub mod copies;
pub mod cost;
mod error;
pub mod faults;
mod field;
pub mod flag;
pub mod folder;
pub mod histograms;
pub mod history;
pub mod latency;
pub mod lifecycle;
pub mod list;
pub mod outcome;
pub mod relay;
pub mod throughput;

pub use copies::CopiesRow;
pub use cost::CostRow;
pub use error::{Error, reason};
pub use faults::FaultRow;
pub use field::yes;
pub use flag::{Flag, Flags, Proximity};
pub use histograms::Distribution;
pub use history::HistoryRow;
pub use latency::LatencyRow;
pub use lifecycle::LifecycleRow;
pub use list::{Kind, Rows};
pub use outcome::Outcome;
pub use relay::RelayRow;
pub use throughput::ThroughputRow;

use serde::{Serialize, de::DeserializeOwned};
use std::{collections::HashSet, fs, io::Write, path::Path};

/// A row of one of the CSV files.
pub trait Row: Serialize + DeserializeOwned {
    /// The file's name in the results folder.
    const FILE: &'static str;
    /// The columns of the header, in order.
    const COLUMNS: &'static [&'static str];
    /// How many of [`Row::COLUMNS`] a file must have. The other columns are newer, and older files are read without
    /// them.
    const REQUIRED: usize;

    /// What the row describes. A file has at most one row per name.
    fn name(&self) -> String;

    /// Checks that the row belongs into this file.
    ///
    /// # Errors
    /// A text that says what is wrong and what was expected.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Whether the folder `dir` has a CSV file of a run.
pub fn has_run(dir: &Path) -> bool {
    Kind::ALL.iter().any(|kind| kind.is_of_a_run() && dir.join(kind.file()).exists())
}

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part. The bytes go to a
/// temporary file in the same folder, which is then renamed (rename(2)).
///
/// # Errors
/// [`Error::Io`] with `path`. The temporary file is removed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, |_| Ok(()))
}

/// Writes `bytes` to `path` like [`write_atomically`], and also durably. The new file is on the disk before the old one
/// is gone (fsync(2)). Use it for data that cannot be measured again.
///
/// # Errors
/// The errors of [`write_atomically`].
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, fs::File::sync_all)
}

fn replace(path: &Path, bytes: &[u8], settle: fn(&fs::File) -> std::io::Result<()>) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        settle(&file)?;
        drop(file);
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// Writes `rows` to their file in the folder `dir`.
///
/// # Errors
/// [`Error::Io`] with the file's name.
pub fn write<R: Row>(dir: &Path, rows: &[R]) -> Result<(), Error> {
    let path = dir.join(R::FILE);
    write_durably(&path, to_csv(rows).as_bytes())
}

/// The text of the CSV file: header and rows.
pub fn to_csv<R: Row>(rows: &[R]) -> String {
    let write = || {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.write_record(R::COLUMNS)?;
        rows.iter().try_for_each(|row| writer.serialize(row))?;
        writer.into_inner().map_err(|e| e.into_error().into())
    };
    let bytes: Result<Vec<u8>, csv::Error> = write();
    // Writing to memory cannot fail, and rows are flat structs of text and numbers.
    String::from_utf8(bytes.expect("writing rows to memory")).expect("rows are text")
}

/// Reads rows from their file in the folder `dir`.
///
/// # Errors
/// [`Error::Missing`] if there is no such file, [`Error::Header`] if a required column is absent. [`Error::Row`] if a
/// line is torn, has a value that its column cannot hold, or names a cell twice.
pub fn read<R: Row>(dir: &Path) -> Result<Vec<R>, Error> {
    let path = dir.join(R::FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::Missing { path }),
        Err(e) => return Err(Error::io(&path, e)),
    };
    from_csv(&path, &bytes)
}

/// Reads rows like [`read`]. A missing file gives no rows.
///
/// # Errors
/// The errors of [`read`], except for a missing file.
pub fn read_any<R: Row>(dir: &Path) -> Result<Vec<R>, Error> {
    match read(dir) {
        Err(Error::Missing { .. }) => Ok(Vec::new()),
        rows => rows,
    }
}

/// Parses rows from `bytes`, the text of the file `path`.
///
/// # Errors
/// The errors of [`read`] that concern the text.
pub fn from_csv<R: Row>(path: &Path, bytes: &[u8]) -> Result<Vec<R>, Error> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|e| Error::from_csv(path, e, &[]))?.clone();
    if let Some(column) = R::COLUMNS[..R::REQUIRED].iter().find(|c| !header.iter().any(|h| h == **c)) {
        return Err(Error::Header { path: path.into(), column, expected: R::COLUMNS.join(",") });
    }
    if !bytes.ends_with(b"\n") {
        let line = bytes.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        return Err(Error::row(path, line, "the line has no end: the file is cut off"));
    }
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| Error::from_csv(path, e, &[]))? {
        let line = record.position().map_or(0, csv::Position::line);
        let row: R = record.deserialize(Some(&header)).map_err(|e| {
            let fields: Vec<_> = header.iter().zip(&record).collect();
            Error::from_csv(path, e, &fields)
        })?;
        row.check().map_err(|what| Error::row(path, line, what))?;
        let name = row.name();
        if !seen.insert(name.clone()) {
            return Err(Error::row(path, line, format!("{name} occurs twice: expected one row of it")));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritable_file_is_named_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        fs::create_dir(&target).unwrap();
        let error = write_atomically(&target, b"x").unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == target), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
