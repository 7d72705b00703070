//! What was counted of a process's system calls.

use super::rules::{Place, Rule, Unknown};
use std::collections::{BTreeMap, BTreeSet};

/// The calls of one process in the measured stretch, summed by what they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    lines: BTreeMap<(&'static str, Place, Place), Line>,
    quiet: u64,
    unknown: BTreeSet<Unknown>,
}

/// The calls of one kind between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// How many they were.
    pub calls: u64,
    /// Bytes that they moved, short notes left out.
    pub bytes: u64,
    /// Those, each as often as it was copied.
    pub copied: u64,
    /// Bytes about the payload.
    pub note_bytes: u64,
}

/// Less than this part of a message is something about it.
const NOTE_PART: u64 = 128;
/// What mechanisms say about a message is less than this, in bytes.
const MOST_ABOUT: u64 = 40;

/// How many of the `bytes` that a call moved are about messages of `size` bytes, and none of their payload: what is beyond whole
/// messages, where that is little. None where there is no size.
pub(super) fn note_in(bytes: u64, size: u64) -> u64 {
    match bytes.checked_rem(size) {
        Some(beyond) if beyond < (size / NOTE_PART).max(MOST_ABOUT) => beyond,
        _ => 0,
    }
}

impl Counts {
    /// Enters a call that has a rule and moved `bytes` of messages of `size` bytes.
    pub(super) fn enter(&mut self, rule: &Rule, bytes: u64, size: u64) {
        let line = self.lines.entry((rule.name, rule.from.place(), rule.to.place())).or_default();
        let note = note_in(bytes, size);
        line.calls += 1;
        line.note_bytes += note;
        line.bytes += bytes - note;
        line.copied += (bytes - note) * rule.copies;
    }

    /// Enters a call that moves nothing.
    pub(super) fn enter_quiet(&mut self) {
        self.quiet += 1;
    }

    /// Enters a call that nothing is known of.
    pub(super) fn enter_unknown(&mut self, call: Unknown) {
        self.unknown.insert(call);
        self.quiet += 1;
    }

    /// System calls.
    pub fn calls(&self) -> u64 {
        self.quiet + self.sum(|line| line.calls)
    }

    /// Payload bytes that passed through them: once for each call that passed them on, copied or not.
    pub fn moved(&self) -> u64 {
        self.sum(|line| line.bytes)
    }

    /// Payload bytes that the kernel copied.
    ///
    /// # Errors
    /// The first call that no rule tells the copies of.
    pub fn copied(&self) -> Result<u64, Unknown> {
        match self.unknown.first() {
            Some(call) => Err(call.clone()),
            None => Ok(self.sum(|line| line.copied)),
        }
    }

    /// Bytes of short notes.
    pub fn notes(&self) -> u64 {
        self.sum(|line| line.note_bytes)
    }

    /// Payload bytes put into and taken out of `place`.
    pub fn through(&self, place: Place) -> (u64, u64) {
        let of = |end: fn(&(&'static str, Place, Place)) -> Place| {
            self.lines.iter().filter(|(key, _)| end(key) == place).map(|(_, line)| line.bytes).sum()
        };
        (of(|key| key.2), of(|key| key.1))
    }

    /// What was summed: the call's name, where from, where to.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, Place, Place, Line)> {
        self.lines.iter().map(|(&(name, from, to), &line)| (name, from, to, line))
    }

    fn sum(&self, of: fn(&Line) -> u64) -> u64 {
        self.lines.values().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_little_beside_messages_is_about_them() {
        for (bytes, size, note) in [
            (0, 4096, 0),
            (8, 4096, 8),
            (4096, 4096, 0),
            (4096 + 8, 4096, 8),
            (2 * 4096 + 39, 4096, 39),
            (4096 + 40, 4096, 0),
            (511, 65_536, 511),
            (512, 65_536, 0),
            // A part of a message.
            (4095, 4096, 0),
            (2048, 4096, 0),
            // No message is known of.
            (8, 0, 0),
        ] {
            assert_eq!(note_in(bytes, size), note, "{bytes} of {size}");
        }
    }
}
