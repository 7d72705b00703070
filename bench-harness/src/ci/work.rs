//! The folder of a run: locked for as long as it or a child of it lives, removed when it ends. What killed runs left is removed by
//! the next.

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

/// The names of the folders of runs begin like this.
const PREFIX: &str = "ci-latency.";
/// In the folder of a run: who holds it is the run.
const LOCK: &str = "lock";
/// Held while the folder of a run is made, or looked for.
const MAKING: &str = "ci-latency.lock";
/// Held while something is measured: two runs would measure each other.
const MEASURING: &str = "ci-latency.measuring";
/// Making a folder takes milliseconds.
const LONGEST_MAKING: Duration = Duration::from_secs(60);
/// Another gate may take its whole time.
const LONGEST_MEASURING: Duration = Duration::from_secs(12 * 3600);
/// How often a lock is tried.
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
    /// Makes it in `all`, and removes what killed runs left there.
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

    /// A file or folder of the run.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The worktree of a side. Both have paths of one length, for they are part of a program and of its stack.
    pub(super) fn tree(&self, side: &str) -> PathBuf {
        self.join(side)
    }

    /// The reference for what is fetched.
    pub(super) fn reference(&self) -> String {
        reference(&self.path)
    }

    /// Checks out both sides, head with its uncommitted changes.
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

    /// By an index of its own: the user's may have half of the changes staged, and stays as it is.
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

/// Removes the folder of a run, and what git knows of it.
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

/// Locks the file at `path`, if nobody has it. Children inherit the lock, so that it lasts as long as any of them.
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

/// Locks it once nobody else has it; says `waiting` where that is not at once.
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
