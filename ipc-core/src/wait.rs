//! Waiting by any [`Wait`] strategy, with a deadline and an eye on the peer.
//!
//! A mechanism tries; where the attempt would block it asks its [`Waiter`] what to do next. Nothing here runs on the path
//! of an attempt that succeeds.

use crate::{Error, Options, Result, Sign, Wait, ledger, liveness::Liveness};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// How an endpoint waits: the part of [`Options`] that it keeps.
#[derive(Clone, Copy, Debug)]
pub struct WaitPolicy {
    /// The strategy.
    pub wait: Wait,
    /// How long [`Wait::Hybrid`] polls.
    pub spin: Duration,
    /// The deadline of a call, from its start.
    pub timeout: Option<Duration>,
}

impl WaitPolicy {
    /// The part of `options` that is about waiting.
    pub fn of(options: &Options) -> Self {
        Self { wait: options.wait, spin: options.spin, timeout: options.timeout }
    }

    /// Whether system calls may block by themselves: only where nothing else has to be looked at meanwhile.
    pub fn may_block(&self) -> bool {
        self.wait == Wait::Block && self.timeout.is_none()
    }
}

/// What to do after an attempt that would have blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try again at once.
    Retry,
    /// Sleep until something may have changed, for at most this long (`None`: no limit), then try again.
    Sleep(Option<Duration>),
}

/// One call's wait, from its first attempt to its last.
#[derive(Debug)]
pub struct Waiter<'a> {
    policy: WaitPolicy,
    peer: Option<&'a Liveness>,
    polling: bool,
    polls: u32,
    /// When the wait began. Without a deadline the clock is first read after some polls: one read is a good part of a
    /// round trip through shared memory.
    started: Option<Instant>,
    looked_at_peer: Option<Instant>,
    gone: bool,
}

/// Polls between two looks at the clock. A poll can be a system call that copies a message in before it finds no room.
const POLLS: u32 = 256;
/// Polls between two looks at the clock while a bounded spin runs, which has to end in time.
const HYBRID_POLLS: u32 = 64;
/// How often an end that sleeps with a deadline asks whether its peer lives, where the kernel does not tell it. Without a
/// deadline it need not ask: a [`Watch`](crate::watch::Watch) wakes it.
pub const PEER_CHECK: Duration = Duration::from_millis(20);
/// How often an end that polls asks whether its peer lives. A look is one system call, so it costs less than a
/// thousandth of the time.
const PEER_POLL: Duration = Duration::from_millis(1);

impl<'a> Waiter<'a> {
    /// The wait of a call that begins now. `peer` is given by mechanisms whose kernel objects outlive a dead peer.
    #[inline]
    pub fn new(policy: &WaitPolicy, peer: Option<&'a Liveness>) -> Self {
        Self {
            policy: *policy,
            peer,
            polling: policy.wait != Wait::Block,
            polls: 0,
            started: policy.timeout.map(|_| Instant::now()),
            looked_at_peer: None,
            gone: false,
        }
    }

    /// Says what to do after an attempt that would have blocked.
    ///
    /// # Errors
    /// [`Error::TimedOut`] past the deadline. [`Error::PeerGone`] if the peer was found dead and one more attempt after that found nothing
    /// either.
    #[inline]
    pub fn step(&mut self) -> Result<Step> {
        if self.polling {
            std::hint::spin_loop();
            self.polls = self.polls.wrapping_add(1);
            let every = if self.policy.wait == Wait::Spin { POLLS } else { HYBRID_POLLS };
            if !self.polls.is_multiple_of(every) && !self.gone {
                return Ok(Step::Retry);
            }
        }
        self.look_around()
    }

    #[cold]
    fn look_around(&mut self) -> Result<Step> {
        if self.gone {
            return Err(Error::PeerGone { sign: Sign::HangUp });
        }
        let now = Instant::now();
        let waited = now - *self.started.get_or_insert(now);
        let left = self.policy.timeout.map(|timeout| timeout.saturating_sub(waited));
        if left == Some(Duration::ZERO) {
            return Err(Error::TimedOut);
        }
        if let Some(peer) = self.peer {
            match self.looked_at_peer {
                // A sleep that brought nothing: perhaps the watch ended it. Polling, it is too early to ask again.
                Some(last) if !self.polling || now - last >= PEER_POLL => {
                    self.looked_at_peer = Some(now);
                    // Once more after this: the peer may have sent its last message between our attempt and its end.
                    self.gone = peer.is_gone()?;
                }
                Some(_) => {}
                None => self.looked_at_peer = Some(now),
            }
        }
        self.polling &= self.policy.wait == Wait::Spin || waited < self.policy.spin;
        Ok(if self.polling || self.gone { Step::Retry } else { Step::Sleep(left) })
    }

    /// Waits as [`step`](Waiter::step) says, for mechanisms that wait on a descriptor. It sleeps in ppoll(2) until `fd`
    /// has one of `events` or the peer is gone. Call it after `EAGAIN`.
    ///
    /// # Errors
    /// As [`step`](Waiter::step). [`Error::Os`] of `ppoll`.
    pub fn ready(&mut self, fd: BorrowedFd<'_>, events: PollFlags) -> Result<()> {
        let Step::Sleep(left) = self.step()? else { return Ok(()) };
        let mut fds = [PollFd::new(fd, events), PollFd::new(fd, PollFlags::empty())];
        let fds = match self.peer {
            Some(peer) => {
                fds[1] = peer.poll_fd();
                &mut fds[..]
            }
            None => &mut fds[..1],
        };
        ledger::call();
        match ppoll(fds, left.map(TimeSpec::from_duration), None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(Error::os("ppoll", errno)),
        }
        self.gone |= self.peer.is_some() && fds[1].revents().is_some_and(|r| !r.is_empty());
        Ok(())
    }

    /// The longest a call may sleep before it must take another look, for mechanisms that cannot sleep on their object
    /// and on the peer at once.
    pub fn slice(left: Option<Duration>) -> Duration {
        left.map_or(PEER_CHECK, |left| left.min(PEER_CHECK))
    }
}
