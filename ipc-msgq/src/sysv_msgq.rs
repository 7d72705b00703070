//! `sysv-msgq`: two System V message queues.

use crate::sys;
use ipc_core::{
    Attested, Buffer, Channel, Copies, Custody, Endpoint, Error, Family, Framing, Limit, Name, Options, Reach,
    Reliability, Rendezvous, Result, Setting, Sign, Spec, ledger,
    liveness::{Liveness, Meeting},
    objects::{self, Journaled, Object, Owned},
    spec::kernel_limit,
    sysv::{self, Key},
    transfer::check_len,
    wait::{Step, WaitPolicy, Waiter},
    watch::Watch,
};
use nix::{errno::Errno, fcntl::Flock};
use std::{os::fd::OwnedFd, process, sync::Arc, thread::sleep, time::Duration};

/// `sysv-msgq`: two System V message queues, one for each direction.
///
/// - **Good for** programs that use them already. Every Unix has them, and a receiver can pick messages by type.
/// - **Bad for** anything new. A queue is not a descriptor, so it cannot be polled. No call has a deadline. Messages
///   end at 8 KiB by default. A queue stays in the system until somebody removes it.
///
/// The kernel knows the process id of the last sender of a queue (`msg_lspid`, msgctl(2)). Its ends are
/// [`SysvMsgqEnd`]s, which tell about copies, waiting and the removal of queues. Sources: sysvipc(7), msgop(2),
/// `ipc/msg.c`.
///
/// # Meeting by name
///
/// The two sides meet at a socket first. The binder makes queues with random keys and tells the keys, so that the name
/// is free again at once. The connector takes over the journal's entry for the queue that it receives from. So each
/// queue stands under the process that removes it.
///
/// ```
/// use ipc_msgq::SysvMsgq;
/// use ipc_msgq::ipc_core::{Channel, Endpoint, Options};
///
/// let (mut a, mut b) = SysvMsgq::pair(&Options::default())?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 64];
/// let len = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"ping");
/// # Ok::<(), ipc_msgq::ipc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SysvMsgq;

impl Channel for SysvMsgq {
    const SPEC: Spec = Spec {
        name: "sysv-msgq",
        summary: "2 System V message queues",
        family: Family::MessageQueue,
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Named,
        objects: "2 queues, 2 journal entries, and 1 socket pair that shows whether the peer lives",
        limit: "kernel.msgmax (8 KiB); kernel.msgmnb (16 KiB) in flight",
        limits: &[
            Limit::length("bytes in a message", Setting::Sysctl("kernel/msgmax")),
            Limit::length("bytes in a queue", Setting::Sysctl("kernel/msgmnb")),
            Limit::amount("queues", Setting::Sysctl("kernel/msgmni"), libc::ENOSPC),
        ],
        ring_messages: 0,
        pollable: false,
        attested_sender: Attested::Pid("msg_lspid of the queue: its last sender, msgctl(2)"),
        declared_copies: Copies::of(2),
        custody: Custody::Channel,
        peer_death: "nothing; a socket beside the queues tells",
        trust: "mode 0600; every process of the user can take messages out, put some in and remove the queue",
        good_for: "programs that use them already; receivers that pick messages by type",
        bad_for: "deadlines, polling, messages over 8 KiB; queues stay in the system until somebody removes them",
        manual: "sysvipc(7)",
    };
    type Endpoint = SysvMsgqEnd;

    /// System calls: `msgget` and `msgctl` twice; `socketpair`.
    fn pair(options: &Options) -> Result<(SysvMsgqEnd, SysvMsgqEnd)> {
        let (there, back) = (Fresh::create(options)?, Fresh::create(options)?);
        let (peer_of_a, peer_of_b) = Liveness::pair()?;
        let max = max_message(there.id, options)?;
        let (there, back) = (there.release(), back.release());
        let a = SysvMsgqEnd::new(back.clone(), there.clone(), peer_of_a, max, options);
        Ok((a, SysvMsgqEnd::new(there, back, peer_of_b, max, options)))
    }
}

/// [`SysvMsgq`] says how the two sides meet.
impl Rendezvous for SysvMsgq {
    /// System calls: `msgget` and `msgctl` twice; those of [`Meeting`].
    fn bind(name: &Name, options: &Options) -> Result<SysvMsgqEnd> {
        let deadline = options.deadline();
        let meeting = Meeting::open(name, Self::SPEC.name)?;
        let (there, back) = (Fresh::create(options)?, Fresh::create(options)?);
        let max = max_message(there.id, options)?;
        let mut peer = meeting.accept(deadline)?;
        peer.tell(pack([there.key, back.key]))?;
        peer.hear(deadline)?;
        let there = there.disown();
        peer.tell(0)?;
        let mut end = SysvMsgqEnd::new(back.release(), there, peer, max, options);
        end.link.user = process::id();
        Ok(end)
    }

    /// System calls: `msgget` and `msgctl` twice; those of [`Meeting`].
    fn connect(name: &Name, options: &Options) -> Result<SysvMsgqEnd> {
        let deadline = options.deadline();
        let mut peer = Meeting::join(name, Self::SPEC.name, deadline)?;
        let [there, back] = unpack(peer.hear(deadline)?);
        let [inbox, outbox] = [there, back].map(|key| peer.or_gone(sysv::find_queue(key)));
        let (inbox, outbox) = (inbox?, outbox?);
        let max = max_message(inbox, options)?;
        let entry = Journaled::write(Object::SysvQueue(there))?;
        let inbox = Queue { id: inbox, named: Named::Here(entry) };
        let mut end = SysvMsgqEnd::new(inbox, Queue { id: outbox, named: Named::ByPeer(back) }, peer, max, options);
        end.link.user = process::id();
        let peer = Arc::get_mut(&mut end.link.peer).expect("not yet shared with a watch");
        peer.tell(0)?;
        peer.hear(deadline)?;
        Ok(end)
    }
}

/// Two keys, which are positive, in one word.
fn pack([there, back]: [Key; 2]) -> u64 {
    u64::from(there.cast_unsigned()) << 32 | u64::from(back.cast_unsigned())
}

fn unpack(word: u64) -> [Key; 2] {
    [(word >> 32) as u32, word as u32].map(u32::cast_signed)
}

/// The longest message, in bytes: what the kernel lets pass and what the queue can hold.
fn max_message(queue: i32, options: &Options) -> Result<usize> {
    let max = kernel_limit("/proc/sys/kernel/msgmax", 8192).min(sysv::queue_capacity(queue)?);
    check_len(options.max_message.unwrap_or(0), max)?;
    Ok(max)
}

/// A queue that goes again unless it is released.
struct Fresh {
    id: i32,
    key: Key,
    owned: Owned,
}

impl Fresh {
    /// Makes a queue that nobody else has made, mode 0600, within what the kernel grants an ordinary user.
    fn create(options: &Options) -> Result<Self> {
        let key = sysv::fresh_key();
        let (id, owned) = Owned::create(Object::SysvQueue(key), || sysv::create_queue(key))?;
        if let Some(bytes) = options.capacity {
            check_len(bytes, kernel_limit("/proc/sys/kernel/msgmnb", 16_384))?;
            sysv::set_queue_capacity(id, bytes)?;
        }
        Ok(Self { id, key, owned })
    }

    /// The queue, which the ends are to remove.
    fn release(self) -> Queue {
        Queue { id: self.id, named: Named::Here(self.owned.release()) }
    }

    /// The queue, which the peer has in its journal.
    fn disown(self) -> Queue {
        self.owned.disown();
        Queue { id: self.id, named: Named::ByPeer(self.key) }
    }
}

/// A queue as an end knows it.
#[derive(Clone, Debug)]
struct Queue {
    id: i32,
    named: Named,
}

/// Who has a queue in the journal.
#[derive(Clone, Debug)]
enum Named {
    /// This process, or the one that made the pair.
    Here(Journaled),
    /// The peer's process: the queue of this key.
    ByPeer(Key),
}

impl Queue {
    /// Removes the queue, if it is still there. What cannot be removed stays in the journal.
    fn remove(&self) {
        let _ = sysv::remove_queue(self.id);
        let _ = match &self.named {
            Named::Here(entry) => entry.remove(),
            Named::ByPeer(key) => objects::forget(&Object::SysvQueue(*key)),
        };
    }
}

/// One end of [`SysvMsgq`]: a queue to receive from and one to send to (msgop(2)).
///
/// # Copies
///
/// A message has to lie behind its type word. [`send_buffer`](Endpoint::send_buffer) and
/// [`recv_buffer`](Endpoint::recv_buffer) use the headroom of a [`Buffer`] for that, without a copy. `send` and `recv`
/// copy once, through a buffer of the end's own.
///
/// # Waiting
///
/// - [`Wait::Block`](ipc_core::Wait::Block) without a deadline sleeps in `msgsnd` and `msgrcv`. The first such call
///   starts a thread (see [`Watch`]). The thread removes the queues when the peer has gone, which ends the sleep. It
///   removes the queue to send to at once, and the other one when it is empty.
/// - With a deadline the calls do not wait (`IPC_NOWAIT`). Between two attempts the end sleeps, from 20 µs, doubling
///   up to 1 ms. System V has no timed receive, so a deadline adds up to 1 ms of latency.
/// - `Spin` and `Hybrid` repeat calls that do not wait. `Hybrid` without a deadline then sleeps as `Block` does.
///
/// # Removal of a queue
///
/// A queue has no last close, so the ends have to remove it.
///
/// - An end that was used removes the queue that it received from when it is dropped. Nobody will read that one any
///   more, and its sender gets `EIDRM`. The other queue stays for the peer to empty.
/// - An end that finds the other closed in every process removes both.
/// - A copy that was never used and has a living peer touches nothing. A supervisor drops such copies after it has
///   forked. If it keeps both until its children have ended, it then removes what they left.
/// - What nobody could remove, because all were killed, is in the journal for
///   [`objects::sweep`](ipc_core::objects::sweep).
#[derive(Debug)]
pub struct SysvMsgqEnd {
    link: Link,
    scratch: Buffer,
}

#[derive(Debug)]
struct Link {
    /// Dropped first: its thread uses the others.
    watch: Option<Watch>,
    inbox: Queue,
    outbox: Queue,
    peer: Arc<Liveness>,
    /// Dropped after `peer`: see [`Link::drop`].
    turnstile: Option<Flock<OwnedFd>>,
    policy: WaitPolicy,
    /// The longest message, in bytes.
    max: usize,
    /// The process that has used this end, or 0.
    user: u32,
}

impl SysvMsgqEnd {
    fn new(inbox: Queue, outbox: Queue, peer: Liveness, max: usize, options: &Options) -> Self {
        let (peer, policy) = (Arc::new(peer), WaitPolicy::of(options));
        let link = Link { watch: None, inbox, outbox, peer, turnstile: None, policy, max, user: 0 };
        Self { link, scratch: Buffer::new(max) }
    }
}

/// The first and the longest sleep between two attempts that do not wait.
const NAP: [Duration; 2] = [Duration::from_micros(20), Duration::from_millis(1)];

impl Link {
    /// Sends the text behind the type word in `framed`.
    #[inline]
    fn send(&mut self, framed: &mut [u8]) -> Result<()> {
        check_len(framed.len() - sys::TYPE_BYTES, self.max)?;
        let id = self.outbox.id;
        self.transfer("msgsnd", |flags| sys::msgsnd(id, framed, flags))
    }

    /// Receives a type word and text into `framed`, and returns the length of the text.
    #[inline]
    fn recv(&mut self, framed: &mut [u8]) -> Result<usize> {
        let id = self.inbox.id;
        self.transfer("msgrcv", |flags| sys::msgrcv(id, framed, flags))
    }

    /// Repeats `attempt`, which takes the call's flags, until a message has moved.
    #[inline]
    fn transfer<T>(&mut self, call: &'static str, mut attempt: impl FnMut(i32) -> nix::Result<T>) -> Result<T> {
        if self.user == 0 {
            self.user = process::id();
        }
        let mut blocks = self.policy.may_block();
        if blocks && self.watch.is_none() {
            self.watch = Some(watch(&self.peer, self.inbox.id, self.outbox.id)?);
        }
        let mut waiter = Waiter::new(&self.policy, Some(&self.peer));
        let mut nap = NAP[0];
        loop {
            ledger::call();
            match attempt(if blocks { 0 } else { libc::IPC_NOWAIT }) {
                Ok(done) => return Ok(done),
                Err(Errno::ENOMSG | Errno::EAGAIN) => match waiter.step()? {
                    Step::Retry => {}
                    Step::Sleep(Some(left)) => {
                        ledger::call();
                        sleep(nap.min(left));
                        nap = (nap * 2).min(NAP[1]);
                    }
                    Step::Sleep(None) => {
                        if self.watch.is_none() {
                            self.watch = Some(watch(&self.peer, self.inbox.id, self.outbox.id)?);
                        }
                        blocks = true;
                    }
                },
                Err(Errno::EINTR) => {}
                // The length is right and the queue was there: it has been removed (msgop(2)).
                Err(errno @ Errno::EINVAL) => return Err(Error::PeerGone { sign: Sign::Errno(errno) }),
                Err(errno) => return Err(Error::os(call, errno)),
            }
        }
    }

    /// The error of `recv` into `room` bytes for a longer message, which stays in the queue. A copy of the message tells its
    /// length (`MSG_COPY`, in kernels that can checkpoint). Nothing else does.
    #[cold]
    fn too_large(&self, room: usize) -> Error {
        let mut copy = Buffer::new(self.max);
        let flags = libc::MSG_COPY | libc::IPC_NOWAIT;
        let len = sys::msgrcv(self.inbox.id, copy.with_headroom(), flags).unwrap_or(self.max);
        Error::TooLarge { len, max: room }
    }
}

/// How often the watch asks whether the queue of a dead peer has been emptied.
const DRAIN_CHECK: Duration = Duration::from_millis(1);

/// Lets a thread end the sleep of either call when the peer has gone, by removing the queues.
#[cold]
fn watch(peer: &Arc<Liveness>, inbox: i32, outbox: i32) -> Result<Watch> {
    Watch::start(peer, &[], move |stop| {
        let _ = sysv::remove_queue(outbox);
        // A receiver sleeps only where nothing is left to receive.
        while sysv::queue_length(inbox).is_ok_and(|messages| messages > 0) {
            if stop.within(DRAIN_CHECK) {
                return;
            }
        }
        let _ = sysv::remove_queue(inbox);
    })
}

impl Drop for Link {
    /// The rules are at [`SysvMsgqEnd`].
    fn drop(&mut self) {
        self.watch = None;
        // Two ends that are dropped in two processes at once must not each find the other still there: one at a time looks
        // and then closes its end of the socket, which it does before the lock goes.
        self.turnstile = [&self.inbox, &self.outbox].into_iter().find_map(|queue| match &queue.named {
            Named::Here(entry) => entry.lock(),
            Named::ByPeer(_) => None,
        });
        let alone = self.peer.is_gone().unwrap_or(false);
        if alone || self.user == process::id() {
            self.inbox.remove();
        }
        if alone {
            self.outbox.remove();
        }
    }
}

impl Endpoint for SysvMsgqEnd {
    /// System call: `msgsnd`; see above for a queue that is full. Copies the message once.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        check_len(message.len(), self.link.max)?;
        ledger::copy(&mut self.scratch[..message.len()], message);
        self.link.send(&mut self.scratch.with_headroom()[..sys::TYPE_BYTES + message.len()])
    }

    /// System call: `msgrcv`; see above for a queue that is empty. Copies the message once.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let room = buffer.len().min(self.link.max);
        match self.link.recv(&mut self.scratch.with_headroom()[..sys::TYPE_BYTES + room]) {
            Ok(len) => {
                ledger::copy(&mut buffer[..len], &self.scratch[..len]);
                Ok(len)
            }
            Err(Error::Os { source: Errno::E2BIG, .. }) => Err(self.link.too_large(room)),
            Err(error) => Err(error),
        }
    }

    fn max_message(&self) -> usize {
        self.link.max
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.link.policy.timeout = timeout;
        Ok(())
    }

    /// System call: `msgsnd`. Copies nothing.
    #[inline]
    fn send_buffer(&mut self, message: &mut Buffer) -> Result<()> {
        self.link.send(message.with_headroom())
    }

    /// System call: `msgrcv`. Copies nothing.
    #[inline]
    fn recv_buffer(&mut self, buffer: &mut Buffer) -> Result<usize> {
        match self.link.recv(buffer.with_headroom()) {
            Err(Error::Os { source: Errno::E2BIG, .. }) => Err(self.link.too_large(buffer.len())),
            received => received,
        }
    }
}
