//! Counts the descriptors and mappings that the two ends of a channel hold in the process that made it, as the kernel lists
//! them.

use super::child::{in_child, words};
use ipc_core::{Channel, Options};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs};

/// The descriptors and mappings that both ends hold together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Entries of `/proc/self/fd`.
    pub descriptors: u64,
    /// Lines of `/proc/self/maps`. The kernel merges adjacent private anonymous memory into one mapping.
    pub mappings: u64,
    /// Total length of the mappings in bytes.
    pub mapped_bytes: u64,
    /// Descriptors and mapped bytes that remain after the channel's end.
    pub left: Vec<String>,
}

/// Measures the holdings of a channel. One channel is opened and closed first, so that one-time needs of the process are not
/// counted.
pub fn of<C: Channel>() -> Result<Holdings, String> {
    in_child(|| {
        drop(C::pair(&Options::default()).map_err(words)?);
        let before = Open::now()?;
        let ends = C::pair(&Options::default()).map_err(words)?;
        let during = Open::now()?;
        drop(ends);
        let after = Open::now()?;
        let left = after.descriptors.difference(&before.descriptors).map(|fd| format!("descriptor {fd}"));
        let mut left: Vec<_> = left.collect();
        if after.mapped_bytes > before.mapped_bytes {
            left.push(format!("{} mapped bytes", after.mapped_bytes - before.mapped_bytes));
        }
        Ok(Holdings {
            descriptors: (during.descriptors.len() - before.descriptors.len()) as u64,
            mappings: during.mappings.saturating_sub(before.mappings),
            mapped_bytes: during.mapped_bytes.saturating_sub(before.mapped_bytes),
            left,
        })
    })
}

/// The descriptors and mappings that this process has open.
struct Open {
    descriptors: BTreeSet<String>,
    mappings: u64,
    mapped_bytes: u64,
}

impl Open {
    fn now() -> Result<Self, String> {
        let maps = fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
        // The heap and the stack grow with the program, not with the channel.
        let own = |line: &&str| !line.ends_with("[heap]") && !line.ends_with("[stack]");
        let sizes: Vec<u64> = maps.lines().filter(own).filter_map(bytes).collect();
        Ok(Self { descriptors: descriptors()?, mappings: sizes.len() as u64, mapped_bytes: sizes.iter().sum() })
    }
}

/// The open descriptors, each with what it refers to.
fn descriptors() -> Result<BTreeSet<String>, String> {
    const FOLDER: &str = "/proc/self/fd";
    let listed = fs::read_dir(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))?.flatten();
    // The descriptor of the folder itself is closed before the links are read.
    let names: Vec<_> = listed.map(|entry| entry.file_name()).collect();
    let targets = names.iter().filter_map(|name| {
        let target = fs::read_link(format!("{FOLDER}/{}", name.display())).ok()?;
        Some(format!("{} ({})", name.display(), target.display()))
    });
    Ok(targets.collect())
}

/// The length in bytes of a mapping, from its line `START-END …` (proc_pid_maps(5)).
fn bytes(line: &str) -> Option<u64> {
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some(u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_length() {
        assert_eq!(bytes("7f31c0000000-7f31c0021000 rw-s 00000000 00:01 2051 /memfd:ring (deleted)"), Some(0x21000));
        assert_eq!(bytes("nothing"), None);
    }

    #[test]
    fn what_is_opened_is_listed() {
        // Other tests open and close descriptors meanwhile, but not of this file.
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = descriptors().unwrap();
        let target = format!("({})", file.path().canonicalize().unwrap().display());
        assert!(opened.iter().any(|opened| opened.ends_with(&target)), "{target} is not among {opened:?}");
    }
}
