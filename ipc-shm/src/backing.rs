//! What a mapping needs to carry a ring, and the three ways of opening one, written once for all mappings.
//!
//! A mechanism says how its memory is made ([`Backing`]) and, if it has a name, how that is opened ([`NamedBacking`]).
//! The functions [`pair`], [`bind`] and [`connect`] do the rest.

use crate::{
    end::RingEnd,
    mapping::Mapping,
    open::{self, Side, Size},
    ring::Memory,
};
use ipc_core::{Channel, Name, Options, Result, liveness::Meeting, objects::Owned};
use std::sync::Arc;

/// Memory that processes share by inheriting it.
pub trait Backing {
    /// Makes and maps `len` bytes, zeroed, to which no name leads any more.
    ///
    /// # Errors
    /// Those of [`Channel::pair`].
    fn create(len: usize) -> Result<Mapping>;
}

/// Memory that a second process finds by a name.
pub trait NamedBacking: Backing + Channel {
    /// Makes and maps `len` bytes, zeroed, under `name`. The name is removed when the guard is dropped.
    ///
    /// # Errors
    /// Those of [`Rendezvous::bind`](ipc_core::Rendezvous::bind).
    fn create_named(name: &Name, len: usize) -> Result<(Mapping, Owned)>;

    /// Maps the `len` bytes that another process made under `name`. Memory of another user, open to others, or shorter
    /// than `len` is refused.
    ///
    /// # Errors
    /// Those of [`Rendezvous::connect`](ipc_core::Rendezvous::connect).
    fn open_named(name: &Name, len: usize) -> Result<Mapping>;
}

/// The connecting end tells the binding end that it has mapped the memory.
const MAPPED: u64 = 1;
/// The binding end tells the connecting end that the name is gone.
const UNLINKED: u64 = 2;

/// Opens both ends over a fresh backing, as [`Channel::pair`].
pub fn pair<B: Backing>(options: &Options) -> Result<(RingEnd, RingEnd)> {
    let len = Size::of(options)?.mapping_len();
    RingEnd::pair(B::create(len)?, options)
}

/// Opens the first end, as [`Rendezvous::bind`](ipc_core::Rendezvous::bind). It makes the memory, waits until the peer
/// has mapped it, removes the name, and tells the peer.
pub fn bind<B: NamedBacking>(name: &Name, options: &Options) -> Result<RingEnd> {
    let size = Size::of(options)?;
    let (mapping, guard) = B::create_named(name, size.mapping_len())?;
    let deadline = options.deadline();
    let memory: Arc<dyn Memory> = Arc::new(mapping);
    open::initialize(&*memory, size, options.wait);
    let mut peer = Meeting::open(name, B::SPEC.name)?.accept(deadline)?;
    peer.hear(deadline)?;
    drop(guard);
    peer.tell(UNLINKED)?;
    RingEnd::open(&memory, Side::First, peer, options)
}

/// Opens the second end, as [`Rendezvous::connect`](ipc_core::Rendezvous::connect). It maps what the binding end made,
/// tells it, and waits until the name is gone.
pub fn connect<B: NamedBacking>(name: &Name, options: &Options) -> Result<RingEnd> {
    let deadline = options.deadline();
    let mut peer = Meeting::join(name, B::SPEC.name, deadline)?;
    let size = Size::of(options)?;
    let memory: Arc<dyn Memory> = Arc::new(peer.or_gone(B::open_named(name, size.mapping_len()))?);
    peer.tell(MAPPED)?;
    peer.hear(deadline)?;
    RingEnd::open(&memory, Side::Second, peer, options)
}

/// The tests that every backing passes; each mechanism's file calls them.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::ring::header;
    use ipc_core::Error;
    use std::sync::atomic::Ordering;

    const LEN: usize = 8192;

    /// Fresh memory is zeroed, of the length asked for, and this process's own.
    pub fn fresh_memory_is_zeroed_and_unrelated<B: Backing>() {
        let [one, other] = [(); 2].map(|()| B::create(LEN).unwrap());
        assert_eq!((one.len(), other.len()), (LEN, LEN));
        header(&one).capacity.store(7, Ordering::Relaxed);
        assert_eq!(header(&other).capacity.load(Ordering::Relaxed), 0);
    }

    /// A name leads to the same memory, is refused to a second maker, and goes with its guard.
    pub fn a_name_leads_to_the_memory_while_its_guard_lives<B: NamedBacking>() {
        let name = Name::unique();
        let (near, guard) = B::create_named(&name, LEN).unwrap();
        let far = B::open_named(&name, LEN).unwrap();
        header(&near).capacity.store(7, Ordering::Relaxed);
        assert_eq!(header(&far).capacity.load(Ordering::Relaxed), 7);
        assert!(matches!(B::create_named(&name, LEN), Err(Error::Taken { .. })));
        assert!(matches!(B::open_named(&name, 2 * LEN), Err(Error::Corrupt { .. })));
        drop(guard);
        assert!(matches!(B::open_named(&name, LEN), Err(Error::Os { .. })));
        header(&near).capacity.store(8, Ordering::Relaxed);
        assert_eq!(header(&far).capacity.load(Ordering::Relaxed), 8);
    }
}
