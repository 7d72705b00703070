//! Runs a program as a child of this process, with a deadline, no input, and both outputs read to their end.

use bench_lab::{interrupt, say};
use ipc_core::{
    Error,
    deadline::Deadline,
    process::{self, Child, Exit},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setpgid},
};
use std::{
    ffi::CString,
    fs::File,
    io::{self, PipeReader, Read, pipe},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

/// The most bytes read of a program's output. A reading has some 20 KiB.
pub(super) const MOST_OUTPUT: usize = 4 << 20;
/// The exit code of a child whose execve failed. The child then prints the errno to stderr.
pub(super) const NOT_EXECUTED: i32 = 127;

/// The program to run, and how to run it.
pub(super) struct Invocation {
    /// The path of the program.
    pub(super) program: CString,
    /// The program's arguments. The first is the name that it is called by.
    pub(super) words: Vec<CString>,
    /// Its environment, as `NAME=VALUE`.
    pub(super) environment: Vec<CString>,
    /// The folder that the program starts in. `None` is this process's folder.
    pub(super) folder: Option<PathBuf>,
    /// The deadline.
    pub(super) limit: Duration,
    /// Whether the program leads a process group of its own. The group is killed if the program ends or takes too long, or if
    /// this process is asked to stop.
    pub(super) leads: bool,
}

/// How a program ended, and what it printed.
pub(super) struct Called {
    pub(super) exit: Exit,
    pub(super) printed: Vec<u8>,
    pub(super) complained: Vec<u8>,
}

/// The reason why a program's end is unknown.
pub(super) enum Failure {
    /// The program could not be started or listened to.
    System(Error),
    /// The program took too long.
    Hung,
    /// The program printed more than [`MOST_OUTPUT`] bytes.
    Wordy,
    /// This process was asked to stop.
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::System(error)
    }
}

/// Runs the program to its end.
pub(super) fn call(what: &Invocation) -> Result<Called, Failure> {
    let system = |call| move |error: io::Error| Error::io(call, &error);
    let null = File::open("/dev/null").map_err(system("open"))?;
    let (printed, stdout) = pipe().map_err(system("pipe2"))?;
    let (complained, stderr) = pipe().map_err(system("pipe2"))?;
    let mut child = process::fork(|| {
        let grouped = if what.leads { setpgid(Pid::this(), Pid::this()) } else { Ok(()) };
        let entered = grouped.and_then(|()| what.folder.as_deref().map_or(Ok(()), chdir));
        let redirected = entered.and_then(|()| dup2_stdin(&null)).and_then(|()| dup2_stdout(&stdout));
        let redirected = redirected.and_then(|()| dup2_stderr(&stderr));
        let Err(errno) = redirected.and_then(|()| execve(&what.program, &what.words, &what.environment));
        say!("{}", errno as i32);
        NOT_EXECUTED
    })?;
    drop((stdout, stderr));
    // Parent and child both set the group, so it is set before either goes on.
    let _ = what.leads.then(|| setpgid(child.pid(), child.pid()));
    let mut deadline = Deadline::after(what.limit);
    let texts = drain([printed, complained], what.leads.then_some(&child), &mut deadline);
    if what.leads {
        kill_group(&child);
    }
    let [printed, complained] = texts?;
    let exit = child.wait(deadline.left())?;
    Ok(Called { exit: exit.ok_or(Failure::Hung)?, printed, complained })
}

/// Kills the group of `leader`. The leader is not reaped yet, so its id is still valid.
fn kill_group(leader: &Child) {
    let _ = killpg(leader.pid(), Signal::SIGKILL);
}

/// Reads both pipes to their end. If there is a `leader`, its end also ends its group, which may hold the pipes open.
fn drain(pipes: [PipeReader; 2], leader: Option<&Child>, deadline: &mut Deadline) -> Result<[Vec<u8>; 2], Failure> {
    let mut texts = [Vec::new(), Vec::new()];
    let mut open = [true; 2];
    let mut alive = leader;
    while open.contains(&true) || alive.is_some() {
        let slice = deadline.slice();
        if slice.is_zero() {
            return Err(Failure::Hung);
        }
        if leader.is_some() && interrupt::requested() {
            return Err(Failure::Interrupted);
        }
        let which: Vec<usize> = (0..2).filter(|&index| open[index]).collect();
        let mut watched: Vec<BorrowedFd<'_>> = which.iter().map(|&index| pipes[index].as_fd()).collect();
        watched.extend(alive.map(Child::pidfd));
        let ready = readable(&watched, slice)?;
        if let Some(leader) = alive.filter(|_| ready.last() == Some(&true)) {
            kill_group(leader);
            alive = None;
        }
        for (&index, _) in which.iter().zip(ready).filter(|(_, ready)| *ready) {
            open[index] = take(&pipes[index], &mut texts[index])?;
        }
    }
    Ok(texts)
}

/// Tells which of `fds` are readable or at their end.
fn readable(fds: &[BorrowedFd<'_>], limit: Duration) -> Result<Vec<bool>, Failure> {
    let mut fds: Vec<PollFd<'_>> = fds.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(fds.iter().map(|fd| fd.any() == Some(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(errno) => Err(Error::os("poll", errno).into()),
    }
}

/// Appends the available bytes to `text`. Returns false at the end.
fn take(mut pipe: &PipeReader, text: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut chunk = [0; 1 << 14];
    match pipe.read(&mut chunk) {
        Ok(0) => return Ok(false),
        Ok(len) => text.extend_from_slice(&chunk[..len]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(Error::io("read", &error).into()),
    }
    if text.len() > MOST_OUTPUT { Err(Failure::Wordy) } else { Ok(true) }
}
