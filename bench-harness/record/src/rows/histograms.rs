//! The latency histograms: one `.hlog` with all of them, and one `.hgrm` per cell.
//!
//! Reports are made from `.hlog`. It is HdrHistogram's interval log with one compressed histogram per cell, tagged with
//! the cell's name. `.hgrm` is for plotting tools. It is HdrHistogram's percentile listing: four columns, and a footer
//! of three comment lines. Values are nanoseconds.

use super::{Error, write_atomically, write_durably};
use crate::cell::Cell;
use base64::{Engine, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, V2DeflateSerializer,
        interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
    },
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The folder of the percentile listings, inside the results folder.
pub const FOLDER: &str = "histograms";

/// The file name of the interval log.
pub const LOG: &str = "all.hlog";

/// Lines per halving of the distance to 100 %. It is enough for a smooth curve, and 170 files stay under a megabyte.
const TICKS_PER_HALF_DISTANCE: u32 = 4;

/// The file name of a cell's percentile listing.
pub fn file_name(cell: &str) -> String {
    format!("{}.hgrm", cell.replace('/', "__"))
}

/// Whether the file `name` of a results folder is a percentile listing, or the log in the place of earlier versions.
pub fn owns(name: &Path) -> bool {
    let Ok(name) = name.strip_prefix(FOLDER) else { return false };
    let cell = |name: &str| name.strip_suffix(".hgrm")?.replace("__", "/").parse::<Cell>().is_ok().then_some(());
    name == Path::new(LOG) || name.to_str().and_then(cell).is_some()
}

/// Writes the histogram of every cell into the folder `dir`: the log into `dir`, the listings into `histograms/`.
/// `started` becomes the log's base time. Returns the paths of the written files.
///
/// # Errors
/// [`Error::Io`] with the file's name.
pub fn write(dir: &Path, started: SystemTime, cells: &[(String, Histogram<u64>)]) -> Result<Vec<PathBuf>, Error> {
    let mut written = write_listings(&dir.join(FOLDER), cells)?;
    written.push(write_log(dir, started, cells)?);
    Ok(written)
}

/// Writes a percentile listing of every cell into `folder`.
pub fn write_listings(folder: &Path, cells: &[(String, Histogram<u64>)]) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let listing = |(cell, histogram): &(String, Histogram<u64>)| {
        let path = folder.join(file_name(cell));
        write_atomically(&path, to_hgrm(histogram).as_bytes()).map(|()| path)
    };
    cells.iter().map(listing).collect()
}

/// Writes the interval log of all cells into `folder`.
pub fn write_log(folder: &Path, started: SystemTime, cells: &[(String, Histogram<u64>)]) -> Result<PathBuf, Error> {
    let path = folder.join(LOG);
    let bytes = to_hlog(started, cells).map_err(|e| Error::io(&path, e))?;
    write_durably(&path, &bytes)?;
    Ok(path)
}

/// The percentile listing of `histogram`.
pub fn to_hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for Step { value_ns, quantile, count } in Distribution::of(histogram).steps {
        let _ = write!(text, "{value_ns:12.3} {quantile:.12} {count:10}");
        // The last line stands for the maximum, for which 1/(1-p) is infinite. The format leaves the column out there.
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
        // A tag may hold neither commas nor spaces. No cell's name has any.
        let tag = Tag::new(cell);
        log.write_histogram(histogram, Duration::ZERO, Duration::ZERO, tag).map_err(io::Error::other)?;
    }
    Ok(bytes)
}

/// One step of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Time of a round trip in nanoseconds.
    pub value_ns: f64,
    /// The share of round trips that took at most this long, 0 to 1.
    pub quantile: f64,
    /// The number of round trips that took at most this long.
    pub count: u64,
}

/// The distribution of a cell's round trips, in the steps of its percentile listing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Distribution {
    /// The steps, in ascending order.
    pub steps: Vec<Step>,
}

impl Distribution {
    /// The distribution of the values in `histogram`.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let mut count = 0;
        let steps = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE).map(|step| {
            count += step.count_since_last_iteration();
            Step { value_ns: step.value_iterated_to() as f64, quantile: step.quantile_iterated_to(), count }
        });
        Self { steps: steps.collect() }
    }

    /// The number of round trips in the distribution.
    pub fn count(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.count)
    }

    /// Reads the distributions of all cells from the log in the results folder `dir`, by the cells' names. Empty if
    /// there is no log.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Row`] if it is not a log as [`write()`] writes it.
    pub fn read_all(dir: &Path) -> Result<BTreeMap<String, Self>, Error> {
        // The second path is that of earlier versions.
        for path in [dir.join(LOG), dir.join(FOLDER).join(LOG)] {
            match fs::read(&path) {
                Ok(bytes) => return Self::parse(&path, &bytes),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(&path, e)),
            }
        }
        Ok(BTreeMap::new())
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Self>, Error> {
        let mut all = BTreeMap::new();
        let mut deserializer = Deserializer::new();
        for (line, text) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let wrong = |what: &str| Error::row(path, line, format!("{what}: expected an interval log (.hlog)"));
            if !text.ends_with(b"\n") {
                return Err(wrong("the line has no end: the file is cut off"));
            }
            // The log is read line by line, since the iterator does not say where it is.
            let interval = match IntervalLogIterator::new(text).next() {
                Some(Ok(LogEntry::Interval(interval))) => interval,
                // Comments and the legend.
                _ if text.starts_with(b"#") || text.starts_with(b"\"") => continue,
                _ => return Err(wrong("the line cannot be read")),
            };
            let tag = interval.tag().ok_or_else(|| wrong("the histogram has no tag"))?;
            let histogram: Option<Histogram<u64>> = BASE64_STANDARD
                .decode(interval.encoded_histogram())
                .ok()
                .and_then(|bytes| deserializer.deserialize(&mut &bytes[..]).ok());
            let histogram = histogram.ok_or_else(|| wrong("the histogram cannot be decoded"))?;
            all.insert(tag.as_str().to_owned(), Self::of(&histogram));
        }
        Ok(all)
    }
}
