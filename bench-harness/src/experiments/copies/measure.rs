//! Rows from traced pairs.

use crate::registry::Mechanism;
use bench_lab::copies::{
    Findings, call,
    rules::{self, Rule},
};
use bench_record::{
    cell::{Access, CopyCell},
    rows::{CopiesRow, copies::TOLERANCE},
};

/// The default message lengths: one page, and sixteen pages.
pub const SIZES: [usize; 2] = [4 << 10, 64 << 10];

/// The cells of `mechanism` with each of `accesses`, at `sizes`.
pub fn cells(
    mechanism: &Mechanism,
    accesses: impl Iterator<Item = Access>,
    sizes: &[usize],
) -> impl Iterator<Item = CopyCell> {
    let mechanism = mechanism.spec.name;
    accesses.flat_map(move |access| sizes.iter().map(move |&size| CopyCell { mechanism, size, access }))
}

/// Counts the copies that `mechanism` makes of a message of `size` bytes with `access`.
pub fn measure(mechanism: &Mechanism, size: usize, access: Access) -> CopiesRow {
    measure_by(mechanism, size, access, rules::TABLE)
}

/// Counts copies like `measure`, by another table than [`rules::TABLE`].
pub fn measure_by(mechanism: &Mechanism, size: usize, access: Access, table: &'static [Rule]) -> CopiesRow {
    let mut row = CopiesRow::empty(mechanism.spec.name.to_owned(), size, access);
    row.declared = match access {
        Access::Copy => Some(mechanism.spec.declared_copies.copying),
        Access::InPlace => mechanism.spec.declared_copies.in_place,
    };
    let found = match mechanism.copies(access) {
        Some(trial) => (trial.measure)(size, table).map_err(|unmeasured| unmeasured.to_string()),
        None => Err(format!("{} has no access {access}", mechanism.spec.name)),
    };
    match found {
        Ok(findings) => enter(&mut row, &findings),
        Err(why) => row.error = why,
    }
    row
}

/// Enters the findings into the row as figures.
fn enter(row: &mut CopiesRow, findings: &Findings) {
    let each = |sum: u64| sum as f64 / findings.messages as f64;
    let mut evidence = vec![format!("system calls of {} messages traced", findings.messages)];
    let [sender, receiver] = &findings.counts;
    row.syscalls_send = Some(each(sender.calls()));
    row.syscalls_recv = Some(each(receiver.calls()));
    match findings.kernel_copies(row.size) {
        Ok(copies) => {
            row.kernel_copies = Some(copies);
            row.moved = Some(each(sender.moved() + receiver.moved()) / row.size as f64);
        }
        Err(why) => row.error = why,
    }
    for claim in &findings.claims {
        evidence.extend(match claim.confirmed {
            Some(true) => Some(format!("{}: a reference, confirmed by a change behind it", call(&claim.of))),
            Some(false) => Some(format!("{}: no reference confirmed, so counted once more", call(&claim.of))),
            None => None,
        });
    }
    let notes = sender.notes() + receiver.notes();
    if notes > 0 {
        evidence.push(format!("{:.0} bytes about each message not counted", each(notes)));
    }
    if !findings.fits {
        evidence.push("a message longer than the channel, so waiting is counted".into());
    }
    let in_ledger = each(findings.ledgers.iter().map(|entries| entries.copied_bytes).sum()) / row.size as f64;
    match &findings.accesses {
        Ok(accesses) => {
            row.user_copies = Some(accesses.copies() as f64);
            evidence.push(format!("payload byte watched: written {}, read {}", accesses.writes, accesses.reads));
            if (in_ledger - accesses.copies() as f64).abs() > TOLERANCE {
                evidence.push(format!("its ledger holds {in_ledger:.2}"));
            }
        }
        Err(why) if why.is_for_want_of_means() => {
            row.user_copies = Some(in_ledger);
            evidence.push(format!("own copies from the ledger ({why})"));
        }
        Err(why) if row.error.is_empty() => row.error = format!("not known: {why}"),
        Err(_) => {}
    }
    if !findings.hidden.is_empty() {
        row.user_copies = None;
    }
    row.by_reference = findings.passing.map(|passing| passing.by_reference);
    evidence.extend(findings.passing.map(|passing| {
        let value = if passing.by_reference { "new" } else { "old" };
        let place = if passing.same_place { ", at the same place of shared memory" } else { "" };
        format!("changed after sending: the {value} value arrived{place}")
    }));
    row.total_copies = row.kernel_copies.zip(row.user_copies).map(|(kernel, user)| kernel + user);
    row.evidence = evidence.join("; ");
}
