//! A build of this program that the gate runs, over and over.
//!
//! Its file is copied into memory once (memfd_create(2), sealed), and what runs is that copy. So it does not matter where the
//! file lies and how long its path is, which would shift the stack of one side against the other's; and whoever rebuilds it
//! meanwhile disturbs nothing.

use super::{
    exact::ExactReading,
    reading::{Identity, PROGRAM, Reading, SCHEMA, Stretch},
};
use crate::{
    cell::{Access, Cell},
    inject,
};
use ipc_core::{
    Error,
    deadline::Deadline,
    process::{self, Exit},
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::{Mode, fchmod},
    },
    unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve},
};
use serde::de::DeserializeOwned;
use std::{
    ffi::CString,
    fs::File,
    io::{self, PipeReader, Read, pipe},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// A call is given up after this: later than the deadline of the pair in it.
const DEADLINE: Duration = Duration::from_secs(20);
/// The most that is read of what a program prints; a reading has some 20 KiB.
const MOST_OUTPUT: usize = 4 << 20;

/// A build of this program.
#[derive(Debug)]
pub struct Program {
    /// Where it came from.
    pub path: PathBuf,
    /// What it says of itself.
    pub identity: Identity,
    file: OwnedFd,
}

/// Why a file cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such file, or it cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no build of this program, or one that cannot be compared with another.
    #[error("'{}' cannot be compared: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The gate itself could not go on.
    #[error("{0}")]
    System(Error),
}

/// Why a call of a program yielded nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It could not be started or listened to.
    #[error("{0}")]
    System(Error),
    /// The kernel does not run it.
    #[error("it cannot be run here: {0}")]
    NoProgram(Errno),
    /// It ended otherwise than with a figure; with what it said.
    #[error("{0}: {1}")]
    Ended(String, String),
    /// It printed something else than was asked for.
    #[error("it prints what is no line of {PROGRAM}: {0}")]
    Garbled(String),
    /// It hung.
    #[error("no answer within {0:?}")]
    Hung(Duration),
}

/// How a called program ended, and what it printed.
struct Called {
    exit: Exit,
    printed: Vec<u8>,
    complained: Vec<u8>,
}

/// The exit code of a child whose execve failed, and what it then prints: an errno.
const NOT_EXECUTED: i32 = 127;

/// Whether every one of `builds` has `mechanism` by `access`.
pub fn all_have(builds: &[Program], mechanism: &str, access: Access) -> bool {
    builds.iter().all(|build| build.identity.has(mechanism, access))
}

impl Program {
    /// Copies the file at `path` and asks it what it is.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn load(path: &Path) -> Result<Self, Unfit> {
        let missing = |source| Unfit::Missing { path: path.into(), source };
        let mut source = File::open(path).map_err(missing)?;
        if !source.metadata().map_err(missing)?.is_file() {
            return Err(missing(io::Error::other("it is no file")));
        }
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let system = |call| move |errno| Unfit::System(Error::os(call, errno));
        let mut file = File::from(memfd_create(c"ipc-bench-build", flags).map_err(system("memfd_create"))?);
        fchmod(&file, Mode::S_IRUSR | Mode::S_IXUSR).map_err(system("fchmod"))?;
        io::copy(&mut source, &mut file).map_err(missing)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(system("fcntl"))?;

        let foreign = |why: String| Unfit::Foreign { path: path.into(), why };
        let identity: Identity = ask(&file, &["sample", "--identify"], None).map_err(|error| match error {
            CallError::System(error) => Unfit::System(error),
            CallError::NoProgram(Errno::ENOEXEC) => {
                foreign("it is no program for this machine's architecture (ENOEXEC)".into())
            }
            CallError::Ended(how, said) if said.contains("unrecognized subcommand") => {
                foreign(format!("{how}: it has no verb 'sample', so it was built before there was this gate"))
            }
            error => foreign(format!("it is no {PROGRAM}, or one from before this gate: {error}")),
        })?;
        if identity.program != PROGRAM {
            return Err(foreign(format!("it calls itself '{}' and not {PROGRAM}", identity.program)));
        }
        if identity.schema != SCHEMA {
            let theirs = identity.schema;
            return Err(foreign(format!("its readings have version {theirs}, those of this program version {SCHEMA}")));
        }
        Ok(Self { path: path.into(), identity, file: file.into() })
    }

    /// Measures one pair of `cell`, with `injection` as what [`inject`] reads.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn sample(&self, cell: &Cell, stretch: Stretch, injection: Option<&str>) -> Result<Reading, CallError> {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let (warm_up, measure) = (milliseconds(stretch.warm_up), milliseconds(stretch.measure));
        let name = cell.to_string();
        ask(&self.file, &["sample", &name, "--warm-up", &warm_up, "--measure", &measure], injection)
    }

    /// Counts what a message of `subject` takes; whatever befalls it is in the reading.
    pub fn count(&self, subject: &str) -> ExactReading {
        ask(&self.file, &["sample", subject], None).unwrap_or_else(|error| ExactReading {
            name: subject.to_owned(),
            error: Some(error.to_string()),
            ..ExactReading::default()
        })
    }
}

/// Runs the program in `file` with `words`, and reads the one line of JSON that it prints.
fn ask<T: DeserializeOwned>(file: &impl AsFd, words: &[&str], injection: Option<&str>) -> Result<T, CallError> {
    let called = call(file.as_fd(), words, injection)?;
    let said = || {
        let text = String::from_utf8_lossy(&called.complained);
        text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    };
    match called.exit {
        Exit::Code(0 | 1) => {}
        Exit::Code(code) => {
            // What a shell that finds nothing says is no number.
            if let (NOT_EXECUTED, Ok(errno)) = (code, said().parse()) {
                return Err(CallError::NoProgram(Errno::from_raw(errno)));
            }
            return Err(CallError::Ended(format!("exit code {code}"), said()));
        }
        Exit::Signal(signal) => return Err(CallError::Ended(format!("killed by {signal}"), said())),
    }
    serde_json::from_slice(&called.printed).map_err(|error| {
        let text = String::from_utf8_lossy(&called.printed);
        let start: String = text.chars().take(60).collect();
        CallError::Garbled(format!("{error} in {start:?}"))
    })
}

fn call(file: BorrowedFd<'_>, words: &[&str], injection: Option<&str>) -> Result<Called, CallError> {
    let string = |text: &str| CString::new(text).expect("names hold no NUL");
    let program = string(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    let words: Vec<CString> = std::iter::once(PROGRAM).chain(words.iter().copied()).map(string).collect();
    let environment: Vec<CString> = environment(injection);
    let system = |call| move |error: io::Error| CallError::System(Error::io(call, &error));
    let null = File::open("/dev/null").map_err(system("open"))?;
    let (printed, stdout) = pipe().map_err(system("pipe2"))?;
    let (complained, stderr) = pipe().map_err(system("pipe2"))?;
    let mut child = process::fork(|| {
        let redirected = dup2_stdin(&null).and_then(|()| dup2_stdout(&stdout)).and_then(|()| dup2_stderr(&stderr));
        let Err(errno) = redirected.and_then(|()| execve(&program, &words, &environment));
        eprintln!("{}", errno as i32);
        NOT_EXECUTED
    })
    .map_err(CallError::System)?;
    drop((stdout, stderr));
    let mut deadline = Deadline::after(DEADLINE);
    let [printed, complained] = drain([printed, complained], &mut deadline)?;
    let exit = child.wait(deadline.left()).map_err(CallError::System)?;
    Ok(Called { exit: exit.ok_or(CallError::Hung(DEADLINE))?, printed, complained })
}

/// This process's environment, with `injection` in place of its own.
fn environment(injection: Option<&str>) -> Vec<CString> {
    let own = std::env::vars_os().filter(|(name, _)| name != inject::VARIABLE);
    let pairs = own.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let injected = injection.map(|text| format!("{}={text}", inject::VARIABLE).into_bytes());
    pairs.chain(injected).map(|pair| CString::new(pair).expect("the environment holds no NUL")).collect()
}

/// Reads both to their end.
fn drain(pipes: [PipeReader; 2], deadline: &mut Deadline) -> Result<[Vec<u8>; 2], CallError> {
    let mut texts = [Vec::new(), Vec::new()];
    let mut open = [true; 2];
    while open.contains(&true) {
        let slice = deadline.slice();
        if slice.is_zero() {
            return Err(CallError::Hung(DEADLINE));
        }
        let which: Vec<usize> = (0..2).filter(|&index| open[index]).collect();
        let mut fds: Vec<_> = which.iter().map(|&i| PollFd::new(pipes[i].as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(CallError::System(Error::os("poll", errno))),
        }
        let ready: Vec<usize> =
            which.iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(&i, _)| i).collect();
        for index in ready {
            let mut chunk = [0; 1 << 14];
            match (&pipes[index]).read(&mut chunk) {
                Ok(0) => open[index] = false,
                Ok(len) => texts[index].extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CallError::System(Error::io("read", &error))),
            }
            if texts[index].len() > MOST_OUTPUT {
                return Err(CallError::Garbled(format!("more than {MOST_OUTPUT} bytes")));
            }
        }
    }
    Ok(texts)
}
