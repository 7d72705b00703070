//! Errors of result files. Each message is one line that names the file and what belongs there.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A result file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {}", path.display(), reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not exist.
    #[error("{}: no such file: expected one written by `ipc-bench run`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds no results at all.
    #[error("{}: no results here: expected latency.csv or another file of a run, as written by `ipc-bench run --out {}`",
        dir.display(), dir.display())]
    NoResults {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no history yet.
    #[error("{}: no history yet: add a run to it with `ipc-bench history add DIR`", path.display())]
    NoHistory {
        /// The file.
        path: PathBuf,
    },
    /// The history has the run already.
    #[error("{}: line {line}: run {run} is here already: nothing added", path.display())]
    Known {
        /// The history's file.
        path: PathBuf,
        /// The first line of the run in the history.
        line: u64,
        /// The run's name.
        run: String,
    },
    /// The results lack what a history needs.
    #[error("{}: {what}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is missing, and what was expected.
        what: String,
    },
    /// Another process is writing to the folder.
    #[error("{}: another process has been writing here for {seconds} s: try again when it is done", dir.display())]
    Busy {
        /// The folder that is locked.
        dir: PathBuf,
        /// How long the caller waited, in seconds.
        seconds: u64,
    },
    /// The first line of the file lacks a column.
    #[error("{}: line 1: column '{column}' is missing: expected {expected}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The first column that is missing.
        column: &'static str,
        /// The whole header as written today.
        expected: String,
    },
    /// A line has wrong content.
    #[error("{}: line {line}: {what}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with the line, and what was expected.
        what: String,
    },
}

/// The text of the system's error. If the file size limit was met, it also names that limit (getrlimit(2)).
pub fn reason(error: &io::Error) -> String {
    let limit = getrlimit(Resource::RLIMIT_FSIZE).map_or(RLIM_INFINITY, |(soft, _)| soft);
    if error.kind() == io::ErrorKind::FileTooLarge && limit != RLIM_INFINITY {
        return format!("{error}: the limit on files is {limit} bytes (ulimit -f)");
    }
    error.to_string()
}

impl Error {
    /// An error for `path`, which could not be read or written.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An error for the line `line` of `path`. `what` says what is wrong with it.
    pub fn row(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Row { path: path.into(), line, what: what.into() }
    }

    /// Turns an error of the csv crate, which has record numbers and byte offsets, into one line of text. `fields` are
    /// the known columns and values of the line.
    pub(super) fn from_csv(path: &Path, error: csv::Error, fields: &[(&str, &str)]) -> Self {
        let line = error.position().map_or(1, csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(source) => Self::io(path, source),
            csv::ErrorKind::Utf8 { .. } => Self::row(path, line, "not UTF-8 text"),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                Self::row(path, line, format!("{len} fields: expected {expected_len}, as in the header"))
            }
            csv::ErrorKind::Deserialize { err, .. } => {
                let what = match err.kind() {
                    csv::DeserializeErrorKind::Message(m) | csv::DeserializeErrorKind::Unsupported(m) => m.clone(),
                    csv::DeserializeErrorKind::ParseInt(e) => format!("{e}: expected a whole number"),
                    other => other.to_string(),
                };
                // The csv crate knows the column of its own errors only. Our errors quote the value. The first column
                // with that value is the wrong one, because the columns before it have passed.
                let own = || fields.iter().find(|(_, value)| what.contains(&format!("'{value}'")));
                let column = err.field().and_then(|i| fields.get(i as usize)).or_else(own);
                Self::row(path, line, column.map_or(what.clone(), |(name, _)| format!("column '{name}': {what}")))
            }
            other => Self::row(path, line, format!("{other:?}")),
        }
    }
}
