//! Runs `ipc-bench gate` once as a process of its own, as a project's CI would run it.

use anyhow::{Context, anyhow, bail};
use bench_gate::report::{Outcome, Report};
use bench_lab::inject;
use bench_record::cell::Cell;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// Time between checks on the gate. They are rare, because the gate is measuring.
const LOOK: Duration = Duration::from_millis(200);

/// The settings that all trials of a series share.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The program whose verb `gate` is called.
    pub program: PathBuf,
    /// The gate's plan.
    pub plan: String,
    /// Builds of the base.
    pub base: Vec<PathBuf>,
    /// Builds of the head.
    pub head: Vec<PathBuf>,
}

/// Builds per side that [`Gate::dealt`] deals.
const DEALT: usize = 3;

impl Gate {
    /// This gate with other builds on each side, drawn from those of both. It is meant for builds of one source, which differ
    /// only in layout.
    ///
    /// # Errors An error if there are too few builds.
    pub fn dealt(&self, seed: u64) -> anyhow::Result<Self> {
        let mut builds: Vec<PathBuf> = self.base.iter().chain(&self.head).cloned().collect();
        if builds.len() < 2 * DEALT {
            bail!("{} builds are too few to draw {DEALT} of each side from: give at least {}", builds.len(), 2 * DEALT);
        }
        fastrand::Rng::with_seed(seed).shuffle(&mut builds);
        let head = builds.split_off(builds.len() - DEALT);
        builds.truncate(DEALT);
        Ok(Self { base: builds, head, ..self.clone() })
    }

    /// Runs the gate once. `slower` slows down a cell of the head by that many percent. `None` if `stop` asked to end the run.
    ///
    /// # Errors An error if the gate does not start, ends without a verdict, or if its exit code and its report disagree.
    pub fn run(
        &self,
        seed: u64,
        slower: Option<(Cell, u32)>,
        stop: &dyn Fn() -> bool,
    ) -> anyhow::Result<Option<Report>> {
        let out = tempfile::tempdir().context("a temporary folder")?;
        let mut command = Command::new(&self.program);
        command.arg("gate").args(["--plan", &self.plan, "--format", "json", "--seed", &seed.to_string()]);
        command.arg("--out").arg(out.path());
        self.base.iter().for_each(|path| _ = command.arg("--base").arg(path));
        self.head.iter().for_each(|path| _ = command.arg("--head").arg(path));
        command.env_remove(inject::VARIABLE);
        if let Some((cell, percent)) = slower {
            command.env(inject::VARIABLE, format!("{cell}:{percent}"));
        }
        // A group of its own keeps Ctrl-C away from the gate, so that it gets one signal only, from here.
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let status = wait(child, stop).context("waiting for the gate")?;
        if stop() {
            return Ok(None);
        }
        let outcome = verdict(status)?;
        let path = out.path().join("gate.json");
        let text = fs::read(&path).with_context(|| format!("the gate ended with {outcome} and left no gate.json"))?;
        let report: Report = serde_json::from_slice(&text).context("gate.json, as the gate wrote it")?;
        if report.outcome != outcome {
            bail!("the gate's exit code says {outcome}, its gate.json {}", report.outcome);
        }
        if report.seed != seed || report.plan != self.plan {
            bail!(
                "gate.json is of plan {} and seed {}: asked for were {} and {seed}",
                report.plan,
                report.seed,
                self.plan
            );
        }
        Ok(Some(report))
    }
}

/// Waits for the gate's end. If `stop` returns true, asks the gate to end, once.
fn wait(mut child: Child, stop: &dyn Fn() -> bool) -> anyhow::Result<ExitStatus> {
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop() && !asked {
            // The gate is not reaped yet, so its id is still valid. Not SIGINT: a program in the background of a script ignores that,
            // and so do those that it starts.
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
            asked = true;
        }
        thread::sleep(LOOK);
    }
}

fn verdict(status: ExitStatus) -> anyhow::Result<Outcome> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Outcome::Passed),
        (Some(1), _) => Ok(Outcome::Regressed),
        (Some(3), _) => Ok(Outcome::Inconclusive),
        (Some(code), _) => {
            Err(anyhow!("the gate ended with exit code {code} and no verdict (above is what it said): no trial"))
        }
        (None, signal) => Err(anyhow!("the gate died of signal {}: no trial", signal.unwrap_or_default())),
    }
}
