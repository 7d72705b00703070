//! The life-cycle measurement on every mechanism, and on channels that are broken on purpose.

use bench_harness::{Mechanism, STANDARD};
use bench_lab::{lifecycle::Probes, topology::Topology};
use bench_record::rows::LifecycleRow;
use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Endpoint, Error, Options, Result, Spec,
    leftovers::{self, Stray},
    process,
    stream::StreamEnd,
};
use ipc_pipe::Pipe;
use std::{
    fs::{self, File},
    mem::forget,
    path::Path,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, SystemTime},
};

fn main() {
    let suite = STANDARD.iter().fold(Suite::new("lifecycle").within(Duration::from_secs(60)), |suite, mechanism| {
        suite.test(&format!("of_{}", mechanism.spec.name.replace('-', "_")), move || has_a_row(mechanism))
    });
    run_all([suite
        .test("a_leaked_descriptor_is_noticed", a_leaked_descriptor_is_noticed)
        .test("a_leaked_mapping_is_noticed", a_leaked_mapping_is_noticed)
        .test("a_slow_step_shows_in_its_column", a_slow_step_shows_in_its_column)
        .test("one_that_fails_later_is_told", one_that_fails_later_is_told)
        .test("one_that_hangs_is_given_up", one_that_hangs_is_given_up)
        .test("one_that_cannot_be_opened_is_a_row", one_that_cannot_be_opened_is_a_row)])
}

fn here() -> std::result::Result<Topology, String> {
    Topology::here().map_err(|error| error.to_string())
}

/// A ring of the default capacity in each direction, and the page before them.
const RING: u64 = 2 * (256 << 10) + 4096;

/// Measures one mechanism: everything that it has is measured, nothing is left, and this process stays as it was.
fn has_a_row(mechanism: &'static Mechanism) -> Verdict {
    let (topology, began, open) = (here()?, SystemTime::now(), descriptors()?);
    let row = mechanism.lifecycle().measure(mechanism.spec.name, &topology);
    let named = mechanism.faults(bench_record::fault::Fault::KillBinder).len() == 1;
    let times =
        [Some(row.create_ns), named.then_some(row.connect_ns), Some(row.first_message_ns), Some(row.teardown_ns)];
    let plausible = |time: Option<f64>| time.is_some_and(|ns| (100.0..1e9).contains(&ns));
    if !times.into_iter().flatten().all(plausible) || row.connect_ns.is_some() != named {
        return Err(format!("{row:?}"));
    }
    // Only the kernel's memory can be lost in what others do.
    if !row.error.is_empty()
        && (row.kernel_bytes.is_some() || !row.error.starts_with("kernel memory: lost in the noise"))
    {
        return Err(format!("{row:?}"));
    }
    // Descriptors; mappings and mapped bytes, where these are the same on every machine.
    let (held, mapped) = match row.mechanism.as_str() {
        "pipe" | "fifo" => (Some(4), Some((0, 0))),
        // The ring, which both ends map as one where one process has both, and a socket pair that shows whether the peer lives.
        "mmap-anon" | "sysv-shm" | "posix-shm" | "memfd" | "mmap-file" => (Some(2), Some((1, RING))),
        "unix-stream" | "tcp" => (Some(2), Some((0, 0))),
        // A socket pair, and the locked journal entries of two queues that outlive it.
        "sysv-msgq" => (Some(4), Some((0, 0))),
        "unix-seqpacket" | "unix-dgram" | "udp" => (Some(4), Some((0, 0))),
        "posix-mq" => (Some(6), Some((0, 0))),
        _ => (None, None),
    };
    let is = (row.mappings.unwrap_or(u64::MAX), row.mapped_bytes.unwrap_or(u64::MAX));
    if held.is_some_and(|held| row.descriptors != Some(held)) || mapped.is_some_and(|mapped| mapped != is) {
        return Err(format!("{held:?} descriptors and {mapped:?} mapped were expected: {row:?}"));
    }
    // These reserve their pages. What is beside them in the kernel is less than half of that.
    let reserves = ["posix-shm", "memfd"].contains(&row.mechanism.as_str());
    if reserves && row.kernel_bytes.is_some_and(|bytes| !(1.0..1.5).contains(&(bytes / RING as f64))) {
        return Err(format!("{row:?}"));
    }
    let left = left_since(began)?;
    if !left.is_empty() || descriptors()? != open {
        return Err(format!("left: {left:?}, descriptors {open} and now {}", descriptors()?));
    }
    Ok(())
}

/// What this process and those that it has started and that have ended have left. The kernel numbers processes upwards, so they
/// are among those from this one to the newest; what others that have ended among them left goes with their next sweep.
fn left_since(began: SystemTime) -> std::result::Result<Vec<String>, String> {
    let newest = process::fork(|| 0).map_err(|error| error.to_string())?.pid().as_raw().cast_unsigned();
    let own = std::process::id();
    let has_ended = |pid: &u32| *pid == own || !Path::new(&format!("/proc/{pid}")).exists();
    let pids: Vec<u32> = (own..=newest).filter(has_ended).collect();
    let mut left = Vec::new();
    for _ in 0..20 {
        left = leftovers::of(&pids, Stray::Counts(began)).map_err(|error| error.to_string())?;
        if left.is_empty() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    Ok(left)
}

fn descriptors() -> std::result::Result<usize, String> {
    fs::read_dir("/proc/self/fd").map(Iterator::count).map_err(|error| error.to_string())
}

/// A pipe that has fault number `F`.
struct Faulty<const F: usize>;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    LeaksDescriptor,
    LeaksMapping,
    OpensSlowly,
    SendsSlowly,
    ClosesSlowly,
    FailsToReceive,
    NeverReceives,
    CannotBeOpened,
}

const FAULTS: [Fault; 8] = [
    Fault::LeaksDescriptor,
    Fault::LeaksMapping,
    Fault::OpensSlowly,
    Fault::SendsSlowly,
    Fault::ClosesSlowly,
    Fault::FailsToReceive,
    Fault::NeverReceives,
    Fault::CannotBeOpened,
];

struct FaultyEnd<const F: usize>(StreamEnd);

const SLOWLY: Duration = Duration::from_millis(5);

impl<const F: usize> Channel for Faulty<F> {
    const SPEC: Spec = Spec { name: "faulty", ..Pipe::SPEC };
    type Endpoint = FaultyEnd<F>;

    fn pair(options: &Options) -> Result<(FaultyEnd<F>, FaultyEnd<F>)> {
        match FAULTS[F] {
            Fault::CannotBeOpened => {
                return Err(Error::Unsupported { what: "faulty", why: "as the test wants".into() });
            }
            Fault::OpensSlowly => sleep(SLOWLY),
            _ => {}
        }
        Pipe::pair(options).map(|(a, b)| (FaultyEnd(a), FaultyEnd(b)))
    }
}

impl<const F: usize> Endpoint for FaultyEnd<F> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        if FAULTS[F] == Fault::SendsSlowly {
            sleep(SLOWLY);
        }
        self.0.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match FAULTS[F] {
            Fault::FailsToReceive => Err(Error::Corrupt { what: "as the test wants" }),
            Fault::NeverReceives => loop {
                sleep(SLOWLY);
            },
            _ => self.0.recv(buffer),
        }
    }

    fn max_message(&self) -> usize {
        self.0.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_timeout(timeout)
    }
}

/// Kept open for as long as the process lives.
static LEAKED: LazyLock<Mutex<Vec<Vec<u8>>>> = LazyLock::new(Mutex::default);
/// Ends that have been closed.
static CLOSED: AtomicU32 = AtomicU32::new(0);

impl<const F: usize> Drop for FaultyEnd<F> {
    fn drop(&mut self) {
        // One of both ends.
        let first = CLOSED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        match FAULTS[F] {
            Fault::LeaksDescriptor if first => forget(File::open("/dev/null")),
            Fault::LeaksMapping if first => LEAKED.lock().expect("one thread").push(vec![1; 1 << 20]),
            Fault::ClosesSlowly if first => sleep(SLOWLY),
            _ => {}
        }
    }
}

fn row_of<const F: usize>() -> std::result::Result<LifecycleRow, String> {
    Ok(Probes::of::<Faulty<F>>().measure("faulty", &here()?))
}

fn a_leaked_descriptor_is_noticed() -> Verdict {
    let row = row_of::<0>()?;
    if row.error.contains("left after the end: descriptor") && row.error.contains("/dev/null") {
        Ok(())
    } else {
        Err(row.error)
    }
}

fn a_leaked_mapping_is_noticed() -> Verdict {
    let row = row_of::<1>()?;
    if row.error.contains("left after the end: 105") && row.error.contains("mapped bytes") {
        Ok(())
    } else {
        Err(row.error)
    }
}

/// The step that sleeps is slow each time. Another one can be slow as well, where somebody else has the processor, but not each time.
fn a_slow_step_shows_in_its_column() -> Verdict {
    const TRIES: usize = 5;
    let slow = |ns: Option<f64>| ns.is_some_and(|ns| ns >= SLOWLY.as_nanos() as f64);
    let expected = [[true, false, false], [false, true, false], [false, false, true]];
    let mut rows = Vec::new();
    for _ in 0..TRIES {
        rows = vec![row_of::<2>()?, row_of::<3>()?, row_of::<4>()?];
        let shown = rows.iter().map(|row| [row.create_ns, row.first_message_ns, row.teardown_ns].map(slow));
        let shown: Vec<_> = shown.collect();
        if shown == expected {
            return Ok(());
        }
        if (0..expected.len()).any(|step| !shown[step][step]) {
            break;
        }
    }
    Err(format!("{rows:?}"))
}

fn one_that_fails_later_is_told() -> Verdict {
    let row = row_of::<5>()?;
    let told = row.error.contains("first message: wrong payload: corrupt: as the test wants");
    if told && row.first_message_ns.is_none() && row.create_ns.is_some() { Ok(()) } else { Err(format!("{row:?}")) }
}

fn one_that_hangs_is_given_up() -> Verdict {
    let row = row_of::<6>()?;
    let told = row.error.contains("first message: no result within 5s");
    if told && row.first_message_ns.is_none() && row.create_ns.is_some() { Ok(()) } else { Err(format!("{row:?}")) }
}

fn one_that_cannot_be_opened_is_a_row() -> Verdict {
    let row = row_of::<7>()?;
    let none = [row.create_ns, row.first_message_ns, row.teardown_ns, row.kernel_bytes].iter().all(Option::is_none);
    if none && row.descriptors.is_none() && row.error.contains("as the test wants") {
        Ok(())
    } else {
        Err(format!("{row:?}"))
    }
}
