//! The folder of a run. It is locked as long as the run or one of its children lives, and removed at the end. Folders
//! of killed runs are removed by the next run.

use super::{
    Stop,
    base::{SIDES, Sides},
    git::{Git, Paths},
};
use bench_lab::{interrupt, say};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Prefix of the names of run folders.
const PREFIX: &str = "ci-latency.";
/// The lock file in a run's folder. Its holder is the run.
const LOCK: &str = "lock";
/// The lock that is held while run folders are made or searched.
const MAKING: &str = "ci-latency.lock";
/// The lock that is held while something is measured. Two runs at once would disturb each other.
const MEASURING: &str = "ci-latency.measuring";
/// Time limit for making a folder, which takes milliseconds.
const LONGEST_MAKING: Duration = Duration::from_secs(60);
/// Time limit for another run's measurement. It may take its whole time.
const LONGEST_MEASURING: Duration = Duration::from_secs(12 * 3600);
/// Interval between two attempts to take a lock.
const LOOK: Duration = Duration::from_millis(20);

/// The folder of a run.
pub(super) struct Work<'a> {
    git: &'a Git,
    /// The folder that has the folders of all runs.
    all: PathBuf,
    path: PathBuf,
    _lock: Flock<File>,
}

impl<'a> Work<'a> {
    /// Makes a run's folder in `all`, and removes what killed runs left there.
    pub(super) fn start(git: &'a Git, all: &Path) -> Result<Self, Stop> {
        let failed = |why: String| Stop::new(2, format!("cannot write to '{}': {why}", all.display()));
        fs::create_dir_all(all).map_err(|error| failed(error.to_string()))?;
        let _making = lock(&all.join(MAKING), LONGEST_MAKING, None)?;
        for left in fs::read_dir(all).map_err(|error| failed(error.to_string()))?.flatten() {
            let is_run = left.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            if is_run && left.path().is_dir() && try_lock(&left.path().join(LOCK)).is_ok_and(|lock| lock.is_some()) {
                discard(git, &left.path());
            }
        }
        let path =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(all).map_err(|error| failed(error.to_string()))?;
        let held = try_lock(&path.path().join(LOCK))?.ok_or_else(|| failed("its lock is held".into()))?;
        Ok(Self { git, all: all.to_owned(), path: path.keep(), _lock: held })
    }

    /// The path of a file or folder of the run.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The worktree of a side. Both paths have the same length, because they are part of a program and of its stack.
    pub(super) fn tree(&self, side: &str) -> PathBuf {
        self.join(side)
    }

    /// The git reference for fetched commits.
    pub(super) fn reference(&self) -> String {
        reference(&self.path)
    }

    /// Checks out both sides. The head gets its uncommitted changes.
    pub(super) fn check_out(&self, sides: &Sides, paths: &Paths) -> Result<(), Stop> {
        let git = self.git;
        for (side, commit) in SIDES.into_iter().zip([&sides.base, &sides.head]) {
            let tree = self.tree(side);
            let mut command =
                git.command_in(&git.top, &["-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet"]);
            command.arg("--detach").arg(&tree).arg(commit);
            git.answer(command)?.map_err(|why| Stop::new(2, format!("cannot make a worktree of {commit}: {why}")))?;
        }
        if sides.changed { self.add_changes(paths) } else { Ok(()) }
    }

    /// Adds the uncommitted changes to the head's worktree. It uses an index of its own: the user's may have half of
    /// the changes staged, and must not change.
    fn add_changes(&self, paths: &Paths) -> Result<(), Stop> {
        let git = self.git;
        let index = self.join("index");
        if let Some(own) = git.line(&["rev-parse", "--git-path", "index"])? {
            let _ = fs::copy(git.top.join(own), &index);
        }
        let with_index = |words: &[&str]| {
            let mut command = git.command_in(&git.top, words);
            command.env("GIT_INDEX_FILE", &index);
            command
        };
        let cannot = |why: String| Stop::new(2, format!("cannot read the uncommitted changes: {why}"));
        let mut add = with_index(&["-c", "advice.addEmbeddedRepo=false", "add", "--all", "--"]);
        add.args(&paths.all);
        git.answer(add)?.map_err(cannot)?;
        let tree = git.answer(with_index(&["write-tree"]))?.map_err(cannot)?;
        let read = git.command_in(&self.tree(SIDES[1]), &["read-tree", "--reset", "-u", &tree]);
        git.answer(read)?.map_err(cannot).map(drop)
    }

    /// Waits until no other run measures.
    pub(super) fn measuring(&self) -> Result<Flock<File>, Stop> {
        lock(&self.all.join(MEASURING), LONGEST_MEASURING, Some("another run is measuring: waiting for it"))
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        discard(self.git, &self.path);
    }
}

fn reference(run: &Path) -> String {
    let name = run.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    format!("refs/ci-latency/{}", name.trim_start_matches(PREFIX))
}

/// Removes the folder of a run, and git's entries for it.
fn discard(git: &Git, run: &Path) {
    if let Err(error) = fs::remove_dir_all(run) {
        say!("note: cannot remove '{}': {error}", run.display());
        return;
    }
    for side in SIDES {
        let mut command = git.command_in(&git.top, &["worktree", "remove", "--force", "--force"]);
        command.arg(run.join(side));
        let _ = git.answer(command);
    }
    let _ = git.succeeds(&["update-ref", "-d", &reference(run)]);
}

/// Locks the file at `path` if nobody holds it. Children inherit the lock, so it lasts as long as any of them.
fn try_lock(path: &Path) -> Result<Option<Flock<File>>, Stop> {
    let failed = |why: &dyn std::fmt::Display| Stop::new(2, format!("cannot lock '{}': {why}", path.display()));
    let file = File::options().create(true).append(true).open(path).map_err(|error| failed(&error))?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| failed(&errno))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed(&errno)),
    }
}

/// Waits for the lock on the file at `path`. Prints `waiting` if the lock is not free at once.
fn lock(path: &Path, limit: Duration, waiting: Option<&str>) -> Result<Flock<File>, Stop> {
    let start = Instant::now();
    let mut waiting = waiting;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        if let Some(text) = waiting.take() {
            say!("{text}");
        }
        if interrupt::requested() {
            return Err(Stop::new(3, "interrupted while waiting: inconclusive"));
        }
        if start.elapsed() >= limit {
            return Err(Stop::new(2, format!("'{}' is locked by another run for {limit:?}", path.display())));
        }
        sleep(LOOK);
    }
}
