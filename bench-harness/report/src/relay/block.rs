//! The measured block `relay` of a page: the table of ways, and the conclusions that its figures allow.

use crate::{Results, overview::count, text::and};
use bench_record::{
    file_copy::FileCopy,
    rows::{RelayRow, Row as _},
};

/// The text of the block: the table, and what follows from it.
pub(crate) fn text(results: &Results, _: &str) -> Result<String, &'static str> {
    let rows = &results.rows.relay;
    let table =
        super::table(rows).filter(|_| rows.iter().any(|row| row.bytes_per_s.is_some())).ok_or(RelayRow::FILE)?;
    let said = [claims(rows), order(rows), shared_memory(rows)];
    let said: Vec<String> = said.into_iter().flatten().collect();
    Ok(format!("{}\nMeasured on {}. {}", table.markdown_lines(), results.source(), said.join(" ")))
}

/// How many of the textbooks' figures hold.
fn claims(rows: &[RelayRow]) -> Option<String> {
    let judged: Vec<(&RelayRow, bool)> = rows.iter().filter_map(|row| Some((row, super::holds(row)?))).collect();
    let wrong = judged.iter().filter(|(_, holds)| !holds);
    let wrong: Vec<String> = wrong
        .map(|(row, _)| {
            let (total, claimed) = (row.total_copies.unwrap_or_default(), row.claimed.unwrap_or_default());
            format!("`{}` copies {} times instead of {claimed}", row.relay, count(total))
        })
        .collect();
    let all = judged.len();
    Some(match (all, wrong.len()) {
        (0, _) => return None,
        (_, 0) => format!("All {all} textbook figures hold."),
        (_, some) => format!("{} of {all} textbook figures hold. {}.", all - some, and(&wrong)),
    })
}

/// Whether fewer copies are faster. They are not if a way with the most copies beats one with fewer beyond doubt.
fn order(rows: &[RelayRow]) -> Option<String> {
    let known = || rows.iter().filter_map(|row| Some((row, row.total_copies?, row.bytes_per_s?)));
    let most = known().map(|(_, copies, _)| copies).max_by(f64::total_cmp)?;
    let fewest = known().map(|(_, copies, _)| copies).min_by(f64::total_cmp).filter(|fewest| *fewest < most)?;
    let slowest_of_few = known().filter(|k| k.1 < most).min_by(|a, b| a.2.total_cmp(&b.2))?;
    let fastest_of_most = known().filter(|k| k.1 == most).max_by(|a, b| a.2.total_cmp(&b.2))?;
    let (value, interval) = super::ratio(fastest_of_most.0, slowest_of_few.0)?;
    let beaten = interval.is_some_and(|(lo, _)| lo > 1.0);
    Some(if beaten {
        format!(
            "Fewer copies are not always faster: `{}` ({} copies) carries {} times as much a second as `{}` ({}).",
            fastest_of_most.0.relay,
            count(most),
            super::times(value, interval),
            slowest_of_few.0.relay,
            count(slowest_of_few.1),
        )
    } else {
        format!("No way with {} copies is faster than one with fewer ({} at the least).", count(most), count(fewest))
    })
}

/// The gain from two copies fewer through shared memory.
fn shared_memory(rows: &[RelayRow]) -> Option<String> {
    let of = |relay| rows.iter().find(|row| row.relay == relay);
    let (private, in_place) = (of(FileCopy::SharedMemoryPrivate)?, of(FileCopy::SharedMemoryInPlace)?);
    let (value, interval) = super::ratio(in_place, private)?;
    let verdict = match interval {
        Some((lo, hi)) if lo <= 1.0 && hi >= 1.0 => " This run cannot tell the two apart.",
        Some(_) => "",
        None => " There is no interval.",
    };
    let copies = count(private.total_copies? - in_place.total_copies?);
    Some(format!(
        "Shared memory in place (`{}`) saves {copies} copies and carries {} times as much as `{}`.{verdict}",
        in_place.relay,
        super::times(value, interval),
        private.relay,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(relay: FileCopy, copies: f64, bytes_per_s: f64) -> RelayRow {
        RelayRow {
            total_copies: Some(copies),
            claimed: Some(2),
            bytes_per_s: Some(bytes_per_s),
            bytes_per_s_lo: Some(0.99 * bytes_per_s),
            bytes_per_s_hi: Some(1.01 * bytes_per_s),
            ..RelayRow::of(relay, 64 << 20, 64 << 10)
        }
    }

    #[test]
    fn a_conclusion_follows_its_figures() {
        let rows = |private: f64, in_place: f64| {
            vec![
                relay(FileCopy::SharedMemoryPrivate, 4.0, private),
                relay(FileCopy::SharedMemoryInPlace, 2.0, in_place),
                relay(FileCopy::MappedPipe, 2.0, 1e9),
            ]
        };
        let close = rows(7.00e9, 7.05e9);
        assert!(shared_memory(&close).unwrap().ends_with("This run cannot tell the two apart."));
        let apart = shared_memory(&rows(5e9, 7.2e9)).unwrap();
        let expected = "Shared memory in place (`shm-in-place`) saves 2 copies and carries 1.44 ± 0.02 times as much as `shm-private-buffers`.";
        assert_eq!(apart, expected);
        let wrong = "2 of 3 textbook figures hold. `shm-private-buffers` copies 4 times instead of 2.";
        assert_eq!(claims(&close).unwrap(), wrong);
        assert!(order(&close).unwrap().starts_with("Fewer copies are not always faster: `shm-private-buffers` (4"));
        assert!(order(&rows(0.9e9, 7e9)).unwrap().starts_with("No way with 4 copies is faster"));
        assert_eq!((claims(&[]), order(&[]), shared_memory(&[])), (None, None, None));
    }
}
