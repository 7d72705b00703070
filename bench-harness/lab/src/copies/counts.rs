//! The counts of a process's system calls.

use super::rules::{self, Place, Rule, Unknown};
use std::collections::{BTreeMap, BTreeSet};

/// The calls of one process in the measured window, summed by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    lines: BTreeMap<LineOf, Line>,
    /// Bytes by place and object number. The number is 0 if it is not known.
    objects: BTreeMap<(Place, u64), Through>,
    quiet: u64,
    unknown: BTreeSet<Unknown>,
}

/// The kind by which calls are summed: name, source and destination.
pub type LineOf = (&'static str, Place, Place);

/// Bytes that went into and out of one object, including notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// Bytes put into the object.
    pub put: u64,
    /// Bytes taken out of it.
    pub taken: u64,
}

/// The calls of one kind between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Number of calls.
    pub calls: u64,
    /// Bytes that the calls moved, without short notes.
    pub bytes: u64,
    /// How often each byte was copied.
    pub copies: u64,
    /// Bytes of notes about the payload.
    pub note_bytes: u64,
}

/// A message has this many parts. Less than one part can be a note about the message.
const NOTE_PART: u64 = 128;
/// Mechanisms say less than this many bytes about a message.
pub(super) const MOST_ABOUT: u64 = 40;

/// The part of the `bytes` moved by a call that are notes about messages of `size` bytes. This is the remainder beyond whole
/// messages, if it is small. 0 if `size` is 0.
pub(super) fn note_in(bytes: u64, size: u64) -> u64 {
    match bytes.checked_rem(size) {
        Some(beyond) if beyond < too_long_for_notes(size) => beyond,
        _ => 0,
    }
}

/// The length in bytes from which data beside a message of `size` bytes is no note about it.
fn too_long_for_notes(size: u64) -> u64 {
    (size / NOTE_PART).max(MOST_ABOUT)
}

impl Counts {
    /// Records `bytes` moved by a call that has a rule, for messages of `size` bytes, from and to the objects numbered
    /// `objects`.
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

    /// Records one call that has a rule.
    pub(super) fn enter_call(&mut self, rule: &Rule) {
        self.lines.entry(rule.line()).or_default().calls += 1;
    }

    /// Judges the short notes of `messages` messages of `size` bytes. If there are too many bytes of notes for each message,
    /// they are a payload in pieces.
    #[must_use]
    pub(super) fn settled(mut self, messages: u64, size: u64) -> Self {
        if self.notes() >= too_long_for_notes(size) * messages {
            for line in self.lines.values_mut() {
                line.bytes += std::mem::take(&mut line.note_bytes);
            }
        }
        self
    }

    /// Records a call that moves nothing.
    pub(super) fn enter_quiet(&mut self) {
        self.quiet += 1;
    }

    /// Records an unknown call.
    pub(super) fn enter_unknown(&mut self, call: Unknown) {
        self.unknown.insert(call);
    }

    /// Number of system calls.
    pub fn calls(&self) -> u64 {
        self.quiet + self.sum(|line| line.calls)
    }

    /// Payload bytes that passed through the calls. A byte counts once for each call that passed it on, copied or not.
    pub fn moved(&self) -> u64 {
        self.sum(|line| line.bytes)
    }

    /// Payload bytes that the kernel copied.
    ///
    /// # Errors The first call whose copies no rule knows.
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

    /// The sums, by kind of call.
    pub fn lines(&self) -> impl Iterator<Item = (LineOf, Line)> {
        self.lines.iter().map(|(&of, &line)| (of, line))
    }

    /// The kinds of calls whose rule rests on a reference, and the payload bytes that they moved.
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
        // Two messages in pieces of 32 bytes, and one without its end.
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
            // The length of a message is not known.
            (8, 0, 0),
        ] {
            assert_eq!(note_in(bytes, size), note, "{bytes} of {size}");
        }
    }
}
