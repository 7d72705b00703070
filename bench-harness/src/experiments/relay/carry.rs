//! One way of copying the file, round by round, and the row made from it.

use super::{Carried, Crew, FileCopy, Files, Load, Traced, Uncounted, trace_once};
use bench_lab::{
    oom,
    topology::{Cpus, Topology},
    worker::{PairError, unstopped},
};
use bench_record::{
    cell::{Placement, Workload},
    rows::RelayRow,
    stats::{Figure, median},
};
use ipc_core::Error;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use std::{fmt, path::PathBuf, time::Duration};

/// The plan of file copies: what is copied, how, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The ways of copying, each once.
    pub relays: Vec<FileCopy>,
    /// The folder on whose file system the files are made.
    pub dir: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Bytes per chunk, if the mechanism takes that many.
    pub chunk: usize,
    /// Timed runs per way.
    pub runs: u32,
    /// CPUs of the sender and the receiver. A process that is alone runs on the sender's.
    pub cpus: Cpus,
    /// Time limit of a run.
    pub deadline: Duration,
}

impl Plan {
    /// The default plan: all ways, 64 MiB in chunks of 64 KiB, in the temporary folder. It uses two cores if there are
    /// two.
    pub fn new(topology: &Topology) -> Self {
        const BY_CHOICE: [Placement; 4] =
            [Placement::CrossCore, Placement::CrossSocket, Placement::Smt, Placement::SameCore];
        Self {
            relays: FileCopy::ALL.to_vec(),
            dir: std::env::temp_dir(),
            bytes: 64 << 20,
            chunk: 64 << 10,
            runs: 7,
            cpus: BY_CHOICE.into_iter().find_map(|placement| topology.cpus(placement)).flatten(),
            deadline: bench_lab::pair::DEADLINE,
        }
    }
}

/// Number of rounds before the timed ones.
pub(super) const UNTIMED: u32 = 2;

/// Makes the files of `plan`.
///
/// # Errors
/// The plan measures nothing, or there is no room for the files.
pub(super) fn lay_out(plan: &Plan) -> Result<Files, PairError> {
    for (what, bytes) in [("chunk", plan.chunk as u64), ("file", plan.bytes)] {
        if bytes == 0 {
            let why = "of 0 bytes, by which nothing can be measured: use 1 or more".to_owned();
            return Err(PairError::Process(Error::Unsupported { what, why }));
        }
    }
    if statfs(&plan.dir).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC) {
        oom::check_room("file", 2 * plan.bytes).map_err(PairError::Process)?;
    }
    Files::new(&plan.dir, plan.bytes).map_err(PairError::Process)
}

/// Copies the file once by `relay`, and compares it afterwards.
///
/// # Errors
/// The errors of [`carry_by`].
pub fn carry_once(relay: FileCopy, plan: &Plan, files: &mut Files) -> Result<Carried, PairError> {
    carry_by(plan, files, |load| Crew::of(relay, load))
}

/// Copies the file once with the crew that `gather` makes, and compares it afterwards.
///
/// # Errors
/// [`PairError`]. It is [`PairError::WrongPayload`] if the destination differs from the source.
pub fn carry_by(
    plan: &Plan,
    files: &mut Files,
    gather: impl for<'a> Fn(Load<'a>) -> ipc_core::Result<Crew<'a>>,
) -> Result<Carried, PairError> {
    unstopped(|| carry(plan, files, &gather)).0
}

fn carry(
    plan: &Plan,
    files: &mut Files,
    gather: impl for<'a> Fn(Load<'a>) -> ipc_core::Result<Crew<'a>>,
) -> Result<Carried, PairError> {
    files.prepare().map_err(PairError::Process)?;
    let crew = gather(Load { files, bytes: plan.bytes, chunk: plan.chunk }).map_err(PairError::Channel)?;
    let carried = crew.carry(plan.cpus, plan.deadline)?;
    files.compare(plan.bytes)?;
    Ok(carried)
}

/// A way of copying, with its results so far.
#[derive(Debug)]
pub struct Way {
    relay: FileCopy,
    traced: Option<Result<Traced, Uncounted>>,
    runs: Vec<Carried>,
    error: Option<PairError>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Workload::Relay, self.relay)
    }
}

impl Way {
    /// A way without results.
    pub fn new(relay: FileCopy) -> Self {
        Self { relay, traced: None, runs: Vec::new(), error: None }
    }

    /// Whether the file arrived wrong.
    pub(super) fn has_wrong_payload(&self) -> bool {
        matches!(self.error, Some(PairError::WrongPayload(_)))
    }

    /// Copies the file as the round asks for. The first round has a tracer. The next is untimed, so that everything has
    /// been used once. Later rounds are timed.
    pub(super) fn step(&mut self, round: u32, plan: &Plan, files: &mut Result<Files, PairError>) {
        let files = match files {
            Ok(files) if self.error.is_none() => files,
            Ok(_) => return,
            Err(error) => return self.error = Some(error.clone()),
        };
        if round == 0 {
            let traced = trace_once(self.relay, plan, files);
            if let Err(Uncounted::Uncarried(error @ PairError::WrongPayload(_))) = &traced {
                self.error = Some(error.clone());
            }
            self.traced = Some(traced);
            return;
        }
        match carry_once(self.relay, plan, files) {
            Ok(carried) if round >= UNTIMED => self.runs.push(carried),
            // An interruption is no fault of the way.
            Ok(_) | Err(PairError::Interrupted) => {}
            Err(error) => self.error = Some(error),
        }
    }

    /// The row of this way. After a failure it has no figures: what the way would do to a file is not known.
    pub(super) fn row(&self, plan: &Plan, files_share_blocks: bool) -> RelayRow {
        let mut row = RelayRow::of(self.relay, plan.bytes, plan.chunk);
        if let Some(error) = &self.error {
            return RelayRow { error: error.to_string(), ..row };
        }
        let Some(first) = self.runs.first() else {
            return RelayRow { error: "interrupted before it was measured".into(), ..row };
        };
        (row.chunk, row.runs) = (first.chunk, self.runs.len() as u32);

        let per_second = |run: &Carried| plan.bytes as f64 * 1e9 / run.elapsed_ns as f64;
        if let Some(figure) = Figure::of(&self.runs.iter().map(per_second).collect::<Vec<_>>()) {
            row.bytes_per_s = Some(figure.value);
            (row.bytes_per_s_lo, row.bytes_per_s_hi) = (figure.lo, figure.hi);
        }
        let per_kib = |run: &Carried| run.cpu_ns as f64 * 1024.0 / plan.bytes as f64;
        row.cpu_ns_per_kib = median(&mut self.runs.iter().map(per_kib).collect::<Vec<_>>());

        row.user_copies = Some(first.copied_bytes as f64 / plan.bytes as f64);
        row.evidence = "ledger".into();
        match &self.traced {
            Some(Ok(traced)) => {
                row.evidence = "system calls traced; ledger".into();
                traced.enter(&mut row, files_share_blocks);
            }
            Some(Err(why)) => row.error = format!("copies: {why}"),
            None => {}
        }
        row.total_copies = row.kernel_copies.zip(row.user_copies).map(|(kernel, user)| kernel + user);
        row
    }
}
