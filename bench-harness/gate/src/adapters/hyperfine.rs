//! Reads the JSON export of hyperfine: the median of every command, in seconds.
//!
//! The document is a file in the run's folder (`hyperfine --export-json "$GATE_OUT/results.json"`), or it is all that is
//! printed.

use super::{Printed, files, text};
use serde::Deserialize;
use std::path::Path;

/// The part of the document that is read.
#[derive(Deserialize)]
struct Document {
    results: Vec<Timing>,
}

#[derive(Deserialize)]
struct Timing {
    command: String,
    median: f64,
    #[serde(default)]
    exit_codes: Vec<Option<i32>>,
}

/// Whether the run left a document of hyperfine.
pub(super) fn is_there(printed: &str, folder: &Path) -> Result<bool, String> {
    Ok(documents(printed, folder)?.iter().any(|document| parse(document).is_ok()))
}

/// Reads the documents in the folder. If there are none, reads the printed text.
pub(super) fn read(printed: &str, folder: &Path) -> Result<Vec<Printed>, String> {
    let mut timings = Vec::new();
    for document in documents(printed, folder)? {
        let document = parse(&document).map_err(|error| format!("has no JSON export of hyperfine: {error}"))?;
        timings.extend(document.results);
    }
    if let Some(timing) = timings.iter().find(|timing| timing.exit_codes.iter().any(|code| *code != Some(0))) {
        return Err(format!("timed '{}', which did not always end with exit code 0", timing.command));
    }
    // A single command's figure has no name, because the head's command may have another path.
    let named = timings.len() > 1;
    let figure = |Timing { command, median, .. }| Printed {
        name: named.then_some(command),
        value: median,
        unit: Some("s".into()),
    };
    match timings.is_empty() {
        true => Err("has a JSON export of hyperfine without results".into()),
        false => Ok(timings.into_iter().map(figure).collect()),
    }
}

fn documents(printed: &str, folder: &Path) -> Result<Vec<String>, String> {
    let files = files(folder)?;
    let documents = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    let documents: Vec<String> = documents.map(|file| text(file)).collect::<Result<_, _>>()?;
    Ok(if documents.is_empty() { vec![printed.to_owned()] } else { documents })
}

fn parse(document: &str) -> serde_json::Result<Document> {
    serde_json::from_str(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A document as hyperfine 1.15 writes it.
    const TWO: &str = include_str!("hyperfine.json");

    #[test]
    fn the_median_of_each_command_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("results.json"), TWO).unwrap();
        let read = read("Benchmark 1: true\n", dir.path()).unwrap();
        let read: Vec<_> = read.into_iter().map(|one| (one.name.unwrap(), one.value, one.unit.unwrap())).collect();
        let s = || "s".to_owned();
        assert_eq!(read, [("true".to_owned(), 0.000618088, s()), ("sleep 0.01".to_owned(), 0.011394448000000001, s())]);
    }

    #[test]
    fn a_single_command_has_no_name() {
        let one = r#"{"results":[{"command":"./head/run","mean":2.0,"stddev":null,"median":1.5,"exit_codes":[0]}]}"#;
        let read = read(one, tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!((read.len(), read[0].name.as_deref(), read[0].value), (1, None, 1.5));
    }

    #[test]
    fn failures_and_nonsense_are_refused() {
        let why = |printed| read(printed, tempfile::tempdir().unwrap().path()).unwrap_err();
        assert!(why("Time: 3 ms").contains("no JSON export"));
        assert!(why(r#"{"results":[]}"#).contains("without results"));
        let failed = r#"{"results":[{"command":"x","median":1.5,"exit_codes":[0,1]}]}"#;
        assert!(why(failed).contains("timed 'x'"));
    }
}
