//! How single fields are written to CSV and read back. Enums are written by name, figures with a fixed number of
//! decimals. A figure that was not measured is an empty field.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
use std::{fmt::Display, str::FromStr};

fn parse_optional<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    // Every message quotes the value: it is used to find the column of an error.
    let quoted =
        |message: String| if message.contains(&format!("'{text}'")) { message } else { format!("'{text}': {message}") };
    text.parse().map(Some).map_err(|e: T::Err| D::Error::custom(quoted(e.to_string())))
}

/// A value by its `Display` and `FromStr`.
pub(super) mod name {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A value by its `Display` and `FromStr`, or empty.
pub(super) mod maybe {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        parse_optional(deserializer)
    }
}

/// Yes, no, or empty: for serde's `with`.
pub mod yes {
    use super::*;

    /// Writes `yes`, `no` or an empty field.
    ///
    /// # Errors
    /// The errors of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match value {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        })
    }

    /// Reads `yes`, `no` or an empty field.
    ///
    /// # Errors
    /// Any other text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "yes" => Ok(Some(true)),
            "no" => Ok(Some(false)),
            "" => Ok(None),
            text => Err(D::Error::custom(format!("'{text}' is neither yes nor no, nor empty"))),
        }
    }
}

/// Whether `text` consists of letters, digits, hyphens and underscores, and is not empty.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Declares a kind of text: which texts pass, and what is expected of the others.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { passes: $passes:expr, expected: $expected:literal })+) => { $(
        $(#[$doc])*
        pub(super) mod $name {
            use super::*;

            pub fn serialize<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(value)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
                let text = String::deserialize(deserializer)?;
                let passes: fn(&str) -> bool = $passes;
                if passes(&text) { Ok(text) } else { Err(D::Error::custom(format!("'{text}': expected {}", $expected))) }
            }
        }
    )+ };
}

texts! {
    /// A word that can be part of a file's name.
    word { passes: is_plain, expected: "letters, digits and hyphens" }
    /// Hexadecimal digits of a hash, or empty.
    hex { passes: |text| text.bytes().all(|b| b.is_ascii_hexdigit()), expected: "hexadecimal digits" }
    /// A moment in the form of [`rfc3339`](crate::host::rfc3339). In this form moments can be sorted as text.
    moment { passes: is_moment, expected: "a moment such as 2026-03-01T12:30:05Z" }
}

fn is_moment(text: &str) -> bool {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%SZ").is_ok()
        && text.len() == "0000-00-00T00:00:00Z".len()
}

/// A mechanism's name. It becomes part of file names and Markdown, so other characters are refused.
pub(super) mod mechanism {
    use super::*;

    pub fn serialize<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_plain(&text) {
            Ok(text)
        } else {
            Err(D::Error::custom(format!("'{text}' is no mechanism's name: expected letters, digits and hyphens")))
        }
    }
}

/// Free text in one line.
pub(super) mod line {
    use super::*;

    pub fn serialize<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

/// Reads a figure. It must be finite and at least `least`, which is zero except for lower ends of intervals.
fn read_figure<'de, D: Deserializer<'de>>(deserializer: D, least: f64) -> Result<Option<f64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let figure = text.parse().ok().filter(|figure: &f64| figure.is_finite() && *figure >= least);
    let expected = "expected a number from 0 up, or nothing where none was measured";
    figure.map(Some).ok_or_else(|| D::Error::custom(format!("'{text}' is no figure: {expected}")))
}

/// Writes a figure with a fixed number of decimals. A figure that is not finite counts as not measured.
fn write_figure<S: Serializer>(figure: Option<f64>, decimals: usize, serializer: S) -> Result<S::Ok, S::Error> {
    match figure.filter(|figure| figure.is_finite()) {
        Some(figure) => serializer.collect_str(&format_args!("{figure:.decimals$}")),
        None => serializer.serialize_str(""),
    }
}

/// Declares a kind of figure: its number of decimals, and the least value that is accepted on reading.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident { decimals: $decimals:literal, least: $least:expr })+) => { $(
        $(#[$doc])*
        pub(super) mod $name {
            use super::*;

            pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
                write_figure(*value, $decimals, serializer)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
                read_figure(deserializer, $least)
            }
        }
    )+ };
}

figures! {
    /// A time in nanoseconds, or empty.
    tenths { decimals: 1, least: 0.0 }
    /// The lower end of an interval of times, or empty. For a wide interval it is below zero.
    tenths_low { decimals: 1, least: f64::MIN }
    /// A count per message, or empty.
    hundredths { decimals: 2, least: 0.0 }
    /// A rate, or empty.
    whole { decimals: 0, least: 0.0 }
    /// The lower end of an interval of rates, or empty. For a wide interval it is below zero.
    whole_low { decimals: 0, least: f64::MIN }
}
