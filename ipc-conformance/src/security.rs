//! What other users can do, and how private the objects of a mechanism are.
//!
//! The clauses know no names of a mechanism. What it makes is what stands in its journal and among its descriptors
//! while it binds. What others can predict is what two processes make that bind the same name.

use crate::{
    Suite, Verdict, on_time,
    signals::{INTERVAL, Signals},
    stage::{Stage, join},
    surroundings::{become_ordinary, root},
};
use ipc_core::{
    Channel, Endpoint, Error, Framing, Name, Options, Rendezvous,
    leftovers::{Row, sysv_table},
    objects::{self, Object, SocketAddress},
    process::Child,
    sysv,
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink},
    sys::{
        socket::{AddressFamily, Backlog, MsgFlags, SockFlag, SockType, bind, connect, listen, recv, socket},
        stat::{Mode, fchmod, fstat},
    },
    unistd::{geteuid, mkfifo, unlink},
};
use std::{
    collections::BTreeSet,
    env::set_current_dir,
    fs,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    thread::{self, sleep},
    time::{Duration, Instant},
};

impl Suite {
    /// Starts a suite with the clause that what [`Channel::pair`] makes is closed to other users.
    pub fn security<C: Channel + 'static>() -> Self {
        Self::new(C::SPEC.name).staged("a_pair_is_private", || Ok(()), a_pair_is_private::<C>)
    }

    /// Adds the clauses of what other users can do to [`Rendezvous::bind`] and [`Rendezvous::connect`]. `C` is the suite's channel
    /// once more.
    #[must_use]
    pub fn security_by_name<C: Rendezvous + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.staged("a_binder_is_private", || Ok(()), a_binder_is_private::<C>)
            .staged("what_is_planted_is_refused", || Ok(()), what_is_planted_is_refused::<C>)
            .staged("what_is_open_to_others_is_refused", || Ok(()), what_is_open_to_others_is_refused::<C>)
            .staged("a_silent_peer_is_given_up", || Ok(()), a_silent_peer_is_given_up::<C>)
            .staged("another_user_gets_nowhere", root, another_user_gets_nowhere::<C>)
            .staged("another_user_is_turned_away", root, another_user_is_turned_away::<C>)
    }
}

const MEANWHILE: Duration = Duration::from_millis(50);
/// For what must not take long, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn options(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

/// Sends `said` and hears `heard`, or the other way round.
fn talk<C: Channel>(mut end: C::Endpoint, said: u8, heard: u8) -> Verdict {
    const LEN: usize = 64;
    let room = if C::SPEC.framing == Framing::Stream { LEN } else { end.max_message().min(1 << 20) };
    let mut buffer = vec![0; room];
    end.send(&[said; LEN]).map_err(words)?;
    let len = end.recv(&mut buffer).map_err(words)?;
    if buffer[..len] == [heard; LEN] { Ok(()) } else { Err(format!("{len} bytes that the peer did not send")) }
}

/// A process that binds `name`, once it waits for its peer, and what it has made.
fn binder<C: Rendezvous>(stage: &Stage, name: &Name) -> Result<(Child, Vec<Object>), String> {
    let mut child = stage.fork("binder", || talk::<C>(C::bind(name, &options(SOON)).map_err(words)?, 1, 2))?;
    let pid = child.pid().as_raw().cast_unsigned();
    let began = Instant::now();
    let mut before = Vec::new();
    loop {
        if child.wait(MEANWHILE / 2).map_err(words)?.is_some() || began.elapsed() > SOON {
            return Err("the binder did not wait for its peer".into());
        }
        let made = if sleeps(pid) { made_by(pid)? } else { Vec::new() };
        // An object stands in the journal before it is there.
        if !made.is_empty() && made == before && made.iter().all(|object| status_of(object).is_ok()) {
            return Ok((child, made));
        }
        before = made;
    }
}

/// Whether the process is asleep, as opposed to waiting for a processor (proc_pid_stat(5)).
fn sleeps(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// The peer comes, and the two talk.
fn meets_its_peer<C: Rendezvous>(child: Child, name: &Name) -> Verdict {
    let end = C::connect(name, &options(SOON)).map_err(|error| format!("the true peer: {error}"))?;
    talk::<C>(end, 2, 1)?;
    join(child)
}

/// What stands under a process in the journal.
pub(crate) fn made_by(pid: u32) -> Result<Vec<Object>, String> {
    let folder = objects::directory().map_err(words)?;
    let entries = fs::read_dir(&folder).map_err(words)?.flatten().map(|entry| entry.path());
    let ours = entries.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{pid}-")) && path.is_file()
    });
    let mut made: Vec<_> = ours.filter_map(|path| Object::parse(&fs::read_to_string(path).ok()?, &folder)).collect();
    made.sort_by_key(ToString::to_string);
    let _ = fs::remove_dir(folder);
    Ok(made)
}

/// Where the object lies in a file system.
fn path_of(object: &Object) -> Option<PathBuf> {
    match object {
        Object::Path(path) => Some(path.clone()),
        Object::PosixShm(name) => Some(Path::new("/dev/shm").join(&name[1..])),
        _ => None,
    }
}

/// The row of the first System V object of `kind` for which `column` is `value`.
fn row_of(kind: &str, column: &str, value: i64) -> Option<Row> {
    sysv_table(kind).into_iter().find(|row| row.get(column) == Some(&value))
}

/// The permissions in a row, whose digits are octal.
fn perms_of(row: &Row) -> Option<u32> {
    u32::from_str_radix(&row.get("perms")?.to_string(), 8).ok()
}

/// The owner and the permissions of an object that exists.
fn status_of(object: &Object) -> Result<(u32, u32), String> {
    let of_row = |kind: &str, key: sysv::Key| {
        let row = row_of(kind, "key", key.into())?;
        Some((u32::try_from(*row.get("uid")?).ok()?, perms_of(&row)?))
    };
    let status = match object {
        Object::Path(_) | Object::PosixShm(_) => {
            let path = path_of(object).unwrap_or_default();
            path.symlink_metadata().ok().map(|found| (found.uid(), found.mode()))
        }
        Object::PosixMq(name) => {
            mq_open(name.as_str(), MQ_OFlag::O_RDONLY, Mode::empty(), None).ok().and_then(|queue| {
                let status = fstat(queue.as_fd());
                let _ = mq_close(queue);
                status.ok().map(|status| (status.st_uid, status.st_mode))
            })
        }
        Object::SysvQueue(key) => of_row("msg", *key),
        Object::SysvSegment(key) => of_row("shm", *key),
    };
    status
        .map(|(uid, mode)| (uid, mode & 0o777))
        .ok_or_else(|| format!("{object} stands in the journal and is not there"))
}

fn are_private(made: &[Object]) -> Verdict {
    made.iter().try_for_each(|object| match status_of(object)? {
        (uid, 0o600) if uid == geteuid().as_raw() => Ok(()),
        (uid, mode) => Err(format!("{object} belongs to user {uid} and has mode {mode:04o}")),
    })
}

pub(crate) fn descriptors(pid: u32) -> Result<BTreeSet<u32>, String> {
    let folder = format!("/proc/{pid}/fd");
    // Entries keep the folder open: its own descriptor is gone when they are.
    let listed: Vec<_> = fs::read_dir(&folder).map_err(words)?.flatten().map(|file| file.file_name()).collect();
    let there = listed.into_iter().filter(|name| Path::new(&folder).join(name).symlink_metadata().is_ok());
    Ok(there.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// Checks every descriptor of a process but those that it had `before`. It must be close-on-exec (proc_pid_fdinfo(5)) and have mode
/// 0600. The mode of a socket without a path means nothing.
fn descriptors_are_private(pid: u32, before: &BTreeSet<u32>) -> Verdict {
    let mut checked = 0;
    for fd in descriptors(pid)?.difference(before) {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).map_err(words)?;
        let file = fs::metadata(format!("/proc/{pid}/fd/{fd}")).map_err(words)?;
        let flags = info.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        if flags.ok_or("a descriptor without flags")? & libc::O_CLOEXEC == 0 {
            return Err(format!("descriptor {fd} is not close-on-exec"));
        }
        let mode = file.mode() & 0o777;
        if !file.file_type().is_socket() && mode != 0o600 {
            return Err(format!("what descriptor {fd} refers to has mode {mode:04o}"));
        }
        checked += 1;
    }
    if checked > 0 { Ok(()) } else { Err("no descriptor was made, so none was checked".into()) }
}

/// What [`Channel::pair`] makes is closed to other users.
///
/// Every object has mode 0600 and belongs to this user. Every descriptor is close-on-exec.
///
/// Why: a message may be secret, and a name can be opened before it is removed.
///
/// A failing channel makes an object with the mode that the umask leaves.
pub fn a_pair_is_private<C: Channel>(stage: &Stage) -> Verdict {
    let pid = std::process::id();
    let before = descriptors(pid)?;
    let ends = stage.pair::<C>(&stage.options())?;
    descriptors_are_private(pid, &before)?;
    are_private(&made_by(pid)?)?;
    // A segment is in nobody's journal once it is marked for removal.
    let perms = row_of("shm", "cpid", pid.into()).as_ref().and_then(perms_of);
    if let Some(mode) = perms.filter(|mode| mode & 0o777 != 0o600) {
        return Err(format!("the segment has mode {mode:04o}"));
    }
    drop(ends);
    Ok(())
}

/// What [`Rendezvous::bind`] makes is closed to other users while it waits for its peer.
///
/// Why: a binder may wait for long.
///
/// A failing channel makes an object with another mode, or a descriptor that an `exec` keeps.
pub fn a_binder_is_private<C: Rendezvous>(stage: &Stage) -> Verdict {
    let (name, before) = (Name::unique(), descriptors(std::process::id())?);
    let (child, made) = binder::<C>(stage, &name)?;
    are_private(&made)?;
    descriptors_are_private(child.pid().as_raw().cast_unsigned(), &before)?;
    meets_its_peer::<C>(child, &name)
}

/// What can lie where a binder will want to make something.
#[derive(Clone, Copy, Debug)]
enum Plant {
    File,
    Folder,
    DanglingLink,
    Link,
    Fifo,
    Socket,
    /// A queue or a segment of the same name or key.
    Same,
}

impl Plant {
    fn all(object: &Object) -> &'static [Self] {
        match object {
            Object::Path(_) | Object::PosixShm(_) => {
                &[Plant::File, Plant::Folder, Plant::DanglingLink, Plant::Link, Plant::Fifo, Plant::Socket]
            }
            _ => &[Plant::Same],
        }
    }
}

/// Something planted; dropping it removes it.
struct Planted<'a> {
    object: &'a Object,
    plant: Plant,
    victim: &'a Path,
    /// Holds a planted socket open.
    _listener: Option<OwnedFd>,
}

impl<'a> Planted<'a> {
    fn new(object: &'a Object, plant: Plant, victim: &'a Path) -> Result<Self, String> {
        let path = path_of(object).unwrap_or_default();
        let mut listener = None;
        match (plant, object) {
            (Plant::File, _) => fs::write(&path, "planted").map_err(words),
            (Plant::Folder, _) => fs::create_dir(&path).map_err(words),
            (Plant::DanglingLink, _) => symlink(victim.with_extension("not-there"), &path).map_err(words),
            (Plant::Link, _) => symlink(victim, &path).map_err(words),
            (Plant::Fifo, _) => mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(words),
            (Plant::Socket, _) => listen_at(&path).map(|made| listener = Some(made)),
            (Plant::Same, Object::PosixMq(name)) => {
                let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
                let attributes = MqAttr::new(0, 1, 8, 0);
                let queue = mq_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attributes));
                queue.and_then(mq_close).map_err(words)
            }
            (Plant::Same, Object::SysvQueue(key)) => sysv::create_queue(*key).map(drop).map_err(words),
            (Plant::Same, Object::SysvSegment(key)) => sysv::create_segment(*key, 1).map(drop).map_err(words),
            (Plant::Same, _) => Err("a path has kinds of its own".into()),
        }
        .map_err(|why| format!("planting {plant:?} as {object}: {why}"))?;
        Ok(Self { object, plant, victim, _listener: listener })
    }

    /// All that would change if somebody wrote to it, or put something else in its place.
    fn look(&self) -> Result<String, String> {
        let file = |path: &Path| {
            let found = path.symlink_metadata().map_err(words)?;
            let content = if found.is_file() { fs::read(path).map_err(words)? } else { Vec::new() };
            Ok::<_, String>((found.dev(), found.ino(), found.mode(), found.mtime_nsec(), found.len(), content))
        };
        let id = |kind: &str, column: &str, key: sysv::Key| row_of(kind, "key", key.into())?.get(column).copied();
        let own = match self.object {
            Object::SysvQueue(key) => format!("{:?}", id("msg", "msqid", *key)),
            Object::SysvSegment(key) => format!("{:?}", id("shm", "shmid", *key)),
            Object::PosixMq(_) => format!("{:?}", status_of(self.object)?),
            Object::Path(_) | Object::PosixShm(_) => format!("{:?}", file(&path_of(self.object).unwrap_or_default())?),
        };
        let made = self.victim.with_extension("not-there").symlink_metadata().is_ok();
        Ok(format!("{own} {:?} {made}", file(self.victim)?))
    }
}

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        let _ = match (self.object, path_of(self.object)) {
            (_, Some(path)) if matches!(self.plant, Plant::Folder) => fs::remove_dir(path).is_ok(),
            (_, Some(path)) => fs::remove_file(path).is_ok(),
            (Object::PosixMq(name), _) => mq_unlink(name.as_str()).is_ok(),
            (Object::SysvQueue(key), _) => sysv::find_queue(*key).and_then(sysv::remove_queue).is_ok(),
            (Object::SysvSegment(key), _) => sysv::find_segment(*key).and_then(sysv::remove_segment).is_ok(),
            _ => false,
        };
    }
}

/// Nothing that lies in the way of a binder is opened, followed, changed or removed.
///
/// The clause plants files, folders, links, FIFOs, sockets, queues and segments where the binder will make its own.
/// `bind` returns [`Error::Taken`] at once, `connect` meets nobody, and the name works again when the plant is gone.
///
/// Why: whoever may write to a shared folder can put a link there, and the binder would write to its target.
///
/// A failing channel creates its objects without `O_EXCL` or `IPC_EXCL`.
pub fn what_is_planted_is_refused<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let made_once = || {
        let (mut child, made) = binder::<C>(stage, &name)?;
        child.kill().map_err(words)?;
        objects::sweep(false).map_err(words)?;
        Ok::<_, String>(made)
    };
    let (first, second) = (made_once()?, made_once()?);
    let predictable: Vec<_> = first.into_iter().filter(|object| second.contains(object)).collect();
    if predictable.is_empty() {
        return Err("nothing that it makes has the same name twice".into());
    }
    // Not in the private folder, which goes when it is empty.
    let victim = std::env::temp_dir().join(format!("{}-victim", Name::unique()));
    fs::write(&victim, "precious").map_err(words)?;
    let verdict = predictable.iter().try_for_each(|object| {
        Plant::all(object).iter().try_for_each(|&plant| {
            // Makes the folder again, which whoever emptied it has removed.
            objects::directory().map_err(words)?;
            refuses::<C>(&name, &Planted::new(object, plant, &victim)?)
                .map_err(|why| format!("{plant:?} planted as {object}: {why}"))
        })
    });
    let _ = fs::remove_file(&victim);
    verdict?;
    let (child, _) = binder::<C>(stage, &name)?;
    meets_its_peer::<C>(child, &name)
}

fn refuses<C: Rendezvous>(name: &Name, planted: &Planted<'_>) -> Verdict {
    let before = planted.look()?;
    match C::bind(name, &options(MEANWHILE)) {
        Err(Error::Taken { .. }) => {}
        other => return Err(format!("bind: {:?}", other.map(drop))),
    }
    let began = Instant::now();
    if C::connect(name, &options(MEANWHILE)).is_ok() {
        return Err("connect met somebody".into());
    }
    // No promise, but far from the 10 s of a call that has forgotten its deadline.
    if began.elapsed() > SOON {
        return Err(format!("connect returned after {:?}, not {MEANWHILE:?}", began.elapsed()));
    }
    let left = made_by(std::process::id())?;
    if !left.is_empty() {
        return Err(format!("left: {left:?}"));
    }
    let after = planted.look()?;
    if before == after { Ok(()) } else { Err(format!("it was {before} and is {after}")) }
}

/// A connector does not use an object that is open to others.
///
/// The clause gives the binder's objects mode 0666. `connect` returns [`Error::Unsupported`] for the name.
///
/// Why: whoever can open the object can write to it, and shorten it.
///
/// A failing channel connects. One that has no such object skips the clause.
pub fn what_is_open_to_others_is_refused<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (mut child, made) = binder::<C>(stage, &name)?;
    let mut opened = 0;
    for object in &made {
        let wide = Mode::from_bits_truncate(0o666);
        if let Object::PosixMq(name) = object {
            let queue = mq_open(name.as_str(), MQ_OFlag::O_RDONLY, Mode::empty(), None).map_err(words)?;
            fchmod(queue.as_fd(), wide).map_err(words)?;
            let _ = mq_close(queue);
            opened += 1;
        } else if let Some(path) =
            path_of(object).filter(|path| path.symlink_metadata().is_ok_and(|f| !f.file_type().is_socket()))
        {
            fs::set_permissions(path, fs::Permissions::from_mode(wide.bits())).map_err(words)?;
            opened += 1;
        }
    }
    let outcome = C::connect(&name, &options(SOON)).map(drop);
    child.kill().map_err(words)?;
    objects::sweep(false).map_err(words)?;
    match outcome {
        _ if opened == 0 => {
            let why = "it makes nothing with a mode that the connector opens itself".to_owned();
            Err(stage.lacks("open to others", &Error::Unsupported { what: "clause", why }))
        }
        Err(Error::Unsupported { what: "name", .. }) => Ok(()),
        other => Err(format!("connect to what is open to others: {other:?}")),
    }
}

/// A process that meets another and then says nothing holds it up until the deadline and no longer.
///
/// This holds when it comes late, and while signals interrupt the wait.
///
/// Why: a meeting has several steps, and a deadline for each of them adds up.
///
/// A failing channel waits longer than its deadline. One that has no socket to meet at skips the clause.
pub fn a_silent_peer_is_given_up<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let meeting = objects::path(&name, C::SPEC.name).map_err(words)?;
    let (mut child, made) = binder::<C>(stage, &name)?;
    child.kill().map_err(words)?;
    objects::sweep(false).map_err(words)?;
    let object = Object::Path(meeting.clone());
    if !made.contains(&object) {
        let why = "it has no socket where the two meet".to_owned();
        return Err(stage.lacks("a silent peer", &Error::Unsupported { what: "clause", why }));
    }
    let _signals = Signals::start(INTERVAL)?;
    let verdict = on_time("connect", MEANWHILE, || {
        objects::directory().map_err(words)?;
        let _silent = Planted::new(&object, Plant::Socket, &meeting)?;
        let began = Instant::now();
        match C::connect(&name, &options(MEANWHILE)) {
            Err(Error::TimedOut) => Ok(began.elapsed()),
            // It looks for what the binder has made before it listens to him.
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(MEANWHILE),
            other => Err(format!("connect: {:?}", other.map(drop))),
        }
    });
    verdict?;
    on_time("bind", MEANWHILE, || {
        loop {
            if let Some(took) = bind_to_a_silent_peer::<C>(&name, &meeting)? {
                return Ok(took);
            }
        }
    })
}

/// How long `bind` took where a process connects to its socket and says nothing. `None` where one of the two was held up so long
/// that they did not meet.
fn bind_to_a_silent_peer<C: Rendezvous>(name: &Name, meeting: &Path) -> std::result::Result<Option<Duration>, String> {
    thread::scope(|scope| {
        let silent = scope.spawn(|| {
            sleep(MEANWHILE / 2);
            reach(meeting, SockType::Stream)
        });
        let began = Instant::now();
        let met = C::bind(name, &options(MEANWHILE)).map(drop);
        let took = began.elapsed();
        let silent = silent.join().map_err(|_| "the silent peer panicked")?;
        match (met, silent) {
            (Err(Error::TimedOut), Ok(_)) => Ok(Some(took)),
            // There is nothing that he should have said.
            (Ok(()), Ok(_)) => Ok(Some(MEANWHILE)),
            (Err(Error::TimedOut), Err(Errno::ENOENT | Errno::ECONNREFUSED)) => Ok(None),
            (met, silent) => Err(format!("bind: {met:?}; the silent peer: {silent:?}")),
        }
    })
}

/// What another user is told who tries everything that can be done with a name.
fn attempts(object: &Object) -> Vec<(&'static str, nix::Result<()>)> {
    let os = |result: ipc_core::Result<()>| result.map_err(|error| error.errno().unwrap_or(Errno::UnknownErrno));
    let (read, write) = (OFlag::O_RDONLY | OFlag::O_NONBLOCK, OFlag::O_WRONLY | OFlag::O_NONBLOCK);
    let id = |kind: &str, column: &str, key: sysv::Key| {
        row_of(kind, "key", key.into()).and_then(|row| i32::try_from(*row.get(column)?).ok()).unwrap_or(-1)
    };
    match object {
        Object::Path(_) | Object::PosixShm(_) => {
            let path = &path_of(object).unwrap_or_default();
            let mut tried = vec![
                ("open to read", open(path, read, Mode::empty()).map(drop)),
                ("open to write", open(path, write, Mode::empty()).map(drop)),
                ("unlink", unlink(path)),
            ];
            if matches!(object, Object::Path(_)) {
                tried.extend(SOCKETS.map(|(what, kind)| (what, reach(path, kind).map(drop))));
            }
            tried
        }
        Object::PosixMq(name) => {
            let open = |flags| mq_open(name.as_str(), flags, Mode::empty(), None).and_then(mq_close);
            vec![
                ("mq_open to read", open(MQ_OFlag::O_RDONLY)),
                ("mq_open to write", open(MQ_OFlag::O_WRONLY)),
                ("mq_unlink", mq_unlink(name.as_str())),
            ]
        }
        Object::SysvQueue(key) => vec![
            ("msgget", os(sysv::find_queue(*key).map(drop))),
            ("IPC_STAT", os(sysv::queue_owner(id("msg", "msqid", *key)).map(drop))),
            ("IPC_RMID", os(sysv::remove_queue(id("msg", "msqid", *key)).map(drop))),
        ],
        Object::SysvSegment(key) => vec![
            ("shmget", os(sysv::find_segment(*key).map(drop))),
            ("IPC_STAT", os(sysv::segment_status(id("shm", "shmid", *key)).map(drop))),
            ("IPC_RMID", os(sysv::remove_segment(id("shm", "shmid", *key)).map(drop))),
        ],
    }
}

const SOCKETS: [(&str, SockType); 3] = [
    ("connect a stream to", SockType::Stream),
    ("connect packets to", SockType::SeqPacket),
    ("connect datagrams to", SockType::Datagram),
];

/// A socket of `kind` that is connected to `path`.
fn reach(path: &Path, kind: SockType) -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    let address = SocketAddress::of(path).map_err(|error| error.errno().unwrap_or(Errno::ENAMETOOLONG))?;
    connect(socket.as_raw_fd(), address.get())?;
    Ok(socket)
}

/// A socket that listens at `path` and never answers.
fn listen_at(path: &Path) -> Result<OwnedFd, String> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(words)?;
    bind(socket.as_raw_fd(), SocketAddress::of(path).map_err(words)?.get()).map_err(words)?;
    listen(&socket, Backlog::MAXCONN).map_err(words)?;
    Ok(socket)
}

/// Another user can neither open, change nor remove what a binder has made.
///
/// Each attempt fails with `EACCES` or `EPERM`, and the binder meets its true peer afterwards. The clause needs root.
///
/// Why: mode bits are what keeps other users out.
///
/// A failing channel lets one attempt succeed.
pub fn another_user_gets_nowhere<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (child, made) = binder::<C>(stage, &name)?;
    let intruder = stage.fork("another user", || {
        become_ordinary().map_err(words)?;
        for object in &made {
            for (what, outcome) in attempts(object) {
                if !matches!(outcome, Err(Errno::EACCES | Errno::EPERM)) {
                    return Err(format!("{what} {object}: {outcome:?}"));
                }
            }
        }
        let met = C::connect(&name, &options(MEANWHILE)).is_ok();
        let _ = objects::directory().map(fs::remove_dir);
        if met { Err("connect met the other user's binder".into()) } else { Ok(()) }
    })?;
    join(intruder)?;
    meets_its_peer::<C>(child, &name)
}

/// A binder asks who comes, and hangs up on another user, although the mode bits would let it in.
///
/// The clause opens the folder and the sockets to everybody. It needs root, and a mechanism that has a socket.
///
/// Why: a folder can be opened by mistake, and `SO_PEERCRED` costs nothing.
///
/// A failing channel takes the other user for its peer.
pub fn another_user_is_turned_away<C: Rendezvous>(stage: &Stage) -> Verdict {
    let name = Name::unique();
    let (mut child, made) = binder::<C>(stage, &name)?;
    let is_socket = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    let sockets: Vec<_> = made.iter().filter_map(path_of).filter(is_socket).collect();
    if sockets.is_empty() {
        child.kill().map_err(words)?;
        objects::sweep(false).map_err(words)?;
        let why = "it has no socket, so it cannot ask who comes".to_owned();
        return Err(stage.lacks("another user", &Error::Unsupported { what: "clause", why }));
    }
    let (folder, meeting) = (objects::directory().map_err(words)?, objects::path(&name, C::SPEC.name).map_err(words)?);
    if !sockets.contains(&meeting) {
        return Err("it waits somewhere else than this test thinks".into());
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(words);
    mode(&folder, 0o711)?;
    sockets.iter().try_for_each(|path| mode(path, 0o666))?;
    let intruder = stage.fork("another user", || {
        // Its parents may be closed to him.
        set_current_dir(&folder).map_err(words)?;
        become_ordinary().map_err(words)?;
        for path in &sockets {
            let (is_first, path) = (*path == meeting, Path::new(path.file_name().unwrap_or_default()));
            let reached = SOCKETS.iter().find_map(|&(_, kind)| reach(path, kind).ok());
            let reached = reached.ok_or_else(|| format!("{} could not be reached", path.display()))?;
            if is_first {
                is_hung_up(&reached)?;
            }
        }
        Ok(())
    })?;
    let verdict = join(intruder);
    mode(&folder, 0o700)?;
    verdict?;
    meets_its_peer::<C>(child, &name)
}

/// Where the binder waits for its peer it hangs up on other users; at its other sockets it looks when the peer has come.
fn is_hung_up(socket: &impl AsRawFd) -> Verdict {
    let began = Instant::now();
    loop {
        match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(()),
            Err(Errno::EAGAIN | Errno::EINTR) if began.elapsed() < SOON / 2 => sleep(MEANWHILE / 10),
            other => return Err(format!("another user was not turned away: {other:?}")),
        }
    }
}
