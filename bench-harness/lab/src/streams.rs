//! What goes to stdout and to stderr: the one place that writes there.
//!
//! stdout holds results. A reader that went away, such as `head`, has what it wants: the rest is dropped, and the verb ends as it
//! would have ended. Any other refusal is an error. stderr holds remarks: where they cannot be written, nothing else suffers.

use anyhow::anyhow;
use bench_record::rows::reason;
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints to stdout.
///
/// # Errors
/// Why stdout cannot be written. A closed pipe is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    printed(stdout.write_all(text.as_bytes()))
}

/// What an attempt to print to stdout came to, once nothing of it waits in a buffer.
///
/// # Errors
/// As [`print()`].
pub fn printed(attempt: io::Result<()>) -> anyhow::Result<()> {
    match attempt.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow!("stdout: {}", reason(&error))),
        _ => Ok(()),
    }
}

/// Prints a line to stderr, where that can be written.
pub fn remark(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Formats a line and hands it to [`remark`].
#[macro_export]
macro_rules! say {
    ($($line:tt)+) => { $crate::streams::remark(format_args!($($line)+)) };
}

/// `error` and its causes in one line, each once: the text of a system's error often stands in that of the error around it.
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
