//! The contract of [`ipc_core`] as tests: what every channel must pass, between real processes, for every [`Wait`] strategy.
//!
//! Whoever writes a channel has this crate as a dev-dependency, and a test target with `harness = false`:
//!
//! ```toml
//! [dev-dependencies]
//! ipc-conformance = { path = "../ipc-conformance" }
//!
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! The test is one line, [`run`], below a channel:
//!
//! ```no_run
#![doc = include_str!("../tests/one_line.rs")]
//! ```
//!
//! A channel that implements more traits has more clauses. Each is added to a [`Suite`], and [`run_all`] runs the suites:
//!
//! ```ignore
//! fn main() {
//!     run_all([
//!         Suite::of::<Vmsplice>().send_in_place::<Vmsplice>(),
//!         Suite::of::<PosixShm>().in_place::<PosixShm>().rendezvous::<PosixShm>(),
//!         Suite::security::<PosixShm>().security_by_name::<PosixShm>(),
//!         Suite::pressure::<PosixShm>().pressure_by_name::<PosixShm>(),
//!     ]);
//! }
//! ```
//!
//! # The clauses
//!
//! Each clause is a function whose documentation says what is required, why, and what a failing channel does.
//!
//! | module | what it requires | of |
//! |---|---|---|
//! | [`transfer`] | order, content, boundaries, limits | [`Channel`] |
//! | [`waiting`] | deadlines, back-pressure, signals | [`Channel`] |
//! | [`polling`] | what epoll shows | [`Channel`] |
//! | [`close`] | ends that are closed, dropped or passed on | [`Channel`] |
//! | [`killing`] | processes that are killed | [`Channel`] |
//! | [`corrupt`] | memory that a peer has spoilt | channels over shared memory |
//! | [`in_place`] | payload that is written and read where it lies | [`SendInPlace`], [`InPlace`] |
//! | [`rendezvous`] | processes that meet by a name | [`Rendezvous`] |
//! | [`security`] | other users | [`Channel`], [`Rendezvous`] |
//! | [`pressure`] | too few descriptors | [`Channel`], [`Rendezvous`] |
//!
//! # How they run
//!
//! Tests are called `posix-shm::spin::order_and_content`, so `cargo test spin` filters. Each runs in a process of its own under a
//! watchdog, so a hang is a failure with a name. After a test that passed, nothing may be left of it in the system (see
//! [`ipc_core::leftovers`]).
//!
//! Clauses of [`Rendezvous`] run in processes that share nothing but the name and the options. The test binary starts itself again
//! for each of them.
//!
//! A clause that does not apply is an ignored test with its reason. So is a mechanism that this kernel lacks.
//!
//! # Adding a clause
//!
//! Write it with the words of `stage.rs` and `link.rs`, and add a line to the table at the top of its file. Then add a channel that
//! breaks it to `tests/broken_channels`, which fails as long as a clause has none.

pub mod close;
pub mod corrupt;
mod exec;
pub mod in_place;
pub mod killing;
mod link;
mod on_time;
pub mod polling;
pub mod pressure;
pub mod rendezvous;
pub mod security;
mod signals;
mod stage;
pub mod surroundings;
pub mod transfer;
mod unrelated;
pub mod waiting;

pub use on_time::on_time;
pub use stage::Stage;

use ipc_core::{Channel, Custody, InPlace, Reliability, Rendezvous, SendInPlace, Wait, objects};
use libtest_mimic::{Arguments, Completion, Trial};
use stage::Running;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The result of a test: nothing, or what was wrong.
pub type Verdict = Result<(), String>;

/// How a test of a [`Suite`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The contract was kept.
    Kept,
    /// The clause does not apply to this mechanism, and why.
    Ignored(String),
    /// This kernel lacks the mechanism, and what it said.
    Unsupported(String),
    /// The contract was broken, and how.
    Broken(String),
}

/// A list of named tests: clauses for one channel, and tests of a crate's own.
///
/// [`Suite::of`] starts one for a channel, and [`Suite::new`] an empty one. The other methods add to it.
pub struct Suite {
    name: &'static str,
    limit: Duration,
    tests: Vec<Test>,
    unrelated: Option<unrelated::Role>,
}

struct Test {
    name: String,
    /// Whether others may run meanwhile.
    beside_others: bool,
    start: Box<dyn FnOnce(Duration) -> Started + Send>,
}

/// A test that runs, or how it ended.
enum Started {
    Running(Running),
    Ended(Outcome),
}

impl Started {
    fn new(limit: Duration, wait: Wait, check: impl FnOnce(&Stage) -> Verdict) -> Self {
        Running::start(limit, wait, check).map_or_else(|why| Self::Ended(Outcome::Broken(why)), Self::Running)
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Running(running) => running.outcome(),
            Self::Ended(outcome) => outcome,
        }
    }
}

/// One clause of the contract.
#[derive(Clone, Copy)]
struct Clause {
    name: &'static str,
    check: fn(&Stage) -> Verdict,
    beside_others: bool,
    ignored: Option<&'static str>,
}

impl Clause {
    const fn new(name: &'static str, check: fn(&Stage) -> Verdict) -> Self {
        Self { name, check, beside_others: true, ignored: None }
    }

    /// The clause must not run beside others: it sweeps, and would remove what these must not leave.
    const fn alone(mut self) -> Self {
        self.beside_others = false;
        self
    }

    /// The clause does not apply where `condition` holds; `why` is shown.
    const fn unless(mut self, condition: bool, why: &'static str) -> Self {
        if condition {
            self.ignored = Some(why);
        }
        self
    }

    /// The clause does not apply to lossy mechanisms, which never hold a sender back.
    fn if_reliable<C: Channel>(self) -> Self {
        self.unless(C::SPEC.reliability == Reliability::Lossy, "a lossy mechanism never holds the sender back")
    }

    /// The clause does not apply to mechanisms whose messages die with a sender that is killed.
    fn if_it_holds_messages<C: Channel>(self) -> Self {
        self.unless(C::SPEC.custody == Custody::Sender, "what was not received dies with its sender")
    }
}

impl Suite {
    /// After this long a test counts as hung, unless [`Suite::within`] says otherwise.
    pub const LIMIT: Duration = Duration::from_secs(120);

    /// Every clause of [`Channel`] and [`Endpoint`](ipc_core::Endpoint), on every [`Wait`] strategy.
    pub fn of<C: Channel + 'static>() -> Self {
        let clauses = [
            transfer::clauses::<C>(),
            waiting::clauses::<C>(),
            polling::clauses::<C>(),
            close::clauses::<C>(),
            killing::clauses::<C>(),
        ];
        Self::new(C::SPEC.name).with(clauses.into_iter().flatten())
    }

    /// Adds the clauses of [`SendInPlace`], for a channel that is not [`InPlace`]. `C` is the suite's channel once more.
    #[must_use]
    pub fn send_in_place<C: Channel<Endpoint: SendInPlace> + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.with(in_place::send_clauses::<C>())
    }

    /// Adds the clauses of [`SendInPlace`] and [`InPlace`]. `C` is the suite's channel once more.
    #[must_use]
    pub fn in_place<C: Channel<Endpoint: InPlace> + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.with(in_place::clauses::<C>())
    }

    /// Adds the clause that a channel stays unusable once an end has found it corrupt; see [`corrupt`]. `C` is the suite's
    /// channel once more.
    ///
    /// `spoil` does to the channel what no correct peer does. Both a receive and a send that waits for room must find it. `mend`
    /// undoes it.
    #[must_use]
    pub fn corrupted_by<C: Channel + 'static>(self, spoil: fn(&mut C::Endpoint), mend: fn(&mut C::Endpoint)) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        let mut suite = self;
        for wait in Wait::ALL {
            suite = suite.push(&format!("{wait}::corrupt_for_good"), wait != Wait::Spin, move |limit| {
                Started::new(limit, wait, move |stage| corrupt::for_good::<C>(stage, spoil, mend))
            });
        }
        suite
    }

    /// Adds the clauses of [`Rendezvous`]. `C` is the suite's channel once more.
    #[must_use]
    pub fn rendezvous<C: Rendezvous + 'static>(self) -> Self {
        self.meeting::<C>().with(rendezvous::clauses::<C>())
    }

    /// Lets processes that this binary starts again meet by `C`. It adds no test. Use it where the test comes from another suite.
    #[must_use]
    pub fn meeting<C: Rendezvous + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        Self { unrelated: Some(unrelated::play::<C>), ..self }
    }

    /// A suite without tests, for a crate's own.
    pub fn new(name: &'static str) -> Self {
        Self { name, limit: Self::LIMIT, tests: Vec::new(), unrelated: None }
    }

    /// Takes a test for hung after `limit` instead of [`Suite::LIMIT`].
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Adds a test of a crate's own, called `suite::name`. It runs in a process of its own under the watchdog.
    #[must_use]
    pub fn test(self, name: &str, test: impl FnOnce() -> Verdict + Send + 'static) -> Self {
        self.push(name, false, |limit| Started::new(limit, Wait::Block, |_| test()))
    }

    /// The names of the clauses in this suite, each once for all strategies.
    pub fn clauses(&self) -> BTreeSet<&str> {
        self.tests.iter().filter_map(|test| test.name.rsplit("::").next()).collect()
    }

    /// Runs the tests whose names contain `filter`, and returns the name of each and how it ended. This is for tests of a suite.
    /// The calling process must have one thread.
    pub fn outcomes(self, filter: &str) -> Vec<(String, Outcome)> {
        let limit = self.limit;
        let tests = self.tests.into_iter().filter(|test| test.name.contains(filter));
        tests.map(|test| (test.name, (test.start)(limit).outcome())).collect()
    }

    fn with(mut self, clauses: impl IntoIterator<Item = Clause>) -> Self {
        let clauses: Vec<_> = clauses.into_iter().collect();
        for wait in Wait::ALL {
            for &Clause { name, check, beside_others, ignored } in &clauses {
                // Two that spin need a core each.
                self = self.push(&format!("{wait}::{name}"), beside_others && wait != Wait::Spin, move |limit| {
                    match ignored {
                        Some(why) => Started::Ended(Outcome::Ignored(why.to_owned())),
                        None => Started::new(limit, wait, check),
                    }
                });
            }
        }
        self
    }

    fn push(
        mut self,
        name: &str,
        beside_others: bool,
        start: impl FnOnce(Duration) -> Started + Send + 'static,
    ) -> Self {
        self.tests.push(Test { name: format!("{}::{name}", self.name), beside_others, start: Box::new(start) });
        self
    }
}

/// The `main` of a test target for the channel `C`: runs every clause of [`Channel`] and [`Endpoint`](ipc_core::Endpoint).
///
/// These include that other users are kept out, and that nothing is left where descriptors run out. A channel that implements
/// more traits has more clauses; see [`Suite`] and [`run_all`].
pub fn run<C: Channel + 'static>() -> ! {
    run_all([Suite::of::<C>(), Suite::security::<C>(), Suite::pressure::<C>()])
}

/// The `main` of a test target with `harness = false`: runs `suites` as `cargo test` runs tests, with its filters, `--list`
/// and exit code.
///
/// A process with threads cannot fork, so all of it happens on the main thread. The tests get
/// [their own temporary folder and namespaces](surroundings::own).
pub fn run_all(suites: impl IntoIterator<Item = Suite>) -> ! {
    let suites: Vec<_> = suites.into_iter().collect();
    unrelated::play_if_started_anew(&suites);
    let folder = surroundings::own().unwrap_or_else(|error| panic!("a temporary folder: {error}"));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let tests = suites.into_iter().flat_map(|suite| suite.tests.into_iter().map(move |test| (suite.limit, test)));
    let tests: Vec<_> = tests.filter(|(_, test)| is_chosen(&test.name, &arguments)).collect();
    let names: Vec<_> = tests.iter().map(|(_, test)| test.name.clone()).collect();
    let queue = Arc::new(Mutex::new(Queue { waiting: tests.into(), started: VecDeque::new() }));
    let trials = names.into_iter().map(|name| {
        let queue = Arc::clone(&queue);
        Trial::ignorable_test(name.clone(), move || match queue.lock().expect("one thread").next() {
            Outcome::Kept => Ok(Completion::Completed),
            Outcome::Ignored(why) => Ok(Completion::ignored_with(why)),
            Outcome::Unsupported(why) => {
                // Said here as well, since `--quiet` leaves out the reasons.
                eprintln!("{name} cannot run here: {why}");
                Ok(Completion::ignored_with(why))
            }
            Outcome::Broken(why) => {
                // What the failed test left would be found by the next one.
                let _ = objects::sweep(false);
                Err(why.into())
            }
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(folder);
    conclusion.exit()
}

/// What libtest-mimic leaves of the tests.
fn is_chosen(name: &str, arguments: &Arguments) -> bool {
    let is = |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(is) && !arguments.skip.iter().any(is)
}

/// The tests that are to run, in their order. Most of them sleep most of the time, so some start before their turn.
struct Queue {
    waiting: VecDeque<(Duration, Test)>,
    started: VecDeque<(bool, Started)>,
}

impl Queue {
    /// How many tests run at once, where they may.
    const AT_ONCE: usize = 2;

    /// How the next test ended.
    fn next(&mut self) -> Outcome {
        while let Some((limit, test)) = self.waiting.pop_front() {
            let fits = self.started.iter().all(|(beside_others, _)| test.beside_others && *beside_others);
            if !fits || self.started.len() == Self::AT_ONCE {
                self.waiting.push_front((limit, test));
                break;
            }
            self.started.push_back((test.beside_others, (test.start)(limit)));
        }
        let next = self.started.pop_front();
        next.map_or_else(|| Outcome::Broken("there is no such test".to_owned()), |(_, started)| started.outcome())
    }
}
