//! What a run measures, a folder an experiment, and the engine that measures them.
//!
//! An [`Experiment`] has subjects and makes a row of each. It is measured in visits, so that drift of the machine spreads over all
//! subjects alike: [`measure`] goes over them pass by pass, each pass in an order of its own. [`of_a_run`] is the one list.

pub mod accumulator;
pub mod cells;
pub mod copies;
pub mod cost;
pub mod faults;
pub mod latency;
pub mod lifecycle;
pub mod relay;
pub mod throughput;

use crate::{
    registry::{Mechanism, Registry},
    selection::{Depth, Selection},
};
use bench_lab::{interrupt, progress::Progress, topology::Topology};
use bench_record::{
    cell::{Access, Cell, Placement},
    rows::{Kind, Row as _, Rows, list::Member},
};
use hdrhistogram::Histogram;
use ipc_core::Wait;
use std::{fmt::Display, time::Duration};

/// Something that can be measured of many subjects, one row each.
pub trait Experiment: Sized {
    /// The row of a subject. Its kind names the experiment.
    type Row: Member;

    /// What is measured, and what has been found of it so far. Shown by its name, WORKLOAD/… of the row.
    type Subject: Display;

    /// By what a user can choose among its subjects.
    const PARTS: &'static [Part];

    /// Whether its figures are times. Those experiments are interleaved; the others are measured afterwards, each in one go.
    const TIMED: bool;

    /// What `choice` asks of it. What it has to leave out goes into `notes`.
    fn plan(choice: &Choice<'_>, notes: &mut Vec<String>) -> (Self, Vec<Self::Subject>);

    /// How often `subject` is visited.
    fn visits(&self, subject: &Self::Subject) -> u32;

    /// The time that one visit takes at least.
    fn least(&self) -> Duration {
        Duration::ZERO
    }

    /// Measures `subject` once more. `visit` counts from 0.
    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Self::Subject, visit: u32);

    /// The row of what was found of `subject`; `None` where it has not been visited and such a row would say nothing.
    fn row(&self, subject: &Self::Subject, found: &mut Found) -> Option<Self::Row>;

    /// What is wrong with what `row` says: a negative verdict.
    fn verdict(_row: &Self::Row) -> Option<String> {
        None
    }

    /// The cell that `subject` is, where it is one.
    fn cell(_subject: &Self::Subject) -> Option<Cell> {
        None
    }
}

/// A part of a name by which a user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `--mechanism`.
    Mechanism,
    /// `--size`.
    Size,
    /// `--access`.
    Access,
    /// `--placement`.
    Placement,
    /// `--wait`.
    Wait,
}

impl Part {
    const ALL: [Part; 5] = [Part::Mechanism, Part::Size, Part::Access, Part::Placement, Part::Wait];

    const fn name(self) -> &'static str {
        match self {
            Part::Mechanism => "mechanism",
            Part::Size => "size",
            Part::Access => "access",
            Part::Placement => "placement",
            Part::Wait => "wait",
        }
    }

    fn is_chosen(self, selection: &Selection) -> bool {
        match self {
            Part::Mechanism => !selection.mechanisms.is_empty(),
            Part::Size => !selection.sizes.is_empty(),
            Part::Access => !selection.accesses.is_empty(),
            Part::Placement => !selection.placements.is_empty(),
            Part::Wait => !selection.waits.is_empty(),
        }
    }
}

/// What an experiment finds its subjects by: what the user chose, and on which machine.
pub struct Choice<'a> {
    /// The mechanisms that there are.
    pub registry: &'static Registry,
    /// What the user chose.
    pub selection: &'a Selection,
    /// The CPUs that can be used.
    pub topology: &'a Topology,
    /// The placements of this machine that are asked for.
    pub placements: Vec<Placement>,
    /// The ways of waiting that are asked for.
    pub waits: &'a [Wait],
}

impl Choice<'_> {
    /// How thorough.
    pub fn depth(&self) -> Depth {
        self.selection.depth
    }

    /// The mechanisms that are asked for.
    pub fn mechanisms(&self) -> Vec<&'static Mechanism> {
        match &self.selection.mechanisms[..] {
            [] => self.registry.iter().collect(),
            chosen => chosen.to_vec(),
        }
    }

    /// The accesses of `mechanism` that are asked for.
    pub fn accesses(&self, mechanism: &'static Mechanism) -> impl Iterator<Item = Access> {
        let asked = &self.selection.accesses;
        mechanism.accesses().filter(move |access| asked.is_empty() || asked.contains(access))
    }

    /// The message lengths that are asked for, or else the `usual` ones.
    pub fn sizes<'s>(&'s self, usual: &'s [usize]) -> &'s [usize] {
        if self.selection.sizes.is_empty() { usual } else { &self.selection.sizes }
    }
}

/// Where experiments are carried out, and what they note of the machine meanwhile.
pub struct Lab<'a> {
    /// The mechanisms that are measured.
    pub registry: &'static Registry,
    /// The CPUs.
    pub topology: &'a Topology,
    /// Round trips of a bare cache line, in nanoseconds, taken beside the pairs.
    pub probes: Vec<f64>,
    /// What one reading of the clock took, in nanoseconds.
    pub clock_reads: Vec<f64>,
}

impl<'a> Lab<'a> {
    /// A lab in which nothing has been measured.
    pub fn new(registry: &'static Registry, topology: &'a Topology) -> Self {
        Self { registry, topology, probes: Vec::new(), clock_reads: Vec::new() }
    }
}

/// What has been found.
#[derive(Default)]
pub struct Found {
    /// The rows.
    pub rows: Rows,
    /// The stamped round trips of every latency cell that has some.
    pub histograms: Vec<(String, Histogram<u64>)>,
    /// Whether any payload arrived wrong.
    pub wrong_payload: bool,
    /// What is wrong with rows, each by its name.
    pub verdicts: Vec<String>,
}

/// An experiment with its subjects.
pub struct Planned<E: Experiment> {
    /// How it is measured.
    pub experiment: E,
    /// What it is measured of.
    pub subjects: Vec<E::Subject>,
}

impl<E: Experiment> Planned<E> {
    /// Measures it alone. Returns what was found, and whether the user stopped it. `pieces` is what its subjects are called.
    pub fn measure(&mut self, lab: &mut Lab<'_>, pieces: &'static str) -> (Found, bool) {
        let mut progress = Progress::new(self.visits().into_iter().map(u64::from).sum(), pieces);
        measure_together(&mut [self], lab, &mut progress, &mut |_| {});
        progress.finish();
        let mut found = Found::default();
        self.finish(&mut found);
        (found, interrupt::requested())
    }
}

/// An experiment with its subjects, whatever they are.
pub trait Measurable {
    /// What its rows are.
    fn kind(&self) -> Kind;
    /// See [`Experiment::TIMED`].
    fn is_timed(&self) -> bool;
    /// The names of its subjects.
    fn names(&self) -> Vec<String>;
    /// The cells among its subjects.
    fn cells(&self) -> Vec<Cell>;
    /// Leaves out the subjects whose names do not contain `filter`.
    fn retain(&mut self, filter: &str);
    /// How often each subject is visited.
    fn visits(&self) -> Vec<u32>;
    /// The time that all visits take at least.
    fn least(&self) -> Duration;
    /// Visits a subject.
    fn visit(&mut self, lab: &mut Lab<'_>, subject: usize, visit: u32);
    /// Adds what was found.
    fn finish(&self, found: &mut Found);
}

impl<E: Experiment> Measurable for Planned<E> {
    fn kind(&self) -> Kind {
        E::Row::KIND
    }

    fn is_timed(&self) -> bool {
        E::TIMED
    }

    fn names(&self) -> Vec<String> {
        self.subjects.iter().map(ToString::to_string).collect()
    }

    fn cells(&self) -> Vec<Cell> {
        self.subjects.iter().filter_map(E::cell).collect()
    }

    fn retain(&mut self, filter: &str) {
        self.subjects.retain(|subject| subject.to_string().contains(filter));
    }

    fn visits(&self) -> Vec<u32> {
        self.subjects.iter().map(|subject| self.experiment.visits(subject)).collect()
    }

    fn least(&self) -> Duration {
        self.experiment.least() * self.visits().iter().sum()
    }

    fn visit(&mut self, lab: &mut Lab<'_>, subject: usize, visit: u32) {
        self.experiment.visit(lab, &mut self.subjects[subject], visit);
    }

    fn finish(&self, found: &mut Found) {
        for subject in &self.subjects {
            let Some(row) = self.experiment.row(subject, found) else { continue };
            found.verdicts.extend(E::verdict(&row).map(|verdict| format!("{}: {verdict}", row.name())));
            E::Row::list(&mut found.rows).push(row);
        }
    }
}

/// The experiments of `ipc-bench run`, those that `choice` asks for. What is left out goes into `notes`.
pub fn of_a_run(choice: &Choice<'_>, notes: &mut Vec<String>) -> Vec<Box<dyn Measurable>> {
    let all = [
        planned::<latency::Latency>,
        planned::<throughput::Throughput>,
        planned::<cost::Cost>,
        planned::<copies::Copies>,
        planned::<lifecycle::Lifecycle>,
        planned::<relay::Relay>,
    ];
    all.into_iter().filter_map(|planned| planned(choice, notes)).collect()
}

/// The experiment `E`, if it is asked for. Without a size, say, it is left out where a size is asked for.
fn planned<E: Experiment + 'static>(choice: &Choice<'_>, notes: &mut Vec<String>) -> Option<Box<dyn Measurable>> {
    let (kind, workloads) = (E::Row::KIND, &choice.selection.workloads);
    let named = workloads.iter().any(|workload| workload.name() == kind.name());
    if !named && !workloads.is_empty() {
        return None;
    }
    let lacks = |part: &&Part| part.is_chosen(choice.selection) && !E::PARTS.contains(part);
    if let Some(part) = Part::ALL.iter().find(lacks) {
        if named {
            notes.push(format!("{kind} is left out: it has no {} that could be chosen", part.name()));
        }
        return None;
    }
    let (experiment, subjects) = E::plan(choice, notes);
    Some(Box::new(Planned { experiment, subjects }))
}

/// Visits every subject of `all` as often as it is to be visited: the timed experiments together, then each of the others. `before`
/// is told of each pass over the timed ones, which counts from 0. Ends early where the user asks for it
/// ([`interrupt::requested`]).
pub fn measure(
    all: &mut [Box<dyn Measurable>],
    lab: &mut Lab<'_>,
    progress: &mut Progress,
    mut before: impl FnMut(u32),
) {
    let (mut timed, others): (Vec<&mut dyn Measurable>, Vec<_>) =
        all.iter_mut().map(|planned| &mut **planned as &mut dyn Measurable).partition(|planned| planned.is_timed());
    measure_together(&mut timed, lab, progress, &mut before);
    for other in others {
        measure_together(&mut [other], lab, progress, &mut |_| {});
    }
}

/// Visits the subjects of `group`, interleaved.
fn measure_together(
    group: &mut [&mut dyn Measurable],
    lab: &mut Lab<'_>,
    progress: &mut Progress,
    before: &mut dyn FnMut(u32),
) {
    let visits: Vec<Vec<u32>> = group.iter().map(|planned| planned.visits()).collect();
    let names: Vec<Vec<String>> = group.iter().map(|planned| planned.names()).collect();
    for pass in 0..visits.iter().flatten().copied().max().unwrap_or(0) {
        if interrupt::requested() {
            return;
        }
        before(pass);
        for (planned, subject) in order(&visits, pass) {
            progress.begin(&names[planned][subject]);
            group[planned].visit(lab, subject, pass);
            progress.advance(1);
            if interrupt::requested() {
                return;
            }
        }
    }
}

/// The order in which a pass visits the subjects that it visits: shuffled, so that drift does not become a difference, and the same
/// in every run.
fn order(visits: &[Vec<u32>], pass: u32) -> Vec<(usize, usize)> {
    let of = |(planned, visits): (usize, &Vec<u32>)| (0..visits.len()).map(move |subject| (planned, subject));
    let mut order: Vec<(usize, usize)> = visits.iter().enumerate().flat_map(of).collect();
    fastrand::Rng::with_seed(u64::from(pass)).shuffle(&mut order);
    order.retain(|&(planned, subject)| pass < visits[planned][subject]);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pass_visits_every_subject_in_an_order_of_its_own() {
        let visits = [vec![2; 30], vec![1, 2]];
        let (first, second) = (order(&visits, 0), order(&visits, 1));
        assert_ne!(first[..30], second[..30]);
        assert_eq!(first, order(&visits, 0));
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 32);
        assert_eq!(second.iter().collect::<BTreeSet<_>>().len(), 31, "one is visited once");
        assert!(order(&visits, 2).is_empty());
    }
}
