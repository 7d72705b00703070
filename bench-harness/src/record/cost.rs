//! One row of `cost.csv`: what a message of one cell costs beside its time.

use super::Key;
use super::{Row, field};
use crate::cell::{Access, Placement, Workload};
use ipc_core::Wait;
use serde::{Deserialize, Serialize};

/// What a message costs. A figure that was not measured is `None`, and [`error`](Self::error) says why; energy is missing
/// where the host does not offer it (`host.json` says so).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    /// Always [`Workload::Cost`].
    #[serde(with = "field::name")]
    pub workload: Workload,
    /// The mechanism's name.
    #[serde(with = "field::mechanism")]
    pub mechanism: String,
    /// Message length in bytes.
    pub size: usize,
    /// Where the two processes ran.
    #[serde(with = "field::name")]
    pub placement: Placement,
    /// How they waited.
    #[serde(with = "field::name")]
    pub wait: Wait,
    /// How they reached the payload.
    #[serde(with = "field::name")]
    pub access: Access,
    /// Forked pairs that were measured.
    pub pairs: u32,
    /// Messages of all pairs together, sent one way as fast as they went.
    pub messages: u64,
    /// System calls per message, from the ledger, of the sender.
    #[serde(with = "field::hundredths")]
    pub syscalls_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::hundredths")]
    pub syscalls_recv: Option<f64>,
    /// Voluntary context switches per message, of the sender.
    #[serde(with = "field::hundredths")]
    pub voluntary_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::hundredths")]
    pub voluntary_recv: Option<f64>,
    /// Involuntary context switches per message, of the sender.
    #[serde(with = "field::hundredths")]
    pub involuntary_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::hundredths")]
    pub involuntary_recv: Option<f64>,
    /// Page faults without input or output per message, of the sender.
    #[serde(with = "field::hundredths")]
    pub minor_faults_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::hundredths")]
    pub minor_faults_recv: Option<f64>,
    /// Processor time in user mode per message, as the kernel samples it, of the sender.
    #[serde(with = "field::tenths")]
    pub user_ns_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::tenths")]
    pub user_ns_recv: Option<f64>,
    /// Processor time in the kernel per message, as the kernel samples it, of the sender.
    #[serde(with = "field::tenths")]
    pub system_ns_send: Option<f64>,
    /// The same of the receiver.
    #[serde(with = "field::tenths")]
    pub system_ns_recv: Option<f64>,
    /// Processor time of both sides per message, exact.
    #[serde(with = "field::tenths")]
    pub cpu_ns: Option<f64>,
    /// Processors that the pair kept busy: 0 to 2.
    #[serde(with = "field::hundredths")]
    pub utilisation: Option<f64>,
    /// Mean time of a round trip, in pairs that play ping-pong.
    #[serde(with = "field::tenths")]
    pub round_trip_ns: Option<f64>,
    /// Processor time of both sides per round trip.
    #[serde(with = "field::tenths")]
    pub round_trip_cpu_ns: Option<f64>,
    /// Energy of the processor package per message, what was idle in it included.
    #[serde(with = "field::tenths")]
    pub energy_nj: Option<f64>,
    /// Why there are no figures; empty where there are.
    #[serde(with = "field::line")]
    pub error: String,
}

impl CostRow {
    /// Which cell the row is of.
    pub fn key(&self) -> Key<'_> {
        Key {
            workload: self.workload,
            mechanism: &self.mechanism,
            size: self.size,
            placement: self.placement,
            wait: self.wait,
            access: self.access,
        }
    }
}

impl Row for CostRow {
    const FILE: &'static str = "cost.csv";
    const COLUMNS: &'static [&'static str] = &[
        "workload",
        "mechanism",
        "size",
        "placement",
        "wait",
        "access",
        "pairs",
        "messages",
        "syscalls_send",
        "syscalls_recv",
        "voluntary_send",
        "voluntary_recv",
        "involuntary_send",
        "involuntary_recv",
        "minor_faults_send",
        "minor_faults_recv",
        "user_ns_send",
        "user_ns_recv",
        "system_ns_send",
        "system_ns_recv",
        "cpu_ns",
        "utilisation",
        "round_trip_ns",
        "round_trip_cpu_ns",
        "energy_nj",
        "error",
    ];
    const REQUIRED: usize = Self::COLUMNS.len();

    fn name(&self) -> String {
        self.key().to_string()
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Cost)
    }
}
