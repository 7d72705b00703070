//! A hostile peer, for tests of the ring (feature `hostile`).
//!
//! The peer writes what it likes over header, positions and records of a real ring while this side works with it. The
//! fuzz target `fuzz/fuzz_targets/ring.rs` plays [`Script`]s for any time, `tests/hostile.rs` a bounded number.
//! [`spoil`] and [`mend`] serve the conformance suite, which checks that an end stays corrupt.
//!
//! A script drives both [`RingEnd`]s through their public calls. Between the calls it scribbles, and in many scripts a
//! second thread scribbles all the time. Each end has its own mapping of the same pages, as two processes have, and the
//! scribbler writes through the peer's. On both sides of a mapping lies a page that cannot be touched, so a stray
//! access is a crash.
//!
//! Until the first scribble every message must arrive as it was sent. From then on a call may return a message within
//! the limit, or an error that the contract names. Anything else is a panic. A call that never returns is left to the
//! caller's watchdog.

#![allow(unsafe_code)]

use crate::{
    end::RingEnd,
    memfd_write::MemfdWriteEnd,
    open::{self, Side, Size},
    process_vm::ProcessVmEnd,
    record::{MESSAGE, SKIP},
    ring::{CONTROLS, DATA, Memory},
};
use arbitrary::{Arbitrary, Unstructured};
use ipc_core::{Endpoint, Error, InPlace, Options, Result, SendInPlace, Wait, liveness::Liveness};
use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap},
};
use std::{
    collections::VecDeque,
    hint,
    num::NonZero,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// One run: how both ends wait, what they do, and what the scribbler does meanwhile.
///
/// ```
/// use arbitrary::{Arbitrary, Unstructured};
/// use ipc_shm::hostile::Script;
///
/// let script = Script::arbitrary_take_rest(Unstructured::new(&[42; 256]))?;
/// script.play();
/// # Ok::<(), arbitrary::Error>(())
/// ```
#[derive(Debug, Arbitrary)]
pub struct Script {
    #[arbitrary(with = wait)]
    wait: Wait,
    scribbler: Scribbler,
    #[arbitrary(with = actions)]
    actions: Vec<Action>,
}

/// Any wait strategy.
fn wait(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Wait> {
    bytes.choose(&Wait::ALL).copied()
}

/// Actions from all the bytes there are. `Vec`'s own `Arbitrary` tosses a coin after each.
fn actions(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Action>> {
    let mut actions = Vec::new();
    while !bytes.is_empty() && actions.len() < ACTIONS {
        actions.push(bytes.arbitrary()?);
    }
    Ok(actions)
}

/// What the second thread does, from the first action to the last.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Scribbler {
    Absent,
    /// Makes a random [`Scribble`] every so many turns of an empty loop.
    Random {
        seed: u64,
        every: u8,
    },
    /// Writes a short length and another word in turn over the record that `direction`'s consumer looks at. An end that
    /// reads it twice sees both.
    Flip {
        direction: bool,
        #[arbitrary(with = length)]
        len: usize,
        other: Word,
    },
    /// Writes both futex words.
    Sleepers,
}

/// What one end does, or one write of the peer's. `here` is the first end.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Action {
    Send {
        here: bool,
        #[arbitrary(with = length)]
        len: usize,
    },
    SendInPlace {
        here: bool,
        #[arbitrary(with = length)]
        len: usize,
    },
    Receive {
        here: bool,
        /// The length of the buffer.
        #[arbitrary(with = length)]
        len: usize,
    },
    ReceiveInPlace {
        here: bool,
    },
    Scribble(Scribble),
}

/// A length: short, or up to a little more than the limit.
fn length(bytes: &mut Unstructured<'_>) -> arbitrary::Result<usize> {
    let longest = if bytes.arbitrary()? { 64 } else { 2060 };
    bytes.int_in_range(0..=longest)
}

/// One write of the peer's.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Scribble {
    /// Any byte of the mapping.
    Byte(u16, u8),
    /// Any word of the mapping.
    Anywhere(u16, Word),
    /// A shared word: a position or a futex word.
    Shared { direction: bool, which: u8, word: Word },
    /// A record word, `behind` words behind the oldest that has not been received.
    Record { direction: bool, behind: u8, word: Word },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Word {
    Any(u64),
    /// The present value plus this.
    Plus(i16),
    /// The present value plus eight times this.
    Words(i8),
    Message(u16),
    LongMessage(u32),
    Skip,
    Capacity,
}

const ACTIONS: usize = 64;
const TIMEOUT: Duration = Duration::from_micros(50);
const GUARD: usize = 4096;

impl Script {
    /// Plays the script.
    ///
    /// # Panics
    /// If an end returns what no end may return.
    pub fn play(&self) {
        let options = Options {
            wait: self.wait,
            timeout: Some(TIMEOUT),
            capacity: Some(1),
            spin: TIMEOUT / 4,
            ..Options::default()
        };
        let size = Size::of(&options).expect("a size");
        let file = memfd_create(c"hostile", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        nix::unistd::ftruncate(&file, size.mapping_len() as i64).expect("room");
        let [near, far] = [(); 2].map(|()| Arc::new(Guarded::new(&file, size.mapping_len())));
        open::initialize(&*near, size, self.wait);
        let hand = Hand { memory: Arc::clone(&far), size };
        let (a, b) = Liveness::pair().expect("a socket pair");
        let open = |memory, side, peer| RingEnd::open(&memory, side, peer, &options).expect("a fresh ring");
        let mut link = Link {
            ends: [open(near, Side::First, a), open(far, Side::Second, b)],
            sent: [VecDeque::new(), VecDeque::new()],
            corrupt: [false; 2],
            honest: matches!(self.scribbler, Scribbler::Absent),
            next: 1,
        };
        let (began, stop) = (AtomicBool::new(link.honest), AtomicBool::new(false));
        thread::scope(|scope| {
            let scribbler = (!link.honest).then(|| scope.spawn(|| hand.run(self.scribbler, &began, &stop)));
            let stop = StopOnDrop(&stop);
            // A script is shorter than the start of a thread.
            while !began.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            for &action in &self.actions {
                match action {
                    Action::Send { here, len } => link.send(usize::from(!here), len, false),
                    Action::SendInPlace { here, len } => link.send(usize::from(!here), len, true),
                    Action::Receive { here, len } => link.receive(usize::from(!here), len),
                    Action::ReceiveInPlace { here } => link.receive_in_place(usize::from(!here)),
                    Action::Scribble(scribble) => {
                        link.honest = false;
                        hand.scribble(scribble);
                    }
                }
            }
            drop(stop);
            // Joined here, because the scope does not wait for the thread's own end. A leak check would find it half
            // gone.
            if let Some(scribbler) = scribbler {
                scribbler.join().expect("the scribbler");
            }
        });
    }
}

/// An end over a ring: [`RingEnd`] itself and the ends that contain one.
pub trait OverRing {
    /// The end's ring.
    fn ring(&self) -> &RingEnd;
}

impl OverRing for RingEnd {
    fn ring(&self) -> &RingEnd {
        self
    }
}

impl OverRing for MemfdWriteEnd {
    fn ring(&self) -> &RingEnd {
        &self.ring
    }
}

impl OverRing for ProcessVmEnd {
    fn ring(&self) -> &RingEnd {
        &self.ring
    }
}

/// Writes positions that no peer can have over all positions, in both directions. An end that reads them
/// finds [`Error::Corrupt`].
pub fn spoil<E: OverRing>(end: &mut E) {
    set_positions(end.ring(), 7);
}

/// Writes the positions of a fresh ring over all positions, in both directions.
pub fn mend<E: OverRing>(end: &mut E) {
    set_positions(end.ring(), 0);
}

fn set_positions(end: &RingEnd, to: u64) {
    let start = end.memory().start();
    for control in CONTROLS {
        for position in [control, control + 128] {
            // SAFETY: the shared words of both directions lie within the header page of the live memory, aligned to 128
            // bytes. The only references to them are to atomics.
            unsafe { AtomicU64::from_ptr(start.add(position).as_ptr().cast()) }.store(to, Ordering::Release);
        }
    }
}

/// Ends the second thread, even if this one panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both ends, and what must come out of them until somebody scribbles.
struct Link {
    ends: [RingEnd; 2],
    /// The length and the byte of each message that an end has sent and the other not received.
    sent: [VecDeque<(usize, u8)>; 2],
    /// Which end has found the ring corrupt.
    corrupt: [bool; 2],
    honest: bool,
    next: u8,
}

impl Link {
    fn send(&mut self, end: usize, len: usize, in_place: bool) {
        let byte = self.next;
        self.next = self.next.wrapping_add(1);
        let max = self.ends[end].max_message();
        let result = if in_place {
            self.ends[end].send_with(len, |slot| {
                assert_eq!(slot.len(), len);
                slot.fill(byte);
            })
        } else {
            self.ends[end].send(&vec![byte; len])
        };
        match self.judge(end, result) {
            Ok(()) => {
                assert!(len <= max, "{len} bytes were sent, the limit is {max}");
                self.sent[end].push_back((len, byte));
            }
            Err(Error::TooLarge { .. }) => assert!(len > max, "{len} bytes are too large, the limit is {max}"),
            Err(_) => {}
        }
    }

    fn receive(&mut self, end: usize, len: usize) {
        let max = self.ends[end].max_message();
        let mut buffer = vec![0; len];
        let result = self.ends[end].recv(&mut buffer);
        let received = match self.judge(end, result) {
            Err(Error::TooLarge { len: found, .. }) if found > len => {
                let sent = self.sent[1 - end].front();
                assert!(found <= max, "{found} bytes do not fit, the limit is {max}");
                assert!(!self.honest || sent.is_some_and(|sent| sent.0 == found), "{found} bytes do not fit");
                return;
            }
            other => other.map(|len| {
                assert!(len <= max, "received {len} bytes, the limit is {max}");
                look_at(&buffer[..len])
            }),
        };
        self.check(end, received);
    }

    fn receive_in_place(&mut self, end: usize) {
        let max = self.ends[end].max_message();
        let result = self.ends[end].recv_with(|message| {
            assert!(message.len() <= max, "received {} bytes, the limit is {max}", message.len());
            look_at(message)
        });
        let received = self.judge(end, result);
        assert!(!matches!(received, Err(Error::TooLarge { .. })), "too large for no buffer");
        self.check(end, received);
    }

    /// Returns what the contract allows and panics at anything else. Both ends live, so neither may seem gone. An end
    /// that was corrupt once stays so.
    fn judge<T>(&mut self, end: usize, result: Result<T>) -> Result<T> {
        let is_corrupt = matches!(result, Err(Error::Corrupt { .. }));
        assert!(is_corrupt || !self.corrupt[end], "a call went on after the ring was found corrupt");
        self.corrupt[end] |= is_corrupt;
        match result {
            Err(Error::Corrupt { what }) if self.honest => panic!("corrupt, and nobody scribbled: {what}"),
            Ok(_) | Err(Error::Corrupt { .. } | Error::TimedOut | Error::TooLarge { .. }) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Compares what `end` received with what was sent.
    fn check(&mut self, end: usize, received: Result<(usize, Option<u8>)>) {
        if !self.honest {
            return;
        }
        match (self.sent[1 - end].pop_front(), received) {
            (None, Err(Error::TimedOut)) => {}
            (Some((len, byte)), Ok(found)) if found == (len, (len > 0).then_some(byte)) => {}
            (sent, received) => panic!("sent {sent:?}, received {received:?}"),
        }
    }
}

/// Reads all of `message`. Returns its length, and its byte if all bytes are equal.
fn look_at(message: &[u8]) -> (usize, Option<u8>) {
    let sum: u64 = message.iter().map(|&byte| u64::from(byte)).sum();
    let first = message.first().copied();
    (message.len(), first.filter(|&byte| hint::black_box(sum) == u64::from(byte) * message.len() as u64))
}

/// Writes to the second end's mapping.
struct Hand {
    memory: Arc<Guarded>,
    size: Size,
}

impl Hand {
    fn run(&self, what: Scribbler, began: &AtomicBool, stop: &AtomicBool) {
        began.store(true, Ordering::Relaxed);
        let mut random = fastrand::Rng::with_seed(if let Scribbler::Random { seed, .. } = what { seed } else { 0 });
        while !stop.load(Ordering::Relaxed) {
            match what {
                Scribbler::Absent => return,
                Scribbler::Random { every, .. } => {
                    (0..u32::from(every) * 8).for_each(|_| hint::spin_loop());
                    let mut bytes = [0; 32];
                    random.fill(&mut bytes);
                    // Bytes enough for any of them.
                    let scribble = Scribble::arbitrary(&mut Unstructured::new(&bytes));
                    self.scribble(scribble.expect("enough bytes"));
                }
                Scribbler::Flip { direction, len, other } => {
                    for word in [Word::Message(len as u16), other] {
                        self.scribble(Scribble::Record { direction, behind: 0, word });
                    }
                }
                Scribbler::Sleepers => {
                    for which in [2, 3] {
                        for direction in [false, true] {
                            let word = Word::Any(random.u64(..));
                            self.scribble(Scribble::Shared { direction, which, word });
                        }
                    }
                }
            }
        }
    }

    fn scribble(&self, scribble: Scribble) {
        let (at, word) = match scribble {
            Scribble::Byte(at, byte) => {
                let at = usize::from(at) % self.memory.len();
                // SAFETY: inside the mapping. The only references into it are to atomics. The ends' own go through
                // another mapping, as those of another process would.
                unsafe { AtomicU8::from_ptr(self.memory.start().add(at).as_ptr()) }.store(byte, Ordering::Relaxed);
                return;
            }
            Scribble::Anywhere(at, word) => (usize::from(at) * 8, word),
            Scribble::Shared { direction, which, word } => {
                (CONTROLS[usize::from(direction)] + usize::from(which % 4) * 128, word)
            }
            Scribble::Record { direction, behind, word } => {
                let tail = self.word(CONTROLS[usize::from(direction)] + 128).load(Ordering::Relaxed);
                let capacity = self.capacity() as u64;
                let offset = tail.wrapping_add(u64::from(behind) * 8) % capacity;
                (DATA + usize::from(direction) * self.capacity() + offset as usize, word)
            }
        };
        let place = self.word(at);
        let old = place.load(Ordering::Relaxed);
        let new = match word {
            Word::Any(word) => word,
            Word::Plus(n) => old.wrapping_add_signed(n.into()),
            Word::Words(n) => old.wrapping_add_signed(i64::from(n) * 8),
            Word::Message(len) => MESSAGE | u64::from(len % 4096),
            Word::LongMessage(len) => MESSAGE | u64::from(len),
            Word::Skip => SKIP,
            Word::Capacity => old.wrapping_add(self.capacity() as u64),
        };
        place.store(new, Ordering::Relaxed);
    }

    fn capacity(&self) -> usize {
        (self.size.mapping_len() - DATA) / 2
    }

    /// The word at offset `at` of the mapping, modulo its length.
    fn word(&self, at: usize) -> &AtomicU64 {
        let at = (at % self.memory.len()) & !7;
        // SAFETY: inside the mapping and aligned. As in `scribble`.
        unsafe { AtomicU64::from_ptr(self.memory.start().add(at).as_ptr().cast()) }
    }
}

/// A mapping between two pages that cannot be touched.
#[derive(Debug)]
struct Guarded {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to no thread.
unsafe impl Send for Guarded {}
// SAFETY: through a shared reference one can only ask for its address.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new(file: &OwnedFd, len: usize) -> Self {
        let whole = NonZero::new(len + 2 * GUARD).expect("not empty");
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let outer = unsafe { mmap_anonymous(None, whole, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        let inner = outer.expect("address space").cast::<u8>();
        // SAFETY: one page into a longer mapping.
        let inner = unsafe { inner.add(GUARD) };
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: this replaces the middle of the mapping that was just made, which nobody uses yet.
        let start = unsafe {
            mmap(inner.addr().into(), NonZero::new(len).expect("not empty"), protection, flags, file.as_fd(), 0)
        };
        Self { start: start.expect("pages").cast(), len }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this range, guards included. Whoever had a pointer into it kept the value alive.
        let _ = unsafe { munmap(self.start.sub(GUARD).cast(), self.len + 2 * GUARD) };
    }
}

// SAFETY: the pages are readable and writable until they are unmapped, and only their address is handed out.
unsafe impl Memory for Guarded {
    fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn len(&self) -> usize {
        self.len
    }
}

/// Reads the byte before a guarded mapping, or the byte behind it. Returns only if the guard page does not work.
pub fn touch_a_guard(behind: bool) {
    let file = memfd_create(c"hostile", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    nix::unistd::ftruncate(&file, GUARD as i64).expect("room");
    let pages = Guarded::new(&file, GUARD);
    let at = if behind { pages.start.as_ptr().wrapping_add(GUARD) } else { pages.start.as_ptr().wrapping_sub(1) };
    // SAFETY: the byte lies in the same anonymous mapping as `pages`, which lives. The fault is the point.
    unsafe { at.read_volatile() };
}
