//! Shows the progress of a run on stderr: a bar on a terminal, otherwise a plain line every few seconds.
//!
//! stdout holds results only. No thread draws the bar: the process must stay single-threaded to fork.

use crate::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fmt::Display,
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Time between two lines if stderr is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of one run.
pub enum Progress {
    /// A bar, if stderr is a terminal.
    Bar(ProgressBar),
    /// Plain lines, if stderr is no terminal.
    Lines {
        /// The name of the pieces that are counted.
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
    /// Starts the progress of a run of `total` pieces of work. `pieces` is what the text calls them.
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

    /// Shows that work on `what` begins.
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

    /// Counts `more` pieces as done or skipped.
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
