//! What a command prints or leaves behind, as figures: one file a format.
//!
//! | format | what is read |
//! |---|---|
//! | `number` | one number, with or without its unit |
//! | `json_lines` | `{"name":"parse","value":12.5,"unit":"ms"}`, one a line |
//! | `criterion` | `new/estimates.json` or `new/sample.json` below the run's folder, or printed `bencher` lines |
//! | `hyperfine` | the document of `--export-json`, printed or in the run's folder |

mod criterion;
mod hyperfine;
mod json_lines;
mod number;

use bench_record::named;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

named! {
    /// The format in which a command gives its figures.
    "format of a command" Format {
        /// The format that fits what the command left or printed.
        Auto = "auto",
        /// One number on standard output, with or without its unit.
        Number = "number",
        /// A JSON object a line: name, value, and a unit.
        JsonLines = "json-lines",
        /// The results of criterion: the median of every benchmark.
        Criterion = "criterion",
        /// The JSON export of hyperfine: the median of every command.
        Hyperfine = "hyperfine",
    }
}

/// One figure of one run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Printed {
    /// The name that the command gives it, if any.
    pub(super) name: Option<String>,
    /// The figure.
    pub(super) value: f64,
    /// The unit that the command gives it, if any.
    pub(super) unit: Option<String>,
}

/// Reads the standard output of one run and the files that it left in `folder`.
///
/// # Errors What is wrong, as the end of a sentence that begins with the command.
pub(super) fn read(format: Format, printed: &str, folder: &Path) -> Result<Vec<Printed>, String> {
    let figures = match recognized(format, printed, folder)? {
        Format::Auto | Format::Number => number::read(printed).map(|one| vec![one]),
        Format::JsonLines => json_lines::read(printed),
        Format::Criterion => criterion::read(printed, folder),
        Format::Hyperfine => hyperfine::read(printed, folder),
    }?;
    for figure in &figures {
        refuse_unfit(figure)?;
    }
    Ok(figures)
}

/// The given format, or the one that `auto` resolves to.
fn recognized(format: Format, printed: &str, folder: &Path) -> Result<Format, String> {
    Ok(match format {
        Format::Auto if criterion::is_there(printed, folder)? => Format::Criterion,
        Format::Auto if hyperfine::is_there(printed, folder)? => Format::Hyperfine,
        Format::Auto if printed.trim_start().starts_with('{') => Format::JsonLines,
        Format::Auto => Format::Number,
        format => format,
    })
}

/// Refuses a figure that is not finite and above zero, because the gate compares ratios.
fn refuse_unfit(figure: &Printed) -> Result<(), String> {
    let Printed { name, value, .. } = figure;
    if value.is_finite() && *value > 0.0 {
        return Ok(());
    }
    let of = name.as_ref().map_or(String::new(), |name| format!(" for '{name}'"));
    Err(format!("prints {value}{of}: the gate compares ratios, so use a number above zero"))
}

/// The deepest level of files below a run's folder that is read.
const DEEPEST: usize = 16;
/// The longest result file, in bytes.
const LONGEST: u64 = 64 << 20;

/// The regular files below `folder`, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    collect(folder, DEEPEST, &mut found).map_err(|error| format!("leaves what cannot be read: {error}"))?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The text of a file that a run left.
fn text(path: &Path) -> Result<String, String> {
    let name = || path.file_name().unwrap_or_default().display().to_string();
    match fs::metadata(path).map(|file| file.len()) {
        Ok(len) if len > LONGEST => Err(format!("leaves a {} of {len} bytes; the limit is {LONGEST}", name())),
        _ => fs::read_to_string(path).map_err(|error| format!("leaves a {} that cannot be read: {error}", name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `auto` reads from the output of a run without files.
    fn auto(printed: &str) -> Result<Vec<Printed>, String> {
        read(Format::Auto, printed, tempfile::tempdir().unwrap().path())
    }

    fn of(name: Option<&str>, value: f64, unit: Option<&str>) -> Printed {
        Printed { name: name.map(str::to_owned), value, unit: unit.map(str::to_owned) }
    }

    #[test]
    fn auto_tells_the_formats_apart() {
        assert_eq!(auto("12.5\n").unwrap(), [of(None, 12.5, None)]);
        assert_eq!(auto("{\"name\":\"a\",\"value\":3}\n").unwrap(), [of(Some("a"), 3.0, None)]);
        let line = "test parse/small ... bench:       1,234 ns/iter (+/- 56)\n";
        assert_eq!(auto(line).unwrap(), [of(Some("parse/small"), 1234.0, Some("ns"))]);
        let document = r#"{"results":[{"command":"true","median":0.25,"times":[0.25]}]}"#;
        assert_eq!(auto(document).unwrap(), [of(None, 0.25, Some("s"))]);
    }

    #[test]
    fn what_has_no_ratio_is_refused() {
        for text in ["0", "-3", "{\"name\":\"a\",\"value\":0}"] {
            let why = auto(text).unwrap_err();
            assert!(why.contains("above zero"), "{why}");
        }
        assert!(auto("nan").is_err() && auto("inf").is_err());
    }

    #[test]
    fn files_count_before_what_was_printed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("any.json"), r#"{"results":[{"command":"x","median":2.0}]}"#).unwrap();
        assert_eq!(read(Format::Auto, "Time: 12 ms\n", dir.path()).unwrap(), [of(None, 2.0, Some("s"))]);
    }
}
