//! The exact tier of the regression gate: counts that are known, and channels that take one call or one copy more than another,
//! past the ledger, which the comparison must find.

use super::careless::{Astray, Bounce, Call, Careless, Detour, Heap, Memcpy, Odd, Straight, Wander};
use bench_gate::exact::{Evidence, ExactReading, Quantity, SIZES, compare};
use bench_harness::{Mechanism, STANDARD, readings::count};
use bench_lab::copies::trace::{Tracee, trace};
use bench_record::cell::{Access, CopyCell};
use ipc_conformance::Verdict;
use ipc_core::{Channel, InPlace};
use ipc_pipe::Pipe;
use ipc_shm::{Memfd, MmapAnon};
use std::time::Duration;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

fn of_cell(mechanism: &Mechanism, size: usize, access: Access) -> ExactReading {
    count(mechanism, &CopyCell { mechanism: mechanism.spec.name, size, access })
}

fn reading(name: &str) -> Result<ExactReading, String> {
    let cell: CopyCell = name.parse()?;
    let reading = count(STANDARD.known(cell.mechanism)?, &cell);
    if reading.error.is_some() { Err(format!("{reading:?}")) } else { Ok(reading) }
}

/// Every mechanism by every access has every count, and the same ones again: nothing is worse than itself. A message of 64 bytes
/// takes the calls and copies by the kernel of one that is longer.
pub fn every_count(mechanism: &'static Mechanism) -> Verdict {
    // How often it looks after its peer hangs on time.
    let tries = if mechanism.spec.name == "process-vm" { 5 } else { 1 };
    for access in mechanism.accesses() {
        let mut left = tries;
        while let Err(why) = every_count_by(mechanism, access) {
            left -= 1;
            must(left > 0, || why)?;
        }
    }
    Ok(())
}

fn every_count_by(mechanism: &'static Mechanism, access: Access) -> Verdict {
    let of = |size| [0; 2].map(|_| of_cell(mechanism, size, access));
    let ([short, again], [page, page_again]) = (of(SIZES[0]), of(SIZES[1]));
    for [first, second] in [[&short, &again], [&page, &page_again]] {
        let whole = Quantity::ALL.iter().all(|&quantity| first.count(quantity).is_some());
        must(whole && first.missing.is_empty() && first.evidence == Some(Evidence::Traced), || format!("{first:?}"))?;
        for [base, head] in [[first, second], [second, first]] {
            let report = compare(std::slice::from_ref(base), std::slice::from_ref(head));
            must(report.counts.iter().all(|count| !count.worse), || format!("{report:?}"))?;
        }
    }
    let near = |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| (a - b).abs() < 0.5);
    must(near(short.syscalls, page.syscalls), || format!("{short:?}, {page:?}"))?;
    // What the processes copy themselves is in the page's count only.
    must(short.copies <= page.copies, || format!("{short:?}, {page:?}"))?;
    must(near(short.faults, Some(0.0)), || format!("{short:?}"))
}

/// Calls, copies and touches as they must be. A short memcpy may touch a byte twice, so each has two to four touches there.
pub fn counts_that_are_known() -> Verdict {
    for (name, syscalls, copies, touches) in [
        ("copies/pipe/64/copy", 2.0, 2.0, 2.0..=2.0),
        ("copies/pipe/4096/copy", 2.0, 2.0, 2.0..=2.0),
        ("copies/unix-stream/64/copy", 2.0, 2.0, 2.0..=2.0),
        ("copies/unix-stream/4096/copy", 2.0, 2.0, 2.0..=2.0),
        ("copies/memfd/64/copy", 0.0, 0.0, 6.0..=10.0),
        ("copies/memfd/4096/copy", 0.0, 2.0, 6.0..=6.0),
        ("copies/memfd/64/in-place", 0.0, 0.0, 2.0..=2.0),
        ("copies/memfd/4096/in-place", 0.0, 0.0, 2.0..=2.0),
    ] {
        let reading = reading(name)?;
        must(reading.name == name, || format!("{reading:?}"))?;
        must((reading.syscalls, reading.copies) == (Some(syscalls), Some(copies)), || format!("{reading:?}"))?;
        must(reading.touches.is_some_and(|found| touches.contains(&found)), || format!("{reading:?}"))?;
    }
    Ok(())
}

/// `C`, sent by way of `D`.
fn by_way_of<C: Channel, D: Detour>(access: Access) -> Result<[ExactReading; 2], String> {
    counted(const { &Mechanism::of::<Astray<C, D>>() }, access)
}

/// `C`, which has memory of its own, by way of `D`.
fn in_place_by_way_of<C: Channel<Endpoint: InPlace>, D: Detour>() -> Result<[ExactReading; 2], String> {
    counted(const { &Mechanism::of::<Astray<C, D>>().in_place::<Astray<C, D>>() }, Access::InPlace)
}

/// A short message of `mechanism`, counted twice.
fn counted(mechanism: &'static Mechanism, access: Access) -> Result<[ExactReading; 2], String> {
    let readings = [0; 2].map(|_| of_cell(mechanism, SIZES[0], access));
    if readings.iter().any(|reading| reading.error.is_some()) { Err(format!("{readings:?}")) } else { Ok(readings) }
}

/// Of all counts from `base` to `head`, only `quantity` is worse, by `least` or more; and nothing is, the other way round.
fn only_worse(base: &[ExactReading], head: &[ExactReading], quantity: Quantity, least: f64) -> Verdict {
    let report = compare(base, head);
    for count in &report.counts {
        let expected = count.what == quantity.name();
        must(count.worse == expected, || format!("{report:?}"))?;
        if expected && let (Some(base), Some(head)) = (count.base, count.head) {
            must(head - base >= least, || format!("{report:?}"))?;
        }
    }
    let back = compare(head, base);
    must(back.counts.iter().all(|count| !count.worse), || format!("the other way round: {back:?}"))
}

/// A real call that the ledger knows nothing of.
pub fn one_more_call_is_found() -> Verdict {
    let [base, head] = [by_way_of::<Pipe, Straight>(Access::Copy)?, by_way_of::<Pipe, Call>(Access::Copy)?];
    only_worse(&base, &head, Quantity::Syscalls, 1.0)?;
    let [base, head] = [by_way_of::<Memfd, Straight>(Access::Copy)?, by_way_of::<Memfd, Call>(Access::Copy)?];
    only_worse(&base, &head, Quantity::Syscalls, 1.0)
}

/// A copy of 64 bytes that the ledger knows nothing of: into a buffer that stays, onto the stack, and into memory that is given
/// back before the message arrives; in shared memory and before a call. It is written and read, each at least once.
pub fn one_more_short_copy_is_found() -> Verdict {
    let shared = by_way_of::<MmapAnon, Straight>(Access::Copy)?;
    let careless = counted(const { &Mechanism::of::<Careless<MmapAnon, Memcpy>>() }, Access::Copy)?;
    for head in [careless, by_way_of::<MmapAnon, Bounce>(Access::Copy)?, by_way_of::<MmapAnon, Heap>(Access::Copy)?] {
        only_worse(&shared, &head, Quantity::Touches, 2.0)?;
    }
    let in_place = in_place_by_way_of::<MmapAnon, Straight>()?;
    for head in [in_place_by_way_of::<MmapAnon, Bounce>()?, in_place_by_way_of::<MmapAnon, Heap>()?] {
        only_worse(&in_place, &head, Quantity::Touches, 2.0)?;
    }
    let pipe = by_way_of::<Pipe, Straight>(Access::Copy)?;
    for head in [by_way_of::<Pipe, Bounce>(Access::Copy)?, by_way_of::<Pipe, Heap>(Access::Copy)?] {
        only_worse(&pipe, &head, Quantity::Touches, 2.0)?;
    }
    Ok(())
}

/// Where a payload lies in places that cannot be foretold its touches are missing, and nothing else: beside a base that has them
/// that is a finding.
pub fn a_payload_that_wanders_has_no_touches() -> Verdict {
    let [base, head] = [by_way_of::<Pipe, Straight>(Access::Copy)?, by_way_of::<Pipe, Wander>(Access::Copy)?];
    let why = head[0].missing.get(&Quantity::Touches);
    must(why.is_some_and(|why| why.contains("did not come round")), || format!("{head:?}"))?;
    only_worse(&base, &head, Quantity::Touches, 0.0)
}

/// Where the head makes a call that no rule tells the copies of, it has lost the count, and the note names the call.
pub fn a_call_without_a_rule_is_found() -> Verdict {
    let [base, head] = [by_way_of::<Pipe, Straight>(Access::Copy)?, by_way_of::<Pipe, Odd>(Access::Copy)?];
    let report = compare(&base, &head);
    let copies = report.counts.iter().find(|count| count.what == "copies").ok_or("no copies")?;
    must(copies.worse && copies.head.is_none() && copies.base == Some(2.0), || format!("{report:?}"))?;
    must(copies.note.as_ref().is_some_and(|note| note.contains("read (device)")), || format!("{report:?}"))?;
    let back = compare(&head, &base);
    must(back.counts.iter().all(|count| !count.worse), || format!("{back:?}"))
}

/// Where nobody may trace the counts are those of the ledger, and not compared with traced ones. A process that is traced
/// already cannot be traced by another: here by this one.
pub fn a_refusal_leaves_the_ledger() -> Verdict {
    let traced = [reading("copies/pipe/64/copy")?, reading("copies/memfd/64/copy")?];
    let child = Tracee::fork(|| {
        let kept = ["copies/pipe/64/copy", "copies/memfd/64/copy"].map(reading);
        let [Ok(pipe), Ok(memfd)] = kept else { return 1 };
        let (calls, copies) = ([pipe.syscalls, memfd.syscalls], [pipe.copies, memfd.copies]);
        if (calls, copies) != ([Some(2.0), Some(0.0)], [Some(0.0), Some(2.0)]) {
            return 2;
        }
        for (kept, traced) in [pipe, memfd].into_iter().zip(&traced) {
            let refused = kept.missing.get(&Quantity::Touches).is_some_and(|why| why.starts_with("EPERM "));
            if kept.evidence != Some(Evidence::Ledger) || kept.faults.is_none() || !refused {
                return 3;
            }
            let alike = compare(std::slice::from_ref(&kept), std::slice::from_ref(&kept));
            let mixed = compare(std::slice::from_ref(traced), std::slice::from_ref(&kept));
            if alike.counts.iter().any(|count| count.worse || (count.what == "syscalls" && count.base.is_none())) {
                return 4;
            }
            let calls = mixed.counts.iter().find(|count| count.what == "syscalls");
            if calls.is_none_or(|count| count.worse || !count.note.as_ref().is_some_and(|note| note.contains("ledger")))
            {
                return 5;
            }
        }
        0
    });
    trace([child.map_err(|e| e.to_string())?], Duration::from_secs(20)).map(drop).map_err(|e| e.to_string())
}
