//! Mechanisms, and the registry of them that a program is made of.
//!
//! A [`Mechanism`] is a row of function pointers made for a channel's type. A run costs one indirect call, a message
//! none. A [`Registry`] is a value. [`STANDARD`] holds the mechanisms of this workspace. A program with a channel of
//! its own passes its own registry to [`main`](crate::main):
//!
//! ```no_run
//! # use ipc_pipe::Pipe as MyChannel;
//! use bench_harness::{Mechanism, Registry, STANDARD};
//!
//! static CHANNELS: Registry = STANDARD.with(&[Mechanism::of::<MyChannel>()]);
//!
//! fn main() -> std::process::ExitCode {
//!     bench_harness::main(&CHANNELS)
//! }
//! ```

use bench_lab::{
    copies::Trial,
    faults::{self, Inflict},
    lifecycle::Probes,
    pair,
    sample::{Job, Sample},
    worker::PairError,
    workload::driver::{Copying, Direct, Lent},
};
use bench_record::{
    cell::{Access, Cell},
    fault::Fault,
};
use ipc_core::{Channel, Error, InPlace, Options, Reach, Rendezvous, SendInPlace, Spec};
use std::collections::BTreeSet;

/// Mechanisms are equal if their names are, which are unique.
impl PartialEq for Mechanism {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
    }
}

/// The cells that a mechanism names for the gate. Each is a cell's name without the mechanism, such as
/// `latency/64/same-core/block/copy`.
#[derive(Clone, Copy, Debug)]
pub struct GateCells {
    /// The cells of `--plan smoke`.
    pub smoke: &'static [&'static str],
    /// The cells that `--plan twelve` adds to those of `--plan smoke`.
    pub twelve: &'static [&'static str],
    /// The cells that `--plan full` adds to the cells of every mechanism on one core.
    pub across: &'static [&'static str],
    /// Controls that must stay silent. A control is a quiet cell on one core, which every machine has.
    pub silent: &'static [&'static str],
    /// Controls that are slowed down on purpose and must be found.
    pub found: &'static [&'static str],
}

impl GateCells {
    /// Names no cell.
    pub const NONE: Self = Self { smoke: &[], twelve: &[], across: &[], silent: &[], found: &[] };

    fn all(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.smoke, self.twelve, self.across, self.silent, self.found].into_iter().flatten().copied()
    }
}

/// Measures one pair.
type Run = fn(&Job) -> Result<Sample, PairError>;

/// A mechanism that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Mechanism {
    /// The facts of the mechanism.
    pub spec: Spec,
    copying: Run,
    in_place: Option<Run>,
    /// The copy trials by access, in the order of [`Access::ALL`].
    copies: [Option<Trial>; 2],
    /// The fault trials: links made before the fork, the same with in-place access, links by name.
    faults: [Option<Inflict>; 3],
    lifecycle: Probes,
    max_message: fn() -> Result<usize, Error>,
    gate: GateCells,
}

impl Mechanism {
    /// The mechanism of the channel `C`.
    pub const fn of<C: Channel>() -> Self {
        Self {
            spec: C::SPEC,
            copying: pair::run::<C, Copying<C::Endpoint>>,
            in_place: None,
            copies: [Some(Trial::of::<C, Copying<C::Endpoint>>()), None],
            faults: [Some(faults::forked::<C, Copying<C::Endpoint>>), None, None],
            lifecycle: Probes::of::<C>(),
            max_message: max_message::<C>,
            gate: GateCells::NONE,
        }
    }

    /// Adds access in place: the payload of `C` can be produced and consumed in place.
    pub const fn in_place<C: Channel<Endpoint: InPlace>>(mut self) -> Self {
        self.in_place = Some(pair::run::<C, Direct<C::Endpoint>>);
        self.copies[1] = Some(Trial::of::<C, Direct<C::Endpoint>>());
        self.faults[1] = Some(faults::forked::<C, Direct<C::Endpoint>>);
        self
    }

    /// Adds access in place for sending: the payload of `C` can be produced in place, but not consumed.
    pub const fn send_in_place<C: Channel<Endpoint: SendInPlace>>(mut self) -> Self {
        self.in_place = Some(pair::run::<C, Lent<C::Endpoint>>);
        self.copies[1] = Some(Trial::of::<C, Lent<C::Endpoint>>());
        self.faults[1] = Some(faults::forked::<C, Lent<C::Endpoint>>);
        self
    }

    /// Adds links by name.
    pub const fn by_name<C: Rendezvous>(mut self) -> Self {
        self.faults[2] = Some(faults::named::<C, Copying<C::Endpoint>>);
        self.lifecycle = self.lifecycle.by_name::<C>();
        self
    }

    /// Adds `cells` for the gate to time.
    #[must_use]
    pub const fn gated_by(mut self, cells: GateCells) -> Self {
        self.gate = cells;
        self
    }

    /// Checks that the mechanism's `SPEC` agrees with what was registered.
    fn check(&self) -> Result<(), &'static str> {
        match (self.spec.declared_copies.in_place, self.in_place) {
            (Some(_), None) => {
                return Err("SPEC.declared_copies.in_place is set: register it with .in_place or .send_in_place");
            }
            (None, Some(_)) => return Err("it is registered in place: set SPEC.declared_copies.in_place"),
            _ => {}
        }
        match (self.spec.reach, self.faults[2]) {
            (Reach::Named | Reach::Network, None) => {
                Err("SPEC.reach says that it has names: register it with .by_name")
            }
            (Reach::Inherited, Some(_)) => Err("it is registered by_name: SPEC.reach must be Named or Network"),
            _ => Ok(()),
        }
    }

    /// The cells that the mechanism names for the gate.
    pub(crate) fn gate_cells(&self) -> &GateCells {
        &self.gate
    }

    /// The mechanism's cell with the name `short`, a cell's name without the mechanism.
    ///
    /// # Errors
    /// There is no such cell. The text is for users.
    pub(crate) fn cell(&self, short: &str) -> Result<Cell, String> {
        let (workload, rest) = short.split_once('/').unwrap_or((short, ""));
        let cell: Cell = format!("{workload}/{}/{rest}", self.spec.name).parse()?;
        match self.accesses().any(|access| access == cell.access) {
            true => Ok(cell),
            false => Err(format!("'{cell}' is no cell: {} has no {} access", self.spec.name, cell.access)),
        }
    }

    /// The ways to reach the mechanism's payload.
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

    /// The trial that counts the copies of a message with `access`. `None` if the mechanism lacks that access.
    pub fn copies(&self, access: Access) -> Option<Trial> {
        self.copies[access as usize]
    }

    /// The ways to inflict `fault`. Empty if there is none: without names, no binder can die.
    pub fn faults(&self, fault: Fault) -> Vec<Inflict> {
        let of_transfers = fault.strikes().1.is_some();
        let [forked, in_place, named] = self.faults;
        [forked.filter(|_| of_transfers), in_place.filter(|_| of_transfers), named].into_iter().flatten().collect()
    }

    /// The probes that measure how channels are made and closed.
    pub fn lifecycle(&self) -> &Probes {
        &self.lifecycle
    }

    /// The longest message in bytes with default options on this kernel. `usize::MAX` for byte streams without a limit.
    ///
    /// # Errors
    /// The errors of [`Channel::pair`].
    pub fn max_message(&self) -> Result<usize, Error> {
        (self.max_message)()
    }
}

fn max_message<C: Channel>() -> Result<usize, Error> {
    use ipc_core::Endpoint;
    Ok(C::pair(&Options::default())?.0.max_message())
}

/// The mechanisms of one program.
#[derive(Clone, Copy, Debug)]
pub struct Registry {
    base: Option<&'static Registry>,
    own: &'static [Mechanism],
}

/// The reason why a registry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry has no mechanism.
    #[error("the registry holds no mechanism: add one with Mechanism::of::<YourChannel>()")]
    Empty,
    /// A mechanism's name has wrong characters or a wrong length.
    #[error("'{0}' is no name of a mechanism: use letters, digits and hyphens, 1 to 32 of them")]
    Name(&'static str),
    /// Two mechanisms have the same name.
    #[error("two mechanisms are called '{0}': give each a SPEC.name of its own")]
    Twice(&'static str),
    /// A `SPEC` contradicts the registered traits.
    #[error("'{name}': its SPEC and its traits differ: {why}")]
    Contradiction {
        /// The mechanism's name.
        name: &'static str,
        /// What differs, and what would be right.
        why: &'static str,
    },
    /// A mechanism names a gate cell that it does not have.
    #[error("'{name}': GateCells names no cell of it: {why}; use WORKLOAD/SIZE/PLACEMENT/WAIT/ACCESS")]
    GateCell {
        /// The mechanism's name.
        name: &'static str,
        /// What is wrong with the cell.
        why: String,
    },
}

impl Registry {
    /// A registry of `mechanisms`, in the order of lists.
    pub const fn new(mechanisms: &'static [Mechanism]) -> Self {
        Self { base: None, own: mechanisms }
    }

    /// This registry with `more` mechanisms, which come first in lists.
    pub const fn with(&'static self, more: &'static [Mechanism]) -> Self {
        Self { base: Some(self), own: more }
    }

    /// All mechanisms, in the order of lists.
    pub fn iter(&self) -> impl Iterator<Item = &'static Mechanism> + use<> {
        let mut parts = vec![self.own];
        let mut base = self.base;
        while let Some(registry) = base {
            parts.push(registry.own);
            base = registry.base;
        }
        parts.into_iter().flatten()
    }

    /// The facts of all mechanisms.
    pub fn specs(&self) -> Vec<Spec> {
        self.iter().map(|mechanism| mechanism.spec).collect()
    }

    /// The mechanisms that this registry adds to the one it is made from. Empty if it is made from none.
    pub(crate) fn own(&self) -> impl Iterator<Item = &'static Mechanism> + use<> {
        self.base.map(|_| self.own).into_iter().flatten()
    }

    /// The mechanism with the name `name`.
    pub fn named(&self, name: &str) -> Option<&'static Mechanism> {
        self.iter().find(|mechanism| mechanism.spec.name == name)
    }

    /// The mechanism with the name `name`.
    ///
    /// # Errors
    /// There is no such mechanism. The text is for users.
    pub fn known(&self, name: &str) -> Result<&'static Mechanism, String> {
        self.named(name).ok_or_else(|| format!("no mechanism '{name}' (see `ipc-bench list`)"))
    }

    /// Checks that everything in the registry fits together. [`main`](crate::main) does this first.
    ///
    /// # Errors
    /// [`RegistryError`] for the first fault.
    pub fn check(&self) -> Result<(), RegistryError> {
        let mut seen = BTreeSet::new();
        for mechanism in self.iter() {
            let name = mechanism.spec.name;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if !(1..=32).contains(&name.len()) || !name.bytes().all(is_plain) {
                return Err(RegistryError::Name(name));
            }
            if !seen.insert(name) {
                return Err(RegistryError::Twice(name));
            }
            mechanism.check().map_err(|why| RegistryError::Contradiction { name, why })?;
            let cells = mechanism.gate.all().try_for_each(|cell| mechanism.cell(cell).map(drop));
            cells.map_err(|why| RegistryError::GateCell { name, why })?;
        }
        if seen.is_empty() { Err(RegistryError::Empty) } else { Ok(()) }
    }
}

/// The mechanisms of this workspace.
pub static STANDARD: Registry = Registry::new(&[
    Mechanism::of::<ipc_pipe::Pipe>().gated_by(GateCells {
        smoke: &["latency/64/same-core/block/copy", "throughput/65536/same-core/block/copy"],
        twelve: &["latency/64/cross-core/spin/copy"],
        across: &[
            "latency/64/cross-core/block/copy",
            "latency/64/cross-core/spin/copy",
            "throughput/65536/cross-core/spin/copy",
        ],
        silent: &["throughput/65536/same-core/block/copy"],
        found: &["latency/64/same-core/block/copy"],
    }),
    Mechanism::of::<ipc_pipe::Vmsplice>().send_in_place::<ipc_pipe::Vmsplice>(),
    Mechanism::of::<ipc_pipe::Splice>().send_in_place::<ipc_pipe::Splice>(),
    Mechanism::of::<ipc_fifo::Fifo>().by_name::<ipc_fifo::Fifo>(),
    Mechanism::of::<ipc_msgq::SysvMsgq>().by_name::<ipc_msgq::SysvMsgq>().gated_by(GateCells {
        twelve: &["latency/64/same-core/block/copy"],
        silent: &["latency/64/same-core/block/copy"],
        ..GateCells::NONE
    }),
    Mechanism::of::<ipc_msgq::PosixMq>().by_name::<ipc_msgq::PosixMq>().gated_by(GateCells {
        smoke: &["latency/64/same-core/block/copy"],
        across: &["latency/64/cross-core/spin/copy"],
        ..GateCells::NONE
    }),
    Mechanism::of::<ipc_shm::SysvShm>().in_place::<ipc_shm::SysvShm>().by_name::<ipc_shm::SysvShm>(),
    Mechanism::of::<ipc_shm::PosixShm>().in_place::<ipc_shm::PosixShm>().by_name::<ipc_shm::PosixShm>().gated_by(
        GateCells {
            smoke: &["latency/64/same-core/block/in-place"],
            across: &["latency/4096/cross-core/spin/copy"],
            ..GateCells::NONE
        },
    ),
    Mechanism::of::<ipc_shm::Memfd>().in_place::<ipc_shm::Memfd>().gated_by(GateCells {
        twelve: &["latency/64/cross-core/spin/in-place", "throughput/4096/cross-core/spin/in-place"],
        across: &[
            "latency/64/cross-core/block/in-place",
            "latency/64/cross-core/spin/in-place",
            "throughput/4096/cross-core/spin/in-place",
        ],
        ..GateCells::NONE
    }),
    Mechanism::of::<ipc_shm::MmapFile>().in_place::<ipc_shm::MmapFile>().by_name::<ipc_shm::MmapFile>(),
    Mechanism::of::<ipc_shm::MmapAnon>()
        .in_place::<ipc_shm::MmapAnon>()
        .gated_by(GateCells { across: &["throughput/65536/cross-core/spin/copy"], ..GateCells::NONE }),
    Mechanism::of::<ipc_shm::MemfdWrite>().in_place::<ipc_shm::MemfdWrite>(),
    Mechanism::of::<ipc_shm::ProcessVm>()
        .in_place::<ipc_shm::ProcessVm>()
        .gated_by(GateCells { across: &["latency/4096/cross-core/spin/in-place"], ..GateCells::NONE }),
    Mechanism::of::<ipc_socket::UnixStream>().by_name::<ipc_socket::UnixStream>().gated_by(GateCells {
        twelve: &["latency/64/same-core/block/copy", "throughput/4096/same-core/block/copy"],
        across: &[
            "latency/64/cross-core/block/copy",
            "latency/64/cross-core/spin/copy",
            "throughput/65536/cross-core/spin/copy",
        ],
        found: &["throughput/4096/same-core/block/copy"],
        ..GateCells::NONE
    }),
    Mechanism::of::<ipc_socket::UnixDgram>().by_name::<ipc_socket::UnixDgram>(),
    Mechanism::of::<ipc_socket::UnixSeqpacket>().by_name::<ipc_socket::UnixSeqpacket>(),
    Mechanism::of::<ipc_socket::Tcp>()
        .by_name::<ipc_socket::Tcp>()
        .gated_by(GateCells { twelve: &["latency/64/same-core/block/copy"], ..GateCells::NONE }),
    Mechanism::of::<ipc_socket::TcpZerocopy>()
        .send_in_place::<ipc_socket::TcpZerocopy>()
        .by_name::<ipc_socket::TcpZerocopy>(),
    Mechanism::of::<ipc_socket::Udp>().by_name::<ipc_socket::Udp>().gated_by(GateCells {
        twelve: &["latency/64/same-core/block/copy"],
        across: &["latency/64/cross-core/spin/copy"],
        ..GateCells::NONE
    }),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_one_fits_together() {
        assert_eq!(STANDARD.check(), Ok(()));
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        const PIPE: Mechanism = Mechanism::of::<ipc_pipe::Pipe>();
        static EMPTY: Registry = Registry::new(&[]);
        static TWICE: Registry = STANDARD.with(&[PIPE]);
        static NO_NAME: Registry = Registry::new(&[Mechanism { spec: Spec { name: "my pipe", ..PIPE.spec }, ..PIPE }]);
        static UNREACHABLE: Registry = Registry::new(&[Mechanism::of::<ipc_fifo::Fifo>()]);
        static NOT_IN_PLACE: Registry = Registry::new(&[Mechanism::of::<ipc_shm::Memfd>()]);
        assert_eq!(EMPTY.check(), Err(RegistryError::Empty));
        assert_eq!(TWICE.check(), Err(RegistryError::Twice("pipe")));
        assert_eq!(NO_NAME.check(), Err(RegistryError::Name("my pipe")));
        static NO_CELL: Registry =
            Registry::new(&[PIPE.gated_by(GateCells { silent: &["latency/64"], ..GateCells::NONE })]);
        static NOT_ITS_CELL: Registry = Registry::new(&[
            PIPE.gated_by(GateCells { across: &["latency/64/cross-core/spin/in-place"], ..GateCells::NONE })
        ]);
        for (registry, what) in [(NO_CELL, "'latency/pipe/64'"), (NOT_ITS_CELL, "no in-place access")] {
            let error = registry.check().unwrap_err();
            assert!(
                matches!(error, RegistryError::GateCell { name: "pipe", .. }) && error.to_string().contains(what),
                "{error}"
            );
        }
        let contradiction = |registry: &Registry| match registry.check() {
            Err(RegistryError::Contradiction { name, why }) => (name, why),
            other => panic!("{other:?}"),
        };
        let (name, why) = contradiction(&UNREACHABLE);
        assert!(name == "fifo" && why.contains("by_name"), "{why}");
        let (name, why) = contradiction(&NOT_IN_PLACE);
        assert!(name == "memfd" && why.contains("in_place"), "{why}");
    }

    #[test]
    fn what_is_added_stands_beside_the_others() {
        static MORE: Registry = Registry::new(&[Mechanism::of::<ipc_pipe::Pipe>()]);
        static BOTH: Registry = MORE.with(&[Mechanism::of::<ipc_socket::Udp>()]);
        assert_eq!(BOTH.iter().map(|mechanism| mechanism.spec.name).collect::<Vec<_>>(), ["udp", "pipe"]);
        assert_eq!(BOTH.own().count(), 1);
        assert!(BOTH.named("pipe").is_some() && BOTH.known("tube").unwrap_err().contains("'tube'"));
    }
}
