//! The facts that a reader wants before choosing a mechanism.

use std::fs;

/// Whether the mechanism keeps message boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A byte stream: both sides must know the length of every message.
    Stream,
    /// Messages arrive as they were sent; the receiver learns the length.
    Message,
}

impl Framing {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Framing::Stream => "stream",
            Framing::Message => "message",
        }
    }
}

/// Whether a message that was sent can get lost while both peers live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// Every message arrives, once and in order; a full channel holds the sender back.
    Reliable,
    /// A message is dropped where the receiver's buffer is full; nothing holds the sender back.
    Lossy,
}

impl Reliability {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Reliability::Reliable => "reliable",
            Reliability::Lossy => "lossy",
        }
    }
}

/// Who holds a message that was sent and not yet received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// The channel: the message arrives even where its sender has been killed.
    Channel,
    /// The sender: the message dies with a sender that is killed. One that closes its end hands over first what has not been
    /// received, or waits until it has been; the module of the mechanism says which.
    Sender,
}

impl Custody {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Custody::Channel => "channel",
            Custody::Sender => "sender",
        }
    }
}

/// How often a payload is copied between the sender's and the receiver's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// From buffer to buffer: [`Endpoint::send_buffer`](crate::Endpoint::send_buffer) and `recv_buffer`.
    pub copying: u32,
    /// Produced, and where that is possible consumed, where it lies: [`SendInPlace`](crate::SendInPlace),
    /// [`InPlace`](crate::InPlace).
    pub in_place: Option<u32>,
}

impl Copies {
    /// Of a mechanism without access in place.
    pub const fn of(copying: u32) -> Self {
        Self { copying, in_place: None }
    }
}

/// Which processes can use the mechanism together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Processes that inherited a descriptor or a mapping, or were passed a descriptor.
    Inherited,
    /// Any two processes of one host that know the name and have the right.
    Named,
    /// Processes of different hosts, too.
    Network,
}

impl Reach {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Reach::Inherited => "inherited",
            Reach::Named => "named",
            Reach::Network => "network",
        }
    }
}

/// A limit of the running kernel, from a file under `/proc/sys`; `default` where it cannot be read.
pub fn kernel_limit(path: &str, default: usize) -> usize {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

/// What a mechanism is, as constants: shown by `ipc-bench list`, tested by the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name used on the command line and in every file.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Byte stream or messages.
    pub framing: Framing,
    /// Whether messages can get lost.
    pub reliability: Reliability,
    /// Who can use it together.
    pub reach: Reach,
    /// What [`Channel::pair`](crate::Channel::pair) makes in the kernel for one duplex link.
    pub objects: &'static str,
    /// What bounds a message's length.
    pub limit: &'static str,
    /// Copies that the manuals promise. Declared here to be tested against the measured count, never to stand in for it.
    pub declared_copies: Copies,
    /// Who holds what has been sent.
    pub custody: Custody,
    /// How the survivor learns that its peer was killed.
    pub peer_death: &'static str,
    /// What keeps strangers out, and what an end is still exposed to from processes that have its rights.
    pub trust: &'static str,
    /// When to choose it.
    pub good_for: &'static str,
    /// When not to.
    pub bad_for: &'static str,
    /// The manual page to read.
    pub manual: &'static str,
}
