//! Channels that copy once more than they say, each in another way, past the ledger.

use ipc_core::{Channel, Copies, Endpoint, InPlace, Options, Result, SendInPlace, Spec};
use std::time::Duration;

/// A way to copy.
pub trait Copier {
    /// Copies `from` to the front of `to`, which is at least as long.
    fn copy(to: &mut [u8], from: &[u8]);
}

/// memcpy.
pub struct Memcpy;

impl Copier for Memcpy {
    fn copy(to: &mut [u8], from: &[u8]) {
        to[..from.len()].copy_from_slice(from);
    }
}

/// A loop that the compiler must not turn into memcpy: what it moves is opaque to it.
pub struct ByHand;

impl Copier for ByHand {
    fn copy(to: &mut [u8], from: &[u8]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = std::hint::black_box(*from);
        }
    }
}

/// In pieces through one small buffer, which in the end holds the last of them.
pub struct Piecewise;

impl Copier for Piecewise {
    fn copy(to: &mut [u8], from: &[u8]) {
        let mut piece = vec![0; 1024];
        for (to, from) in to.chunks_mut(piece.len()).zip(from.chunks(piece.len())) {
            piece[..from.len()].copy_from_slice(from);
            to[..from.len()].copy_from_slice(&piece[..from.len()]);
        }
    }
}

/// `C` whose sender copies each message by `H` before it sends it.
pub struct Careless<C, H>(std::marker::PhantomData<(C, H)>);

/// Its end.
pub struct CarelessEnd<E, H> {
    end: E,
    scratch: Vec<u8>,
    how: std::marker::PhantomData<fn(H)>,
}

impl<C: Channel, H: Copier> Channel for Careless<C, H> {
    const SPEC: Spec = C::SPEC;
    type Endpoint = CarelessEnd<C::Endpoint, H>;

    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)> {
        let scratch = vec![0; options.max_message.unwrap_or(0)];
        let wrap = |end| CarelessEnd { end, scratch: scratch.clone(), how: std::marker::PhantomData };
        C::pair(options).map(|(a, b)| (wrap(a), wrap(b)))
    }
}

impl<E: Endpoint, H: Copier> Endpoint for CarelessEnd<E, H> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        H::copy(&mut self.scratch, message);
        self.end.send(&self.scratch[..message.len()])
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.end.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

/// A detour that a message takes on its way, past the ledger.
pub trait Detour {
    /// Takes it, and shows the message where it is then.
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R;
}

/// None: what the others are compared with, in-lined like them.
pub struct Straight;

impl Detour for Straight {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        show(message)
    }
}

/// Through an array on the stack, which is overwritten before the message arrives.
pub struct Bounce;

impl Detour for Bounce {
    #[inline(never)]
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let mut bounce = [0; 64];
        bounce[..message.len()].copy_from_slice(message);
        let shown = show(std::hint::black_box(&bounce[..message.len()]));
        bounce.fill(0);
        std::hint::black_box(&bounce);
        shown
    }
}

/// Through memory that is given back at once.
pub struct Heap;

impl Detour for Heap {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let copy = message.to_vec();
        show(std::hint::black_box(&copy[..]))
    }
}

/// Through memory that is somewhere else each time, and lasts.
pub struct Wander;

/// Places that it has: more than are waited for.
const PLACES: usize = 1 << 12;

impl Detour for Wander {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        thread_local! {
            static MEMORY: std::cell::RefCell<(usize, Vec<u8>)> = std::cell::RefCell::new((1, vec![0; PLACES * 64]));
        }
        MEMORY.with_borrow_mut(|(place, memory)| {
            // All of them in turn, in no order (Hull and Dobell).
            *place = (*place * 1_229 + 1) % PLACES;
            let there = &mut memory[*place * 64..][..message.len()];
            there.copy_from_slice(message);
            show(there)
        })
    }
}

/// By way of a system call that moves nothing.
pub struct Call;

impl Detour for Call {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        std::hint::black_box(nix::unistd::getppid());
        show(message)
    }
}

/// By way of one that moves bytes and has no rule.
pub struct Odd;

impl Detour for Odd {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let zero = std::fs::File::open("/dev/zero");
        let read = zero.and_then(|mut zero| std::io::Read::read(&mut zero, &mut [0; 8]));
        assert_eq!(read.ok(), Some(8));
        show(message)
    }
}

/// `C` whose sender lets each message take the detour `D`, copied or in place.
pub struct Astray<C, D>(std::marker::PhantomData<(C, D)>);

/// Its end.
pub struct AstrayEnd<E, D> {
    end: E,
    by: std::marker::PhantomData<fn(D)>,
}

impl<C: Channel, D: Detour> Channel for Astray<C, D> {
    const SPEC: Spec = C::SPEC;
    type Endpoint = AstrayEnd<C::Endpoint, D>;

    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)> {
        let wrap = |end| AstrayEnd { end, by: std::marker::PhantomData };
        C::pair(options).map(|(a, b)| (wrap(a), wrap(b)))
    }
}

impl<E: Endpoint, D: Detour> Endpoint for AstrayEnd<E, D> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        D::take(message, |message| self.end.send(message))
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.end.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.end.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }

    fn prefault(&mut self) {
        self.end.prefault();
    }
}

impl<E: SendInPlace, D: Detour> SendInPlace for AstrayEnd<E, D> {
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.end.send_with(len, |slot| {
            fill(slot);
            // Opaque, or the compiler sees that it changes nothing.
            let same = D::take(slot, |message| <[u8; 64]>::try_from(message));
            if let Ok(same) = std::hint::black_box(same) {
                slot.copy_from_slice(&same);
            }
        })
    }
}

impl<E: InPlace, D: Detour> InPlace for AstrayEnd<E, D> {
    fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.end.recv_with(read)
    }
}

/// `C` that declares one copy whatever it does.
pub struct Lying<C>(std::marker::PhantomData<C>);

impl<C: Channel> Channel for Lying<C> {
    const SPEC: Spec = Spec { declared_copies: Copies::of(1), ..C::SPEC };
    type Endpoint = C::Endpoint;

    fn pair(options: &Options) -> Result<(C::Endpoint, C::Endpoint)> {
        C::pair(options)
    }
}
