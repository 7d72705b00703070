//! The facts that a reader wants before choosing a mechanism.

use std::{fmt, fs};

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
#[non_exhaustive]
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

/// The kernel facility that a mechanism belongs to. Charts give each family a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// Pipes, with a name or without (pipe(7), fifo(7)).
    Pipe,
    /// System V and POSIX message queues (sysvipc(7), mq_overview(7)).
    MessageQueue,
    /// Memory that both processes map, or that one reads out of the other (shm_overview(7), process_vm_readv(2)).
    SharedMemory,
    /// Unix domain sockets (unix(7)).
    UnixSocket,
    /// Sockets of the internet protocols (ip(7)).
    InternetSocket,
    /// None of these.
    Other,
}

impl Family {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Pipe => "pipe",
            Family::MessageQueue => "message queue",
            Family::SharedMemory => "shared memory",
            Family::UnixSocket => "Unix socket",
            Family::InternetSocket => "internet socket",
            Family::Other => "other",
        }
    }
}

/// Where a limit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// A file under `/proc/sys`, for example `kernel/msgmax`.
    Sysctl(&'static str),
    /// A resource limit of the process, by its name in getrlimit(2), for example `RLIMIT_MSGQUEUE`.
    Rlimit(&'static str),
    /// The free space of the file system that holds this folder, for example `/dev/shm`.
    Folder(&'static str),
    /// The free space of the file system that holds the folder for temporary files (`TMPDIR`, else `/tmp`).
    TemporaryFolder,
}

impl fmt::Display for Setting {
    /// The name by which sysctl(8), the shell or the manual knows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Sysctl(file) => f.write_str(&file.replace('/', ".")),
            Setting::Rlimit(name) => f.write_str(name),
            Setting::Folder(folder) => f.write_str(folder),
            Setting::TemporaryFolder => f.write_str("TMPDIR"),
        }
    }
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bounds {
    /// A message, or the object that carries it, is refused when it is longer. The limit is in bytes, and the kernel counts
    /// `overhead` bytes in addition to the message.
    Length {
        /// Bytes that the kernel adds.
        overhead: u32,
    },
    /// Making one more object fails with this error number.
    Amount {
        /// The error number, for example `libc::ENOSPC`.
        errno: i32,
    },
    /// The sender waits, or a lossy mechanism drops the message, when as much is in flight.
    InFlight,
    /// The mechanism is forbidden or permitted as a whole.
    Permission,
}

/// A limit of the kernel that a mechanism meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, with the unit: "bytes in a message".
    pub what: &'static str,
    /// Where the limit is set.
    pub setting: Setting,
    /// What happens beyond it.
    pub bounds: Bounds,
}

impl Limit {
    /// A limit on the length of a message in bytes.
    pub const fn length(what: &'static str, setting: Setting) -> Self {
        Self { what, setting, bounds: Bounds::Length { overhead: 0 } }
    }

    /// A limit beyond which making one more object fails with `errno`.
    pub const fn amount(what: &'static str, setting: Setting, errno: i32) -> Self {
        Self { what, setting, bounds: Bounds::Amount { errno } }
    }

    /// A limit on what is in flight.
    pub const fn in_flight(what: &'static str, setting: Setting) -> Self {
        Self { what, setting, bounds: Bounds::InFlight }
    }
}

/// What the kernel itself tells the receiver about the sender. A sender cannot forge it, unless it is privileged.
///
/// Each variant but the first names the interface that tells it, with its manual page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attested {
    /// Nothing: whoever holds the other end, or can write to the memory, may be the sender.
    Nothing,
    /// The process id of the sender.
    Pid(&'static str),
    /// The process id, user id and group id of the sender.
    Credentials(&'static str),
    /// The network address and port of the sender.
    Address(&'static str),
}

impl Attested {
    /// The name shown in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Attested::Nothing => "nothing",
            Attested::Pid(_) => "pid",
            Attested::Credentials(_) => "pid+uid+gid",
            Attested::Address(_) => "address",
        }
    }

    /// The interface that tells it, with its manual page; `None` for [`Attested::Nothing`].
    pub const fn source(self) -> Option<&'static str> {
        match self {
            Attested::Nothing => None,
            Attested::Pid(source) | Attested::Credentials(source) | Attested::Address(source) => Some(source),
        }
    }
}

/// The facts about a mechanism, as constants. `ipc-bench list` shows them and the conformance suite tests them.
///
/// Start from [`Spec::new`] and set what differs. Fields that are added later then keep their neutral value:
///
/// ```
/// use ipc_core::{Attested, Copies, Family, Framing, Spec};
///
/// const SPEC: Spec = Spec {
///     family: Family::Pipe,
///     framing: Framing::Message,
///     pollable: true,
///     objects: "2 pipes",
///     peer_death: "end of file, EPIPE",
///     good_for: "messages between parent and child",
///     bad_for: "unrelated processes",
///     manual: "pipe(7)",
///     ..Spec::new("length-prefixed-pipe", "two pipes, with a length before each message")
/// };
///
/// assert_eq!(SPEC.attested_sender, Attested::Nothing);
/// assert_eq!(SPEC.declared_copies, Copies::of(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name used on the command line and in every file.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The kernel facility that it belongs to.
    pub family: Family,
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
    /// The limits of the kernel that it meets, with the file or resource limit that sets each.
    pub limits: &'static [Limit],
    /// How many of the longest messages the memory of each direction has room for. The pair takes that memory at once.
    /// 0 where messages lie in buffers of the kernel's.
    pub ring_messages: usize,
    /// Whether an end has a [descriptor](crate::Endpoint::descriptor) that epoll(7) takes, and that shows when a message can
    /// be received.
    pub pollable: bool,
    /// What the kernel tells the receiver about the sender.
    pub attested_sender: Attested,
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

impl Spec {
    /// A mechanism about which nothing is claimed: a reliable byte stream between processes that inherit it, without limits,
    /// with the two copies of a mechanism that lies in the kernel.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            family: Family::Other,
            framing: Framing::Stream,
            reliability: Reliability::Reliable,
            reach: Reach::Inherited,
            objects: "",
            limit: "none",
            limits: &[],
            ring_messages: 0,
            pollable: false,
            attested_sender: Attested::Nothing,
            declared_copies: Copies::of(2),
            custody: Custody::Channel,
            peer_death: "",
            trust: "",
            good_for: "",
            bad_for: "",
            manual: "",
        }
    }
}
