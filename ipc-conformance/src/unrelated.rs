//! Unrelated processes: the test binary starts itself again (`exec` of `/proc/self/exe`). They inherit nothing of a channel, and
//! share only the name and the options.
//!
//! Such a process waits for tasks on its standard input, a socket to the process of the clause, and answers each. So a clause reads
//! as a script with two actors. The process learns who it is from its arguments, which `run_all` looks at before anything else.

use crate::{
    Suite, Verdict,
    close::{hear_the_end, say_until_the_end},
    exec::{self, Inherited},
    link::{self, Side},
    on_time,
    signals::{INTERVAL, Signals},
    stage::{Stage, join, line},
};
use ipc_core::{Endpoint, Error, Name, Options, Reliability, Rendezvous, Wait, process::Child};
use nix::sys::signal::Signal;
use std::{
    env,
    io::{Read, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::exit,
    time::{Duration, Instant},
};

/// The first argument of a process that is to meet others. After it come who it is, the suite, the strategy and the name.
const AS_UNRELATED: &str = "--as-unrelated";

/// What an unrelated process does with a channel.
pub(crate) type Role = fn(&Stage, &Name, UnixStream) -> Verdict;

/// What an unrelated process can be asked to do, with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// `bind`, with a deadline of so many milliseconds; 0 is none.
    Bind,
    /// `connect`, with a deadline of so many milliseconds; 0 is none.
    Connect,
    /// `bind`, which must give up at a deadline of so many milliseconds.
    BindAlone,
    /// `connect`, which must give up at a deadline of so many milliseconds.
    ConnectAlone,
    /// Send so many messages.
    Say,
    /// Receive so many messages and check each.
    Hear,
    /// Receive the end.
    HearTheEnd,
    /// Send until the end of the peer shows.
    SayUntilTheEnd,
    /// Drop the endpoint.
    Close,
    /// Be interrupted by signals from now on.
    BeInterrupted,
    /// `exec`, and list the descriptors that are still there; then end.
    Exec,
}

impl Task {
    const ALL: [Self; 11] = [
        Self::Bind,
        Self::Connect,
        Self::BindAlone,
        Self::ConnectAlone,
        Self::Say,
        Self::Hear,
        Self::HearTheEnd,
        Self::SayUntilTheEnd,
        Self::Close,
        Self::BeInterrupted,
        Self::Exec,
    ];
}

/// How a task ended. Every other outcome ends the process, with a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it should.
    Done,
    /// [`Error::TimedOut`].
    TimedOut,
    /// [`Error::PeerGone`].
    PeerGone,
    /// [`Error::Taken`].
    Taken,
}

impl Answer {
    const ALL: [Self; 4] = [Self::Done, Self::TimedOut, Self::PeerGone, Self::Taken];
}

/// An unrelated process, as the process of the clause sees it. Dropping this kills it.
pub(crate) struct Unrelated {
    who: &'static str,
    child: Child,
    line: UnixStream,
}

impl Unrelated {
    /// Starts a process that is to meet others by `name`, over the channel of `suite`.
    pub fn start(stage: &Stage, suite: &str, who: &'static str, name: &Name) -> Result<Self, String> {
        let (line, theirs) = line()?;
        let arguments = [AS_UNRELATED, who, suite, stage.wait.name(), name.as_str()];
        let child = stage.fork(who, || Err(stage.exec(OwnedFd::from(theirs), &arguments)))?;
        Ok(Self { who, child, line })
    }

    /// Asks for `task` and does not wait for the answer.
    pub fn ask(&mut self, task: Task, number: u64) -> Verdict {
        link::tell(&mut self.line, task as u64)?;
        link::tell(&mut self.line, number)
    }

    /// Waits for the answer to the last task.
    pub fn answer(&mut self) -> Result<Answer, String> {
        let word = link::learn(&mut self.line).map_err(|why| format!("{} has ended ({why})", self.who))?;
        Answer::ALL.get(word as usize).copied().ok_or_else(|| format!("{} answers {word}", self.who))
    }

    /// The answer to the last task must be `expected`.
    pub fn answers(&mut self, expected: Answer) -> Verdict {
        match self.answer()? {
            answer if answer == expected => Ok(()),
            answer => Err(format!("{}: {answer:?}, not {expected:?}", self.who)),
        }
    }

    /// Asks for `task`, which must be done.
    pub fn does(&mut self, task: Task, number: u64) -> Verdict {
        self.ask(task, number)?;
        self.answers(Answer::Done)
    }

    /// Sends it `signal`.
    pub fn signal(&self, signal: Signal) -> Verdict {
        self.child.signal(signal).map_err(|error| error.to_string())
    }

    /// Kills it with `SIGKILL`.
    pub fn kill(mut self) -> Verdict {
        self.child.kill().map(drop).map_err(|error| error.to_string())
    }

    /// Lets it end; it must do so without a complaint.
    pub fn dismiss(self) -> Verdict {
        drop(self.line);
        join(self.child)
    }

    /// Lets it turn into another program by `exec`, which must have none of its descriptors.
    pub fn exec(mut self) -> Verdict {
        self.ask(Task::Exec, 0)?;
        self.dismiss()
    }
}

/// What [`run_all`](crate::run_all) does first. A process that was started again does what it was started for, and ends.
pub(crate) fn play_if_started_anew(suites: &[Suite]) {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [AS_UNRELATED, who, suite, wait, name] => {
            exit(Stage::continued(who, wait.parse().unwrap_or_default(), |stage| {
                let role = suites.iter().filter(|other| other.name == suite).find_map(|suite| suite.unrelated);
                let role = role.ok_or_else(|| format!("nobody plays {suite} here: give its suite to `run_all`"))?;
                let line = stdin().as_fd().try_clone_to_owned().map_err(|error| format!("dup: {error}"))?;
                role(stage, &Name::new(name).map_err(|error| error.to_string())?, line.into())
            }))
        }
        [exec::LIST_DESCRIPTORS, allowed] => {
            exit(Stage::continued("after exec", Wait::default(), |_| exec::only_survive(allowed)))
        }
        _ => {}
    }
}

/// `call` meets nobody until its deadline of `timeout`.
pub(crate) fn alone<C: Rendezvous>(
    stage: &Stage,
    what: &str,
    call: fn(&Name, &Options) -> ipc_core::Result<C::Endpoint>,
    name: &Name,
    timeout: Duration,
) -> Verdict {
    on_time(what, timeout, || {
        let began = Instant::now();
        match call(name, &stage.options_within(timeout)) {
            Err(Error::TimedOut) => Ok(began.elapsed()),
            Err(error) => Err(stage.refused::<C>(what, &error)),
            Ok(_) => Err(format!("{what} met somebody")),
        }
    })
}

/// Does tasks until there are no more.
pub(crate) fn play<C: Rendezvous>(stage: &Stage, name: &Name, mut line: UnixStream) -> Verdict {
    let inherited = Inherited::now()?;
    let mut side = None;
    let mut signals = None;
    while let Some((task, number)) = next(&mut line)? {
        let linked = side.as_mut().ok_or("no link yet");
        let answer = match task {
            Task::Bind | Task::Connect => {
                let timeout = (number > 0).then_some(Duration::from_millis(number));
                let options = Options { timeout, ..stage.options() };
                let (call, met, lane) = match task {
                    Task::Bind => ("bind", C::bind(name, &options), 1),
                    _ => ("connect", C::connect(name, &options), 2),
                };
                match met {
                    Ok(mut end) => {
                        end.set_timeout(None).map_err(|error| format!("set_timeout: {error}"))?;
                        let line = line.try_clone().map_err(|error| error.to_string())?;
                        let side = side.insert(Side::new(C::SPEC, end, line, lane));
                        if C::SPEC.reliability == Reliability::Lossy {
                            // What is asked for at once must fit the receiver's buffer: nobody acknowledges anything.
                            side.at_most(1024);
                        }
                        Answer::Done
                    }
                    Err(Error::TimedOut) => Answer::TimedOut,
                    Err(Error::PeerGone { .. }) => Answer::PeerGone,
                    Err(Error::Taken { .. }) => Answer::Taken,
                    Err(error) => return Err(stage.refused::<C>(call, &error)),
                }
            }
            Task::BindAlone => done(alone::<C>(stage, "bind", C::bind, name, Duration::from_millis(number)))?,
            Task::ConnectAlone => done(alone::<C>(stage, "connect", C::connect, name, Duration::from_millis(number)))?,
            Task::Say => done(linked?.say(number))?,
            Task::Hear => done(linked?.hear(number))?,
            Task::HearTheEnd => done(hear_the_end(linked?))?,
            Task::SayUntilTheEnd => done(say_until_the_end::<C>(linked?))?,
            Task::Close => {
                linked?.close();
                Answer::Done
            }
            Task::BeInterrupted => done(Signals::start(INTERVAL).map(|started| signals = Some(started)))?,
            Task::Exec => return inherited.alone_survive(stage),
        };
        link::tell(&mut line, answer as u64)?;
    }
    Ok(())
}

fn done(verdict: Verdict) -> Result<Answer, String> {
    verdict.map(|()| Answer::Done)
}

/// The next task; `None` when the clause has no more.
fn next(line: &mut UnixStream) -> Result<Option<(Task, u64)>, String> {
    let mut word = [0; 8];
    match line.read_exact(&mut word) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(format!("control line: {error}")),
    }
    let task = Task::ALL.get(u64::from_ne_bytes(word) as usize).ok_or("there is no such task")?;
    Ok(Some((*task, link::learn(line)?)))
}
