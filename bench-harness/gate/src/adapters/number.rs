//! Reads one number on standard output, with or without its unit: `12.5`, `12.5 ms`, `1e-3s`.

use super::Printed;

/// Reads the number.
pub(super) fn read(printed: &str) -> Result<Printed, String> {
    let mut lines = printed.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next() else { return Err("prints no number".into()) };
    let rest: Vec<&str> = lines.collect();
    let (value, unit) = split(first).ok_or_else(|| why_not(&[&[first], rest.as_slice()].concat()))?;
    if !rest.is_empty() {
        return Err(why_not(&[&[first], rest.as_slice()].concat()));
    }
    Ok(Printed { name: None, value, unit })
}

/// Splits a line into a number and the one word that may follow it.
fn split(line: &str) -> Option<(f64, Option<String>)> {
    let line = line.trim();
    let (number, unit) = match line.split_once(char::is_whitespace) {
        Some((number, unit)) => (number, unit.trim()),
        None => glued(line),
    };
    let word = !unit.contains(char::is_whitespace) && !unit.starts_with(|c: char| c.is_ascii_digit());
    let value = number.parse().ok().filter(|_| number.ends_with(|c: char| c.is_ascii_digit() || c == '.'))?;
    word.then(|| (value, (!unit.is_empty()).then(|| unit.to_owned())))
}

/// Splits a number from a unit without a space between them. The number is the longest beginning of `text` that is a number.
fn glued(text: &str) -> (&str, &str) {
    let ends = text.char_indices().map(|(at, _)| at).skip(1).chain([text.len()]);
    let end =
        ends.filter(|&end| text[..end].parse::<f64>().is_ok() && text.as_bytes()[end - 1].is_ascii_digit()).last();
    text.split_at(end.unwrap_or(0))
}

/// Describes what was printed instead of a number.
fn why_not(lines: &[&str]) -> String {
    let words = || lines.iter().flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','));
    let is_number = |word: &&str| word.parse::<f64>().is_ok_and(f64::is_finite);
    let count = words().filter(is_number).count();
    match (count, lines.len()) {
        (0, _) => "prints no number".to_owned(),
        (1, _) => "prints text beside its number: print the number alone, such as with `| tail -n 1`".to_owned(),
        (2, _) => "prints two numbers where one is expected: print one, or a JSON line for each".to_owned(),
        (many, _) => format!("prints {many} numbers where one is expected: print one, or a JSON line for each"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_a_unit() {
        for (text, value, unit) in [
            ("12.5", 12.5, None),
            ("\n  12.5 ms \n\n", 12.5, Some("ms")),
            ("12ns", 12.0, Some("ns")),
            ("1e-3s", 1e-3, Some("s")),
            ("1.5e3", 1500.0, None),
            ("300 MB/s", 300.0, Some("MB/s")),
            ("+7", 7.0, None),
        ] {
            let read = read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((read.value, read.unit.as_deref()), (value, unit), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_apart() {
        for (text, why) in [
            ("", "no number"),
            ("hello\n", "no number"),
            ("inf", "no number"),
            ("1 2", "two numbers"),
            ("1\n2\n", "two numbers"),
            ("1 2 3", "3 numbers"),
            ("took 12 ms", "text beside"),
            ("12 ms of 3", "two numbers"),
            ("done\n12\n", "text beside"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
