//! `ipc-bench gate --base-command CMD --head-command CMD`: compares any two commands that print figures.

use anyhow::{anyhow, bail};
use bench_gate::{
    adapters::Format,
    commands::{self, Comparison},
    report::Report,
};
use bench_lab::interrupt;
use std::{path::PathBuf, time::Duration};

/// Options of `gate` for commands.
#[derive(clap::Args)]
pub struct CommandArgs {
    /// A command that prints the base's figures; `sh -c` runs it once in every round
    #[arg(long, value_name = "CMD", requires = "head_command", conflicts_with_all = ["base", "head"], help_heading = "Two commands")]
    base_command: Option<String>,
    /// A command that prints the head's figures
    #[arg(long, value_name = "CMD", requires = "base_command", help_heading = "Two commands")]
    head_command: Option<String>,
    /// The folder in which the base command starts; by default the current one
    #[arg(long, value_name = "DIR", requires = "base_command", help_heading = "Two commands")]
    base_directory: Option<PathBuf>,
    /// The folder in which the head command starts
    #[arg(long, value_name = "DIR", requires = "base_command", help_heading = "Two commands")]
    head_directory: Option<PathBuf>,
    /// The unit of the figures, such as ns, ms or MB/s; another unit in the output is an error
    #[arg(long, requires = "base_command", help_heading = "Two commands")]
    unit: Option<String>,
    /// A larger figure is the better one; units such as MB/s or ops imply it
    #[arg(long, requires = "base_command", help_heading = "Two commands")]
    higher_is_better: bool,
    /// What a single figure is called in the reports
    #[arg(long, requires = "base_command", help_heading = "Two commands")]
    name: Option<String>,
    /// How a command says its figures: what it prints, or the files it leaves in the folder $GATE_OUT, which is also $CRITERION_HOME
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "auto",
        requires = "base_command",
        help_heading = "Two commands"
    )]
    command_format: Format,
    /// Rounds of a run of each command; what looks worse gets as many again, up to four times as many
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(10..=1000),
        requires = "base_command", help_heading = "Two commands")]
    rounds: u32,
    /// The least change that counts, in percent
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = percent, requires = "base_command",
        help_heading = "Two commands")]
    threshold: f64,
    /// How long one run may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400),
        requires = "base_command", help_heading = "Two commands")]
    timeout: u64,
}

impl CommandArgs {
    /// The comparison of two commands. `None` if the options name no commands.
    pub fn comparison(&self, filter: Option<&String>, seed: u64) -> Option<Comparison> {
        let Self { unit, higher_is_better, name, command_format, rounds, threshold, timeout, .. } = self;
        Some(Comparison {
            commands: [self.base_command.clone()?, self.head_command.clone()?],
            folders: [self.base_directory.clone(), self.head_directory.clone()],
            format: *command_format,
            unit: unit.clone(),
            higher_is_better: *higher_is_better,
            name: name.clone(),
            filter: filter.cloned(),
            rounds: *rounds,
            threshold: threshold / 100.0,
            timeout: Duration::from_secs(*timeout),
            seed,
        })
    }
}

/// Parses a percentage into a share for [`Comparison`].
fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.1..=100.0).contains(percent));
    percent.ok_or_else(|| format!("'{text}' is no threshold: use 0.1 to 100 percent, such as 2"))
}

/// Compares the commands. `None` if a signal came before there was anything to report.
///
/// # Errors
/// A command that cannot be judged.
pub fn compare(comparison: &Comparison) -> anyhow::Result<Option<Report>> {
    let mut commands = comparison.commands.iter().zip(["--base-command", "--head-command"]);
    if let Some((_, option)) = commands.find(|(command, _)| command.trim().is_empty()) {
        bail!("{option} is empty: use a command that prints a number");
    }
    let folders = comparison.folders.iter().zip(["--base-directory", "--head-directory"]);
    for (folder, option) in folders.filter_map(|(folder, option)| Some((folder.as_ref()?, option))) {
        if !folder.is_dir() {
            bail!("{option} '{}' is no folder", folder.display());
        }
    }
    match commands::compare(comparison) {
        Ok(report) => Ok(Some(report)),
        Err(_) if interrupt::requested() => Ok(None),
        Err(why) => Err(anyhow!(why)),
    }
}
