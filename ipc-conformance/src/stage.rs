//! Where a clause plays: the trial's processes, their watchdog, and what they report.
//!
//! - `Stage::between` opens a channel, forks, and runs one closure on either end: most clauses are one call of it.
//! - `Stage::fork` and `join` are for clauses that need other processes, `Stage::exec` for those that share nothing.
//! - `link::Side` is an end together with what is said and expected on it.

use crate::{
    Outcome, Verdict,
    link::{self, Side},
};
use ipc_core::{
    Channel, Endpoint, Error, Options, Wait,
    leftovers::{self, Stray},
    process::{self, Child, Exit, PANICKED, Watched},
    stream::set_nonblocking,
};
use nix::sys::signal::Signal;
use std::{
    io::{PipeReader, PipeWriter, Read, Write, stdout},
    os::{fd::AsFd, unix::net::UnixStream, unix::process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

/// A check that runs in a process of its own under a watchdog.
pub(crate) struct Running {
    process: Watched,
    notes: PipeReader,
    began: SystemTime,
}

impl Running {
    /// Starts `check`, which has hung when it still runs after `limit`.
    pub fn start(limit: Duration, wait: Wait, check: impl FnOnce(&Stage) -> Verdict) -> Result<Self, String> {
        let (notes, writer) = std::io::pipe().map_err(|error| format!("pipe: {error}"))?;
        let stage = Stage { wait, notes: writer };
        link::prepare();
        let began = SystemTime::now();
        let process = Watched::start(limit, || {
            stage.enter();
            check(&stage)
        })?;
        Ok(Self { process, notes, began })
    }

    /// Waits for its end, and looks for leftovers.
    pub fn outcome(self) -> Outcome {
        let verdict = self.process.verdict();
        let notes = Notes::read(self.notes);
        match verdict {
            Ok(()) => match leftovers::of(&notes.pids, Stray::Counts(self.began)) {
                Ok(left) if left.is_empty() => Outcome::Kept,
                Ok(left) => Outcome::Broken(format!("left behind: {}", left.join(", "))),
                Err(error) => Outcome::Broken(error.to_string()),
            },
            Err(_) if notes.ignored.is_some() => Outcome::Ignored(notes.ignored.unwrap_or_default()),
            Err(_) if notes.unsupported.is_some() => Outcome::Unsupported(notes.unsupported.unwrap_or_default()),
            Err(why) => Outcome::Broken([vec![why], notes.remarks].concat().join("; ")),
        }
    }
}

/// Both sides of a link of `C`.
type Sides<C> = (Side<<C as Channel>::Endpoint>, Side<<C as Channel>::Endpoint>);

/// What the processes of one trial share: the wait strategy under test, and a line to the process that judges.
///
/// Every clause gets one. Only the suite makes them.
#[derive(Debug)]
pub struct Stage {
    /// The strategy under test.
    pub(crate) wait: Wait,
    notes: PipeWriter,
}

impl Stage {
    /// The options of this trial's channels: the strategy under test, all else by default.
    pub(crate) fn options(&self) -> Options {
        Options { wait: self.wait, ..Options::default() }
    }

    /// [`options`](Stage::options) with a deadline.
    pub(crate) fn options_within(&self, timeout: Duration) -> Options {
        Options { timeout: Some(timeout), ..self.options() }
    }

    /// How many messages to move where `n` are fit for an end that sleeps. Spinning ends that have to share a core hand
    /// over once per time slice.
    pub(crate) fn rounds(&self, n: u64) -> u64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.wait {
            Wait::Block => n,
            Wait::Spin | Wait::Hybrid if cores > 1 => n / 5,
            Wait::Spin | Wait::Hybrid => n / 100,
        }
    }

    /// Opens a channel. Where this kernel lacks the mechanism, the trial is ignored.
    pub(crate) fn pair<C: Channel>(&self, options: &Options) -> Result<(C::Endpoint, C::Endpoint), String> {
        C::pair(options).map_err(|error| self.refused::<C>("pair", &error))
    }

    /// The facts of an `error` from opening a channel by `call`.
    pub(crate) fn refused<C: Channel>(&self, call: &str, error: &Error) -> String {
        // Only a mechanism that is lacking is a reason to ignore anything: not a folder that is open to others, nor a name.
        match error {
            Error::Unsupported { what, .. } if *what == C::SPEC.name => self.lacks(call, error),
            error => format!("{call}: {error}"),
        }
    }

    /// The facts of an `error` of `call`, without which there is no trial; where it is [`Error::Unsupported`], the trial is
    /// ignored.
    pub(crate) fn lacks(&self, call: &str, error: &Error) -> String {
        if matches!(error, Error::Unsupported { .. }) {
            self.note("unsupported", &error.to_string());
        }
        format!("{call}: {error}")
    }

    /// Ends the trial where `C` takes messages of any length: the clause is ignored.
    pub(crate) fn has_a_limit<C: Channel>(&self) -> Verdict {
        let (end, _) = self.pair::<C>(&self.options())?;
        if end.max_message() < usize::MAX {
            return Ok(());
        }
        let why = "a byte stream that has no limit";
        self.note("ignored", why);
        Err(why.to_owned())
    }

    /// Opens a channel with [`options`](Stage::options) and runs `peer` on one end in a forked process and `here` on the
    /// other in this one.
    pub(crate) fn between<C: Channel>(
        &self,
        peer: impl FnOnce(&mut Side<C::Endpoint>) -> Verdict,
        here: impl FnOnce(&mut Side<C::Endpoint>) -> Verdict,
    ) -> Verdict {
        self.between_with::<C>(&self.options(), peer, here)
    }

    /// [`between`](Stage::between) with other options.
    pub(crate) fn between_with<C: Channel>(
        &self,
        options: &Options,
        peer: impl FnOnce(&mut Side<C::Endpoint>) -> Verdict,
        here: impl FnOnce(&mut Side<C::Endpoint>) -> Verdict,
    ) -> Verdict {
        self.play(self.sides::<C>(options)?, peer, here)
    }

    /// Both sides of a fresh link, with a control line between them.
    pub(crate) fn sides<C: Channel>(&self, options: &Options) -> Result<Sides<C>, String> {
        let (a, b) = self.pair::<C>(options)?;
        let (line, peer_line) = line()?;
        Ok((Side::new(C::SPEC, a, line, 1), Side::new(C::SPEC, b, peer_line, 2)))
    }

    /// Runs `peer` with the second of `ends` in a forked process and `here` with the first in this one.
    pub(crate) fn play<A, B>(
        &self,
        ends: (A, B),
        peer: impl FnOnce(&mut B) -> Verdict,
        here: impl FnOnce(&mut A) -> Verdict,
    ) -> Verdict {
        let (child, mut end) = self.part(ends, peer)?;
        let verdict = here(&mut end);
        drop(end);
        finish(verdict, [child])
    }

    /// Runs `peer` with the second of `ends` in a forked process, and returns the first.
    pub(crate) fn part<A, B>(&self, ends: (A, B), peer: impl FnOnce(&mut B) -> Verdict) -> Result<(Child, A), String> {
        process::fork_peer(ends, |mut end| self.act("peer", || peer(&mut end))).map_err(|error| error.to_string())
    }

    /// Forks a process that runs `act`.
    pub(crate) fn fork(&self, who: &str, act: impl FnOnce() -> Verdict) -> Result<Child, String> {
        process::fork(|| self.act(who, act)).map_err(|error| error.to_string())
    }

    /// Turns this process into this test binary, started anew with `arguments`. It has `stdin` and the notes, as its
    /// standard input and output, and nothing else of what this process has made. Returns only why it could not.
    pub(crate) fn exec(&self, stdin: impl Into<Stdio>, arguments: &[&str]) -> String {
        let notes = match self.notes.try_clone() {
            Ok(notes) => notes,
            Err(error) => return format!("dup: {error}"),
        };
        format!("exec: {}", Command::new("/proc/self/exe").args(arguments).stdin(stdin).stdout(notes).exec())
    }

    /// Runs `act` in a process that [`exec`](Stage::exec) has started; returns its exit code.
    pub(crate) fn continued(who: &str, wait: Wait, act: impl FnOnce(&Self) -> Verdict) -> i32 {
        match stdout().as_fd().try_clone_to_owned() {
            Ok(notes) => {
                let stage = Self { wait, notes: notes.into() };
                stage.act(who, || act(&stage))
            }
            Err(_) => PANICKED,
        }
    }

    fn act(&self, who: &str, act: impl FnOnce() -> Verdict) -> i32 {
        self.enter();
        match act() {
            Ok(()) => 0,
            Err(why) => {
                self.note("remark", &format!("{who}: {why}"));
                1
            }
        }
    }

    /// Names this process to the judge, who looks for what it leaves.
    fn enter(&self) {
        self.note("pid", &std::process::id().to_string());
    }

    fn note(&self, kind: &str, text: &str) {
        // One line, one write: up to PIPE_BUF bytes stay together (pipe(7)).
        let text: String = text.replace('\n', " / ").chars().take(800).collect();
        let _ = (&self.notes).write_all(format!("{kind} {text}\n").as_bytes());
    }
}

/// Both ends of a control line: an ordinary socket, never the channel under test.
pub(crate) fn line() -> Result<(UnixStream, UnixStream), String> {
    UnixStream::pair().map_err(|error| format!("socketpair: {error}"))
}

/// Waits for `children` and adds their failures to `verdict`. A child may end by killing itself ([`Side::die`]).
pub(crate) fn finish<const N: usize>(verdict: Verdict, children: [Child; N]) -> Verdict {
    // Where this side has failed the others may wait for ever; dropping a child kills it.
    verdict.map_err(|why| format!("here: {why}"))?;
    children.map(join).into_iter().collect()
}

/// Waits for `child`, which must have succeeded or killed itself.
pub(crate) fn join(mut child: Child) -> Verdict {
    match child.wait(Duration::MAX).map_err(|error| error.to_string())? {
        Some(Exit::Code(0) | Exit::Signal(Signal::SIGKILL)) => Ok(()),
        exit => Err(format!("process {} ended with {exit:?}", child.pid())),
    }
}

/// What the processes of a trial noted.
#[derive(Default)]
struct Notes {
    pids: Vec<u32>,
    remarks: Vec<String>,
    unsupported: Option<String>,
    ignored: Option<String>,
}

impl Notes {
    /// Reads what there is; a process that is still being killed may hold the other end open.
    fn read(mut reader: PipeReader) -> Self {
        let mut text = Vec::new();
        if set_nonblocking(&reader, true).is_ok() {
            let _ = reader.read_to_end(&mut text);
        }
        let mut notes = Self::default();
        for line in String::from_utf8_lossy(&text).lines() {
            match line.split_once(' ') {
                Some(("pid", pid)) => notes.pids.extend(pid.parse::<u32>()),
                Some(("remark", remark)) => notes.remarks.push(remark.to_owned()),
                Some(("unsupported", why)) => notes.unsupported = Some(why.to_owned()),
                Some(("ignored", why)) => notes.ignored = Some(why.to_owned()),
                _ => {}
            }
        }
        notes
    }
}
