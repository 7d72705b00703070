//! Channels that copy once more than they say, each in another way, past the ledger.

use ipc_core::{Channel, Copies, Endpoint, Options, Result, Spec};
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

/// `C` that declares one copy whatever it does.
pub struct Lying<C>(std::marker::PhantomData<C>);

impl<C: Channel> Channel for Lying<C> {
    const SPEC: Spec = Spec { declared_copies: Copies::of(1), ..C::SPEC };
    type Endpoint = C::Endpoint;

    fn pair(options: &Options) -> Result<(C::Endpoint, C::Endpoint)> {
        C::pair(options)
    }
}
