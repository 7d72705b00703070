//! How far a run is: a bar on a terminal, a plain line every few seconds elsewhere. On stderr, so that stdout holds
//! results only. No thread draws it: the process must stay single-threaded to fork.

use crate::cell::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of one run.
pub enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// Anywhere else.
    Lines {
        /// Pairs in all.
        total: u64,
        /// Pairs done.
        done: u64,
        /// When the run began.
        started: Instant,
        /// When the last line was printed.
        printed: Instant,
    },
}

impl Progress {
    /// Of a run of `total` pairs.
    pub fn new(total: u64) -> Self {
        if std::io::stderr().is_terminal() {
            let style = "{bar:30} {pos}/{len} pairs, {elapsed} gone, {eta} left  {wide_msg}";
            let bar = ProgressBar::new(total);
            bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
            return Self::Bar(bar);
        }
        let now = Instant::now();
        Self::Lines { total, done: 0, started: now, printed: now }
    }

    /// Says that a pair of `cell` runs now.
    pub fn begin(&mut self, cell: &Cell) {
        match self {
            Self::Bar(bar) => bar.set_message(cell.to_string()),
            Self::Lines { total, done, started, printed } => {
                if printed.elapsed() >= EVERY {
                    *printed = Instant::now();
                    let left = started.elapsed().as_secs_f64() * (*total - *done) as f64 / (*done).max(1) as f64;
                    eprintln!("{done}/{total} pairs, {left:.0} s left, now {cell}");
                }
            }
        }
    }

    /// Says that `pairs` more pairs are done, or need not run.
    pub fn advance(&mut self, pairs: u64) {
        match self {
            Self::Bar(bar) => bar.inc(pairs),
            Self::Lines { done, .. } => *done += pairs,
        }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
