//! What a run measures beside its cells, after them: copies, life cycles, relays. None of it is timed against anything else, so
//! each is measured in one go.

use crate::{
    cell::Workload,
    copies, interrupt,
    plan::Selection,
    progress::Progress,
    record::{CopiesRow, Row as _},
};

/// What is to be measured.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Of which the copies are counted.
    pub copies: Vec<copies::Subject>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// One row per subject.
    pub copies: Vec<CopiesRow>,
}

impl Rows {
    /// What is wrong with them, a line each: a count of copies that is not what the mechanism declares, a payload that is not
    /// what was sent.
    pub fn verdicts(&self) -> Vec<String> {
        let copies = self.copies.iter().filter_map(|row| Some(format!("{}: {}", row.name(), copies::verdict(row)?)));
        copies.collect()
    }
}

impl Beside {
    /// What `selection` asks for.
    pub fn of(selection: &Selection, notes: &mut Vec<String>) -> Self {
        let mut wanted = |workload| is_wanted(selection, workload, notes);
        let mut beside = Self::default();
        if wanted(Workload::Copies) {
            let asked =
                if selection.sizes.is_empty() { selection.depth.sizes(Workload::Copies) } else { &selection.sizes };
            let sizes: Vec<usize> = asked.iter().copied().filter(|&size| size >= copies::SHORTEST).collect();
            if sizes.len() < asked.len() {
                notes.push(format!("copies are counted of messages of {} bytes or more", copies::SHORTEST));
            }
            beside.copies = copies::subjects(&sizes);
            beside.copies.retain(|subject| {
                let of_mechanism = |name| selection.mechanisms.iter().any(|mechanism| mechanism.spec.name == name);
                (selection.mechanisms.is_empty() || of_mechanism(subject.mechanism.spec.name))
                    && (selection.accesses.is_empty() || selection.accesses.contains(&subject.access))
            });
        }
        beside
    }

    /// Leaves out what is not called like `filter`.
    pub fn retain(&mut self, filter: &str) {
        self.copies.retain(|subject| subject.to_string().contains(filter));
    }

    /// A name, where there is one.
    pub fn example(&self) -> Option<String> {
        self.copies.first().map(ToString::to_string)
    }

    /// Pieces of work: the steps of a progress bar.
    pub fn steps(&self) -> u64 {
        self.copies.len() as u64
    }

    /// Measures all of it, or what there is time for until the user asks to stop.
    pub fn measure(&self, progress: &mut Progress) -> Rows {
        let mut rows = Rows::default();
        for subject in &self.copies {
            if interrupt::requested() {
                return rows;
            }
            progress.begin(subject);
            rows.copies.push(copies::measure(subject));
            progress.advance(1);
        }
        rows
    }
}

/// Whether `workload` is asked for. What has no size, say, is left out where a size is asked for: its figure would be another.
fn is_wanted(selection: &Selection, workload: Workload, notes: &mut Vec<String>) -> bool {
    let named = selection.workloads.contains(&workload);
    let usual = selection.workloads.is_empty() && selection.depth.workloads().contains(&workload);
    if !named && !usual {
        return false;
    }
    let has = |parts: &[Workload]| parts.contains(&workload);
    let lacks = [
        ("mechanism", !selection.mechanisms.is_empty(), has(&[Workload::Copies, Workload::Lifecycle])),
        ("size", !selection.sizes.is_empty(), has(&[Workload::Copies])),
        ("access", !selection.accesses.is_empty(), has(&[Workload::Copies])),
        ("placement", !selection.placements.is_empty(), false),
        ("wait", !selection.waits.is_empty(), false),
    ];
    let lacking = lacks.into_iter().find(|&(_, asked, has)| asked && !has);
    if let (Some((part, ..)), true) = (lacking, named) {
        notes.push(format!("{workload} is left out: it has no {part} that could be chosen"));
    }
    lacking.is_none()
}
