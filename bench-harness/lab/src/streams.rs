//! The only place that writes to stdout and stderr.
//!
//! - stdout holds results. If the reader goes away, as `head` does, the rest is dropped and the verb ends as it would have
//!   ended. Any other failure to write is an error.
//! - stderr holds remarks. A failure to write there is ignored.

use anyhow::anyhow;
use bench_record::rows::reason;
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints to stdout.
///
/// # Errors The reason why stdout cannot be written. A closed pipe is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    printed(stdout.write_all(text.as_bytes()))
}

/// Flushes stdout, and returns the result of an attempt to print.
///
/// # Errors Those of [`print()`].
pub fn printed(attempt: io::Result<()>) -> anyhow::Result<()> {
    match attempt.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow!("stdout: {}", reason(&error))),
        _ => Ok(()),
    }
}

/// Prints a line to stderr. Ignores a failure.
pub fn remark(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Formats a line and hands it to [`remark`].
#[macro_export]
macro_rules! say {
    ($($line:tt)+) => { $crate::streams::remark(format_args!($($line)+)) };
}

/// `error` and its causes in one line. A cause is skipped if the text already contains it, as the outer error often does.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_told_once() {
        let source = nix::errno::Errno::EPERM;
        let inner = || ipc_core::Error::Os { call: "fchmod", source };
        let outer = Err::<(), _>(inner()).context("the program cannot be kept").unwrap_err();
        assert_eq!(told(&outer), "the program cannot be kept: fchmod: EPERM: Operation not permitted");
        assert_eq!(told(&inner().into()), "fchmod: EPERM: Operation not permitted");
    }
}
