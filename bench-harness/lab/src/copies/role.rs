//! One traced child: its counts, its watched bytes, and the mappings that it has made since its last release.

use super::{
    counts::Counts,
    descriptor::Descriptor,
    memory,
    rules::{self, End, Length, Place, Rule, Unknown},
    sys::{self, Watched},
    task::{Call, Task},
};
use ipc_core::process::{Child, Exit};
use nix::{errno::Errno, sys::stat::stat, unistd::Pid};
use std::{collections::BTreeSet, mem::offset_of};

/// The location of a byte in a child's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// A fixed address.
    At(u64),
    /// A position in the `nth` mapping, from 0, that the child has made since its last release.
    Mapped {
        /// The index of the mapping.
        nth: usize,
        /// The distance from the mapping's first byte.
        offset: u64,
    },
}

/// A watched byte, and the word that must be there for an access to count. The word is needed if the place holds other data at
/// other times.
pub type Watchpoint = (Site, Option<[u8; 8]>);

/// Number of debug registers of a processor.
pub const REGISTERS: usize = 4;

/// One traced child.
#[derive(Debug)]
pub(super) struct Role {
    pub child: Child,
    pub exit: Option<Exit>,
    pub counting: bool,
    pub counts: Counts,
    pub details: [u64; 3],
    /// Whether the child is to stop at the mark from which its calls count.
    pub held: bool,
    /// Whether some thread of the child does not come to rest.
    pub restless: bool,
    /// The reasons why some of the child's actions cannot be seen.
    pub hidden: BTreeSet<String>,
    points: Vec<Watchpoint>,
    access: Watched,
    /// How often each watched byte was accessed.
    pub hits: [u64; REGISTERS],
    /// Start and length of each mapping that the child has made since its last release.
    fresh: Vec<(u64, u64)>,
}

impl Role {
    pub fn new(child: Child) -> Self {
        Self {
            child,
            exit: None,
            counting: false,
            counts: Counts::default(),
            details: [0; 3],
            held: false,
            restless: false,
            hidden: BTreeSet::new(),
            points: Vec::new(),
            access: Watched::Writes,
            hits: [0; REGISTERS],
            fresh: Vec::new(),
        }
    }

    /// Forgets the mappings of the child, which is about to be released.
    pub fn begin(&mut self) {
        self.fresh.clear();
    }

    /// The current address of `site`. `None` if its mapping has not been made yet.
    pub fn address(&self, site: Site) -> Option<u64> {
        match site {
            Site::At(address) => Some(address),
            Site::Mapped { nth, offset } => self.fresh.get(nth).map(|(start, _)| start + offset),
        }
    }

    /// The site of `address`: a position in the last mapping that contains it, otherwise the address itself.
    pub fn site(&self, address: u64) -> Site {
        let has = |(start, len): &(u64, u64)| (*start..start + len).contains(&address);
        let nth = self.fresh.iter().rposition(has);
        nth.map_or(Site::At(address), |nth| Site::Mapped { nth, offset: address - self.fresh[nth].0 })
    }

    pub fn set_points(&mut self, points: &[Watchpoint], access: Watched) {
        (self.points, self.access, self.hits) = (points.to_vec(), access, [0; REGISTERS]);
    }

    pub fn is_watched(&self) -> bool {
        !self.points.is_empty()
    }

    /// Sets the debug registers of the stopped thread `tid`.
    pub fn arm(&self, tid: Pid) -> nix::Result<()> {
        let address = |index| self.points.get(index).and_then(|&(site, _)| self.address(site)).unwrap_or(0);
        sys::watch(tid, &std::array::from_fn(address), self.access)
    }

    /// Counts the watched bytes that were accessed.
    pub fn enter_hits(&mut self, reached: [bool; REGISTERS]) {
        for (index, &(site, held)) in self.points.iter().enumerate().filter(|(index, _)| reached[*index]) {
            let mut word = [0; 8];
            let place = self.address(site);
            let holds = |expected| {
                place.is_some_and(|place| memory::read(self.child.pid(), place, &mut word) == 8 && word == expected)
            };
            self.hits[index] += u64::from(held.is_none_or(holds));
        }
    }

    /// Records a mapping if `call`, which returned `value`, has made one. Returns whether it contains a watched byte.
    pub fn enter_mapping(&mut self, call: &Call, value: u64) -> bool {
        let len = match call.number {
            libc::SYS_mmap => call.arguments[1],
            libc::SYS_mremap => call.arguments[2],
            libc::SYS_shmat => {
                let mappings = memory::mappings(self.child.pid()).unwrap_or_default();
                let made = mappings.iter().find(|mapping| mapping.range[0] == value);
                made.map_or(0, |mapping| mapping.range[1] - mapping.range[0])
            }
            _ => return false,
        };
        let this = self.fresh.len();
        self.fresh.push((value, len));
        self.points.iter().any(|(site, _)| matches!(site, Site::Mapped { nth, .. } if *nth == this))
    }

    /// Records a call of `task` that has returned.
    pub fn enter(
        &mut self,
        table: &'static [Rule],
        message: u64,
        task: &Task,
        call: &Call,
        result: Result<u64, Errno>,
    ) {
        let rule = find(table, task.tid, call);
        // For threads that the child has started, only the bytes moved count: their waits come at unforeseeable moments.
        if task.leader {
            match rule {
                Ok(Some(rule)) => self.counts.enter_call(rule),
                _ => self.counts.enter_quiet(),
            }
        }
        // A failed call has moved nothing, even an unknown one. A successful unknown call might have.
        let Ok(value) = result else { return };
        match rule {
            Err(unknown) => self.counts.enter_unknown(unknown),
            Ok(None) => {}
            Ok(Some(rule)) => {
                let bytes = moved(rule, task.tid, call, value);
                let objects = [rule.from, rule.to].map(|end| object(end, task.tid, call));
                self.counts.enter(rule, bytes, message, objects);
            }
        }
    }
}

/// The rule for `call` of the thread `tid`.
pub(super) fn find(table: &'static [Rule], tid: Pid, call: &Call) -> Result<Option<&'static Rule>, Unknown> {
    rules::check_quiet(call.number, &call.arguments, |address| word(tid, address))?;
    rules::find(table, call.number, |argument| Descriptor::of(tid, call.arguments[argument]))
}

/// The bytes that `call`, which returned `value`, has moved.
pub(super) fn moved(rule: &Rule, tid: Pid, call: &Call, value: u64) -> u64 {
    match rule.length {
        Length::Returned => value,
        Length::ReturnedUpTo(argument) => value.min(call.arguments[argument]),
        Length::Argument(argument) => call.arguments[argument],
        Length::EachMessage => sum_of_messages(tid, call.arguments[1], value),
    }
}

/// The number of the pipe or queue at `end`. 0 if it is not known.
fn object(end: End, tid: Pid, call: &Call) -> u64 {
    match end {
        End::Fd(argument, Place::Pipe) => Descriptor::of(tid, call.arguments[argument]).map_or(0, |found| found.object),
        // `Descriptor` does not treat these descriptors as files.
        End::At(Place::PosixQueue) => {
            let path = format!("/proc/{tid}/fd/{}", call.arguments[0] as u32);
            stat(path.as_str()).map_or(0, |found| found.st_ino)
        }
        End::At(Place::SysvQueue) => call.arguments[0],
        _ => 0,
    }
}

/// The four bytes at `address` in the process `pid`. 0 if they cannot be read.
fn word(pid: Pid, address: u64) -> u32 {
    let mut bytes = [0; 4];
    if memory::read(pid, address, &mut bytes) == bytes.len() { u32::from_ne_bytes(bytes) } else { 0 }
}

/// The sum of `msg_len` over `count` elements of the vector of `struct mmsghdr` at `vector` in the process `pid`.
fn sum_of_messages(pid: Pid, vector: u64, count: u64) -> u64 {
    let each = size_of::<libc::mmsghdr>() as u64;
    let len = |index: u64| word(pid, vector + index * each + offset_of!(libc::mmsghdr, msg_len) as u64);
    (0..count).map(|index| u64::from(len(index))).sum()
}
