//! A ledger of what messages cost: the system calls that a thread made for them, and the payload that it copied
//! itself.
//!
//! Every call that moves a message or waits for one is [entered](call). Every copy of a payload outside the kernel
//! goes through [`copy`]. So the books are exact for this workspace, and blind to whatever bypasses them. The harness
//! compares them with what a tracer sees of the same process.
//!
//! They are kept by thread and without atomics. An entry is one addition to memory in the cache, beside a system call
//! or a copy.

use std::cell::Cell;

/// What has been entered by a thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// System calls.
    pub calls: u64,
    /// Copies of a payload, or of a part of one.
    pub copies: u64,
    /// Bytes that they copied.
    pub copied_bytes: u64,
}

impl Entries {
    /// What has been entered since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            copies: self.copies - earlier.copies,
            copied_bytes: self.copied_bytes - earlier.copied_bytes,
        }
    }
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static COPIES: Cell<u64> = const { Cell::new(0) };
    static COPIED_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Enters one system call.
#[inline]
pub fn call() {
    CALLS.set(CALLS.get() + 1);
}

/// Copies a payload, and enters that.
///
/// # Panics
/// As [`slice::copy_from_slice`], where the lengths differ.
#[inline]
pub fn copy(to: &mut [u8], from: &[u8]) {
    COPIES.set(COPIES.get() + 1);
    COPIED_BYTES.set(COPIED_BYTES.get() + from.len() as u64);
    to.copy_from_slice(from);
}

/// The entries of this thread.
pub fn entries() -> Entries {
    Entries { calls: CALLS.get(), copies: COPIES.get(), copied_bytes: COPIED_BYTES.get() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_books() {
        let before = entries();
        let mut to = [0; 3];
        copy(&mut to, b"abc");
        call();
        assert_eq!((&to, entries().since(before)), (b"abc", Entries { calls: 1, copies: 1, copied_bytes: 3 }));
        assert_eq!(std::thread::spawn(entries).join().unwrap(), Entries::default());
    }
}
