//! How far a run is: a bar on a terminal, a plain line every few seconds elsewhere. On stderr, so that stdout holds
//! results only. No thread draws it: the process must stay single-threaded to fork.

use crate::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fmt::Display,
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
        /// What is counted.
        pieces: &'static str,
        /// Pieces in all.
        total: u64,
        /// Pieces done.
        done: u64,
        /// When the run began.
        started: Instant,
        /// When the last line was printed.
        printed: Instant,
    },
}

impl Progress {
    /// Of a run of `total` pieces of work, which are called `pieces`.
    pub fn new(total: u64, pieces: &'static str) -> Self {
        if std::io::stderr().is_terminal() {
            let style = format!("{{bar:30}} {{pos}}/{{len}} {pieces}, {{elapsed}} gone, {{eta}} left  {{wide_msg}}");
            let bar = ProgressBar::new(total);
            bar.set_style(ProgressStyle::with_template(&style).expect("the template is well-formed"));
            return Self::Bar(bar);
        }
        let now = Instant::now();
        Self::Lines { pieces, total, done: 0, started: now, printed: now }
    }

    /// Says that a piece of `what` is being done now.
    pub fn begin(&mut self, what: &impl Display) {
        match self {
            Self::Bar(bar) => bar.set_message(what.to_string()),
            Self::Lines { pieces, total, done, started, printed } => {
                if printed.elapsed() >= EVERY {
                    *printed = Instant::now();
                    let left = started.elapsed().as_secs_f64() * (*total - *done) as f64 / (*done).max(1) as f64;
                    say!("{done}/{total} {pieces}, {left:.0} s left, now {what}");
                }
            }
        }
    }

    /// Says that `more` pieces are done, or need not be.
    pub fn advance(&mut self, more: u64) {
        match self {
            Self::Bar(bar) => bar.inc(more),
            Self::Lines { done, .. } => *done += more,
        }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
