//! Writes the findings of the gate or of a plain run in the formats that other tools read. Each format has its own file.
//!
//! | format | read by |
//! |---|---|
//! | [`bencher`] | Bencher, `bencher run --adapter json` |
//! | [`github`] | github-action-benchmark, `customSmallerIsBetter` and `customBiggerIsBetter` |
//! | [`markdown`] | GitHub's step summary, and people |
//! | [`junit`] | any tool that shows test results |
//! | [`histograms`] | HdrHistogram's plotter and log tools |
//!
//! The figures are the head's, which a history needs. The verdicts are those of the report.

pub mod bencher;
pub mod github;
pub mod histograms;
pub mod junit;
pub mod markdown;
mod measurement;

pub use measurement::{Measure, Measurement};

use super::{report::Report, wording};
use bench_record::rows::{
    Error,
    folder::{self, Owned},
    write_atomically,
};
use chrono::{DateTime, FixedOffset};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// An exported file: its name and its text. The text is `None` if the format cannot express an empty result.
struct Export {
    file: &'static str,
    text: fn(&Report) -> Option<String>,
}

const EXPORTS: &[Export] = &[
    Export { file: "gate.json", text: |report| Some(to_json(report)) },
    Export { file: "bencher.json", text: |report| Some(bencher::text(&Measurement::of_head(report))) },
    Export {
        file: "benchmark-latency.json",
        text: |report| github::text(Measure::Latency, &Measurement::of_head(report)),
    },
    Export {
        file: "benchmark-throughput.json",
        text: |report| github::text(Measure::Throughput, &Measurement::of_head(report)),
    },
    Export { file: "summary.md", text: |report| Some(markdown::text(report)) },
    Export { file: "junit.xml", text: |report| Some(junit::text(report)) },
];

/// The files that the gate may have written.
const OWNED: Owned = Owned { folders: &["", "histograms/base", "histograms/head"], owns };

fn owns(name: &Path) -> bool {
    EXPORTS.iter().any(|export| name == Path::new(export.file)) || histograms::owns(name)
}

/// Writes `report` into `dir` in every format, all files together or none, and returns their paths. Removes files of an earlier
/// run that this run has no content for.
///
/// # Errors [`Error::Io`] naming the file.
pub fn write(dir: &Path, report: &Report) -> Result<Vec<PathBuf>, Error> {
    folder::replace(dir, OWNED, |draft| {
        let mut written = Vec::new();
        for Export { file, text } in EXPORTS {
            if let Some(text) = text(report) {
                written.push(draft.join(file));
                write_atomically(&draft.join(file), text.as_bytes())?;
            }
        }
        written.extend(histograms::write(draft, report)?);
        Ok(written)
    })
}

/// The variable in which GitHub names the file of a step's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Appends the Markdown to the file that `$GITHUB_STEP_SUMMARY` names, and returns its path. `None` if the variable is not set.
///
/// # Errors [`Error::Io`] naming the file.
pub fn append_step_summary(report: &Report) -> Result<Option<PathBuf>, Error> {
    let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    append(&path, &markdown::text(report)).map_err(|e| Error::io(&path, e))?;
    Ok(Some(path))
}

/// Appends `text` to `path` as a separate paragraph, whatever the file ends with.
fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let gap = if file.metadata()?.len() == 0 { "" } else { "\n\n" };
    file.write_all(format!("{gap}{text}").as_bytes())
}

/// The report as one line of JSON that can be read back. Histograms are thousands of numbers, and an indented document would
/// give each its own line.
fn to_json(report: &Report) -> String {
    let mut report = report.clone();
    let controls = report.controls.iter_mut().map(|control| &mut control.report);
    // JSON cannot express non-finite numbers. An optional figure then reads as missing. A change has no optional parts, so it
    // is removed as a whole.
    report.cells.iter_mut().chain(controls).for_each(|cell| cell.change = wording::finite(cell.change));
    serde_json::to_string(&report).expect("text, numbers and lists are JSON") + "\n"
}

/// The start of the run. `None` if the report has none in RFC 3339.
fn started(report: &Report) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(&report.started).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::example, *};
    use std::fs;

    /// The files in `dir`, as paths relative to it.
    fn files(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}")));
            } else {
                found.push(name);
            }
        }
        found.sort();
        found
    }

    #[test]
    fn every_format_is_written_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/folder");
        let written = write(&out, &example::report()).unwrap();
        let mut named: Vec<_> =
            written.iter().map(|path| path.strip_prefix(&out).unwrap().display().to_string()).collect();
        named.sort();
        assert_eq!(named, files(&out));
        for file in ["gate.json", "bencher.json", "benchmark-latency.json", "benchmark-throughput.json", "summary.md"] {
            assert!(named.iter().any(|name| name == file), "{file} is not in {named:?}");
        }
        assert!(named.contains(&"junit.xml".to_owned()));
    }

    #[test]
    fn files_of_an_earlier_run_do_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &example::report()).unwrap();
        write(dir.path(), &example::empty()).unwrap();
        let left = [
            "bencher.json",
            "gate.json",
            "histograms/base/all.hlog",
            "histograms/head/all.hlog",
            "junit.xml",
            "summary.md",
        ];
        assert_eq!(files(dir.path()), left);
    }

    #[test]
    fn the_report_is_read_back_as_it_was() {
        for report in [example::report(), example::empty(), example::failures()] {
            let text = to_json(&report);
            assert!(serde_json::from_str::<Report>(&text).unwrap() == report, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_missing_in_every_format() {
        let report = example::not_numbers();
        let read: Report = serde_json::from_str(&to_json(&report)).unwrap();
        assert!(read.cells.iter().all(|cell| cell.change.is_none() && cell.p.is_none() && cell.head.p50_ns.is_none()));
        for Export { file, text } in EXPORTS {
            let text = text(&report).unwrap_or_default();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{file}: {text}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::write(&taken, "mine").unwrap();
        let error = write(&taken, &example::report()).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == taken), "{error}");
        assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    }

    #[test]
    fn a_summary_is_appended_as_a_paragraph_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary");
        append(&path, "## First\n").unwrap();
        append(&path, "## Second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "## First\n\n\n## Second\n");
    }
}
