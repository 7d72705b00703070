//! Who has a name: a living process keeps it, whatever its namespaces, and a dead one's is taken over. Each test has a
//! temporary folder of its own, and so a journal of its own.

mod owning;

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Error, Name, Result,
    objects::{self, Fate, Leftover, Object, Owned},
    process::{Child, Exit, fork},
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Pid, getpid},
};
use owning::{Tidy, create, ensure, entries, exists, in_own_folder, killed_owner_of, one_of_each, text};
use std::{
    fs,
    io::{PipeWriter, Read, Write, pipe},
    path::Path,
    thread::sleep,
    time::Duration,
};

fn main() {
    let suite = Suite::new("owners")
        .within(Duration::from_secs(60))
        .test("a_dead_owner_loses_its_names", || in_own_folder(a_dead_owner_loses_its_names))
        .test("a_living_owner_keeps_its_names", || in_own_folder(a_living_owner_keeps_its_names))
        .test("of_many_one_gets_the_name", || in_own_folder(of_many_one_gets_the_name))
        .test("what_no_entry_names_is_refused", || in_own_folder(what_no_entry_names_is_refused))
        .test("a_child_keeps_what_its_dead_parent_owned", || in_own_folder(a_child_keeps_what_its_dead_parent_owned))
        .test("another_boot_is_in_doubt", || in_own_folder(another_boot_is_in_doubt))
        .test("an_earlier_version_is_in_doubt", || in_own_folder(an_earlier_version_is_in_doubt))
        .prepared("another_pid_namespace", || enter(CloneFlags::CLONE_NEWPID), || in_own_folder(beyond_the_namespace))
        .prepared("another_time_namespace", enter_another_time, || in_own_folder(beyond_the_namespace))
        .prepared("another_ipc_namespace", may_enter_another_ipc, || in_own_folder(what_is_out_of_reach_is_in_doubt));
    run_all([suite]);
}

/// Makes children of this process enter a new namespace.
fn enter(kind: CloneFlags) -> Result<()> {
    unshare(kind).map_err(|errno| match errno {
        Errno::EPERM | Errno::ENOSYS | Errno::EINVAL | Errno::ENOSPC => {
            Error::Unsupported { what: "namespaces", why: format!("unshare: {errno}") }
        }
        errno => Error::os("unshare", errno),
    })
}

/// The same for a time namespace whose boot was 1,000 s earlier: processes there seem to have started later.
fn enter_another_time() -> Result<()> {
    enter(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME))?;
    fs::write("/proc/self/timens_offsets", "boottime 1000 0\n").map_err(|e| Error::io("write", &e))
}

/// Whether a child of this process may have an IPC namespace of its own.
fn may_enter_another_ipc() -> Result<()> {
    let tried = fork(|| i32::from(unshare(CloneFlags::CLONE_NEWIPC).is_err()))?.wait(Duration::MAX)?;
    match tried {
        Some(Exit::Code(0)) => Ok(()),
        _ => Err(Error::Unsupported { what: "namespaces", why: "unshare(CLONE_NEWIPC) is not permitted".into() }),
    }
}

/// Makes `object` as mechanisms do.
fn own(object: &Object) -> Result<Owned> {
    let made = || match exists(object) {
        true => Err(Error::Os { call: "open", source: Errno::EEXIST }),
        false => create(object).map_err(|_| Error::Os { call: "open", source: Errno::EIO }),
    };
    Owned::create(object.clone(), made).map(|((), owned)| owned)
}

/// A process that owns `objects` until it is told to end, and by what to tell it.
struct Owner {
    child: Child,
    end: PipeWriter,
}

impl Owner {
    fn of(objects: &[Object]) -> std::result::Result<Self, String> {
        let (mut ready, mut tell) = pipe().map_err(text)?;
        let (mut until, end) = pipe().map_err(text)?;
        let child = fork(|| {
            let owned: Result<Vec<_>> = objects.iter().map(own).collect();
            let _ = tell.write_all(&[u8::from(owned.is_ok())]);
            let _ = until.read(&mut [0]);
            drop(owned);
            0
        })
        .map_err(text)?;
        let mut made = [0];
        ready.read_exact(&mut made).map_err(text)?;
        ensure(made == [1], "the owner could not make its objects")?;
        Ok(Self { child, end })
    }

    fn ends(mut self) -> Verdict {
        self.end.write_all(&[0]).map_err(text)?;
        let exit = self.child.wait(Duration::MAX).map_err(text)?;
        ensure(exit == Some(Exit::Code(0)), format!("the owner ended with {exit:?}"))
    }
}

/// Whatever moment its owner was killed at, a name is free, and so is whatever else the same process left.
fn a_dead_owner_loses_its_names(folder: &Path) -> Verdict {
    for was_made in [true, false] {
        for i in 0..one_of_each()?.len() {
            let left = Tidy(one_of_each()?);
            killed_owner_of(&left.0, was_made)?;
            let owned = own(&left.0[i]).map_err(|error| format!("{}: {error}", left.0[i]))?;
            for object in &left.0 {
                let is_ours = *object == left.0[i];
                ensure(exists(object) == is_ours, format!("after {} was taken over: {object}", left.0[i]))?;
            }
            drop(owned);
            objects::sweep(false).map_err(text)?;
            ensure(entries(folder) == 0, "the journal is not empty")?;
        }
    }
    Ok(())
}

fn refuses(object: &Object, fact: &str) -> Verdict {
    match own(object).map(drop) {
        Err(Error::Taken { object: named, why }) if why.contains(fact) && named == object.to_string() => {
            ensure(exists(object), format!("{object} is gone"))
        }
        other => Err(format!("{object}: {other:?}, which does not tell '{fact}'")),
    }
}

fn a_living_owner_keeps_its_names(folder: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    // A dead one had them before.
    killed_owner_of(&objects.0, false)?;
    let owner = Owner::of(&objects.0)?;
    let who = format!("process {} holds it", owner.child.pid());
    objects.0.iter().try_for_each(|object| refuses(object, &who))?;
    owner.ends()?;
    ensure(!objects.0.iter().any(exists), "the guards have left something")?;
    objects::sweep(false).map_err(text)?;
    ensure(entries(folder) == 0, "the journal is not empty")
}

/// Several processes want at once what a dead one has left: one gets it, and it is that one's object that is there.
fn of_many_one_gets_the_name(folder: &Path) -> Verdict {
    for round in 0..10 {
        let object = one_of_each()?.swap_remove(round % 5);
        let left = Tidy(vec![object.clone()]);
        killed_owner_of(&left.0, true)?;
        let (mut count, tell) = pipe().map_err(text)?;
        let [(start, go), (until, end)] = [pipe().map_err(text)?, pipe().map_err(text)?];
        let runner = || {
            fork(|| {
                let _ = (&start).read(&mut [0]);
                let owned = own(&object);
                let word = match &owned {
                    Ok(_) => 1,
                    Err(Error::Taken { .. }) => 0,
                    Err(_) => 2,
                };
                let _ = (&tell).write_all(&[word]);
                // Whoever has it keeps it until all have tried.
                let _ = (&until).read(&mut [0]);
                drop(owned);
                0
            })
        };
        let runners: Result<Vec<_>> = (0..4).map(|_| runner()).collect();
        let runners = runners.map_err(text)?;
        (&go).write_all(&[0; 4]).map_err(text)?;
        let mut words = [0; 4];
        count.read_exact(&mut words).map_err(text)?;
        let there = exists(&object);
        (&end).write_all(&[0; 4]).map_err(text)?;
        for mut runner in runners {
            runner.wait(Duration::MAX).map_err(text)?;
        }
        words.sort_unstable();
        ensure(words == [0, 0, 0, 1] && there, format!("{object}: {words:?}, there: {there}"))?;
        ensure(!exists(&object), format!("{object} is left"))?;
        ensure(entries(folder) == 0, "the journal is not empty")?;
    }
    Ok(())
}

fn what_no_entry_names_is_refused(_: &Path) -> Verdict {
    let foreign = Tidy(one_of_each()?);
    foreign.0.iter().try_for_each(create)?;
    let commands = ["rm '", "rm '/dev/shm/", "rm '/dev/mqueue/", "ipcrm -Q 0x", "ipcrm -M 0x"];
    foreign.0.iter().zip(commands).try_for_each(|(object, command)| refuses(object, command))
}

/// A process that is forked by an owner has what it has: the names are not free before both have ended.
fn a_child_keeps_what_its_dead_parent_owned(folder: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    let (mut ready, tell) = pipe().map_err(text)?;
    let mut parent = fork(|| {
        let owned: Result<Vec<_>> = objects.0.iter().map(own).collect();
        let child = fork(|| {
            // It is to outlive its parent.
            let pid = if owned.is_ok() && prctl::set_pdeathsig(None).is_ok() { getpid().as_raw() } else { 0 };
            let _ = (&tell).write_all(&pid.to_ne_bytes());
            sleep(Duration::from_secs(60));
            0
        });
        std::mem::forget(child);
        sleep(Duration::from_secs(60));
        1
    })
    .map_err(text)?;
    let mut child = [0; 4];
    ready.read_exact(&mut child).map_err(text)?;
    let child = i32::from_ne_bytes(child);
    ensure(child > 0, "the owner could not make its objects")?;
    parent.kill().map_err(text)?;
    let found = objects::sweep(false).map_err(text)?;
    ensure(found.is_empty(), format!("swept what a living process has: {found:?}"))?;
    objects.0.iter().try_for_each(|object| refuses(object, "holds it"))?;
    kill(Pid::from_raw(child), Signal::SIGKILL).map_err(text)?;
    // It is another's to reap, so nothing else says when it has ended.
    let mut swept = 0;
    for _ in 0..1000 {
        swept += objects::sweep(false).map_err(text)?.len();
        if swept == objects.0.len() {
            break;
        }
        sleep(Duration::from_millis(5));
    }
    ensure(!objects.0.iter().any(exists) && entries(folder) == 0, "the child has ended, and something is left")
}

/// Lets the entries of a dead owner look as if another boot had written them.
fn disguise(with: impl Fn(&str) -> String) -> Verdict {
    let private = objects::directory().map_err(text)?;
    for entry in fs::read_dir(&private).map_err(text)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // An object's own name can hold a "-b" by chance: it has an extension, an entry has none.
        if name.contains("-b") && !name.contains('.') {
            fs::rename(entry.path(), private.join(with(&name))).map_err(text)?;
        }
    }
    Ok(())
}

fn fates(found: &[Leftover]) -> Vec<(&'static str, String)> {
    let of = |fate: &Fate| match fate {
        Fate::Found => "found",
        Fate::Removed => "removed",
        Fate::Gone => "gone",
        Fate::Unknown(_) => "unknown",
        Fate::Failed(_) => "failed",
    };
    found.iter().map(|left| (of(&left.fate), left.object.as_ref().map_or(String::new(), ToString::to_string))).collect()
}

/// Every leftover must be in doubt for a reason that tells `fact`.
fn in_doubt(count: usize, fact: &str) -> Verdict {
    let found = objects::sweep(false).map_err(text)?;
    let told = found.iter().filter(|left| matches!(&left.fate, Fate::Unknown(why) if why.contains(fact))).count();
    ensure(told == count && found.len() == count, format!("{found:?}, of which {count} should tell '{fact}'"))
}

fn another_boot_is_in_doubt(folder: &Path) -> Verdict {
    let left = Tidy(one_of_each()?);
    killed_owner_of(&left.0, true)?;
    let boot = "0123456789abcdef0123456789abcdef";
    disguise(|name| {
        let parts: Vec<_> = name.split('-').collect();
        format!("{}-b{boot}-{}-{}-{}", parts[0], parts[2], parts[3], parts[4])
    })?;
    in_doubt(5, boot)?;
    left.0.iter().try_for_each(|object| refuses(object, "sweep --foreign"))?;
    // Of these only the path can be the other boot's: the rest is of this kernel.
    let kept = |fates: &[(&str, String)], path: &str| {
        fates.iter().all(|(fate, object)| *fate == if object.starts_with("path ") { path } else { "gone" })
    };
    let found = objects::sweep_foreign(true).map_err(text)?;
    ensure(found.len() == 5 && kept(&fates(&found), "found"), format!("{found:?}"))?;
    let found = objects::sweep_foreign(false).map_err(text)?;
    ensure(found.len() == 5 && kept(&fates(&found), "removed"), format!("{found:?}"))?;
    for object in &left.0 {
        let is_path = matches!(object, Object::Path(_));
        ensure(exists(object) != is_path, format!("{object} is {}", if is_path { "there" } else { "gone" }))?;
    }
    ensure(entries(folder) == 0, "the journal is not empty")
}

fn an_earlier_version_is_in_doubt(_: &Path) -> Verdict {
    let inode = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
        link.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>()
    };
    let earlier = |pid: &str, namespace: &str| format!("{pid}-1-{namespace}_{}-00000000000000ff", inode("ipc"));
    let (here, alive) = (inode("pid"), getpid().to_string());
    let left = Tidy(vec![Object::Path(objects::path(&Name::unique(), "test").map_err(text)?)]);
    for (pid, namespace, fact, goes) in [
        // Its parent has reaped it.
        (killed_owner_of(&[], false)?.to_string(), &*here, "runs", true),
        (alive.clone(), &*here, "which may be another", false),
        (alive.clone(), "1", "another PID namespace", true),
    ] {
        let entry = objects::directory().map_err(text)?.join(earlier(&pid, namespace));
        create(&left.0[0])?;
        fs::write(&entry, format!("{}\n", left.0[0])).map_err(text)?;
        in_doubt(1, fact)?;
        refuses(&left.0[0], "earlier version")?;
        let found = objects::sweep_foreign(false).map_err(text)?;
        let expected = if goes { "removed" } else { "unknown" };
        ensure(fates(&found) == [(expected, left.0[0].to_string())], format!("process {pid}: {found:?}"))?;
        ensure(exists(&left.0[0]) != goes, "it is not as the sweep says")?;
        let _ = fs::remove_file(entry);
    }
    Ok(())
}

/// The children of this process are in another namespace than itself: what a living one owns stays, what a dead one left
/// goes, seen from either side.
fn beyond_the_namespace(folder: &Path) -> Verdict {
    let mine = Tidy(one_of_each()?);
    let guards: Result<Vec<_>> = mine.0.iter().map(own).collect();
    let guards = guards.map_err(text)?;
    // The first process of a PID namespace takes it along.
    let (mut report, mut tell) = pipe().map_err(text)?;
    let (mut until, end) = pipe().map_err(text)?;
    let theirs = Tidy(one_of_each()?);
    let mut there = fork(|| {
        let owned: Result<Vec<_>> = theirs.0.iter().map(own).collect();
        let swept = objects::sweep(false).map(|found| found.len());
        let kept = mine.0.iter().all(|object| matches!(own(object), Err(Error::Taken { .. })));
        let _ = tell.write_all(&[u8::from(owned.is_ok()), u8::from(swept == Ok(0)), u8::from(kept)]);
        let _ = until.read(&mut [0]);
        std::mem::forget(owned);
        0
    })
    .map_err(text)?;
    let mut told = [0; 3];
    report.read_exact(&mut told).map_err(text)?;
    ensure(told == [1; 3], format!("made, swept nothing, refused: {told:?}"))?;
    let found = objects::sweep(false).map_err(text)?;
    ensure(found.is_empty(), format!("swept what a living process has: {found:?}"))?;
    theirs.0.iter().try_for_each(|object| refuses(object, "holds it"))?;
    let first = own(&theirs.0[0]).map(drop);
    ensure(matches!(first, Err(Error::Taken { .. })), "a living process has lost its name")?;
    drop(end);
    there.kill().map_err(text)?;
    let taken_over = own(&theirs.0[0]).map_err(text)?;
    drop(taken_over);
    objects::sweep(false).map_err(text)?;
    ensure(!theirs.0.iter().any(exists), "what the dead process left is still there")?;
    ensure(mine.0.iter().all(exists), "something of this process is gone")?;
    drop(guards);
    ensure(entries(folder) == 0, "the journal is not empty")
}

/// What a dead process has left in an IPC namespace of its own cannot be removed from here, and what has its name here is
/// another's.
fn what_is_out_of_reach_is_in_doubt(folder: &Path) -> Verdict {
    let objects = Tidy(one_of_each()?);
    let mut there = fork(|| {
        if unshare(CloneFlags::CLONE_NEWIPC).is_err() {
            return 2;
        }
        let queues: Result<Vec<_>> = objects.0[2..].iter().map(own).collect();
        match queues {
            Ok(queues) => {
                std::mem::forget(queues);
                0
            }
            Err(_) => 1,
        }
    })
    .map_err(text)?;
    let exit = there.wait(Duration::MAX).map_err(text)?;
    ensure(exit == Some(Exit::Code(0)), format!("the owner ended with {exit:?}"))?;
    objects.0[2..].iter().try_for_each(create)?;
    in_doubt(3, "in another IPC namespace")?;
    objects.0[2..].iter().try_for_each(|object| refuses(object, "another IPC namespace"))?;
    let found = objects::sweep_foreign(false).map_err(text)?;
    ensure(fates(&found).iter().all(|(fate, _)| *fate == "gone"), format!("{found:?}"))?;
    ensure(objects.0[2..].iter().all(exists), "another's object is gone")?;
    ensure(entries(folder) == 0, "the journal is not empty")
}
