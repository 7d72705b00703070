//! An end of a channel with the messages that are sent on it, and the check that they arrive.

use crate::Verdict;
use ipc_core::{Custody, Endpoint, Error, Framing, Reliability, Result, Sign, Spec};
use nix::sys::signal::{Signal, raise};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// The messages of a lane, which is one direction of one channel: endless, of mixed length and random content. They are the same in
/// every process, so both sides know each of them.
struct Script {
    longest: usize,
}

/// The content of all messages: each is a piece of it. Made once, before the first fork, since that takes a while.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| noise(0, LONGEST + OFFSETS));

/// Makes what every process of a trial needs.
pub(crate) fn prepare() {
    LazyLock::force(&NOISE);
}

/// How many different contents a length has.
const OFFSETS: usize = 1 << 16;

/// Lengths at which something changes: words, cache lines, pages, and the ends of the range.
const EDGES: [usize; 14] = [0, 1, 2, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, usize::MAX - 1, usize::MAX];

impl Script {
    /// Message `number` of `lane`: mostly short, now and then long, one in sixteen on an edge.
    fn message(&self, lane: u64, number: u64) -> &[u8] {
        let random = scramble((lane << 48) | number);
        let pick = (random >> 32) as usize;
        let len = match random % 16 {
            0 => EDGES[pick % EDGES.len()],
            15 => pick % (1 << 14),
            13..=14 => pick % (1 << 10),
            _ => 1 + pick % 128,
        };
        let len = if len == usize::MAX - 1 { self.longest.saturating_sub(1) } else { len.min(self.longest) };
        &NOISE[(random >> 8) as usize % OFFSETS..][..len]
    }
}

/// `len` random bytes that `seed` determines.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u64).map(|i| scramble(seed ^ i.wrapping_mul(0xd6e8_feb8_6659_fd93)));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len);
    bytes
}

/// SplitMix64's finish (Steele, Lea & Flood 2014): every bit of the result depends on every bit of `x`.
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// An end that shows in whatever way.
pub(crate) const GONE: Error = Error::PeerGone { sign: Sign::EndOfFile };

/// Whether both are the same variant: what it carries depends on the mechanism.
pub(crate) fn same_kind(a: &Error, b: &Error) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// The other lane of a link: 1 and 2 belong together, and so do 3 and 4.
fn beside(lane: u64) -> u64 {
    ((lane - 1) ^ 1) + 1
}

/// One end of a channel under test.
///
/// `say` and `hear` move the next messages of the lane's script, so two sides that call them in step check order and
/// content of everything. The control line (`tell`, `learn`) is an ordinary socket beside the channel.
pub(crate) struct Side<E> {
    end: Option<E>,
    spec: Spec,
    line: UnixStream,
    script: Script,
    /// Lanes out and in. The peer has them the other way round.
    lanes: [u64; 2],
    said: u64,
    heard: u64,
    checksum: u64,
    buffer: Vec<u8>,
}

/// The longest message of a script, where the channel takes it.
const LONGEST: usize = 64 << 10;
/// What may be on its way over a lossy channel: it must fit the receiver's socket buffer (`net.core.rmem_default`).
const WINDOW_MESSAGES: usize = 16;
const WINDOW_BYTES: usize = 64 << 10;
/// No channel holds more than this.
const BOTTOMLESS: usize = 256 << 20;

impl<E: Endpoint> Side<E> {
    /// Speaks on `lane` and hears on the lane beside it (1 and 2, 3 and 4).
    pub fn new(spec: Spec, end: E, line: UnixStream, lane: u64) -> Self {
        let longest = end.max_message().min(LONGEST);
        let room = if spec.framing == Framing::Message { end.max_message() } else { longest };
        Self {
            end: Some(end),
            spec,
            line,
            script: Script { longest },
            lanes: [lane, beside(lane)],
            said: 0,
            heard: 0,
            checksum: 0,
            // Untouched pages cost nothing, so a mechanism may have any limit.
            buffer: vec![0; room.min(BOTTOMLESS)],
        }
    }

    /// Moves to another pair of lanes, so that two channels say different things.
    pub fn on_lane(mut self, lane: u64) -> Self {
        self.lanes = [lane, beside(lane)];
        self
    }

    /// Says nothing longer than `longest` from here on: the peer must do the same.
    pub fn at_most(&mut self, longest: usize) -> &mut Self {
        self.script.longest = self.script.longest.min(longest);
        self
    }

    /// The endpoint itself.
    pub fn end(&mut self) -> &mut E {
        self.end.as_mut().expect("the clause has closed this side")
    }

    /// Drops the endpoint; the process lives on.
    pub fn close(&mut self) {
        self.end = None;
    }

    /// Dies of `SIGKILL`, which leaves it no time to close anything.
    pub fn die(&mut self) -> ! {
        let _ = raise(Signal::SIGKILL);
        unreachable!("nobody survives SIGKILL")
    }

    /// Waits, where what was sent dies with its sender, until the peer has [heard](Side::let_go) all of it: what follows may be
    /// this side's death.
    pub fn be_heard(&mut self) -> Verdict {
        if self.spec.custody == Custody::Sender { self.learn().map(drop) } else { Ok(()) }
    }

    /// Lets the peer go on from [`be_heard`](Side::be_heard).
    pub fn let_go(&mut self) -> Verdict {
        if self.spec.custody == Custody::Sender { self.tell(0) } else { Ok(()) }
    }

    /// Sets the deadline of the calls to come.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Verdict {
        self.end().set_timeout(timeout).map_err(|error| format!("set_timeout: {error}"))
    }

    /// Sends the next `n` messages.
    pub fn say(&mut self, n: u64) -> Verdict {
        self.say_by(n, |end, message| end.send(message))
    }

    /// Receives the next `n` messages and checks each.
    pub fn hear(&mut self, n: u64) -> Verdict {
        self.hear_by(n, |end, buffer| end.recv(buffer))
    }

    /// [`say`](Side::say) through `send`.
    pub fn say_by(&mut self, n: u64, mut send: impl FnMut(&mut E, &[u8]) -> Result<()>) -> Verdict {
        let end = self.end.as_mut().expect("the clause has closed this side");
        let mut window = Window::default();
        for i in 0..n {
            let message = self.script.message(self.lanes[0], self.said);
            send(end, message).map_err(|error| format!("send of {}: {error}", name(self.said, message)))?;
            self.checksum = checksum(self.checksum, message);
            self.said += 1;
            if self.spec.reliability == Reliability::Lossy && i + 1 < n {
                let next = self.script.message(self.lanes[0], self.said);
                if window.is_full(message, next) && learn(&mut self.line)? != self.said {
                    return Err("the acknowledgements are out of step".into());
                }
            }
        }
        Ok(())
    }

    /// [`hear`](Side::hear) through `recv`.
    pub fn hear_by(&mut self, n: u64, mut recv: impl FnMut(&mut E, &mut [u8]) -> Result<usize>) -> Verdict {
        let end = self.end.as_mut().expect("the clause has closed this side");
        let mut window = Window::default();
        for i in 0..n {
            let expected = self.script.message(self.lanes[1], self.heard);
            let room = if self.spec.framing == Framing::Stream { expected.len() } else { self.buffer.len() };
            let buffer = &mut self.buffer[..room];
            buffer[..expected.len()].fill(0xa5);
            let len = recv(end, buffer).map_err(|error| format!("recv of {}: {error}", name(self.heard, expected)))?;
            if buffer.get(..len) != Some(expected) {
                let got = buffer.get(..len).unwrap_or_default().to_vec();
                return Err(self.mistaken(len, &got));
            }
            self.checksum = checksum(self.checksum, &buffer[..len]);
            self.heard += 1;
            if self.spec.reliability == Reliability::Lossy && i + 1 < n {
                let next = self.script.message(self.lanes[1], self.heard);
                if window.is_full(expected, next) {
                    tell(&mut self.line, self.heard)?;
                }
            }
        }
        Ok(())
    }

    /// Why what came is not what was expected.
    fn mistaken(&self, len: usize, got: &[u8]) -> String {
        let expected = self.script.message(self.lanes[1], self.heard);
        let expected_name = name(self.heard, expected);
        let is = |lane: u64, number: u64| self.script.message(lane, number) == got && got.len() >= 8;
        let around = self.heard.saturating_sub(50)..self.heard + 50;
        if let Some(number) = around.clone().find(|&number| is(self.lanes[1], number)) {
            return format!("{expected_name} was expected and message {number} came");
        }
        if let Some(number) = around.clone().find(|&number| is(self.lanes[0], number)) {
            return format!("{expected_name} was expected and this side's own message {number} came");
        }
        match got.iter().zip(expected).position(|(a, b)| a != b) {
            _ if len != expected.len() => format!("{expected_name} was expected and {len} bytes came"),
            Some(at) => format!("{expected_name}: byte {at} is {:#04x}, not {:#04x}", got[at], expected[at]),
            None => format!("{expected_name} came as something else"),
        }
    }

    /// Sends one message of exactly `len` bytes, outside the script.
    pub fn say_bytes(&mut self, len: usize) -> Verdict {
        let message = noise((self.lanes[0] << 48) | len as u64, len);
        self.end().send(&message).map_err(|error| format!("send of {len} bytes: {error}"))
    }

    /// What the peer sends by [`say_bytes`](Side::say_bytes).
    pub fn expected_bytes(&self, len: usize) -> Vec<u8> {
        noise((self.lanes[1] << 48) | len as u64, len)
    }

    /// Receives one message of exactly `len` bytes, outside the script, and checks it.
    pub fn hear_bytes(&mut self, len: usize) -> Verdict {
        let expected = self.expected_bytes(len);
        let room = if self.spec.framing == Framing::Stream { len } else { self.buffer.len().max(len) };
        let mut buffer = vec![0xa5; room];
        let got = self.end().recv(&mut buffer).map_err(|error| format!("recv of {len} bytes: {error}"))?;
        match buffer[..got].iter().zip(&expected).position(|(a, b)| a != b) {
            _ if got != len => Err(format!("{len} bytes were expected and {got} came")),
            Some(at) => Err(format!("of {len} bytes, byte {at} is {:#04x}, not {:#04x}", buffer[at], expected[at])),
            None => Ok(()),
        }
    }

    /// Receives what must be nothing but `expected`.
    pub fn hear_error(&mut self, expected: &Error) -> Verdict {
        let room = if self.spec.framing == Framing::Stream { 1 } else { self.buffer.len() };
        let end = self.end.as_mut().expect("the clause has closed this side");
        match end.recv(&mut self.buffer[..room]) {
            Err(error) if same_kind(&error, expected) => Ok(()),
            Err(error) => Err(format!("recv failed with '{error}', not with '{expected}'")),
            Ok(len) => Err(format!("recv brought {len} bytes and did not fail with '{expected}'")),
        }
    }

    /// Sends messages until `send` fails: what it failed with, and how long that call took. The message that failed is
    /// the next one to be said.
    pub fn fill(&mut self) -> std::result::Result<(Error, Duration), String> {
        self.fill_by(|end, message| end.send(message))
    }

    /// [`fill`](Side::fill) through `send`.
    pub fn fill_by(
        &mut self,
        mut send: impl FnMut(&mut E, &[u8]) -> Result<()>,
    ) -> std::result::Result<(Error, Duration), String> {
        let end = self.end.as_mut().expect("the clause has closed this side");
        let mut bytes = 0;
        while bytes < BOTTOMLESS {
            let message = self.script.message(self.lanes[0], self.said);
            let began = Instant::now();
            match send(end, message) {
                // Empty ones count, too, or a mechanism that swallows them would never end.
                Ok(()) => bytes += message.len() + 1,
                Err(error) => return Ok((error, began.elapsed())),
            }
            self.checksum = checksum(self.checksum, message);
            self.said += 1;
        }
        Err(format!("took {} messages ({bytes} bytes) and is not full", self.said))
    }

    /// How many messages were said and heard so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.said, self.heard)
    }

    /// Whether a part of a message may pass.
    pub fn is_stream(&self) -> bool {
        self.spec.framing == Framing::Stream
    }

    /// A checksum over everything said and heard, in order.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Tells the peer `word` over the control line.
    pub fn tell(&mut self, word: u64) -> Verdict {
        tell(&mut self.line, word)
    }

    /// Waits for the peer's word.
    pub fn learn(&mut self) -> std::result::Result<u64, String> {
        learn(&mut self.line)
    }
}

/// How a failure of the control line begins, which is none of the channel.
pub(crate) const LINE_FAILED: &str = "control line";

/// Tells whoever holds the other end of `line` a word.
pub(crate) fn tell(line: &mut UnixStream, word: u64) -> Verdict {
    line.write_all(&word.to_ne_bytes()).map_err(|error| format!("{LINE_FAILED}: {error}"))
}

/// Waits for a word from whoever holds the other end of `line`.
pub(crate) fn learn(line: &mut UnixStream) -> std::result::Result<u64, String> {
    let mut word = [0; 8];
    line.read_exact(&mut word).map_err(|error| format!("{LINE_FAILED}: {error}"))?;
    Ok(u64::from_ne_bytes(word))
}

fn name(number: u64, message: &[u8]) -> String {
    format!("message {number} ({} bytes)", message.len())
}

/// A checksum that depends on the order of the messages, their lengths and beginnings. All of their content has been
/// compared by then.
fn checksum(sum: u64, message: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let beginning = message.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    step(step(sum, beginning), message.len() as u64)
}

/// How much is on its way to a receiver that would drop what it has no room for.
#[derive(Default)]
struct Window {
    messages: usize,
    bytes: usize,
}

impl Window {
    /// Counts `message`; says whether `next` has to wait for an acknowledgement. Both sides come to the same answer.
    fn is_full(&mut self, message: &[u8], next: &[u8]) -> bool {
        self.messages += 1;
        self.bytes += message.len();
        let full = self.messages >= WINDOW_MESSAGES || self.bytes + next.len() > WINDOW_BYTES;
        if full {
            *self = Self::default();
        }
        full
    }
}
