//! Deadlines that do not count the time in which this process was stopped.
//!
//! A process can be stopped by Ctrl-Z, `SIGSTOP` or a frozen control group. All its deadlines would have passed when
//! it goes on. So a wait with a [`Deadline`] looks at it at least every [`SLICE`]. If far more than that has passed
//! since the last look, this process did not run, and only one slice counts. The monotonic clock leaves out the time
//! in which the machine itself is suspended (clock_gettime(2)).
//!
//! A figure that was measured meanwhile is void. [`missed`] tells.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long a wait may sleep between two looks at its deadline.
pub const SLICE: Duration = Duration::from_millis(100);
/// A process that takes longer between two looks did not run. A busy machine delays a look by some milliseconds.
const GAP: Duration = Duration::from_millis(300);

static MISSED_NS: AtomicU64 = AtomicU64::new(0);

/// How long this process did not run, as far as its deadlines have noticed. A measurement during which this grows
/// contains a stop.
pub fn missed() -> Duration {
    Duration::from_nanos(MISSED_NS.load(Ordering::Relaxed))
}

/// A point in time that moves on by as long as this process is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    left: Duration,
    looked: Instant,
}

impl Deadline {
    /// The deadline that is `limit` away.
    pub fn after(limit: Duration) -> Self {
        Self { left: limit, looked: Instant::now() }
    }

    /// The time that is left; zero once the deadline has passed.
    pub fn left(&mut self) -> Duration {
        let missed = self.look(Instant::now());
        if !missed.is_zero() {
            MISSED_NS.fetch_add(u64::try_from(missed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.left
    }

    /// Whether the deadline has passed.
    pub fn has_passed(&mut self) -> bool {
        self.left().is_zero()
    }

    /// How long to sleep now, at most, before the next look.
    pub fn slice(&mut self) -> Duration {
        self.left().min(SLICE)
    }

    /// Counts the time since the last look, and returns what of it does not count.
    fn look(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.looked);
        let missed = if passed > GAP { passed - SLICE } else { Duration::ZERO };
        self.looked = now;
        self.left = self.left.saturating_sub(passed - missed);
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A deadline of one second, and what is left of it after looks that are so many milliseconds apart.
    fn left_after(gaps: &[u64]) -> Duration {
        let mut deadline = Deadline::after(MS(1000));
        let mut now = deadline.looked;
        for &gap in gaps {
            now += MS(gap);
            deadline.look(now);
        }
        deadline.left
    }

    #[test]
    fn time_passes_while_the_process_runs() {
        assert_eq!(left_after(&[100, 40, 0, 260]), MS(600));
        assert_eq!(left_after(&[100; 11]), Duration::ZERO);
    }

    #[test]
    fn of_a_stop_one_slice_counts() {
        assert_eq!(left_after(&[100, 3_600_000, 100]), MS(700));
        // So a process that hardly ever runs comes to its deadline nevertheless.
        assert_eq!(left_after(&[5_000; 10]), Duration::ZERO);
    }

    #[test]
    fn a_stop_is_told_and_haste_is_not() {
        let mut deadline = Deadline::after(MS(1000));
        let start = deadline.looked;
        assert_eq!(deadline.look(start + MS(200)), Duration::ZERO);
        assert_eq!(deadline.look(start + MS(2200)), MS(1900));
    }

    #[test]
    fn without_a_limit_it_never_passes() {
        let mut deadline = Deadline::after(Duration::MAX);
        assert_eq!(deadline.slice(), SLICE);
        assert!(!deadline.has_passed());
    }
}
