//! What a run measures beside its cells, after them: copies, life cycles, relays. None of it is timed against a cell, so each is
//! measured in one go.

use crate::{
    experiments::{copies, relay},
    registry::{Mechanism, Registry},
    selection::{Depth, Selection},
};
use bench_lab::{copies::SHORTEST, interrupt, progress::Progress, topology::Topology};
use bench_record::{
    cell::{CopyCell, Workload},
    file_copy::FileCopy,
    rows::{CopiesRow, LifecycleRow, RelayRow, Row as _},
};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The mechanisms of the cells.
    pub registry: &'static Registry,
    /// Of which the copies are counted.
    pub copies: Vec<CopyCell>,
    /// Of which the life cycle is measured.
    pub lifecycles: Vec<&'static Mechanism>,
    /// The file that is carried, and by which ways.
    pub relays: relay::Plan,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// One row per subject.
    pub copies: Vec<CopiesRow>,
    /// One row per mechanism.
    pub lifecycle: Vec<LifecycleRow>,
    /// One row per way.
    pub relay: Vec<RelayRow>,
    /// Whether a relay carried a wrong byte.
    pub wrong_payload: bool,
}

impl Rows {
    /// Counts of copies that are not what the mechanisms declare, and wrong payloads among them: a line each.
    pub fn verdicts(&self) -> Vec<String> {
        let verdict = |row: &CopiesRow| Some(format!("{}: {}", row.name(), row.verdict()?));
        self.copies.iter().filter_map(verdict).collect()
    }
}

impl Beside {
    /// What `selection` asks for; what that leaves out goes into `notes`.
    pub fn of(
        registry: &'static Registry,
        selection: &Selection,
        topology: &Topology,
        notes: &mut Vec<String>,
    ) -> Self {
        let mut wanted = |workload| is_wanted(selection, workload, notes);
        let [copies, lifecycle, relay] = [Workload::Copies, Workload::Lifecycle, Workload::Relay].map(&mut wanted);
        let is_chosen = |mechanism: &Mechanism| {
            let names = || selection.mechanisms.iter().map(|chosen| chosen.spec.name);
            selection.mechanisms.is_empty() || names().any(|name| name == mechanism.spec.name)
        };
        let mechanisms = || registry.iter().filter(|mechanism| is_chosen(mechanism));
        let relays = match selection.depth {
            Depth::Quick => relay::Plan { bytes: 8 << 20, runs: 3, ..relay::Plan::new(topology) },
            Depth::Default | Depth::Full => relay::Plan::new(topology),
        };
        Self {
            registry,
            copies: if copies { copy_cells(registry, selection, is_chosen, notes) } else { Vec::new() },
            lifecycles: if lifecycle { mechanisms().collect() } else { Vec::new() },
            relays: if relay { relays } else { relay::Plan { relays: Vec::new(), ..relays } },
        }
    }

    /// Leaves out what is not called like `filter`.
    pub fn retain(&mut self, filter: &str) {
        self.copies.retain(|subject| subject.to_string().contains(filter));
        self.lifecycles.retain(|mechanism| lifecycle_name(mechanism).contains(filter));
        self.relays.relays.retain(|relay| relay_name(*relay).contains(filter));
    }

    /// A name, where there is one.
    pub fn example(&self) -> Option<String> {
        let copies = self.copies.first().map(ToString::to_string);
        let lifecycle = || self.lifecycles.first().map(|mechanism| lifecycle_name(mechanism));
        copies.or_else(lifecycle).or_else(|| self.relays.relays.first().copied().map(relay_name))
    }

    /// Pieces of work: the steps of a progress bar.
    pub fn steps(&self) -> u64 {
        (self.copies.len() + self.lifecycles.len()) as u64 + self.relays.steps()
    }

    /// Measures all of it, or what there is time for until the user asks to stop.
    pub fn measure(&self, topology: &Topology, progress: &mut Progress) -> Rows {
        let mut rows = Rows::default();
        for cell in self.copies.iter().take_while(|_| !interrupt::requested()) {
            let Some(mechanism) = self.registry.named(cell.mechanism) else { continue };
            progress.begin(cell);
            rows.copies.push(copies::measure(mechanism, cell.size, cell.access));
            progress.advance(1);
        }
        for mechanism in self.lifecycles.iter().take_while(|_| !interrupt::requested()) {
            progress.begin(&lifecycle_name(mechanism));
            rows.lifecycle.push(mechanism.lifecycle().measure(mechanism.spec.name, topology));
            progress.advance(1);
        }
        if !self.relays.relays.is_empty() && !interrupt::requested() {
            let outcome = relay::carry_all(&self.relays, |relay| {
                progress.begin(&relay_name(relay));
                progress.advance(1);
            });
            (rows.relay, rows.wrong_payload) = (outcome.rows, outcome.wrong_payload);
        }
        rows
    }
}

fn lifecycle_name(mechanism: &Mechanism) -> String {
    format!("{}/{}", Workload::Lifecycle, mechanism.spec.name)
}

fn relay_name(relay: FileCopy) -> String {
    format!("{}/{relay}", Workload::Relay)
}

/// What copies are counted of.
fn copy_cells(
    registry: &'static Registry,
    selection: &Selection,
    is_chosen: impl Fn(&Mechanism) -> bool,
    notes: &mut Vec<String>,
) -> Vec<CopyCell> {
    let asked = if selection.sizes.is_empty() { selection.depth.sizes(Workload::Copies) } else { &selection.sizes };
    let (sizes, short): (Vec<usize>, Vec<usize>) = asked.iter().partition(|size| **size >= SHORTEST);
    if !short.is_empty() {
        let short = short.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        notes.push(format!("copies of {short} bytes are left out: they are counted from {} bytes on", SHORTEST));
    }
    let mut subjects = copies::cells(registry, &sizes);
    subjects.retain(|subject| {
        let by_access = selection.accesses.is_empty() || selection.accesses.contains(&subject.access);
        by_access && registry.named(subject.mechanism).is_some_and(&is_chosen)
    });
    subjects
}

/// Whether `workload` is asked for. What has no size, say, is left out where a size is asked for.
fn is_wanted(selection: &Selection, workload: Workload, notes: &mut Vec<String>) -> bool {
    let named = selection.workloads.contains(&workload);
    if !named && !selection.workloads.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STANDARD;
    use bench_lab::topology::Thread;
    use bench_record::cell::Placement;

    fn beside(selection: &Selection) -> (Beside, Vec<String>) {
        let two = Topology::of(&[Thread { cpu: 0, core: 0, socket: 0 }, Thread { cpu: 1, core: 1, socket: 0 }]);
        let mut notes = Vec::new();
        (Beside::of(&STANDARD, selection, &two, &mut notes), notes)
    }

    #[test]
    fn everything_is_measured_unless_something_is_chosen() {
        let (all, notes) = beside(&Selection::default());
        assert!(notes.is_empty(), "{notes:?}");
        let accesses: usize = STANDARD.iter().map(|mechanism| mechanism.accesses().count()).sum();
        assert_eq!((all.copies.len(), all.lifecycles.len()), (accesses * copies::SIZES.len(), STANDARD.iter().count()));
        assert_eq!(all.relays.relays, FileCopy::ALL);

        let pipe = vec![STANDARD.named("pipe").unwrap()];
        let (one, notes) = beside(&Selection { mechanisms: pipe, ..Selection::default() });
        assert_eq!((one.copies.len(), one.lifecycles.len(), one.relays.steps()), (2, 1, 0));
        assert!(notes.is_empty(), "nobody asked for a relay: {notes:?}");
        let (none, _) = beside(&Selection { placements: vec![Placement::CrossCore], ..Selection::default() });
        assert_eq!(none.steps(), 0);
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_chosen_so_is_said() {
        let workloads = vec![Workload::Copies, Workload::Relay];
        let (chosen, notes) = beside(&Selection { workloads, sizes: vec![64, 4096], ..Selection::default() });
        assert!(chosen.copies.iter().all(|subject| subject.size == 4096) && !chosen.copies.is_empty());
        assert_eq!((chosen.lifecycles.len(), chosen.relays.steps()), (0, 0));
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("relay is left out: it has no size")));
    }

    #[test]
    fn a_filter_is_a_substring_of_the_name() {
        for (filter, counts) in
            [("lifecycle/fifo", [0, 1, 0]), ("relay/splice", [0, 0, 1]), ("copies/udp/4096", [1, 0, 0])]
        {
            let (mut chosen, _) = beside(&Selection::default());
            chosen.retain(filter);
            assert_eq!([chosen.copies.len(), chosen.lifecycles.len(), chosen.relays.relays.len()], counts, "{filter}");
            assert!(chosen.example().unwrap().contains(filter));
        }
    }
}
