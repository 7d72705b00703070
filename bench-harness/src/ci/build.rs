//! Builds of both sides.

use super::{
    Stop, TARGET, What,
    base::{SIDES, Sides},
    child,
    git::Git,
    work::Work,
};
use bench_lab::say;
use ipc_core::process::Exit;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Time limit of a build.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// Number of lines that are shown of a failed build.
const SHOWN: usize = 25;

/// What the gate measures.
pub(super) enum Builds {
    /// Builds of this program.
    Programs {
        /// The program that judges.
        gate: PathBuf,
        base: Vec<PathBuf>,
        head: Vec<PathBuf>,
    },
    /// Worktrees in which a command prints figures.
    Commands { measure: String },
}

/// Builds both sides, the head first. A fault that stops both builds is then not blamed on the base.
pub(super) fn both(git: &Git, work: &Work<'_>, sides: &Sides, what: &What) -> Result<Builds, Stop> {
    let builder = Builder { git, work };
    match what {
        What::Commands { build, measure } => {
            if let Some(line) = build {
                builder.each(sides, |side| builder.by_command(side, line))?;
            }
            Ok(Builds::Commands { measure: measure.clone() })
        }
        What::Workspace { builds, .. } => {
            builder.each(sides, |side| builder.program(side, 0))?;
            let gate = builder.file(SIDES[1], 0);
            let [base, head] = builder.shuffled(*builds)?;
            let mut help = git.unset(Command::new(&gate));
            help.args(["gate", "--help"]);
            if child::ask(help, LONGEST)?.code != Some(0) {
                let head = git.short(&sides.head)?;
                return Err(Stop::new(2, format!("head {head} has no 'ipc-bench gate'")));
            }
            Ok(Builds::Programs { gate, base, head })
        }
    }
}

struct Builder<'a> {
    git: &'a Git,
    work: &'a Work<'a>,
}

impl Builder<'_> {
    /// Builds each side. The error says which side does not build.
    fn each(&self, sides: &Sides, build: impl Fn(&str) -> Result<bool, Stop>) -> Result<(), Stop> {
        for (side, commit, code) in [(SIDES[1], &sides.head, 2), (SIDES[0], &sides.base, 4)] {
            say!("building {side}");
            if !build(side)? {
                say!("{}", self.end_of_log());
                return Err(Stop::new(code, format!("{side} {} does not build", self.git.short(commit)?)));
            }
        }
        Ok(())
    }

    /// The programs of both sides, each in `builds` orders of its functions. One of each if the linker cannot shuffle.
    fn shuffled(&self, builds: u32) -> Result<[Vec<PathBuf>; 2], Stop> {
        for side in [SIDES[1], SIDES[0]] {
            for seed in 1..=builds {
                if !self.program(side, seed)? {
                    return Ok(self.unshuffled());
                }
            }
            // A linker may accept the option and do nothing.
            if builds > 1 && self.is_same(side)? {
                return Ok(self.unshuffled());
            }
        }
        Ok(SIDES.map(|side| (1..=builds).map(|seed| self.file(side, seed)).collect()))
    }

    fn unshuffled(&self) -> [Vec<PathBuf>; 2] {
        say!(
            "note: the linker does not shuffle sections, so there is one build of each side, and a difference may be one of layout"
        );
        SIDES.map(|side| vec![self.file(side, 0)])
    }

    fn is_same(&self, side: &str) -> Result<bool, Stop> {
        let read = |seed| fs::read(self.file(side, seed)).map_err(|error| Stop::new(2, format!("a build: {error}")));
        Ok(read(1)? == read(2)?)
    }

    /// The path of the copy of a build.
    fn file(&self, side: &str, seed: u32) -> PathBuf {
        self.work.join(&format!("{side}-{seed}"))
    }

    /// Builds this program from the source in `side`. Seed 0 is the order of functions that the compiler gives.
    ///
    /// Debug information is left out: it is not loaded, but the gate copies the programs into memory. Flags after `--`
    /// are for the last crate only. So each further build only links anew, with the functions of all crates in another
    /// order.
    fn program(&self, side: &str, seed: u32) -> Result<bool, Stop> {
        let target = self.work.tree(side).join("target");
        let mut cargo = self.git.unset(Command::new("cargo"));
        cargo.args(["rustc", "--release", "--locked", "-p", "bench-harness", "--bin", "ipc-bench", "--"]);
        if seed > 0 {
            cargo.args(["-C", &format!("link-arg=-Wl,--shuffle-sections=.text*={seed}")]);
        }
        cargo.env(TARGET, &target).env("CARGO_PROFILE_RELEASE_DEBUG", "0").env("CARGO_TERM_COLOR", "never");
        if !self.build(side, cargo)? {
            return Ok(false);
        }
        let copied = program_in(&target).map(|program| fs::copy(program, self.file(side, seed)));
        Ok(copied.is_some_and(|copied| copied.is_ok()))
    }

    /// Runs the build command `line` in the tree of `side`.
    fn by_command(&self, side: &str, line: &str) -> Result<bool, Stop> {
        let mut shell = self.git.unset(Command::new("sh"));
        // Both sides would share this target folder.
        shell.args(["-c", line]).env_remove(TARGET);
        self.build(side, shell)
    }

    fn build(&self, side: &str, mut command: Command) -> Result<bool, Stop> {
        let failed = |error| Stop::new(2, format!("the log of a build: {error}"));
        let log = File::create(self.log()).map_err(failed)?;
        command.current_dir(self.work.tree(side)).stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(child::run(command, LONGEST)? == Exit::Code(0))
    }

    fn log(&self) -> PathBuf {
        self.work.join("log")
    }

    fn end_of_log(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

/// The program below the folder `target`. If cargo's configuration names a target, cargo builds in a folder of that
/// name.
fn program_in(target: &Path) -> Option<PathBuf> {
    let inner = fs::read_dir(target).ok()?.flatten().map(|entry| entry.path());
    let folders = std::iter::once(target.to_owned()).chain(inner);
    folders.map(|folder| folder.join("release/ipc-bench")).find(|program| program.is_file())
}
