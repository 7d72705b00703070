//! Trials: one message of every length of the default plan over every mechanism. They show what works and what does not
//! fit.

use super::{Finding, Group, Verdict, limits};
use crate::{
    plan::Plan,
    registry::{Mechanism, Registry},
    selection::Selection,
};
use bench_lab::{
    pair,
    sample::{Budget, Job, Sample},
    topology::{Cpus, Topology},
    worker::PairError,
};
use bench_record::cell::{Access, Pattern, Placement};
use bench_report::units::size;
use ipc_core::{Error, Spec, Wait};
use nix::errno::Errno;

/// The result of one length over one mechanism.
#[derive(Debug)]
struct Trial {
    mechanism: &'static str,
    bytes: usize,
    /// The cells of the default plan that depend on this trial.
    cells: usize,
    /// The failure, if there was one.
    failure: Option<PairError>,
}

impl Trial {
    /// The length that was too long: of the message, or of the object that a pair needs for it.
    fn too_long(&self) -> Option<usize> {
        match self.failure {
            Some(PairError::Channel(Error::TooLarge { len, .. })) => Some(len),
            _ => None,
        }
    }

    /// The length and the failure, unless the failure is about the length.
    fn broken(&self) -> Option<(usize, &PairError)> {
        self.failure.as_ref().filter(|_| self.too_long().is_none()).map(|failure| (self.bytes, failure))
    }
}

/// The fate of cells whose length does not fit, in words by which the limit is recognised.
pub(super) const CUT: &str = "are rows without figures";

/// The part of the plan that a limit on lengths cuts off.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// A problem if the limit leaves nothing for a mechanism.
    pub verdict: Verdict,
    /// The mechanisms and lengths as text.
    pub text: String,
    /// The limit that would be needed, in bytes.
    pub longest_bytes: usize,
}

/// The trials of the default plan.
#[derive(Debug, Default)]
pub struct Trials {
    /// The mechanisms of the plan.
    mechanisms: Vec<&'static Mechanism>,
    trials: Vec<Trial>,
    /// The reason why there is no plan.
    error: Option<String>,
    /// The result of one pair on each placement.
    placements: Vec<(Placement, Result<Sample, PairError>)>,
}

impl Trials {
    /// Tries the plan of `selection` on `topology`.
    pub fn run(registry: &'static Registry, selection: &Selection, topology: &Topology) -> Self {
        let plan = match Plan::expand(registry, selection, topology) {
            Ok(plan) => plan,
            Err(error) => return Self { error: Some(error.to_string()), ..Self::default() },
        };
        let mut trials: Vec<Trial> = Vec::new();
        for cell in plan.cells() {
            let same = |trial: &&mut Trial| trial.mechanism == cell.mechanism && trial.bytes == cell.size;
            match trials.iter_mut().find(same) {
                Some(trial) => trial.cells += 1,
                None => trials.push(Trial { mechanism: cell.mechanism, bytes: cell.size, cells: 1, failure: None }),
            }
        }
        let same_core = topology.cpus(Placement::SameCore).flatten();
        for trial in &mut trials {
            let mechanism = registry.named(trial.mechanism).expect("the plan has mechanisms of the registry only");
            trial.failure = pair(mechanism, trial.bytes, same_core).err();
        }
        // Any mechanism shows whether two processes can be pinned, and how far apart they are.
        let placements = topology.placements().filter_map(|placement| Some((placement, topology.cpus(placement)?)));
        let any = registry.iter().next();
        let placements = placements.filter_map(|(placement, cpus)| Some((placement, pair(any?, 64, cpus)))).collect();
        let chosen = &selection.mechanisms;
        let mechanisms = if chosen.is_empty() { registry.iter().collect() } else { chosen.clone() };
        Self { mechanisms, trials, error: None, placements }
    }

    /// Trials of the mechanisms of `registry` in which nothing was tried.
    #[cfg(test)]
    pub(super) fn none(registry: &Registry) -> Self {
        Self { mechanisms: registry.iter().collect(), ..Self::default() }
    }

    /// Trials in which all mechanisms of `registry` fail with `failure`.
    #[cfg(test)]
    pub(super) fn all_fail(registry: &Registry, failure: &PairError) -> Self {
        let trial = |mechanism: &Mechanism| Trial {
            mechanism: mechanism.spec.name,
            bytes: 64,
            cells: 1,
            failure: Some(failure.clone()),
        };
        Self { trials: registry.iter().map(trial).collect(), ..Self::none(registry) }
    }

    /// The facts of the mechanisms.
    pub fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.mechanisms.iter().map(|mechanism| &mechanism.spec)
    }

    /// The result of the pair on `placement`. `None` if the placement is not possible here.
    pub fn placement(&self, placement: Placement) -> Option<&Result<Sample, PairError>> {
        self.placements.iter().find(|(tried, _)| *tried == placement).map(|(_, outcome)| outcome)
    }

    /// The lengths of `mechanisms` that do not fit into `bytes`. Only lengths that fail now count.
    pub fn cut(&self, mechanisms: &[&str], bytes: u64) -> Option<Cut> {
        let is_cut = |trial: &&Trial| trial.too_long().is_some_and(|len| len as u64 > bytes);
        let of = |name| self.trials.iter().filter(move |trial| trial.mechanism == name);
        let cut: Vec<&Trial> = mechanisms.iter().flat_map(|&name| of(name)).filter(is_cut).collect();
        let longest_bytes = cut.iter().filter_map(|trial| trial.too_long()).max()?;
        let parts = mechanisms.iter().filter_map(|name| {
            let of: Vec<&Trial> = cut.iter().copied().filter(|trial| trial.mechanism == *name).collect();
            (!of.is_empty()).then(|| format!("{name} at {}", lengths(&of)))
        });
        let cells: usize = cut.iter().map(|trial| trial.cells).sum();
        let text = format!("cuts {cells} cells: {}", parts.collect::<Vec<_>>().join(", "));
        let leaves_nothing = cut.iter().any(|trial| of(trial.mechanism).all(|trial| is_cut(&trial)));
        let verdict = if leaves_nothing { Verdict::Problem } else { Verdict::Note };
        Some(Cut { verdict, text, longest_bytes })
    }

    /// The sign that a resource used only by `mechanisms` is exhausted. The first of them always uses it. It fails with
    /// `errno`, and no other mechanism does.
    pub fn exhausted(&self, mechanisms: &[&str], errno: Errno) -> Option<String> {
        match self.failing(mechanisms, errno) {
            Some(_) => None,
            None => self.failures(errno).find(|(name, _)| Some(name) == mechanisms.first()).map(|(_, text)| text),
        }
    }

    /// The sign that a resource used by all mechanisms is exhausted: a mechanism that is not in `but` fails with
    /// `errno`.
    pub fn failing(&self, but: &[&str], errno: Errno) -> Option<String> {
        self.failures(errno).find(|(name, _)| !but.contains(name)).map(|(_, text)| text)
    }

    /// The failure of `mechanism`, unless it is about the length.
    pub fn failure(&self, mechanism: &str) -> Option<String> {
        let of = self.trials.iter().filter(|trial| trial.mechanism == mechanism);
        of.filter_map(Trial::broken).next().map(|(_, failure)| failure.to_string())
    }

    /// A failure of any mechanism or placement whose text contains `text`.
    pub fn failure_with(&self, text: &str) -> Option<String> {
        let of_mechanisms = self.trials.iter().filter_map(Trial::broken).map(|(_, failure)| failure);
        let of_placements = self.placements.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
        of_mechanisms.chain(of_placements).map(ToString::to_string).find(|failure| failure.contains(text))
    }

    fn failures(&self, errno: Errno) -> impl Iterator<Item = (&'static str, String)> {
        self.trials.iter().filter_map(move |trial| {
            let failure = trial.failure.as_ref()?.to_string();
            // A child's error arrives as text.
            let fits = failure.contains(&format!("{errno:?}:"));
            fits.then(|| (trial.mechanism, format!("{} does not work: {failure}", trial.mechanism)))
        })
    }

    /// One finding per mechanism.
    pub fn findings(&self) -> Vec<Finding> {
        if let Some(error) = &self.error {
            return vec![Finding::new(Group::Mechanisms, "plan", Err(error.clone())).is(Verdict::Problem)];
        }
        self.mechanisms.iter().map(|mechanism| self.finding(mechanism)).collect()
    }

    fn finding(&self, mechanism: &Mechanism) -> Finding {
        let name = mechanism.spec.name;
        let of = || self.trials.iter().filter(|trial| trial.mechanism == name);
        if let Some((bytes, failure)) = of().find_map(Trial::broken) {
            let why = format!("does not work, tried with {}: {failure}", size(bytes));
            return Finding::new(Group::Mechanisms, name, Err(why)).is(Verdict::Problem);
        }
        // Rings grow with the message that they are asked to carry.
        let passed = of().filter(|trial| trial.failure.is_none()).map(|trial| trial.bytes).max().unwrap_or(0);
        let max = mechanism.max_message().map(|max| match max {
            usize::MAX => "messages of any length".to_owned(),
            max if max < passed => "messages as long as those of the plan".to_owned(),
            max => format!("messages up to {max} bytes"),
        });
        let max = max.map_err(|error| match error {
            // There is no message yet: the error is about the object that a pair needs.
            Error::TooLarge { len, max } => format!("a pair needs {len} bytes at once: the limit is {max} bytes"),
            error => error.to_string(),
        });
        let finding = Finding::new(Group::Mechanisms, name, max);
        let cut: Vec<&Trial> = of().filter(|trial| trial.failure.is_some()).collect();
        if cut.is_empty() {
            return finding;
        }
        let cells: usize = cut.iter().map(|trial| trial.cells).sum();
        let all: usize = of().map(|trial| trial.cells).sum();
        let advice = match limits::on_length(&mechanism.spec) {
            limits if limits.is_empty() => "nothing: it is the protocol's own limit".into(),
            limits => format!("raise {}, see there", limits.join(" and ")),
        };
        let effect = format!("{cells} of {all} cells {CUT}: {}", lengths(&cut));
        let finding = if cells == all { finding.fails(effect.clone()) } else { finding.is(Verdict::Note) };
        finding.effect(effect).advice(advice)
    }
}

/// Measures one round trip as a run would.
fn pair(mechanism: &Mechanism, bytes: usize, cpus: Cpus) -> Result<Sample, PairError> {
    let (pattern, budget) = (Pattern::RoundTrip, Budget::Messages(1));
    let (wait, deadline) = (Wait::Block, pair::DEADLINE);
    mechanism.run(Access::Copy, &Job { pattern, size: bytes, cpus, wait, budget, deadline, slow_by: None })
}

fn lengths(trials: &[&Trial]) -> String {
    trials.iter().map(|trial| size(trial.bytes)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(rows: &[(&'static str, usize, Option<PairError>)]) -> Trials {
        let trial = |(mechanism, bytes, failure): &(&'static str, usize, Option<PairError>)| Trial {
            mechanism,
            bytes: *bytes,
            cells: 3,
            failure: failure.clone(),
        };
        Trials { trials: rows.iter().map(trial).collect(), ..Trials::none(&crate::STANDARD) }
    }

    fn too_long(len: usize) -> Option<PairError> {
        Some(PairError::Channel(Error::TooLarge { len, max: 8192 }))
    }

    fn fails(errno: Errno) -> Option<PairError> {
        Some(PairError::Channel(Error::os("call", errno)))
    }

    #[test]
    fn a_limit_cuts_what_is_longer_and_does_not_pass() {
        let tried = trials(&[
            ("posix-mq", 4096, None),
            ("posix-mq", 65_536, too_long(65_536)),
            ("posix-mq", 1 << 20, too_long(1 << 20)),
            ("udp", 1 << 20, too_long(1 << 20)),
            ("pipe", 1 << 20, None),
        ]);
        let cut = |verdict, text: &str, longest_bytes| Some(Cut { verdict, text: text.to_owned(), longest_bytes });
        assert_eq!(
            tried.cut(&["posix-mq"], 8192),
            cut(Verdict::Note, "cuts 6 cells: posix-mq at 64 KiB, 1 MiB", 1 << 20)
        );
        // A limit that would let 64 KiB pass does not cut them.
        assert_eq!(tried.cut(&["posix-mq"], 65_536).unwrap().text, "cuts 3 cells: posix-mq at 1 MiB");
        assert_eq!(
            tried.cut(&["posix-mq", "udp"], 65_536).unwrap().verdict,
            Verdict::Problem,
            "nothing is left of udp"
        );
        assert_eq!(tried.cut(&["pipe"], 0), None, "what passes is not cut");
        assert_eq!(tried.cut(&["sysv-msgq"], 0), None);
    }

    #[test]
    fn what_counts_is_the_length_of_the_object() {
        let tried = trials(&[("sysv-shm", 64, too_long(528_384)), ("sysv-shm", 65_536, too_long(2_101_248))]);
        let cut = tried.cut(&["sysv-shm"], 65_536).unwrap();
        assert_eq!((cut.verdict, cut.longest_bytes), (Verdict::Problem, 2_101_248));
        assert_eq!(tried.cut(&["sysv-shm"], 528_384).unwrap().verdict, Verdict::Note);
    }

    #[test]
    fn a_thing_is_used_up_where_only_its_users_fail() {
        let tried = trials(&[("pipe", 64, None), ("posix-mq", 64, fails(Errno::EMFILE))]);
        assert!(tried.exhausted(&["posix-mq"], Errno::EMFILE).is_some_and(|text| text.contains("EMFILE")));
        assert_eq!(tried.exhausted(&["posix-mq"], Errno::ENOSPC), None, "another error");
        assert_eq!(tried.exhausted(&["pipe", "posix-mq"], Errno::EMFILE), None, "the first always shows it");
        let tried = trials(&[("pipe", 64, fails(Errno::EMFILE)), ("posix-mq", 64, fails(Errno::EMFILE))]);
        assert_eq!(tried.exhausted(&["posix-mq"], Errno::EMFILE), None, "others fail, too");
        assert!(tried.exhausted(&["pipe", "posix-mq"], Errno::EMFILE).is_some());
    }

    #[test]
    fn a_mechanism_that_fails_is_a_problem_and_one_that_is_cut_a_note() {
        let tried =
            trials(&[("pipe", 64, fails(Errno::ENOSYS)), ("udp", 64, None), ("udp", 1 << 20, too_long(1 << 20))]);
        let found = tried.findings();
        let verdict = |name: &str| found.iter().find(|finding| finding.what == name).unwrap().verdict;
        assert_eq!((verdict("pipe"), verdict("udp"), verdict("memfd")), (Verdict::Problem, Verdict::Note, Verdict::Ok));
    }
}
