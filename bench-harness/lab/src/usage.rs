//! Measures what a process uses besides time: system calls, context switches, page faults, processor time and energy.

use crate::{
    clock,
    energy::{POWERCAP, Packages},
    role::Role,
};
use ipc_core::{Error, Result, ledger};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::{TimeVal, TimeValLike},
    },
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The resources that one process has used, in total or in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// System calls that this thread made for messages (see [`ledger`]).
    pub calls: u64,
    /// Voluntary context switches: the process had to wait (getrusage(2), `ru_nvcsw`).
    pub voluntary: u64,
    /// Involuntary context switches: the scheduler ran another process (`ru_nivcsw`).
    pub involuntary: u64,
    /// Page faults that needed no input or output (`ru_minflt`).
    pub minor_faults: u64,
    /// Processor time in user mode. Most kernels know only the exact sum, and split it by samples at timer ticks.
    pub user_ns: u64,
    /// Processor time in kernel mode, split by the same samples as `user_ns`.
    pub system_ns: u64,
    /// Exact processor time in both modes (`CLOCK_PROCESS_CPUTIME_ID`).
    pub cpu_ns: u64,
    /// Wall-clock time.
    pub elapsed_ns: u64,
    /// Energy used by the processor packages, whoever ran on them. Only the initiator measures it, and only if the host shows
    /// it.
    pub energy_uj: Option<u64>,
}

impl Usage {
    /// What this process has used since it began, without energy. System calls: `getrusage`, `clock_gettime`.
    fn so_far() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|e| Error::os("getrusage", e))?;
        let ns = |time: TimeVal| time.num_microseconds().cast_unsigned() * 1000;
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(|e| Error::os("clock_gettime", e))?;
        Ok(Self {
            calls: ledger::entries().calls,
            voluntary: usage.voluntary_context_switches().cast_unsigned(),
            involuntary: usage.involuntary_context_switches().cast_unsigned(),
            minor_faults: usage.minor_page_faults().cast_unsigned(),
            user_ns: ns(usage.user_time()),
            system_ns: ns(usage.system_time()),
            cpu_ns: cpu.num_nanoseconds().cast_unsigned(),
            elapsed_ns: clock::now_ns(),
            energy_uj: None,
        })
    }

    /// The difference to `earlier`, without energy.
    fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            voluntary: self.voluntary - earlier.voluntary,
            involuntary: self.involuntary - earlier.involuntary,
            minor_faults: self.minor_faults - earlier.minor_faults,
            user_ns: self.user_ns - earlier.user_ns,
            system_ns: self.system_ns - earlier.system_ns,
            cpu_ns: self.cpu_ns - earlier.cpu_ns,
            elapsed_ns: self.elapsed_ns - earlier.elapsed_ns,
            energy_uj: None,
        }
    }

    /// Processors that the process kept busy: processor time divided by wall-clock time.
    pub fn utilisation(&self) -> f64 {
        self.cpu_ns as f64 / self.elapsed_ns.max(1) as f64
    }
}

/// Measures what a window uses.
#[derive(Clone, Debug)]
pub struct Meter {
    /// The packages serve both processes, so only the initiator reads them.
    packages: Option<Packages>,
}

impl Meter {
    /// A meter for `role`. Only the initiator's meter reads energy.
    pub fn new(role: Role) -> Self {
        let find = || Packages::find(Path::new(POWERCAP)).ok();
        Self { packages: if role == Role::Initiator { find() } else { None } }
    }

    /// Runs `work` and returns what it used. One reading's cost, about a microsecond, is included; the energy reading's is not.
    pub fn around(&self, work: impl FnOnce() -> Result<()>) -> Result<Usage> {
        let reading = || self.packages.as_ref().and_then(|packages| packages.read().ok());
        let energy_before = reading();
        let before = Usage::so_far()?;
        work()?;
        let used = Usage::so_far()?.since(before);
        let energies = energy_before.zip(reading()).zip(self.packages.as_ref());
        let energy_uj = energies.map(|((before, after), packages)| packages.between(&before, &after));
        Ok(Usage { energy_uj, ..used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{hint::black_box, time::Duration};

    /// The usage of a window in which a thread does `work`.
    fn usage(work: impl FnOnce()) -> Usage {
        let meter = Meter { packages: None };
        meter
            .around(|| {
                work();
                Ok(())
            })
            .unwrap()
    }

    #[test]
    fn work_takes_processor_time_and_sleep_does_not() {
        // The loop also checks this thread's CPU clock, because others may be using the processor.
        let worked = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().num_nanoseconds();
        let spun = usage(|| {
            let (end, begun) = (clock::now_ns() + 20_000_000, worked());
            while black_box(clock::now_ns()) < end || worked() < begun + 2_000_000 {}
        });
        assert!(spun.elapsed_ns >= 20_000_000 && spun.cpu_ns > 1_000_000, "{spun:?}");
        // The two clocks are read in different calls, so this checks a bound and not equality.
        assert!(spun.user_ns + spun.system_ns > 1_000_000, "{spun:?}");
        let slept = usage(|| std::thread::sleep(Duration::from_millis(20)));
        assert!(slept.elapsed_ns >= 20_000_000 && slept.voluntary > 0, "{slept:?}");
    }

    #[test]
    fn calls_are_those_of_the_ledger_and_faults_those_of_fresh_pages() {
        let used = usage(|| {
            for _ in 0..3 {
                ledger::call();
            }
            black_box(vec![1_u8; 8 << 20]);
        });
        assert_eq!(used.calls, 3);
        assert!(used.minor_faults >= 4, "{used:?}");
    }

    #[test]
    fn a_difference_is_taken_field_by_field() {
        let earlier = Usage { calls: 1, voluntary: 2, cpu_ns: 10, elapsed_ns: 100, ..Usage::default() };
        let later = Usage { calls: 4, voluntary: 7, cpu_ns: 60, elapsed_ns: 200, ..Usage::default() };
        let used = later.since(earlier);
        assert_eq!((used.calls, used.voluntary, used.cpu_ns, used.elapsed_ns), (3, 5, 50, 100));
        assert_eq!(used.utilisation(), 0.5);
    }

    #[test]
    fn energy_is_read_at_both_edges() {
        let dir = tempfile::tempdir().unwrap();
        let zone = dir.path().join("intel-rapl:0");
        std::fs::create_dir(&zone).unwrap();
        for (file, text) in [("name", "package-0"), ("energy_uj", "990"), ("max_energy_range_uj", "1000")] {
            std::fs::write(zone.join(file), text).unwrap();
        }
        let meter = Meter { packages: Some(Packages::find(dir.path()).unwrap()) };
        let used = meter.around(|| {
            std::fs::write(zone.join("energy_uj"), "40").unwrap();
            Ok(())
        });
        assert_eq!(used.unwrap().energy_uj, Some(50));
    }
}
