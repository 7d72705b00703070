//! Replacing files of a folder together or not at all.
//!
//! [`replace`] writes the new files into a draft: a hidden folder inside the folder itself, so on the same filesystem.
//! A full disk, a limit or a kill costs the draft and nothing else. One rename(2) then declares the draft complete, and
//! each of its files is renamed to its place. A process that is killed between these renames leaves a complete draft.
//! The next reader or writer of the folder finishes it ([`settle`]).
//!
//! The folder itself is never replaced: it may be a mount point or a shell's current directory. It may also hold files
//! of the user, and these stay.

use super::Error;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Prefix of a draft's name.
const DRAFT: &str = ".ipc-bench-draft-";
/// The name of a complete draft.
const COMPLETE: &str = ".ipc-bench-complete";
/// The folder of the new files, inside a draft.
const FILES: &str = "files";
/// The file that names the files to remove, one per line, inside a draft.
const OBSOLETE: &str = "obsolete";

/// The files that make up one kind of output. Those that a new output lacks are removed.
#[derive(Clone, Copy, Debug)]
pub struct Owned {
    /// The folders of these files, relative to the output's folder. The empty path is the output's folder itself.
    pub folders: &'static [&'static str],
    /// Whether the file at this path, relative to the output's folder, is one of these files.
    pub owns: fn(&Path) -> bool,
}

impl Owned {
    /// Owns no files: files are added or replaced, and none is removed.
    pub const NOTHING: Self = Self { folders: &[""], owns: |_| false };
}

/// Lets `write` write into a draft, and replaces the files in `folder` by those of the draft. Files that are `owned`
/// and not in the draft are removed. Returns the paths that `write` returns, turned into paths in the folder. After an
/// error the folder holds what it held before.
///
/// # Errors
/// The errors of `write`. [`Error::Io`] with the file in `folder`. [`Error::Busy`] if another process has been writing
/// there for too long.
pub fn replace(
    folder: &Path,
    owned: Owned,
    write: impl FnOnce(&Path) -> Result<Vec<PathBuf>, Error>,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let lock = lock(folder, FlockArg::LockExclusiveNonblock, PATIENCE)?;
    finish(folder)?;
    if lock.is_some() {
        // No living process has a draft here, since it would hold the lock.
        for inner in owned.folders {
            remove_drafts(&folder.join(inner));
        }
    }
    let draft = Draft::new(folder)?;
    let in_folder = |path: &Path| match path.strip_prefix(draft.files()) {
        Ok(name) => folder.join(name),
        Err(_) if path.starts_with(&draft.path) => folder.into(),
        Err(_) => path.into(),
    };
    let publish = || {
        let written = write(&draft.files())?;
        draft.publish(folder, owned)?;
        Ok(written.iter().map(|path| in_folder(path)).collect())
    };
    publish().map_err(|error| match error {
        Error::Io { path, source } => Error::Io { path: in_folder(&path), source },
        error => error,
    })
}

/// Makes `folder` fit to be read: finishes the renames of a killed [`replace`]. The returned lock keeps writers away.
///
/// # Errors
/// The errors of [`replace`].
pub fn settle(folder: &Path) -> Result<Option<Flock<File>>, Error> {
    if folder.join(COMPLETE).exists() {
        let _lock = lock(folder, FlockArg::LockExclusiveNonblock, PATIENCE)?;
        finish(folder)?;
    }
    match lock(folder, FlockArg::LockSharedNonblock, PATIENCE) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        lock => lock,
    }
}

/// Locks `folder` with flock(2), which leaves nothing behind. `None` if the filesystem has no such locks, as NFS has
/// none for folders.
pub fn lock(folder: &Path, how: FlockArg, patience: Duration) -> Result<Option<Flock<File>>, Error> {
    let deadline = Instant::now() + patience;
    let mut file = File::open(folder).map_err(|e| Error::io(folder, e))?;
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(Some(lock)),
            Err((again, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < deadline => file = again,
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                return Err(Error::Busy { dir: folder.into(), seconds: patience.as_secs() });
            }
            Err((_, Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS)) => return Ok(None),
            Err((_, errno)) => return Err(Error::io(folder, errno.into())),
        }
        sleep(Duration::from_millis(20));
    }
}

/// A folder with new files. It is removed unless it is published.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(format!("{DRAFT}{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::create_dir(&path).map_err(|e| Error::io(folder, e))?;
        let draft = Self { path };
        fs::create_dir(draft.files()).map_err(|e| Error::io(folder, e))?;
        Ok(draft)
    }

    fn files(&self) -> PathBuf {
        self.path.join(FILES)
    }

    /// Renames the files to their places in `folder`. Every step that may fail comes before the renames.
    fn publish(&self, folder: &Path, owned: Owned) -> Result<(), Error> {
        let new = files(&self.files(), Path::new(""))?;
        let mut obsolete = String::new();
        let folders = owned.folders.iter().map(|inner| names(folder, Path::new(inner)));
        for name in folders.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            let is_file = fs::symlink_metadata(folder.join(&name)).is_ok_and(|file| !file.is_dir());
            if let (Some(line), true) = (name.to_str(), is_file && (owned.owns)(&name) && !new.contains(&name)) {
                obsolete.extend([line, "\n"]);
            }
        }
        super::write_durably(&self.path.join(OBSOLETE), obsolete.as_bytes())?;
        let parents: BTreeSet<&Path> = new.iter().filter_map(|name| name.parent()).collect();
        for parent in parents {
            self.try_rename_into(&folder.join(parent))?;
        }
        for name in &new {
            let place = folder.join(name);
            if fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
                return Err(Error::io(&place, Errno::EISDIR.into()));
            }
        }
        let complete = folder.join(COMPLETE);
        if fs::rename(&self.path, &complete).is_err() {
            // Without locks, a complete draft of another writer may be there.
            finish(folder)?;
            fs::rename(&self.path, &complete).map_err(|e| Error::io(folder, e))?;
        }
        finish(folder)
    }

    /// Tries to rename a file of the draft into `folder`. Creates `folder` if it is missing.
    fn try_rename_into(&self, folder: &Path) -> Result<(), Error> {
        let (trial, there) = (self.path.join("trial"), folder.join(self.path.file_name().unwrap_or_default()));
        let tried = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&trial, ""))
            // The trial file has the draft's name, and the draft lies beside it in the folder itself.
            .and_then(|()| fs::rename(&trial, there.with_extension("trial")))
            .and_then(|()| fs::remove_file(there.with_extension("trial")));
        tried.map_err(|e| Error::io(folder, e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Puts the files of a complete draft in their places, if there is such a draft.
fn finish(folder: &Path) -> Result<(), Error> {
    let complete = folder.join(COMPLETE);
    let obsolete = match fs::read_to_string(complete.join(OBSOLETE)) {
        Ok(names) => names,
        // This file goes last. So there is no such draft, or all of it is in its place.
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let _ = fs::remove_dir_all(&complete);
            return Ok(());
        }
        Err(e) => return Err(Error::io(&complete, e)),
    };
    let gone = |result: std::io::Result<()>, path: &Path| match result {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    };
    for name in obsolete.lines() {
        let path = folder.join(name);
        gone(fs::remove_file(&path), &path)?;
    }
    let new = complete.join(FILES);
    for name in files(&new, Path::new(""))? {
        let place = folder.join(&name);
        gone(fs::rename(new.join(&name), &place), &place)?;
    }
    gone(fs::remove_dir_all(&new), &new)?;
    gone(fs::remove_file(complete.join(OBSOLETE)), &complete)?;
    let _ = fs::remove_dir_all(&complete);
    // Syncing the folder puts the files' names on the disk.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Removes drafts of killed processes.
fn remove_drafts(folder: &Path) {
    let is_draft = |name: &PathBuf| name.to_str().is_some_and(|name| name.starts_with(DRAFT));
    for name in names(folder, Path::new("")).into_iter().flatten().filter(is_draft) {
        let path = folder.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
}

/// The names in the folder `inner` of `folder`, as paths relative to `folder`. Empty if there is no such folder.
fn names(folder: &Path, inner: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = folder.join(inner);
    let entries = match fs::read_dir(&path) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>),
    };
    let mut names: Vec<PathBuf> =
        entries.map_err(|e| Error::io(&path, e))?.iter().map(|entry| inner.join(entry.file_name())).collect();
    names.sort();
    Ok(names)
}

/// All files below the folder `inner` of `folder`, as paths relative to `folder`.
fn files(folder: &Path, inner: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let mut found = BTreeSet::new();
    for name in names(folder, inner)? {
        let path = folder.join(&name);
        if fs::symlink_metadata(&path).map_err(|e| Error::io(&path, e))?.is_dir() {
            found.extend(files(folder, &name)?);
        } else {
            found.insert(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Owned = Owned { folders: &["", "charts"], owns: |name| name.extension().is_some_and(|e| e == "csv") };

    /// Writes `files`, each with the content `text`.
    fn put(folder: &Path, files: &[&str], text: &str) -> Result<Vec<PathBuf>, Error> {
        replace(folder, CSV, |draft| {
            let write = |name: &&str| {
                let path = draft.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, text).unwrap();
                path
            };
            Ok(files.iter().map(write).collect())
        })
    }

    /// All files with their content.
    fn state(folder: &Path) -> Vec<(String, String)> {
        let all = files(folder, Path::new("")).unwrap();
        let read = |name: &PathBuf| (name.display().to_string(), fs::read_to_string(folder.join(name)).unwrap());
        all.iter().map(read).collect()
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn new_files_replace_old_ones_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/folder");
        put(&out, &["a.csv", "b.csv", "charts/c.csv"], "old").unwrap();
        fs::write(out.join("mine.txt"), "mine").unwrap();
        fs::create_dir(out.join("mine")).unwrap();
        fs::write(out.join("mine/d.csv"), "mine").unwrap();
        let written = put(&out, &["a.csv", "more/e.csv"], "new").unwrap();
        assert_eq!(written, [out.join("a.csv"), out.join("more/e.csv")]);
        let expected = [("a.csv", "new"), ("mine/d.csv", "mine"), ("mine.txt", "mine"), ("more/e.csv", "new")];
        assert_eq!(state(&out), pairs(&expected));
    }

    #[test]
    fn an_error_leaves_all_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &["a.csv", "b.csv"], "old").unwrap();
        fs::create_dir(dir.path().join("c.csv")).unwrap();
        fs::write(dir.path().join("charts"), "no folder").unwrap();
        let before = state(dir.path());
        for (files, culprit) in [(["a.csv", "c.csv"], "c.csv"), (["a.csv", "charts/d.csv"], "charts")] {
            let error = put(dir.path(), &files, "new").unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if *path == dir.path().join(culprit)), "{error}");
            assert_eq!(state(dir.path()), before);
        }
        let error = replace(dir.path(), CSV, |draft| {
            fs::write(draft.join("a.csv"), "new").unwrap();
            Err(Error::io(&draft.join("b.csv"), Errno::ENOSPC.into()))
        });
        // The error names the path in the folder, not in the draft.
        assert!(matches!(error, Err(Error::Io { path, .. }) if path == dir.path().join("b.csv")));
        assert_eq!(state(dir.path()), before);
    }

    #[test]
    fn what_a_killed_writer_has_left_goes_or_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let old = |folder: &Path| {
            put(folder, &["a.csv", "b.csv", "charts/c.csv"], "old").unwrap();
        };
        // The writer was killed while it wrote its draft.
        let early = dir.path().join("early");
        old(&early);
        let before = state(&early);
        let draft = Draft::new(&early).unwrap();
        fs::write(draft.files().join("a.csv"), "half").unwrap();
        std::mem::forget(draft);
        settle(&early).unwrap();
        assert!(state(&early).len() > before.len());
        old(&early);
        assert_eq!(state(&early), before);

        // The writer was killed between two renames, after the first, a middle or the last one.
        for done in [&[][..], &["a.csv"], &["a.csv", "charts/d.csv"]] {
            let late = dir.path().join(format!("late-{}", done.len()));
            old(&late);
            let complete = late.join(COMPLETE);
            fs::create_dir_all(complete.join(FILES).join("charts")).unwrap();
            fs::write(complete.join(OBSOLETE), "b.csv\ncharts/c.csv\n").unwrap();
            for name in ["a.csv", "charts/d.csv"] {
                let at = if done.contains(&name) { late.clone() } else { complete.join(FILES) };
                fs::write(at.join(name), "new").unwrap();
            }
            settle(&late).unwrap();
            assert_eq!(state(&late), pairs(&[("a.csv", "new"), ("charts/d.csv", "new")]));
            assert!(!complete.exists());
        }
    }

    #[test]
    fn a_folder_is_locked_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let exclusive = |patience| lock(dir.path(), FlockArg::LockExclusiveNonblock, patience);
        let held = exclusive(Duration::ZERO).unwrap();
        let error = exclusive(Duration::from_millis(50)).unwrap_err();
        assert!(matches!(&error, Error::Busy { dir: busy, .. } if busy == dir.path()), "{error}");
        drop(held);
        let reading = [settle(dir.path()).unwrap(), settle(dir.path()).unwrap()];
        assert!(exclusive(Duration::ZERO).is_err(), "somebody reads");
        drop(reading);
        exclusive(Duration::ZERO).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
