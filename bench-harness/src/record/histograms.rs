//! The latency histograms: one `.hgrm` per cell for people and plotting tools, and one `.hlog` for merging.
//!
//! `.hgrm` is HdrHistogram's percentile listing (four columns, a footer of three comment lines); `.hlog` its interval
//! log with one compressed histogram per cell, tagged with the cell's name. Values are nanoseconds.

use super::{Error, write_atomically};
use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The folder, inside the results folder.
pub const FOLDER: &str = "histograms";

/// The interval log's name in it.
pub(crate) const LOG: &str = "all.hlog";

/// Lines per halving of the distance to 100 %: enough for a smooth curve, and 170 files stay under a megabyte.
const TICKS_PER_HALF_DISTANCE: u32 = 4;

/// The file name of a cell's percentile listing.
pub fn file_name(cell: &str) -> String {
    format!("{}.hgrm", cell.replace('/', "__"))
}

/// Writes the histogram of every cell into `dir/histograms/`, and removes listings that an earlier run left there.
/// `started` becomes the log's base time.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(dir: &Path, started: SystemTime, cells: &[(String, Histogram<u64>)]) -> Result<(), Error> {
    write_folder(&dir.join(FOLDER), started, cells).map(drop)
}

/// The same for a folder of any name; returns the paths of what was written.
pub(crate) fn write_folder(
    folder: &Path,
    started: SystemTime,
    cells: &[(String, Histogram<u64>)],
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let mut written = BTreeSet::new();
    for (cell, histogram) in cells {
        let name = file_name(cell);
        write_atomically(&folder.join(&name), to_hgrm(histogram).as_bytes())?;
        written.insert(name);
    }
    let log = folder.join(LOG);
    let bytes = to_hlog(started, cells).map_err(|e| Error::io(&log, e))?;
    write_atomically(&log, &bytes)?;
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".hgrm") && !written.contains(&name) {
            fs::remove_file(entry.path()).map_err(|e| Error::io(&entry.path(), e))?;
        }
    }
    Ok(written.iter().map(|name| folder.join(name)).chain([log]).collect())
}

/// The percentile listing of `histogram`.
pub fn to_hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64, step.quantile_iterated_to());
        let _ = write!(text, "{value:12.3} {quantile:.12} {total:10}");
        // The last line stands for the maximum, where 1/(1-p) is infinite; the format leaves the column out there.
        let _ = if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let half_counts = (2.0 * 10f64.powi(histogram.sigfig().into())) as u64;
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    let (max, count) = (histogram.max() as f64, histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        half_counts.next_power_of_two()
    );
    text
}

/// The interval log of all histograms.
fn to_hlog(started: SystemTime, cells: &[(String, Histogram<u64>)]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Round trips in nanoseconds, one histogram per cell, tagged with its name]")
        .add_comment("[Histogram log format version 1.3]")
        .with_base_time(started)
        .begin_log_with(&mut bytes, &mut serializer)?;
    for (cell, histogram) in cells {
        // A tag may hold neither commas nor spaces, and no cell's name does.
        let tag = Tag::new(cell);
        log.write_histogram(histogram, Duration::ZERO, Duration::ZERO, tag).map_err(io::Error::other)?;
    }
    Ok(bytes)
}

/// One line of a percentile listing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// A round trip's time.
    pub value_ns: f64,
    /// The share of round trips that took no longer, 0 to 1.
    pub quantile: f64,
    /// How many those are.
    pub count: u64,
}

/// The distribution of a cell's round trips, as read from a percentile listing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Distribution {
    /// Its lines, ascending.
    pub steps: Vec<Step>,
}

impl Distribution {
    /// How many round trips it holds.
    pub fn count(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.count)
    }

    /// Reads the listing of `cell` in the results folder `dir`; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Row`] where it is not a percentile listing.
    pub fn read(dir: &Path, cell: &str) -> Result<Option<Self>, Error> {
        Self::read_file(&dir.join(FOLDER).join(file_name(cell)))
    }

    /// Reads one listing; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_file(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path, e)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut steps: Vec<Step> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line_number = number as u64 + 1;
            if number == 0 && !line.trim_start().starts_with("Value") {
                return Err(Error::row(path, 1, "expected the heading 'Value Percentile TotalCount 1/(1-Percentile)'"));
            }
            if number == 0 || line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let step = parse_step(line).filter(|step| steps.last().is_none_or(|last| last.quantile <= step.quantile));
            let expected = "expected value, percentile from 0 to 1 and count, ascending";
            steps.push(step.ok_or_else(|| Error::row(path, line_number, expected))?);
        }
        if !text.contains("#[Max") {
            let lines = text.lines().count() as u64;
            return Err(Error::row(path, lines, "the file is cut off: expected '#[Max = …]' at the end"));
        }
        Ok(Self { steps })
    }
}

fn parse_step(line: &str) -> Option<Step> {
    let mut fields = line.split_ascii_whitespace();
    let value_ns: f64 = fields.next()?.parse().ok()?;
    let quantile: f64 = fields.next()?.parse().ok()?;
    let count = fields.next()?.parse().ok()?;
    let sound = value_ns.is_finite() && value_ns >= 0.0 && (0.0..=1.0).contains(&quantile);
    sound.then_some(Step { value_ns, quantile, count })
}
