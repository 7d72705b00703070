//! Four figures of the machine itself, taken at the start, in the middle and at the end of a run: what a system call, a cache line
//! between two cores, a byte through a pipe and a copy of memory cost there and then.
//!
//! No mechanism's code is in them, so a change of the source cannot move them. Where the figures of two runs differ, the anchors
//! say how much of it the machine explains (see [`history`](crate::history)).

use crate::{
    cell::{Placement, named},
    clock,
    pair::PairError,
    probe,
    seat::{self, Seat},
    stats,
    topology::Topology,
};
use ipc_core::{
    Error, process,
    shared::{Barrier, SharedPage},
};
use nix::unistd::{read, write};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    hint::black_box,
    io::{PipeReader, PipeWriter, pipe},
    time::{Duration, Instant},
};

named! {
    /// What is measured of the machine.
    "anchor" Anchor {
        /// A system call that does nothing.
        Syscall = "syscall",
        /// A cache line to another hardware thread and back.
        CacheLine = "cache-line",
        /// A byte through a pipe to a process on another hardware thread and back.
        Pipe = "pipe",
        /// A copy of 1 MiB of memory.
        Memcpy = "memcpy",
    }
}

/// Batches of each; the median of them is taken.
const BATCHES: usize = 15;
/// Round trips in a batch of the pipe: about a millisecond where each wakes a processor.
const PIPE_BATCH: u32 = 20;
/// Copies in a batch.
const COPY_BATCH: u32 = 8;
/// Bytes copied.
const COPY: usize = 1 << 20;
/// The children are given up after this: fifty times what they need.
const DEADLINE: Duration = Duration::from_secs(5);
/// An anchor has moved during a run where its greatest figure is more than this times its least.
pub const MOVED: f64 = 1.25;

/// The four, taken once, in nanoseconds. What could not be measured is `None`, and [`missing`](Self::missing) says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Anchors {
    /// One `getppid`.
    pub syscall_ns: Option<f64>,
    /// A bare cache line, there and back.
    pub cache_line_ns: Option<f64>,
    /// One byte through two pipes, there and back, both processes asleep while they wait.
    pub pipe_ns: Option<f64>,
    /// One copy of 1 MiB.
    pub memcpy_ns: Option<f64>,
    /// Why figures are missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<Anchor, String>,
}

impl Anchors {
    /// The figure of `anchor`.
    pub fn get(&self, anchor: Anchor) -> Option<f64> {
        match anchor {
            Anchor::Syscall => self.syscall_ns,
            Anchor::CacheLine => self.cache_line_ns,
            Anchor::Pipe => self.pipe_ns,
            Anchor::Memcpy => self.memcpy_ns,
        }
    }
}

/// The anchors of a run; what an interrupted one did not come to is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfRun {
    /// Before the first pair.
    pub start: Option<Anchors>,
    /// Between two passes.
    pub middle: Option<Anchors>,
    /// After the last pair.
    pub end: Option<Anchors>,
}

impl OfRun {
    /// What was measured of `anchor`.
    fn figures(&self, anchor: Anchor) -> Vec<f64> {
        let taken = [&self.start, &self.middle, &self.end];
        taken.into_iter().flatten().filter_map(|anchors| anchors.get(anchor)).collect()
    }

    /// The run's figure of `anchor`: the median of start, middle and end.
    pub fn median(&self, anchor: Anchor) -> Option<f64> {
        stats::median(&mut self.figures(anchor))
    }

    /// The anchors that were not the same all through the run (see [`MOVED`]).
    pub fn moved(&self) -> impl Iterator<Item = Anchor> {
        let has_moved = |anchor: &Anchor| {
            let figures = self.figures(*anchor);
            let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
            figures.iter().any(|figure| *figure > MOVED * least)
        };
        Anchor::ALL.iter().copied().filter(has_moved)
    }
}

/// Takes the four, in about a twentieth of a second, in children that are pinned as the pairs of `topology` are.
pub fn measure(topology: &Topology) -> Anchors {
    seat::unstopped(|| once(topology)).0
}

fn once(topology: &Topology) -> Anchors {
    let mut anchors = Anchors::default();
    let one = topology.cpus(Placement::SameCore).flatten();
    let alone = one.ok_or_else(|| "this process is allowed no hardware thread".to_owned());
    match alone.and_then(|[cpu, _]| of_one(cpu).map_err(|error| error.to_string())) {
        Ok((syscall, memcpy)) => (anchors.syscall_ns, anchors.memcpy_ns) = (Some(syscall), Some(memcpy)),
        Err(why) => anchors.missing.extend([(Anchor::Syscall, why.clone()), (Anchor::Memcpy, why)]),
    }
    let apart = [Placement::CrossCore, Placement::Smt, Placement::CrossSocket];
    let two = apart.into_iter().find_map(|placement| topology.cpus(placement).flatten());
    let two = two.ok_or_else(|| "it takes two hardware threads, and this process is allowed one".to_owned());
    match two.and_then(|cpus| of_two(cpus).map_err(|error| error.to_string())) {
        Ok((line, pipe)) => (anchors.cache_line_ns, anchors.pipe_ns) = (Some(line), Some(pipe)),
        Err(why) => anchors.missing.extend([(Anchor::CacheLine, why.clone()), (Anchor::Pipe, why)]),
    }
    anchors
}

/// System call and copy, on one hardware thread.
fn of_one(cpu: usize) -> Result<(f64, f64), PairError> {
    let seat = Seat::fork("anchor", || {
        process::pin(cpu)?;
        Ok((clock::null_syscall_ns(), memcpy_ns()))
    })?;
    Ok(seat::supervise(&mut [seat], DEADLINE)?.remove(0))
}

fn memcpy_ns() -> f64 {
    let (from, mut to) = (vec![1_u8; COPY], vec![2_u8; COPY]);
    // The C library's memcpy, and no other: black_box keeps the compiler from knowing what is copied.
    batches(COPY_BATCH, || {
        black_box(&mut to[..]).copy_from_slice(black_box(&from));
        Ok(())
    })
    .expect("copying does not fail")
}

/// The ends that one process holds of two pipes.
type Ends = (PipeReader, PipeWriter);

/// Cache line and pipe, between two hardware threads.
fn of_two(cpus: [usize; 2]) -> Result<(f64, f64), PairError> {
    let page = SharedPage::new().map_err(PairError::Process)?;
    let open = || pipe().map_err(|e| PairError::Process(Error::io("pipe2", &e)));
    let ((there, to), (back, from)) = (open()?, open()?);
    let mut ends = Some([(back, to), (there, from)]);
    let mut fork = |name, role: usize| {
        Seat::fork(name, || {
            let [first, second] = ends.take().expect("each child runs once");
            let (mine, _) = if role == 0 { (first, second) } else { (second, first) };
            process::pin(cpus[role])?;
            play(role == 0, &page, &mine)
        })
    };
    let mut seats = [fork("first anchor", 0)?, fork("second anchor", 1)?];
    let figures = seat::supervise(&mut seats, DEADLINE)?;
    Ok(figures.into_iter().flatten().next().expect("the first of the two measures"))
}

/// A child's part; the one that is `first` measures.
fn play(first: bool, page: &SharedPage, (reader, writer): &Ends) -> ipc_core::Result<Option<(f64, f64)>> {
    let (mine, other) = if first { (&page[0], &page[1]) } else { (&page[1], &page[0]) };
    let barrier = Barrier::new(mine, other);
    barrier.meet()?;
    let probes = (0..BATCHES).map(|_| if first { probe::measure(mine, other) } else { answer(mine, other) });
    let line = stats::median(&mut probes.collect::<Vec<_>>()).expect("there are batches");
    barrier.meet()?;
    let mut byte = [7];
    let send = || write(writer, &[7]).map_err(|errno| Error::os("write", errno));
    let mut receive = || read(reader, &mut byte).map_err(|errno| Error::os("read", errno));
    if first {
        let pipe = batches(PIPE_BATCH, || {
            send()?;
            receive().map(drop)
        })?;
        return Ok(Some((line, pipe)));
    }
    for _ in 0..(BATCHES as u32 + 1) * PIPE_BATCH {
        receive()?;
        send()?;
    }
    Ok(None)
}

fn answer(mine: &ipc_core::shared::Line, other: &ipc_core::shared::Line) -> f64 {
    probe::answer(mine, other);
    0.0
}

/// The median over batches of the mean time of `work`, after one batch to warm up.
fn batches(batch: u32, mut work: impl FnMut() -> ipc_core::Result<()>) -> ipc_core::Result<f64> {
    let mut means = Vec::with_capacity(BATCHES + 1);
    for _ in 0..=BATCHES {
        let start = Instant::now();
        for _ in 0..batch {
            work()?;
        }
        means.push(start.elapsed().as_nanos() as f64 / f64::from(batch));
    }
    Ok(stats::median(&mut means[1..]).expect("there are batches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pipe_ns: Option<f64>, syscall_ns: Option<f64>) -> Option<Anchors> {
        Some(Anchors { pipe_ns, syscall_ns, ..Anchors::default() })
    }

    #[test]
    fn a_run_has_the_median_of_what_was_taken() {
        let three = OfRun {
            start: with(Some(40.0), Some(100.0)),
            middle: with(Some(44.0), None),
            end: with(Some(60.0), Some(120.0)),
        };
        assert_eq!((three.median(Anchor::Pipe), three.median(Anchor::Syscall)), (Some(44.0), Some(110.0)));
        assert_eq!((three.median(Anchor::Memcpy), OfRun::default().median(Anchor::Pipe)), (None, None));
        assert_eq!(three.moved().collect::<Vec<_>>(), [Anchor::Pipe]);
        let interrupted = OfRun { start: with(Some(40.0), None), ..OfRun::default() };
        assert_eq!((interrupted.median(Anchor::Pipe), interrupted.moved().count()), (Some(40.0), 0));
    }

    #[test]
    fn what_is_missing_keeps_its_reason_in_the_file() {
        let missing = BTreeMap::from([(Anchor::CacheLine, "one thread".to_owned())]);
        let anchors = Anchors { syscall_ns: Some(130.5), missing, ..Anchors::default() };
        let text = serde_json::to_string(&anchors).unwrap();
        assert!(text.contains(r#""cache_line_ns":null"#) && text.contains(r#""cache-line":"one thread""#), "{text}");
        assert_eq!(serde_json::from_str::<Anchors>(&text).unwrap(), anchors);
    }
}
