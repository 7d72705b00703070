//! Queries to git.

use super::{
    Stop,
    child::{self, Said},
};
use bench_lab::say;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Time limit of a git command. Git answers at once, or fetches.
const LIMIT: Duration = Duration::from_secs(600);
/// Steps by which a shallow history is deepened, one after the other.
const DEEPEN: [&str; 2] = ["--deepen=50", "--deepen=1000"];

/// A git repository.
pub(super) struct Git {
    /// The repository's top folder.
    pub(super) top: PathBuf,
    /// Names of the variables by which git tells its hooks about the repository. They would apply to the worktrees as
    /// well.
    variables: Vec<String>,
}

impl Git {
    /// Opens the repository whose top folder is `top`.
    pub(super) fn open(top: &Path) -> Result<Self, Stop> {
        let unusable = |why: &str| Stop::new(2, format!("'{}' is no folder to be used: {why}", top.display()));
        let top = fs::canonicalize(top).map_err(|error| unusable(&error.to_string()))?;
        let mut git = Self { top, variables: Vec::new() };
        let variables = git.ask(&["rev-parse", "--local-env-vars"])?;
        let is_setting = |name: &str| name.starts_with("GIT_CONFIG");
        git.variables = variables.out.lines().filter(|name| !is_setting(name)).map(str::to_owned).collect();
        let found = git.ask(&["rev-parse", "--show-toplevel"])?;
        let here = git.top.display();
        if found.code != Some(0) {
            let why = found.err.lines().next().unwrap_or_default();
            return Err(Stop::new(2, format!("no base to find, as {here} is no git repository to be used: {why}")));
        }
        if Path::new(found.out.trim_end_matches('\n')) != git.top {
            let outer = found.out.trim_end();
            return Err(Stop::new(2, format!("{here} is no git repository of its own, but a folder of {outer}")));
        }
        let resolves =
            |words: &[&str]| git.succeeds(&[&["rev-parse", "--quiet", "--verify"], words, &["HEAD"]].concat());
        if !resolves(&["--end-of-options"])? && resolves(&[])? {
            let version = git.ask(&["--version"])?.out;
            return Err(Stop::new(2, format!("{} is too old: this needs 2.30 or newer", version.trim())));
        }
        Ok(git)
    }

    /// Removes from `command` the variables that git sets for its hooks.
    pub(super) fn unset(&self, mut command: Command) -> Command {
        self.variables.iter().for_each(|name| _ = command.env_remove(name));
        command
    }

    /// A git command in `folder`.
    pub(super) fn command_in(&self, folder: &Path, words: &[&str]) -> Command {
        let mut command = self.unset(Command::new("git"));
        command.current_dir(folder).args(words);
        command
    }

    fn ask(&self, words: &[&str]) -> Result<Said, Stop> {
        child::ask(self.command_in(&self.top, words), LIMIT)
    }

    /// The output of `command`, or its complaint if it fails.
    pub(super) fn answer(&self, command: Command) -> Result<Result<String, String>, Stop> {
        let said = child::ask(command, LIMIT)?;
        Ok(if said.code == Some(0) { Ok(said.out.trim().to_owned()) } else { Err(last_lines(&said.err)) })
    }

    /// The output of git. `None` if it fails.
    pub(super) fn line(&self, words: &[&str]) -> Result<Option<String>, Stop> {
        let said = self.ask(words)?;
        Ok((said.code == Some(0)).then(|| said.out.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// Whether git succeeds.
    pub(super) fn succeeds(&self, words: &[&str]) -> Result<bool, Stop> {
        Ok(self.ask(words)?.code == Some(0))
    }

    /// The commit that `name` stands for. `None` if it is not here.
    pub(super) fn commit(&self, name: &str) -> Result<Option<String>, Stop> {
        self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])
    }

    /// The short name of a commit.
    pub(super) fn short(&self, commit: &str) -> Result<String, Stop> {
        Ok(self.line(&["rev-parse", "--short", commit])?.unwrap_or_else(|| commit.to_owned()))
    }

    pub(super) fn is_shallow(&self) -> Result<bool, Stop> {
        Ok(self.line(&["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true"))
    }

    /// `, which is shallow`, or an empty text.
    pub(super) fn cut_off(&self) -> Result<&'static str, Stop> {
        Ok(if self.is_shallow()? { ", which is shallow" } else { "" })
    }

    /// The parents of `commit`, as the commit itself names them. A shallow clone knows no others.
    pub(super) fn parents(&self, commit: &str) -> Result<Vec<String>, Stop> {
        let text = self.ask(&["cat-file", "commit", commit])?.out;
        let header = text.lines().take_while(|line| !line.is_empty());
        Ok(header.filter_map(|line| line.strip_prefix("parent ")).map(str::to_owned).collect())
    }

    /// The remote to fetch from: `origin`, or the first remote.
    fn remote(&self) -> Result<Option<String>, Stop> {
        let all = self.ask(&["remote"])?.out;
        let mut all = all.lines();
        Ok(all.clone().find(|name| *name == "origin").or_else(|| all.next()).map(str::to_owned))
    }

    /// Fetches `name`, an object or a branch, from the remote into `reference`. Returns its commit. A full clone stays
    /// full.
    pub(super) fn fetch(&self, reference: &str, name: &str) -> Result<Result<String, Missing>, Stop> {
        let Some(remote) = self.remote()? else { return Ok(Err(Missing::NoRemote)) };
        let branch = name.strip_prefix(&format!("{remote}/")).unwrap_or(name);
        let mut words = Vec::new();
        if self.is_shallow()? {
            // `--depth` would cut off commits that are here already.
            let listed = self.line(&["ls-remote", &remote, &format!("refs/heads/{branch}")])?;
            let tip = listed.as_deref().and_then(|line| line.split_whitespace().next());
            if let Some(tip) = tip.map(|tip| self.commit(tip)).transpose()?.flatten() {
                return Ok(Ok(tip));
            }
            words.push("--depth=1");
        }
        say!("fetching {name} from {remote}");
        let refspec = format!("+{branch}:{reference}");
        words.extend([remote.as_str(), &refspec]);
        if let Err(why) = self.get(&words)? {
            return Ok(Err(Missing::Fetch(why)));
        }
        Ok(self.commit(reference)?.ok_or_else(|| Missing::Fetch(format!("{name} is no commit"))))
    }

    /// Deepens the history until `look` finds what it looks for.
    pub(super) fn deepen(
        &self,
        head: &str,
        look: &dyn Fn() -> Result<Option<String>, Stop>,
    ) -> Result<Result<String, Missing>, Stop> {
        let Some(remote) = self.remote()? else { return Ok(Err(Missing::NoRemote)) };
        say!("fetching more of the history from {remote}");
        for more in DEEPEN {
            // A local commit need not be on a branch of the remote. The merge commit of a pull request is not.
            let _ = self.get(&[more, &remote, head])?;
            if let Err(why) = self.get(&[more, &remote])? {
                return Ok(Err(Missing::Fetch(why)));
            }
            if let Some(found) = look()? {
                return Ok(Ok(found));
            }
        }
        Ok(Err(Missing::NotThere))
    }

    fn get(&self, words: &[&str]) -> Result<Result<(), String>, Stop> {
        let said = self.ask(&[&["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"], words].concat())?;
        Ok(if said.code == Some(0) { Ok(()) } else { Err(last_lines(&said.err)) })
    }

    /// The paths whose changes count. The folders that a run writes to are left out, and `figures`, which holds no
    /// source.
    pub(super) fn paths(&self, written: &[&Path], figures: Option<&str>) -> Result<Paths, Stop> {
        let mut all = vec![".".to_owned()];
        for folder in written {
            let Some(inside) = folder.strip_prefix(&self.top).ok().and_then(Path::to_str) else { continue };
            // An ignored path is no change anyway, and `git add` refuses its name.
            if !inside.is_empty() && !self.succeeds(&["check-ignore", "--quiet", "--", inside])? {
                all.push(format!(":(exclude,literal){inside}"));
            }
        }
        Ok(Paths { all, figures: figures.map(|folder| format!(":(exclude){folder}")) })
    }

    /// Whether there are uncommitted changes.
    pub(super) fn is_changed(&self, paths: &Paths) -> Result<bool, Stop> {
        let words = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=normal", "--"];
        let paths: Vec<&str> = paths.all.iter().chain(&paths.figures).map(String::as_str).collect();
        let said = self.ask(&[&words, paths.as_slice()].concat())?;
        if said.code != Some(0) {
            return Err(Stop::new(2, format!("git status failed: {}", last_lines(&said.err))));
        }
        Ok(!said.out.is_empty())
    }
}

/// Path specifications.
pub(super) struct Paths {
    /// The paths that belong to the head.
    pub(super) all: Vec<String>,
    /// A path that makes no change by itself.
    figures: Option<String>,
}

/// The reason why a commit is missing.
pub(super) enum Missing {
    NoRemote,
    Fetch(String),
    NotThere,
}

impl Missing {
    /// The end of a sentence about a missing commit: the reason.
    pub(super) fn why(&self) -> String {
        match self {
            Self::NoRemote => "; there is no remote to fetch it from".to_owned(),
            Self::Fetch(why) => format!("; fetching failed: {why}"),
            Self::NotThere => String::new(),
        }
    }
}

/// The last two lines of an error text.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].join(" ")
}
