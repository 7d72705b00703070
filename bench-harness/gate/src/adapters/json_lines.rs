//! Reads figures as JSON, one object per line: `{"name":"parse","value":12.5,"unit":"ms"}`. Other keys are ignored.

use super::Printed;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    value: f64,
    unit: Option<String>,
}

/// Reads the figures.
pub(super) fn read(printed: &str) -> Result<Vec<Printed>, String> {
    let lines = printed.lines().map(str::trim).filter(|line| !line.is_empty());
    let figures: Vec<Printed> = lines
        .map(|line| {
            let Line { name, value, unit } = serde_json::from_str(line).map_err(|error| {
                let right = r#"use {"name":"NAME","value":NUMBER,"unit":"UNIT"}"#;
                format!("prints a line that is no figure ({error}): {right}")
            })?;
            Ok(Printed { name, value, unit })
        })
        .collect::<Result<_, String>>()?;
    match figures.as_slice() {
        [] => Err("prints no number".into()),
        [_, _, ..] if figures.iter().any(|figure| figure.name.is_none()) => {
            Err(format!("prints {} figures, and not all have a \"name\"", figures.len()))
        }
        _ => Ok(figures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_figure() {
        let text = "{\"name\":\"a\",\"value\":1,\"unit\":\"ms\",\"runs\":7}\n\n {\"name\":\"b\",\"value\":2.5e3}\n";
        let read = read(text).unwrap();
        let names: Vec<_> = read.iter().map(|one| one.name.as_deref().unwrap()).collect();
        assert_eq!((names, read[0].unit.as_deref(), read[1].value), (vec!["a", "b"], Some("ms"), 2500.0));
        assert_eq!(super::read("{\"value\":3}").unwrap()[0].name, None);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("", "no number"),
            ("{\"name\":\"a\"}", "no figure"),
            ("{\"name\":\"a\",\"value\":\"12\"}", "no figure"),
            ("{\"name\":\"a\",\"value\":1}\nhello", "no figure"),
            ("{\"value\":1}\n{\"value\":2}", "not all have"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
