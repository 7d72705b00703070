//! How the scheduler treats a process (sched(7)), and how a child is kept below its supervisor.

#![allow(unsafe_code)]

use crate::{Error, Result};
use nix::errno::Errno;
use std::fmt;

/// The policy that sched_setscheduler(2) knows by this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(i32);

impl Policy {
    /// `SCHED_OTHER`: the ordinary policy.
    pub const OTHER: Self = Self(libc::SCHED_OTHER);
    /// `SCHED_BATCH`: ordinary, for work that nobody waits for.
    pub const BATCH: Self = Self(libc::SCHED_BATCH);
    /// `SCHED_IDLE`: runs if hardly anything else wants to.
    pub const IDLE: Self = Self(libc::SCHED_IDLE);
    /// `SCHED_FIFO`: runs until it sleeps or something of a higher priority wants to run.
    pub const FIFO: Self = Self(libc::SCHED_FIFO);
    /// `SCHED_RR`: as `SCHED_FIFO`, in turns with processes of the same priority.
    pub const RR: Self = Self(libc::SCHED_RR);
    /// `SCHED_DEADLINE`: runs for a time in each period, before everything else.
    pub const DEADLINE: Self = Self(libc::SCHED_DEADLINE);

    /// Whether it displaces every process of the ordinary policy for as long as it wants to run.
    pub fn is_real_time(self) -> bool {
        [Self::FIFO, Self::RR, Self::DEADLINE].contains(&self)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Policy, &str); 6] = [
            (Policy::OTHER, "SCHED_OTHER"),
            (Policy::BATCH, "SCHED_BATCH"),
            (Policy::IDLE, "SCHED_IDLE"),
            (Policy::FIFO, "SCHED_FIFO"),
            (Policy::RR, "SCHED_RR"),
            (Policy::DEADLINE, "SCHED_DEADLINE"),
        ];
        match NAMES.iter().find(|(policy, _)| policy == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "scheduling policy {}", self.0),
        }
    }
}

/// How the scheduler treats this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The policy.
    pub policy: Policy,
    /// The priority among those of a real-time policy; 0 elsewhere.
    pub priority: i32,
    /// The nice value: -20 is favoured most, 19 least.
    pub nice: i32,
}

impl Schedule {
    /// The schedule of a process that nobody has given another.
    pub const ORDINARY: Self = Self { policy: Policy::OTHER, priority: 0, nice: 0 };

    /// The schedule of the calling thread. What cannot be read counts as ordinary.
    pub fn current() -> Self {
        let mut parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the first two take numbers, and 0 is this thread; the last writes into a live structure of that type.
        let (policy, nice) = unsafe {
            libc::sched_getparam(0, &raw mut parameters);
            (libc::sched_getscheduler(0), libc::getpriority(libc::PRIO_PROCESS, 0))
        };
        // With the flag children begin at the ordinary policy.
        let policy = if policy == -1 { Policy::OTHER } else { Policy(policy & !libc::SCHED_RESET_ON_FORK) };
        Self { policy, priority: parameters.sched_priority, nice }
    }

    /// The schedule of a child that is forked now: it steps down.
    pub fn of_children(self) -> Self {
        if self.policy.is_real_time() { Self { policy: Policy::OTHER, priority: 0, ..self } } else { self }
    }

    /// Leaves a real-time policy for the ordinary one. For use in a child.
    ///
    /// A child that spins at the priority of its supervisor, on the same processor, would keep the supervisor from
    /// ever looking at a deadline. Nothing else changes. A child that is as nice as its supervisor gets as much time,
    /// and must not get more.
    ///
    /// # Errors
    /// [`Error::Os`] of `sched_setscheduler`.
    pub(super) fn step_down() -> Result<()> {
        let now = Self::current();
        if now.of_children() == now { Ok(()) } else { now.of_children().enter() }
    }

    /// Gives the calling thread this policy and priority; its nice value stays.
    ///
    /// # Errors
    /// [`Error::Os`] of `sched_setscheduler`: `EPERM` upwards without `CAP_SYS_NICE`.
    pub fn enter(self) -> Result<()> {
        let parameters = libc::sched_param { sched_priority: self.priority };
        // SAFETY: 0 is this thread; the structure is live and only read.
        match unsafe { libc::sched_setscheduler(0, self.policy.0, &raw const parameters) } {
            -1 => Err(Error::os("sched_setscheduler", Errno::last())),
            _ => Ok(()),
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::ORDINARY
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy)?;
        match self.policy {
            Policy::FIFO | Policy::RR => write!(f, ", priority {}", self.priority)?,
            _ => {}
        }
        if self.nice == 0 { Ok(()) } else { write!(f, ", nice {}", self.nice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_leave_real_time_and_keep_the_rest() {
        let of = |policy, priority, nice| Schedule { policy, priority, nice };
        for policy in [Policy::FIFO, Policy::RR, Policy::DEADLINE] {
            assert_eq!(of(policy, 10, 5).of_children(), of(Policy::OTHER, 0, 5));
        }
        for policy in [Policy::OTHER, Policy::BATCH, Policy::IDLE, Policy(7)] {
            assert_eq!(of(policy, 0, -3).of_children(), of(policy, 0, -3));
        }
    }

    #[test]
    fn a_schedule_has_a_name() {
        let text = |policy, priority, nice| Schedule { policy, priority, nice }.to_string();
        assert_eq!(text(Policy::FIFO, 10, 0), "SCHED_FIFO, priority 10");
        assert_eq!(text(Policy::OTHER, 0, 19), "SCHED_OTHER, nice 19");
        assert_eq!(text(Policy::IDLE, 0, 0), "SCHED_IDLE");
        assert_eq!(text(Policy(7), 0, 0), "scheduling policy 7");
    }
}
