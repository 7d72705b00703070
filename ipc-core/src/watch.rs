//! A thread that notices a dead peer while this process sleeps in a call that cannot.
//!
//! A receiver that sleeps on a queue is not told when the last sender dies. A timed call could look around now and
//! then, but arming the timer costs something in every message. On one core of an AMD EPYC virtual machine with Linux
//! 6.18 it was 4 % of a round trip over a datagram socket and 14 % over a POSIX queue. System V queues have no timed
//! call at all.
//!
//! So the first call of an end that sleeps without a deadline starts a thread. The thread sleeps in poll(2) on the
//! [`Liveness`] socket, and wakes the sleeper when the peer has gone. Messages never meet it, and cost what they would
//! without.
//!
//! Two things would make the thread felt:
//!
//! - The kernel counts references to descriptors as soon as two threads share a table (`fs/file.c`, `__fget_light`): 3
//!   % of a round trip on that machine. So the thread takes a table of its own, with nothing in it but what it needs.
//! - A signal that the process gets must find the sleeping call. So the thread blocks all signals.
//!
//! The thread runs from the first sleep of an end, after the fork, until the end is dropped or gets a deadline. A
//! process with a watch has two threads and cannot [`fork`](crate::process::fork).

use crate::{Error, Result, liveness::Liveness, process};
use libc::STDERR_FILENO;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::SigSet,
    unistd::gettid,
};
use std::{
    fmt,
    io::{PipeReader, PipeWriter, Write, pipe},
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
    sync::{Arc, mpsc},
    thread::{Builder, JoinHandle, sleep, yield_now},
    time::Duration,
};

/// How often it is looked whether a thread that was joined is gone.
const LOOK: Duration = Duration::from_micros(100);

/// The running thread. Dropping it ends it, and returns when it has gone.
pub struct Watch {
    bell: PipeWriter,
    /// Open for as long as the thread may use it; the thread has a descriptor table of its own.
    _stop: Arc<PipeReader>,
    thread: Option<JoinHandle<()>>,
    owner: u32,
    tid: i32,
}

/// What a watch is told through: that it is to end.
#[derive(Debug)]
pub struct Stop(Arc<PipeReader>);

impl Watch {
    const STACK_BYTES: usize = 64 << 10;

    /// Starts a thread that runs `wake` once `peer` is gone.
    ///
    /// The thread can use the descriptors in `keep` and no others. It must not be the last to own one: an owner drops
    /// its watch first.
    ///
    /// System calls: `pipe2`, `clone`. In the thread `rt_sigprocmask`, `close_range`, `poll`.
    ///
    /// # Errors
    /// [`Error::Os`]: `EAGAIN` at the limit of threads, `EMFILE`.
    #[cold]
    pub fn start(
        peer: &Arc<Liveness>,
        keep: &[BorrowedFd<'_>],
        wake: impl FnOnce(&Stop) + Send + 'static,
    ) -> Result<Self> {
        let (reader, bell) = pipe().map_err(|e| Error::io("pipe2", &e))?;
        let stop = Arc::new(reader);
        let mut keep: Vec<_> = keep.iter().map(AsRawFd::as_raw_fd).collect();
        keep.extend([peer.as_fd().as_raw_fd(), stop.as_raw_fd(), STDERR_FILENO]);
        let (told, tid) = mpsc::channel();
        let watch = {
            let (peer, stop) = (Arc::clone(peer), Stop(Arc::clone(&stop)));
            move || {
                let _ = SigSet::all().thread_block();
                // A kernel or a sandbox without close_range leaves the table shared: slower, and just as right.
                let _ = process::keep_only(&mut keep);
                let _ = told.send(gettid().as_raw());
                if stop.or_gone(&peer) {
                    wake(&stop);
                }
            }
        };
        let builder = Builder::new().name("ipc-watch".into()).stack_size(Self::STACK_BYTES);
        let thread = builder.spawn(watch).map_err(|e| Error::io("clone", &e))?;
        let tid = tid.recv().unwrap_or_default();
        Ok(Self { bell, _stop: stop, thread: Some(thread), owner: std::process::id(), tid })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("tid", &self.tid).finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.owner != std::process::id() {
            // A copy in a forked process: the thread is not here.
            return mem::forget(thread);
        }
        // A byte and not the end of the pipe: a forked process may hold a copy of this end.
        let _ = self.bell.write_all(&[0]);
        let _ = thread.join();
        // A thread that was joined can still be listed for a moment, and would keep this process from forking.
        let task = format!("/proc/self/task/{}", self.tid);
        for look in 0..10_000 {
            if !Path::new(&task).exists() {
                break;
            }
            // Its processor may have something else to do.
            if look < 100 { yield_now() } else { sleep(LOOK) }
        }
    }
}

impl Stop {
    /// Waits for `time`, or until the watch is to end; says whether it is.
    pub fn within(&self, time: Duration) -> bool {
        let mut fds = [self.poll_fd()];
        poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)) != Ok(0)
    }

    /// Waits until `peer` is gone, or until the watch is to end; says whether the peer is gone.
    fn or_gone(&self, peer: &Liveness) -> bool {
        let mut fds = [self.poll_fd(), peer.poll_fd()];
        while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
        fds[0].any() == Some(false) && fds[1].any() == Some(true)
    }

    fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(self.0.as_fd(), PollFlags::POLLIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
        time::Instant,
    };

    #[test]
    fn wakes_when_the_peer_goes_and_leaves_no_thread() {
        let (here, there) = Liveness::pair().unwrap();
        let here = Arc::new(here);
        let woken = Arc::new(AtomicBool::new(false));
        let start = || {
            let woken = Arc::clone(&woken);
            Watch::start(&here, &[], move |stop| {
                woken.store(true, Ordering::Release);
                assert!(stop.within(Duration::from_secs(60)));
            })
            .unwrap()
        };
        let watch = start();
        let open = fs::read_dir(format!("/proc/self/task/{}/fd", watch.tid)).unwrap().count();
        assert!(open <= 3, "the thread holds {open} descriptors");
        drop(watch);
        assert!(!woken.load(Ordering::Acquire));
        let watch = start();
        drop(there);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !woken.load(Ordering::Acquire) && Instant::now() < deadline {
            yield_now();
        }
        assert!(woken.load(Ordering::Acquire));
        let tid = watch.tid;
        drop(watch);
        assert!(!Path::new(&format!("/proc/self/task/{tid}")).exists());
    }
}
