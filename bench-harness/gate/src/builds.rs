//! Two builds of this program as a source of figures: pairs, counts and controls.

use super::{
    engine::{self, Setup},
    exact,
    plan::{CONTROL_PERCENT, Plan},
    program::{Program, all_have},
    reading::{Reading, Stretch},
    report::{CellReport, ExactReport, Expectation, Report, Side},
    rounds::Measured,
    source::{Call, Fault, Source},
    subject::{Purpose, Subject, metrics},
    verdict::lacking_report,
};
use bench_lab::{interrupt, progress::Progress};
use bench_record::cell::Cell;
use std::time::Duration;

/// The builds and cells to compare.
pub struct Request {
    /// Builds of the base.
    pub base: Vec<Program>,
    /// Builds of the head.
    pub head: Vec<Program>,
    /// The plan, whose rules apply.
    pub plan: Plan,
    /// The cells to compare.
    pub cells: Vec<Cell>,
    /// Cells whose verdict is known in advance. They are quiet and on one core, which every machine has.
    pub controls: Vec<(Expectation, Cell)>,
    /// What the plan leaves out, and why.
    pub notes: Vec<String>,
    /// The seed of every random choice: the order, the side that goes first, the build.
    pub seed: u64,
    /// The slowdown of the head, in the format of [`inject`](bench_lab::inject).
    pub injection: Option<String>,
}

/// The length of a pair's measurement. Fifteen milliseconds tell no more than three, because the differences are between pairs.
const STRETCH: Stretch = Stretch { warm_up: Duration::from_millis(1), measure: Duration::from_millis(3) };
/// Readings of each count for each side.
const COUNTINGS: usize = 2;

/// Compares base and head.
pub fn compare(request: &Request) -> Report {
    let has = |builds: &[Program], cell: &Cell| all_have(builds, cell.mechanism, cell.access);
    let (shared, lacking): (Vec<Cell>, Vec<Cell>) =
        request.cells.iter().partition(|cell| has(&request.base, cell) && has(&request.head, cell));
    let controls = request.controls.iter().map(|&(expectation, cell)| (cell, Purpose::Control(expectation)));
    let controls = controls.filter(|(cell, _)| has(&request.base, cell));
    let subjects = shared.iter().map(|&cell| (cell, Purpose::Comparison)).chain(controls).enumerate();
    let subjects: Vec<Subject> =
        subjects.map(|(task, (cell, purpose))| Subject::new(cell.to_string(), metrics(&cell), purpose, task)).collect();
    let lacking: Vec<CellReport> = lacking
        .iter()
        .map(|cell| {
            let who = if has(&request.head, cell) { "base" } else { "head" };
            let why = format!("the {who} has no {} by {} access", cell.mechanism, cell.access);
            lacking_report(cell.to_string(), metrics(cell)[0], None, why)
        })
        .collect();
    let side = |builds: &[Program]| Side {
        identity: Some(builds[0].identity.clone()),
        builds: builds.len() as u32,
        ..Side::default()
    };
    let setup = Setup {
        subjects,
        lacking,
        sides: [side(&request.base), side(&request.head)],
        rules: request.plan.rules(),
        plan: request.plan.to_string(),
        resolved_percent: f64::from(CONTROL_PERCENT),
        notes: request.notes.clone(),
        seed: request.seed,
    };
    let source = Builds { request, shared };
    engine::compare(&source, setup).expect("a build's fault is never fatal")
}

struct Builds<'a> {
    request: &'a Request,
    /// The cells that both sides have.
    shared: Vec<Cell>,
}

impl Source for Builds<'_> {
    fn builds(&self) -> [usize; 2] {
        [self.request.base.len(), self.request.head.len()]
    }

    /// Measures one pair. A control compares the base with itself, so it tests the run and not the head.
    fn measure(&self, call: &Call<'_>) -> Result<Vec<Measured>, Fault> {
        let [subject] = call.subjects else { unreachable!("a pair measures one cell") };
        let Request { base, head, injection, .. } = self.request;
        let of = |text: &str| if call.side == 1 { text.to_owned() } else { silenced(text) };
        let (builds, injection) = match (subject.purpose, call.side) {
            (Purpose::Comparison, 0) => (base, injection.as_deref().map(of)),
            (Purpose::Comparison, _) => (head, injection.as_deref().map(of)),
            (Purpose::Control(Expectation::Silent), _) => (base, None),
            (Purpose::Control(Expectation::Found), _) => {
                (base, Some(of(&format!("{}:{CONTROL_PERCENT}", subject.name))))
            }
        };
        let cell: Cell = subject.name.parse().expect("a subject has the name of its cell");
        let reading = builds[call.build].sample(&cell, STRETCH, injection.as_deref());
        let reading = reading.map_err(|error| Fault::Once { why: error.to_string(), wrong_payload: false })?;
        match reading.fault(&cell) {
            Some(why) => Err(Fault::Once { why, wrong_payload: reading.wrong_payload }),
            None => Ok(vec![reading.into()]),
        }
    }

    /// Counts every mechanism of the cells that work.
    fn count(&self, works: &dyn Fn(&str) -> bool, random: &mut fastrand::Rng) -> Vec<ExactReport> {
        let Request { base, head, .. } = self.request;
        // A cell that the head cannot run is already a finding, and counting it may take until its deadline.
        let cells: Vec<Cell> = self.shared.iter().copied().filter(|cell| works(&cell.to_string())).collect();
        let mut subjects = exact::subjects(&cells);
        subjects.retain(|subject| [base, head].iter().all(|side| all_have(side, subject.mechanism, subject.access)));
        let mut progress = Progress::new(subjects.len() as u64, "counts");
        let mut found = Vec::new();
        for name in subjects.iter().map(ToString::to_string) {
            if interrupt::requested() {
                break;
            }
            progress.begin(&name);
            let mut readings = [Vec::new(), Vec::new()];
            // The sides take turns, so that a busy machine affects both.
            for _ in 0..COUNTINGS {
                for (side, builds) in readings.iter_mut().zip([base, head]) {
                    side.push(builds[random.usize(..builds.len())].count(&name));
                }
            }
            // An interrupted reading has lost its counts, which would look like a finding.
            if interrupt::requested() {
                break;
            }
            let [base, head] = readings;
            found.push(exact::compare(&base, &head));
            progress.advance(1);
        }
        progress.finish();
        found
    }
}

impl From<Reading> for Measured {
    fn from(reading: Reading) -> Self {
        Self {
            typical: reading.stamped_ns().unwrap_or(f64::NAN),
            unstamped: reading.batch_p50_ns,
            p99_ns: reading.p99_ns,
            p999_ns: reading.p999_ns,
            max_ns: reading.max_ns,
            proximity: reading.proximity,
            disturbed: reading.disturbed,
            histogram: reading.histogram,
        }
    }
}

/// Returns `CELL:PERCENT` with zero percent and the same length. An environment of another length would shift the stack.
fn silenced(injection: &str) -> String {
    let at = injection.rfind(':').map_or(0, |at| at + 1);
    let (cell, percent) = injection.split_at(at);
    cell.to_owned() + &"0".repeat(percent.len())
}
