//! One run of the gate: every cell screened in turns, what looks slower measured again, counts compared, a verdict.

use super::{
    exact,
    judge::Rules,
    plan::{CONTROL_PERCENT, Plan},
    program::{CallError, Program, all_have},
    reading::{Reading, Stretch},
    report::{CellReport, Control, ExactReport, Expectation, Report, Side},
    rounds::Couple,
    subject::{Purpose, Subject, is_worthwhile},
    verdict::{choose, failed, judge, judge_control, lacking_report, report, verdict},
    wording,
};
use crate::{cell::Cell, host::rfc3339, interrupt, progress::Progress};
use std::time::{Duration, Instant, SystemTime};

/// What is to be compared.
pub struct Request {
    /// Builds of the base.
    pub base: Vec<Program>,
    /// Builds of the head.
    pub head: Vec<Program>,
    /// By whose rules it is judged.
    pub plan: Plan,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Cells whose verdict is known beforehand: quiet ones, on one core, which every machine has.
    pub controls: Vec<(Expectation, Cell)>,
    /// What was left out of the plan and why.
    pub notes: Vec<String>,
    /// The seed of every random choice: order, which side first, which build.
    pub seed: u64,
    /// What slows down the head, as [`inject`](crate::inject) reads it.
    pub injection: Option<String>,
}

/// How long a pair is measured. A pair tells no more after three milliseconds than after fifteen: what differs, differs from
/// pair to pair.
const STRETCH: Stretch = Stretch { warm_up: Duration::from_millis(1), measure: Duration::from_millis(3) };
/// How many couples a round may take: some are disturbed, some meet at two distances.
const TRIES: u32 = 3;
/// Readings of each count, of each side.
const COUNTINGS: usize = 2;

struct Run<'a> {
    request: &'a Request,
    rules: Rules,
    random: fastrand::Rng,
}

/// Compares.
pub fn compare(request: &Request) -> Report {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let rules = request.plan.rules();
    let mut run = Run { request, rules, random: fastrand::Rng::with_seed(request.seed) };
    let has = |builds: &[Program], cell: &Cell| all_have(builds, cell.mechanism, cell.access);
    let (shared, lacking): (Vec<Cell>, Vec<Cell>) =
        request.cells.iter().partition(|cell| has(&request.base, cell) && has(&request.head, cell));
    let mut subjects: Vec<Subject> = shared.iter().map(|&cell| Subject::new(cell, Purpose::Comparison)).collect();
    let controls =
        request.controls.iter().map(|&(expectation, cell)| Subject::new(cell, Purpose::Control(expectation)));
    subjects.extend(controls.filter(|control| has(&request.base, &control.cell)));

    run.screen(&mut subjects);
    let mut exact = Vec::new();
    if is_worthwhile(&subjects) {
        run.confirm(&mut subjects);
        // What the head cannot do at all is found already, and counting it may take as long as its deadline.
        let works = |cell: &Cell| !subjects.iter().any(|subject| subject.cell == *cell && subject.is_broken());
        let counted: Vec<Cell> = shared.iter().copied().filter(works).collect();
        exact = run.count(&counted);
    } else {
        // They have not had their rounds.
        subjects.retain(|subject| subject.purpose == Purpose::Comparison);
    }

    let (compared, controls): (Vec<Subject>, Vec<Subject>) =
        subjects.into_iter().partition(|subject| subject.purpose == Purpose::Comparison);
    let mut cells: Vec<CellReport> = judge(&compared, &rules).iter().map(|line| report(line, &rules)).collect();
    cells.extend(lacking.iter().map(|cell| lacking_report(cell, has(&request.head, cell))));
    let controls: Vec<Control> = controls.iter().filter_map(|control| judge_control(control, &rules)).collect();
    let failed_controls = if is_worthwhile(&compared) { failed(&controls) } else { Vec::new() };
    let side = |builds: &[Program], side| Side {
        identity: builds[0].identity.clone(),
        builds: builds.len() as u32,
        pairs: compared.iter().map(|subject| subject.yielded[side]).sum(),
    };
    let [base, head] = [side(&request.base, 0), side(&request.head, 1)];
    let (outcome, mut reasons) = verdict(&compared, &cells, failed_controls, &exact);
    // Beside a verdict nobody sees what failed now and then; a cell without one tells itself.
    let judged = |cell: &Cell| cells.iter().any(|report| report.cell == *cell && wording::unjudged(report).is_none());
    let troubled = compared.iter().filter(|subject| judged(&subject.cell));
    reasons.extend(troubled.filter_map(|subject| Some(format!("{}: {}", subject.cell, subject.trouble()?))));
    reasons.extend(request.notes.iter().cloned());
    Report {
        outcome,
        reasons,
        base,
        head,
        plan: request.plan.to_string(),
        seed: request.seed,
        started: rfc3339(started),
        duration_s: clock.elapsed().as_secs_f64(),
        cells,
        controls,
        exact,
    }
}

impl Run<'_> {
    /// The first stage: the same number of rounds of every cell, all cells in each pass.
    fn screen(&mut self, subjects: &mut [Subject]) {
        let rules = self.rules;
        let passes = rules.screen_rounds;
        let mut progress = Progress::new(u64::from(passes) * subjects.len() as u64, "rounds");
        'passes: for _ in 0..passes {
            for index in self.shuffled(subjects.len()) {
                if interrupt::requested() {
                    break 'passes;
                }
                progress.begin(&subjects[index].cell);
                self.round(&mut subjects[index]);
                progress.advance(1);
            }
            if !is_worthwhile(subjects) {
                break;
            }
        }
        progress.finish();
        for subject in subjects.iter_mut() {
            subject.screened = subject.rounds.len();
        }
        if interrupt::requested() {
            return;
        }
        // Controls by themselves, as they are judged.
        let (mut compared, controls): (Vec<&mut Subject>, Vec<&mut Subject>) =
            subjects.iter_mut().partition(|subject| subject.purpose == Purpose::Comparison);
        choose(&mut compared, &rules);
        controls.into_iter().for_each(|control| choose(&mut [control], &rules));
    }

    /// The second stage: fresh rounds of what looks slower.
    fn confirm(&mut self, subjects: &mut [Subject]) {
        let passes = subjects.iter().map(Subject::fresh_rounds).max().unwrap_or(0);
        let total = subjects.iter().map(|subject| u64::from(subject.fresh_rounds())).sum();
        let mut progress = Progress::new(total, "rounds to confirm");
        for pass in 0..passes {
            for index in self.shuffled(subjects.len()) {
                if interrupt::requested() {
                    progress.finish();
                    return;
                }
                let subject = &mut subjects[index];
                if subject.fresh_rounds() > pass {
                    progress.begin(&subject.cell);
                    self.round(subject);
                    progress.advance(1);
                }
            }
        }
        progress.finish();
    }

    /// One round: couples until one is sound, or there were too many that are not.
    fn round(&mut self, subject: &mut Subject) {
        let builds = self.builds(subject.purpose);
        for _ in 0..TRIES {
            if subject.is_hopeless() || interrupt::requested() {
                return;
            }
            if let Some(couple) = self.couple(subject, builds).filter(Couple::is_sound) {
                subject.rounds.add(&couple, builds);
                return;
            }
        }
    }

    /// One pair of each side in random order; `None` where one failed.
    fn couple(&mut self, subject: &mut Subject, builds: [usize; 2]) -> Option<Couple> {
        let head_first = self.random.bool();
        let mut readings = [None, None];
        for side in if head_first { [1, 0] } else { [0, 1] } {
            subject.rounds.pairs += 1;
            let (error, wrong_payload) = match self.sample(subject, side, builds[side]) {
                // Stopping is no fault of the cell.
                _ if interrupt::requested() => return None,
                Ok(reading) => match reading.fault(&subject.cell) {
                    Some(fault) => (fault, reading.wrong_payload),
                    None => {
                        subject.failures[side] = 0;
                        let counted = if reading.disturbed { &mut subject.disturbed } else { &mut subject.yielded };
                        counted[side] += 1;
                        readings[side] = Some(reading);
                        continue;
                    }
                },
                Err(error) => (error.to_string(), false),
            };
            subject.failures[side] += 1;
            subject.failed[side] += 1;
            subject.error[side] = Some(error);
            subject.wrong_payload[side] |= wrong_payload;
        }
        let [base, head] = readings;
        Some(Couple { readings: [base?, head?] })
    }

    /// A control compares the base with itself, so that it says something about the run and nothing about the head.
    fn sample(&self, subject: &Subject, side: usize, build: usize) -> Result<Reading, CallError> {
        let of = |text: &str| if side == 1 { text.to_owned() } else { silenced(text) };
        let (builds, injection) = match (subject.purpose, side) {
            (Purpose::Comparison, 0) => (&self.request.base, self.request.injection.as_deref().map(of)),
            (Purpose::Comparison, _) => (&self.request.head, self.request.injection.as_deref().map(of)),
            (Purpose::Control(Expectation::Silent), _) => (&self.request.base, None),
            (Purpose::Control(Expectation::Found), _) => {
                (&self.request.base, Some(of(&format!("{}:{CONTROL_PERCENT}", subject.cell))))
            }
        };
        builds[build].sample(&subject.cell, STRETCH, injection.as_deref())
    }

    fn builds(&mut self, purpose: Purpose) -> [usize; 2] {
        let base = self.random.usize(..self.request.base.len());
        match purpose {
            Purpose::Control(_) => [base, base],
            Purpose::Comparison => [base, self.random.usize(..self.request.head.len())],
        }
    }

    fn shuffled(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        self.random.shuffle(&mut order);
        order
    }

    /// The counts of every mechanism among `cells`.
    fn count(&mut self, cells: &[Cell]) -> Vec<ExactReport> {
        let Request { base, head, .. } = self.request;
        let mut subjects = exact::subjects(cells);
        subjects.retain(|subject| [base, head].iter().all(|side| all_have(side, subject.mechanism, subject.access)));
        let mut progress = Progress::new(subjects.len() as u64, "counts");
        let mut found = Vec::new();
        for name in subjects.iter().map(ToString::to_string) {
            if interrupt::requested() {
                break;
            }
            progress.begin(&name);
            let (mut base, mut head) = (Vec::new(), Vec::new());
            // In turns: what depends on how busy the machine is must not befall one side only.
            for _ in 0..COUNTINGS {
                for (side, builds) in [(&mut base, &self.request.base), (&mut head, &self.request.head)] {
                    side.push(builds[self.random.usize(..builds.len())].count(&name));
                }
            }
            // A reading that was cut short has lost its counts, and that would be a finding.
            if interrupt::requested() {
                break;
            }
            found.push(exact::compare(&base, &head));
            progress.advance(1);
        }
        progress.finish();
        found
    }
}

/// `CELL:PERCENT` with a percentage of nothing, and just as long: an environment of another length shifts the stack.
fn silenced(injection: &str) -> String {
    let at = injection.rfind(':').map_or(0, |at| at + 1);
    let (cell, percent) = injection.split_at(at);
    cell.to_owned() + &"0".repeat(percent.len())
}
