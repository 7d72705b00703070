//! The processes of one relay. They are forked for one run, timed from a barrier to the last byte, and reaped.

use super::files::Files;
use bench_lab::{
    clock,
    copies::{
        counts::{Counts, LineOf},
        trace::{self, Changed, Tracee, Untraced},
    },
    topology::Cpus,
    worker::{self, PairError, Post},
};
use ipc_core::{
    Error, Result, ledger,
    shared::{Barrier, SharedPage},
};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{sync::atomic::Ordering, time::Duration};

/// What a crew copies, and its chunk size.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The source and the destination.
    pub files: &'a Files,
    /// Number of bytes to copy, from the start of the source.
    pub bytes: u64,
    /// Bytes that are read, sent and written at a time.
    pub chunk: usize,
}

impl Load<'_> {
    /// The lengths of all chunks. The last chunk may be shorter.
    pub(super) fn chunks(&self) -> impl Iterator<Item = usize> + use<> {
        let (chunk, rest) = (self.chunk, self.rest());
        (0..self.bytes / chunk as u64).map(move |_| chunk).chain((rest > 0).then_some(rest))
    }

    /// The length of the last chunk if it is shorter than the others, else 0.
    pub(super) fn rest(&self) -> usize {
        (self.bytes % self.chunk as u64) as usize
    }
}

/// The work of one process. It sets up what it needs, then copies within [`Stage::timed`].
pub(super) type Work<'a> = Box<dyn FnMut(&mut Stage<'_>) -> Result<Lap> + 'a>;

/// The processes that copy a file once: one process, or a sender and a receiver.
pub struct Crew<'a> {
    chunk: usize,
    members: Vec<(&'static str, Work<'a>)>,
}

/// The point where the processes of a crew meet.
pub(super) struct Stage<'a> {
    barrier: Barrier<'a>,
    /// Whether to tell a tracer which calls count.
    traced: bool,
}

/// The measurements of one process.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lap {
    start_ns: u64,
    end_ns: u64,
    cpu_ns: u64,
    calls: u64,
    copied_bytes: u64,
}

/// The cost of copying the file once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Carried {
    /// Bytes per chunk.
    pub chunk: usize,
    /// Time from the barrier to the last byte in the destination.
    pub elapsed_ns: u64,
    /// User and system time of all processes in that period.
    pub cpu_ns: u64,
    /// Bytes that the processes copied themselves.
    pub copied_bytes: u64,
}

impl Stage<'_> {
    /// Waits for the other processes, then times `work`.
    pub(super) fn timed(&mut self, work: impl FnOnce() -> Result<()>) -> Result<Lap> {
        self.barrier.meet()?;
        let (before, cpu_before, start_ns) = (ledger::entries(), cpu_ns()?, clock::now_ns());
        if self.traced {
            trace::begin();
        }
        work()?;
        if self.traced {
            trace::end();
        }
        let (end_ns, cpu_after) = (clock::now_ns(), cpu_ns()?);
        let entered = ledger::entries().since(before);
        let (calls, copied_bytes) = (entered.calls, entered.copied_bytes);
        Ok(Lap { start_ns, end_ns, cpu_ns: cpu_after - cpu_before, calls, copied_bytes })
    }
}

/// User and system time of all threads of this process, in nanoseconds.
fn cpu_ns() -> Result<u64> {
    let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(|e| Error::os("clock_gettime", e))?;
    Ok(used.tv_sec().cast_unsigned() * 1_000_000_000 + used.tv_nsec().cast_unsigned())
}

impl<'a> Crew<'a> {
    /// A crew of one process.
    pub(super) fn alone(chunk: usize, work: Work<'a>) -> Self {
        Self { chunk, members: vec![("carrier", work)] }
    }

    /// A crew of a sender and a receiver.
    pub(super) fn pair(chunk: usize, sender: Work<'a>, receiver: Work<'a>) -> Self {
        Self { chunk, members: vec![("sender", sender), ("receiver", receiver)] }
    }

    /// Bytes per chunk: the number that was asked for, or the one that the mechanism takes.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Forks the processes onto `cpus`, lets them copy, and reaps them. What was opened for them stays open here until
    /// then. Dropping it removes what a killed process could not remove.
    ///
    /// # Errors
    /// [`PairError`]. The children are reaped in any case.
    pub fn carry(mut self, cpus: Cpus, deadline: Duration) -> std::result::Result<Carried, PairError> {
        let page = SharedPage::new().map_err(PairError::Process)?;
        let parties = &page[..self.members.len()];
        let posts: Vec<Post> =
            self.members.iter().enumerate().map(|(index, (name, _))| Post::of(name, cpus, index)).collect();
        let laps = worker::crew(&posts, deadline, |index| {
            let (_, work) = &mut self.members[index];
            work(&mut Stage { barrier: Barrier::new(parties, index), traced: false })
        })?;
        let start_ns = laps.iter().map(|lap| lap.start_ns).min().unwrap_or_default();
        let end_ns = laps.last().map_or(0, |writer| writer.end_ns);
        let sum = |of: fn(&Lap) -> u64| laps.iter().map(of).sum();
        Ok(Carried {
            chunk: self.chunk,
            elapsed_ns: end_ns.saturating_sub(start_ns).max(1),
            cpu_ns: sum(|lap| lap.cpu_ns),
            copied_bytes: sum(|lap| lap.copied_bytes),
        })
    }

    /// Forks the processes, lets them copy under a tracer, and reaps them. Returns the calls of each, and the number of
    /// calls that each has entered in its ledger.
    ///
    /// # Errors
    /// [`Untraced`]. The children are reaped in any case.
    pub(super) fn trace(mut self, deadline: Duration) -> std::result::Result<Vec<(Counts, u64)>, Untraced> {
        let page = SharedPage::new()?;
        let counts = trace::trace_all(self.fork_traced(&page)?, deadline)?;
        let entered = |index: usize| page[index].word.load(Ordering::Acquire);
        Ok(counts.into_iter().enumerate().map(|(index, counts)| (counts, entered(index))).collect())
    }

    /// Traces like [`trace`](Self::trace), and changes a byte. After the first call of kind `of` by the first process,
    /// the first byte that the call took is changed. No other process has reached it by then. Returns the change, if
    /// there was any.
    ///
    /// # Errors
    /// The errors of [`trace`](Self::trace).
    pub(super) fn trace_changing(
        mut self,
        of: LineOf,
        deadline: Duration,
    ) -> std::result::Result<Option<Changed>, Untraced> {
        let page = SharedPage::new()?;
        trace::trace_changing(self.fork_traced(&page)?, of, deadline)
    }

    fn fork_traced(&mut self, page: &SharedPage) -> std::result::Result<Vec<Tracee>, Untraced> {
        let mut children = Vec::new();
        for index in 0..self.members.len() {
            let barrier = Barrier::new(&page[..self.members.len()], index);
            let (_, work) = &mut self.members[index];
            children.push(Tracee::fork(|| match work(&mut Stage { barrier, traced: true }) {
                Ok(lap) => {
                    page[index].word.store(lap.calls, Ordering::Release);
                    0
                }
                // The run without a tracer reports the same error in words.
                Err(_) => 1,
            })?);
        }
        Ok(children)
    }
}
