//! Every interleaving of small runs of the ring, with every value that a load may return under the memory model (loom).
//! Run it with `scripts/loom.sh`.
//!
//! What runs is `src/protocol.rs` and `src/record.rs` themselves, compiled over the memory of `ring.rs` beside this
//! file instead of shared pages. The loops around them are those of `RingEnd`, without deadlines and without looks at
//! the peer.
//!
//! Modelled:
//!
//! - both positions, the record words, and both futex words with the kernel's queue;
//! - the payload: each access to eight bytes is checked for a race, for as long as the closures of in-place access run;
//! - the waker of a watch.
//!
//! A message that is lost, torn or out of order fails an assertion. A lost wake-up is a deadlock, which loom reports.
//!
//! Not modelled:
//!
//! - opening, deadlines, a second process, and a peer that breaks the protocol (see `tests/hostile.rs`);
//! - loads that return what is only stored later (load buffering), which loom leaves out;
//! - sequentially consistent loads and stores, which loom treats as acquire and release. The protocol relies on no
//!   more.

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
