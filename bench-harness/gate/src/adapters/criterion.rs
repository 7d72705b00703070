//! Reads the results of criterion: the median of every benchmark, in nanoseconds.
//!
//! Criterion writes `BENCHMARK/new/{benchmark,estimates,sample}.json` below `$CRITERION_HOME`, which is the run's folder. A run
//! without such files may have printed one line per benchmark instead (`cargo bench -- --output-format bencher`), as libtest
//! does.

use super::{Printed, files, text};
use bench_record::stats::median;
use serde::{Deserialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The part of `estimates.json` that is read.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// `sample.json`: the iterations of each sample, and the nanoseconds that they took.
#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// The part of `benchmark.json` that is read.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// The text between a benchmark's name and its time.
const BENCH: &str = " ... bench:";

/// Whether the run left a result of criterion.
pub(super) fn is_there(printed: &str, folder: &Path) -> Result<bool, String> {
    Ok(!results(folder)?.is_empty() || printed.lines().any(|line| bencher(line).is_some()))
}

/// Reads the files. If there are none, reads the printed lines.
pub(super) fn read(printed: &str, folder: &Path) -> Result<Vec<Printed>, String> {
    let results = results(folder)?;
    let figures: Vec<Printed> = match results.as_slice() {
        [] => printed.lines().filter_map(bencher).collect(),
        results => results.iter().map(|result| of_folder(result, folder)).collect::<Result<_, _>>()?,
    };
    if figures.is_empty() {
        return Err("leaves no new/estimates.json below $CRITERION_HOME, and prints no line of a benchmark".into());
    }
    Ok(figures)
}

/// The folders named `new` that hold a result.
fn results(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let files = files(folder)?;
    let is_result = |file: &&PathBuf| ["estimates.json", "sample.json"].iter().any(|name| file.ends_with(name));
    let folders = files.iter().filter(is_result).filter_map(|file| file.parent());
    let mut results: Vec<PathBuf> = folders.filter(|folder| folder.ends_with("new")).map(Path::to_owned).collect();
    results.dedup();
    Ok(results)
}

fn of_folder(result: &Path, folder: &Path) -> Result<Printed, String> {
    let name = match result.join("benchmark.json") {
        file if file.is_file() => json::<Benchmark>(&file)?.full_id,
        _ => result.parent().and_then(|path| path.strip_prefix(folder).ok()).unwrap_or(result).display().to_string(),
    };
    let value = match result.join("estimates.json") {
        file if file.is_file() => json::<Estimates>(&file)?.median.point_estimate,
        _ => of_sample(&json(&result.join("sample.json"))?).ok_or(format!("leaves an empty sample of '{name}'"))?,
    };
    Ok(Printed { name: Some(name), value, unit: Some("ns".into()) })
}

fn of_sample(sample: &Sample) -> Option<f64> {
    let mut each: Vec<f64> = sample.iters.iter().zip(&sample.times).map(|(iters, time)| time / iters).collect();
    median(&mut each)
}

fn json<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    let name = file.file_name().unwrap_or_default().display();
    serde_json::from_str(&text(file)?).map_err(|error| format!("leaves a {name} that is none of criterion's: {error}"))
}

/// Parses `test NAME ... bench:     1,234 ns/iter (+/- 56)`.
fn bencher(line: &str) -> Option<Printed> {
    let (name, figure) = line.trim().strip_prefix("test ")?.split_once(BENCH)?;
    let mut words = figure.split_whitespace();
    let value = words.next()?.replace(',', "").parse().ok()?;
    let unit = words.next()?.strip_suffix("/iter")?;
    Some(Printed { name: Some(name.trim().to_owned()), value, unit: Some(unit.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Files as criterion 0.8 writes them, reduced to the relevant parts.
    fn left(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const ESTIMATES: &str = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0},
        "point_estimate":2.0,"standard_error":0.1},"median":{"confidence_interval":{"confidence_level":0.95,
        "lower_bound":1.0,"upper_bound":3.0},"point_estimate":1.5,"standard_error":0.1},"median_abs_dev":{
        "confidence_interval":{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0},"point_estimate":0.2,
        "standard_error":0.1},"slope":null,"std_dev":{"confidence_interval":{"confidence_level":0.95,"lower_bound":1.0,
        "upper_bound":3.0},"point_estimate":0.3,"standard_error":0.1}}"#;
    const BENCHMARK: &str = r#"{"group_id":"parse","function_id":"small","value_str":null,"throughput":null,
        "full_id":"parse/small","directory_name":"parse/small","title":"parse/small"}"#;

    #[test]
    fn the_median_of_each_benchmark_is_read() {
        let dir = left(&[
            ("parse/small/new/estimates.json", ESTIMATES),
            ("parse/small/new/benchmark.json", BENCHMARK),
            ("parse/small/new/sample.json", r#"{"sampling_mode":"Flat","iters":[1.0],"times":[9.0]}"#),
            ("parse/small/base/estimates.json", ESTIMATES),
            ("other/new/sample.json", r#"{"sampling_mode":"Linear","iters":[1.0,2.0,3.0],"times":[4.0,10.0,21.0]}"#),
            ("report/index.html", "<html>"),
        ]);
        let read: Vec<_> =
            read("", dir.path()).unwrap().into_iter().map(|one| (one.name.unwrap(), one.value)).collect();
        assert_eq!(read, [("other".to_owned(), 5.0), ("parse/small".to_owned(), 1.5)]);
    }

    #[test]
    fn lines_of_bencher_are_read_among_others() {
        let printed = "running 2 tests\ntest a b/10 ... bench:       1,234 ns/iter (+/- 56)\n\
                       test b ... bench:          12.75 ns/iter (+/- 0.10)\ntest c ... ok\n";
        let read = read(printed, tempfile::tempdir().unwrap().path()).unwrap();
        let read: Vec<_> = read.into_iter().map(|one| (one.name.unwrap(), one.value)).collect();
        assert_eq!(read, [("a b/10".to_owned(), 1234.0), ("b".to_owned(), 12.75)]);
    }

    #[test]
    fn nothing_and_nonsense_are_refused() {
        let why = |files: &[(&str, &str)]| read("ok\n", left(files).path()).unwrap_err();
        assert!(why(&[]).contains("no new/estimates.json"));
        assert!(why(&[("a/new/estimates.json", "{}")]).contains("estimates.json that is none of criterion's"));
        assert!(why(&[("a/new/sample.json", r#"{"iters":[],"times":[]}"#)]).contains("empty sample of 'a'"));
    }
}
