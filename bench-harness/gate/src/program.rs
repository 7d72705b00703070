//! A build of this program that the gate runs many times, from a [copy](super::image) of its file.

use super::{
    call::{self, Called, Failure, Invocation, MOST_OUTPUT, NOT_EXECUTED},
    exact::ExactReading,
    image::{self, Unfit},
    reading::{Identity, PROGRAM, Reading, SCHEMA, Stretch},
};
use bench_lab::inject;
use bench_record::cell::{Access, Cell};
use ipc_core::{Error, process::Exit};
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use std::{
    cell::Cell as Mutable,
    ffi::CString,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// The deadline of a program that identifies itself or measures a pair. A pair gives itself up after three seconds.
const ANSWER: Duration = Duration::from_secs(5);
/// The deadline of a program that counts. A traced pair gives itself up after twenty seconds.
const COUNT: Duration = Duration::from_secs(30);
/// The number of missing answers after which a build is not asked again. So a build that always hangs ends the run in bounded
/// time.
const SILENCES: u32 = 3;

/// A build of this program.
#[derive(Debug)]
pub struct Program {
    /// The path of the original file.
    pub path: PathBuf,
    /// The identity that the build reports.
    pub identity: Identity,
    file: OwnedFd,
    /// Number of calls without an answer.
    silences: Mutable<u32>,
}

/// The reason why a call of a program yielded nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The program could not be started or listened to.
    #[error("{0}")]
    System(Error),
    /// The kernel refuses to run the program.
    #[error("it cannot be run here: {0}")]
    NoProgram(Errno),
    /// The program ended without a figure. Holds how it ended and what it printed.
    #[error("{0}: {1}")]
    Ended(String, String),
    /// The program printed something other than what was asked for.
    #[error("it prints what is no line of {PROGRAM}: {0}")]
    Garbled(String),
    /// The program hung. Holds the deadline.
    #[error("no answer within {0:?}")]
    Hung(Duration),
    /// The program hung too often before.
    #[error("not asked again, as {SILENCES} calls had no answer")]
    GivenUp,
    /// The program answered for another subject.
    #[error("it answers for {0:?}, which it was not asked for")]
    Mistaken(String),
}

/// Whether each of `builds` can measure `mechanism` by `access`.
pub fn all_have(builds: &[Program], mechanism: &str, access: Access) -> bool {
    builds.iter().all(|build| build.identity.has(mechanism, access))
}

impl Program {
    /// Copies the file at `path` and asks the copy for its identity.
    ///
    /// # Errors [`Unfit`].
    pub fn load(path: &Path) -> Result<Self, Unfit> {
        let file = image::copy(path)?;
        let foreign = |why: String| Unfit::Foreign { path: path.into(), why };
        let asked = ask(&file, &["sample", "--identify"], None, ANSWER);
        let identity: Identity = asked.map_err(|error| match error {
            CallError::System(error) => Unfit::System { path: path.into(), why: error.to_string() },
            CallError::NoProgram(Errno::ENOEXEC) => {
                foreign("it is no program for this machine's architecture (ENOEXEC)".into())
            }
            CallError::NoProgram(Errno::ENOENT) => {
                foreign("the dynamic linker it asks for is not here (ENOENT)".into())
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
        Ok(Self { path: path.into(), identity, file, silences: Mutable::new(0) })
    }

    /// Measures one pair of `cell`. The program gets `injection` in the format that [`inject`] reads.
    ///
    /// # Errors [`CallError`].
    pub fn sample(&self, cell: &Cell, stretch: Stretch, injection: Option<&str>) -> Result<Reading, CallError> {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let (warm_up, measure) = (milliseconds(stretch.warm_up), milliseconds(stretch.measure));
        let name = cell.to_string();
        let words = ["sample", &name, "--warm-up", &warm_up, "--measure", &measure];
        let reading: Reading = self.ask(&words, injection, ANSWER)?;
        if reading.cell == name { Ok(reading) } else { Err(CallError::Mistaken(reading.cell)) }
    }

    /// Counts the costs of a message of `subject`. Any failure is in the reading.
    pub fn count(&self, subject: &str) -> ExactReading {
        let reading = self.ask(&["sample", subject], None, COUNT).and_then(|reading: ExactReading| {
            if reading.name == subject { Ok(reading) } else { Err(CallError::Mistaken(reading.name)) }
        });
        reading.unwrap_or_else(|error| ExactReading {
            name: subject.to_owned(),
            error: Some(error.to_string()),
            ..ExactReading::default()
        })
    }

    fn ask<T: DeserializeOwned>(
        &self,
        words: &[&str],
        injection: Option<&str>,
        limit: Duration,
    ) -> Result<T, CallError> {
        if self.silences.get() >= SILENCES {
            return Err(CallError::GivenUp);
        }
        let answer = ask(&self.file, words, injection, limit);
        if matches!(answer, Err(CallError::Hung(_))) {
            self.silences.set(self.silences.get() + 1);
        }
        answer
    }
}

/// Runs the program in `file` with the arguments `words`, and reads the one line of JSON that it prints.
fn ask<T: DeserializeOwned>(
    file: &OwnedFd,
    words: &[&str],
    injection: Option<&str>,
    limit: Duration,
) -> Result<T, CallError> {
    let called = call(file, words, injection, limit)?;
    let said = || {
        let text = String::from_utf8_lossy(&called.complained);
        text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    };
    match called.exit {
        Exit::Code(0 | 1) => {}
        Exit::Code(code) => {
            // A shell that finds no program also exits with this code, but prints no number.
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

fn call(file: &OwnedFd, words: &[&str], injection: Option<&str>, limit: Duration) -> Result<Called, CallError> {
    let string = |text: &str| CString::new(text).expect("names hold no NUL");
    let what = Invocation {
        program: string(&format!("/proc/self/fd/{}", file.as_raw_fd())),
        words: std::iter::once(PROGRAM).chain(words.iter().copied()).map(string).collect(),
        environment: environment(injection),
        folder: None,
        limit,
        leads: false,
    };
    call::call(&what).map_err(|failure| match failure {
        Failure::System(error) => CallError::System(error),
        Failure::Wordy => CallError::Garbled(format!("more than {MOST_OUTPUT} bytes")),
        Failure::Hung | Failure::Interrupted => CallError::Hung(limit),
    })
}

/// This process's environment, with `injection` in place of its own injection.
fn environment(injection: Option<&str>) -> Vec<CString> {
    let own = std::env::vars_os().filter(|(name, _)| name != inject::VARIABLE);
    let pairs = own.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let injected = injection.map(|text| format!("{}={text}", inject::VARIABLE).into_bytes());
    pairs.chain(injected).map(|pair| CString::new(pair).expect("the environment holds no NUL")).collect()
}
