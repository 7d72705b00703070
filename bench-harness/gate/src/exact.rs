//! The exact tier counts system calls, copies, touches of the payload and minor page faults per message of one mechanism. These
//! hardly vary, so an increase is a finding, whatever the timing says.
//!
//! The counts come from [`bench_lab::copies`], which traces a pair that moves one message at a time. The gate also counts
//! messages that are too short for a table of copies. In those, the touches of one byte need not equal the number of copies.
//! Between two builds it is enough that the same code yields the same count.

use super::report::{Count, ExactReport};
use bench_record::{
    cell::{Access, Cell, CopyCell},
    named,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

named! {
    /// The quantities that are counted, per message and for both processes together.
    "count" Quantity {
        /// System calls.
        Syscalls = "syscalls",
        /// Copies of the payload by the kernel. For messages of 1 KiB and more, also copies by the processes.
        Copies = "copies",
        /// Writes and reads of one byte of the payload by the processes, for any purpose.
        Touches = "touches",
        /// Minor page faults.
        Faults = "faults",
    }
}

named! {
    /// How the counts were obtained. Only counts obtained in the same way are compared.
    "evidence" Evidence {
        /// A tracer followed a pair. Nothing bypasses that.
        Traced = "traced",
        /// The channel itself entered its calls and copies, because tracing is not allowed. One process has both ends and sends
        /// and receives in turn. Blind to what bypasses the ledger, and to copies by the kernel.
        Ledger = "ledger",
    }
}

/// The counts of one pair. A count that was not taken is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExactReading {
    /// The name of what was counted: `copies/MECHANISM/SIZE/ACCESS`.
    pub name: String,
    /// How the counts were obtained. Absent if nothing was counted.
    pub evidence: Option<Evidence>,
    /// System calls per message. See [`Quantity::Syscalls`].
    pub syscalls: Option<f64>,
    /// Copies per message. See [`Quantity::Copies`].
    pub copies: Option<f64>,
    /// Touches per message. See [`Quantity::Touches`].
    pub touches: Option<f64>,
    /// Minor page faults per message. See [`Quantity::Faults`].
    pub faults: Option<f64>,
    /// The reasons why some counts are missing.
    pub missing: BTreeMap<Quantity, String>,
    /// The reason why all counts are missing.
    pub error: Option<String>,
    /// Whether a payload arrived wrong. That is worse than a missing count.
    pub wrong_payload: bool,
}

impl ExactReading {
    /// The count of `quantity`.
    pub fn count(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Syscalls => self.syscalls,
            Quantity::Copies => self.copies,
            Quantity::Touches => self.touches,
            Quantity::Faults => self.faults,
        }
    }

    /// The reason why there is no count of `quantity`.
    fn why_not(&self, quantity: Quantity) -> Option<&str> {
        self.missing.get(&quantity).or(self.error.as_ref()).map(String::as_str)
    }
}

/// The message lengths that are counted, whatever is timed. A call or a copy weighs most in a short message. A page shows work
/// that depends on length.
pub const SIZES: [usize; 2] = [64, 4 << 10];

/// The subjects to count besides `cells`: each of their mechanisms by every access, not only by those timed. A build need not
/// have all of them.
pub(super) fn subjects(cells: &[Cell]) -> Vec<CopyCell> {
    let mut mechanisms: Vec<&'static str> = Vec::new();
    for cell in cells {
        if !mechanisms.contains(&cell.mechanism) {
            mechanisms.push(cell.mechanism);
        }
    }
    let of = |mechanism| {
        let each = move |access: &Access| SIZES.map(|size| CopyCell { mechanism, size, access: *access });
        Access::ALL.iter().flat_map(each)
    };
    mechanisms.into_iter().flat_map(of).collect()
}

/// The largest increase of a count, per message, that is no finding.
///
/// The values come from 50 readings of each of the 58 subjects on two busy cores:
/// - Copies and touches never differed.
/// - Calls differed only if time decides. `process-vm` checks on its peer if the last message is 20 ms ago. That adds up to
///   0.09 calls per message, more on a busier machine.
/// - Faults were none, or two in 256 messages (0.008).
const fn tolerance(quantity: Quantity) -> f64 {
    match quantity {
        Quantity::Syscalls => 0.15,
        Quantity::Copies | Quantity::Touches => 0.01,
        Quantity::Faults => 0.05,
    }
}

/// Compares the counts of one subject between `base` and `head`, each read several times.
///
/// A count is worse in two cases:
/// - The lowest of the head exceeds the highest of the base by more than noise.
/// - The head has no count any more, for instance because it makes a call that the rules do not know.
///
/// A reading without a count is skipped if other readings of the same side have it. A wrong payload of the head alone is worse,
/// whatever was counted.
pub fn compare(base: &[ExactReading], head: &[ExactReading]) -> ExactReport {
    let name = base.iter().chain(head).next().map(|reading| reading.name.clone()).unwrap_or_default();
    let wrong = |side: &[ExactReading]| side.iter().position(|reading| reading.wrong_payload);
    let counts = match (wrong(base), wrong(head)) {
        (None, Some(index)) => {
            let note = head[index].error.clone().unwrap_or("wrong payload".into());
            vec![Count {
                what: "right payloads".into(),
                base: Some(1.0),
                head: Some(0.0),
                worse: true,
                note: Some(note),
            }]
        }
        _ => Quantity::ALL.iter().map(|&quantity| compare_one(quantity, base, head)).collect(),
    };
    ExactReport { name, counts }
}

fn compare_one(quantity: Quantity, base: &[ExactReading], head: &[ExactReading]) -> Count {
    let count = |base: Option<f64>, head: Option<f64>, worse, note| Count {
        what: quantity.to_string(),
        base,
        head,
        worse,
        note,
    };
    let of = |side: &[ExactReading], evidence| -> Vec<f64> {
        let mut counts: Vec<f64> = side
            .iter()
            .filter(|reading| reading.evidence == Some(evidence))
            .filter_map(|reading| reading.count(quantity))
            .collect();
        counts.sort_by(f64::total_cmp);
        counts
    };
    let why = |side: &[ExactReading]| {
        let said = side.iter().find_map(|reading| reading.why_not(quantity));
        said.unwrap_or(if side.is_empty() { "not read" } else { "no count" }).to_owned()
    };
    let sides = |evidence| (of(base, evidence), of(head, evidence));
    let middle = |counts: &[f64]| counts.get(counts.len() / 2).copied();
    for &evidence in Evidence::ALL {
        let (base, head) = sides(evidence);
        if let (Some(&most), Some(&least)) = (base.last(), head.first()) {
            let worse = least > most + tolerance(quantity);
            return count(middle(&base), middle(&head), worse, None);
        }
    }
    let any = |side| Evidence::ALL.iter().find_map(|&evidence| Some((evidence, middle(&of(side, evidence))?)));
    match (any(base), any(head)) {
        (Some((before, base)), Some((after, head))) => {
            let note = format!("not compared: the base's is {before}, the head's {after}");
            count(Some(base), Some(head), false, Some(note))
        }
        (Some((before, value)), None) => {
            // A missing count of the head is a finding only in this case: the head was read, every reading of the base has the
            // count, and both sides were read in the same way.
            let sure = base.iter().all(|reading| reading.count(quantity).is_some());
            let alike = head.iter().all(|reading| reading.evidence.is_none_or(|after| after == before));
            count(Some(value), None, !head.is_empty() && sure && alike, Some(why(head)))
        }
        (None, Some((_, found))) => count(None, Some(found), false, Some(format!("the base has none: {}", why(base)))),
        (None, None) => count(None, None, false, Some(why(head))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::cell::{Access, Placement, Workload};
    use ipc_core::Wait;

    fn traced(syscalls: f64) -> ExactReading {
        ExactReading {
            name: "copies/pipe/64/copy".into(),
            evidence: Some(Evidence::Traced),
            syscalls: Some(syscalls),
            copies: Some(2.0),
            touches: Some(2.0),
            faults: Some(0.0),
            ..ExactReading::default()
        }
    }

    fn failed(error: &str) -> ExactReading {
        ExactReading { name: "copies/pipe/64/copy".into(), error: Some(error.into()), ..ExactReading::default() }
    }

    fn find(quantity: Quantity, base: &[ExactReading], head: &[ExactReading]) -> Count {
        let report = compare(base, head);
        assert_eq!(report.name, "copies/pipe/64/copy");
        assert_eq!(report.counts.len(), Quantity::ALL.len());
        report.counts.into_iter().find(|count| count.what == quantity.name()).unwrap()
    }

    #[test]
    fn one_more_is_worse_and_one_less_is_not() {
        let more = find(Quantity::Syscalls, &[traced(2.0)], &[traced(3.0)]);
        assert_eq!((more.base, more.head, more.worse, more.note), (Some(2.0), Some(3.0), true, None));
        assert!(!find(Quantity::Syscalls, &[traced(3.0)], &[traced(2.0)]).worse);
        assert!(!find(Quantity::Touches, &[traced(2.0)], &[traced(3.0)]).worse);
        for quantity in [Quantity::Copies, Quantity::Touches, Quantity::Faults] {
            let mut head = traced(2.0);
            (head.copies, head.touches, head.faults) = (Some(3.0), Some(3.0), Some(1.0));
            assert!(find(quantity, &[traced(2.0)], &[head.clone()]).worse, "{quantity}");
            assert!(!find(quantity, &[head], &[traced(2.0)]).worse, "{quantity}");
        }
    }

    #[test]
    fn noise_is_not_worse() {
        // The lowest count of the head is compared with the highest of the base.
        let [base, head] = [[1.0, 1.02, 1.09], [1.04, 3.0, 5.0]].map(|counts| counts.map(traced));
        let count = find(Quantity::Syscalls, &base, &head);
        assert_eq!((count.worse, count.base, count.head), (false, Some(1.02), Some(3.0)));
        for quantity in Quantity::ALL.iter().copied() {
            let with = |more: f64| {
                let mut reading = traced(2.0 + more);
                (reading.copies, reading.touches) = (Some(2.0 + more), Some(2.0 + more));
                reading.faults = Some(more);
                reading
            };
            let [within, beyond] = [0.9, 1.1].map(|part| with(part * tolerance(quantity)));
            assert!(!find(quantity, &[traced(2.0)], &[within]).worse, "{quantity}");
            assert!(find(quantity, &[traced(2.0)], &[beyond]).worse, "{quantity}");
        }
    }

    #[test]
    fn a_count_that_the_head_has_lost_is_worse_and_says_why() {
        let mut lost = traced(2.0);
        (lost.copies, lost.missing) = (None, [(Quantity::Copies, "unknown call io_uring_enter".into())].into());
        let count = find(Quantity::Copies, &[traced(2.0)], std::slice::from_ref(&lost));
        assert_eq!((count.worse, count.base, count.head), (true, Some(2.0), None));
        assert_eq!(count.note.as_deref(), Some("unknown call io_uring_enter"));
        assert!(!find(Quantity::Syscalls, &[traced(2.0)], std::slice::from_ref(&lost)).worse);
        // One reading with a count is enough.
        assert!(!find(Quantity::Copies, &[traced(2.0)], &[lost.clone(), traced(2.0)]).worse);
        // The head has a count and the base has none.
        let won = find(Quantity::Copies, &[lost.clone()], &[traced(2.0)]);
        assert_eq!((won.worse, won.base, won.head), (false, None, Some(2.0)));
        assert!(won.note.is_some_and(|note| note.contains("base") && note.contains("io_uring_enter")));
        // The count comes and goes on either side.
        assert!(!find(Quantity::Copies, &[lost.clone(), traced(2.0)], std::slice::from_ref(&lost)).worse);
        // Neither side has the count.
        let none = find(Quantity::Copies, &[lost.clone()], &[lost]);
        assert_eq!((none.worse, none.note.as_deref()), (false, Some("unknown call io_uring_enter")));
    }

    #[test]
    fn a_head_that_fails_has_lost_all_and_one_that_was_not_read_nothing() {
        for &quantity in Quantity::ALL {
            let count = find(quantity, &[traced(2.0)], &[failed("no end within 20s")]);
            assert_eq!((count.worse, count.note.as_deref()), (true, Some("no end within 20s")), "{quantity}");
            let unread = find(quantity, &[traced(2.0)], &[]);
            assert_eq!((unread.worse, unread.note.as_deref()), (false, Some("not read")), "{quantity}");
            assert!(!find(quantity, &[failed("x")], &[failed("x")]).worse, "{quantity}");
            assert!(!find(quantity, &[], &[traced(2.0)]).worse, "{quantity}");
        }
        assert_eq!(compare(&[], &[]).name, "");
    }

    /// A wrong payload counts, however many right ones were read.
    #[test]
    fn a_wrong_payload_of_the_head_alone_is_worse() {
        let wrong = ExactReading { wrong_payload: true, ..failed("wrong payload: byte 3") };
        let worse = |base: &[ExactReading], head: &[ExactReading]| {
            compare(base, head).counts.into_iter().find(|count| count.worse).and_then(|count| count.note)
        };
        let of_the_head = worse(&[traced(2.0)], &[traced(2.0), wrong.clone()]);
        assert_eq!(of_the_head.as_deref(), Some("wrong payload: byte 3"));
        let counted = ExactReading { wrong_payload: true, ..traced(2.0) };
        assert!(worse(&[traced(2.0)], &[counted]).is_some());
        let wrong = std::slice::from_ref(&wrong);
        assert_eq!(worse(wrong, wrong), None);
        assert_eq!(worse(wrong, &[traced(2.0)]), None);
    }

    #[test]
    fn only_counts_of_one_kind_are_compared() {
        let ledger = |syscalls| ExactReading { evidence: Some(Evidence::Ledger), ..traced(syscalls) };
        for [base, head] in [[traced(2.0), ledger(9.0)], [ledger(2.0), traced(9.0)]] {
            let count = find(Quantity::Syscalls, &[base], &[head]);
            assert_eq!((count.worse, count.base, count.head), (false, Some(2.0), Some(9.0)));
            assert!(count.note.is_some_and(|note| note.contains("traced") && note.contains("ledger")));
        }
        let blind = ExactReading { touches: None, ..ledger(2.0) };
        assert!(!find(Quantity::Touches, &[traced(2.0)], &[blind]).worse);
        assert!(find(Quantity::Syscalls, &[ledger(2.0)], &[ledger(3.0)]).worse);
        // Of several readings, only those with the same evidence are compared.
        let count = find(Quantity::Syscalls, &[ledger(1.0), traced(2.0)], &[traced(2.0), ledger(1.0)]);
        assert_eq!((count.worse, count.base, count.note), (false, Some(2.0), None));
    }

    #[test]
    fn each_way_to_reach_a_payload_is_counted_once() {
        let cell = |workload, mechanism, size, access| {
            let (placement, wait) = (Placement::SameCore, Wait::Block);
            Cell { workload, mechanism, size, placement, wait, access }
        };
        let cells = [
            cell(Workload::Latency, "memfd", 64, Access::InPlace),
            cell(Workload::Throughput, "pipe", 65_536, Access::Copy),
            cell(Workload::Throughput, "memfd", 64, Access::InPlace),
            cell(Workload::Latency, "memfd", 8, Access::Copy),
        ];
        let names = [
            "copies/memfd/64/copy",
            "copies/memfd/4096/copy",
            "copies/memfd/64/in-place",
            "copies/memfd/4096/in-place",
            "copies/pipe/64/copy",
            "copies/pipe/4096/copy",
            "copies/pipe/64/in-place",
            "copies/pipe/4096/in-place",
        ];
        assert_eq!(subjects(&cells).iter().map(ToString::to_string).collect::<Vec<_>>(), names);
        assert!(subjects(&[]).is_empty());
    }

    #[test]
    fn a_reading_is_one_line_of_json() {
        let mut reading = traced(2.0);
        reading.missing = [(Quantity::Touches, "no\ndebug registers".into())].into();
        let line = serde_json::to_string(&reading).unwrap();
        assert!(!line.contains('\n') && line.contains(r#""evidence":"traced","syscalls":2.0"#), "{line}");
        assert_eq!(serde_json::from_str::<ExactReading>(&line).unwrap(), reading);
    }
}
