//! The experiments, one folder each, and the engine that measures them.
//!
//! An [`Experiment`] has subjects and makes a row of each. It is measured in visits, so that drift of the machine
//! spreads over all subjects alike. [`measure`] goes over the subjects pass by pass, each pass in its own order.
//! [`of_a_run`] is the one list of experiments.

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
use cells::Cells;
use hdrhistogram::Histogram;
use ipc_core::Wait;
use std::{fmt::Display, time::Duration};

/// A measurement of many subjects, one row each.
pub trait Experiment: Sized {
    /// The type of a subject's row. Its kind names the experiment.
    type Row: Member;

    /// The type of a subject, with its results so far. It is displayed as the name of its row, WORKLOAD/….
    type Subject: Display;

    /// Whether the figures are times. Timed experiments are interleaved. The others are measured afterwards, one by
    /// one.
    const TIMED: bool = false;

    /// The number of visits to `subject`.
    fn visits(&self, subject: &Self::Subject) -> u32;

    /// The minimum duration of one visit.
    fn least(&self) -> Duration {
        Duration::ZERO
    }

    /// Measures `subject` once more. `visit` counts from 0.
    fn visit(&mut self, lab: &mut Lab<'_>, subject: &mut Self::Subject, visit: u32);

    /// The row of `subject`. `None` if it was not visited and a row would say nothing.
    fn row(&self, subject: &Self::Subject, found: &mut Found) -> Option<Self::Row>;

    /// What is wrong with the figures in `row`: a negative verdict. `None` if nothing is.
    fn verdict(_row: &Self::Row) -> Option<String> {
        None
    }

    /// The cell of `subject`. `None` if the subject is no cell.
    fn cell(_subject: &Self::Subject) -> Option<Cell> {
        None
    }
}

/// An experiment that `ipc-bench run` plans from the user's selection.
pub trait Plannable: Experiment {
    /// The parts of a name by which a user can choose among the subjects.
    const PARTS: &'static [Part];

    /// The experiment and the subjects that `choice` asks for. What is left out goes into `notes`.
    fn plan(choice: &Choice<'_>, notes: &mut Vec<String>) -> (Self, Vec<Self::Subject>);
}

/// A part of a name by which a user can choose subjects.
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

/// What determines an experiment's subjects: the user's selection and the machine.
pub struct Choice<'a> {
    /// All mechanisms of the program.
    pub registry: &'static Registry,
    /// The user's selection.
    pub selection: &'a Selection,
    /// The usable CPUs.
    pub topology: &'a Topology,
    /// The selected placements that this machine has.
    pub placements: Vec<Placement>,
    /// The selected wait policies.
    pub waits: &'a [Wait],
}

impl Choice<'_> {
    /// How thorough the run is.
    pub fn depth(&self) -> Depth {
        self.selection.depth
    }

    /// The selected mechanisms.
    pub fn mechanisms(&self) -> Vec<&'static Mechanism> {
        match &self.selection.mechanisms[..] {
            [] => self.registry.iter().collect(),
            chosen => chosen.to_vec(),
        }
    }

    /// The selected accesses of `mechanism`.
    pub fn accesses(&self, mechanism: &'static Mechanism) -> impl Iterator<Item = Access> {
        let asked = &self.selection.accesses;
        mechanism.accesses().filter(move |access| asked.is_empty() || asked.contains(access))
    }

    /// The selected message lengths, or else the `usual` ones.
    pub fn sizes<'s>(&'s self, usual: &'s [usize]) -> &'s [usize] {
        if self.selection.sizes.is_empty() { usual } else { &self.selection.sizes }
    }
}

/// The environment of experiments, and what they note about the machine.
pub struct Lab<'a> {
    /// The registry with the measured mechanisms.
    pub registry: &'static Registry,
    /// The usable CPUs.
    pub topology: &'a Topology,
    /// Round trips of a bare cache line, in nanoseconds, taken beside the pairs.
    pub probes: Vec<f64>,
    /// Costs of one clock reading, in nanoseconds.
    pub clock_reads: Vec<f64>,
}

impl<'a> Lab<'a> {
    /// A lab before any measurement.
    pub fn new(registry: &'static Registry, topology: &'a Topology) -> Self {
        Self { registry, topology, probes: Vec::new(), clock_reads: Vec::new() }
    }
}

/// The results of experiments.
#[derive(Default)]
pub struct Found {
    /// The rows.
    pub rows: Rows,
    /// The histograms of timed round trips, for every latency cell that has some.
    pub histograms: Vec<(String, Histogram<u64>)>,
    /// Whether any payload arrived wrong.
    pub wrong_payload: bool,
    /// What is wrong with rows. Each text begins with the row's name.
    pub verdicts: Vec<String>,
}

/// An experiment with its subjects.
pub struct Planned<E: Experiment> {
    /// The experiment.
    pub experiment: E,
    /// The experiment's subjects.
    pub subjects: Vec<E::Subject>,
}

impl<E: Experiment> Planned<E> {
    /// Removes the subjects whose names do not contain `filter`, if there is one.
    ///
    /// # Errors
    /// If none is left: the name of a subject, as an example.
    pub fn choose(&mut self, filter: Option<&str>) -> Result<(), String> {
        let Some(filter) = filter else { return Ok(()) };
        let example = self.subjects.first().map(ToString::to_string).unwrap_or_default();
        self.retain(filter);
        if self.subjects.is_empty() { Err(example) } else { Ok(()) }
    }

    /// Measures this experiment alone. Returns the results, and whether the user stopped it. `pieces` names the
    /// subjects in the progress display.
    pub fn measure(&mut self, lab: &mut Lab<'_>, pieces: &'static str) -> (Found, bool) {
        let mut progress = Progress::new(self.visits().into_iter().map(u64::from).sum(), pieces);
        measure_together(&mut [self], lab, &mut progress, &mut |_| {});
        progress.finish();
        let mut found = Found::default();
        self.finish(&mut found);
        (found, interrupt::requested())
    }
}

/// An experiment with its subjects, independent of its type.
pub trait Measurable {
    /// The kind of its rows.
    fn kind(&self) -> Kind;
    /// Whether the experiment is timed; see [`Experiment::TIMED`].
    fn is_timed(&self) -> bool;
    /// The number of subjects.
    fn count(&self) -> usize;
    /// The names of the subjects.
    fn names(&self) -> Vec<String>;
    /// The cells among the subjects.
    fn cells(&self) -> Vec<Cell>;
    /// Removes the subjects whose names do not contain `filter`.
    fn retain(&mut self, filter: &str);
    /// The number of visits to each subject.
    fn visits(&self) -> Vec<u32>;
    /// The minimum duration of all visits.
    fn least(&self) -> Duration;
    /// Measures the subject with index `subject`. `visit` counts from 0.
    fn visit(&mut self, lab: &mut Lab<'_>, subject: usize, visit: u32);
    /// Adds the results to `found`.
    fn finish(&self, found: &mut Found);
}

impl<E: Experiment> Measurable for Planned<E> {
    fn kind(&self) -> Kind {
        E::Row::KIND
    }

    fn is_timed(&self) -> bool {
        E::TIMED
    }

    fn count(&self) -> usize {
        self.subjects.len()
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

/// The experiments of `ipc-bench run` that `choice` asks for. What is left out goes into `notes`.
pub fn of_a_run(choice: &Choice<'_>, notes: &mut Vec<String>) -> Vec<Box<dyn Measurable>> {
    let all = [
        planned::<Cells<latency::Latency>>,
        planned::<Cells<throughput::Throughput>>,
        planned::<Cells<cost::Cost>>,
        planned::<copies::Copies>,
        planned::<lifecycle::Lifecycle>,
        planned::<relay::Relay>,
    ];
    all.into_iter().filter_map(|planned| planned(choice, notes)).collect()
}

/// The experiment `E`, if it is selected. An experiment that lacks a selected part is left out. For example,
/// experiments without a size are skipped when a size is selected.
fn planned<E: Plannable + 'static>(choice: &Choice<'_>, notes: &mut Vec<String>) -> Option<Box<dyn Measurable>> {
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

/// Measures every subject of `all` as often as it is to be visited: the timed experiments together, then the others one
/// by one. `before` is called before each pass over the timed ones, with the number of the pass from 0. Ends early if
/// the user asks for it ([`interrupt::requested`]).
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

/// Measures the subjects of `group`, interleaved.
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

/// The order of visits in a pass. It is shuffled, so that drift does not look like a difference between subjects. It is
/// the same in every run.
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
