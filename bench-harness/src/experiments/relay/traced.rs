//! System calls and kernel copies of a relay, counted by a tracer in a run that is not timed.
//!
//! Some kinds of call are said to take a reference to the file's pages. A further run copies the first chunk for each
//! such kind, to see whether it does.

use super::{
    FileCopy, Files, Plan,
    crew::{Crew, Load},
};
use bench_lab::{
    copies::{
        call,
        counts::{Counts, LineOf},
        rules::Place,
        trace::{self, Changed, Tracee, Untraced},
    },
    worker::PairError,
};
use bench_record::rows::RelayRow;
use ipc_core::{Error, shared::SharedPage};
use nix::sys::sendfile::sendfile;
use std::{
    fmt,
    fs::File,
    io::{Read, pipe},
    os::unix::fs::FileExt,
    sync::atomic::Ordering,
};

/// Limit of bytes that are copied under the tracer. A traced call takes several context switches.
const TRACED_BYTES: u64 = 4 << 20;

/// The tracer's results of one run, for all processes together.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Bytes that were copied.
    pub bytes: u64,
    /// Bytes per chunk.
    pub chunk: usize,
    /// The calls of each process.
    pub counts: Vec<Counts>,
    /// The number of calls that each process entered in its ledger meanwhile.
    pub entered: Vec<u64>,
    /// The results for calls whose rule claims a reference.
    pub claims: Vec<Claim>,
}

/// A kind of call whose rule claims a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The kind of call.
    pub of: LineOf,
    /// Bytes that these calls moved.
    pub bytes: u64,
    /// The kind of call that was tried: the same, or one that takes the file's pages in the same way.
    pub tried: LineOf,
    /// Whether a change after such a call reached the destination.
    pub confirmed: bool,
}

/// sendfile(2) into a pipe. It takes the pages of a file as a call from file to file does inside (fs/splice.c,
/// `do_splice_read`). Unlike that, it leaves a moment to change them.
const INTO_A_PIPE: LineOf = ("sendfile", Place::File, Place::Pipe);

/// The reason why there are no counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncounted {
    /// The file could not be copied, traced or not, or it arrived wrong.
    #[error(transparent)]
    Uncarried(#[from] PairError),
    /// The processes could not be traced.
    #[error(transparent)]
    Untraced(#[from] Untraced),
}

/// Copies the first bytes of the file once by `relay` under a tracer, and compares them afterwards.
///
/// # Errors
/// [`Uncounted`].
pub fn trace_once(relay: FileCopy, plan: &Plan, files: &mut Files) -> Result<Traced, Uncounted> {
    files.prepare().map_err(PairError::Process)?;
    let bytes = plan.bytes.min(TRACED_BYTES);
    let crew = Crew::of(relay, Load { files, bytes, chunk: plan.chunk }).map_err(PairError::Channel)?;
    let chunk = crew.chunk();
    let (counts, entered): (Vec<Counts>, _) = crew.trace(plan.deadline)?.into_iter().unzip();
    files.compare(bytes)?;
    let mut claims = Vec::new();
    for (of, bytes) in counts.iter().flat_map(Counts::claims) {
        let (tried, confirmed) = match of {
            (_, Place::File, Place::File) => (INTO_A_PIPE, takes_pages(plan, files)?),
            _ => (of, is_reference(relay, of, plan, files)?),
        };
        claims.push(Claim { of, bytes, tried, confirmed });
    }
    Ok(Traced { bytes, chunk, counts, entered, claims })
}

/// Whether a call of kind `of` takes a reference. Copies the first chunk by `relay`, changes the source after the call,
/// and looks for the change in the destination.
fn is_reference(relay: FileCopy, of: LineOf, plan: &Plan, files: &mut Files) -> Result<bool, Uncounted> {
    files.prepare().map_err(PairError::Process)?;
    let bytes = plan.bytes.min(plan.chunk as u64);
    let crew = Crew::of(relay, Load { files, bytes, chunk: plan.chunk }).map_err(PairError::Channel)?;
    let Some(changed) = crew.trace_changing(of, plan.deadline)? else { return Ok(false) };
    let arrived = byte(&files.destination, changed.offset)?;
    restore(files, changed)?;
    Ok(arrived == changed.new)
}

/// Whether a pipe takes pages of a file. A process puts a page of the source into a pipe; the page is changed there.
/// Then the process looks whether it comes out changed.
fn takes_pages(plan: &Plan, files: &mut Files) -> Result<bool, Uncounted> {
    files.prepare().map_err(PairError::Process)?;
    let page = SharedPage::new().map_err(PairError::Process)?;
    let (mut reader, writer) = pipe().map_err(|e| PairError::Process(Error::io("pipe2", &e)))?;
    let child = Tracee::fork(|| {
        trace::begin();
        let put = sendfile(&writer, &files.source, None, 1);
        trace::end();
        let mut byte = [0];
        match put.is_ok() && reader.read_exact(&mut byte).is_ok() {
            true => page[0].word.store(u64::from(byte[0]), Ordering::Release),
            false => return 1,
        }
        0
    })?;
    let Some(changed) = trace::trace_changing(vec![child], INTO_A_PIPE, plan.deadline)? else { return Ok(false) };
    restore(files, changed)?;
    Ok(page[0].word.load(Ordering::Acquire) == u64::from(changed.new))
}

fn byte(file: &File, offset: u64) -> Result<u8, PairError> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).map_err(|e| PairError::Process(Error::io("pread64", &e)))?;
    Ok(byte[0])
}

/// Restores the content of the source.
fn restore(files: &Files, changed: Changed) -> Result<(), PairError> {
    let written = files.source.write_all_at(&[changed.old], changed.offset);
    written.map_err(|e| PairError::Process(Error::io("pwrite64", &e)))
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, tried, confirmed, .. } = self;
        let found = if *confirmed { "a reference, confirmed by a change behind it" } else { "no reference confirmed" };
        write!(f, "{}: {found}", call(tried))?;
        if tried != of {
            write!(f, "; {} leaves no moment for a change and is taken to do alike", call(of))?;
        }
        if *confirmed { Ok(()) } else { write!(f, "; so {} counted once more", call(of)) }
    }
}

impl Traced {
    /// System calls of all processes per chunk.
    pub fn calls_per_chunk(&self) -> f64 {
        self.sum(Counts::calls) as f64 / self.bytes.div_ceil(self.chunk as u64) as f64
    }

    /// Bytes that passed through system calls, per byte of the file.
    pub fn moved(&self) -> f64 {
        self.sum(Counts::moved) as f64 / self.bytes as f64
    }

    /// Kernel copies per byte of the file.
    ///
    /// # Errors
    /// Why the number is not known: a call has no rule, or the calls do not add up to the file.
    pub fn kernel_copies(&self) -> Result<f64, String> {
        let copied = self.counts.iter().map(Counts::copied).sum::<Result<u64, _>>().map_err(|call| call.to_string())?;
        self.check_bytes()?;
        let unconfirmed = self.claims.iter().filter(|claim| !claim.confirmed);
        let copied = copied + unconfirmed.map(|claim| claim.bytes).sum::<u64>();
        Ok(copied as f64 / self.bytes as f64)
    }

    /// Checks that the calls, as the table reads them, copied the file. Every place must have been given all of it or
    /// nothing. What was put into a channel must have been taken out.
    fn check_bytes(&self) -> Result<(), String> {
        for place in Place::CHANNELS.into_iter().chain([Place::File]) {
            let (put, taken) = self
                .counts
                .iter()
                .map(|counts| counts.through(place))
                .fold((0, 0), |sum, through| (sum.0 + through.0, sum.1 + through.1));
            let whole = [put, taken].iter().all(|&bytes| bytes == 0 || bytes == self.bytes);
            // A mapped file is read or written without a call.
            if !whole || (put != taken && place != Place::File) {
                let file = self.bytes;
                return Err(format!(
                    "the calls put {put} bytes into the {place} and took {taken} out of it, of {file}"
                ));
            }
        }
        Ok(())
    }

    /// Enters the figures into `row`.
    pub(super) fn enter(&self, row: &mut RelayRow, files_share_blocks: bool) {
        row.syscalls = Some(self.calls_per_chunk());
        row.moved = Some(self.moved());
        if row.relay == FileCopy::CopyFileRange && files_share_blocks {
            row.error = "copies: this file system lets files share blocks, and then copy_file_range copies none".into();
            return;
        }
        match self.kernel_copies() {
            Ok(copies) => {
                row.kernel_copies = Some(copies);
                row.evidence.extend(self.claims.iter().map(|claim| format!("; {claim}")));
            }
            Err(why) => row.error = format!("copies: {why}"),
        }
    }

    fn sum(&self, of: fn(&Counts) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }
}
