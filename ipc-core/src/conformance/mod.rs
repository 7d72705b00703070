//! The tests that every channel must pass (feature `conformance`): one function per clause of the contract, run for
//! every [`Wait`] strategy between real processes.
//!
//! A mechanism crate gets all of them with one line per variant, in a test target with `harness = false`:
//!
//! ```ignore
//! fn main() {
//!     run([
//!         Suite::of::<Pipe>(),
//!         Suite::of::<PosixShm>().in_place::<PosixShm>().rendezvous::<PosixShm>(),
//!     ]);
//! }
//! ```
//!
//! Tests are called `posix-shm::spin::order_and_content`, so `cargo test spin` filters. Each runs in a process of its own
//! under a watchdog, so that a hang is a failure that names itself; when it has passed, nothing may be left of it in the
//! system (see [`leftovers`](crate::leftovers)).
//!
//! To add a clause, write it with the words of `stage.rs` and `link.rs`, and add a line to the table at the top of its file.

mod in_place;
mod intruder;
mod link;
mod parting;
mod pressure;
mod rendezvous;
mod stage;
mod storm;
pub mod surroundings;
mod transfer;
mod waiting;

use crate::{Channel, InPlace, Reliability, Rendezvous, Wait, objects};
use libtest_mimic::{Arguments, Completion, Trial};
use stage::Stage;
use std::time::Duration;

/// What a test found: nothing wrong, or the facts of what was.
pub type Verdict = Result<(), String>;

/// How a test of a [`Suite`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The contract was kept.
    Kept,
    /// The clause does not apply to this mechanism or this kernel, and why.
    Ignored(String),
    /// The contract was broken, and how.
    Broken(String),
}

/// A list of named tests: the clauses for one channel, and whatever else a crate wants to run beside them.
pub struct Suite {
    name: &'static str,
    limit: Duration,
    tests: Vec<Test>,
}

struct Test {
    name: String,
    run: Box<dyn FnOnce(Duration) -> Outcome + Send>,
}

/// One clause of the contract.
struct Clause {
    name: &'static str,
    check: fn(&Stage) -> Verdict,
    ignored: Option<&'static str>,
}

impl Clause {
    const fn new(name: &'static str, check: fn(&Stage) -> Verdict) -> Self {
        Self { name, check, ignored: None }
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
}

impl Suite {
    /// A test that still runs after this long has hung; see [`Suite::within`].
    pub const LIMIT: Duration = Duration::from_secs(30);

    /// Every clause of [`Channel`] and [`Endpoint`](crate::Endpoint), on every [`Wait`] strategy.
    pub fn of<C: Channel + 'static>() -> Self {
        let clauses = [transfer::clauses::<C>(), waiting::clauses::<C>(), parting::clauses::<C>()];
        Self::new(C::SPEC.name).with(clauses.into_iter().flatten())
    }

    /// Adds the clauses of [`InPlace`]. `C` is the suite's channel once more.
    #[must_use]
    pub fn in_place<C: Channel<Endpoint: InPlace> + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.with(in_place::clauses::<C>())
    }

    /// Adds the clauses of [`Rendezvous`]. `C` is the suite's channel once more.
    #[must_use]
    pub fn rendezvous<C: Rendezvous + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.with(rendezvous::clauses::<C>())
    }

    /// A suite without tests, for a crate's own.
    pub fn new(name: &'static str) -> Self {
        Self { name, limit: Self::LIMIT, tests: Vec::new() }
    }

    /// Takes a test for hung after `limit` instead of [`Suite::LIMIT`].
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Adds a test of a crate's own, `suite::name`, which runs in a process of its own under the watchdog.
    #[must_use]
    pub fn test(self, name: &str, test: impl FnOnce() -> Verdict + Send + 'static) -> Self {
        self.push(name, |limit| stage::run(limit, Wait::Block, |_| test()))
    }

    /// Runs the tests whose names contain `filter` and returns how each ended: the suite as a function, for whoever
    /// wants to test the suite itself. The calling process must have one thread.
    pub fn outcomes(self, filter: &str) -> Vec<(String, Outcome)> {
        let limit = self.limit;
        let tests = self.tests.into_iter().filter(|test| test.name.contains(filter));
        tests.map(|test| (test.name, (test.run)(limit))).collect()
    }

    fn with(mut self, clauses: impl IntoIterator<Item = Clause>) -> Self {
        for clause in clauses {
            for wait in Wait::ALL {
                let Clause { name, check, ignored } = clause;
                self = self.push(&format!("{wait}::{name}"), move |limit| match ignored {
                    Some(why) => Outcome::Ignored(why.to_owned()),
                    None => stage::run(limit, wait, check),
                });
            }
        }
        self
    }

    fn push(mut self, name: &str, run: impl FnOnce(Duration) -> Outcome + Send + 'static) -> Self {
        self.tests.push(Test { name: format!("{}::{name}", self.name), run: Box::new(run) });
        self
    }
}

/// The `main` of a test target with `harness = false`: runs `suites` as `cargo test` runs tests, with its filters, `--list`
/// and exit code, but one after the other on the main thread, since a process with threads cannot fork.
pub fn run(suites: impl IntoIterator<Item = Suite>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let tests = suites.into_iter().flat_map(|suite| suite.tests.into_iter().map(move |test| (suite.limit, test)));
    let trials = tests.map(|(limit, test)| {
        Trial::ignorable_test(test.name, move || match (test.run)(limit) {
            Outcome::Kept => Ok(Completion::Completed),
            Outcome::Ignored(why) => Ok(Completion::ignored_with(why)),
            Outcome::Broken(why) => {
                // What the failed test left would be found by the next one.
                let _ = objects::sweep(false);
                Err(why.into())
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}
