//! The journal and `sweep`: what dead owners left goes, what living ones have stays. Each test has a temporary folder of
//! its own, and so a journal of its own.

#![allow(unsafe_code)]

use ipc_core::{
    Error, Name,
    conformance::{Suite, Verdict, run},
    objects::{self, Fate, Leftover, Object, Owned},
    process::fork,
    sysv,
};
use nix::{
    mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink},
    sys::{
        signal::{Signal, raise},
        stat::Mode,
    },
};
use std::{
    env, fs,
    io::{Read, Write, pipe},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

fn main() {
    run([Suite::new("objects")
        .within(Duration::from_secs(10))
        .test("what_a_dead_owner_left_is_swept", || in_own_folder(what_a_dead_owner_left_is_swept))
        .test("what_a_living_owner_has_stays", || in_own_folder(what_a_living_owner_has_stays))
        .test("what_is_gone_is_struck_out", || in_own_folder(what_is_gone_is_struck_out))
        .test("a_guard_acts_only_in_its_own_process", || in_own_folder(a_guard_acts_only_in_its_own_process))
        .test("a_corrupted_entry_is_reported", || in_own_folder(a_corrupted_entry_is_reported))
        .test("other_files_are_not_touched", || in_own_folder(other_files_are_not_touched))
        .test("a_planted_folder_is_refused", || in_own_folder(a_planted_folder_is_refused))]);
}

/// Runs `test` with a fresh `TMPDIR`.
fn in_own_folder(test: fn(&Path) -> Verdict) -> Verdict {
    let folder = env::temp_dir().join(format!("ipc-core-objects-{}", Name::unique()));
    fs::create_dir(&folder).map_err(text)?;
    // SAFETY: this process was forked for this one test and has one thread, so nobody reads the environment meanwhile.
    unsafe { env::set_var("TMPDIR", &folder) };
    let verdict = test(&folder);
    let _ = fs::remove_dir_all(&folder);
    verdict
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ensure(holds: bool, what: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// One object of each kind, none of which exists.
fn one_of_each() -> Result<Vec<Object>, String> {
    let name = format!("/{}", Name::unique());
    Ok(vec![
        Object::Path(objects::path(&Name::unique(), "test").map_err(text)?),
        Object::PosixShm(name.clone()),
        Object::PosixMq(name),
        Object::SysvQueue(sysv::fresh_key()),
        Object::SysvSegment(sysv::fresh_key()),
    ])
}

fn create(object: &Object) -> Verdict {
    match object {
        Object::Path(path) => fs::write(path, "").map_err(text),
        Object::PosixShm(name) => fs::write(shm(name), "").map_err(text),
        Object::PosixMq(name) => {
            let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
            // Without attributes nix passes no mode either.
            let attributes = MqAttr::new(0, 1, 8, 0);
            let queue = mq_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attributes));
            queue.and_then(mq_close).map_err(text)
        }
        Object::SysvQueue(key) => sysv::create_queue(*key).map(drop).map_err(text),
        Object::SysvSegment(key) => sysv::create_segment(*key, 1).map(drop).map_err(text),
    }
}

/// Looks for the object by means of its own, not by those under test.
fn exists(object: &Object) -> bool {
    match object {
        Object::Path(path) => path.exists(),
        Object::PosixShm(name) => shm(name).exists(),
        Object::PosixMq(name) => {
            mq_open(name.as_str(), MQ_OFlag::O_RDONLY, Mode::empty(), None).and_then(mq_close).is_ok()
        }
        Object::SysvQueue(key) => in_table("msg", *key),
        Object::SysvSegment(key) => in_table("shm", *key),
    }
}

fn shm(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(&name[1..])
}

fn in_table(kind: &str, key: sysv::Key) -> bool {
    let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    table.lines().any(|row| row.split_ascii_whitespace().next() == Some(&key.to_string()))
}

/// Removes what a failed test would leave: these objects and no others.
struct Tidy(Vec<Object>);

impl Drop for Tidy {
    fn drop(&mut self) {
        for object in &self.0 {
            let _ = match object {
                Object::Path(path) => fs::remove_file(path).map_err(text),
                Object::PosixShm(name) => fs::remove_file(shm(name)).map_err(text),
                Object::PosixMq(name) => mq_unlink(name.as_str()).map_err(text),
                Object::SysvQueue(key) => sysv::find_queue(*key).and_then(sysv::remove_queue).map(drop).map_err(text),
                Object::SysvSegment(key) => {
                    sysv::find_segment(*key).and_then(sysv::remove_segment).map(drop).map_err(text)
                }
            };
        }
    }
}

/// A child journals and, if `make`, creates `objects`, and is killed. Returns its process id.
fn killed_owner_of(objects: &[Object], make: bool) -> Result<u32, String> {
    let mut owner = fork(|| {
        let keep: Result<Vec<_>, _> = objects.iter().cloned().map(Owned::journal).collect();
        if keep.is_ok() && (!make || objects.iter().try_for_each(create).is_ok()) {
            let _ = raise(Signal::SIGKILL);
        }
        1
    })
    .map_err(text)?;
    let exit = owner.wait(Duration::MAX).map_err(text)?;
    ensure(exit == Some(ipc_core::process::Exit::Signal(Signal::SIGKILL)), format!("the owner ended with {exit:?}"))?;
    Ok(owner.pid().as_raw().cast_unsigned())
}

/// What `sweep` says must be `objects` of `pid`, all with the same `fate`.
fn sweeps(dry_run: bool, pid: u32, objects: &[Object], fate: &Fate) -> Verdict {
    let found = objects::sweep(dry_run).map_err(text)?;
    let all = objects.iter().map(|object| Leftover { pid, object: Some(object.clone()), fate: fate.clone() });
    ensure(
        found.len() == objects.len() && all.into_iter().all(|leftover| found.contains(&leftover)),
        format!("sweep(dry_run: {dry_run}) says {found:?} of {objects:?}"),
    )
}

/// What is left in the private folder, which goes when it is empty.
fn entries(folder: &Path) -> usize {
    let private = folder.join(format!("ipc-bench-{}", nix::unistd::geteuid()));
    fs::read_dir(private).map_or(0, Iterator::count)
}

fn what_a_dead_owner_left_is_swept(folder: &Path) -> Verdict {
    let left = Tidy(one_of_each()?);
    // The same kinds, in nobody's journal.
    let foreign = Tidy(one_of_each()?);
    foreign.0.iter().try_for_each(create)?;
    let pid = killed_owner_of(&left.0, true)?;
    sweeps(true, pid, &left.0, &Fate::Found)?;
    ensure(left.0.iter().all(exists), "the dry run has removed something")?;
    sweeps(false, pid, &left.0, &Fate::Removed)?;
    for object in &left.0 {
        ensure(!exists(object), format!("{object} is still there"))?;
    }
    for object in &foreign.0 {
        ensure(exists(object), format!("{object} was in no journal and is gone"))?;
    }
    sweeps(false, pid, &[], &Fate::Removed)?;
    ensure(entries(folder) == 1, "more than the one foreign file is left in the folder")
}

fn what_a_living_owner_has_stays(folder: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    let (mut ready, mut tell) = pipe().map_err(text)?;
    let (mut end, until) = pipe().map_err(text)?;
    let mut owner = fork(|| {
        // `until` was inherited, too; the parent says when.
        let keep: Result<Vec<_>, _> = objects.0.iter().cloned().map(Owned::journal).collect();
        let made = objects.0.iter().try_for_each(create);
        let _ = tell.write_all(&[u8::from(keep.is_ok() && made.is_ok())]);
        let _ = end.read(&mut [0]);
        drop(keep);
        0
    })
    .map_err(text)?;
    let mut made = [0];
    ready.read_exact(&mut made).map_err(text)?;
    ensure(made == [1], "the owner could not make its objects")?;
    for dry_run in [true, false] {
        sweeps(dry_run, 0, &[], &Fate::Found)?;
    }
    ensure(objects.0.iter().all(exists), "something of a living owner is gone")?;
    (&until).write_all(&[0]).map_err(text)?;
    owner.wait(Duration::MAX).map_err(text)?;
    ensure(!objects.0.iter().any(exists), "the guards have left something")?;
    ensure(entries(folder) == 0, "the journal is not empty")
}

fn what_is_gone_is_struck_out(folder: &Path) -> Verdict {
    let objects = one_of_each()?;
    let pid = killed_owner_of(&objects, false)?;
    sweeps(true, pid, &objects, &Fate::Gone)?;
    sweeps(false, pid, &objects, &Fate::Gone)?;
    sweeps(false, pid, &[], &Fate::Gone)?;
    ensure(entries(folder) == 0, "the journal is not empty")
}

fn a_guard_acts_only_in_its_own_process(folder: &Path) -> Verdict {
    let path = objects::path(&Name::unique(), "test").map_err(text)?;
    let object = Object::Path(path);
    let guard = Owned::journal(object.clone()).map_err(text)?;
    create(&object)?;
    let mut guard = Some(guard);
    let mut child = fork(|| {
        drop(guard.take());
        0
    })
    .map_err(text)?;
    child.wait(Duration::MAX).map_err(text)?;
    ensure(exists(&object), "the copy in the child has removed the object")?;
    drop(guard);
    ensure(!exists(&object), "the owner has not removed its object")?;
    ensure(entries(folder) == 0, "the journal is not empty")
}

fn a_corrupted_entry_is_reported(_: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    let pid = killed_owner_of(&objects.0, true)?;
    let private = objects::directory().map_err(text)?;
    let torn = ["path /etc/passwd\n", "rubbish\n", "posix-shm /a", ""];
    // Named as the entries of the dead owner are.
    let is_entry = |name: &String| name.starts_with(&format!("{pid}-"));
    let like = names(&private).into_iter().find(is_entry).ok_or("the owner has no entry")?;
    let (owner, _) = like.rsplit_once('-').ok_or("an entry without a number")?;
    for (i, content) in torn.iter().enumerate() {
        fs::write(private.join(format!("{owner}-{i:016x}")), content).map_err(text)?;
    }
    let bytes = [0xff, 0xfe, b'\n'];
    fs::write(private.join(format!("{owner}-{:016x}", torn.len())), bytes).map_err(text)?;
    let found = objects::sweep(false).map_err(text)?;
    let removed = found.iter().filter(|leftover| leftover.fate == Fate::Removed).count();
    let failed = found.iter().filter(|leftover| matches!(leftover.fate, Fate::Failed(_))).count();
    ensure(removed == objects.0.len(), format!("{removed} objects were removed: {found:?}"))?;
    ensure(failed >= 3, format!("{failed} entries were reported: {found:?}"))?;
    ensure(Path::new("/etc/passwd").exists(), "a file outside the folder was removed")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn other_files_are_not_touched(_: &Path) -> Verdict {
    let private = objects::directory().map_err(text)?;
    let others = ["1-2-3", "notes.txt", "4000000-1-1_1-xyz", "4000000-1-1_1-ff"];
    for other in others {
        fs::write(private.join(other), "posix-shm /nothing\n").map_err(text)?;
    }
    // The last one is an entry, but of other namespaces.
    sweeps(false, 0, &[], &Fate::Removed)?;
    for other in others {
        ensure(private.join(other).exists(), format!("{other} is gone"))?;
    }
    Ok(())
}

fn a_planted_folder_is_refused(folder: &Path) -> Verdict {
    let private = folder.join(format!("ipc-bench-{}", nix::unistd::geteuid()));
    let refused = |what: &str| match objects::directory() {
        Err(Error::Unsupported { what: "folder", .. }) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    };
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).map_err(text)?;
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).map_err(text)?;
    symlink(&elsewhere, &private).map_err(text)?;
    refused("a symbolic link to a folder")?;
    fs::remove_file(&private).map_err(text)?;
    symlink("/nowhere", &private).map_err(text)?;
    refused("a symbolic link to nothing")?;
    fs::remove_file(&private).map_err(text)?;
    fs::write(&private, "").map_err(text)?;
    refused("a file")?;
    fs::remove_file(&private).map_err(text)?;
    fs::create_dir(&private).map_err(text)?;
    for mode in [0o755, 0o770, 0o702] {
        fs::set_permissions(&private, fs::Permissions::from_mode(mode)).map_err(text)?;
        refused(&format!("a folder of mode {mode:o}"))?;
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).map_err(text)?;
    objects::directory().map_err(text)?;
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&private, Some(nix::unistd::Uid::from_raw(65_534)), None).map_err(text)?;
        refused("a folder of another user")?;
    }
    Ok(())
}
