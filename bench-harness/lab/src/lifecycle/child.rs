//! Runs a measurement in a process of its own.

use crate::worker::{self, Post};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// The deadline of a measurement.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Runs `part` in a forked process and returns its result. Repeats if it was stopped meanwhile.
///
/// # Errors The error of `part`, or the reason why there is no result.
pub fn in_child<T>(part: impl Fn() -> Result<T, String>) -> Result<T, String>
where
    T: Serialize + DeserializeOwned,
{
    worker::unstopped(|| once(&part)).0
}

fn once<T: Serialize + DeserializeOwned>(part: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let mut part = Some(part);
    let posts = [Post::of("measuring process", None, 0)];
    let reports = worker::crew(&posts, LIMIT, |_| Ok(part.take().expect("the child runs once")()));
    reports.map_err(words)?.pop().expect("a report a member")
}

/// Formats an error as the reason why there is no figure.
pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
