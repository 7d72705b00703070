//! Two commands as a source of figures. Each run of a command prints its figures.
//!
//! The controls compare the base command with itself. In one control the figures are taken as they are, and must be found
//! unchanged. In the other the second side's figures are made worse by a known part, which must be found.

use super::{
    adapters::{self, Format, Printed},
    call::{self, Failure, Invocation, MOST_OUTPUT},
    engine::{self, Setup},
    judge::Rules,
    report::{Expectation, Metric, Report, Side, Unit},
    rounds::Measured,
    source::{Call, Fault, Source},
    subject::{FAILURES, FLAWS, Purpose, Subject},
    verdict::lacking_report,
};
use ipc_core::process::Exit;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The commands to compare, and how.
pub struct Comparison {
    /// The commands of base and head, for `sh -c`.
    pub commands: [String; 2],
    /// The folders that the commands start in.
    pub folders: [Option<PathBuf>; 2],
    /// The format in which the commands print their figures.
    pub format: Format,
    /// The unit of every figure, if the command does not print it.
    pub unit: Option<String>,
    /// Whether more is better, whatever the unit is.
    pub higher_is_better: bool,
    /// The name of a single figure.
    pub name: Option<String>,
    /// Only figures whose name contains this text are compared.
    pub filter: Option<String>,
    /// Rounds of the first stage, and the minimum of the second.
    pub rounds: u32,
    /// The smallest relative change that counts: 0.02 is 2 %.
    pub threshold: f64,
    /// The deadline of a run.
    pub timeout: Duration,
    /// The seed of every random choice.
    pub seed: u64,
}

/// The variable that names the run's folder. The folder is empty when the command starts, and is removed after it has been
/// read.
pub const FOLDER: &str = "GATE_OUT";
/// The variable that makes criterion write to the run's folder.
const CRITERION_HOME: &str = "CRITERION_HOME";
/// The name of a figure that the command does not name.
const NAMELESS: &str = "command";
/// The second stage takes at most this many times the rounds of the first.
const MOST_FRESH: u32 = 4;
/// The change to find, as a multiple of the threshold. The ratio is the same in the default of [`Rules`].
const SOUGHT: f64 = 2.5;
/// The change that a control must find, as a multiple of the threshold. It is at least [`LEAST_RESOLVED`].
const RESOLVED: f64 = 5.0;
/// The smallest change that a control must find: 10 %, as with builds.
const LEAST_RESOLVED: f64 = 0.10;
/// The names of the sides.
const SIDES: [&str; 2] = ["base", "head"];

/// Compares two commands.
///
/// # Errors The reason why a command cannot be judged: it fails often, or it prints no number, more than one, or another unit.
/// The text ends with the command's last line.
pub fn compare(what: &Comparison) -> Result<Report, String> {
    let commands = Commands { what, ran: RefCell::default() };
    let [base, head] = [commands.first(0)?, commands.first(1)?];
    let (shared, lacking) = shared(base, head)?;
    let kept = |figure: &Named| what.filter.as_ref().is_none_or(|filter| figure.name.contains(filter.as_str()));
    let (shared, lacking): (Vec<Named>, Vec<_>) =
        (shared.into_iter().filter(kept).collect(), lacking.into_iter().filter(|(one, _)| kept(one)).collect());
    if shared.is_empty() {
        return Err(nothing_shared(what, &lacking));
    }
    let resolved = what.resolved();
    let purposes = [Expectation::Silent, Expectation::Found].map(Purpose::Control);
    let subject = |purpose, task| {
        move |Named { name, unit }: &Named| Subject {
            unit: Some(unit.clone()),
            ..Subject::new(name.clone(), &[Metric::Value], purpose, task)
        }
    };
    let compared = shared.iter().map(subject(Purpose::Comparison, 0));
    let controls = purposes.iter().flat_map(|&purpose| shared.iter().map(subject(purpose, 1)));
    let setup = Setup {
        subjects: compared.chain(controls).collect(),
        lacking: lacking
            .into_iter()
            .map(|(Named { name, unit }, who)| {
                lacking_report(name, Metric::Value, Some(unit), format!("the {who} command prints no such figure"))
            })
            .collect(),
        sides: what.commands.clone().map(|command| Side { command: Some(command), builds: 1, ..Side::default() }),
        rules: rules(what.rounds, what.threshold, resolved),
        plan: "commands".into(),
        resolved_percent: (resolved * 1e3).round() / 10.0,
        notes: Vec::new(),
        seed: what.seed,
    };
    engine::compare(&commands, setup)
}

impl Comparison {
    /// The relative change that a control must find. A figure must exclude it to be judged.
    fn resolved(&self) -> f64 {
        LEAST_RESOLVED.max(RESOLVED * self.threshold)
    }
}

fn rules(rounds: u32, threshold: f64, resolved: f64) -> Rules {
    Rules {
        screen_rounds: rounds,
        confirm_min: rounds,
        confirm_max: MOST_FRESH * rounds,
        effect: SOUGHT * threshold,
        margin: threshold,
        floor_ns: 0.0,
        resolved,
        ..Rules::default()
    }
}

/// A figure's name and unit.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    name: String,
    unit: Unit,
}

/// A figure that one command prints alone, and the name of the command that does not print it.
type Alone = (Named, &'static str);

/// The figures that both commands print, in the order of the base, and those that only one prints.
fn shared(base: Vec<Named>, head: Vec<Named>) -> Result<(Vec<Named>, Vec<Alone>), String> {
    let (mut shared, mut lacking) = (Vec::new(), Vec::new());
    for figure in base {
        match head.iter().find(|other| other.name == figure.name) {
            Some(other) if !other.unit.is(&figure.unit.name) => {
                let (name, [base, head]) = (&figure.name, [&figure.unit.name, &other.unit.name]);
                return Err(format!("the base command prints '{name}' in {base}, the head command in {head}"));
            }
            Some(_) => shared.push(figure),
            None => lacking.push((figure, SIDES[1])),
        }
    }
    lacking.extend(
        head.into_iter().filter(|one| shared.iter().all(|other| other.name != one.name)).map(|one| (one, SIDES[0])),
    );
    Ok((shared, lacking))
}

fn nothing_shared(what: &Comparison, lacking: &[Alone]) -> String {
    let names: BTreeSet<&str> = lacking.iter().map(|(figure, _)| figure.name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join("', '");
    match &what.filter {
        Some(filter) if names.is_empty() => format!("no figure that the commands print matches '{filter}'"),
        _ => format!(
            "the commands print no figure of one name: '{names}' are of one side. Name a single figure with --name"
        ),
    }
}

/// How often a command ran, and how often it failed.
#[derive(Default)]
struct Ran {
    runs: u32,
    failed: u32,
    in_a_row: u32,
}

struct Commands<'a> {
    what: &'a Comparison,
    ran: RefCell<[Ran; 2]>,
}

/// The output of a run.
#[derive(Default)]
struct Said {
    printed: String,
    complained: String,
}

impl Said {
    /// A sentence with the last line of the standard output. If the run `failed`, the error output comes first.
    fn last_line(&self, failed: bool) -> String {
        let last = |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
        let texts = if failed { [&self.complained, &self.printed] } else { [&self.printed, &self.complained] };
        match texts.into_iter().find_map(|text| last(text)) {
            Some(line) => format!("its last line is {line:?}"),
            None => "it printed nothing".to_owned(),
        }
    }
}

impl Commands<'_> {
    /// The figures of the first successful run of `side`.
    fn first(&self, side: usize) -> Result<Vec<Named>, String> {
        loop {
            match self.run(side) {
                Ok(figures) => return Ok(figures.into_iter().map(|(figure, _)| figure).collect()),
                Err(Fault::Fatal(why)) => return Err(why),
                Err(Fault::Once { why, .. }) if bench_lab::interrupt::requested() => return Err(why),
                Err(Fault::Once { .. }) => {}
            }
        }
    }

    /// Runs a side once and reads its figures.
    fn run(&self, side: usize) -> Result<Vec<(Named, f64)>, Fault> {
        let who = SIDES[side];
        let folder = tempfile::tempdir().map_err(|error| Fault::Fatal(format!("a folder for a run: {error}")))?;
        let said = match self.call(side, folder.path())? {
            Ok(said) => said,
            Err((how, said)) => return Err(self.failed(side, &how, &said)),
        };
        let figures = adapters::read(self.what.format, &said.printed, folder.path());
        let figures = figures.and_then(|figures| self.settled(figures));
        let figures =
            figures.map_err(|why| Fault::Fatal(format!("the {who} command {why}: {}", said.last_line(false))))?;
        let ran = &mut self.ran.borrow_mut()[side];
        (ran.runs, ran.in_a_row) = (ran.runs + 1, 0);
        Ok(figures)
    }

    /// Counts a failed run. Frequent failures end the comparison.
    fn failed(&self, side: usize, how: &str, said: &Said) -> Fault {
        let ran = &mut self.ran.borrow_mut()[side];
        *ran = Ran { runs: ran.runs + 1, failed: ran.failed + 1, in_a_row: ran.in_a_row + 1 };
        let why = format!("{how}: {}", said.last_line(true));
        if ran.in_a_row >= FAILURES || ran.failed >= FLAWS {
            return Fault::Fatal(format!(
                "the {} command fails, {} of {} runs; the last ended with {why}",
                SIDES[side], ran.failed, ran.runs
            ));
        }
        Fault::Once { why, wrong_payload: false }
    }

    /// The output of a run of `side`, or how it failed.
    fn call(&self, side: usize, folder: &Path) -> Result<Result<Said, (String, Said)>, Fault> {
        let string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Fault::Fatal("a command holds a NUL".into()));
        let variable = |name: &str| [name.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
        let own = std::env::vars_os().filter(|(name, _)| name != FOLDER && name != CRITERION_HOME);
        let own = own.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        let environment = own.chain([FOLDER, CRITERION_HOME].map(variable));
        let what = Invocation {
            program: c"/bin/sh".into(),
            words: vec![c"sh".into(), c"-c".into(), string(self.what.commands[side].as_bytes())?],
            environment: environment.map(|pair| string(&pair)).collect::<Result<_, _>>()?,
            folder: self.what.folders[side].clone(),
            limit: self.what.timeout,
            leads: true,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = match call::call(&what) {
            Ok(called) => called,
            Err(Failure::System(error)) => return Err(Fault::Fatal(format!("sh cannot be run: {error}"))),
            Err(Failure::Hung) => {
                let how = format!("no end within {:?} (--timeout)", self.what.timeout);
                return Ok(Err((how, Said::default())));
            }
            Err(Failure::Wordy) => {
                return Ok(Err((format!("more than {MOST_OUTPUT} bytes of output"), Said::default())));
            }
            Err(Failure::Interrupted) => {
                return Err(Fault::Once { why: "interrupted".into(), wrong_payload: false });
            }
        };
        let said = Said { printed: text(&ended.printed), complained: text(&ended.complained) };
        Ok(match ended.exit {
            Exit::Code(0) => Ok(said),
            Exit::Code(code) => Err((format!("exit code {code}"), said)),
            Exit::Signal(signal) => Err((signal.to_string(), said)),
        })
    }

    /// Gives every printed figure its name and unit.
    fn settled(&self, printed: Vec<Printed>) -> Result<Vec<(Named, f64)>, String> {
        let Comparison { name, .. } = self.what;
        if let (Some(name), [_, _, ..]) = (name, printed.as_slice()) {
            return Err(format!("prints {} figures, and --name '{name}' names one", printed.len()));
        }
        let mut settled: Vec<(Named, f64)> = Vec::new();
        for one in printed {
            let unit = self.unit(one.unit.as_deref())?;
            let name = name.clone().or(one.name).unwrap_or_else(|| NAMELESS.to_owned());
            if settled.iter().any(|(other, _)| other.name == name) {
                return Err(format!("prints two numbers for '{name}'"));
            }
            settled.push((Named { name, unit }, one.value));
        }
        Ok(settled)
    }

    fn unit(&self, printed: Option<&str>) -> Result<Unit, String> {
        let Comparison { unit: wanted, higher_is_better, .. } = self.what;
        let name = match (wanted.as_deref(), printed) {
            (Some(wanted), Some(printed)) if !Unit::named(wanted).is(printed) => {
                return Err(format!("prints the unit '{printed}' where --unit says '{wanted}'"));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err("prints no unit: say which it is, such as with --unit ns".into()),
        };
        let unit = Unit::named(name);
        Ok(Unit { higher_is_better: unit.higher_is_better || *higher_is_better, ..unit })
    }
}

impl Source for Commands<'_> {
    fn builds(&self) -> [usize; 2] {
        [1, 1]
    }

    /// Every compared figure must be printed again, in the same unit.
    fn measure(&self, call: &Call<'_>) -> Result<Vec<Measured>, Fault> {
        let is_control = call.subjects.iter().any(|subject| subject.purpose != Purpose::Comparison);
        let side = if is_control { 0 } else { call.side };
        let figures = self.run(side)?;
        let of = |subject: &Subject| {
            let (name, unit) = (&subject.name, subject.unit.as_ref());
            let found = figures.iter().find(|(figure, _)| figure.name == *name && Some(&figure.unit) == unit);
            let Some((figure, value)) = found else {
                let who = SIDES[side];
                return Err(Fault::Fatal(format!("the {who} command no longer prints '{name}' in its unit")));
            };
            let worse = subject.purpose == Purpose::Control(Expectation::Found) && call.side == 1;
            let cost = figure.unit.cost(*value) * if worse { 1.0 + self.what.resolved() } else { 1.0 };
            Ok(Measured { typical: cost, ..Measured::default() })
        };
        call.subjects.iter().map(of).collect()
    }
}
