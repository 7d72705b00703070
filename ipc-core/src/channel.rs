//! The contract: [`Channel`], [`Endpoint`], [`SendInPlace`], [`InPlace`], [`Rendezvous`].

use crate::{Buffer, Name, Options, Result, Spec};
use std::{os::fd::BorrowedFd, time::Duration};

/// One IPC mechanism.
///
/// - **Duplex.** Each mechanism builds what is natural for two directions (two pipes, one socket pair, two rings);
///   [`SPEC.objects`](Spec::objects) says what that took.
/// - **Fork, then use.** `pair` returns both ends to one process; after a fork each process drops the end that is not
///   its own. An end belongs to the process that first sends or receives on it. Descriptors that are never used are
///   only closed when dropped: dropping a copy in a process that merely passed it on disturbs nobody.
/// - **Nothing is left.** Names are unlinked before `pair` returns, System V segments are marked for removal. What has
///   to outlive that (System V queues) is removed by the ends when they close and stands in a journal meanwhile (see
///   [`objects`](crate::objects)), so that `ipc-bench sweep` can remove what a killed process left.
/// - **Private.** Objects have mode 0600, descriptors are close-on-exec, names carry the process id and randomness and
///   are created exclusively; what is found under a name must be this user's and closed to others.
///   [`SPEC.trust`](Spec::trust) says what that leaves open.
pub trait Channel: Sized {
    /// The facts about this mechanism.
    const SPEC: Spec;
    /// One end of the link.
    type Endpoint: Endpoint;

    /// Makes the kernel objects and returns both ends of a duplex link.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) where [`Options::max_message`] or [`Options::capacity`] is beyond
    /// what the kernel grants (it is never clamped), [`Error::Unsupported`](crate::Error::Unsupported) where this
    /// kernel lacks the mechanism, else [`Error::Os`](crate::Error::Os).
    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)>;
}

/// One end of a link: moves whole messages, without allocation, dynamic dispatch or a hidden copy.
///
/// - **Framing.** Over a byte stream the receiver's `buffer.len()` is the length of the message, which both sides know.
///   A message mechanism keeps boundaries and `recv` returns the length. [`SPEC.framing`](Spec::framing) tells which.
/// - **Order.** Messages arrive once and in order. Only a [lossy](crate::Reliability::Lossy) mechanism may drop one.
/// - **Back-pressure.** A full channel makes `send` wait by the chosen [`Wait`](crate::Wait); it never drops.
/// - **Limits.** A message longer than [`max_message`](Endpoint::max_message) is
///   [`Error::TooLarge`](crate::Error::TooLarge), nothing is sent and the channel stays usable. A message longer than
///   the receiver's buffer is `TooLarge` too: rings and System V queues keep it for a larger buffer, datagrams are
///   dropped by the kernel; a POSIX queue asks for a buffer of `max_message` bytes in advance (mq_receive(3)).
/// - **Empty messages.** Over a byte stream an empty message is nothing at all: both calls return at once. Message
///   mechanisms carry it.
/// - **Corrupt.** Once a call has returned [`Error::Corrupt`](crate::Error::Corrupt), every later send and receive on this end
///   does, whatever the memory holds by then.
/// - **Interruption.** A signal handler that runs meanwhile (`EINTR`) loses nothing; the call goes on.
/// - **Deadline.** After `TimedOut` the channel is usable. A byte stream may have moved part of the message: call again
///   with the same message (or the same buffer) and it goes on where it stopped.
/// - **Peer gone.** When the other end has been closed in every process, or its process was killed, what it had sent
///   can still be received (but for what a killed process had in its [custody](crate::Custody)); then `recv` returns [`Error::PeerGone`](crate::Error::PeerGone), as does `send`, at the
///   latest when the channel is full. Where the kernel does not tell, [`liveness`](crate::liveness) does.
pub trait Endpoint: Send {
    /// Sends all of `message`.
    ///
    /// # Errors
    /// `TooLarge`, `TimedOut`, `PeerGone`, `Corrupt` (shared memory) or `Os`; see the contract above.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Receives one message into the front of `buffer` and returns its length in bytes.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// The longest message that `send` takes, in bytes; `usize::MAX` over a byte stream that needs no room for a whole one.
    fn max_message(&self) -> usize;

    /// Sets the deadline of every following call, counted from the call's start; `None` waits for as long as the peer
    /// lives and costs nothing.
    ///
    /// # Errors
    /// `Os` where a descriptor's mode cannot be changed.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()>;

    /// [`send`](Endpoint::send) for a [`Buffer`], which System V queues can send without copying it first.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    #[inline]
    fn send_buffer(&mut self, message: &mut Buffer) -> Result<()> {
        self.send(message)
    }

    /// [`recv`](Endpoint::recv) for a [`Buffer`], which System V queues can fill without a copy.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    #[inline]
    fn recv_buffer(&mut self, buffer: &mut Buffer) -> Result<usize> {
        self.recv(buffer)
    }

    /// The descriptor that epoll(7) and poll(2) report as readable when a message can be received, or when the peer is gone.
    /// `None` where the mechanism has none; [`Spec::pollable`] says so in advance.
    ///
    /// Use it to wait, not to read. Other events than readability may be reported as well, for example an error queue.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Touches memory that messages will pass through in this process, so that first use takes no page fault.
    /// Nothing to do for mechanisms that live in the kernel.
    fn prefault(&mut self) {}
}

/// Mechanisms whose sender can produce the payload where the channel takes it from.
///
/// The slice belongs to the endpoint, is aligned to 8 bytes, and is lent for the call only. Where the kernel or the peer
/// reads it later (by reference), the endpoint keeps it untouched until they have: so the caller need never ask
/// when it may be used again. The module of each variant says how it knows.
///
/// A message is filled once. After `TimedOut` either `fill` has not run and nothing was sent; or, over a byte stream, it has,
/// and the message waits to go on: call again with the same length, and it does, without `fill` running once more.
pub trait SendInPlace: Endpoint {
    /// Sends a message of `len` bytes that `fill` writes straight into the channel. What `fill` leaves unwritten is
    /// whatever the slot held before.
    ///
    /// # Errors
    /// As for [`Endpoint::send`]; `fill` runs only once there is room in the channel's memory. `Unsupported` where part of a
    /// message has gone that timed out, and `len` is not its length.
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()>;
}

/// Mechanisms whose payload can be consumed, too, without a buffer of the caller's.
///
/// Where the slice is shared memory, a correct peer never touches it meanwhile; a hostile one can change it under the
/// reader, so check a copy and not the slot where that matters.
pub trait InPlace: SendInPlace {
    /// Receives one message and hands it to `read` where it lies; the room is free again when `read` returns.
    ///
    /// # Errors
    /// As for [`Endpoint::recv`].
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R>;
}

/// Mechanisms that two unrelated processes can reach by name.
///
/// - One process binds, one connects, in either order; both calls return when the link stands, or
///   [`Error::TimedOut`](crate::Error::TimedOut) after [`Options::timeout`] (10 s where that is `None`).
/// - One connector gets the link; another one gets `PeerGone`, or goes on waiting for a binder of its own.
/// - The name is gone from the system when both hold the link. What a binder leaves that is killed before, the next one
///   takes over.
/// - Both sides open with the same [`Options`].
pub trait Rendezvous: Channel {
    /// Creates the objects under `name` and waits for a peer.
    ///
    /// # Errors
    /// [`Error::Taken`](crate::Error::Taken) where the name is taken (a planted file, link or queue is never opened), else as
    /// for [`Channel::pair`].
    fn bind(name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Waits for `name` to appear and connects to it.
    ///
    /// # Errors
    /// As for [`Channel::pair`].
    fn connect(name: &Name, options: &Options) -> Result<Self::Endpoint>;
}
