//! One object of each kind, and the processes that own them.

#![allow(unsafe_code)]

use ipc_conformance::Verdict;
use ipc_core::{
    Name,
    objects::{self, Object, Owned},
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
    path::{Path, PathBuf},
    time::Duration,
};

/// Runs `test` with a fresh `TMPDIR`.
pub fn in_own_folder(test: fn(&Path) -> Verdict) -> Verdict {
    let folder = env::temp_dir().join(format!("ipc-core-objects-{}", Name::unique()));
    fs::create_dir(&folder).map_err(text)?;
    // SAFETY: this process was forked for this one test and has one thread, so nobody reads the environment meanwhile.
    unsafe { env::set_var("TMPDIR", &folder) };
    let verdict = test(&folder);
    let _ = fs::remove_dir_all(&folder);
    verdict
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub fn ensure(holds: bool, what: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// One object of each kind, none of which exists.
pub fn one_of_each() -> Result<Vec<Object>, String> {
    let name = objects::posix_name(&Name::unique(), "");
    Ok(vec![
        Object::Path(objects::path(&Name::unique(), "test").map_err(text)?),
        Object::PosixShm(name.clone()),
        Object::PosixMq(name),
        Object::SysvQueue(sysv::fresh_key()),
        Object::SysvSegment(sysv::fresh_key()),
    ])
}

pub fn create(object: &Object) -> Verdict {
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
pub fn exists(object: &Object) -> bool {
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

pub fn shm(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(&name[1..])
}

pub fn in_table(kind: &str, key: sysv::Key) -> bool {
    let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    table.lines().any(|row| row.split_ascii_whitespace().next() == Some(&key.to_string()))
}

/// Removes what a failed test would leave: these objects and no others.
pub struct Tidy(pub Vec<Object>);

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
pub fn killed_owner_of(objects: &[Object], make: bool) -> Result<u32, String> {
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

/// What is left in the private folder, which goes when it is empty.
pub fn entries(folder: &Path) -> usize {
    let private = folder.join(format!("ipc-bench-{}", nix::unistd::geteuid()));
    fs::read_dir(private).map_or(0, Iterator::count)
}
