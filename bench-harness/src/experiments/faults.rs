//! What mechanisms do when a process dies, closes or stops in the middle of a transfer: guaranteed by tests, and measured here
//! as figures that help to choose.
//!
//! A [`Fault`] strikes one process of a pair in a [`Trial`]; the trials of one fault on one mechanism become
//! a [`FaultRow`].

use crate::registry::{Mechanism, Registry};
use bench_lab::{
    faults::{Inflict, Outcome, Peer, Trial},
    interrupt,
    progress::Progress,
    topology::Topology,
    worker::unstopped,
};
use bench_record::{
    cell::Placement,
    fault::Fault,
    host::rfc3339,
    rows::{
        self, FaultRow,
        folder::{self, Owned},
    },
};
use ipc_core::{Custody, Reliability, Spec, Wait};
use nix::sys::prctl;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Kills of a mechanism where none are asked for.
pub const KILLS: u32 = 50;
/// Message lengths, as far as the mechanism carries them.
const SIZES: [usize; 3] = [64, 4 << 10, 64 << 10];
/// The strike comes after this, in seconds: spread evenly over the logarithm, so that all phases of a transfer are hit.
const DELAY_S: [f64; 2] = [10e-6, 5e-3];
/// How long a stopped process stays so.
const PAUSE_MS: [u64; 2] = [5, 25];

/// The trials of one fault on one mechanism, and what became of them so far.
struct Series {
    mechanism: &'static Mechanism,
    fault: Fault,
    ways: Vec<Inflict>,
    sizes: Vec<usize>,
    outcomes: Vec<(usize, Outcome)>,
    error: Option<String>,
}

fn name(mechanism: &Mechanism, fault: Fault) -> String {
    format!("{}/{fault}", mechanism.spec.name)
}

/// One of `all`, whichever; `None` where there is none.
fn any<T: Copy>(all: &[T]) -> Option<T> {
    fastrand::choice(all).copied()
}

/// What was measured.
pub struct Results {
    /// One row of each fault on each mechanism.
    pub rows: Vec<FaultRow>,
    /// Whether the user stopped it; then there are fewer trials.
    pub interrupted: bool,
    specs: Vec<Spec>,
}

impl Results {
    /// Writes the rows to `dir`, and where a run lies there its report with these faults, together or not at all.
    ///
    /// # Errors
    /// [`rows::Error`] naming the file. The folder is then as it was.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, rows::Error> {
        // Without a run there is no report, so a README.md that lies there is somebody else's.
        let has_run = rows::has_run(dir);
        folder::replace(dir, if has_run { bench_report::OWNED } else { Owned::NOTHING }, |draft| {
            rows::write(draft, &self.rows)?;
            if !has_run {
                return Ok(Vec::new());
            }
            bench_report::Results { faults: self.rows.clone(), ..bench_report::Results::of_run(dir, &self.specs)? }
                .write(draft)
        })
    }
}

/// Inflicts every fault on every mechanism for which `selected` holds of `MECHANISM/FAULT`, in a random order.
///
/// The two processes run on two cores, where the machine has them: on one, a survivor that polls would keep the victim from
/// dying for a time slice, and that would be measured.
pub fn inflict(registry: &Registry, kills: u32, topology: &Topology, selected: impl Fn(&str) -> bool) -> Results {
    let cpus = topology.cpus(Placement::CrossCore).flatten();
    let started = SystemTime::now();
    let all = registry.iter().flat_map(|mechanism| Fault::ALL.iter().map(move |&fault| (mechanism, fault)));
    let chosen = all.filter(|&(mechanism, fault)| selected(&name(mechanism, fault)));
    let series = chosen.map(|(mechanism, fault)| Series::new(mechanism, fault)).filter(|s| !s.ways.is_empty());
    let mut series: Vec<Series> = series.collect();
    let trials = |(index, s): (usize, &Series)| std::iter::repeat_n(index, s.fault.trials(kills) as usize);
    let mut order: Vec<usize> = series.iter().enumerate().flat_map(trials).collect();
    fastrand::shuffle(&mut order);
    // So that a strike after 10 µs is one: a sleep otherwise lasts 50 µs longer (PR_SET_TIMERSLACK(2const)).
    let slack = prctl::get_timerslack();
    let _ = prctl::set_timerslack(1);
    let mut progress = Progress::new(order.len() as u64, "trials");
    for index in order {
        progress.begin(&name(series[index].mechanism, series[index].fault));
        series[index].play(cpus);
        progress.advance(1);
        if interrupt::requested() {
            break;
        }
    }
    progress.finish();
    if let Ok(slack) = slack {
        let _ = prctl::set_timerslack(slack.unsigned_abs().into());
    }
    let (measured, machine) = (rfc3339(started), crate::built::host().title());
    let rows = series.iter().map(|s| s.row(measured.clone(), machine.clone())).collect();
    Results { rows, interrupted: interrupt::requested(), specs: registry.specs() }
}

/// Whether messages that were sent may be lost where `fault` strikes a mechanism: what was on its way to a receiver that went, and what a
/// killed sender had in its custody.
fn may_lose(spec: &Spec, fault: Fault) -> bool {
    match fault {
        Fault::KillReceiver | Fault::CloseReceiver => true,
        Fault::KillSender if spec.custody == Custody::Sender => true,
        _ => spec.reliability == Reliability::Lossy,
    }
}

impl Series {
    fn new(mechanism: &'static Mechanism, fault: Fault) -> Self {
        let max = mechanism.max_message();
        let sizes: Vec<_> = SIZES.into_iter().filter(|&size| max.as_ref().is_ok_and(|&max| size <= max)).collect();
        let error = match max {
            Err(error) => Some(error.to_string()),
            Ok(max) if sizes.is_empty() => {
                Some(format!("messages of {} bytes cannot pass: the limit is {max} bytes", SIZES[0]))
            }
            Ok(_) => None,
        };
        Self { mechanism, fault, ways: mechanism.faults(fault), sizes, outcomes: Vec::new(), error }
    }

    /// Plays a trial; how is left to chance.
    fn play(&mut self, cpus: Option<[usize; 2]>) {
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
        let (outcome, _) = unstopped(|| way(&trial).unwrap_or_else(failed));
        self.outcomes.push((trial.size, outcome));
    }

    fn row(&self, measured: String, machine: String) -> FaultRow {
        let outcomes = || self.outcomes.iter().map(|(_, outcome)| outcome);
        let count = |holds: fn(&Outcome) -> bool| outcomes().filter(|outcome| holds(outcome)).count() as u32;
        let mut reactions: Vec<u64> = outcomes().filter_map(|outcome| outcome.reaction_ns).collect();
        reactions.sort_unstable();
        // The smallest that is not exceeded by more than the rest.
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
            mechanism: self.mechanism.spec.name.to_owned(),
            fault: self.fault,
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
            measured,
            machine,
        }
    }

    /// The first thing that no column has and that should not be.
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
