//! Whether a call returns at its deadline, on a machine that may be busy.

use crate::Verdict;
use std::{fs, time::Duration};

/// Nanoseconds that the calling thread was on a processor, nanoseconds on a run queue, turns
/// (Documentation/scheduler/sched-stats.rst).
const COUNTS: &str = "/proc/thread-self/schedstat";
/// How often a call is tried whose time proves nothing.
const TRIES: usize = 20;

/// Checks that a call which can only wait for its deadline of `timeout` returns at that deadline.
///
/// `attempt` makes the call in the calling thread, and returns how long it took. The call may never return early. It may return
/// at most 10 ms and a tenth of `timeout` late.
///
/// A busy machine holds up calls as well. So the time of a call is compared with the time that its thread stood on a run queue,
/// which the kernel counts. The rest is the call's own time. An attempt proves one of four things:
///
/// | what the call took | it proves |
/// |---|---|
/// | less than `timeout` | early |
/// | too long, even without its time on the run queue | late |
/// | at least `timeout` without its time on the run queue, and not too long with it | on time |
/// | anything else | nothing |
///
/// The first attempt that is early or on time decides. Up to 20 attempts are made. The call is late if none of them is on time and
/// most are late: a virtual machine can lose time that its kernel does not count. If most prove nothing, the check passes and says
/// so on stderr.
///
/// A kernel without `/proc/thread-self/schedstat` (`CONFIG_SCHED_INFO`) leaves only the time itself. The error says so, since a busy
/// machine then looks like a late call.
///
/// # Errors
/// The error of `attempt`, or how early or late the call was.
pub fn on_time(what: &str, timeout: Duration, mut attempt: impl FnMut() -> Result<Duration, String>) -> Verdict {
    let counts = on_run_queue().is_some();
    let mut late = Vec::new();
    for _ in 0..TRIES {
        let before = on_run_queue().unwrap_or_default();
        let took = attempt()?;
        let queued = on_run_queue().unwrap_or_default().saturating_sub(before);
        match Proof::of(took, queued, timeout) {
            Proof::Early => {
                return Err(format!("{what} with a deadline of {timeout:?} returned after {took:?}: early"));
            }
            Proof::OnTime => return Ok(()),
            Proof::Late(own) => late.push(own),
            Proof::Nothing => {}
        }
    }
    match late.iter().min() {
        Some(best) if late.len() > TRIES / 2 => Err(format!(
            "{what} with a deadline of {timeout:?} took {best:?} at best: late {} of {TRIES} times{}",
            late.len(),
            if counts {
                ""
            } else {
                "; this kernel does not count time on run queues, so the machine may just be busy"
            },
        )),
        _ => {
            eprintln!("{what} with a deadline of {timeout:?}: {TRIES} attempts on this busy machine prove nothing");
            Ok(())
        }
    }
}

/// What one attempt proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Early,
    OnTime,
    /// How long it took without its time on the run queue.
    Late(Duration),
    Nothing,
}

impl Proof {
    /// Of a call with a deadline of `timeout` that took `took`, of which its thread was `queued` on a run queue.
    fn of(took: Duration, queued: Duration, timeout: Duration) -> Self {
        let latest = timeout + timeout / 10 + Duration::from_millis(10);
        let own = took.saturating_sub(queued);
        if took < timeout {
            Self::Early
        } else if own > latest {
            Self::Late(own)
        } else if own >= timeout && took <= latest {
            Self::OnTime
        } else {
            Self::Nothing
        }
    }
}

/// How long the calling thread has been able to run and did not, since it began. `None` where the kernel does not count it.
fn on_run_queue() -> Option<Duration> {
    let counts = fs::read_to_string(COUNTS).ok()?;
    counts.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        sched::{CpuSet, sched_getaffinity, sched_setaffinity},
        unistd::Pid,
    };
    use std::{
        path::Path,
        thread::{self, sleep},
        time::Instant,
    };

    const TIMEOUT: Duration = Duration::from_millis(10);

    fn sleeping(time: Duration) -> Verdict {
        on_time("sleep", TIMEOUT, || {
            let began = Instant::now();
            sleep(time);
            Ok(began.elapsed())
        })
    }

    #[test]
    fn an_attempt_proves_what_the_run_queue_does_not_explain() {
        let proof = |took, queued| Proof::of(Duration::from_millis(took), Duration::from_millis(queued), TIMEOUT);
        assert_eq!(proof(9, 0), Proof::Early);
        assert_eq!(proof(9, 5), Proof::Early);
        assert_eq!(proof(10, 0), Proof::OnTime);
        assert_eq!(proof(21, 0), Proof::OnTime);
        assert_eq!(proof(21, 11), Proof::OnTime);
        assert_eq!(proof(22, 0), Proof::Late(Duration::from_millis(22)));
        assert_eq!(proof(40, 18), Proof::Late(Duration::from_millis(22)));
        // Late, or held up.
        assert_eq!(proof(40, 19), Proof::Nothing);
        // On time, or early and then held up.
        assert_eq!(proof(15, 6), Proof::Nothing);
        assert_eq!(proof(10, 1), Proof::Nothing);
    }

    #[test]
    fn a_call_that_is_late_or_early_is_found() {
        assert_eq!(sleeping(TIMEOUT), Ok(()));
        assert!(sleeping(3 * TIMEOUT).is_err_and(|why| why.contains(": late ")));
        let early = on_time("nothing", TIMEOUT, || Ok(TIMEOUT / 2));
        assert!(early.is_err_and(|why| why.contains(": early")));
    }

    #[test]
    fn a_thread_that_shares_its_processor_stands_on_the_run_queue() {
        let Some(before) = on_run_queue() else {
            assert!(!Path::new(COUNTS).exists());
            return;
        };
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).unwrap();
        let mut one = CpuSet::new();
        one.set((0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).unwrap()).unwrap();
        sched_setaffinity(this, &one).unwrap();
        let (time, others) = (10 * TIMEOUT, 3);
        let until = Instant::now() + time;
        let spin = || while Instant::now() < until {};
        // A thread inherits the processors of the one that starts it (sched_setaffinity(2)).
        thread::scope(|scope| {
            (0..others).for_each(|_| drop(scope.spawn(spin)));
            spin();
        });
        // Three quarters of the time, and on a busy machine more.
        assert!(on_run_queue() > Some(before + time / 2), "{before:?}, {:?}", on_run_queue());
    }
}
