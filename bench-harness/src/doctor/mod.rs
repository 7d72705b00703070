//! The doctor: what on this machine limits or distorts a run. It looks at limits of the kernel and their use,
//! processor, clock, sandbox and leftovers.
//!
//! The effect of a limit is not written down here but tried: [`Trials`] moves one message of every length of the
//! default plan over every mechanism. Each result is a [`Finding`]. What cannot be read is a finding as well, with the
//! reason. A failure that another finding explains is its symptom, so that one cause is one problem.

mod causes;
mod cgroup;
mod files;
mod limits;
mod machine;
mod processor;
mod sandbox;
mod trials;
mod usage;

pub use trials::Trials;

use crate::{registry::Registry, selection::Selection};
use bench_lab::topology::Topology;
pub(crate) use causes::Blame;
use ipc_core::objects;
use serde::Serialize;

/// The subject of a finding. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Whether each mechanism works, and which lengths of the default plan it can carry.
    Mechanisms,
    /// Whether each placement is possible here.
    Placements,
    /// System V and POSIX message queues.
    Queues,
    /// Pipes and FIFOs.
    Pipes,
    /// Shared memory, semaphores, and the file systems that hold them.
    Memory,
    /// Sockets.
    Sockets,
    /// Descriptors, and limits of the control group.
    Process,
    /// Processor, clock and other load.
    Machine,
    /// Container, namespaces, and what watches system calls.
    Sandbox,
    /// Objects that killed runs left behind.
    Leftovers,
}

impl Group {
    /// The heading in the table.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Mechanisms => "Mechanisms and the default plan",
            Group::Placements => "Placements",
            Group::Queues => "Message queues",
            Group::Pipes => "Pipes",
            Group::Memory => "Shared memory and semaphores",
            Group::Sockets => "Sockets",
            Group::Process => "Process",
            Group::Machine => "Processor, clock and load",
            Group::Sandbox => "Sandbox",
            Group::Leftovers => "Leftovers",
        }
    }
}

/// The meaning of a finding for this suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It cuts cells or distorts figures, or it cannot be determined. The suite runs nevertheless.
    Note,
    /// It fails because of a problem that has its own finding.
    Symptom,
    /// The suite does not run correctly.
    Problem,
}

impl Verdict {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Symptom => "symptom",
            Verdict::Problem => "problem",
        }
    }
}

/// One finding: a thing, and its meaning here. Texts are for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The group of the finding.
    pub group: Group,
    /// The thing: a limit, a mechanism, a fact.
    pub what: String,
    /// The meaning for this suite.
    pub verdict: Verdict,
    /// The value with its unit. `None` if it cannot be read.
    pub value: Option<String>,
    /// How much of it is in use. `None` if that is not known.
    pub used: Option<String>,
    /// The effect on the default plan.
    pub effect: Option<String>,
    /// The advice, with its side effects.
    pub advice: Option<String>,
    /// Why there is no value.
    pub error: Option<String>,
    /// The failure, which may have its cause in another finding.
    #[serde(skip)]
    pub(crate) failure: Option<String>,
    /// The failures that this finding explains if it is a problem.
    #[serde(skip)]
    pub(crate) blames: Vec<Blame>,
}

impl Finding {
    /// A finding without a problem. A value that cannot be read makes it a note.
    pub(crate) fn new(group: Group, what: impl Into<String>, value: Result<String, String>) -> Self {
        let verdict = if value.is_ok() { Verdict::Ok } else { Verdict::Note };
        let (value, error) = value.map_or_else(|why| (None, Some(why)), |value| (Some(value), None));
        Self {
            group,
            what: what.into(),
            verdict,
            value,
            used: None,
            effect: None,
            advice: None,
            failure: error.clone(),
            error,
            blames: Vec::new(),
        }
    }

    /// Makes the finding a problem with the text `failure`. The cause may be here or in another finding.
    fn fails(mut self, failure: impl Into<String>) -> Self {
        self.failure = Some(failure.into());
        self.is(Verdict::Problem)
    }

    /// As a problem, this finding explains failures whose text contains `text`, in the findings `of`. An empty `of`
    /// means all findings.
    fn blames(mut self, of: impl Into<Vec<&'static str>>, text: impl Into<String>) -> Self {
        self.blames.push(Blame { of: of.into(), text: text.into() });
        self
    }

    fn used(mut self, used: impl Into<Option<String>>) -> Self {
        self.used = used.into();
        self
    }

    fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = Some(effect.into());
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn is(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Makes the finding a problem if something fails for lack of this.
    fn spent(self, failure: Option<String>) -> Self {
        match failure {
            Some(text) => self.is(Verdict::Problem).effect(text),
            None => self,
        }
    }

    fn note_if(self, doubtful: bool) -> Self {
        if doubtful { Self { verdict: self.verdict.max(Verdict::Note), ..self } } else { self }
    }
}

/// Examines the machine. Forks a pair for every mechanism and length of the default plan, which takes about a second.
/// The pairs leave nothing in the kernel.
pub fn examine(registry: &'static Registry) -> Vec<Finding> {
    examine_for(registry, &Selection::default())
}

/// Examines the machine like [`examine`], for the plan of `selection`.
pub fn examine_for(registry: &'static Registry, selection: &Selection) -> Vec<Finding> {
    let host = crate::built::host();
    let mut findings = Vec::new();
    let topology = Topology::here().unwrap_or_else(|error| {
        let advice = "allow this process a processor: taskset -c, or the container's cpuset";
        findings.push(Finding::new(Group::Placements, "affinity", Err(error.to_string())).advice(advice));
        Topology::default()
    });
    let trials = Trials::run(registry, selection, &topology);
    findings.extend(trials.findings());
    findings.extend(processor::placements(&trials, &topology));
    findings.extend(limits::findings(&trials));
    findings.extend(files::findings(&trials));
    findings.extend(cgroup::findings(&trials));
    findings.extend(machine::findings(&host, &trials));
    findings.extend(sandbox::findings(&host, &trials));
    findings.push(leftovers());
    causes::attribute(&mut findings);
    // Findings come in the order of their sources. The table is sorted by group; the sort keeps the order within a
    // group.
    findings.sort_by_key(|finding| finding.group as u8);
    findings
}

fn leftovers() -> Finding {
    let found = objects::sweep(true).map_err(|error| error.to_string());
    let is_doubtful = |left: &&objects::Leftover| matches!(left.fate, objects::Fate::Unknown(_));
    let doubtful = found.iter().flatten().filter(is_doubtful).count();
    let count = found.as_ref().map_or(0, Vec::len);
    let list = |found: &[objects::Leftover]| {
        let object =
            |left: &objects::Leftover| left.object.as_ref().map_or("unreadable entry".into(), ToString::to_string);
        found.iter().map(|left| format!("{} of process {}", object(left), left.pid)).collect::<Vec<_>>().join(", ")
    };
    let finding = Finding::new(
        Group::Leftovers,
        "journal",
        found
            .as_deref()
            .map(|found| match found {
                [] => "nothing left behind".into(),
                found => list(found),
            })
            .map_err(Clone::clone),
    );
    if count == 0 {
        return finding;
    }
    let dead = format!("{} left by dead processes", count - doubtful);
    let (used, advice) = match doubtful {
        0 => (dead, "ipc-bench sweep (removes these and nothing else)"),
        doubtful => (
            format!("{dead}, {doubtful} of owners that may live"),
            "ipc-bench sweep; for what it keeps in doubt: ipc-bench sweep --foreign --dry-run",
        ),
    };
    finding.is(Verdict::Note).used(used).effect("they count towards the limits above; no run uses them").advice(advice)
}
