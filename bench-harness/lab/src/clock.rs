//! The clock, what reading it costs, and the cost of a system call that does nothing.

use nix::time::{ClockId, clock_gettime};
use std::{hint::black_box, time::Instant};

/// Readings in one batch.
const READINGS: u32 = 100;
/// Number of batches. The result is their median, because a batch may be interrupted.
const BATCHES: usize = 15;

/// `CLOCK_MONOTONIC` in nanoseconds: a moment that other processes understand (clock_gettime(2)).
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

/// Mean cost of one `clock_gettime(CLOCK_MONOTONIC)` in nanoseconds: the median over batches.
pub fn read_cost_ns() -> f64 {
    batches(|| {
        black_box(Instant::now());
    })
}

/// Mean cost of one `getppid`, which the C library does not cache, in nanoseconds: the median over batches.
pub fn null_syscall_ns() -> f64 {
    batches(|| {
        black_box(nix::unistd::getppid());
    })
}

fn batches(mut work: impl FnMut()) -> f64 {
    let mut means: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..READINGS {
                work();
            }
            start.elapsed().as_nanos() as f64 / f64::from(READINGS)
        })
        .collect();
    bench_record::stats::median(&mut means).expect("there are batches")
}
