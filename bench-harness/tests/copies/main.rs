//! What `copies` finds of every mechanism, and of channels, declarations and rules that are wrong on purpose.

mod careless;
mod exact;
mod hiding;
#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(target_arch = "x86_64")]
mod rep_movsb;
mod sys;
mod tracing;

use bench_harness::{
    Mechanism, STANDARD,
    experiments::copies::{SIZES, measure, measure_by},
};
use bench_lab::{
    copies::{
        self, Findings, Unmeasured,
        rules::{self, End, Length, Place, Rule},
        trace::Untraced,
        watch::{Accesses, Unwatched},
    },
    workload::driver::Copying,
};
use bench_record::{
    cell::Access,
    rows::{CopiesRow, Row as _},
};
use careless::{Astray, ByHand, Careless, Lying, Memcpy, Piecewise};
use ipc_conformance::{Suite, Verdict, run_all, surroundings::countable};
use ipc_core::{Channel, Error};
use ipc_fifo::Fifo;
use ipc_msgq::{PosixMq, SysvMsgq};
use ipc_pipe::Pipe;
use ipc_shm::MmapAnon;
use ipc_socket::UnixStream;
use std::time::Duration;

/// Copies by the kernel and by the processes, and whether by reference, as the literature and the kernel's source have it; by
/// name, so that it holds whatever a mechanism says of itself.
fn known(mechanism: &str, access: Access) -> Option<(f64, f64, bool)> {
    Some(match (mechanism, access) {
        ("pipe" | "fifo" | "sysv-msgq" | "posix-mq", Access::Copy) => (2.0, 0.0, false),
        ("unix-stream" | "unix-dgram" | "unix-seqpacket" | "tcp" | "udp", Access::Copy) => (2.0, 0.0, false),
        ("sysv-shm" | "posix-shm" | "memfd" | "mmap-file" | "mmap-anon", Access::Copy) => (0.0, 2.0, false),
        ("sysv-shm" | "posix-shm" | "memfd" | "mmap-file" | "mmap-anon", Access::InPlace) => (0.0, 0.0, true),
        ("vmsplice" | "process-vm", Access::InPlace) => (1.0, 0.0, true),
        ("memfd-write", Access::InPlace) => (1.0, 0.0, false),
        ("tcp-zerocopy", Access::InPlace) => (2.0, 0.0, false),
        _ => return None,
    })
}

/// When a test has hung. Some need ten seconds of processor time, of which a busy machine grants a fraction.
const LIMIT: Duration = Duration::from_secs(600);

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

fn row_of(mechanism: &'static Mechanism, size: usize, access: Access) -> CopiesRow {
    measure(mechanism, size, access)
}

/// Why a mechanism's row may lack figures: this kernel does not have it, or it does not carry the length.
fn may_lack(found: &Result<Findings, Unmeasured>) -> bool {
    matches!(found, Err(Unmeasured::Channel(Error::TooLarge { .. } | Error::Unsupported { .. })))
}

/// The figures are those that are known, or what the mechanism declares.
fn figures(mechanism: &'static Mechanism) -> Verdict {
    for access in mechanism.accesses() {
        for size in SIZES {
            let row = row_of(mechanism, size, access);
            if row.total_copies.is_none() {
                let trial = mechanism.copies(access).expect("it has this access");
                must(may_lack(&(trial.measure)(size, rules::TABLE)), || format!("{row:?}"))?;
                continue;
            }
            if let Some(verdict) = row.verdict() {
                return Err(format!("{}: {verdict}", row.name()));
            }
            if let Some((kernel, user, by_reference)) = known(mechanism.spec.name, access) {
                let expected = (Some(kernel), Some(user), Some(by_reference));
                must((row.kernel_copies, row.user_copies, row.by_reference) == expected, || format!("{row:?}"))?;
            }
        }
    }
    Ok(())
}

/// What a channel enters of its calls and copies is what the tracer sees.
fn ledgers(mechanism: &'static Mechanism) -> Verdict {
    for access in mechanism.accesses() {
        for size in SIZES {
            let trial = mechanism.copies(access).expect("it has this access");
            let found = (trial.measure)(size, rules::TABLE);
            if may_lack(&found) {
                continue;
            }
            let found = found.map_err(|why| format!("{size}/{access}: {why}"))?;
            for (who, (counts, ledger)) in ["sender", "receiver"].iter().zip(found.counts.iter().zip(found.ledgers)) {
                must(counts.calls() == ledger.calls, || {
                    let calls = ledger.calls;
                    format!("{size}/{access}: the {who}'s ledger has {calls} calls, the tracer saw {counts:?}")
                })?;
            }
            if let Ok(accesses) = found.accesses {
                let copied: u64 = found.ledgers.iter().map(|ledger| ledger.copied_bytes).sum();
                must(copied == accesses.copies() * found.messages * size as u64, || {
                    format!("{size}/{access}: the ledgers have {copied} bytes copied, the watch saw {accesses:?}")
                })?;
            }
        }
    }
    Ok(())
}

fn findings<C: Channel>(size: usize, table: &'static [Rule]) -> Result<Findings, Unmeasured> {
    copies::trial::<C, Copying<C::Endpoint>>(size, table)
}

/// A channel with one copy more than `C` is seen to have it, by the watch and by nothing else.
fn one_more<C: Channel, H: careless::Copier>() -> Verdict {
    for size in SIZES {
        let plain = findings::<C>(size, rules::TABLE).map_err(|e| e.to_string())?;
        let careless = findings::<Careless<C, H>>(size, rules::TABLE).map_err(|e| e.to_string())?;
        let [plain_copies, careless_copies] =
            [&plain, &careless].map(|found| found.accesses.clone().map(|a| a.copies()));
        let (plain_copies, careless_copies) = (plain_copies.map_err(text)?, careless_copies.map_err(text)?);
        must(careless_copies == plain_copies + 1, || format!("{size}: {careless_copies}, not {plain_copies} + 1"))?;
        must(careless.ledgers == plain.ledgers, || format!("{size}: the ledger knows: {:?}", careless.ledgers))?;
        must(careless.counts[0].copied() == plain.counts[0].copied(), || format!("{size}: {:?}", careless.counts))?;
    }
    Ok(())
}

/// Each piece passes through the same bytes, so there seem to be more copies than there are, but never fewer.
fn a_copy_in_pieces_is_seen() -> Verdict {
    for size in SIZES {
        let found = findings::<Careless<Pipe, Piecewise>>(size, rules::TABLE).map_err(|e| e.to_string())?;
        let copies = found.accesses.map_err(text)?.copies();
        must(copies >= 2, || format!("{size}: {copies}"))?;
    }
    Ok(())
}

fn text(error: Unwatched) -> String {
    error.to_string()
}

/// The kernel reads the one place and writes the other, and neither shows.
fn the_kernel_does_not_trap() -> Verdict {
    for size in SIZES {
        let found = findings::<Pipe>(size, rules::TABLE).map_err(|e| e.to_string())?;
        let seen = found.accesses.map_err(text)?;
        must(seen == Accesses { writes: 1, reads: 1, places: 2 }, || format!("{size}: {seen:?}"))?;
    }
    Ok(())
}

/// A message that the channel cannot hold is counted just the same, without a hang.
fn a_message_longer_than_the_channel_is_counted() -> Verdict {
    let found = findings::<Pipe>(256 << 10, rules::TABLE).map_err(|e| e.to_string())?;
    must(!found.fits && found.kernel_copies(256 << 10) == Ok(2.0), || format!("{found:?}"))?;
    must(found.accesses.is_ok_and(|accesses| accesses.copies() == 0), || "the watch sees copies".into())
}

fn lies_are_found() -> Verdict {
    static LYING: Mechanism = Mechanism::of::<Lying<Pipe>>();
    static HONEST: Mechanism = Mechanism::of::<Pipe>();
    static CARELESS: Mechanism = Mechanism::of::<Careless<MmapAnon, Memcpy>>();
    let verdict = |mechanism| row_of(mechanism, 4096, Access::Copy).verdict();
    must(verdict(&HONEST).is_none(), || "the honest channel is blamed".into())?;
    must(verdict(&LYING).as_deref() == Some("2.00 copies measured, 1 declared"), || format!("{:?}", verdict(&LYING)))?;
    must(verdict(&CARELESS).as_deref() == Some("3.00 copies measured, 2 declared"), || {
        format!("{:?}", verdict(&CARELESS))
    })
}

/// Every line of the table that `C` uses, spoilt in each way, is noticed: where a length is wrong by the payload's bytes, where the
/// line is missing by the call's name, where the number of copies is wrong by what the channel declares.
fn wrong_lines_are_noticed<C: Channel>() -> Verdict {
    let found = findings::<C>(4096, rules::TABLE).map_err(|e| e.to_string())?;
    let used: Vec<_> = found.counts.iter().flat_map(|counts| counts.lines()).map(|(of, _)| of).collect();
    must(used.len() >= 2, || format!("{used:?}"))?;
    let is_used = |rule: &Rule| used.contains(&(rule.name, rule.from.place(), rule.to.place()));
    for line in (0..rules::TABLE.len()).filter(|&line| is_used(&rules::TABLE[line])) {
        let spoilt = |spoil: fn(&mut Rule)| {
            let mut table = rules::TABLE.to_vec();
            spoil(&mut table[line]);
            let found = findings::<C>(4096, table.leak()).map_err(|e| e.to_string())?;
            found.kernel_copies(4096)
        };
        let name = rules::TABLE[line].name;
        // The queue's number, a descriptor's: short of any message.
        let shorter = spoilt(|rule| rule.length = Length::Argument(0));
        must(shorter.as_ref().is_err_and(|why| why.contains("bytes")), || format!("{name}, length: {shorter:?}"))?;
        let missing = spoilt(|rule| rule.number = -1);
        must(missing.as_ref().is_err_and(|why| why.contains("unknown call")), || format!("{name}, none: {missing:?}"))?;
        let elsewhere = spoilt(|rule| match rule.from {
            End::At(Place::Memory) => rule.to = End::At(Place::PeerMemory),
            _ => rule.from = End::At(Place::PeerMemory),
        });
        must(elsewhere.as_ref().is_err_and(|why| why.contains("bytes")), || format!("{name}, place: {elsewhere:?}"))?;
        let twice = spoilt(|rule| rule.copies = 2);
        must(twice == Ok(3.0), || format!("{name}, two copies: {twice:?}"))?;
        // That there is no copy is not believed.
        let free = spoilt(|rule| rule.copies = 0);
        must(free == Ok(2.0), || format!("{name}, no copy: {free:?}"))?;
    }
    Ok(())
}

/// A wrong number of copies, which no sum of bytes can show, shows against what is declared.
fn a_wrong_number_of_copies_is_noticed() -> Verdict {
    let mut table = rules::TABLE.to_vec();
    table.iter_mut().filter(|rule| rule.name == "write").for_each(|rule| rule.copies = 2);
    let mechanism = STANDARD.named("pipe").expect("it is in the table");
    let row = measure_by(mechanism, 4096, Access::Copy, table.leak());
    must(row.verdict().as_deref() == Some("3.00 copies measured, 2 declared"), || format!("{row:?}"))
}

/// Nothing can be tested where this process may not trace; without debug registers the watch cannot.
fn can_trace() -> ipc_core::Result<()> {
    countable()?;
    match findings::<Pipe>(4096, rules::TABLE) {
        Err(Unmeasured::Untraced(refused @ Untraced::Refused { .. })) => {
            Err(Error::Unsupported { what: "ptrace", why: refused.to_string() })
        }
        _ => Ok(()),
    }
}

fn can_watch() -> ipc_core::Result<()> {
    can_trace()?;
    match findings::<Pipe>(4096, rules::TABLE).map(|found| found.accesses) {
        Ok(Err(refused @ Unwatched::Refused(_))) => {
            Err(Error::Unsupported { what: "watching", why: refused.to_string() })
        }
        _ => Ok(()),
    }
}

fn can_hold<H: hiding::Held>() -> ipc_core::Result<()> {
    can_watch()?;
    let unsupported = |error: Error| Error::Unsupported { what: "descriptor", why: error.to_string() };
    H::open().map(drop).map_err(unsupported)
}

/// Copies out of sight.
fn hiding() -> Suite {
    use hiding::*;
    Suite::new("hiding")
        .within(LIMIT)
        .prepared("a_thread_of_its_own_for_each_message", can_watch, || is_counted::<MmapAnon, NewThread>(1.0))
        .prepared("a_thread_from_the_first_message_on", can_watch, || is_counted::<MmapAnon, OldThread>(2.0))
        .prepared("a_thread_before_a_call", can_watch, || is_counted::<Pipe, OldThread>(2.0))
        .prepared("memory_mapped_for_each_message", can_watch, || is_counted::<MmapAnon, NewMappings>(3.0))
        .prepared("memory_mapped_before_a_call", can_watch, || is_counted::<Pipe, NewMappings>(3.0))
        .prepared("memory_that_is_moved", can_watch, || is_counted::<Pipe, MovedMapping>(1.0))
        .prepared("every_third_message", can_watch, || is_counted::<Pipe, EveryThird>(1.0))
        .prepared("another_place_each_time", can_watch, || {
            is_not_known::<Astray<MmapAnon, Roaming>>(&["not known", "places"])
        })
        .prepared("pieces_as_short_as_notes", can_trace, pieces_as_short_as_notes_are_counted)
        .prepared("a_process_for_each_message", can_trace, || {
            is_not_known::<Astray<Pipe, NewProcess>>(&["the sender", "another process"])
        })
        .prepared("a_process_that_nothing_follows", can_trace, || {
            is_not_known::<Astray<Pipe, Untraced>>(&["the sender", "CLONE_UNTRACED"])
        })
        .prepared("a_process_from_before", can_trace, || {
            is_not_known::<ByAnother>(&["1 process that the channel started"])
        })
        .prepared("copy_on_write", can_watch, || is_not_known::<OnWrite>(&["the receiver", "private page"]))
        .prepared("values_of_semaphores", can_trace, || is_not_known::<Astray<Pipe, InSemaphores>>(&["semctl"]))
        .prepared("the_memory_as_a_file", can_trace, || is_not_known::<Astray<Pipe, ProcMem>>(&["page cache"]))
        .prepared("an_io_uring", can_hold::<Ring>, || is_not_known::<Holding<Ring>>(&["io_uring"]))
        .prepared("a_userfaultfd", can_hold::<Faults>, || is_not_known::<Holding<Faults>>(&["userfaultfd"]))
}

fn main() {
    let mut suites = Vec::new();
    for mechanism in STANDARD.iter() {
        suites.push(
            Suite::new(mechanism.spec.name)
                .within(LIMIT)
                .prepared("figures", can_trace, || figures(mechanism))
                .prepared("ledgers", can_trace, || ledgers(mechanism))
                .prepared("exact_counts", can_watch, || exact::every_count(mechanism)),
        );
    }
    let wrong = Suite::new("wrong")
        .within(LIMIT)
        .prepared("one_more_memcpy", can_watch, one_more::<MmapAnon, Memcpy>)
        .prepared("one_more_memcpy_beside_the_kernel", can_watch, one_more::<Pipe, Memcpy>)
        .prepared("one_more_by_hand", can_watch, one_more::<MmapAnon, ByHand>)
        .prepared("a_copy_in_pieces_is_seen", can_watch, a_copy_in_pieces_is_seen)
        .prepared("lies_are_found", can_watch, lies_are_found)
        .prepared("a_wrong_number_of_copies_is_noticed", can_watch, a_wrong_number_of_copies_is_noticed)
        .prepared("wrong_lines_pipe", can_trace, wrong_lines_are_noticed::<Pipe>)
        .prepared("wrong_lines_fifo", can_trace, wrong_lines_are_noticed::<Fifo>)
        .prepared("wrong_lines_sysv_msgq", can_trace, wrong_lines_are_noticed::<SysvMsgq>)
        .prepared("wrong_lines_posix_mq", can_trace, wrong_lines_are_noticed::<PosixMq>)
        .prepared("wrong_lines_unix_stream", can_trace, wrong_lines_are_noticed::<UnixStream>);
    suites.push(
        Suite::new("exact")
            .within(LIMIT)
            .prepared("counts_that_are_known", can_watch, exact::counts_that_are_known)
            .prepared("one_more_call", can_trace, exact::one_more_call_is_found)
            .prepared("one_more_short_copy", can_watch, exact::one_more_short_copy_is_found)
            .prepared("a_payload_that_wanders", can_watch, exact::a_payload_that_wanders_has_no_touches)
            .prepared("a_call_without_a_rule", can_trace, exact::a_call_without_a_rule_is_found)
            .prepared("a_refusal_leaves_the_ledger", can_trace, exact::a_refusal_leaves_the_ledger),
    );
    #[cfg(target_arch = "x86_64")]
    let wrong = wrong.prepared("one_more_rep_movsb", can_watch, one_more::<MmapAnon, rep_movsb::RepMovsb>);
    suites.push(wrong);
    suites.push(hiding());
    #[cfg(target_arch = "x86_64")]
    suites.push(
        Suite::new("kernels")
            .within(LIMIT)
            .prepared("vmsplice", can_trace, || kernels::a_reference_must_be_confirmed("vmsplice"))
            .prepared("splice", can_trace, || kernels::a_reference_must_be_confirmed("splice"))
            .prepared("relays", can_trace, kernels::a_relays_reference_must_be_confirmed),
    );
    suites.push(
        Suite::new("tracer")
            .within(LIMIT)
            .prepared("the_kernel_does_not_trap", can_watch, the_kernel_does_not_trap)
            .prepared("longer_than_the_channel", can_watch, a_message_longer_than_the_channel_is_counted)
            .prepared("between_the_marks", can_trace, tracing::what_lies_between_the_marks_counts)
            .prepared("threads_are_followed", can_trace, tracing::threads_are_followed)
            .prepared("an_unknown_call_is_named", can_trace, tracing::an_unknown_call_is_named)
            .prepared("signals_are_passed_on", can_trace, tracing::signals_are_passed_on)
            .prepared("a_hang_is_given_up", can_trace, tracing::a_hang_is_given_up)
            .prepared("a_refusal_is_the_reason", can_trace, tracing::a_refusal_is_the_reason),
    );
    run_all(suites)
}
