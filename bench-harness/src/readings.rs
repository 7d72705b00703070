//! Readings that the gate asks of a program: one pair, timed ([`time`]) or counted ([`count`]).

use crate::{Mechanism, Registry, built};
use bench_gate::{
    exact::{Evidence, ExactReading, Quantity},
    reading::{Identity, Reading, Stretch},
};
use bench_lab::{
    copies::{Findings, MESSAGES, SHORTEST, Trial, Unmeasured, WARM_UP, rules, trace::Untraced},
    sample::{Budget, Job, Sample, is_relocated, proximity},
    topology::Topology,
    worker::{self, PairError, Post},
};
use bench_record::{
    cell::{Cell, CopyCell, Workload},
    packed::Packed,
};
use ipc_core::{
    Error,
    ledger::{self, Entries},
};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How this program identifies itself, with the mechanisms of `registry`.
pub fn identity(registry: &Registry) -> Identity {
    let of =
        |mechanism: &'static Mechanism| mechanism.accesses().map(|access| format!("{}/{access}", mechanism.spec.name));
    Identity::new(built::current(), registry.iter().flat_map(of).collect())
}

/// Time limit of a pair besides its window. A pair needs a hundredth of a second, and a build that hangs is asked
/// often.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time limit of the pair that only keeps its ledger.
const LIMIT: Duration = Duration::from_secs(10);
/// The shortest message in bytes whose kernel copies can be told from those of a note about it. Such a note has less
/// than 40 bytes.
const TOLD: usize = 64;

/// Forks one timed pair of `cell` and measures it. `slow_by` slows it down on purpose (see
/// [`inject`](bench_lab::inject)).
///
/// # Errors
/// The cell cannot be measured on this machine, or is not timed. A failure of the pair is in the reading.
pub fn time(
    mechanism: &Mechanism,
    cell: &Cell,
    stretch: Stretch,
    slow_by: Option<f64>,
    topology: &Topology,
) -> Result<Reading, String> {
    if !Workload::TIMED.contains(&cell.workload) {
        let timed = Workload::TIMED.map(Workload::name).join(" or ");
        return Err(format!("'{cell}' is not timed: use a cell of {timed}"));
    }
    let cpus = topology.cpus(cell.placement).ok_or_else(|| {
        let here: Vec<_> = topology.placements().map(|placement| placement.name()).collect();
        format!("no placement '{}' here: this process can use {}", cell.placement, here.join(", "))
    })?;
    let job = Job {
        pattern: cell.workload.patterns()[0],
        size: cell.size,
        cpus,
        wait: cell.wait,
        budget: Budget::Time { warm_up: stretch.warm_up, measure: stretch.measure },
        deadline: PATIENCE + stretch.warm_up + 2 * stretch.measure,
        slow_by,
    };
    Ok(match mechanism.run(cell.access, &job) {
        Ok(sample) => timed(cell, &sample),
        Err(error) => untimed(cell, &error),
    })
}

fn timed(cell: &Cell, sample: &Sample) -> Reading {
    let histogram = sample.histogram.as_ref().map(Packed::unpack);
    let quantile = |q| histogram.as_ref().map(|histogram| histogram.value_at_quantile(q) as f64);
    Reading {
        cell: cell.to_string(),
        p50_ns: quantile(0.5),
        batch_p50_ns: sample.batch_p50_ns,
        p99_ns: quantile(0.99),
        p999_ns: quantile(0.999),
        max_ns: quantile(1.0),
        msgs_per_s: (cell.workload == Workload::Throughput).then(|| sample.msgs_per_s()),
        lost: sample.lost,
        proximity: proximity(sample),
        disturbed: is_relocated(sample) || sample.migrated || sample.stopped,
        histogram: sample.histogram.clone(),
        ..Reading::default()
    }
}

fn untimed(cell: &Cell, error: &PairError) -> Reading {
    Reading {
        cell: cell.to_string(),
        error: Some(error.to_string()),
        wrong_payload: matches!(error, PairError::WrongPayload(_)),
        ..Reading::default()
    }
}

/// Counts the cost of a message of `subject` in a pair of its own. A failure of the pair is in the reading.
pub fn count(mechanism: &Mechanism, subject: &CopyCell) -> ExactReading {
    let Some(trial) = mechanism.copies(subject.access) else {
        let why = format!("{} has no access {}", subject.mechanism, subject.access);
        return uncounted(subject, why, false);
    };
    match (trial.measure)(subject.size, rules::TABLE) {
        Ok(found) => traced(subject, &found),
        Err(Unmeasured::Untraced(refusal @ Untraced::Refused { .. })) => by_ledger(subject, &trial, &refusal),
        Err(why) => uncounted(subject, why.to_string(), matches!(why, Unmeasured::WrongPayload(_))),
    }
}

fn uncounted(subject: &CopyCell, error: String, wrong_payload: bool) -> ExactReading {
    ExactReading { name: subject.to_string(), error: Some(error), wrong_payload, ..ExactReading::default() }
}

fn traced(subject: &CopyCell, found: &Findings) -> ExactReading {
    let mut missing = BTreeMap::new();
    let mut or_missing = |quantity, count: Result<f64, String>| count.map_err(|why| missing.insert(quantity, why)).ok();
    let per_message = |sum: u64| sum as f64 / found.messages as f64;
    let accesses = found.accesses.as_ref().map_err(ToString::to_string);
    let kernel = match subject.size {
        ..TOLD => Err(format!("below {TOLD} bytes the payload is not told from what is said about it")),
        size => found.kernel_copies(size),
    };
    let copies = match subject.size {
        ..SHORTEST => kernel,
        _ => kernel.and_then(|kernel| Ok(kernel + accesses.clone()?.copies() as f64)),
    };
    let touches = accesses.map(|accesses| (accesses.writes + accesses.reads) as f64);
    let faults = found.faults.map(per_message).ok_or("/proc/PID/stat cannot be read".to_owned());
    ExactReading {
        name: subject.to_string(),
        evidence: Some(Evidence::Traced),
        syscalls: Some(per_message(found.counts.iter().map(|counts| counts.calls()).sum())),
        copies: or_missing(Quantity::Copies, copies),
        touches: or_missing(Quantity::Touches, touches),
        faults: or_missing(Quantity::Faults, faults),
        missing,
        ..ExactReading::default()
    }
}

fn by_ledger(subject: &CopyCell, trial: &Trial, refusal: &Untraced) -> ExactReading {
    let kept = match keep(subject.size, trial) {
        Ok(kept) => kept,
        Err(why) => return uncounted(subject, format!("not traced ({refusal}); {why}"), false),
    };
    let per_message = |sum: u64| sum as f64 / MESSAGES as f64;
    ExactReading {
        name: subject.to_string(),
        evidence: Some(Evidence::Ledger),
        syscalls: Some(per_message(kept.calls)),
        copies: Some(per_message(kept.copied_bytes) / subject.size as f64),
        faults: Some(per_message(kept.faults)),
        missing: [(Quantity::Touches, refusal.to_string())].into(),
        ..ExactReading::default()
    }
}

/// Calls, copied bytes and page faults of a process that has both ends, for [`MESSAGES`] messages.
#[derive(Serialize, Deserialize)]
struct Kept {
    calls: u64,
    copied_bytes: u64,
    faults: u64,
}

/// Moves messages in a child, twice. The second time there are [`MESSAGES`] more. The difference excludes what the
/// channel costs before and after its messages.
fn keep(size: usize, trial: &Trial) -> Result<Kept, String> {
    let exchange = trial.exchange;
    let kept = worker::crew(&[Post::of("pair", None, 0)], LIMIT, |_| {
        let used = |messages: u64| -> ipc_core::Result<(Entries, u64)> {
            let (entries, faults) = (ledger::entries(), minor_faults()?);
            exchange(size, messages).map_err(|why| match why {
                Unmeasured::Channel(error) | Unmeasured::WrongPayload(error) => error,
                other => Error::Unsupported { what: "exchange", why: other.to_string() },
            })?;
            Ok((ledger::entries().since(entries), minor_faults()? - faults))
        };
        // The first use includes what the process itself does once.
        used(WARM_UP)?;
        let (few, few_faults) = used(WARM_UP)?;
        let (many, many_faults) = used(WARM_UP + MESSAGES)?;
        let more = many.since(few);
        let faults = many_faults.saturating_sub(few_faults);
        Ok(Kept { calls: more.calls, copied_bytes: more.copied_bytes, faults })
    });
    kept.map_err(|error| error.to_string())?.pop().ok_or_else(|| "no report".into())
}

fn minor_faults() -> ipc_core::Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|e| Error::os("getrusage", e))?;
    Ok(usage.minor_page_faults().cast_unsigned())
}
