//! Writes the round trips of both sides to `histograms/base` and `histograms/head`: a `.hgrm` file per cell, and one `.hlog`
//! file of all cells.

use super::started;
use crate::report::{CellReport, Figures, Report};
use bench_record::rows::{Error, histograms};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Selects one side of a cell.
type Of = fn(&CellReport) -> &Figures;

/// The sides, by folder name.
const SIDES: [(&str, Of); 2] = [("base", |cell| &cell.base), ("head", |cell| &cell.head)];

/// Writes both sides and returns the paths. The log's base time is the start of the run, or 1970 if the report does not have
/// it.
///
/// # Errors [`Error::Io`] naming the file.
pub fn write(dir: &Path, report: &Report) -> Result<Vec<PathBuf>, Error> {
    let started = started(report).map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let mut written = Vec::new();
    // A command prints figures but no round trips.
    if report.is_of_commands() {
        return Ok(written);
    }
    for (side, figures) in SIDES {
        // A cell judged by several metrics has one histogram.
        let mut seen = HashSet::new();
        let cells = report.cells.iter().filter(|cell| seen.insert(&cell.cell));
        let packed = cells.filter_map(|cell| Some((cell.cell.clone(), figures(cell).histogram.as_ref()?.unpack())));
        let folder = dir.join(histograms::FOLDER).join(side);
        let cells: Vec<_> = packed.collect();
        written.extend(histograms::write_listings(&folder, &cells)?);
        written.push(histograms::write_log(&folder, started, &cells)?);
    }
    Ok(written)
}

/// Whether [`write()`] may have written the file `name`.
pub fn owns(name: &Path) -> bool {
    let folder = Path::new(histograms::FOLDER);
    SIDES
        .iter()
        .any(|(side, _)| name.strip_prefix(folder.join(side)).is_ok_and(|name| histograms::owns(&folder.join(name))))
}

#[cfg(test)]
mod tests {
    use super::{super::super::example, *};
    use base64::{Engine, prelude::BASE64_STANDARD};
    use hdrhistogram::{
        Histogram,
        serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        },
    };
    use std::{fs, time::Duration};

    /// A histogram with its tag and the maximum in its line of the log.
    type Logged = (String, f64, Histogram<u64>);

    /// A log as hdrhistogram's own reader sees it: its base time and its histograms.
    fn read_log(path: &Path) -> (Option<Duration>, Vec<Logged>) {
        let bytes = fs::read(path).unwrap();
        let (mut base, mut all) = (None, Vec::new());
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.unwrap() {
                LogEntry::BaseTime(time) => base = Some(time),
                LogEntry::StartTime(_) => {}
                LogEntry::Interval(interval) => {
                    let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
                    let histogram = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                    all.push((interval.tag().unwrap().as_str().to_owned(), interval.max(), histogram));
                }
            }
        }
        (base, all)
    }

    /// A second definition of the sides, so that swapped sides would show.
    fn figures<'a>(side: &str, cell: &'a CellReport) -> &'a Figures {
        if side == "base" { &cell.base } else { &cell.head }
    }

    #[test]
    fn logs_are_read_back_as_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = example::report();
        report.cells.push(report.cells[0].clone());
        write(dir.path(), &report).unwrap();
        for side in ["base", "head"] {
            let (base, read) = read_log(&dir.path().join("histograms").join(side).join(histograms::LOG));
            assert_eq!(base, Some(Duration::from_secs(1_772_368_205)));
            let expected: Vec<_> = report.cells[..7]
                .iter()
                .filter_map(|cell| Some((cell.cell.clone(), figures(side, cell).histogram.as_ref()?.unpack())))
                .collect();
            assert!(expected.len() >= 4);
            assert_eq!(read.len(), expected.len());
            for ((tag, max, histogram), (cell, went_in)) in read.iter().zip(&expected) {
                assert_eq!((tag, histogram), (cell, went_in));
                assert!(went_in.equivalent(*max as u64, went_in.max()), "{max}");
            }
        }
    }

    #[test]
    fn listings_have_the_quantiles_of_their_side() {
        let dir = tempfile::tempdir().unwrap();
        let report = example::report();
        let written = write(dir.path(), &report).unwrap();
        let cell = &report.cells[1];
        for side in ["base", "head"] {
            let file = histograms::file_name(&cell.cell);
            let path = dir.path().join("histograms").join(side).join(file);
            assert!(written.contains(&path), "{written:?}");
            let histogram = figures(side, cell).histogram.as_ref().unwrap().unpack();
            assert_eq!(fs::read_to_string(&path).unwrap(), histograms::to_hgrm(&histogram));
        }
    }

    #[test]
    fn a_start_that_is_no_moment_is_1970() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &Report { started: "yesterday".into(), ..example::report() }).unwrap();
        let (base, read) = read_log(&dir.path().join("histograms/head").join(histograms::LOG));
        assert_eq!((base, read.len()), (Some(Duration::ZERO), 4));
    }
}
