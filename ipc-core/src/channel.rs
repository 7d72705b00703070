//! The contract: [`Channel`], [`Endpoint`], [`SendInPlace`], [`InPlace`], [`Rendezvous`].

use crate::{Buffer, Name, Options, Result, Spec};
use std::{os::fd::BorrowedFd, time::Duration};

/// One IPC mechanism.
///
/// - **Duplex.** Each mechanism builds what is natural for two directions: two pipes, one socket pair, two rings.
///   [`SPEC.objects`](Spec::objects) says what that took.
/// - **Fork, then use.** `pair` returns both ends to one process. After a fork each process drops the end that is not
///   its own. An end belongs to the process that first sends or receives on it. A copy that was never used is only
///   closed when it is dropped, and disturbs nobody.
/// - **Nothing is left.** Names are unlinked before `pair` returns, and System V segments are marked for removal.
///   System V queues have to outlive that. The ends remove them when they close, and they stand in a journal meanwhile
///   (see [`objects`](crate::objects)). So `ipc-bench sweep` can remove what a killed process left.
/// - **Private.** Objects have mode 0600. Descriptors are close-on-exec. Names carry the process id and randomness,
///   and are created exclusively. An object that is found under a name must be this user's and closed to others.
///   [`SPEC.trust`](Spec::trust) says what that leaves open.
///
/// A channel over two pipes, complete:
///
/// ```
/// use ipc_core::{Channel, Endpoint, Error, Options, Result, Spec, stream::StreamEnd};
/// use std::io::pipe;
///
/// struct MyPipe;
///
/// impl Channel for MyPipe {
///     const SPEC: Spec = Spec { pollable: true, ..Spec::new("my-pipe", "two anonymous pipes") };
///     type Endpoint = StreamEnd;
///
///     fn pair(options: &Options) -> Result<(StreamEnd, StreamEnd)> {
///         let pipe = || pipe().map_err(|error| Error::io("pipe2", &error));
///         let ((a, to_a), (b, to_b)) = (pipe()?, pipe()?);
///         Ok((StreamEnd::new(a.into(), to_b.into(), options)?, StreamEnd::new(b.into(), to_a.into(), options)?))
///     }
/// }
///
/// let (mut a, mut b) = MyPipe::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 4];
/// b.recv(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// # Ok::<(), Error>(())
/// ```
pub trait Channel: Sized {
    /// The facts about this mechanism.
    const SPEC: Spec;
    /// One end of the link.
    type Endpoint: Endpoint;

    /// Makes the kernel objects and returns both ends of a duplex link.
    ///
    /// # Errors
    /// - [`Error::TooLarge`](crate::Error::TooLarge) where [`Options::max_message`] or [`Options::capacity`] is beyond what the kernel grants. It
    ///   is never reduced.
    /// - [`Error::Unsupported`](crate::Error::Unsupported) where this kernel lacks the mechanism.
    /// - [`Error::Os`](crate::Error::Os) of any other system call that failed.
    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)>;
}

/// One end of a link: moves whole messages, without allocation, dynamic dispatch or a hidden copy.
///
/// - **Framing.** Over a byte stream the receiver's `buffer.len()` is the length of the message, which both sides
///   know. A message mechanism keeps boundaries, and `recv` returns the length. [`SPEC.framing`](Spec::framing) tells
///   which.
/// - **Order.** Messages arrive once and in order. Only a [lossy](crate::Reliability::Lossy) mechanism may drop one.
/// - **Back-pressure.** `send` to a full channel waits by the chosen [`Wait`](crate::Wait). It never drops the
///   message.
/// - **Limits.** A message longer than [`max_message`](Endpoint::max_message) is
///   [`Error::TooLarge`](crate::Error::TooLarge). Nothing is sent, and the channel stays usable.
/// - **Short buffers.** A message longer than the receiver's buffer is `TooLarge`, too. Rings and System V queues keep
///   it for a larger buffer. The kernel drops a datagram. A POSIX queue asks for a buffer of `max_message` bytes in
///   advance (mq_receive(3)).
/// - **Empty messages.** Over a byte stream an empty message is nothing at all: both calls return at once. Message
///   mechanisms carry it.
/// - **Corrupt.** Once a call has returned [`Error::Corrupt`](crate::Error::Corrupt), every later send and receive on
///   this end does, whatever the memory holds by then.
/// - **Interruption.** A signal handler that runs meanwhile (`EINTR`) loses nothing. The call goes on.
/// - **Deadline.** After `TimedOut` the channel is usable. A byte stream may have moved part of the message. Call
///   again with the same message, or the same buffer, and it goes on where it stopped.
/// - **Peer gone.** The other end may be closed in every process, or its process killed. What it had sent can still be
///   received, except what a killed process had in its [custody](crate::Custody). Then `recv` returns
///   [`Error::PeerGone`](crate::Error::PeerGone). So does `send`, at the latest when the channel is full. Where the
///   kernel does not tell, [`liveness`](crate::liveness) does.
///
/// ```
/// use ipc_core::{Channel, Endpoint, Error, Options};
/// use ipc_shm::MmapAnon;
/// use std::time::Duration;
///
/// let (mut a, mut b) = MmapAnon::pair(&Options::default())?;
/// let mut buffer = [0; 64];
///
/// // Boundaries are kept.
/// a.send(b"one")?;
/// a.send(b"and two")?;
/// assert_eq!(b.recv(&mut buffer)?, 3);
/// assert_eq!(b.recv(&mut buffer)?, 7);
///
/// // A deadline is counted from the start of each call.
/// b.set_timeout(Some(Duration::from_millis(5)))?;
/// assert_eq!(b.recv(&mut buffer), Err(Error::TimedOut));
/// b.set_timeout(None)?;
///
/// // What was sent before the end arrives before the end.
/// a.send(b"last")?;
/// drop(a);
/// assert_eq!(b.recv(&mut buffer)?, 4);
/// assert!(b.recv(&mut buffer).is_err_and(|error| error.is_peer_gone()));
/// # Ok::<(), Error>(())
/// ```
pub trait Endpoint: Send {
    /// Sends all of `message`.
    ///
    /// # Errors
    /// `TooLarge`, `TimedOut`, `PeerGone`, `Corrupt` (shared memory only) or `Os`, as the contract above says.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Receives one message into the front of `buffer` and returns its length in bytes.
    ///
    /// # Errors
    /// As for [`send`](Endpoint::send).
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// The longest message that `send` takes, in bytes; `usize::MAX` over a byte stream that needs no room for a whole one.
    fn max_message(&self) -> usize;

    /// Sets the deadline of every following call, counted from the start of the call. `None` waits for as long as the
    /// peer lives, and costs nothing.
    ///
    /// # Errors
    /// `Os` where the mode of a descriptor cannot be changed.
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

    /// The descriptor by which epoll(7) and poll(2) show that a message can be received. It is readable exactly then,
    /// or at the end of the peer. `None` if the mechanism has none, which [`Spec::pollable`] says in advance.
    ///
    /// Use it to wait, and `recv` to receive. [`Spec::peer_death`] says whether the kernel shows the end of the peer.
    /// Other events may be reported as well, for example an error queue.
    ///
    /// ```
    /// use ipc_core::{Channel, Endpoint, Options};
    /// use ipc_pipe::Pipe;
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    ///
    /// let (mut a, b) = Pipe::pair(&Options::default())?;
    /// a.send(b"ping")?;
    /// let descriptor = b.descriptor().expect("pipes are pollable");
    /// let ready = poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], PollTimeout::ZERO);
    /// assert_eq!(ready, Ok(1));
    /// # Ok::<(), ipc_core::Error>(())
    /// ```
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Touches memory that messages will pass through in this process, so that the first use takes no page fault. It
    /// does nothing for mechanisms that lie in the kernel.
    fn prefault(&mut self) {}
}

/// Mechanisms whose sender can write the payload where the channel takes it from.
///
/// - The slice belongs to the endpoint, is aligned to 8 bytes, and is lent for the call only.
/// - The kernel or the peer may read it later, by reference. The endpoint then keeps it untouched until they have. So
///   the caller need never ask when it may be used again. The documentation of each mechanism says how the endpoint
///   knows.
/// - A message is written once. After `TimedOut` there are two cases. If `fill` has not run, nothing was sent. If it
///   has run, which only happens over a byte stream, the message waits. Call again with the same length, and it goes
///   on without running `fill` again.
///
/// ```
/// use ipc_core::{Channel, Endpoint, Options, SendInPlace};
/// use ipc_pipe::Vmsplice;
///
/// let (mut a, mut b) = Vmsplice::pair(&Options::default())?;
/// a.send_with(4096, |message| message.fill(7))?;
/// let mut buffer = [0; 4096];
/// b.recv(&mut buffer)?;
/// assert_eq!(buffer, [7; 4096]);
/// # Ok::<(), ipc_core::Error>(())
/// ```
pub trait SendInPlace: Endpoint {
    /// Sends a message of `len` bytes that `fill` writes straight into the channel. Bytes that `fill` leaves unwritten
    /// are whatever the slot held before.
    ///
    /// # Errors
    /// As for [`Endpoint::send`]. `fill` runs only once there is room in the memory of the channel. `Unsupported` if part of a message that timed
    /// out has gone, and `len` is not its length.
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()>;
}

/// Mechanisms whose payload can also be read where it lies, without a buffer of the caller.
///
/// A correct peer does not touch the slice while it is lent. Where it is shared memory, a hostile peer can change it.
/// Check a copy and not the slot where that matters.
///
/// ```
/// use ipc_core::{Channel, InPlace, Options, SendInPlace};
/// use ipc_shm::Memfd;
///
/// let (mut a, mut b) = Memfd::pair(&Options::default())?;
/// a.send_with(3, |message| message.copy_from_slice(&[1, 2, 3]))?;
/// let sum: u32 = b.recv_with(|message| message.iter().copied().map(u32::from).sum())?;
/// assert_eq!(sum, 6);
/// # Ok::<(), ipc_core::Error>(())
/// ```
pub trait InPlace: SendInPlace {
    /// Receives one message and hands it to `read` where it lies. The room is free again when `read` returns.
    ///
    /// # Errors
    /// As for [`Endpoint::recv`].
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R>;
}

/// Mechanisms that two unrelated processes can reach by name.
///
/// - One process binds and one connects, in either order. Both calls return when the link stands, or
///   [`Error::TimedOut`](crate::Error::TimedOut) after [`Options::timeout`]. `None` is 10 s here.
/// - One connector gets the link. Another one gets `PeerGone`, or goes on waiting for a binder of its own.
/// - The name is gone from the system when both hold the link. What a killed binder leaves, the next one takes over.
/// - Both sides open with the same [`Options`].
///
/// ```
/// use ipc_core::{Endpoint, Error, Name, Options, Rendezvous};
/// use ipc_fifo::Fifo;
/// use std::thread;
///
/// let (name, options) = (Name::new("example-1")?, Options::default());
/// # let name = Name::unique();
/// // Usually another process, which knows the name.
/// let connector = thread::spawn({
///     let name = name.clone();
///     move || Fifo::connect(&name, &options)?.send(b"ping")
/// });
/// let mut end = Fifo::bind(&name, &options)?;
/// let mut buffer = [0; 4];
/// end.recv(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// connector.join().expect("the thread does not panic")?;
/// # Ok::<(), Error>(())
/// ```
pub trait Rendezvous: Channel {
    /// Creates the objects under `name` and waits for a peer.
    ///
    /// # Errors
    /// [`Error::Taken`](crate::Error::Taken) where the name is taken: a file, link or queue that is there already is never opened.
    /// [`Error::TimedOut`](crate::Error::TimedOut) at the deadline. Otherwise as for [`Channel::pair`].
    fn bind(name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Waits for `name` to appear and connects to it.
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::Error::TimedOut) at the deadline. [`Error::Unsupported`](crate::Error::Unsupported) where the object under the
    /// name belongs to another user or is open to others. Otherwise as for [`Channel::pair`].
    fn connect(name: &Name, options: &Options) -> Result<Self::Endpoint>;
}
