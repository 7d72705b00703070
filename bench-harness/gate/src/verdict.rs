//! Derives the verdict of the run, and its reasons, from the rounds of all cells.

use super::{
    judge::{Confirmed, Rounds as Series, Rules, Screened},
    report::{CellReport, Change, Control, ExactReport, Expectation, Figures, Metric, Outcome, Side, Status, Unit},
    stats::spread,
    subject::{FLAWS, Purpose, Subject},
};
use bench_lab::interrupt;
use std::collections::{BTreeMap, BTreeSet};

/// The growth of p99 that counts. The tail moves by up to a quarter by itself.
const P99_MARGIN: f64 = 0.25;
/// A run is inconclusive if more than one in this many cells is unresolved.
const UNRESOLVED_PART: usize = 10;

/// The words for the subjects of a comparison.
pub(super) struct Terms {
    /// What is judged, in the plural.
    subjects: &'static str,
    /// The word for subjects that have regressed.
    worse: &'static str,
    /// The word for one run of a side.
    run: &'static str,
    /// What a control is made from.
    control: &'static str,
    /// The change in percent that a control must find. A subject must exclude it to be judged.
    resolved_percent: f64,
}

impl Terms {
    pub(super) fn of(base: &Side, resolved_percent: f64) -> Self {
        let [subjects, worse, run, control] = match base.command {
            Some(_) => ["figures", "worse", "run", "base command"],
            None => ["cells", "slower", "pair", "base"],
        };
        Self { subjects, worse, run, control, resolved_percent }
    }
}

/// Keeps one control of each expectation for each task: the one that scatters least in the first stage.
///
/// A command may print many figures. The control shows that the run finds a change and invents none. How small a change it sees
/// in each figure is what `detectable` tells.
pub(super) fn keep_quietest(subjects: &mut Vec<Subject>) {
    let scatter = |subject: &Subject| spread(&subject.rounds.differences(subject.metrics[0], 0));
    let mut kept: Vec<Subject> = Vec::new();
    for subject in subjects.drain(..) {
        let is_rival = |one: &&mut Subject| {
            subject.purpose != Purpose::Comparison && one.task == subject.task && one.purpose == subject.purpose
        };
        match kept.iter_mut().find(is_rival) {
            Some(rival) if scatter(&subject) < scatter(rival) => *rival = subject,
            Some(_) => {}
            None => kept.push(subject),
        }
    }
    *subjects = kept;
}

/// Chooses the candidates for the second stage among `subjects`.
pub(super) fn choose(subjects: &mut [&mut Subject], rules: &Rules) {
    let each = subjects.iter().enumerate().filter(|(_, subject)| !subject.is_hopeless());
    let each = each.flat_map(|(index, subject)| subject.metrics.iter().map(move |&metric| (index, metric)));
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
        // Tails always differ. Only a p99 that grew by more than half its margin is worth further rounds.
        let far = |change: Change| metric != Metric::P99 || change.by > P99_MARGIN / 2.0;
        if let Some(rounds) = screened.candidate.filter(|_| screened.change.is_some_and(far)) {
            subjects[index].candidates.push((metric, rounds));
        }
    }
}

/// The judgement of a subject by one metric.
pub(super) struct Line<'a> {
    subject: &'a Subject,
    metric: Metric,
    margin: f64,
    screened: Screened,
    /// The result of the second stage. `None` if the subject was no candidate.
    confirmed: Option<Confirmed>,
    /// The smallest change that the rounds taken would have found. Unknown if a candidate has no fresh rounds.
    detectable: Option<f64>,
}

/// Judges `subjects` by their own metric, and by p99 if that was a candidate.
pub(super) fn judge<'a>(subjects: &'a [Subject], rules: &Rules) -> Vec<Line<'a>> {
    let each = subjects.iter().flat_map(|subject| subject.metrics.iter().map(move |&metric| (subject, metric)));
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

    // All candidates are judged together, because the false discovery rate is controlled among them.
    let is_candidate = |(subject, metric, _): &(&Subject, Metric, f64)| {
        subject.candidates.iter().any(|candidate| candidate.0 == *metric)
    };
    let fresh: Vec<(Vec<f64>, f64)> = each
        .iter()
        .filter(|each| is_candidate(each))
        .map(|(subject, metric, margin)| (subject.rounds.differences(*metric, subject.screened), *margin))
        .collect();
    let series: Vec<Series> = fresh.iter().map(|(d, margin)| Series { differences: d, margin: *margin }).collect();
    let mut confirmed = rules.confirm(&series).into_iter().zip(&series).peekable();
    each.iter()
        .zip(screened)
        .map(|(each, screened)| {
            let &(subject, metric, margin) = each;
            let (confirmed, detectable) = match confirmed.next_if(|_| is_candidate(each)) {
                Some((confirmed, fresh)) => {
                    (Some(confirmed), rules.detectable_by(subject.screened, fresh, series.len()))
                }
                None => (None, screened.detectable),
            };
            Line { subject, metric, margin, screened, confirmed, detectable }
        })
        .filter(|line| line.metric != Metric::P99 || line.confirmed.is_some())
        .collect()
}

/// The largest change that does not count. It covers the margin of the rules, the spread of builds with another section order,
/// and a few nanoseconds for the shortest times.
fn margin(subject: &Subject, metric: Metric, rules: &Rules) -> f64 {
    if metric == Metric::P99 {
        return P99_MARGIN;
    }
    let base = subject.rounds.base_cost().unwrap_or(f64::INFINITY);
    rules.margin(base, subject.rounds.layout_spread())
}

pub(super) fn report(line: &Line<'_>, rules: &Rules) -> CellReport {
    let Line { subject, metric, margin, screened, confirmed, detectable } = line;
    // An interrupted run may have too few fresh rounds. Then the screen's result is reported.
    let fresh = confirmed.as_ref().filter(|confirmed| confirmed.change.is_some());
    let (change, p, rounds) = match fresh {
        Some(fresh) => (fresh.change, fresh.p, subject.rounds.len() - subject.screened),
        None => (screened.change, screened.p, subject.screened),
    };
    let planned = rules.screen_rounds as usize;
    let too_few = 2 * subject.screened < planned;
    let error = subject.trouble().or_else(|| {
        too_few.then(|| format!("{} of {planned} rounds: the others were disturbed or not taken", subject.screened))
    });
    let figures = |side| subject.rounds.figures(subject.metrics[0], subject.unit.as_ref(), side);
    let status = match change {
        _ if subject.is_hopeless() || subject.is_broken() => Status::Failed,
        _ if confirmed.as_ref().is_some_and(|confirmed| confirmed.regressed) => Status::Regressed,
        // A candidate without enough fresh rounds is unresolved.
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
        cell: subject.name.clone(),
        metric: *metric,
        unit: subject.unit.clone(),
        status,
        base: figures(0),
        head: figures(1),
        change,
        p: Some(p),
        rounds: rounds as u32,
        candidate: confirmed.is_some(),
        margin: *margin,
        detectable: *detectable,
        proximity: subject.rounds.proximity(),
        pairs: subject.rounds.pairs,
        error,
    }
}

/// The report of something that one side lacks. `why` says which side.
pub(super) fn lacking_report(cell: String, metric: Metric, unit: Option<Unit>, why: String) -> CellReport {
    CellReport {
        cell,
        metric,
        unit,
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
        error: Some(why),
    }
}

/// Judges a control. Each control is judged alone, because it is no discovery among others.
pub(super) fn judge_control(control: &Subject, rules: &Rules) -> Option<Control> {
    let Purpose::Control(expectation) = control.purpose else { return None };
    let lines = judge(std::slice::from_ref(control), rules);
    let report = report(lines.iter().find(|line| line.metric != Metric::P99)?, rules);
    // A side that looks faster than itself would hide a slowdown.
    let wrong_if_silent = matches!(report.status, Status::Regressed | Status::Improved);
    let held = match expectation {
        Expectation::Silent => !wrong_if_silent && report.status != Status::Failed && report.change.is_some(),
        Expectation::Found => report.status == Status::Regressed,
    };
    Some(Control { expectation, held, report })
}

/// Describes the controls that failed.
pub(super) fn failed(controls: &[Control], terms: &Terms) -> Vec<String> {
    let failed = controls.iter().filter(|control| !control.held).map(|control| {
        let Control { expectation, report, .. } = control;
        match expectation {
            Expectation::Silent => {
                format!("the control {} is called {}, though both sides are the same", report.cell, report.status)
            }
            Expectation::Found => {
                let percent = terms.resolved_percent;
                format!("the control {} was slowed down by {percent} % and is called {}", report.cell, report.status)
            }
        }
    });
    let mut failed: Vec<String> = failed.collect();
    for expectation in [Expectation::Silent, Expectation::Found] {
        if !controls.iter().any(|control| control.expectation == expectation) {
            failed.push(format!("the {} can run no control that has to be {expectation}", terms.control));
        }
    }
    failed
}

/// The most frequent text.
fn commonest<'a>(texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counted = BTreeMap::<&str, usize>::new();
    texts.for_each(|text| *counted.entry(text).or_default() += 1);
    counted.into_iter().max_by_key(|&(_, count)| count).map(|(text, _)| text)
}

/// The side of which no run yielded a figure, and why. `None` if the machine disturbs both sides, because then neither is at
/// fault.
fn unmeasured(compared: &[Subject], terms: &Terms) -> Option<(Outcome, String)> {
    if compared.iter().any(|subject| subject.wrong_payload[1] && !subject.wrong_payload[0]) {
        return None;
    }
    let sum = |of: fn(&Subject) -> [u32; 2], side: usize| compared.iter().map(|subject| of(subject)[side]).sum::<u32>();
    [(Outcome::HeadUnmeasured, "head", 1), (Outcome::BaseUnmeasured, "base", 0)].into_iter().find_map(
        |(outcome, name, side)| {
            let yielded = |side| sum(|subject| subject.yielded, side);
            let disturbed = sum(|subject| subject.disturbed, side);
            let at_fault = yielded(side) == 0 && (disturbed == 0 || yielded(1 - side) >= FLAWS);
            let errors = compared.iter().filter_map(|subject| subject.error[side].as_deref());
            let why = commonest(errors).unwrap_or("all were disturbed");
            at_fault.then(|| (outcome, format!("no {} of the {name} yielded a figure: {why}", terms.run)))
        },
    )
}

/// The verdict and its reasons, findings first.
pub(super) fn verdict(
    compared: &[Subject],
    cells: &[CellReport],
    failed_controls: Vec<String>,
    exact: &[ExactReport],
    terms: &Terms,
) -> (Outcome, Vec<String>) {
    // A p99 regression fails the gate. An inconclusive p99 does not make its cell inconclusive.
    let own = || cells.iter().filter(|cell| cell.metric != Metric::P99);
    if let Some((outcome, why)) = unmeasured(compared, terms).filter(|_| !interrupt::requested()) {
        return (outcome, vec![why]);
    }
    let Terms { subjects, worse, resolved_percent, .. } = terms;
    let broken = compared.iter().filter(|subject| subject.is_broken()).count();
    let mut findings = Vec::new();
    if broken > 0 {
        findings.push(format!("the head fails in {broken} of {} {subjects} where the base does not", own().count()));
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
    let regressed = slower.map(|cell| &cell.cell).collect::<BTreeSet<_>>().len();
    if regressed > 0 {
        findings.push(format!("{regressed} of {} {subjects} are {worse}, confirmed on fresh rounds", own().count()));
    }
    let measured = own().filter(|cell| !matches!(cell.status, Status::Failed | Status::Lacking)).count();
    let unresolved = own().filter(|cell| cell.status == Status::Unresolved).count();
    let mut open = Vec::new();
    if measured == 0 {
        open.push(format!("no {} could be measured on both sides", subjects.trim_end_matches('s')));
    } else if unresolved * UNRESOLVED_PART > measured {
        open.push(format!(
            "in {unresolved} of {measured} {subjects} a change of {resolved_percent} % could not be excluded"
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(yielded: [u32; 2], disturbed: [u32; 2], errors: [&str; 2]) -> Subject {
        let name = "latency/pipe/64/same-core/block/copy".to_owned();
        let error = errors.map(|error| (!error.is_empty()).then(|| error.to_owned()));
        Subject { yielded, disturbed, error, ..Subject::new(name, &[Metric::P50], Purpose::Comparison, 0) }
    }

    fn terms() -> Terms {
        Terms::of(&Side::default(), 10.0)
    }

    #[test]
    fn a_side_without_a_figure_is_named_with_the_commonest_reason() {
        let of = |subjects: &[Subject]| unmeasured(subjects, &terms());
        let dead = || subject([9, 0], [0, 0], ["", "killed"]);
        let (outcome, why) = of(&[dead(), subject([9, 0], [0, 0], ["", "hung"]), dead()]).unwrap();
        assert_eq!((outcome, why.as_str()), (Outcome::HeadUnmeasured, "no pair of the head yielded a figure: killed"));
        let (outcome, why) = of(&[subject([0, 9], [0, 0], ["killed", ""])]).unwrap();
        assert_eq!((outcome, why.as_str()), (Outcome::BaseUnmeasured, "no pair of the base yielded a figure: killed"));
        let neither = of(&[subject([0, 0], [0, 0], ["killed", "killed"])]);
        assert_eq!(neither.unwrap().0, Outcome::HeadUnmeasured);
        // One figure of one cell is enough.
        assert_eq!(of(&[dead(), subject([9, 1], [0, 0], ["", ""])]), None);
    }

    #[test]
    fn what_disturbs_both_is_no_fault_of_either() {
        assert_eq!(unmeasured(&[subject([0, 0], [9, 9], ["", ""])], &terms()), None);
        let (outcome, why) = unmeasured(&[subject([9, 0], [0, 9], ["", ""])], &terms()).unwrap();
        assert_eq!((outcome, why.ends_with(": all were disturbed")), (Outcome::HeadUnmeasured, true));
    }

    /// A wrong payload is worse than no figure.
    #[test]
    fn a_wrong_payload_of_the_head_alone_is_a_finding() {
        let mut wrong = subject([9, 0], [0, 0], ["", "wrong payload"]);
        wrong.wrong_payload = [false, true];
        let (outcome, why) = verdict(std::slice::from_ref(&wrong), &[], Vec::new(), &[], &terms());
        assert_eq!(outcome, Outcome::Regressed, "{why:?}");
        wrong.wrong_payload = [true, true];
        assert_eq!(verdict(&[wrong], &[], Vec::new(), &[], &terms()).0, Outcome::HeadUnmeasured);
    }
}
