//! The life-cycle table: what a channel costs before and after its messages, a line per mechanism.

use super::{
    shown::Shown,
    table::{Column, Field, Table},
    text::NO_FIGURE,
};
use bench_record::rows::LifecycleRow;

/// A table with a line per mechanism. The notes below it give the reasons for missing figures.
pub fn table(rows: &[LifecycleRow]) -> Table {
    let count = |count: Option<u64>| Field::number(count.map(|count| count as f64), |count| count.to_string());
    let line = |row: &LifecycleRow| {
        vec![
            row.mechanism.clone().into(),
            Field::time(row.create_ns),
            Field::time(row.connect_ns),
            Field::time(row.first_message_ns),
            Field::time(row.teardown_ns),
            count(row.descriptors),
            count(row.mappings),
            Field::number(row.mapped_bytes.map(|bytes| bytes as f64), memory),
            Field::number(row.kernel_bytes, memory),
        ]
    };
    let wrong = rows.iter().filter(|row| !row.error.is_empty());
    Table {
        title: "Life cycle of a channel".into(),
        explanation: "Medians of channels made one after the other, without an interval and so in two digits. Create: both ends in one process. Connect: two processes that share only a name, from their start \
                      until both have their end. First message: 64 bytes over ends that nobody has used, from the call of send to \
                      its arrival at a receiver that sleeps on another core. Close: both ends, unused. Descriptors, mappings and \
                      mapped bytes: of both ends together. Kernel: its memory for one channel that nobody has used yet."
            .into(),
        columns: vec![
            Column::Words("mechanism"),
            Column::Figures("create"),
            Column::Figures("connect"),
            Column::Figures("first message"),
            Column::Figures("close"),
            Column::Figures("descriptors"),
            Column::Figures("mappings"),
            Column::Figures("mapped"),
            Column::Figures("kernel"),
        ],
        lines: rows.iter().map(line).collect(),
        notes: wrong.map(|row| format!("{NO_FIGURE} {}: {}", row.mechanism, row.error)).collect(),
    }
}

/// An amount of memory with one decimal. Zero is shown as `0`.
fn memory(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        0.0 => "0".into(),
        small if small < KIB * KIB => format!("{:.1} KiB", small / KIB),
        large => format!("{:.1} MiB", large / KIB / KIB),
    }
}

impl Shown for LifecycleRow {
    const HEADING: &'static str = "What a channel costs";

    fn tables(rows: &[Self]) -> Vec<Table> {
        vec![table(rows)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_shown_with_its_reason() {
        let row = LifecycleRow {
            trials: 40,
            create_ns: Some(123_456.0),
            connect_ns: Some(1_234_567.0),
            first_message_ns: Some(45_678.0),
            teardown_ns: Some(99_999.0),
            descriptors: Some(4),
            mappings: Some(0),
            mapped_bytes: Some(0),
            error: "kernel memory: lost in the noise".into(),
            ..LifecycleRow::empty("unix-seqpacket".into())
        };
        let memory = LifecycleRow {
            mechanism: "memfd".into(),
            connect_ns: None,
            mappings: Some(2),
            mapped_bytes: Some(4 << 20),
            kernel_bytes: Some(5500.0),
            error: String::new(),
            ..row.clone()
        };
        let text = table(&[row, memory]).terminal(100);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let fields: Vec<String> = line("memfd").split("  ").map(|field| field.trim().to_owned()).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).filter(|field| !field.is_empty()).collect();
        assert_eq!(fields, ["memfd", "120 µs", "–", "46 µs", "100 µs", "4", "2", "4.0 MiB", "5.4 KiB"]);
        assert!(line("unix-seqpacket").ends_with('–'));
        assert!(text.ends_with("– unix-seqpacket: kernel memory: lost in the noise\n"), "{text}");
    }
}
