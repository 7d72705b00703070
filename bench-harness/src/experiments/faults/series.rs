//! The series of trials of one fault on one mechanism, and the row made from it.

use crate::registry::Mechanism;
use bench_lab::{
    faults::{Inflict, Outcome, Peer, Trial},
    worker::unstopped,
};
use bench_record::{fault::Fault, rows::FaultRow};
use ipc_core::{Custody, Reliability, Spec, Wait};
use nix::sys::prctl;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Message lengths in bytes. Lengths that the mechanism cannot carry are skipped.
const SIZES: [usize; 3] = [64, 4 << 10, 64 << 10];
/// Range of the delay before the strike, in seconds. Its logarithm is uniform, so that strikes hit all phases of a
/// transfer.
const DELAY_S: [f64; 2] = [10e-6, 5e-3];
/// Range of the time for which a process is stopped, in milliseconds.
const PAUSE_MS: [u64; 2] = [5, 25];

/// The trials of one fault on one mechanism, with their results so far.
pub struct Series {
    mechanism: &'static Mechanism,
    pub(super) fault: Fault,
    ways: Vec<Inflict>,
    sizes: Vec<usize>,
    outcomes: Vec<(usize, Outcome)>,
    error: Option<String>,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mechanism.spec.name, self.fault)
    }
}

/// A random element of `all`. `None` if it is empty.
fn any<T: Copy>(all: &[T]) -> Option<T> {
    fastrand::choice(all).copied()
}

/// Runs `play` with the most exact timers, so that a strike after 10 µs comes in time. A sleep otherwise lasts 50 µs
/// longer (PR_SET_TIMERSLACK(2const)).
fn with_exact_timers<T>(play: impl FnOnce() -> T) -> T {
    let slack = prctl::get_timerslack();
    let _ = prctl::set_timerslack(1);
    let outcome = play();
    if let Ok(slack) = slack {
        let _ = prctl::set_timerslack(slack.unsigned_abs().into());
    }
    outcome
}

/// Whether `fault` may lose sent messages. A receiver that is gone loses what was on its way to it. A killed sender
/// loses what it had in its custody.
fn may_lose(spec: &Spec, fault: Fault) -> bool {
    match fault {
        Fault::KillReceiver | Fault::CloseReceiver => true,
        Fault::KillSender if spec.custody == Custody::Sender => true,
        _ => spec.reliability == Reliability::Lossy,
    }
}

impl Series {
    /// An empty series. `None` if the mechanism cannot suffer the fault.
    pub(super) fn new(mechanism: &'static Mechanism, fault: Fault) -> Option<Self> {
        let ways = mechanism.faults(fault);
        if ways.is_empty() {
            return None;
        }
        let max = mechanism.max_message();
        let sizes: Vec<_> = SIZES.into_iter().filter(|&size| max.as_ref().is_ok_and(|&max| size <= max)).collect();
        let error = match max {
            Err(error) => Some(error.to_string()),
            Ok(max) if sizes.is_empty() => {
                Some(format!("messages of {} bytes cannot pass: the limit is {max} bytes", SIZES[0]))
            }
            Ok(_) => None,
        };
        Some(Self { mechanism, fault, ways, sizes, outcomes: Vec::new(), error })
    }

    /// Plays a trial. Its details are left to chance.
    pub(super) fn play(&mut self, cpus: Option<[usize; 2]>) {
        let [shortest, longest] = DELAY_S.map(f64::ln);
        let peers =
            if self.fault.strikes().1.is_some() { [Peer::Busy, Peer::Waiting] } else { [Peer::Busy, Peer::Absent] };
        let drawn = (any(&self.ways), any(&self.sizes), any(&Wait::ALL), any(&peers));
        let (Some(way), Some(size), Some(wait), Some(peer)) = drawn else { return };
        let trial = Trial {
            fault: self.fault,
            size,
            wait,
            cpus,
            delay: Duration::from_secs_f64((shortest + (longest - shortest) * fastrand::f64()).exp()),
            peer,
            pause: Duration::from_millis(fastrand::u64(PAUSE_MS[0]..=PAUSE_MS[1])),
        };
        let failed = |error: ipc_core::Error| Outcome { error: Some(error.to_string()), ..Outcome::default() };
        let (outcome, _) = with_exact_timers(|| unstopped(|| way(&trial).unwrap_or_else(failed)));
        self.outcomes.push((trial.size, outcome));
    }

    pub(super) fn row(&self) -> FaultRow {
        let outcomes = || self.outcomes.iter().map(|(_, outcome)| outcome);
        let count = |holds: fn(&Outcome) -> bool| outcomes().filter(|outcome| holds(outcome)).count() as u32;
        let mut reactions: Vec<u64> = outcomes().filter_map(|outcome| outcome.reaction_ns).collect();
        reactions.sort_unstable();
        // The nearest-rank quantile: the smallest reaction time that a share `q` of the trials does not exceed.
        let quantile = |q: f64| {
            let rank = (q * reactions.len() as f64).ceil() as usize;
            reactions.get(rank.saturating_sub(1)).map(|&ns| ns as f64)
        };
        let mut signs: BTreeMap<&str, u32> = BTreeMap::new();
        for sign in outcomes().filter_map(|outcome| outcome.sign.as_deref()) {
            *signs.entry(sign).or_default() += 1;
        }
        let mut signs: Vec<_> = signs.into_iter().collect();
        signs.sort_by_key(|&(_, trials)| std::cmp::Reverse(trials));
        FaultRow {
            trials: self.outcomes.len() as u32,
            learned: signs.iter().map(|(sign, trials)| format!("{sign} {trials}")).collect::<Vec<_>>().join("; "),
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            max_ns: quantile(1.0),
            hung: count(|outcome| outcome.hung),
            corrupted: count(|outcome| outcome.corrupted),
            lost_messages: outcomes().map(|outcome| outcome.lost).max().unwrap_or(0),
            lost_bytes: self.outcomes.iter().map(|(size, outcome)| *size as u64 * outcome.lost).max().unwrap_or(0),
            torn: count(|outcome| outcome.torn),
            left: outcomes().map(|outcome| outcome.left.len() as u32).sum(),
            left_after_sweep: outcomes().map(|outcome| outcome.left_after_sweep.len() as u32).sum(),
            zombies: outcomes().map(|outcome| outcome.zombies).sum(),
            rebinds: count(|outcome| outcome.rebound.is_some()),
            rebound: count(|outcome| outcome.rebound == Some(true)),
            error: self.wrong().unwrap_or_default(),
            ..FaultRow::empty(self.mechanism.spec.name.to_owned(), self.fault)
        }
    }

    /// The first fault in the results that no column shows.
    fn wrong(&self) -> Option<String> {
        let may_lose = may_lose(&self.mechanism.spec, self.fault);
        let of = |outcome: &Outcome| {
            let lost = (!may_lose && outcome.lost > 0).then(|| format!("{} messages lost", outcome.lost));
            let left = (!outcome.left_after_sweep.is_empty()).then(|| outcome.left_after_sweep.join(", "));
            outcome.error.clone().or(lost).or(left.map(|left| format!("left: {left}")))
        };
        self.error.clone().or_else(|| self.outcomes.iter().find_map(|(_, outcome)| of(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_died_with_its_holder_may_be_lost() {
        let lossless = |name: &str| -> Vec<Fault> {
            let spec = crate::STANDARD.named(name).expect(name).spec;
            Fault::ALL.iter().copied().filter(|&fault| !may_lose(&spec, fault)).collect()
        };
        let kept = [Fault::CloseSender, Fault::StopSender, Fault::StopReceiver, Fault::KillBinder];
        assert_eq!(lossless("process-vm"), kept);
        assert_eq!(lossless("memfd-write"), [&[Fault::KillSender], &kept[..]].concat());
        assert_eq!(lossless("udp"), []);
    }
}
