//! `posix-mq`: two POSIX message queues.

use crate::sys;
use ipc_core::{
    Attested, Channel, Copies, Custody, Endpoint, Error, Family, Framing, Limit, Name, Options, Reach, Reliability,
    Rendezvous, Result, Setting, Sign, Spec,
    liveness::{Liveness, Meeting},
    objects::{self, Object, Owned},
    spec::kernel_limit,
    stream::set_nonblocking,
    transfer::{check_len, whole},
    wait::{WaitPolicy, Waiter},
    watch::Watch,
};
use nix::{
    mqueue::{MQ_OFlag, MqAttr},
    poll::PollFlags,
    sys::stat::{Mode, SFlag},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// `posix-mq`: two POSIX message queues, one for each direction.
///
/// - **Good for** few, short, urgent messages. They have priorities, and a queue can be polled like a file.
/// - **Bad for** much in flight (ten messages by default) and for messages over 8 KiB. A queue outlives its processes,
///   and does not tell that they have ended.
///
/// The receiver's buffer must have [`max_message`](Endpoint::max_message) bytes, whatever is in the queue. Its ends
/// are [`PosixMqEnd`]s. The kernel does not name the sender of a message. mq_notify(3) names the one whose message
/// arrives in an empty queue, and is not used here. Sources: mq_overview(7), `ipc/mqueue.c`.
///
/// # Meeting by name
///
/// The binder makes the queues. When the two have met and the connector has opened the queues, too, the binder removes
/// their names.
///
/// ```
/// use ipc_msgq::PosixMq;
/// use ipc_msgq::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = PosixMq::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = vec![0; b.max_message()];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_msgq::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PosixMq;

impl Channel for PosixMq {
    const SPEC: Spec = Spec {
        name: "posix-mq",
        summary: "2 POSIX message queues",
        family: Family::MessageQueue,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "2 queues, and 1 socket pair that shows whether the peer lives",
        limit: "fs.mqueue.msgsize_max (8 KiB); fs.mqueue.msg_max (10) messages in flight; RLIMIT_MSGQUEUE for all",
        limits: &[
            Limit::length("bytes in a message", Setting::Sysctl("fs/mqueue/msgsize_max")),
            Limit::in_flight("messages in a queue", Setting::Sysctl("fs/mqueue/msg_max")),
            Limit::amount("queues", Setting::Sysctl("fs/mqueue/queues_max"), libc::ENOSPC),
            Limit::amount("bytes of all queues of a user", Setting::Rlimit("RLIMIT_MSGQUEUE"), libc::EMFILE),
        ],
        ring_messages: 0,
        pollable: true,
        attested_sender: Attested::Nothing,
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the queues tells",
        trust: "mode 0600; another process of the user can open the queues before they are unlinked",
        good_for: "few, short, urgent messages: they have priorities, and a queue can be polled",
        bad_for: "much in flight, messages over 8 KiB, noticing that the peer has ended",
        manual: "mq_overview(7)",
    };
    type Endpoint = PosixMqEnd;

    /// System calls: `mq_open` four times, `mq_getsetattr`, `mq_unlink`; `socketpair`.
    fn pair(options: &Options) -> Result<(PosixMqEnd, PosixMqEnd)> {
        let [there, back] = names(&Name::unique());
        let (there, back) = (Queue::create(there, options)?, Queue::create(back, options)?);
        let (peer_of_a, peer_of_b) = Liveness::pair()?;
        let b = PosixMqEnd::new(there.open()?, back.open()?, peer_of_b, options)?;
        Ok((PosixMqEnd::new(back.opened, there.opened, peer_of_a, options)?, b))
    }
}

/// [`PosixMq`] says how the two sides meet.
impl Rendezvous for PosixMq {
    /// System calls: `mq_open`, `mq_getsetattr` and `mq_unlink` twice; those of [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<PosixMqEnd> {
        let deadline = options.deadline();
        let [there, back] = names(name);
        let (there, back) = (Queue::create(there, options)?, Queue::create(back, options)?);
        let mut peer = Meeting::open(name, Self::SPEC.name)?.accept(deadline)?;
        peer.hear(deadline)?;
        let (inbox, outbox) = (back.opened, there.opened);
        drop((there.named, back.named));
        peer.tell(0)?;
        PosixMqEnd::new(inbox, outbox, peer, options)
    }

    /// System calls: `mq_open` and `mq_getsetattr` twice; those of [`Meeting`].
    fn connect(name: &Name, options: &Options) -> Result<PosixMqEnd> {
        let deadline = options.deadline();
        let mut peer = Meeting::join(name, Self::SPEC.name, deadline)?;
        let [there, back] = names(name);
        let (inbox, outbox) = (peer.or_gone(open(&there))?, peer.or_gone(open(&back))?);
        peer.tell(0)?;
        peer.hear(deadline)?;
        PosixMqEnd::new(inbox, outbox, peer, options)
    }
}

/// What the binder writes to and what it reads from.
fn names(name: &Name) -> [String; 2] {
    ["-there", "-back"].map(|direction| objects::posix_name(name, direction))
}

/// A descriptor of a queue and the longest message that the queue takes, in bytes.
type Opened = (OwnedFd, usize);

/// A queue that has its name still.
struct Queue {
    name: String,
    opened: Opened,
    /// Dropping it removes the name.
    named: Owned,
}

impl Queue {
    /// Makes a queue that nobody else has made, mode 0600, within what the kernel grants an ordinary user.
    fn create(name: String, options: &Options) -> Result<Self> {
        let longest = kernel_limit("/proc/sys/fs/mqueue/msgsize_max", 8192);
        let most = kernel_limit("/proc/sys/fs/mqueue/msg_max", 10);
        // A queue takes no attribute of 0 (mq_open(3)).
        let bytes = options.max_message.unwrap_or(longest).max(1);
        check_len(bytes, longest)?;
        check_len(options.capacity.unwrap_or(0), most * bytes)?;
        let messages = options.capacity.map_or(most, |capacity| capacity.div_ceil(bytes).max(1));
        let attributes = MqAttr::new(0, messages as i64, bytes as i64, 0);
        let ((queue, _), named) = Owned::create(Object::PosixMq(name.clone()), || {
            let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
            sys::open(&name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attributes))
                .map_err(|e| Error::os("mq_open", e))
        })?;
        Ok(Self { name, opened: (queue, bytes), named })
    }

    /// A second descriptor, with a mode of its own.
    fn open(&self) -> Result<Opened> {
        open(&self.name)
    }
}

fn open(name: &str) -> Result<Opened> {
    let (queue, found) = sys::open(name, MQ_OFlag::O_RDWR, Mode::empty(), None).map_err(|e| Error::os("mq_open", e))?;
    objects::check_found(&queue, SFlag::S_IFREG, name)?;
    Ok((queue, found.msgsize() as usize))
}

/// One end of [`PosixMq`]: a queue to receive from and one to send to (mq_send(3), mq_receive(3)).
///
/// Both are open both ways, for the thread that wakes this end when its peer has gone (see [`Watch`]). The thread
/// sends a message of the lowest priority to a receiver that sleeps, and takes a message out for a sender that sleeps.
/// Messages of peers have a higher priority, so all of them are received before that.
#[derive(Debug)]
pub struct PosixMqEnd {
    /// Dropped first: its thread uses the others.
    watch: Option<Watch>,
    inbox: Arc<OwnedFd>,
    outbox: Arc<OwnedFd>,
    peer: Arc<Liveness>,
    policy: WaitPolicy,
    /// The longest message either way, in bytes.
    max: usize,
}

/// The priority of messages.
const MESSAGE: u32 = 1;
/// The priority of what only wakes.
const WAKE: u32 = 0;

impl PosixMqEnd {
    fn new((inbox, max): Opened, (outbox, _): Opened, peer: Liveness, options: &Options) -> Result<Self> {
        check_len(options.max_message.unwrap_or(0), max)?;
        let (inbox, outbox, peer) = (Arc::new(inbox), Arc::new(outbox), Arc::new(peer));
        let mut end = Self { watch: None, inbox, outbox, peer, policy: WaitPolicy::of(options), max };
        end.set_timeout(options.timeout)?;
        Ok(end)
    }

    /// Lets a thread end the sleep of either call when the peer has gone. From then on the queues do not block.
    #[cold]
    fn watch(&mut self) -> Result<()> {
        let (inbox, outbox, max) = (Arc::clone(&self.inbox), Arc::clone(&self.outbox), self.max);
        self.watch = Some(Watch::start(&self.peer, &[self.inbox.as_fd(), self.outbox.as_fd()], move |_| {
            // First the mode: a call that begins after this does not sleep, and one that sleeps already is woken.
            let _ = set_nonblocking(&*inbox, true);
            let _ = set_nonblocking(&*outbox, true);
            let _ = sys::mq_send(&inbox, &[], WAKE);
            let _ = sys::mq_receive(&outbox, &mut vec![0; max]);
        })?);
        Ok(())
    }

    #[inline]
    fn watch_if_it_sleeps(&mut self) -> Result<()> {
        if self.watch.is_none() && self.policy.may_block() { self.watch() } else { Ok(()) }
    }
}

impl Endpoint for PosixMqEnd {
    /// System call: `mq_timedsend`; while the queue is full also `ppoll`, unless the call may block or spins.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        check_len(message.len(), self.max)?;
        self.watch_if_it_sleeps()?;
        let (queue, waiter) = (&self.outbox, Waiter::new(&self.policy, Some(&self.peer)));
        whole("mq_timedsend", queue.as_fd(), PollFlags::POLLOUT, waiter, || sys::mq_send(queue, message, MESSAGE))
    }

    /// System call: `mq_timedreceive`; while the queue is empty also `ppoll`, unless the call may block or spins.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where `buffer` is shorter than [`max_message`](Endpoint::max_message), whatever is in the queue.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        check_len(self.max, buffer.len())?;
        self.watch_if_it_sleeps()?;
        let (queue, waiter) = (&self.inbox, Waiter::new(&self.policy, Some(&self.peer)));
        match whole("mq_timedreceive", queue.as_fd(), PollFlags::POLLIN, waiter, || sys::mq_receive(queue, buffer))? {
            (_, WAKE) => Err(Error::PeerGone { sign: Sign::HangUp }),
            (len, _) => Ok(len),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inbox.as_fd())
    }

    fn max_message(&self) -> usize {
        self.max
    }

    /// System calls: `fcntl(F_GETFL)` and `fcntl(F_SETFL)` on both descriptors.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        // It may be about to change the mode, too. The next call that sleeps starts another.
        self.watch = None;
        self.policy.timeout = timeout;
        for queue in [&self.inbox, &self.outbox] {
            set_nonblocking(&**queue, !self.policy.may_block())?;
        }
        Ok(())
    }
}
