//! A forked pair over channels that are broken on purpose: each fault must be named, and none may hang or pass.

use bench_lab::{
    baseline, interrupt, pair,
    sample::{Budget, Job, Sample},
    topology::Topology,
    worker::PairError,
    workload::driver::Copying,
};
use bench_record::{
    baseline::BaselineItem,
    cell::{Pattern, Placement},
};
use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Endpoint, Error, Name, Options, Reliability, Rendezvous, Result, Spec, Wait,
    liveness::retry_by,
    objects,
    process::{self, Exit, PANICKED},
    shared::SharedPage,
    stream::StreamEnd,
};
use ipc_pipe::Pipe;
use ipc_shm::{PosixShm, RingEnd};
use nix::{
    sys::signal::{Signal, killpg, raise},
    unistd::{Pid, getpgrp, setpgid},
};
use std::{
    fs::{self, File},
    sync::{OnceLock, atomic::Ordering},
    thread,
    time::Duration,
};

/// What a channel does wrong, with every eighth message: a warm-up has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    FlipsLastByte,
    RepeatsTheOneBefore,
    NeverAnswers,
    Panics,
    Drops,
    /// Stops itself and all of its group, once.
    Stops,
}

const FAULTS: [Fault; 7] = [
    Fault::None,
    Fault::FlipsLastByte,
    Fault::RepeatsTheOneBefore,
    Fault::NeverAnswers,
    Fault::Panics,
    Fault::Drops,
    Fault::Stops,
];

/// Its first word: whether the group has been stopped.
static STOPPED: OnceLock<SharedPage> = OnceLock::new();

/// A pipe with fault number `F`; one that drops messages says that it is lossy.
struct Faulty<const F: usize>;

struct FaultyEnd<const F: usize> {
    end: StreamEnd,
    sent: u64,
    before: Vec<u8>,
}

impl<const F: usize> Channel for Faulty<F> {
    const SPEC: Spec = Spec {
        reliability: match FAULTS[F] {
            Fault::Drops => Reliability::Lossy,
            _ => Reliability::Reliable,
        },
        ..Pipe::SPEC
    };
    type Endpoint = FaultyEnd<F>;

    fn pair(options: &Options) -> Result<(FaultyEnd<F>, FaultyEnd<F>)> {
        let wrap = |end| FaultyEnd { end, sent: 0, before: Vec::new() };
        Pipe::pair(options).map(|(a, b)| (wrap(a), wrap(b)))
    }
}

impl<const F: usize> Endpoint for FaultyEnd<F> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sent += 1;
        let mut message = message.to_vec();
        let before = std::mem::replace(&mut self.before, message.clone());
        if self.sent.is_multiple_of(8) {
            match FAULTS[F] {
                Fault::None => {}
                Fault::FlipsLastByte => *message.last_mut().expect("not empty") ^= 1,
                Fault::RepeatsTheOneBefore => message = before,
                Fault::NeverAnswers => return self.recv(&mut [0; 1 << 20]).map(drop),
                Fault::Panics => panic!("as the test wants"),
                Fault::Drops => return Ok(()),
                Fault::Stops => {
                    let page = STOPPED.get().expect("made before the fork");
                    if page[0].word.swap(1, Ordering::AcqRel) == 0 {
                        killpg(getpgrp(), Signal::SIGSTOP).map_err(|errno| Error::os("kill", errno))?;
                    }
                }
            }
        }
        self.end.send(&message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

/// POSIX shared memory whose object another process of the user opened before its name went, and cuts after a hundred
/// messages.
struct Cut;

struct CutEnd {
    end: RingEnd,
    object: File,
    sent: u64,
}

impl Channel for Cut {
    const SPEC: Spec = PosixShm::SPEC;
    type Endpoint = CutEnd;

    fn pair(options: &Options) -> Result<(CutEnd, CutEnd)> {
        let (name, options) = (Name::unique(), *options);
        let path = format!("/dev/shm{}", objects::posix_name(&name, ""));
        let binder = {
            let name = name.clone();
            thread::spawn(move || PosixShm::bind(&name, &options))
        };
        let open = || File::options().write(true).open(&path).ok();
        let object = retry_by(options.deadline(), || Ok(open()))?;
        let wrap = |end| CutEnd { end, object: object.try_clone().expect("a descriptor is free"), sent: 0 };
        let near = wrap(PosixShm::connect(&name, &options)?);
        let far = wrap(binder.join().expect("the binder does not panic")?);
        // A thread counts for a moment after it has been joined.
        let alone = || fs::read_dir("/proc/self/task").map_or(0, Iterator::count) == 1;
        retry_by(options.deadline(), || Ok(alone().then_some(())))?;
        Ok((near, far))
    }
}

impl Endpoint for CutEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sent += 1;
        if self.sent == 100 {
            self.object.set_len(0).expect("the object is ours");
        }
        self.end.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.end.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

/// Whoever touches a cut object is killed: the pair's error says so, and this process measures on.
fn a_cut_object_is_named() -> Verdict {
    for pattern in [Pattern::RoundTrip, Pattern::OneWay] {
        let error = match run_pair::<Cut>(pattern, one_core()?, 20_000) {
            Err(error @ PairError::Died(_, Exit::Signal(Signal::SIGBUS))) => error.to_string(),
            other => return Err(format!("{pattern}: {:?}", other.map(|sample| sample.messages))),
        };
        if !error.contains("SIGBUS: its shared object was cut") {
            return Err(error);
        }
    }
    measure::<0>(Pattern::RoundTrip, one_core()?).map(drop).map_err(|error| format!("the pair after it: {error}"))
}

/// A core that this process may use.
fn one_core() -> std::result::Result<[usize; 2], String> {
    let topology = Topology::here().map_err(|error| error.to_string())?;
    topology.cpus(Placement::SameCore).flatten().ok_or_else(|| "no core".into())
}

fn measure<const F: usize>(pattern: Pattern, cpus: [usize; 2]) -> std::result::Result<Sample, PairError> {
    run_pair::<Faulty<F>>(pattern, cpus, if FAULTS[F] == Fault::NeverAnswers { 1000 } else { 20_000 })
}

fn run_pair<C: Channel>(pattern: Pattern, cpus: [usize; 2], ms: u64) -> std::result::Result<Sample, PairError> {
    let milliseconds = Duration::from_millis;
    pair::run::<C, Copying<C::Endpoint>>(&Job {
        pattern,
        size: 256,
        cpus: Some(cpus),
        wait: Wait::Block,
        budget: Budget::Time { warm_up: milliseconds(1), measure: milliseconds(5) },
        deadline: milliseconds(ms),
        slow_by: None,
    })
}

/// Runs both patterns and judges each outcome.
fn expect<const F: usize>(
    judge: fn(&std::result::Result<Sample, PairError>) -> bool,
) -> impl FnOnce() -> Verdict + Send + 'static {
    move || {
        for pattern in [Pattern::RoundTrip, Pattern::OneWay] {
            let outcome = measure::<F>(pattern, one_core()?);
            if !judge(&outcome) {
                return Err(format!("{pattern}: {:?}", outcome.map(|sample| sample.messages)));
            }
        }
        Ok(())
    }
}

fn wrong(outcome: &std::result::Result<Sample, PairError>) -> bool {
    matches!(outcome, Err(PairError::WrongPayload(_)))
}

/// A pair that is stopped with its supervisor for longer than its deadline is no pair that hangs, and is measured again.
fn a_stop_does_not_count() -> Verdict {
    const DEADLINE: Duration = Duration::from_millis(2000);
    let page = STOPPED.get_or_init(|| SharedPage::new().expect("there is memory"));
    let this = Pid::from_raw(0);
    setpgid(this, this).map_err(words)?;
    let group = getpgrp();
    // In a group of its own it goes on.
    let mut alarm = process::fork(|| {
        let left = setpgid(this, this);
        while left.is_ok() && page[0].word.load(Ordering::Acquire) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(DEADLINE + Duration::from_millis(500));
        i32::from(killpg(group, Signal::SIGCONT).is_err())
    })
    .map_err(words)?;
    let sample = run_pair::<Faulty<6>>(Pattern::RoundTrip, [0, 0], DEADLINE.as_millis() as u64).map_err(words)?;
    if alarm.wait(Duration::from_secs(20)).map_err(words)? != Some(Exit::Code(0)) {
        return Err("nobody was stopped".into());
    }
    let longest = sample.histogram.as_ref().map_or(0, |histogram| histogram.unpack().max());
    let is_clean = !sample.stopped && u128::from(longest) < DEADLINE.as_nanos();
    if is_clean { Ok(()) } else { Err(format!("stopped: {}, longest: {longest} ns", sample.stopped)) }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn anchors_are_measured_where_there_are_threads_for_them() -> std::result::Result<(), String> {
    let here = Topology::here().map_err(|error| error.to_string())?;
    let two = here.placements().filter_map(|placement| here.cpus(placement).flatten()).any(|[a, b]| a != b);
    let taken = baseline::measure(&here);
    let expected = |anchor| two || matches!(anchor, BaselineItem::Syscall | BaselineItem::Memcpy);
    for &anchor in BaselineItem::ALL {
        let figure = taken.get(anchor);
        if figure.is_some_and(|ns| ns > 0.0) != expected(anchor)
            || figure.is_some() == taken.missing.contains_key(&anchor)
        {
            return Err(format!("{anchor}: {taken:?}"));
        }
    }
    // On one thread only, two of them cannot be: with the reason.
    process::pin(nix::sched::sched_getcpu().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let taken = baseline::measure(&Topology::here().map_err(|error| error.to_string())?);
    let reason = |anchor| taken.missing.get(&anchor).is_some_and(|why: &String| why.contains("two hardware threads"));
    let alone = taken.syscall_ns.is_some() && taken.memcpy_ns.is_some() && taken.missing.len() == 2;
    if alone && reason(BaselineItem::CacheLine) && reason(BaselineItem::Pipe) {
        Ok(())
    } else {
        Err(format!("{taken:?}"))
    }
}

/// `timeout` sends a signal to its child and then to the group, which is one request; a person who asks again wants the end.
fn signals_ask_to_stop() -> std::result::Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    interrupt::install().map_err(|error| words(&error))?;
    let raise = |signal| raise(signal).map_err(|error| words(&error));
    for signal in [Signal::SIGXCPU, Signal::SIGALRM, Signal::SIGUSR1, Signal::SIGUSR2] {
        let asked = || i32::from(raise(signal).is_err() || interrupt::cause().is_none());
        let mut child = process::fork(asked).map_err(|error| words(&error))?;
        match child.wait(Duration::from_secs(20)).map_err(|error| words(&error))? {
            Some(Exit::Code(0)) => {}
            other => return Err(format!("{signal}: {other:?}")),
        }
    }
    let mut child = process::fork(|| {
        // A child has SIGTERM as it comes.
        let done = interrupt::install().is_ok() && raise(Signal::SIGTERM).is_ok() && raise(Signal::SIGTERM).is_ok();
        thread::sleep(Duration::from_millis(300));
        let hang_ups = raise(Signal::SIGHUP).is_ok() && raise(Signal::SIGXCPU).is_ok();
        if !(done && hang_ups && interrupt::cause().as_deref() == Some("SIGTERM")) {
            return 1;
        }
        let _ = raise(Signal::SIGTERM);
        2
    })
    .map_err(|error| words(&error))?;
    match child.wait(Duration::from_secs(20)).map_err(|error| words(&error))? {
        Some(Exit::Code(interrupt::EXIT_CODE)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn main() {
    run_all([Suite::new("pair")
        .within(Duration::from_secs(60))
        .test("a_sound_channel_is_measured", expect::<0>(|outcome| outcome.as_ref().is_ok_and(|s| s.messages >= 8)))
        .test("a_flipped_byte_is_a_wrong_payload", expect::<1>(wrong))
        .test("a_repeated_message_is_a_wrong_payload", expect::<2>(wrong))
        .test("a_stop_does_not_count", a_stop_does_not_count)
        .test("a_hang_is_given_up", expect::<3>(|outcome| matches!(outcome, Err(PairError::Hung(_)))))
        .test(
            "a_panic_is_a_death",
            expect::<4>(|outcome| matches!(outcome, Err(PairError::Died(_, Exit::Code(PANICKED))))),
        )
        .test("a_cut_object_is_named", a_cut_object_is_named)
        .test("losses_are_counted_and_do_not_hang", || {
            let sample = measure::<5>(Pattern::RoundTrip, one_core()?).map_err(|error| error.to_string())?;
            if sample.lost > 0 { Ok(()) } else { Err(format!("none lost of {}", sample.messages)) }
        })
        .test("signals_ask_to_stop_and_a_second_one_ends_at_once", signals_ask_to_stop)
        .test("anchors_are_measured", anchors_are_measured_where_there_are_threads_for_them)
        .test("a_cpu_that_is_not_there_fails_the_pair", || {
            match measure::<0>(Pattern::RoundTrip, [one_core()?[0], 4095]) {
                Err(PairError::Failed(why)) if why.contains("4095") => Ok(()),
                other => Err(format!("{:?}", other.map(|sample| sample.messages))),
            }
        })])
}
