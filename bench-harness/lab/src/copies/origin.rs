//! Where the bytes lie that a call has taken a reference to: they are changed there afterwards, and whoever has a reference sees it.

use super::{
    memory::{self, Trace},
    rules::{End, Place, Rule},
    task::Call,
};
use memchr::memmem;
use nix::{
    sys::uio::{RemoteIoVec, process_vm_writev},
    unistd::Pid,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
};

/// One byte in the memory of a process, or in a file.
#[derive(Debug)]
pub(super) enum Origin {
    Memory { pid: Pid, address: u64 },
    File { file: File, offset: u64 },
}

/// A byte that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its address, or where it lies in the file.
    pub offset: u64,
    /// What it was.
    pub old: u8,
    /// What it is now.
    pub new: u8,
}

/// The most that is looked through for the byte.
const LONGEST: u64 = 1 << 26;
/// The most elements of a vector of buffers (`UIO_MAXIOV`).
const MOST_BUFFERS: u64 = 1024;

impl Origin {
    /// The byte at which `trace` begins in what `call` of the thread `tid` took `bytes` from, or the first of them where nothing
    /// is looked for; `None` where it is not there, or the source is neither memory nor a file.
    pub fn of(tid: Pid, rule: &Rule, call: &Call, bytes: u64, trace: Option<&Trace>) -> Option<Self> {
        match rule.from {
            End::At(Place::Memory) => {
                let find = |(start, len): (u64, u64)| {
                    let mut buffer = vec![0; len.min(bytes).min(LONGEST) as usize];
                    let read = memory::read(tid, start, &mut buffer);
                    position(trace, &buffer[..read]).map(|at| start + at)
                };
                let address = buffers(tid, call).into_iter().find_map(find)?;
                Some(Self::Memory { pid: tid, address })
            }
            End::Fd(argument, Place::File) => {
                let path = format!("/proc/{tid}/fd/{}", call.arguments[argument] as u32);
                let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
                let start = end_of_source(tid, call)?.checked_sub(bytes)?;
                let mut buffer = vec![0; bytes.min(LONGEST) as usize];
                file.read_exact_at(&mut buffer, start).ok()?;
                let offset = start + position(trace, &buffer)?;
                Some(Self::File { file, offset })
            }
            _ => None,
        }
    }

    /// Changes the byte.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn change(&self) -> io::Result<Changed> {
        let mut byte = [0];
        let changed = |old: u8, offset| Changed { offset, old, new: !old };
        match self {
            Self::Memory { pid, address } => {
                if memory::read(*pid, *address, &mut byte) != 1 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let changed = changed(byte[0], *address);
                let there = [RemoteIoVec { base: *address as usize, len: 1 }];
                process_vm_writev(*pid, &[IoSlice::new(&[changed.new])], &there)?;
                Ok(changed)
            }
            Self::File { file, offset } => {
                file.read_exact_at(&mut byte, *offset)?;
                let changed = changed(byte[0], *offset);
                file.write_all_at(&[changed.new], *offset)?;
                Ok(changed)
            }
        }
    }
}

/// Where `trace` begins in `bytes`.
fn position(trace: Option<&Trace>, bytes: &[u8]) -> Option<u64> {
    let Some(trace) = trace else { return (!bytes.is_empty()).then_some(0) };
    memmem::find_iter(bytes, &trace.first()).find(|&at| trace.begins(&bytes[at..])).map(|at| at as u64)
}

/// Where the buffers of `call` begin, and how long they are.
fn buffers(tid: Pid, call: &Call) -> Vec<(u64, u64)> {
    let [_, vector, count, ..] = call.arguments;
    if !matches!(call.number, libc::SYS_vmsplice | libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2) {
        return vec![(vector, count)];
    }
    let mut bytes = vec![0; count.min(MOST_BUFFERS) as usize * 16];
    let read = memory::read(tid, vector, &mut bytes);
    let (words, _) = bytes[..read].as_chunks::<8>();
    words.chunks_exact(2).map(|pair| (u64::from_ne_bytes(pair[0]), u64::from_ne_bytes(pair[1]))).collect()
}

/// Where the part of the file ends that `call` has taken: at the offset that it left in its argument, or in the file.
fn end_of_source(tid: Pid, call: &Call) -> Option<u64> {
    let (descriptor, pointer) = match call.number {
        libc::SYS_splice | libc::SYS_copy_file_range => (call.arguments[0], call.arguments[1]),
        libc::SYS_sendfile => (call.arguments[1], call.arguments[2]),
        _ => return None,
    };
    if pointer == 0 {
        let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{}", descriptor as u32)).ok()?;
        return info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok();
    }
    let mut offset = [0; 8];
    (memory::read(tid, pointer, &mut offset) == 8).then(|| u64::from_ne_bytes(offset))
}
