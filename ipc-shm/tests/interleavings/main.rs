//! Every interleaving of small runs of the ring, with every value that a load may return under the memory model (loom).
//! Run it with `scripts/loom.sh`.
//!
//! What runs is `src/protocol.rs` itself, compiled over the memory of `ring.rs` beside this file instead of shared pages. The
//! loops around it are those of `RingEnd` without deadlines and without looks at the peer.
//!
//! Modelled: both positions, the record words, the payload (each access to eight bytes of it is checked for a race, for as long
//! as the closures of in-place access run), both futex words with the kernel's queue, the alarm of a watch. A message that
//! is lost, torn or out of order is a failed assertion, a lost wake-up is a deadlock that loom reports. Not modelled: opening,
//! deadlines, a second process, a peer that breaks the protocol (see `tests/hostile.rs`), and what loom leaves out: loads
//! that return what is only stored later (load buffering), and more of sequentially consistent loads and stores than acquire
//! and release, on which the protocol does not rely.

#[cfg(loom)]
#[path = "../../src/protocol.rs"]
mod protocol;
#[cfg(loom)]
#[path = "../../src/record.rs"]
mod record;
#[cfg(loom)]
mod ring;
#[cfg(loom)]
mod runs;

#[cfg(not(loom))]
#[test]
#[ignore = "needs the model of memory: scripts/loom.sh"]
fn interleavings() {}
