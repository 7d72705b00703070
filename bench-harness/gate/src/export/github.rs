//! Writes entries for github-action-benchmark: `customSmallerIsBetter` (latency) and `customBiggerIsBetter` (throughput).
//!
//! <https://github.com/benchmark-action/github-action-benchmark>. An entry has a name, a unit and a value. The action reads
//! `range` back as `±` and a number, and shows `extra` unchanged. It compares entries of the same name, and refuses a file
//! without entries.

use super::{Measure, Measurement};
use serde::Serialize;

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: String,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

impl Entry {
    fn of(measurement: &Measurement) -> Self {
        let (figure, unit) = match measurement.measure {
            Measure::Latency => ("p50", "ns"),
            Measure::Throughput => ("messages", "messages/s"),
        };
        let (name, unit) = match &measurement.unit {
            Some(unit) => (measurement.cell.clone(), unit.name.clone()),
            None => (format!("{} {figure}", measurement.cell), unit.to_owned()),
        };
        let extra: Vec<String> = measurement.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self {
            name,
            unit,
            value: measurement.value,
            range: measurement.interval.map(|(lo, hi)| format!("± {:.1}", (hi - lo).abs() / 2.0)),
            extra: extra.join("\n"),
        }
    }
}

/// The document of `measure`. `None` if there is no figure of it.
pub fn text(measure: Measure, measurements: &[Measurement]) -> Option<String> {
    let entries: Vec<Entry> =
        measurements.iter().filter(|measurement| measurement.measure == measure).map(Entry::of).collect();
    let text = || serde_json::to_string_pretty(&entries).expect("text and numbers are JSON") + "\n";
    (!entries.is_empty()).then(text)
}

#[cfg(test)]
mod tests {
    use super::{super::super::example, *};
    use serde::Deserialize;

    /// An entry that passes the action's own check, without values that the action would convert.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Read {
        name: String,
        value: f64,
        range: Option<String>,
        unit: String,
        extra: Option<String>,
    }

    fn read(measure: Measure) -> Vec<Read> {
        let text = text(measure, &Measurement::of_head(&example::report())).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// The number in a range, read as the action reads it: from after the sign to the end.
    fn half_width(range: &str) -> f64 {
        range.strip_prefix('±').expect("the sign").trim_start().parse().expect("a number and nothing else")
    }

    #[test]
    fn each_direction_has_its_own_file() {
        let (latency, throughput) = (read(Measure::Latency), read(Measure::Throughput));
        assert_eq!((latency.len(), throughput.len()), (4, 1));
        assert!(latency.iter().all(|entry| entry.unit == "ns" && entry.name.starts_with("latency/")));
        assert_eq!(throughput[0].unit, "messages/s");
        let entry = &latency[1];
        assert_eq!((entry.name.as_str(), entry.value), ("latency/pipe/64/cross-core/block/copy p50", 5_671.7));
        let range = half_width(entry.range.as_deref().unwrap());
        assert!((range - 113.4).abs() < 0.11, "{range}");
        assert_eq!(entry.extra.as_deref(), Some("pairs=580\nrounds=96\np99_ns=6749.4\nstatus=regressed"));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> =
            read(Measure::Latency).into_iter().chain(read(Measure::Throughput)).map(|entry| entry.name).collect();
        assert_eq!(names.len(), 5);
    }

    #[test]
    fn nothing_is_no_file() {
        for report in [example::empty(), example::failures(), example::not_numbers()] {
            for measure in Measure::ALL {
                assert_eq!(text(*measure, &Measurement::of_head(&report)), None);
            }
        }
    }
}
