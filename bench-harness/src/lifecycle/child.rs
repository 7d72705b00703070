//! A measurement in a process of its own, which says what it found through a pipe.

use crate::pair::cause_of;
use ipc_core::process::{self, Exit};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{Read, Write, pipe},
    time::Duration,
};

/// The longest that a measurement may take; what it is given up after.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Runs `part` in a forked process and returns its result, which must fit into a pipe.
///
/// # Errors
/// What `part` returned as one, or why there is no result.
pub fn in_child<T>(part: impl FnOnce() -> Result<T, String>) -> Result<T, String>
where
    T: Serialize + DeserializeOwned,
{
    let (mut reader, mut writer) = pipe().map_err(|error| format!("pipe2: {error}"))?;
    let child = process::fork(|| {
        let text = serde_json::to_vec(&part()).unwrap_or_default();
        i32::from(writer.write_all(&text).is_err())
    });
    drop(writer);
    match child.map_err(words)?.wait(LIMIT).map_err(words)? {
        Some(Exit::Code(0)) => {}
        Some(exit) => return Err(format!("the measuring process died: {}", cause_of(exit))),
        None => return Err(format!("no result within {LIMIT:?}")),
    }
    let mut text = Vec::new();
    reader.read_to_end(&mut text).map_err(|error| format!("read: {error}"))?;
    serde_json::from_slice(&text).map_err(words)?
}

/// An error as the reason why there is no figure.
pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
