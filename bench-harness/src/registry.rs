//! The one table of mechanisms: each a row of function pointers made for its type, so that a run costs one indirect call
//! and a message none.

use crate::{
    cell::Access,
    pair::{self, Job, PairError, Sample},
    workload::courier::{Copying, Direct},
};
use ipc_core::{Channel, Error, InPlace, Options, Spec};

/// Measures one pair.
type Run = fn(&Job) -> Result<Sample, PairError>;

/// A mechanism that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Mechanism {
    /// What it is.
    pub spec: Spec,
    copying: Run,
    in_place: Option<Run>,
    max_message: fn() -> Result<usize, Error>,
}

impl Mechanism {
    const fn of<C: Channel>() -> Self {
        Self {
            spec: C::SPEC,
            copying: pair::run::<C, Copying<C::Endpoint>>,
            in_place: None,
            max_message: max_message::<C>,
        }
    }

    const fn of_shared<C: Channel<Endpoint: InPlace>>() -> Self {
        Self { in_place: Some(pair::run::<C, Direct<C::Endpoint>>), ..Self::of::<C>() }
    }

    /// The ways to reach its payload.
    pub fn accesses(&self) -> impl Iterator<Item = Access> {
        [Some(Access::Copy), self.in_place.map(|_| Access::InPlace)].into_iter().flatten()
    }

    /// Forks one pair and measures `job`.
    ///
    /// # Errors
    /// [`PairError`]: why there is no figure.
    pub fn run(&self, access: Access, job: &Job) -> Result<Sample, PairError> {
        let unsupported =
            || PairError::Channel(Error::Unsupported { what: "access", why: format!("{access} is for shared memory") });
        match access {
            Access::Copy => (self.copying)(job),
            Access::InPlace => (self.in_place.ok_or_else(unsupported)?)(job),
        }
    }

    /// The longest message in bytes with default options, on this kernel; `usize::MAX` for byte streams.
    ///
    /// # Errors
    /// As [`Channel::pair`].
    pub fn max_message(&self) -> Result<usize, Error> {
        (self.max_message)()
    }

    /// The mechanism called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        MECHANISMS.iter().find(|mechanism| mechanism.spec.name == name)
    }
}

fn max_message<C: Channel>() -> Result<usize, Error> {
    use ipc_core::Endpoint;
    Ok(C::pair(&Options::default())?.0.max_message())
}

/// Every mechanism, in the order lists show them.
pub static MECHANISMS: [Mechanism; 14] = [
    Mechanism::of::<ipc_pipe::Pipe>(),
    Mechanism::of::<ipc_fifo::Fifo>(),
    Mechanism::of::<ipc_msgq::SysvMsgq>(),
    Mechanism::of::<ipc_msgq::PosixMq>(),
    Mechanism::of_shared::<ipc_shm::SysvShm>(),
    Mechanism::of_shared::<ipc_shm::PosixShm>(),
    Mechanism::of_shared::<ipc_shm::Memfd>(),
    Mechanism::of_shared::<ipc_shm::MmapFile>(),
    Mechanism::of_shared::<ipc_shm::MmapAnon>(),
    Mechanism::of::<ipc_socket::UnixStream>(),
    Mechanism::of::<ipc_socket::UnixDgram>(),
    Mechanism::of::<ipc_socket::UnixSeqpacket>(),
    Mechanism::of::<ipc_socket::Tcp>(),
    Mechanism::of::<ipc_socket::Udp>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, a) in MECHANISMS.iter().enumerate() {
            assert!(MECHANISMS[i + 1..].iter().all(|b| a.spec.name != b.spec.name), "{}", a.spec.name);
        }
    }
}
