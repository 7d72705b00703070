//! The one table of mechanisms: each a row of function pointers made for its type, so that a run costs one indirect call
//! and a message none.

use crate::{
    cell::Access,
    copies::Trial,
    fault::Fault,
    faults::{self, Inflict},
    lifecycle::Probes,
    pair,
    sample::{Job, Sample},
    worker::PairError,
    workload::courier::{Copying, Direct, Lent},
};
use ipc_core::{Channel, Error, InPlace, Options, Rendezvous, SendInPlace, Spec};

/// By their names, which are unique.
impl PartialEq for Mechanism {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

/// Measures one pair.
type Run = fn(&Job) -> Result<Sample, PairError>;

/// A mechanism that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Mechanism {
    /// What it is.
    pub spec: Spec,
    copying: Run,
    in_place: Option<Run>,
    /// By access, in the order of [`Access::ALL`].
    copies: [Option<Trial>; 2],
    /// Links made before the fork, the same in place, links by name.
    faults: [Option<Inflict>; 3],
    lifecycle: Probes,
    max_message: fn() -> Result<usize, Error>,
}

impl Mechanism {
    /// The channel `C`.
    pub const fn of<C: Channel>() -> Self {
        Self {
            spec: C::SPEC,
            copying: pair::run::<C, Copying<C::Endpoint>>,
            in_place: None,
            copies: [Some(Trial::of::<C, Copying<C::Endpoint>>()), None],
            faults: [Some(faults::forked::<C, Copying<C::Endpoint>>), None, None],
            lifecycle: Probes::of::<C>(),
            max_message: max_message::<C>,
        }
    }

    /// `C` again, whose payload can be produced and consumed in place.
    pub const fn in_place<C: Channel<Endpoint: InPlace>>(mut self) -> Self {
        self.in_place = Some(pair::run::<C, Direct<C::Endpoint>>);
        self.copies[1] = Some(Trial::of::<C, Direct<C::Endpoint>>());
        self.faults[1] = Some(faults::forked::<C, Direct<C::Endpoint>>);
        self
    }

    /// `C` again, whose payload can be produced in place, but not consumed.
    pub const fn send_in_place<C: Channel<Endpoint: SendInPlace>>(mut self) -> Self {
        self.in_place = Some(pair::run::<C, Lent<C::Endpoint>>);
        self.copies[1] = Some(Trial::of::<C, Lent<C::Endpoint>>());
        self.faults[1] = Some(faults::forked::<C, Lent<C::Endpoint>>);
        self
    }

    /// `C` again, which has names.
    pub const fn by_name<C: Rendezvous>(mut self) -> Self {
        self.faults[2] = Some(faults::named::<C, Copying<C::Endpoint>>);
        self.lifecycle = self.lifecycle.by_name::<C>();
        self
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
        let unsupported = || {
            let why = format!("{} has no memory of its own that {access} access could reach", self.spec.name);
            PairError::Channel(Error::Unsupported { what: "access", why })
        };
        match access {
            Access::Copy => (self.copying)(job),
            Access::InPlace => (self.in_place.ok_or_else(unsupported)?)(job),
        }
    }

    /// What counts the copies of one message by this access, where there is it.
    pub fn copies(&self, access: Access) -> Option<Trial> {
        self.copies[access as usize]
    }

    /// The ways in which `fault` can be inflicted; none where it has none, as a binder's death where there are no names.
    pub fn faults(&self, fault: Fault) -> Vec<Inflict> {
        let of_transfers = fault.strikes().1.is_some();
        let [forked, in_place, named] = self.faults;
        [forked.filter(|_| of_transfers), in_place.filter(|_| of_transfers), named].into_iter().flatten().collect()
    }

    /// What measures how its channels come and go.
    pub fn lifecycle(&self) -> &Probes {
        &self.lifecycle
    }

    /// The longest message in bytes with default options, on this kernel; `usize::MAX` for byte streams that have no limit.
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
pub static MECHANISMS: [Mechanism; 19] = [
    Mechanism::of::<ipc_pipe::Pipe>(),
    Mechanism::of::<ipc_pipe::Vmsplice>().send_in_place::<ipc_pipe::Vmsplice>(),
    Mechanism::of::<ipc_pipe::Splice>().send_in_place::<ipc_pipe::Splice>(),
    Mechanism::of::<ipc_fifo::Fifo>().by_name::<ipc_fifo::Fifo>(),
    Mechanism::of::<ipc_msgq::SysvMsgq>().by_name::<ipc_msgq::SysvMsgq>(),
    Mechanism::of::<ipc_msgq::PosixMq>().by_name::<ipc_msgq::PosixMq>(),
    Mechanism::of::<ipc_shm::SysvShm>().in_place::<ipc_shm::SysvShm>().by_name::<ipc_shm::SysvShm>(),
    Mechanism::of::<ipc_shm::PosixShm>().in_place::<ipc_shm::PosixShm>().by_name::<ipc_shm::PosixShm>(),
    Mechanism::of::<ipc_shm::Memfd>().in_place::<ipc_shm::Memfd>(),
    Mechanism::of::<ipc_shm::MmapFile>().in_place::<ipc_shm::MmapFile>().by_name::<ipc_shm::MmapFile>(),
    Mechanism::of::<ipc_shm::MmapAnon>().in_place::<ipc_shm::MmapAnon>(),
    Mechanism::of::<ipc_shm::MemfdWrite>().in_place::<ipc_shm::MemfdWrite>(),
    Mechanism::of::<ipc_shm::ProcessVm>().in_place::<ipc_shm::ProcessVm>(),
    Mechanism::of::<ipc_socket::UnixStream>().by_name::<ipc_socket::UnixStream>(),
    Mechanism::of::<ipc_socket::UnixDgram>().by_name::<ipc_socket::UnixDgram>(),
    Mechanism::of::<ipc_socket::UnixSeqpacket>().by_name::<ipc_socket::UnixSeqpacket>(),
    Mechanism::of::<ipc_socket::Tcp>().by_name::<ipc_socket::Tcp>(),
    Mechanism::of::<ipc_socket::TcpZerocopy>()
        .send_in_place::<ipc_socket::TcpZerocopy>()
        .by_name::<ipc_socket::TcpZerocopy>(),
    Mechanism::of::<ipc_socket::Udp>().by_name::<ipc_socket::Udp>(),
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
