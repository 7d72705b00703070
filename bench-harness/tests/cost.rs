//! What pairs are seen to use: each figure against something that is known to cost so much.

use bench_lab::{
    energy::Packages,
    pair,
    sample::{Budget, Job, Sample},
    topology::{Cpus, Topology},
    usage::Usage,
    workload::driver::{Copying, Direct, Driver},
};
use bench_record::{
    cell::{Pattern, Placement},
    rows::{self, CostRow},
};
use ipc_conformance::{Suite, Verdict, run_all, surroundings::become_ordinary};
use ipc_core::{Channel, Endpoint, Error, Options, Result, Spec, Wait, ledger, process, stream::StreamEnd};
use ipc_pipe::Pipe;
use ipc_shm::{Memfd, RingEnd};
use nix::unistd::getppid;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

/// A pipe that makes one system call too many for every message it sends, and enters it.
struct Nosy;

struct NosyEnd(StreamEnd);

impl Channel for Nosy {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = NosyEnd;

    fn pair(options: &Options) -> Result<(NosyEnd, NosyEnd)> {
        Pipe::pair(options).map(|(a, b)| (NosyEnd(a), NosyEnd(b)))
    }
}

impl Endpoint for NosyEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        ledger::call();
        let _ = getppid();
        self.0.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.recv(buffer)
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_timeout(timeout)
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// What the two processes of a pair used, by messages of 64 bytes or round trips.
struct Pair {
    messages: f64,
    send: Usage,
    recv: Usage,
}

impl Pair {
    fn play<C: Channel, K: Driver<Endpoint = C::Endpoint>>(
        pattern: Pattern,
        cpus: Cpus,
        wait: Wait,
        measure: Duration,
    ) -> std::result::Result<Self, String> {
        let budget = Budget::Metered { warm_up: MILLISECOND, measure };
        let sample = sample::<C, K>(pattern, cpus, wait, budget)?;
        let used = sample.usage.zip(sample.responder_usage).ok_or("nothing was taken down")?;
        Ok(Self { messages: sample.messages as f64, send: used.0, recv: used.1 })
    }

    fn per_message(&self, of: fn(&Usage) -> u64) -> [f64; 2] {
        [&self.send, &self.recv].map(|usage| of(usage) as f64 / self.messages)
    }

    fn utilisation(&self) -> f64 {
        self.send.utilisation() + self.recv.utilisation()
    }
}

fn sample<C: Channel, K: Driver<Endpoint = C::Endpoint>>(
    pattern: Pattern,
    cpus: Cpus,
    wait: Wait,
    budget: Budget,
) -> std::result::Result<Sample, String> {
    let job = Job { pattern, size: 64, cpus, wait, budget, deadline: Duration::from_secs(10), slow_by: None };
    pair::run::<C, K>(&job).map_err(|error| error.to_string())
}

type Blocking<C> = Copying<<C as Channel>::Endpoint>;

fn one_core() -> std::result::Result<Cpus, String> {
    let topology = Topology::here().map_err(|error| error.to_string())?;
    topology.cpus(Placement::SameCore).ok_or_else(|| "no core".into())
}

/// Two threads that can run at once, wherever they are.
fn two_threads() -> Result<Cpus> {
    let apart = [Placement::CrossCore, Placement::Smt, Placement::CrossSocket];
    let topology = Topology::here().map_err(|error| Error::Unsupported { what: "CPUs", why: error.to_string() })?;
    let why = || Error::Unsupported { what: "two CPUs", why: "this process may use one only".into() };
    apart.into_iter().find_map(|placement| topology.cpus(placement)).ok_or_else(why)
}

fn within(what: &str, figures: [f64; 2], least: f64, most: f64) -> Verdict {
    if figures.iter().all(|figure| (least..=most).contains(figure)) {
        return Ok(());
    }
    Err(format!("{what}: {figures:?}, expected {least} to {most}"))
}

/// The verdict of the first try that is good, or of the last: whoever shares the machine can only disturb.
fn best_of(tries: usize, mut check: impl FnMut() -> Verdict) -> Verdict {
    (1..tries).find_map(|_| check().ok()).map_or_else(check, Ok)
}

fn a_blocking_pipe_makes_one_call_a_side() -> Verdict {
    best_of(5, || {
        let pipe = Pair::play::<Pipe, Blocking<Pipe>>(Pattern::OneWay, one_core()?, Wait::Block, 10 * MILLISECOND)?;
        within("one way", pipe.per_message(|usage| usage.calls), 1.0, 1.02)?;
        let pipe = Pair::play::<Pipe, Blocking<Pipe>>(Pattern::RoundTrip, one_core()?, Wait::Block, 10 * MILLISECOND)?;
        within("round trip", pipe.per_message(|usage| usage.calls), 2.0, 2.02)
    })
}

fn a_call_too_many_is_seen() -> Verdict {
    best_of(5, || {
        let nosy = Pair::play::<Nosy, Blocking<Nosy>>(Pattern::OneWay, one_core()?, Wait::Block, 10 * MILLISECOND)?;
        let [send, recv] = nosy.per_message(|usage| usage.calls);
        within("sender", [send; 2], 2.0, 2.02)?;
        // It sends the acknowledgement.
        within("receiver", [recv; 2], 1.0, 1.02)
    })
}

/// None for messages. An end that polls looks after its peer once a millisecond, so whoever shares the machine and keeps it from
/// its messages adds looks, and no more than that.
fn a_spinning_ring_makes_no_calls() -> Verdict {
    let cpus = two_threads().map_err(|error| error.to_string())?;
    best_of(5, || {
        for pattern in Pattern::ALL {
            let ring = Pair::play::<Memfd, Direct<RingEnd>>(*pattern, cpus, Wait::Spin, 20 * MILLISECOND)?;
            let looks = |usage: &Usage| usage.elapsed_ns as f64 / 1e6 + 2.0;
            let beyond = |usage: &Usage| ((usage.calls as f64 - looks(usage)) / ring.messages).max(0.0);
            within("calls", [&ring.send, &ring.recv].map(beyond), 0.0, 0.005)?;
            within("voluntary switches", ring.per_message(|usage| usage.voluntary), 0.0, 0.005)?;
        }
        Ok(())
    })
}

fn a_spinning_ring_burns_two_cores() -> Verdict {
    let cpus = two_threads().map_err(|error| error.to_string())?;
    // Short stretches, so that others of the machine leave both alone in some of them.
    best_of(100, || {
        let ring = Pair::play::<Memfd, Direct<RingEnd>>(Pattern::RoundTrip, cpus, Wait::Spin, 2 * MILLISECOND)?;
        within("cores", [ring.utilisation(); 2], 1.5, 2.05)
    })
}

/// Each end gives the core up once a round trip: because it waits, or because the kernel prefers whom its message has woken. The
/// latter then finds nothing further and waits, so at least one of them does it of itself.
fn a_blocking_ping_pong_on_one_core_takes_turns() -> Verdict {
    best_of(5, || {
        let pipe = Pair::play::<Pipe, Blocking<Pipe>>(Pattern::RoundTrip, one_core()?, Wait::Block, 10 * MILLISECOND)?;
        within("switches", pipe.per_message(|usage| usage.voluntary + usage.involuntary), 0.9, 1.1)?;
        let [a, b] = pipe.per_message(|usage| usage.voluntary);
        within("voluntary switches of both", [a + b; 2], 0.9, 2.1)?;
        within("cores", [pipe.utilisation(); 2], 0.0, 1.05)
    })
}

/// All that a pair does takes processor time, and user and system time together are about that.
fn the_two_accounts_of_time_agree() -> Verdict {
    best_of(5, || {
        let pipe = Pair::play::<Pipe, Blocking<Pipe>>(Pattern::OneWay, one_core()?, Wait::Block, 20 * MILLISECOND)?;
        let split = pipe.per_message(|usage| usage.user_ns + usage.system_ns);
        let exact = pipe.per_message(|usage| usage.cpu_ns);
        within("of the exact time", [split[0] / exact[0], split[1] / exact[1]], 0.8, 1.2)
    })
}

fn timed_pairs_are_not_metered() -> Verdict {
    let time = Budget::Time { warm_up: MILLISECOND, measure: 2 * MILLISECOND };
    for (pattern, budget) in [
        (Pattern::OneWay, time),
        (Pattern::RoundTrip, time),
        (Pattern::OneWay, Budget::Messages(100)),
        (Pattern::RoundTrip, Budget::Messages(100)),
    ] {
        let sample = sample::<Pipe, Blocking<Pipe>>(pattern, one_core()?, Wait::Block, budget)?;
        if sample.usage.is_some() || sample.responder_usage.is_some() {
            return Err(format!("{pattern}, {budget:?}: {:?}", sample.usage));
        }
    }
    Ok(())
}

/// A round that turned out short is played again: a stretch of three messages has no figure per message.
fn a_metered_stretch_is_long_enough() -> Verdict {
    for pattern in Pattern::ALL {
        let pipe = Pair::play::<Pipe, Blocking<Pipe>>(*pattern, one_core()?, Wait::Block, 8 * MILLISECOND)?;
        let elapsed = Duration::from_nanos(pipe.send.elapsed_ns);
        if elapsed < 4 * MILLISECOND || pipe.messages < 100.0 {
            return Err(format!("{pattern}: {} messages in {elapsed:?}", pipe.messages));
        }
    }
    Ok(())
}

/// A cost cell has as many pairs of either kind as a latency cell, and what is compared has an interval about it.
fn a_run_has_intervals_of_both_kinds() -> Verdict {
    let words = |error: std::io::Error| error.to_string();
    let dir = tempfile::tempdir().map_err(words)?;
    let program = env!("CARGO_BIN_EXE_ipc-bench");
    let choice = "run --quick --workload cost --mechanism pipe --size 64 --placement same-core --wait block --out";
    let mut command = Command::new(program);
    let run = command.args(choice.split(' ')).arg(dir.path()).env("TMPDIR", dir.path()).output().map_err(words)?;
    let rows: Vec<CostRow> = rows::read(dir.path()).map_err(|error| format!("{error}: {run:?}"))?;
    let [row] = &rows[..] else { return Err(format!("{rows:?}")) };
    if (row.pairs, row.round_trip_pairs) != (3, Some(3)) {
        return Err(format!("{row:?}"));
    }
    for (lo, value, hi) in [
        (row.cpu_lo_ns, row.cpu_ns, row.cpu_hi_ns),
        (row.round_trip_lo_ns, row.round_trip_ns, row.round_trip_hi_ns),
        (row.round_trip_cpu_lo_ns, row.round_trip_cpu_ns, row.round_trip_cpu_hi_ns),
    ] {
        let ordered = lo.zip(value).zip(hi).is_some_and(|((lo, value), hi)| lo <= value && value <= hi);
        if !ordered {
            return Err(format!("{lo:?}, {value:?}, {hi:?}: {row:?}"));
        }
    }
    Ok(())
}

fn energy_that_may_not_be_read_says_so() -> Verdict {
    let words = |error: std::io::Error| error.to_string();
    let dir = tempfile::tempdir().map_err(words)?;
    let zone = dir.path().join("intel-rapl:0");
    fs::create_dir(&zone).map_err(words)?;
    for (file, text, mode) in
        [("name", "package-0", 0o444), ("energy_uj", "7", 0o000), ("max_energy_range_uj", "9", 0o444)]
    {
        fs::write(zone.join(file), text).map_err(words)?;
        fs::set_permissions(zone.join(file), fs::Permissions::from_mode(mode)).map_err(words)?;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(words)?;
    process::with_watchdog(Duration::from_secs(5), || {
        // From here, for the folders above may be closed to an ordinary user.
        std::env::set_current_dir(dir.path()).map_err(words)?;
        become_ordinary().map_err(|error| error.to_string())?;
        match Packages::find(Path::new(".")) {
            Err(why) if why == "./intel-rapl:0/energy_uj: Permission denied" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn main() {
    let two = || two_threads().map(drop);
    run_all([Suite::new("cost")
        .test("a_blocking_pipe_makes_one_call_a_side", a_blocking_pipe_makes_one_call_a_side)
        .test("a_call_too_many_is_seen", a_call_too_many_is_seen)
        .prepared("a_spinning_ring_makes_no_calls", two, a_spinning_ring_makes_no_calls)
        .prepared("a_spinning_ring_burns_two_cores", two, a_spinning_ring_burns_two_cores)
        .test("a_blocking_ping_pong_on_one_core_takes_turns", a_blocking_ping_pong_on_one_core_takes_turns)
        .test("the_two_accounts_of_time_agree", the_two_accounts_of_time_agree)
        .test("timed_pairs_are_not_metered", timed_pairs_are_not_metered)
        .test("a_metered_stretch_is_long_enough", a_metered_stretch_is_long_enough)
        .test("a_run_has_intervals_of_both_kinds", a_run_has_intervals_of_both_kinds)
        .test("energy_that_may_not_be_read_says_so", energy_that_may_not_be_read_says_so)]);
}
