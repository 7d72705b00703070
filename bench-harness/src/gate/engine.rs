//! One run of the gate: every cell screened in turns, what looks slower measured again, counts compared, a verdict.

use super::{
    exact,
    judge::{Confirmed, Rounds as Series, Rules, Screened},
    plan::{CONTROL_PERCENT, CONTROLS, Plan, known},
    program::{CallError, Program, all_have},
    reading::{Reading, Stretch},
    report::{CellReport, Change, Control, ExactReport, Expectation, Figures, Metric, Outcome, Report, Side, Status},
    rounds::{Couple, Rounds},
    wording,
};
use crate::{
    cell::{Cell, Workload},
    host::rfc3339,
    interrupt,
    progress::Progress,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

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
/// A side that fails this often in a row cannot measure the cell.
const FAILURES: u32 = 3;
/// A head that fails this often altogether, and a base that never does: that is no accident of the machine.
const FLAWS: u32 = 6;
/// Readings of each count, of each side.
const COUNTINGS: usize = 2;

/// The tail may grow by a quarter before it counts: it moves by that much by itself.
const P99_MARGIN: f64 = 0.25;
/// A run says nothing where it leaves more than a tenth of its cells open.
const UNRESOLVED_PART: usize = 10;

/// What a cell is timed for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Comparison,
    Control(Expectation),
}

/// A cell, and what was measured of it.
struct Subject {
    cell: Cell,
    purpose: Purpose,
    rounds: Rounds,
    /// Rounds of the first stage.
    screened: usize,
    /// What the first stage calls for: rounds more, by metric.
    candidates: Vec<(Metric, u32)>,
    /// Failures of base and head, in a row and altogether, and the last one's text.
    failures: [u32; 2],
    failed: [u32; 2],
    error: [Option<String>; 2],
    wrong_payload: [bool; 2],
    /// Pairs of base and head that yielded a figure.
    yielded: [u32; 2],
}

impl Subject {
    fn new(cell: Cell, purpose: Purpose) -> Self {
        Self {
            cell,
            purpose,
            rounds: Rounds::default(),
            screened: 0,
            candidates: Vec::new(),
            failures: [0; 2],
            failed: [0; 2],
            error: [None, None],
            wrong_payload: [false; 2],
            yielded: [0; 2],
        }
    }

    fn is_hopeless(&self) -> bool {
        self.failures.iter().any(|&failures| failures >= FAILURES) || self.wrong_payload.contains(&true)
    }

    /// Whether the head cannot do what the base can; a finding whatever its speed.
    fn is_broken(&self) -> bool {
        let often = self.failures[1] >= FAILURES || self.failed[1] >= FLAWS;
        (often && self.failed[0] == 0) || (self.wrong_payload[1] && !self.wrong_payload[0])
    }

    /// What failed, of either side; also where there are figures enough.
    fn trouble(&self) -> Option<String> {
        let of = |side: usize, name| {
            let error = self.error[side].as_deref()?;
            Some(format!("{} of {} pairs of the {name} failed: {error}", self.failed[side], self.rounds.pairs / 2))
        };
        let said: Vec<String> = [of(0, "base"), of(1, "head")].into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn metrics(&self) -> &'static [Metric] {
        match self.cell.workload {
            Workload::Throughput => &[Metric::Rate],
            _ => &[Metric::P50, Metric::P99],
        }
    }

    /// Rounds that the second stage owes.
    fn fresh_rounds(&self) -> u32 {
        self.candidates.iter().map(|&(_, rounds)| rounds).max().unwrap_or(0)
    }
}

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
    let controls = CONTROLS.map(|(expectation, name)| Subject::new(known(name), Purpose::Control(expectation)));
    subjects.extend(controls.into_iter().filter(|control| has(&request.base, &control.cell)));

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
    let yielded = |side: usize| compared.iter().map(|subject| subject.yielded[side]).sum();
    let side = |builds: &[Program], side| Side {
        identity: builds[0].identity.clone(),
        builds: builds.len() as u32,
        pairs: yielded(side),
    };
    let [base, head] = [side(&request.base, 0), side(&request.head, 1)];
    let (outcome, mut reasons) = verdict(&compared, [base.pairs, head.pairs], &cells, failed_controls, &exact);
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
                        subject.yielded[side] += 1;
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
        subjects.retain(|subject| {
            [base, head].iter().all(|side| all_have(side, subject.mechanism.spec.name, subject.access))
        });
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

/// Whether anything can still be compared.
fn is_worthwhile(subjects: &[Subject]) -> bool {
    subjects.iter().any(|subject| subject.purpose == Purpose::Comparison && !subject.is_hopeless())
}

/// `CELL:PERCENT` with a percentage of nothing, and just as long: an environment of another length shifts the stack.
fn silenced(injection: &str) -> String {
    let at = injection.rfind(':').map_or(0, |at| at + 1);
    let (cell, percent) = injection.split_at(at);
    cell.to_owned() + &"0".repeat(percent.len())
}

/// Chooses the candidates among `subjects`.
fn choose(subjects: &mut [&mut Subject], rules: &Rules) {
    let each = subjects.iter().enumerate().filter(|(_, subject)| !subject.is_hopeless());
    let each = each.flat_map(|(index, subject)| subject.metrics().iter().map(move |&metric| (index, metric)));
    let each: Vec<(usize, Metric)> = each.collect();
    let differences: Vec<Vec<f64>> =
        each.iter().map(|&(index, metric)| subjects[index].rounds.differences(metric, 0)).collect();
    let series: Vec<Series> = each
        .iter()
        .zip(&differences)
        .map(|(&(index, metric), differences)| Series { differences, margin: margin(subjects[index], metric, rules) })
        .collect();
    let screened = rules.screen(&series);
    for (&(index, metric), screened) in each.iter().zip(screened) {
        // Tails always differ: only one that looks half as bad as it may is worth the rounds.
        let far = |change: Change| metric != Metric::P99 || change.by > P99_MARGIN / 2.0;
        if let Some(rounds) = screened.candidate.filter(|_| screened.change.is_some_and(far)) {
            subjects[index].candidates.push((metric, rounds));
        }
    }
}

/// What the gate judges of a subject by one metric.
struct Line<'a> {
    subject: &'a Subject,
    metric: Metric,
    margin: f64,
    screened: Screened,
    /// What the second stage says, where it was a candidate.
    confirmed: Option<Confirmed>,
}

/// The verdicts on `subjects`, by their own metric, and by p99 where that was a candidate.
fn judge<'a>(subjects: &'a [Subject], rules: &Rules) -> Vec<Line<'a>> {
    let each = subjects.iter().flat_map(|subject| subject.metrics().iter().map(move |&metric| (subject, metric)));
    let each: Vec<(&Subject, Metric, f64)> =
        each.map(|(subject, metric)| (subject, metric, margin(subject, metric, rules))).collect();
    let first: Vec<Vec<f64>> = each
        .iter()
        .map(|(subject, metric, _)| {
            let mut differences = subject.rounds.differences(*metric, 0);
            differences.truncate(subject.screened);
            differences
        })
        .collect();
    let series: Vec<Series> =
        first.iter().zip(&each).map(|(d, each)| Series { differences: d, margin: each.2 }).collect();
    let screened = rules.screen(&series);

    // All candidates together, for the false discoveries are held down among them.
    let is_candidate = |(subject, metric, _): &(&Subject, Metric, f64)| {
        subject.candidates.iter().any(|candidate| candidate.0 == *metric)
    };
    let fresh: Vec<(Vec<f64>, f64)> = each
        .iter()
        .filter(|each| is_candidate(each))
        .map(|(subject, metric, margin)| (subject.rounds.differences(*metric, subject.screened), *margin))
        .collect();
    let series: Vec<Series> = fresh.iter().map(|(d, margin)| Series { differences: d, margin: *margin }).collect();
    let mut confirmed = rules.confirm(&series).into_iter();
    each.iter()
        .zip(screened)
        .map(|(each, screened)| {
            let &(subject, metric, margin) = each;
            let confirmed = if is_candidate(each) { confirmed.next() } else { None };
            Line { subject, metric, margin, screened, confirmed }
        })
        .filter(|line| line.metric != Metric::P99 || line.confirmed.is_some())
        .collect()
}

/// A change up to here is none: what the rules say, what builds differ by whose sections have another order, and for the
/// shortest times what a few nanoseconds are.
fn margin(subject: &Subject, metric: Metric, rules: &Rules) -> f64 {
    if metric == Metric::P99 {
        return P99_MARGIN;
    }
    let base_ns = subject.rounds.base_ns().unwrap_or(f64::INFINITY);
    rules.margin(base_ns, subject.rounds.layout_spread())
}

fn report(line: &Line<'_>, rules: &Rules) -> CellReport {
    let Line { subject, metric, margin, screened, confirmed } = line;
    // Too few fresh rounds to say anything, where the run was interrupted: then what is known is from the screen.
    let fresh = confirmed.as_ref().filter(|confirmed| confirmed.change.is_some());
    let (change, detectable, p, rounds) = match fresh {
        Some(fresh) => (fresh.change, fresh.detectable, fresh.p, subject.rounds.len() - subject.screened),
        None => (screened.change, screened.detectable, screened.p, subject.screened),
    };
    let planned = rules.screen_rounds as usize;
    let too_few = 2 * subject.screened < planned;
    let error = subject.trouble().or_else(|| {
        too_few.then(|| format!("{} of {planned} rounds: the others were disturbed or not taken", subject.screened))
    });
    let status = match change {
        _ if subject.is_hopeless() || subject.is_broken() => Status::Failed,
        _ if confirmed.as_ref().is_some_and(|confirmed| confirmed.regressed) => Status::Regressed,
        // What was to be confirmed, and was not measured for it, is open.
        _ if confirmed.is_some() && (fresh.is_none() || (rounds as u32) < rules.confirm_min) => Status::Unresolved,
        Some(change) if !too_few && change.hi <= rules.resolved.max(*margin) => {
            if change.hi < -*margin {
                Status::Improved
            } else {
                Status::Unchanged
            }
        }
        _ => Status::Unresolved,
    };
    CellReport {
        cell: subject.cell,
        metric: *metric,
        status,
        base: subject.rounds.figures(&subject.cell, 0),
        head: subject.rounds.figures(&subject.cell, 1),
        change,
        p: Some(p),
        rounds: rounds as u32,
        candidate: confirmed.is_some(),
        margin: *margin,
        detectable,
        proximity: subject.rounds.proximity(),
        pairs: subject.rounds.pairs,
        error,
    }
}

/// The report of a cell that one side has not got.
fn lacking_report(cell: &Cell, head_has: bool) -> CellReport {
    let who = if head_has { "base" } else { "head" };
    CellReport {
        cell: *cell,
        metric: if cell.workload == Workload::Throughput { Metric::Rate } else { Metric::P50 },
        status: Status::Lacking,
        base: Figures::default(),
        head: Figures::default(),
        change: None,
        p: None,
        rounds: 0,
        candidate: false,
        margin: 0.0,
        detectable: None,
        proximity: None,
        pairs: 0,
        error: Some(format!("the {who} has no {} by {} access", cell.mechanism, cell.access)),
    }
}

/// Each control is judged alone: it is no discovery among others.
fn judge_control(control: &Subject, rules: &Rules) -> Option<Control> {
    let Purpose::Control(expectation) = control.purpose else { return None };
    let lines = judge(std::slice::from_ref(control), rules);
    let report = report(lines.iter().find(|line| line.metric != Metric::P99)?, rules);
    // A side that is faster than itself would hide what makes it slower.
    let wrong_if_silent = matches!(report.status, Status::Regressed | Status::Improved);
    let held = match expectation {
        Expectation::Silent => !wrong_if_silent && report.status != Status::Failed && report.change.is_some(),
        Expectation::Found => report.status == Status::Regressed,
    };
    Some(Control { expectation, held, report })
}

/// What is wrong with the controls.
fn failed(controls: &[Control]) -> Vec<String> {
    let failed = controls.iter().filter(|control| !control.held).map(|control| {
        let Control { expectation, report, .. } = control;
        match expectation {
            Expectation::Silent => {
                format!("the control {} is called {}, though both sides are the same", report.cell, report.status)
            }
            Expectation::Found => {
                format!(
                    "the control {} was slowed down by {CONTROL_PERCENT} % and is called {}",
                    report.cell, report.status
                )
            }
        }
    });
    let mut failed: Vec<String> = failed.collect();
    for expectation in [Expectation::Silent, Expectation::Found] {
        if !controls.iter().any(|control| control.expectation == expectation) {
            failed.push(format!("the base can run no control that has to be {expectation}"));
        }
    }
    failed
}

/// The text that is there most often.
fn commonest<'a>(texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counted = BTreeMap::<&str, usize>::new();
    texts.for_each(|text| *counted.entry(text).or_default() += 1);
    counted.into_iter().max_by_key(|&(_, count)| count).map(|(text, _)| text)
}

/// The verdict and what it rests on, findings first. Of `pairs` there are so many of base and head that yielded a figure.
fn verdict(
    compared: &[Subject],
    pairs: [u32; 2],
    cells: &[CellReport],
    failed_controls: Vec<String>,
    exact: &[ExactReport],
) -> (Outcome, Vec<String>) {
    // Tails gate, but that one is open leaves no cell open.
    let own = || cells.iter().filter(|cell| cell.metric != Metric::P99);
    let corrupts = |subject: &&Subject| subject.wrong_payload[1] && !subject.wrong_payload[0];
    if !interrupt::requested() && !compared.iter().any(|subject| corrupts(&subject)) {
        let unmeasured = |name, side: usize| {
            let errors = compared.iter().filter_map(|subject| subject.error[side].as_deref());
            let why = commonest(errors).unwrap_or("it has no cell of the plan");
            vec![format!("no pair of the {name} yielded a figure: {why}")]
        };
        match pairs {
            [_, 0] => return (Outcome::HeadUnmeasured, unmeasured("head", 1)),
            [0, _] => return (Outcome::BaseUnmeasured, unmeasured("base", 0)),
            _ => {}
        }
    }
    let broken = compared.iter().filter(|subject| subject.is_broken()).count();
    let mut findings = Vec::new();
    if broken > 0 {
        findings.push(format!("the head fails in {broken} of {} cells where the base does not", own().count()));
    }
    for report in exact {
        for count in report.counts.iter().filter(|count| count.worse) {
            let text = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.2}"));
            let note = count.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
            let (base, head) = (text(count.base), text(count.head));
            findings.push(format!("{}: {} per message {base} → {head}{note}", report.name, count.what));
        }
    }
    let certain = !findings.is_empty();
    let slower = cells.iter().filter(|cell| cell.status == Status::Regressed);
    let regressed = slower.map(|cell| cell.cell).collect::<BTreeSet<_>>().len();
    if regressed > 0 {
        findings.push(format!("{regressed} of {} cells are slower, confirmed on fresh rounds", own().count()));
    }
    let measured = own().filter(|cell| !matches!(cell.status, Status::Failed | Status::Lacking)).count();
    let unresolved = own().filter(|cell| cell.status == Status::Unresolved).count();
    let mut open = Vec::new();
    if measured == 0 {
        open.push("no cell could be measured on both sides".to_owned());
    } else if unresolved * UNRESOLVED_PART > measured {
        open.push(format!("in {unresolved} of {measured} cells a change of 10 % could not be excluded"));
    }
    let outcome = match () {
        () if interrupt::requested() => Outcome::Inconclusive,
        () if certain => Outcome::Regressed,
        () if !failed_controls.is_empty() => Outcome::Inconclusive,
        () if regressed > 0 => Outcome::Regressed,
        () if !open.is_empty() => Outcome::Inconclusive,
        () => Outcome::Passed,
    };
    findings.extend(failed_controls);
    findings.extend(interrupt::requested().then(|| "the run was interrupted".to_owned()));
    findings.extend(open);
    (outcome, findings)
}
