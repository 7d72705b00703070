//! Measures the [`Baseline`] of the machine in pinned children.

use crate::{
    clock, probe,
    topology::Topology,
    worker::{self, PairError, Post},
};
use bench_record::{
    baseline::{Baseline, BaselineItem},
    cell::Placement,
    stats,
};
use ipc_core::{
    Error,
    shared::{Barrier, SharedPage},
};
use nix::unistd::{read, write};
use std::{
    hint::black_box,
    io::{PipeReader, PipeWriter, pipe},
    time::{Duration, Instant},
};

/// Batches of each figure. The figure is the median over the batches.
const BATCHES: usize = 15;
/// Round trips in a batch of the pipe. A batch takes about a millisecond if each trip wakes a processor.
const PIPE_BATCH: u32 = 20;
/// Copies in a batch of the memcpy figure.
const COPY_BATCH: u32 = 8;
/// Bytes of one copy.
const COPY: usize = 1 << 20;
/// The deadline of the children: fifty times what they need.
const DEADLINE: Duration = Duration::from_secs(5);

/// Measures the four figures in about 50 ms, in children that are pinned as the pairs of `topology` are.
pub fn measure(topology: &Topology) -> Baseline {
    worker::unstopped(|| once(topology)).0
}

fn once(topology: &Topology) -> Baseline {
    let mut anchors = Baseline::default();
    let one = topology.cpus(Placement::SameCore).flatten();
    let alone = one.ok_or_else(|| "this process is allowed no hardware thread".to_owned());
    match alone.and_then(|[cpu, _]| of_one(cpu).map_err(|error| error.to_string())) {
        Ok((syscall, memcpy)) => (anchors.syscall_ns, anchors.memcpy_ns) = (Some(syscall), Some(memcpy)),
        Err(why) => anchors.missing.extend([(BaselineItem::Syscall, why.clone()), (BaselineItem::Memcpy, why)]),
    }
    let apart = [Placement::CrossCore, Placement::Smt, Placement::CrossSocket];
    let two = apart.into_iter().find_map(|placement| topology.cpus(placement).flatten());
    let two = two.ok_or_else(|| "it takes two hardware threads, and this process is allowed one".to_owned());
    match two.and_then(|cpus| of_two(cpus).map_err(|error| error.to_string())) {
        Ok((line, pipe)) => (anchors.cache_line_ns, anchors.pipe_ns) = (Some(line), Some(pipe)),
        Err(why) => anchors.missing.extend([(BaselineItem::CacheLine, why.clone()), (BaselineItem::Pipe, why)]),
    }
    anchors
}

/// Measures the system call and the copy, in nanoseconds, on one hardware thread.
fn of_one(cpu: usize) -> Result<(f64, f64), PairError> {
    let posts = [Post::on("anchor", cpu)];
    Ok(worker::crew(&posts, DEADLINE, |_| Ok((clock::null_syscall_ns(), memcpy_ns())))?.remove(0))
}

fn memcpy_ns() -> f64 {
    let (from, mut to) = (vec![1_u8; COPY], vec![2_u8; COPY]);
    // This must be the C library's memcpy: black_box hides the data from the compiler.
    batches(COPY_BATCH, || {
        black_box(&mut to[..]).copy_from_slice(black_box(&from));
        Ok(())
    })
    .expect("copying does not fail")
}

/// The ends of two pipes that one process holds.
type Ends = (PipeReader, PipeWriter);

/// Measures the cache line and the pipe, in nanoseconds, between two hardware threads.
fn of_two(cpus: [usize; 2]) -> Result<(f64, f64), PairError> {
    let page = SharedPage::new().map_err(PairError::Process)?;
    let open = || pipe().map_err(|e| PairError::Process(Error::io("pipe2", &e)));
    let ((there, to), (back, from)) = (open()?, open()?);
    let mut ends = Some([(back, to), (there, from)]);
    let posts = [Post::on("first anchor", cpus[0]), Post::on("second anchor", cpus[1])];
    let figures = worker::crew(&posts, DEADLINE, |member| {
        let [first, second] = ends.take().expect("each child runs once");
        let (mine, _) = if member == 0 { (first, second) } else { (second, first) };
        play(member == 0, &page, &mine)
    })?;
    Ok(figures.into_iter().flatten().next().expect("the first of the two measures"))
}

/// One child's part. The child that is `first` measures and returns the figures.
fn play(first: bool, page: &SharedPage, (reader, writer): &Ends) -> ipc_core::Result<Option<(f64, f64)>> {
    let (mine, other) = if first { (&page[0], &page[1]) } else { (&page[1], &page[0]) };
    let barrier = Barrier::new(&page[..2], usize::from(!first));
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

/// The median over batches of the mean time of `work`, in nanoseconds. One batch runs first to warm up.
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
