//! Writes the Bencher Metric Format, version 0: benchmark → measure → value with its lower and upper end.
//!
//! <https://bencher.dev/docs/reference/bencher-metric-format/>. The built-in measure `latency` is in nanoseconds, and
//! `throughput` in operations per second, here messages. A command's figure that is no time has a measure named after its unit,
//! such as `mb-s`.

use super::Measurement;
use serde_json::{Map, Value, json};

/// The document of `measurements`. An empty document is valid.
pub fn text(measurements: &[Measurement]) -> String {
    let mut benchmarks = Map::new();
    for Measurement { cell, measure, unit, value, interval, .. } in measurements {
        let metric = match interval {
            Some((lo, hi)) => json!({ "value": value, "lower_value": lo, "upper_value": hi }),
            None => json!({ "value": value }),
        };
        let measures = benchmarks.entry(cell).or_insert_with(|| json!({}));
        measures[unit.as_ref().map_or(measure.name().to_owned(), |unit| slug(&unit.name))] = metric;
    }
    serde_json::to_string_pretty(&Value::Object(benchmarks)).expect("a map of text is JSON") + "\n"
}

/// `name` in the form of Bencher's addresses: lower-case letters and digits, with single hyphens between words.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    if slug.is_empty() { "value".to_owned() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::example, Measure},
        *,
    };
    use serde::Deserialize;
    use std::collections::HashMap;

    /// The published schema, as the adapter reads it: one required number and two optional ones.
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Metric {
        value: f64,
        #[serde(default, deserialize_with = "number")]
        lower_value: Option<f64>,
        #[serde(default, deserialize_with = "number")]
        upper_value: Option<f64>,
    }

    /// The schema does not accept `null` as a number.
    fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        f64::deserialize(deserializer).map(Some)
    }

    /// The two measures that every project of Bencher has.
    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Measures {
        latency: Option<Metric>,
        throughput: Option<Metric>,
    }

    fn read(text: &str) -> HashMap<String, Measures> {
        let read: HashMap<String, Measures> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        // 1024 characters is the longest name that Bencher accepts.
        assert!(read.keys().all(|name| !name.is_empty() && name.len() <= 1024 && name.trim() == name));
        read
    }

    #[test]
    fn it_follows_the_schema() {
        let read = read(&text(&Measurement::of_head(&example::report())));
        assert_eq!(read.len(), 5);
        let latency = Metric { value: 5_671.7, lower_value: Some(5_558.3), upper_value: Some(5_785.2) };
        let expected = Measures { latency: Some(latency), throughput: None };
        assert_eq!(read["latency/pipe/64/cross-core/block/copy"], expected);
        let rate = read["throughput/unix-seqpacket/65536/cross-core/hybrid/copy"].throughput.as_ref().unwrap();
        assert!(rate.lower_value < Some(rate.value) && Some(rate.value) < rate.upper_value, "{rate:?}");
    }

    #[test]
    fn an_interval_that_is_not_known_is_left_out() {
        let one = Measurement {
            cell: "a".into(),
            measure: Measure::Latency,
            unit: None,
            value: 1.5,
            interval: None,
            details: Vec::new(),
        };
        assert_eq!(read(&text(&[one]))["a"].latency, Some(Metric { value: 1.5, lower_value: None, upper_value: None }));
    }

    #[test]
    fn nothing_is_an_empty_document() {
        for report in [example::empty(), example::failures(), example::not_numbers()] {
            assert!(read(&text(&Measurement::of_head(&report))).is_empty());
        }
    }
}
