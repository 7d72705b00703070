//! The journal and `sweep`: what dead owners left goes, what living ones have stays. Each test has a temporary folder of
//! its own, and so a journal of its own.

mod owning;

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Error, Name,
    objects::{self, Fate, Leftover, Object, Owned},
    process::fork,
};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::{Mode, SFlag, mknod},
};
use owning::{Tidy, create, ensure, entries, exists, in_own_folder, killed_owner_of, one_of_each, shm, text};
use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write, pipe},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::Duration,
};

fn main() {
    run_all([Suite::new("objects")
        .within(Duration::from_secs(60))
        .test("what_a_dead_owner_left_is_swept", || in_own_folder(what_a_dead_owner_left_is_swept))
        .test("what_a_living_owner_has_stays", || in_own_folder(what_a_living_owner_has_stays))
        .test("what_is_gone_is_struck_out", || in_own_folder(what_is_gone_is_struck_out))
        .test("a_guard_acts_only_in_its_own_process", || in_own_folder(a_guard_acts_only_in_its_own_process))
        .test("a_corrupted_journal_is_survived", || in_own_folder(a_corrupted_journal_is_survived))
        .test("an_empty_entry_is_struck_out", || in_own_folder(an_empty_entry_is_struck_out))
        .test("a_name_that_a_living_owner_has_stays", || in_own_folder(a_name_that_a_living_owner_has_stays))
        .test("a_name_that_another_user_has_stays", || in_own_folder(a_name_that_another_user_has_stays))
        .test("two_sweeps_at_once", || in_own_folder(two_sweeps_at_once))
        .test("sweeping_beside_the_living", || in_own_folder(sweeping_beside_the_living))
        .test("a_held_lock_is_given_up", || in_own_folder(a_held_lock_is_given_up))
        .test("other_files_are_not_touched", || in_own_folder(other_files_are_not_touched))
        .test("a_planted_folder_is_refused", || in_own_folder(a_planted_folder_is_refused))]);
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

/// The start of the entries' names of a dead owner, who has left `objects`; and his process id.
fn entry_of(objects: &[Object]) -> Result<(u32, String), String> {
    let pid = killed_owner_of(objects, true)?;
    let is_entry = |name: &String| name.starts_with(&format!("{pid}-"));
    let entry = names(&objects::directory().map_err(text)?).into_iter().find(is_entry);
    let entry = entry.ok_or("the owner has no entry")?;
    let (owner, _) = entry.rsplit_once('-').ok_or("an entry without a number")?;
    Ok((pid, owner.to_owned()))
}

/// What cannot be read is reported and stays, what can is done with.
fn a_corrupted_journal_is_survived(folder: &Path) -> Verdict {
    let left = Tidy(one_of_each()?);
    let (pid, owner) = entry_of(&left.0)?;
    let private = objects::directory().map_err(text)?;
    let [victim, beside] = [folder.join("victim"), private.join("a.fifo")];
    fs::write(&victim, "path /etc/passwd\n").map_err(text)?;
    fs::write(&beside, "").map_err(text)?;
    let mut planted = Vec::new();
    let mut plant = |make: &dyn Fn(&Path) -> Verdict| {
        let path = private.join(format!("{owner}-{:016x}", planted.len()));
        planted.push(path.clone());
        make(&path)
    };
    let outside = format!("path {}\n", victim.display());
    let dotted = format!("path {}/../victim\n", private.display());
    let torn = format!("path {}", beside.display());
    let living = format!("path {}/{owner}-00000000000000ff\n", private.display());
    let contents = [
        outside.as_bytes(),
        dotted.as_bytes(),
        torn.as_bytes(),
        living.as_bytes(),
        b"path /etc/passwd\n",
        b"rubbish\n",
        b"posix-shm /a",
        b"posix-shm /somebody-else\n",
        b"sysv-shm 0x00000000\n",
        b"\xff\xfe\n",
        b"\0",
        b"\n",
    ];
    for content in contents {
        plant(&|path| fs::write(path, content).map_err(text))?;
    }
    plant(&|path| fs::File::create(path).and_then(|file| file.set_len(1 << 40)).map_err(text))?;
    plant(&|path| fs::create_dir(path).map_err(text))?;
    plant(&|path| symlink(&victim, path).map_err(text))?;
    plant(&|path| symlink("/nowhere", path).map_err(text))?;
    plant(&|path| nix::unistd::mkfifo(path, Mode::S_IRWXU).map_err(text))?;
    plant(&|path| mknod(path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).map_err(text))?;
    if nix::unistd::geteuid().is_root() {
        plant(&|path| {
            fs::write(path, format!("path {}\n", beside.display())).map_err(text)?;
            nix::unistd::chown(path, Some(nix::unistd::Uid::from_raw(65_534)), None).map_err(text)
        })?;
    }
    let odd = ["-", "1-2-3-4-5", "\u{1b}[31m-1-1_1-ff", " 1-1-1_1-ff"].map(|name| private.join(name));
    let odd = [&odd[..], &[private.join(OsStr::from_bytes(b"\xff-1-1_1-ff")), private.join("line\nfeed")]].concat();
    odd.iter().try_for_each(|path| fs::write(path, "rubbish").map_err(text))?;

    for (dry_run, fate) in [(true, Fate::Found), (false, Fate::Removed)] {
        let found = objects::sweep(dry_run).map_err(text)?;
        ensure(found.iter().all(|leftover| leftover.pid == pid), format!("of others: {found:?}"))?;
        let done = found.iter().filter(|leftover| leftover.fate == fate).count();
        ensure(done == left.0.len(), format!("{done} objects are {fate:?}: {found:?}"))?;
        let entry_is_named = |path: &PathBuf| {
            let name = path.display().to_string();
            found.iter().any(|leftover| matches!(&leftover.fate, Fate::Failed(why) if why.contains(&name)))
        };
        let silent: Vec<_> = planted.iter().filter(|path| !entry_is_named(path)).collect();
        ensure(silent.is_empty(), format!("not reported: {silent:?}"))?;
        ensure(found.len() == done + planted.len(), format!("more than that was reported: {found:?}"))?;
    }
    for path in planted.iter().chain(&odd).chain([&victim, &beside]) {
        ensure(path.symlink_metadata().is_ok(), format!("{} is gone", path.display()))?;
    }
    ensure(fs::read_to_string(&victim).is_ok_and(|text| text == "path /etc/passwd\n"), "the victim was written to")
}

/// An entry without content is of an owner that was killed before it made anything.
fn an_empty_entry_is_struck_out(folder: &Path) -> Verdict {
    let (pid, owner) = entry_of(&one_of_each()?)?;
    objects::sweep(false).map_err(text)?;
    fs::write(objects::directory().map_err(text)?.join(format!("{owner}-ff")), "").map_err(text)?;
    let found = objects::sweep(false).map_err(text)?;
    ensure(found == [Leftover { pid, object: None, fate: Fate::Gone }], format!("{found:?}"))?;
    ensure(entries(folder) == 0, "the journal is not empty")
}

/// The dead owner never made what it had announced, or had removed it; by now a living one has the name.
fn a_name_that_a_living_owner_has_stays(folder: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    killed_owner_of(&objects.0, false)?;
    let guards: Result<Vec<_>, _> = objects.0.iter().cloned().map(Owned::journal).collect();
    let guards = guards.map_err(text)?;
    objects.0.iter().try_for_each(create)?;
    let found = objects::sweep(false).map_err(text)?;
    ensure(found.iter().all(|leftover| leftover.fate == Fate::Gone), format!("{found:?}"))?;
    ensure(objects.0.iter().all(exists), "something of a living owner is gone")?;
    drop(guards);
    ensure(!objects.0.iter().any(exists) && entries(folder) == 0, "the guards have left something")
}

/// By now another user's object has the name that the dead owner had.
fn a_name_that_another_user_has_stays(_: &Path) -> Verdict {
    let object = Object::PosixShm(objects::posix_name(&Name::unique(), ""));
    let Object::PosixShm(name) = &object else { unreachable!("made just now") };
    let left = Tidy(vec![object.clone()]);
    let pid = killed_owner_of(&left.0, true)?;
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&shm(name), Some(nix::unistd::Uid::from_raw(65_534)), None).map_err(text)?;
        sweeps(false, pid, &left.0, &Fate::Gone)?;
        return ensure(exists(&object), "another user's object was removed");
    }
    sweeps(false, pid, &left.0, &Fate::Removed)
}

/// Sweeps that run at once remove each object once, and none of them fails when another has removed the folder.
fn two_sweeps_at_once(folder: &Path) -> Verdict {
    for _ in 0..20 {
        let left = Tidy((0..4).map(|_| one_of_each()).collect::<Result<Vec<_>, _>>()?.concat());
        killed_owner_of(&left.0, true)?;
        let (mut count, mut tell) = pipe().map_err(text)?;
        let sweepers: Result<Vec<_>, _> = (0..2)
            .map(|_| {
                fork(|| {
                    let removed = |left: &Leftover| matches!(left.fate, Fate::Removed);
                    let failed = |left: &Leftover| matches!(left.fate, Fate::Failed(_));
                    match objects::sweep(false) {
                        Ok(found) if !found.iter().any(failed) => {
                            let removed = found.iter().filter(|left| removed(left)).count();
                            i32::from(tell.write_all(&[removed as u8]).is_err())
                        }
                        _ => 1,
                    }
                })
            })
            .collect();
        for mut sweeper in sweepers.map_err(text)? {
            let exit = sweeper.wait(Duration::MAX).map_err(text)?;
            ensure(exit == Some(ipc_core::process::Exit::Code(0)), format!("a sweep ended with {exit:?}"))?;
        }
        let mut removed = [0; 2];
        count.read_exact(&mut removed).map_err(text)?;
        let removed: usize = removed.into_iter().map(usize::from).sum();
        ensure(removed == left.0.len(), format!("{removed} of {} objects were removed", left.0.len()))?;
        ensure(entries(folder) == 0, "the journal is not empty")?;
    }
    Ok(())
}

/// Objects that come and go are never swept, and neither side fails when the other has removed the empty folder.
fn sweeping_beside_the_living(folder: &Path) -> Verdict {
    let mut sweeps = 0;
    // An owner may finish before enough sweeps have run.
    while sweeps <= 10 {
        sweeps += sweeps_beside_an_owner()?;
    }
    ensure(entries(folder) == 0, "the journal is not empty")
}

/// Sweeps beside an owner that creates and removes 2000 objects; returns how many sweeps ran.
fn sweeps_beside_an_owner() -> Result<u32, String> {
    let mut owner = fork(|| {
        let come_and_go = || {
            let object = Object::Path(objects::path(&Name::unique(), "test").map_err(text)?);
            let guard = Owned::journal(object.clone()).map_err(text)?;
            create(&object)?;
            std::thread::yield_now();
            ensure(exists(&object), format!("{object} was swept"))?;
            drop(guard);
            ensure(!exists(&object), format!("{object} is still there"))
        };
        match (0..2000).try_for_each(|_| come_and_go()) {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("{why}");
                1
            }
        }
    })
    .map_err(text)?;
    let mut sweeps = 0;
    let exit = loop {
        let found = objects::sweep(false).map_err(text)?;
        ensure(found.is_empty(), format!("of a living owner: {found:?}"))?;
        sweeps += 1;
        if let Some(exit) = owner.wait(Duration::ZERO).map_err(text)? {
            break exit;
        }
    };
    ensure(exit == ipc_core::process::Exit::Code(0), format!("the owner ended with {exit:?}"))?;
    Ok(sweeps)
}

/// A process that is stopped while it holds the folder's lock costs others a moment, not for ever.
fn a_held_lock_is_given_up(_: &Path) -> Verdict {
    let guard = Owned::journal(one_of_each()?.remove(0)).map_err(text)?;
    let file = fs::File::open(objects::directory().map_err(text)?).map_err(text)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| text(errno))?;
    let refused = |what: &str, error: Option<Error>| {
        let busy = error == Some(Error::Os { call: "flock", source: Errno::EWOULDBLOCK });
        ensure(busy, format!("{what} while somebody holds the lock: {error:?}"))
    };
    refused("a sweep", objects::sweep(false).err())?;
    refused("an entry", Owned::journal(one_of_each()?.remove(0)).err())?;
    drop(lock);
    objects::sweep(false).map_err(text)?;
    drop(guard);
    Ok(())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn other_files_are_not_touched(_: &Path) -> Verdict {
    let private = objects::directory().map_err(text)?;
    let others = ["1-2-3", "notes.txt", "4000000-1-1_1-xyz", "4000000-b0-n1-p1-xyz", "4000000-b0-n1-ff"];
    for other in others {
        fs::write(private.join(other), "posix-shm /ipc-bench-nothing\n").map_err(text)?;
    }
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
