//! Injects a slowdown on purpose, to show that the regression gate finds one.
//!
//! `IPC_INJECT=CELL:PERCENT` slows down the cells whose names begin with `CELL`. Only `ipc-bench sample` and `ipc-bench gate`
//! read it, and `gate` slows down only the head. Each message gets an extra spin. The spin takes PERCENT of the time that the
//! same pair needed without it a moment before.

use std::{fmt, hint::black_box, str::FromStr, time::Instant};

/// The environment variable's name.
pub const VARIABLE: &str = "IPC_INJECT";

/// Which cells are slowed down, and by how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    prefix: String,
    percent: f64,
}

impl Injection {
    /// Reads the injection from the environment.
    ///
    /// # Errors What is wrong with the variable's value, and an example of a right one.
    pub fn from_environment() -> Result<Option<Self>, String> {
        match std::env::var(VARIABLE) {
            Ok(text) => text.parse().map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(format!("{VARIABLE}: {error}")),
        }
    }

    /// The fraction by which messages of `cell` become slower. `None` if they do not.
    pub fn part(&self, cell: &str) -> Option<f64> {
        (self.percent > 0.0 && cell.starts_with(&self.prefix)).then_some(self.percent / 100.0)
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.prefix, self.percent)
    }
}

/// The largest percentage allowed.
const MOST_PERCENT: f64 = 1000.0;

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (prefix, percent) = text.rsplit_once(':')?;
            let percent: f64 = percent.parse().ok()?;
            let sound = !prefix.is_empty() && (0.0..=MOST_PERCENT).contains(&percent);
            sound.then(|| Self { prefix: prefix.to_owned(), percent })
        };
        parse().ok_or_else(|| {
            format!(
                "{VARIABLE}='{text}' is no injection: use CELL:PERCENT with the beginning of a cell's name and 0 to {MOST_PERCENT}, \
                 such as latency/pipe/64:15"
            )
        })
    }
}

/// How fast this thread spins. Counting turns allows delays below the clock's resolution.
#[derive(Clone, Copy, Debug)]
pub struct Spinner {
    turns_per_ns: f64,
}

impl Spinner {
    /// Calibrates in about 100 µs. The fastest of several tries counts.
    pub fn calibrate() -> Self {
        const TURNS: u64 = 1 << 14;
        let fastest = (0..8).map(|_| {
            let start = Instant::now();
            spin(TURNS);
            start.elapsed().as_nanos().max(1)
        });
        Self { turns_per_ns: TURNS as f64 / fastest.min().unwrap_or(1) as f64 }
    }

    /// A function that spins for `ns` nanoseconds.
    pub fn delay(&self, ns: f64) -> impl Fn() + Copy + use<> {
        let turns = (ns * self.turns_per_ns) as u64;
        move || spin(turns)
    }
}

fn spin(turns: u64) {
    for turn in 0..turns {
        black_box(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_slowed_down_by_the_beginning_of_its_name() {
        let injection: Injection = "latency/pipe/64:15".parse().unwrap();
        assert_eq!(injection.part("latency/pipe/64/same-core/block/copy"), Some(0.15));
        assert_eq!(injection.part("latency/fifo/64/same-core/block/copy"), None);
        assert_eq!("latency/pipe:00".parse::<Injection>().unwrap().part("latency/pipe/64/same-core/block/copy"), None);
    }

    #[test]
    fn what_is_no_injection_is_refused() {
        for wrong in ["", "latency/pipe", ":5", "latency/pipe:", "latency/pipe:-1", "latency/pipe:1001", "a:NaN"] {
            assert!(wrong.parse::<Injection>().unwrap_err().contains(&format!("'{wrong}'")), "{wrong}");
        }
    }

    #[test]
    fn a_delay_takes_about_as_long_as_asked() {
        let attempt = |_| {
            let delay = Spinner::calibrate().delay(20_000.0);
            let times = (0..50).map(|_| {
                let start = Instant::now();
                delay();
                start.elapsed().as_nanos()
            });
            times.min().unwrap()
        };
        // Another process on the core may slow down one calibration. A wrong calibration fails every time.
        assert!((0..20).map(attempt).any(|ns| (14_000..40_000).contains(&ns)), "never about 20 µs");
    }
}
