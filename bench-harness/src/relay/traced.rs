//! What a relay costs in system calls and in copies by the kernel: one run with a tracer, which nobody times.

use super::{
    Files, Plan, Relay,
    crew::{Crew, Load},
};
use crate::{
    copies::{counts::Counts, rules::Place, trace::Untraced},
    pair::PairError,
    record::RelayRow,
};

/// As much of the file is carried under the tracer, at most: a call that is followed takes several context switches.
const TRACED_BYTES: u64 = 4 << 20;

/// What the tracer saw of one run, of all processes together.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Bytes that were carried.
    pub bytes: u64,
    /// Bytes that were carried at a time.
    pub chunk: usize,
    /// The calls of each process.
    pub counts: Vec<Counts>,
    /// How many calls each has entered in its ledger meanwhile.
    pub entered: Vec<u64>,
}

/// Why there are no counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncounted {
    /// The file could not be carried, traced or not, or arrived wrong.
    #[error(transparent)]
    Uncarried(#[from] PairError),
    /// The processes could not be traced.
    #[error(transparent)]
    Untraced(#[from] Untraced),
}

/// Carries the first bytes of the file once by `relay` under a tracer, and compares them afterwards.
///
/// # Errors
/// [`Uncounted`].
pub fn trace_once(relay: Relay, plan: &Plan, files: &mut Files) -> Result<Traced, Uncounted> {
    files.prepare().map_err(PairError::Process)?;
    let bytes = plan.bytes.min(TRACED_BYTES);
    let crew = Crew::of(relay, Load { files, bytes, chunk: plan.chunk }).map_err(PairError::Channel)?;
    let chunk = crew.chunk();
    let (counts, entered) = crew.trace(plan.deadline)?.into_iter().unzip();
    files.compare(bytes)?;
    Ok(Traced { bytes, chunk, counts, entered })
}

impl Traced {
    /// System calls of all processes for each chunk.
    pub fn calls_per_chunk(&self) -> f64 {
        self.sum(Counts::calls) as f64 / self.bytes.div_ceil(self.chunk as u64) as f64
    }

    /// Bytes that passed through system calls, for each byte of the file.
    pub fn moved(&self) -> f64 {
        self.sum(Counts::moved) as f64 / self.bytes as f64
    }

    /// How often the kernel copied each byte.
    ///
    /// # Errors
    /// Why that is not known: a call has no rule, or the calls do not add up to the file.
    pub fn kernel_copies(&self) -> Result<f64, String> {
        let copied = self.counts.iter().map(Counts::copied).sum::<Result<u64, _>>().map_err(|call| call.to_string())?;
        self.check_bytes()?;
        Ok(copied as f64 / self.bytes as f64)
    }

    /// Checks that the calls, as the table reads them, carried the file: every place was given all of it or nothing, and what was
    /// put into a channel was taken out of it.
    fn check_bytes(&self) -> Result<(), String> {
        for place in Place::CHANNELS.into_iter().chain([Place::File]) {
            let (put, taken) = self
                .counts
                .iter()
                .map(|counts| counts.through(place))
                .fold((0, 0), |sum, through| (sum.0 + through.0, sum.1 + through.1));
            let whole = [put, taken].iter().all(|&bytes| bytes == 0 || bytes == self.bytes);
            // A file that is mapped is read or written without a call.
            if !whole || (put != taken && place != Place::File) {
                let file = self.bytes;
                return Err(format!(
                    "the calls put {put} bytes into the {place} and took {taken} out of it, of {file}"
                ));
            }
        }
        Ok(())
    }

    /// Enters the figures into a row.
    pub(super) fn enter(&self, row: &mut RelayRow, files_share_blocks: bool) {
        row.syscalls = Some(self.calls_per_chunk());
        row.moved = Some(self.moved());
        if row.relay == Relay::CopyFileRange && files_share_blocks {
            row.error = "copies: this file system lets files share blocks, and then copy_file_range copies none".into();
            return;
        }
        match self.kernel_copies() {
            Ok(copies) => row.kernel_copies = Some(copies),
            Err(why) => row.error = format!("copies: {why}"),
        }
    }

    fn sum(&self, of: fn(&Counts) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }
}
