//! Measures how far apart two hardware threads are right now, by the round trip of a bare cache line between them.
//!
//! On a virtual machine the hypervisor moves the virtual CPUs during a run. The same two have been seen 60 ns apart in one
//! second and 470 ns in the next (AMD EPYC). Every pair on two hardware threads is probed at its start and at its end. So a
//! figure can be judged by the distance at which it was taken.

use ipc_core::shared::Line;
use std::{hint, sync::atomic::Ordering, time::Instant};

/// Round trips in one batch.
const BATCH: u64 = 256;
/// Number of batches. The result is their median.
const BATCHES: usize = 5;
/// Round trips below this many nanoseconds count as near: the two threads share a last-level cache. A round trip takes longer
/// between sockets, or between parts of a processor that share no such cache.
pub const NEAR_NS: f64 = 200.0;

/// The measuring side. Returns the round trip in nanoseconds.
pub fn measure(mine: &Line, other: &Line) -> f64 {
    let start = mine.word.load(Ordering::Relaxed);
    let mut batches: Vec<f64> = (0..BATCHES as u64)
        .map(|batch| {
            let clock = Instant::now();
            for i in 1..=BATCH {
                let turn = start + batch * BATCH + i;
                mine.word.store(turn, Ordering::Release);
                while other.word.load(Ordering::Acquire) != turn {
                    hint::spin_loop();
                }
            }
            clock.elapsed().as_nanos() as f64 / BATCH as f64
        })
        .collect();
    bench_record::stats::median(&mut batches).expect("there are batches")
}

/// The answering side.
pub fn answer(mine: &Line, other: &Line) {
    let start = mine.word.load(Ordering::Relaxed);
    for turn in start + 1..=start + BATCH * BATCHES as u64 {
        while other.word.load(Ordering::Acquire) != turn {
            hint::spin_loop();
        }
        mine.word.store(turn, Ordering::Release);
    }
}
