//! Whether a run measured anything. A run without a single figure is a failure.

use super::{CopiesRow, CostRow, FaultRow, LatencyRow, LifecycleRow, RelayRow, Row, ThroughputRow};
use std::collections::BTreeMap;

/// A row that holds what was measured, or the reason why nothing was.
pub trait Outcome: Row {
    /// Whether the row holds a figure.
    fn has_figure(&self) -> bool;
    /// What went wrong. Empty if nothing did.
    fn error(&self) -> &str;
}

macro_rules! outcome {
    ($($row:ty: $($figure:ident)+;)+) => {
        $(impl Outcome for $row {
            fn has_figure(&self) -> bool {
                [$(self.$figure),+].iter().any(Option::is_some)
            }

            fn error(&self) -> &str {
                &self.error
            }
        })+
    };
}

outcome! {
    LatencyRow: p50_ns mean_ns batch_mean_ns;
    ThroughputRow: msgs_per_s bytes_per_s;
    CostRow: cpu_ns syscalls_send round_trip_ns;
    CopiesRow: total_copies syscalls_send;
    LifecycleRow: create_ns connect_ns first_message_ns teardown_ns kernel_bytes;
    RelayRow: total_copies bytes_per_s;
}

impl Outcome for FaultRow {
    fn has_figure(&self) -> bool {
        let found = [self.hung, self.corrupted, self.left, self.left_after_sweep, self.zombies, self.rebinds];
        self.p50_ns.is_some() || found.iter().any(|count| *count > 0)
    }

    fn error(&self) -> &str {
        &self.error
    }
}

/// A summary of the rows of a run, of all kinds: how many there are, how many have a figure, and the reasons of the
/// others.
#[derive(Clone, Debug, Default)]
pub struct Outcomes<'a> {
    figures: usize,
    rows: usize,
    reasons: BTreeMap<&'a str, usize>,
}

impl<'a> Outcomes<'a> {
    /// Adds `rows` to the summary.
    #[must_use]
    pub fn with<R: Outcome>(mut self, rows: &'a [R]) -> Self {
        self.rows += rows.len();
        for row in rows {
            if row.has_figure() {
                self.figures += 1;
            } else if !row.error().is_empty() {
                *self.reasons.entry(row.error()).or_default() += 1;
            }
        }
        self
    }

    /// Why no row holds a figure, with the most frequent reason. `None` if a row holds one.
    pub fn why_nothing(&self) -> Option<String> {
        if self.figures > 0 {
            return None;
        }
        let rows = if self.rows == 1 { "1 row".to_owned() } else { format!("{} rows", self.rows) };
        let commonest = self.reasons.iter().max_by_key(|&(_, count)| count);
        let said = match commonest {
            Some((reason, count)) if *count == self.rows => format!(": {reason}"),
            Some((reason, count)) => format!("; {count} of them say: {reason}"),
            None => String::new(),
        };
        Some(format!("no figure in {rows}{said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;

    #[test]
    fn the_commonest_reason_is_told_where_there_is_no_figure() {
        let cell = |size: usize| format!("latency/pipe/{size}/same-core/block/copy").parse::<Cell>().unwrap();
        let mut rows = vec![
            LatencyRow::failed(&cell(1), "rare"),
            LatencyRow::failed(&cell(2), "common"),
            LatencyRow::failed(&cell(3), "common"),
            LatencyRow::empty(&cell(4)),
        ];
        let why = |rows: &[LatencyRow]| Outcomes::default().with(rows).with::<CopiesRow>(&[]).why_nothing();
        assert_eq!(why(&rows).unwrap(), "no figure in 4 rows; 2 of them say: common");
        assert_eq!(why(&rows[..1]).unwrap(), "no figure in 1 row: rare");
        assert_eq!(why(&[]).unwrap(), "no figure in 0 rows");
        rows[0].p50_ns = Some(1.0);
        assert_eq!(why(&rows), None);
    }
}
