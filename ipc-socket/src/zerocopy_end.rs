//! The end of a connected stream socket that sends by reference.

use crate::{
    slots::{PAGE, Slots},
    socket::set_patience,
};
use ipc_core::{
    Endpoint, Error, Options, Result, SendInPlace, Sign,
    corruption::Corruption,
    ledger,
    spec::kernel_limit,
    transfer::check_same,
    wait::{Step, WaitPolicy, Waiter},
};
use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        resource::{Resource, getrlimit},
        socket::{ControlMessageOwned, MsgFlags, recv, recvmsg, send},
        time::TimeSpec,
    },
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// Room for messages of this length, in bytes, where [`Options::max_message`] does not say.
const DEFAULT_MESSAGE: usize = 64 << 10;

/// Payload left in place (send(2)).
const BY_REFERENCE: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);

/// What the libc crate lacks of `linux/errqueue.h`.
const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;

/// One end of [`TcpZerocopy`](crate::TcpZerocopy): a connected stream socket with `SO_ZEROCOPY` (send(2), recv(2)).
///
/// - [`send_with`](SendInPlace::send_with) lends a slot of a pool. The slot stays as it is until the kernel has
///   notified that it reads it no more. [`send`](Endpoint::send) first copies the message into a slot.
/// - The end reads notifications from the error queue of the socket when the pool is used up. It waits for one if none
///   has come.
/// - The pool has 128 slots if they take no more than 8 MiB, and at least two. Slots have [`Options::max_message`]
///   bytes, 64 KiB by default. The first longer message makes a larger pool. Only used slots take memory.
/// - Memory whose notification has not come counts towards `RLIMIT_MEMLOCK`, of all processes of the user together.
#[derive(Debug)]
pub struct ZerocopyEnd {
    socket: OwnedFd,
    slots: Slots,
    /// The message that is being sent; `None` between messages.
    message: Option<Message>,
    /// Bytes received of a message that a deadline interrupted, and its length.
    received: usize,
    receiving: usize,
    /// The most that one call sends, where the system's limits allow no more.
    piece: usize,
    /// Where notifications are read to.
    notification: Vec<u8>,
    completions: Completions,
    corruption: Corruption,
    policy: WaitPolicy,
    /// Added to the flags of a call's second attempt and those after it.
    later: MsgFlags,
}

/// A message in a slot, and how much of it the kernel has taken.
#[derive(Clone, Copy, Debug)]
struct Message {
    slot: usize,
    len: usize,
    sent: usize,
}

/// What the kernel has notified an end of, as far as the end has read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// Sends that are done. A message is one send, unless the kernel took it in pieces.
    pub sends: u64,
    /// Those of them whose payload it copied all the same (`SO_EE_CODE_ZEROCOPY_COPIED`).
    pub copied: u64,
}

impl ZerocopyEnd {
    /// Makes an end of a connected socket.
    pub(crate) fn new(socket: OwnedFd, options: &Options) -> Result<Self> {
        let policy = WaitPolicy::of(options);
        let later = set_patience(&socket, &policy)?;
        Ok(Self {
            socket,
            slots: Slots::new(options.max_message.unwrap_or(DEFAULT_MESSAGE))?,
            message: None,
            received: 0,
            receiving: 0,
            piece: usize::MAX,
            notification: cmsg_space!(libc::sock_extended_err, libc::sockaddr_in),
            completions: Completions::default(),
            corruption: Corruption::default(),
            policy,
            later,
        })
    }

    /// What the kernel has notified of so far. Notifications are read when the pool is used up, and before a sleep.
    pub fn completions(&self) -> Completions {
        self.completions
    }

    /// The message that a deadline interrupted, if there is one: this call, for `len` bytes, is to go on with it.
    #[inline]
    fn interrupted(&mut self, len: usize) -> Result<Option<Message>> {
        match self.message {
            None => Ok(None),
            Some(message) => self.go_on(message, len),
        }
    }

    #[cold]
    fn go_on(&mut self, message: Message, len: usize) -> Result<Option<Message>> {
        if message.len == len {
            return Ok(Some(message));
        }
        check_same("send", message.sent, message.len, len)?;
        self.finish(message.slot);
        Ok(None)
    }

    /// Sends a message of `len` bytes that `fill` writes into a slot.
    #[inline]
    fn start(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), waiter: &mut Waiter<'_>) -> Result<()> {
        if len == 0 {
            fill(self.slots.bytes(0, 0));
            return Ok(());
        }
        self.slots.fit(len)?;
        let slot = self.vacant_slot(waiter)?;
        fill(self.slots.bytes(slot, len));
        self.slots.hold(slot);
        self.message = Some(Message { slot, len, sent: 0 });
        self.flush(waiter)
    }

    /// Sends what is left of the message.
    #[inline]
    fn flush(&mut self, waiter: &mut Waiter<'_>) -> Result<()> {
        let mut flags = MsgFlags::MSG_NOSIGNAL | BY_REFERENCE;
        while let Some(Message { slot, len, sent }) = self.message {
            if sent == len {
                self.finish(slot);
                break;
            }
            let piece = self.piece.min(len - sent);
            ledger::call();
            match send(self.socket.as_raw_fd(), &self.slots.bytes(slot, len)[sent..][..piece], flags) {
                Ok(n) => {
                    self.slots.enter(slot);
                    self.message = Some(Message { slot, len, sent: sent + n });
                }
                Err(Errno::EAGAIN) => self.ready(waiter, PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => self.await_room(waiter, piece)?,
                Err(errno) => {
                    self.finish(slot);
                    return Err(Error::os("send", errno));
                }
            }
            flags |= self.later;
        }
        Ok(())
    }

    /// There is no message any more, sent or not.
    #[inline]
    fn finish(&mut self, slot: usize) {
        self.slots.release(slot);
        self.message = None;
    }

    /// A slot that the kernel no longer reads, once there is one.
    #[inline]
    fn vacant_slot(&mut self, waiter: &mut Waiter<'_>) -> Result<usize> {
        loop {
            match self.slots.vacant() {
                Some(slot) => return Ok(slot),
                None => self.await_notification(waiter)?,
            }
        }
    }

    /// Reads a notification, or waits for one where there is none.
    #[cold]
    fn await_notification(&mut self, waiter: &mut Waiter<'_>) -> Result<()> {
        if self.read_notification()? {
            return Ok(());
        }
        match waiter.step()? {
            Step::Retry => Ok(()),
            // An unread notification is an error to poll(2), which need not be asked for.
            Step::Sleep(left) => self.sleep(PollFlags::empty(), left),
        }
    }

    /// Waits after `ENOBUFS` for a send of `piece` bytes until a retry makes sense: until memory is free that notifications
    /// hold, or with less to send at once.
    #[cold]
    fn await_room(&mut self, waiter: &mut Waiter<'_>, piece: usize) -> Result<()> {
        if self.slots.is_any_out() {
            return self.await_notification(waiter);
        }
        if piece > PAGE {
            self.piece = (piece / 2).next_multiple_of(PAGE);
            return Ok(());
        }
        let memory = getrlimit(Resource::RLIMIT_MEMLOCK).map_or_else(|_| "?".into(), |(soft, _)| soft.to_string());
        let records = kernel_limit("/proc/sys/net/core/optmem_max", 0);
        let why = format!(
            "ENOBUFS for {piece} bytes and nothing else on its way: the user's processes together have all the locked memory that \
             they may (RLIMIT_MEMLOCK, {memory} bytes; 3 pages are needed), or net.core.optmem_max ({records} bytes) has no room \
             for a notification (some 600)"
        );
        Err(Error::Unsupported { what: "send", why })
    }

    /// Says what to do after an attempt that would have blocked, and sleeps until the socket has one of `events`.
    #[cold]
    fn ready(&mut self, waiter: &mut Waiter<'_>, events: PollFlags) -> Result<()> {
        let Step::Sleep(left) = waiter.step()? else { return Ok(()) };
        // Unread notifications would end the sleep at once, and again.
        while self.slots.is_any_out() && self.read_notification()? {}
        self.sleep(events, left)
    }

    /// Sleeps until the socket has one of `events`, a notification or an error.
    fn sleep(&self, events: PollFlags, left: Option<Duration>) -> Result<()> {
        ledger::call();
        match ppoll(&mut [PollFd::new(self.socket.as_fd(), events)], left.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Error::os("ppoll", errno)),
        }
    }

    /// Takes a notification from the socket's error queue, and says whether there was one. System call: `recvmsg`.
    fn read_notification(&mut self) -> Result<bool> {
        ledger::call();
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let read = match recvmsg::<()>(self.socket.as_raw_fd(), &mut [], Some(&mut self.notification), flags) {
            Ok(read) => read,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(Error::os("recvmsg", errno)),
        };
        for message in read.cmsgs().map_err(|e| Error::os("recvmsg", e))? {
            if let ControlMessageOwned::Ipv4RecvErr(notified, _) = message
                && notified.ee_origin == SO_EE_ORIGIN_ZEROCOPY
            {
                let sends = self.slots.settle(notified.ee_info, notified.ee_data)?;
                self.completions.sends += sends;
                if notified.ee_code & SO_EE_CODE_ZEROCOPY_COPIED != 0 {
                    self.completions.copied += sends;
                }
            }
        }
        Ok(true)
    }
}

impl Endpoint for ZerocopyEnd {
    /// System call: `send`; where the pool is used up, about each 128th time, also `recvmsg`, and `ppoll` while nothing has
    /// arrived; while the buffer is full also `ppoll`, unless the call may block or spins.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.corruption.check()?;
        let mut waiter = Waiter::new(&self.policy, None);
        let sent = match self.interrupted(message.len())? {
            Some(Message { slot, len, sent }) => {
                // What nobody reads yet is as the caller has it now, as over any byte stream.
                ledger::copy(&mut self.slots.bytes(slot, len)[sent..], &message[sent..]);
                self.flush(&mut waiter)
            }
            None => self.start(message.len(), |slot| ledger::copy(slot, message), &mut waiter),
        };
        self.corruption.keep(sent)
    }

    /// System call: `recv`; while nothing is there also `ppoll`, unless the call may block or spins, after a `recvmsg` for each
    /// notification of what this end has sent.
    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.corruption.check()?;
        check_same("recv", self.received, self.receiving, buffer.len())?;
        self.receiving = buffer.len();
        let mut waiter = Waiter::new(&self.policy, None);
        let mut flags = MsgFlags::empty();
        while self.received < buffer.len() {
            ledger::call();
            match recv(self.socket.as_raw_fd(), &mut buffer[self.received..], flags) {
                Ok(0) => return Err(Error::PeerGone { sign: Sign::EndOfFile }),
                Ok(n) => self.received += n,
                Err(Errno::EAGAIN) => {
                    let ready = self.ready(&mut waiter, PollFlags::POLLIN);
                    self.corruption.keep(ready)?;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os("recv", errno)),
            }
            flags |= self.later;
        }
        self.received = 0;
        Ok(buffer.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    /// System calls: `fcntl(F_GETFL)`, `fcntl(F_SETFL)`, `setsockopt` twice.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.policy.timeout = timeout;
        self.later = set_patience(&self.socket, &self.policy)?;
        Ok(())
    }

    /// System call: `madvise`.
    fn prefault(&mut self) {
        self.slots.populate();
    }
}

impl SendInPlace for ZerocopyEnd {
    /// A call that goes on with a message that timed out does not fill it again. System calls: as
    /// [`send`](Endpoint::send).
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.corruption.check()?;
        let mut waiter = Waiter::new(&self.policy, None);
        let sent = match self.interrupted(len)? {
            Some(_) => self.flush(&mut waiter),
            None => self.start(len, fill, &mut waiter),
        };
        self.corruption.keep(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpZerocopy;
    use ipc_core::Channel;

    #[test]
    fn books_that_do_not_match_are_corrupt_for_good() {
        let options = Options { timeout: Some(Duration::from_millis(200)), ..Options::default() };
        let (mut a, mut b) = TcpZerocopy::pair(&options).unwrap();
        let mut pass = |a: &mut ZerocopyEnd| a.send(&[1; 64]).and_then(|()| b.recv(&mut [0; 64]));
        (0..10).for_each(|_| assert_eq!(pass(&mut a), Ok(64)));
        // The kernel goes on to number from 10, and these books begin at 0.
        a.slots = Slots::new(DEFAULT_MESSAGE).unwrap();
        let found = (0..1000).find_map(|_| pass(&mut a).err());
        assert!(matches!(found, Some(Error::Corrupt { .. })), "{found:?}");
        for _ in 0..2 {
            assert_eq!(a.send(&[1; 64]).err(), found);
            assert_eq!(a.send_with(64, |_| panic!("filled")).err(), found);
            assert_eq!(a.recv(&mut [0; 64]).err(), found);
        }
    }
}
