//! Measures what a channel costs before and after its messages, and what it holds meanwhile.
//!
//! The steps are: making the channel, connecting by name, the first message, and closing. What it holds are descriptors,
//! mappings and kernel memory.
//!
//! - Every channel is opened with the default options, and waits by sleeping.
//! - Every measurement has a process of its own and a deadline. So what it opens, maps and dirties is not mixed with others.
//!   The processes that it forks die with it.
//! - Times are medians over [`TRIALS`] channels, one after the other. If there are two cores, each process of a trial has its
//!   own.
//! - A figure that could not be measured is empty, and [`LifecycleRow::error`] has the reason. It also lists what a channel
//!   leaves open after its end.

mod child;
mod holdings;
mod memory;
mod times;

use crate::topology::{Cpus, Topology};
use bench_record::{cell::Placement, rows::LifecycleRow};
use holdings::Holdings;
use ipc_core::{Channel, Rendezvous};
pub use memory::MAPPED;

/// Channels per step. The time of a step is the median over them.
pub const TRIALS: u32 = 30;

/// A measurement of a time in nanoseconds.
type Time = fn(Cpus) -> Result<f64, String>;

/// The measurements of one mechanism.
#[derive(Clone, Copy, Debug)]
pub struct Probes {
    /// Measures making a channel and closing both ends, in nanoseconds.
    ends: fn(Cpus) -> Result<[f64; 2], String>,
    connect: Option<Time>,
    first_message: Time,
    holdings: fn() -> Result<Holdings, String>,
    /// Measures the kernel memory in bytes of one channel with these holdings.
    memory: fn(Cpus, &Holdings) -> Result<f64, String>,
}

impl Probes {
    /// The measurements of the mechanism `C`.
    pub const fn of<C: Channel>() -> Self {
        Self {
            ends: times::ends::<C>,
            connect: None,
            first_message: times::first_message::<C>,
            holdings: holdings::of::<C>,
            memory: memory::of::<C>,
        }
    }

    /// Adds the measurement of connecting by name, for a mechanism `C` that has names.
    #[must_use]
    pub const fn by_name<C: Rendezvous>(mut self) -> Self {
        self.connect = Some(times::connect::<C>);
        self
    }

    /// Measures the mechanism with the name `name`.
    pub fn measure(&self, name: &str, topology: &Topology) -> LifecycleRow {
        let cpus = topology.cpus(Placement::CrossCore).flatten();
        let mut wrong = Vec::new();
        let mut note = |step: &str, why: String| {
            let why = format!("{step}: {why}");
            if !wrong.contains(&why) {
                wrong.push(why);
            }
        };
        let ends = (self.ends)(cpus).map_err(|why| note("create", why)).ok();
        let connect = self.connect.and_then(|connect| connect(cpus).map_err(|why| note("connect", why)).ok());
        let first_message = (self.first_message)(cpus).map_err(|why| note("first message", why)).ok();
        let holdings = (self.holdings)().map_err(|why| note("holdings", why)).ok();
        for what in holdings.iter().flat_map(|holdings| &holdings.left) {
            note("left after the end", what.clone());
        }
        let memory = holdings.as_ref().map(|holdings| (self.memory)(cpus, holdings));
        let memory = memory.and_then(|memory| memory.map_err(|why| note("kernel memory", why)).ok());
        LifecycleRow {
            trials: TRIALS,
            create_ns: ends.map(|[create, _]| create),
            connect_ns: connect,
            first_message_ns: first_message,
            teardown_ns: ends.map(|[_, teardown]| teardown),
            descriptors: holdings.as_ref().map(|holdings| holdings.descriptors),
            mappings: holdings.as_ref().map(|holdings| holdings.mappings),
            mapped_bytes: holdings.as_ref().map(|holdings| holdings.mapped_bytes),
            kernel_bytes: memory,
            error: wrong.join("; "),
            ..LifecycleRow::empty(name.to_owned())
        }
    }
}
