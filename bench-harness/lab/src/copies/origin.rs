//! Locates the bytes to which a call has taken a reference. They are changed there afterwards, and every holder of a reference
//! sees the change.

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
    /// The byte's address, or its position in the file.
    pub offset: u64,
    /// Its value before the change.
    pub old: u8,
    /// Its value after the change.
    pub new: u8,
}

/// The most bytes that are searched.
const LONGEST: u64 = 1 << 26;
/// The most elements of a vector of buffers (`UIO_MAXIOV`).
const MOST_BUFFERS: u64 = 1024;

impl Origin {
    /// Finds the byte at which `trace` begins in the source from which `call` of the thread `tid` took `bytes`. Without a trace
    /// it is the first byte. `None` if the byte is not there, or if the source is neither memory nor a file.
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
    /// # Errors An error if the byte cannot be read or written.
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

/// The position in `bytes` at which `trace` begins. Without a trace it is 0, if there are bytes.
fn position(trace: Option<&Trace>, bytes: &[u8]) -> Option<u64> {
    let Some(trace) = trace else { return (!bytes.is_empty()).then_some(0) };
    memmem::find_iter(bytes, &trace.first()).find(|&at| trace.begins(&bytes[at..])).map(|at| at as u64)
}

/// The address and length of each buffer of `call`.
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

/// The end of the part of the file that `call` has taken: the offset that it left in its argument or in the open file.
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
