//! What was counted of a process's system calls.

use super::rules::{self, Place, Rule, Unknown};
use std::collections::{BTreeMap, BTreeSet};

/// The calls of one process in the measured stretch, summed by what they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    lines: BTreeMap<LineOf, Line>,
    /// By place and number, which is 0 where it is not known.
    objects: BTreeMap<(Place, u64), Through>,
    quiet: u64,
    unknown: BTreeSet<Unknown>,
}

/// What a call is summed by: its name, where from, where to.
pub type LineOf = (&'static str, Place, Place);

/// Bytes that went into and out of one object, notes among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// Into it.
    pub put: u64,
    /// Out of it.
    pub taken: u64,
}

/// The calls of one kind between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// How many they were.
    pub calls: u64,
    /// Bytes that they moved, short notes left out.
    pub bytes: u64,
    /// How often each was copied.
    pub copies: u64,
    /// Bytes about the payload.
    pub note_bytes: u64,
}

/// Less than this part of a message is something about it.
const NOTE_PART: u64 = 128;
/// What mechanisms say about a message is less than this, in bytes.
pub(super) const MOST_ABOUT: u64 = 40;

/// How many of the `bytes` that a call moved are about messages of `size` bytes, and none of their payload: what is beyond whole
/// messages, where that is little. None where there is no size.
pub(super) fn note_in(bytes: u64, size: u64) -> u64 {
    match bytes.checked_rem(size) {
        Some(beyond) if beyond < too_long_for_notes(size) => beyond,
        _ => 0,
    }
}

/// From this many bytes on, what moves beside a message of `size` bytes is not about it.
fn too_long_for_notes(size: u64) -> u64 {
    (size / NOTE_PART).max(MOST_ABOUT)
}

impl Counts {
    /// Enters what a call that has a rule moved: `bytes` of messages of `size` bytes, from and to the objects numbered `objects`.
    pub(super) fn enter(&mut self, rule: &Rule, bytes: u64, size: u64, objects: [u64; 2]) {
        let line = self.lines.entry(rule.line()).or_default();
        let note = note_in(bytes, size);
        line.note_bytes += note;
        line.bytes += bytes - note;
        line.copies = rule.copies;
        let [from, to] = objects;
        self.objects.entry((rule.from.place(), from)).or_default().taken += bytes;
        self.objects.entry((rule.to.place(), to)).or_default().put += bytes;
    }

    /// Enters that a call with a rule was made.
    pub(super) fn enter_call(&mut self, rule: &Rule) {
        self.lines.entry(rule.line()).or_default().calls += 1;
    }

    /// Judges the short notes of `messages` messages of `size` bytes: where they are many for each, they are no notes, but a
    /// payload in pieces.
    #[must_use]
    pub(super) fn settled(mut self, messages: u64, size: u64) -> Self {
        if self.notes() >= too_long_for_notes(size) * messages {
            for line in self.lines.values_mut() {
                line.bytes += std::mem::take(&mut line.note_bytes);
            }
        }
        self
    }

    /// Enters a call that moves nothing.
    pub(super) fn enter_quiet(&mut self) {
        self.quiet += 1;
    }

    /// Enters what nothing is known of.
    pub(super) fn enter_unknown(&mut self, call: Unknown) {
        self.unknown.insert(call);
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
            None => Ok(self.sum(|line| line.bytes * line.copies)),
        }
    }

    /// Bytes of short notes.
    pub fn notes(&self) -> u64 {
        self.sum(|line| line.note_bytes)
    }

    /// Bytes put into and taken out of each object, by its place and number.
    pub fn objects(&self) -> impl Iterator<Item = ((Place, u64), Through)> {
        self.objects.iter().map(|(&object, &through)| (object, through))
    }

    /// Payload bytes put into and taken out of `place`.
    pub fn through(&self, place: Place) -> (u64, u64) {
        let of = |end: fn(&LineOf) -> Place| {
            self.lines.iter().filter(|(key, _)| end(key) == place).map(|(_, line)| line.bytes).sum()
        };
        (of(|key| key.2), of(|key| key.1))
    }

    /// What was summed.
    pub fn lines(&self) -> impl Iterator<Item = (LineOf, Line)> {
        self.lines.iter().map(|(&of, &line)| (of, line))
    }

    /// The calls whose rule rests on a reference, and the payload bytes that they moved.
    pub fn claims(&self) -> impl Iterator<Item = (LineOf, u64)> {
        let claims = self.lines().filter(|(of, line)| line.bytes > 0 && rules::claims_reference(*of, line.copies));
        claims.map(|(of, line)| (of, line.bytes))
    }

    fn sum(&self, of: fn(&Line) -> u64) -> u64 {
        self.lines.values().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_that_sum_up_to_a_payload_are_no_notes() {
        let write = super::super::rules::TABLE.iter().find(|rule| rule.name == "write").unwrap();
        let counts = |pieces: u64, bytes: u64| {
            let mut counts = Counts::default();
            (0..pieces).for_each(|_| counts.enter(write, bytes, 4096, [0; 2]));
            let counts = counts.settled(2, 4096);
            (counts.moved(), counts.notes(), counts.copied().unwrap())
        };
        assert_eq!(counts(2, 4096 + 8), (8192, 16, 8192));
        assert_eq!(counts(2, 39), (0, 78, 0));
        // Two messages in pieces of 32 bytes, and one that lacks its end.
        assert_eq!(counts(256, 32), (8192, 0, 8192));
        assert_eq!(counts(255, 32), (8160, 0, 8160));
    }

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
