//! Reads the memory of another process: its mappings (proc_pid_maps(5)), and the position of a payload in them.

use crate::payload;
use ipc_core::{Error, Result};
use memchr::memmem::Finder;
use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::{Pid, SysconfVar, sysconf},
};
use std::{fs, io::IoSliceMut, ops::Range, os::unix::fs::FileExt};

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address, and the address after the last.
    pub range: [u64; 2],
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether writes show in other processes that have the mapping.
    pub shared: bool,
    /// Device and inode of the mapped object. An anonymous shared mapping has an inode of its own, too.
    pub object: (String, u64),
    /// Start of the mapping within the object, in bytes.
    pub offset: u64,
    /// Whether it is the stack of the first thread.
    pub is_stack: bool,
    /// The name of the mapped object. Empty if it has none.
    pub path: String,
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let rights = fields.next()?.as_bytes();
        let offset = hex(fields.next()?)?;
        let (device, inode) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
        let path = fields.next().unwrap_or_default().to_owned();
        Some(Self {
            range: [hex(start)?, hex(end)?],
            readable: rights.first() == Some(&b'r'),
            writable: rights.get(1) == Some(&b'w'),
            shared: rights.get(3) == Some(&b's'),
            object: (device, inode),
            offset,
            is_stack: path == "[stack]",
            path,
        })
    }

    /// Whether the mapping can hold a message: it is readable, and not just the content of a file that nobody can write.
    fn may_hold_messages(&self) -> bool {
        self.readable && (self.writable || self.shared || self.object.1 == 0)
    }

    /// Whether the mapping can hold messages but is too long to be searched for them.
    pub fn is_too_long(&self) -> bool {
        self.may_hold_messages() && self.range[1] - self.range[0] > LONGEST
    }

    /// The offset of `address` within the mapped object.
    fn place_of(&self, address: u64) -> u64 {
        self.offset + (address - self.range[0])
    }
}

/// All mappings of process `pid`.
///
/// # Errors [`Error::Os`].
pub fn mappings(pid: Pid) -> Result<Vec<Mapping>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| Error::io("open", &e))?;
    Ok(maps.lines().filter_map(Mapping::parse).collect())
}

/// The address range of the first thread's stack in process `pid`. Empty if none is found.
///
/// # Errors [`Error::Os`].
pub fn stack(pid: Pid) -> Result<Range<u64>> {
    let found = mappings(pid)?.into_iter().find(|mapping| mapping.is_stack);
    Ok(found.map_or(0..0, |mapping| mapping.range[0]..mapping.range[1]))
}

/// Whether process `pid` may share the memory at `address` with others: it is in a shared mapping or a file's page.
///
/// # Errors [`Error::Os`].
pub fn is_shared(pid: Pid, address: u64) -> Result<bool> {
    let found = mappings(pid)?.into_iter().find(|m| (m.range[0]..m.range[1]).contains(&address));
    Ok(found.is_some_and(|mapping| mapping.shared || mapping.object.1 != 0))
}

/// Whether `address` of process `pid` is in a private copy that the kernel has made of a file's page. Also `true` if that
/// cannot be told (proc_pid_pagemap(5)).
pub fn is_copy_on_write(pid: Pid, address: u64) -> bool {
    const OF_FILE: u64 = 1 << 61;
    let found = mappings(pid).unwrap_or_default().into_iter().find(|m| (m.range[0]..m.range[1]).contains(&address));
    if found.is_none_or(|mapping| mapping.shared || mapping.object.1 == 0) {
        return false;
    }
    let mut entry = [0; 8];
    let read = fs::File::open(format!("/proc/{pid}/pagemap"))
        .and_then(|pages| pages.read_exact_at(&mut entry, address / page_size() * 8));
    read.is_err() || u64::from_ne_bytes(entry) & OF_FILE == 0
}

fn page_size() -> u64 {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().map_or(PAGE, i64::cast_unsigned)
}

/// Whether two addresses in two processes refer to the same position of the same shared object.
///
/// # Errors [`Error::Os`].
pub fn is_same_place(places: [(Pid, u64); 2]) -> Result<bool> {
    let locate = |(pid, address): (Pid, u64)| {
        let found = mappings(pid)?.into_iter().find(|m| (m.range[0]..m.range[1]).contains(&address));
        Ok(found.filter(|mapping| mapping.shared).map(|mapping| (mapping.place_of(address), mapping.object)))
    };
    let [a, b] = [locate(places[0])?, locate(places[1])?];
    Ok(a.is_some() && a == b)
}

/// Two words of one message that identify its payload. A single word could be a spilled register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    words: [[u8; 8]; 2],
    /// Bytes from the start of the first word to the start of the second.
    apart: usize,
}

/// The smallest page size.
const PAGE: u64 = 4096;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// The longest mapping that is searched, in bytes. Longer ones hold something other than messages.
const LONGEST: u64 = 1 << 30;

impl Trace {
    /// The trace of message `number` from block `stretch` on: the word there and the word of the next block.
    pub fn new(number: u64, stretch: usize) -> Self {
        let words = [stretch, stretch + 1].map(|stretch| payload::word(number, stretch).to_le_bytes());
        Self { words, apart: payload::STRETCH }
    }

    /// The trace of a short message `number` of `size` bytes, at least two words: its first word and its last.
    pub fn of_short(number: u64, size: usize) -> Self {
        let words = [payload::word(number, 0), payload::last_word(number)].map(u64::to_le_bytes);
        Self { words, apart: size - payload::WORD }
    }

    /// The first word of the trace.
    pub fn first(&self) -> [u8; 8] {
        self.words[0]
    }

    /// Bytes from the trace's first byte to its last.
    fn span(&self) -> usize {
        self.apart + payload::WORD
    }

    /// Whether the trace is at `address` in process `pid`.
    pub fn is_at(&self, pid: Pid, address: u64) -> bool {
        let mut bytes = [0; 8];
        let mut has = |address, word: &[u8; 8]| read(pid, address, &mut bytes) == bytes.len() && bytes == *word;
        has(address, &self.words[0]) && has(address + self.apart as u64, &self.words[1])
    }

    /// Whether `bytes` begin with the trace.
    pub fn begins(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(&self.words[0])
            && bytes.get(self.apart..).is_some_and(|rest| rest.starts_with(&self.words[1]))
    }

    /// Every address of the trace in process `pid`. Searches memory that the process can write or could have written, and
    /// memory that it shares with processes that can.
    ///
    /// # Errors [`Error::Os`].
    pub fn find(&self, pid: Pid) -> Result<Vec<u64>> {
        let finder = Finder::new(&self.words[0]);
        let mut buffer = vec![0; CHUNK];
        let mut found = Vec::new();
        let span = self.span();
        for Mapping { range: [mut start, end], .. } in mappings(pid)?.into_iter().filter(Mapping::may_hold_messages) {
            if end - start > LONGEST {
                continue;
            }
            while end - start >= span as u64 {
                let wanted = CHUNK.min((end - start) as usize);
                let len = read(pid, start, &mut buffer[..wanted]);
                if len < span {
                    // After a missing page there may be others.
                    start = (start + len as u64) / PAGE * PAGE + PAGE;
                    if start >= end {
                        break;
                    }
                    continue;
                }
                let bytes = &buffer[..len];
                let starts = finder.find_iter(bytes).filter(|&at| self.begins(&bytes[at..]));
                found.extend(starts.map(|at| start + at as u64));
                // A trace that begins in the last bytes is found in the next chunk.
                start += (len - (span - 1)) as u64;
            }
        }
        Ok(found)
    }
}

/// Reads memory of process `pid` from `address` on. Returns the number of bytes that could be read.
pub(super) fn read(pid: Pid, address: u64, into: &mut [u8]) -> usize {
    let there = [RemoteIoVec { base: address as usize, len: into.len() }];
    process_vm_readv(pid, &mut [IoSliceMut::new(into)], &there).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getpid;

    #[test]
    fn a_line_of_maps_is_read() {
        let line = "7f0000001000-7f0000003000 r--s 00002000 00:01 1034   /dev/zero (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.readable, mapping.writable, mapping.shared), (true, false, true));
        assert_eq!((mapping.object.clone(), mapping.place_of(0x7f00_0000_2010)), (("00:01".into(), 1034), 0x3010));
        assert!(!mapping.is_stack);
        let line = "7ffd1a8d6000-7ffd1a8f7000 rw-p 00000000 00:00 0                          [stack]";
        assert!(Mapping::parse(line).unwrap().is_stack);
        assert!(!stack(getpid()).unwrap().is_empty());
    }

    #[test]
    fn a_payload_is_found_wherever_it_starts() {
        let number = 0x0123_4567_89ab_cdef;
        let mut memory = vec![0; 3 * CHUNK];
        let starts = [5, CHUNK - 30, 2 * CHUNK + 1];
        for start in starts {
            payload::fill(&mut memory[start..start + 256], number);
        }
        // A lone word is no trace.
        memory[9000..9008].copy_from_slice(&payload::word(number, 1).to_le_bytes());
        let base = memory.as_ptr() as u64;
        let found = Trace::new(number, 1).find(getpid()).unwrap();
        let found: Vec<u64> = found.into_iter().filter(|at| (base..base + memory.len() as u64).contains(at)).collect();
        assert_eq!(found, starts.map(|start| base + (start + payload::STRETCH) as u64));
        assert!(Trace::new(number, 1).is_at(getpid(), found[1]));
        assert!(!Trace::new(number + 1, 1).is_at(getpid(), found[1]));
    }

    #[test]
    fn a_short_payload_is_known_by_its_first_and_last_word() {
        let number = 0xfedc_ba98_7654_3210;
        for size in [16, 24, 64, 72, 1000] {
            let mut memory = vec![0; 4096];
            payload::fill(&mut memory[100..100 + size], number);
            // The beginning alone is no trace.
            memory[2000..2008].copy_from_slice(&payload::word(number, 0).to_le_bytes());
            let base = memory.as_ptr() as u64;
            let trace = Trace::of_short(number, size);
            let found: Vec<u64> = trace.find(getpid()).unwrap();
            let found: Vec<u64> = found.into_iter().filter(|at| (base..base + 4096).contains(at)).collect();
            assert_eq!(found, [base + 100], "{size} bytes");
            assert!(trace.is_at(getpid(), base + 100) && !trace.is_at(getpid(), base + 2000), "{size} bytes");
        }
    }
}
