//! One run of the gate. It screens every subject in turns, measures again what looks slower, compares counts and gives a
//! verdict.

use super::{
    judge::Rules,
    report::{CellReport, Control, Report, Side},
    rounds::{Measured, PairedSample},
    source::{Call, Fault, Source},
    subject::{Purpose, Subject, is_worthwhile},
    verdict::{Terms, choose, failed, judge, judge_control, keep_quietest, report, verdict},
    wording,
};
use bench_lab::{interrupt, progress::Progress};
use bench_record::host::rfc3339;
use std::time::{Instant, SystemTime};

/// The input of a run.
pub(super) struct Setup {
    /// The subjects to measure. Subjects of one task are adjacent.
    pub(super) subjects: Vec<Subject>,
    /// Reports of what only one side has.
    pub(super) lacking: Vec<CellReport>,
    /// Base and head.
    pub(super) sides: [Side; 2],
    /// The rules of judgement.
    pub(super) rules: Rules,
    /// The plan's name.
    pub(super) plan: String,
    /// The change in percent that a control must find. A subject must exclude it to be judged.
    pub(super) resolved_percent: f64,
    /// Remarks that the report adds to its findings.
    pub(super) notes: Vec<String>,
    /// The seed of every random choice.
    pub(super) seed: u64,
}

/// The most paired samples of a round. Some are disturbed, some have two different distances.
const TRIES: u32 = 3;

struct Run<'a> {
    source: &'a dyn Source,
    rules: Rules,
    random: fastrand::Rng,
}

/// Compares base and head.
///
/// # Errors The reason why no verdict is possible, as the source states it.
pub(super) fn compare(source: &dyn Source, setup: Setup) -> Result<Report, String> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let Setup { mut subjects, lacking, sides, rules, plan, resolved_percent, notes, seed } = setup;
    let mut run = Run { source, rules, random: fastrand::Rng::with_seed(seed) };
    run.screen(&mut subjects)?;
    let mut exact = Vec::new();
    if is_worthwhile(&subjects) {
        run.confirm(&mut subjects)?;
        let works = |name: &str| !subjects.iter().any(|subject| subject.name == name && subject.is_broken());
        exact = source.count(&works, &mut run.random);
    } else {
        // The controls have not had their rounds.
        subjects.retain(|subject| subject.purpose == Purpose::Comparison);
    }

    let (compared, controls): (Vec<Subject>, Vec<Subject>) =
        subjects.into_iter().partition(|subject| subject.purpose == Purpose::Comparison);
    let mut cells: Vec<CellReport> = judge(&compared, &rules).iter().map(|line| report(line, &rules)).collect();
    cells.extend(lacking);
    let controls: Vec<Control> = controls.iter().filter_map(|control| judge_control(control, &rules)).collect();
    let [mut base, mut head] = sides;
    let terms = Terms::of(&base, resolved_percent);
    let failed_controls = if is_worthwhile(&compared) { failed(&controls, &terms) } else { Vec::new() };
    for (side, index) in [(&mut base, 0), (&mut head, 1)] {
        side.pairs = compared.iter().map(|subject| subject.yielded[index]).sum();
    }
    let (outcome, mut reasons) = verdict(&compared, &cells, failed_controls, &exact, &terms);
    // A judged cell does not show its occasional failures, so the reasons list them. A cell without a verdict shows them
    // itself.
    let judged = |name: &str| cells.iter().any(|report| report.cell == name && wording::unjudged(report).is_none());
    let troubled = compared.iter().filter(|subject| judged(&subject.name));
    reasons.extend(troubled.filter_map(|subject| Some(format!("{}: {}", subject.name, subject.trouble()?))));
    reasons.extend(notes);
    Ok(Report {
        outcome,
        reasons,
        base,
        head,
        plan,
        seed,
        started: rfc3339(started),
        duration_s: clock.elapsed().as_secs_f64(),
        cells,
        controls,
        exact,
    })
}

/// The tasks of `subjects`. One run measures one task.
fn tasks(subjects: &mut [Subject]) -> Vec<&mut [Subject]> {
    subjects.chunk_by_mut(|one, next| one.task == next.task).collect()
}

fn fresh_rounds(task: &[Subject]) -> u32 {
    task.iter().map(Subject::fresh_rounds).max().unwrap_or(0)
}

impl Run<'_> {
    /// The first stage: every task gets the same number of rounds, and each pass covers all tasks.
    fn screen(&mut self, subjects: &mut Vec<Subject>) -> Result<(), String> {
        let rules = self.rules;
        let passes = rules.screen_rounds;
        let mut progress = Progress::new(u64::from(passes) * tasks(subjects).len() as u64, "rounds");
        'passes: for _ in 0..passes {
            let mut tasks = tasks(subjects);
            for index in self.shuffled(tasks.len()) {
                if interrupt::requested() {
                    break 'passes;
                }
                progress.begin(&tasks[index][0].name);
                self.round(tasks[index])?;
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
            return Ok(());
        }
        keep_quietest(subjects);
        // Each control is chosen alone, as it is judged alone.
        let (mut compared, controls): (Vec<&mut Subject>, Vec<&mut Subject>) =
            subjects.iter_mut().partition(|subject| subject.purpose == Purpose::Comparison);
        choose(&mut compared, &rules);
        controls.into_iter().for_each(|control| choose(&mut [control], &rules));
        Ok(())
    }

    /// The second stage: fresh rounds of what looks slower.
    fn confirm(&mut self, subjects: &mut [Subject]) -> Result<(), String> {
        let mut tasks = tasks(subjects);
        let fresh: Vec<u32> = tasks.iter().map(|task| fresh_rounds(task)).collect();
        let mut progress = Progress::new(fresh.iter().copied().map(u64::from).sum(), "rounds to confirm");
        for pass in 0..fresh.iter().copied().max().unwrap_or(0) {
            for index in self.shuffled(tasks.len()) {
                if interrupt::requested() {
                    progress.finish();
                    return Ok(());
                }
                if fresh[index] > pass {
                    progress.begin(&tasks[index][0].name);
                    self.round(tasks[index])?;
                    progress.advance(1);
                }
            }
        }
        progress.finish();
        Ok(())
    }

    /// One round: takes paired samples until one is sound, up to [`TRIES`].
    fn round(&mut self, task: &mut [Subject]) -> Result<(), String> {
        let builds = self.builds(task);
        for _ in 0..TRIES {
            if task.iter().all(Subject::is_hopeless) || interrupt::requested() {
                return Ok(());
            }
            let samples = self.paired(task, builds)?.filter(|samples| samples.iter().all(PairedSample::is_sound));
            if let Some(samples) = samples {
                for (subject, sample) in task.iter_mut().zip(&samples) {
                    subject.rounds.add(sample, builds);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Runs each side once, in random order. `None` if a run failed.
    fn paired(&mut self, task: &mut [Subject], builds: [usize; 2]) -> Result<Option<Vec<PairedSample>>, String> {
        let head_first = self.random.bool();
        let mut sides: [Option<Vec<Measured>>; 2] = [None, None];
        for side in if head_first { [1, 0] } else { [0, 1] } {
            task.iter_mut().for_each(|subject| subject.rounds.pairs += 1);
            let measured = self.source.measure(&Call { subjects: task, side, build: builds[side] });
            // An interruption is no failure of the subject.
            if interrupt::requested() {
                return Ok(None);
            }
            match measured {
                Ok(measured) => {
                    task.iter_mut().zip(&measured).for_each(|(subject, one)| subject.yields(side, one.disturbed));
                    sides[side] = Some(measured);
                }
                Err(Fault::Once { why, wrong_payload }) => {
                    task.iter_mut().for_each(|subject| subject.fails(side, &why, wrong_payload));
                }
                Err(Fault::Fatal(why)) => return Err(why),
            }
        }
        let [Some(base), Some(head)] = sides else { return Ok(None) };
        Ok(Some(base.into_iter().zip(head).map(|(base, head)| PairedSample { sides: [base, head] }).collect()))
    }

    fn builds(&mut self, task: &[Subject]) -> [usize; 2] {
        let [base, head] = self.source.builds();
        let base = self.random.usize(..base);
        match task[0].purpose {
            Purpose::Control(_) => [base, base],
            Purpose::Comparison => [base, self.random.usize(..head)],
        }
    }

    fn shuffled(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        self.random.shuffle(&mut order);
        order
    }
}
