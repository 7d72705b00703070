//! Files carried by every way there is: whole, counted as they should be, and never wrong or stuck without a word.

use bench_harness::{
    STANDARD,
    experiments::{
        Experiment, Found, Lab, Planned,
        relay::{Crew, Files, Load, Plan, Relay, Way, carry_by, carry_once, trace_once},
    },
};
use bench_lab::{
    copies::trace::{Tracee, Untraced, trace},
    interrupt,
    topology::Topology,
    worker::PairError,
};
use bench_record::{file_copy::FileCopy, rows::RelayRow};
use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{countable, isolate},
};
use ipc_core::{
    Channel, Endpoint, Error, Options, Result, Spec,
    process::{self, Exit},
    shared::SharedPage,
    stream::StreamEnd,
};
use ipc_pipe::Pipe;
use nix::sys::signal::{Signal, raise};
use std::{
    collections::BTreeSet,
    env::temp_dir,
    fs,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const ODD: u64 = (1 << 20) + 123;

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The experiment, and what is told of each of its visits.
struct Stepped<'a> {
    relay: Relay,
    step: &'a mut dyn FnMut(String),
}

impl Experiment for Stepped<'_> {
    type Row = RelayRow;
    type Subject = Way;

    fn visits(&self, way: &Way) -> u32 {
        self.relay.visits(way)
    }

    fn visit(&mut self, lab: &mut Lab<'_>, way: &mut Way, visit: u32) {
        (self.step)(way.to_string());
        self.relay.visit(lab, way, visit);
    }

    fn row(&self, way: &Way, found: &mut Found) -> Option<RelayRow> {
        self.relay.row(way, found)
    }
}

/// What came of a plan.
#[derive(Debug)]
struct Outcome {
    rows: Vec<RelayRow>,
    wrong_payload: bool,
    interrupted: bool,
}

/// Carries the file of `plan` by all its ways; `step` is told which way comes.
fn carry_all(plan: &Plan, mut step: impl FnMut(String)) -> Outcome {
    let topology = Topology::here().expect("the plan was made here");
    let (relay, subjects) = Relay::of(plan.clone());
    let mut planned = Planned { experiment: Stepped { relay, step: &mut step }, subjects };
    let (found, interrupted) = planned.measure(&mut Lab::new(&STANDARD, &topology), "steps");
    Outcome { rows: found.rows.relay, wrong_payload: found.wrong_payload, interrupted }
}

/// A plan for `bytes` in `dir`.
fn plan(dir: &Path, bytes: u64) -> std::result::Result<Plan, String> {
    let topology = Topology::here().map_err(words)?;
    let deadline = Duration::from_secs(10);
    Ok(Plan { dir: dir.to_owned(), bytes, runs: 1, deadline, ..Plan::new(&topology) })
}

/// Runs `test` with a plan for files in a folder that must be empty afterwards.
fn in_a_folder(bytes: u64, test: impl FnOnce(Plan) -> Verdict) -> Verdict {
    let dir = tempfile::tempdir().map_err(words)?;
    test(plan(dir.path(), bytes)?)?;
    nothing_left(dir.path())
}

fn nothing_left(dir: &Path) -> Verdict {
    let left: Vec<_> = fs::read_dir(dir).map_err(words)?.flatten().map(|file| file.file_name()).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left in {}: {left:?}", dir.display())) }
}

fn every_way_carries(bytes: u64, chunk: usize) -> Verdict {
    in_a_folder(bytes, |plan| {
        let plan = Plan { chunk, ..plan };
        let mut files = Files::new(&plan.dir, bytes).map_err(words)?;
        // Twice, so that the second run finds what the first has left.
        for &relay in FileCopy::ALL.iter().chain(FileCopy::ALL) {
            let carried = carry_once(relay, &plan, &mut files).map_err(|error| format!("{relay}: {error}"))?;
            let user = carried.copied_bytes / bytes.max(1);
            let expected = match relay {
                FileCopy::SharedMemoryPrivate => 2,
                FileCopy::MappedCopy => 1,
                _ => 0,
            };
            if bytes > 0 && user != expected {
                return Err(format!("{relay}: {} bytes copied by the processes", carried.copied_bytes));
            }
        }
        Ok(())
    })
}

/// Kernel and user copies of each byte, and which way the calls of a chunk can be told exactly.
fn copies_are_those_of_the_kernels_source() -> Verdict {
    in_a_folder(ODD, |plan| {
        for &relay in FileCopy::ALL {
            let (kernel, user, claimed) = match relay {
                FileCopy::ReadPipeWrite
                | FileCopy::ReadSysvMsgqWrite
                | FileCopy::ReadPosixMqWrite
                | FileCopy::ReadUnixStreamWrite
                | FileCopy::ReadTcpWrite => (4.0, 0.0, Some(4)),
                FileCopy::SharedMemoryPrivate => (2.0, 2.0, Some(2)),
                FileCopy::SharedMemoryInPlace => (2.0, 0.0, Some(2)),
                FileCopy::MappedPipe => (2.0, 0.0, None),
                FileCopy::Splice | FileCopy::Sendfile | FileCopy::CopyFileRange => (1.0, 0.0, None),
                FileCopy::MappedCopy => (0.0, 1.0, None),
            };
            let outcome = carry_all(&Plan { relays: vec![relay], ..plan.clone() }, |_| {});
            let row = &outcome.rows[0];
            if relay == FileCopy::CopyFileRange && files_share_blocks(&plan)? {
                continue;
            }
            let found = (row.kernel_copies, row.user_copies, row.total_copies, row.claimed, row.error.as_str());
            if found != (Some(kernel), Some(user), Some(kernel + user), claimed, "") {
                return Err(format!("{row:?}"));
            }
            if row.moved != Some(if relay == FileCopy::Splice { 2.0 } else { kernel }) {
                return Err(format!("{relay}: {:?} bytes moved for each", row.moved));
            }
        }
        Ok(())
    })
}

/// Whether files in the plan's folder can share blocks: copy_file_range(2) then copies nothing.
fn files_share_blocks(plan: &Plan) -> std::result::Result<bool, String> {
    Files::new(&plan.dir, 1).map(|files| files.can_share_blocks()).map_err(words)
}

/// Checks that this process may trace its children.
fn can_trace() -> Result<()> {
    countable()?;
    match Tracee::fork(|| 0).and_then(|child| trace([child], Duration::from_secs(10))) {
        Err(refused @ Untraced::Refused { .. }) => Err(Error::Unsupported { what: "ptrace", why: refused.to_string() }),
        _ => Ok(()),
    }
}

/// Whether the row has all its figures. The number of copies may be missing: it needs ptrace, and a file system that does not
/// share blocks.
fn is_whole(row: &RelayRow) -> bool {
    row.error.is_empty() || row.error.starts_with("copies: ")
}

/// The tracer and the ledger count the same calls, but for the thread that some mechanisms start at their first sleep.
fn the_ledger_has_the_calls_that_a_tracer_sees() -> Verdict {
    in_a_folder(ODD, |plan| {
        let mut files = Files::new(&plan.dir, ODD).map_err(words)?;
        for &relay in FileCopy::ALL {
            let traced = trace_once(relay, &plan, &mut files).map_err(|error| format!("{relay}: {error}"))?;
            let watched = matches!(
                relay,
                FileCopy::ReadSysvMsgqWrite
                    | FileCopy::ReadPosixMqWrite
                    | FileCopy::SharedMemoryPrivate
                    | FileCopy::SharedMemoryInPlace
            );
            for (counts, &entered) in traced.counts.iter().zip(&traced.entered) {
                let beside = counts.calls().checked_sub(entered);
                if beside.is_none_or(|calls| calls > if watched { 40 } else { 0 }) {
                    return Err(format!("{relay}: {} calls traced, {entered} entered: {counts:?}", counts.calls()));
                }
            }
        }
        Ok(())
    })
}

/// What a channel does wrong with its third message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    FlipsOneBit,
    RepeatsTheOneBefore,
    KillsSender,
    KillsReceiver,
    SendsNoMore,
}

const FAULTS: [Fault; 5] =
    [Fault::FlipsOneBit, Fault::RepeatsTheOneBefore, Fault::KillsSender, Fault::KillsReceiver, Fault::SendsNoMore];

/// A pipe with fault number `F`.
struct Faulty<const F: usize>;

struct FaultyEnd<const F: usize> {
    end: StreamEnd,
    moved: u64,
    before: Vec<u8>,
}

impl<const F: usize> Channel for Faulty<F> {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = FaultyEnd<F>;

    fn pair(options: &Options) -> Result<(FaultyEnd<F>, FaultyEnd<F>)> {
        let wrap = |end| FaultyEnd { end, moved: 0, before: Vec::new() };
        Pipe::pair(options).map(|(a, b)| (wrap(a), wrap(b)))
    }
}

impl<const F: usize> FaultyEnd<F> {
    fn strikes(&mut self, fault: Fault) -> bool {
        FAULTS[F] == fault && self.moved == 3
    }
}

impl<const F: usize> Endpoint for FaultyEnd<F> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.moved += 1;
        let mut message = message.to_vec();
        let before = std::mem::replace(&mut self.before, message.clone());
        if self.strikes(Fault::FlipsOneBit) {
            message[100] ^= 1;
        } else if self.strikes(Fault::RepeatsTheOneBefore) {
            message = before;
        } else if self.strikes(Fault::KillsSender) {
            raise(Signal::SIGKILL).expect("a process can kill itself");
        } else if self.strikes(Fault::SendsNoMore) {
            return self.end.recv(&mut message).map(drop);
        }
        self.end.send(&message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.moved += 1;
        if self.strikes(Fault::KillsReceiver) {
            raise(Signal::SIGKILL).expect("a process can kill itself");
        }
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

/// Carries over a channel with fault number `F`; the outcome must be one that `judge` accepts, and a sound way that follows it
/// must be undisturbed.
fn with_fault<const F: usize>(judge: fn(&PairError) -> bool) -> Verdict {
    in_a_folder(ODD, |plan| {
        let hangs = FAULTS[F] == Fault::SendsNoMore;
        let plan = Plan { deadline: Duration::from_secs(if hangs { 2 } else { 20 }), ..plan };
        let mut files = Files::new(&plan.dir, ODD).map_err(words)?;
        let began = Instant::now();
        match carry_by(&plan, &mut files, |load| Crew::buffered::<Faulty<F>>(load)) {
            Err(error) if judge(&error) => {}
            other => return Err(format!("{:?}: {other:?}", FAULTS[F])),
        }
        if began.elapsed() > plan.deadline + Duration::from_secs(20) {
            return Err(format!("{:?}: it took {:?}", FAULTS[F], began.elapsed()));
        }
        carry_once(FileCopy::ReadPipeWrite, &plan, &mut files).map(drop).map_err(|error| format!("after it: {error}"))
    })
}

fn one_bit(error: &PairError) -> bool {
    let at = 2 * (64 << 10) + 100;
    matches!(error, PairError::WrongPayload(why) if why.starts_with(&format!("byte {at} of the destination is ")))
}

fn third_chunk(error: &PairError) -> bool {
    matches!(error, PairError::WrongPayload(why) if why.starts_with("byte 13107"))
}

/// A source that is cut after the files were made fails every way.
fn a_source_that_ends_early_is_an_error() -> Verdict {
    in_a_folder(ODD, |plan| {
        for &relay in FileCopy::ALL {
            let mut files = Files::new(&plan.dir, ODD).map_err(words)?;
            let outcome = carry_by(&plan, &mut files, |load: Load<'_>| {
                load.files.source.set_len(ODD / 2).expect("the file is ours");
                Crew::of(relay, load)
            });
            match outcome {
                Err(PairError::Failed(why)) if why.contains("somebody has cut it") || why.contains("EFAULT") => {}
                Err(PairError::Died(_, Exit::Signal(Signal::SIGBUS))) if relay == FileCopy::MappedCopy => {}
                other => return Err(format!("{relay}: {other:?}")),
            }
        }
        Ok(())
    })
}

/// The temporary folder has room for 1 MiB.
fn no_room_for_the_files() -> Verdict {
    let outcome = carry_all(&plan(&temp_dir(), 4 << 20)?, |_| {});
    let named = |error: &str| {
        ["ENOSPC", "4194304 bytes", &temp_dir().display().to_string()].iter().all(|word| error.contains(word))
    };
    let clear = outcome.rows.iter().all(|row| named(&row.error) && row.bytes_per_s.is_none());
    if !clear || outcome.rows.len() != FileCopy::ALL.len() || outcome.wrong_payload {
        return Err(format!("{outcome:?}"));
    }
    nothing_left(&temp_dir())
}

/// There was room when the files were made, and there is none when the destination is written.
fn no_room_for_the_destination() -> Verdict {
    const BYTES: u64 = 256 << 10;
    let plan = plan(&temp_dir(), BYTES)?;
    for &relay in FileCopy::ALL {
        let mut files = Files::new(&plan.dir, BYTES).map_err(words)?;
        let filler = temp_dir().join("filler");
        let outcome = carry_by(&plan, &mut files, |load: Load<'_>| {
            // Opened first: its queue has to have room in the journal.
            let crew = Crew::of(relay, load);
            load.files.destination.set_len(0).and_then(|()| load.files.destination.set_len(BYTES)).expect("ours");
            let full = fs::write(&filler, vec![1; 1 << 20]).expect_err("the file system has less room");
            assert_eq!(full.raw_os_error(), Some(nix::errno::Errno::ENOSPC as i32));
            crew
        });
        match outcome {
            Err(PairError::Failed(why)) if why.contains("ENOSPC") || why.contains("EFAULT") => {}
            Err(PairError::Died(_, Exit::Signal(Signal::SIGBUS))) if relay == FileCopy::MappedCopy => {}
            other => return Err(format!("{relay}: {other:?}")),
        }
        fs::remove_file(filler).map_err(words)?;
    }
    nothing_left(&temp_dir())
}

fn a_killed_run_leaves_nothing() -> Verdict {
    in_a_folder(ODD, |plan| {
        let page = SharedPage::new().map_err(words)?;
        let plan = Plan { relays: vec![FileCopy::ReadPipeWrite, FileCopy::Splice], runs: 10_000, ..plan };
        let mut run = process::fork(|| {
            carry_all(&plan, |_| _ = page[0].word.fetch_add(1, Ordering::AcqRel));
            0
        })
        .map_err(words)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while page[0].word.load(Ordering::Acquire) < 5 {
            if Instant::now() > deadline {
                return Err("the run does not begin".into());
            }
            nothing_left(&plan.dir)?;
        }
        run.kill().map(drop).map_err(words)
    })
}

fn rounds_are_shuffled_and_complete() -> Verdict {
    in_a_folder(1000, |plan| {
        let plan = Plan { runs: 4, ..plan };
        let mut steps = Vec::new();
        let outcome = carry_all(&plan, |relay| steps.push(relay));
        // Two rounds are not timed.
        let planned = FileCopy::ALL.len() * (plan.runs as usize + 2);
        if steps.len() != planned {
            return Err(format!("{} steps instead of {planned}", steps.len()));
        }
        let rounds: Vec<_> = steps.chunks(FileCopy::ALL.len()).collect();
        if !rounds.iter().all(|round| round.iter().collect::<BTreeSet<_>>().len() == FileCopy::ALL.len()) {
            return Err(format!("a round is not complete: {rounds:?}"));
        }
        if rounds.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("two rounds have one order: {rounds:?}"));
        }
        let names: Vec<_> = outcome.rows.iter().map(|row| row.relay).collect();
        let whole = outcome.rows.iter().all(|row| {
            let spread = row.bytes_per_s_lo.zip(row.bytes_per_s_hi);
            is_whole(row) && row.runs == 4 && row.bytes_per_s.is_some() && spread.is_some_and(|(lo, hi)| lo <= hi)
        });
        if names == FileCopy::ALL && whole { Ok(()) } else { Err(format!("{outcome:?}")) }
    })
}

fn queues_carry_as_much_as_they_take() -> Verdict {
    in_a_folder(ODD, |plan| {
        let limit = |path: &str| -> std::result::Result<usize, String> {
            fs::read_to_string(path).map_err(words)?.trim().parse().map_err(words)
        };
        let outcome = carry_all(&plan, |_| {});
        for row in &outcome.rows {
            let expected = match row.relay {
                FileCopy::ReadPosixMqWrite => limit("/proc/sys/fs/mqueue/msgsize_max")?.min(plan.chunk),
                FileCopy::ReadSysvMsgqWrite => {
                    limit("/proc/sys/kernel/msgmax")?.min(limit("/proc/sys/kernel/msgmnb")?).min(plan.chunk)
                }
                _ => plan.chunk,
            };
            if row.chunk != expected || !is_whole(row) {
                return Err(format!("{row:?}"));
            }
        }
        Ok(())
    })
}

fn an_interrupted_run_ends_at_once() -> Verdict {
    in_a_folder(1000, |plan| {
        interrupt::install().map_err(words)?;
        let mut steps = 0;
        let outcome = carry_all(&plan, |_| {
            steps += 1;
            if steps == 3 {
                raise(Signal::SIGTERM).expect("a process can interrupt itself");
            }
        });
        let said = outcome.rows.iter().all(|row| row.error.starts_with("interrupted"));
        if outcome.interrupted && steps == 3 && said { Ok(()) } else { Err(format!("{steps} steps, {outcome:?}")) }
    })
}

fn what_cannot_be_carried_is_named() -> Verdict {
    in_a_folder(1000, |plan| {
        let nowhere = plan.dir.join("nowhere");
        let beyond = 4095;
        for (plan, word) in [
            (Plan { chunk: 0, ..plan.clone() }, "chunk: of 0 bytes"),
            (Plan { bytes: 0, ..plan.clone() }, "file: of 0 bytes"),
            (Plan { dir: nowhere, ..plan.clone() }, "ENOENT"),
            (Plan { cpus: Some([beyond, beyond]), ..plan.clone() }, "cannot pin to CPU 4095"),
        ] {
            let outcome = carry_all(&plan, |_| {});
            if !outcome.rows.iter().all(|row| row.error.contains(word) && row.bytes_per_s.is_none()) {
                return Err(format!("{word}: {outcome:?}"));
            }
        }
        Ok(())
    })
}

/// The ways of two processes work on a file system of memory as well.
fn on_a_file_system_in_memory() -> Verdict {
    let plan = plan(&temp_dir(), 100_001)?;
    let mut files = Files::new(&plan.dir, plan.bytes).map_err(words)?;
    for &relay in FileCopy::ALL {
        carry_once(relay, &plan, &mut files).map_err(|error| format!("{relay}: {error}"))?;
    }
    nothing_left(&temp_dir())
}

fn main() {
    let small = || isolate(1 << 20);
    run_all([Suite::new("relay")
        .within(Duration::from_secs(120))
        .test("a_file_of_odd_length", || every_way_carries(ODD, 64 << 10))
        .test("chunks_of_odd_length", || every_way_carries(100_003, 4099))
        .test("a_file_of_whole_chunks", || every_way_carries(3 * 8192, 8192))
        .test("one_byte", || every_way_carries(1, 64 << 10))
        .test("nothing", || every_way_carries(0, 64 << 10))
        .prepared("copies_are_those_of_the_kernels_source", can_trace, copies_are_those_of_the_kernels_source)
        .prepared("the_ledger_has_the_calls_that_a_tracer_sees", can_trace, the_ledger_has_the_calls_that_a_tracer_sees)
        .test("one_flipped_bit_is_found", || with_fault::<0>(one_bit))
        .test("a_repeated_chunk_is_found", || with_fault::<1>(third_chunk))
        .test("a_killed_sender_is_an_error", || {
            with_fault::<2>(|error| *error == PairError::Died("sender", Exit::Signal(Signal::SIGKILL)))
        })
        .test("a_killed_receiver_is_an_error", || {
            with_fault::<3>(|error| *error == PairError::Died("receiver", Exit::Signal(Signal::SIGKILL)))
        })
        .test("a_hang_is_given_up", || with_fault::<4>(|error| matches!(error, PairError::Hung(_))))
        .test("a_source_that_ends_early_is_an_error", a_source_that_ends_early_is_an_error)
        .prepared("no_room_for_the_files", small, no_room_for_the_files)
        .prepared("no_room_for_the_destination", small, no_room_for_the_destination)
        .prepared("on_a_file_system_in_memory", small, on_a_file_system_in_memory)
        .test("a_killed_run_leaves_nothing", a_killed_run_leaves_nothing)
        .test("rounds_are_shuffled_and_complete", rounds_are_shuffled_and_complete)
        .test("queues_carry_as_much_as_they_take", queues_carry_as_much_as_they_take)
        .test("an_interrupted_run_ends_at_once", an_interrupted_run_ends_at_once)
        .test("what_cannot_be_carried_is_named", what_cannot_be_carried_is_named)]);
}
