//! One row of `cost.csv`: what a message of one cell costs beside its time.

use super::{Flags, Proximity, Row, field};
use crate::cell::{Access, Cell, Placement, Workload, interned};
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
    /// Lower end of the 95 % Student-t interval of the pairs' processor time per message.
    #[serde(default, with = "field::tenths_low")]
    pub cpu_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(default, with = "field::tenths")]
    pub cpu_hi_ns: Option<f64>,
    /// Lower end of the 95 % Student-t interval of the pairs' mean round trips.
    #[serde(default, with = "field::tenths_low")]
    pub round_trip_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(default, with = "field::tenths")]
    pub round_trip_hi_ns: Option<f64>,
    /// Lower end of the 95 % Student-t interval of the pairs' processor time per round trip.
    #[serde(default, with = "field::tenths_low")]
    pub round_trip_cpu_lo_ns: Option<f64>,
    /// Upper end of it.
    #[serde(default, with = "field::tenths")]
    pub round_trip_cpu_hi_ns: Option<f64>,
    /// Doubts about the figures of the pairs that sent one way.
    #[serde(default, with = "field::name")]
    pub flags: Flags,
    /// Doubts about the figures of the pairs that played ping-pong.
    #[serde(default, with = "field::name")]
    pub round_trip_flags: Flags,
    /// Forked pairs that played ping-pong and count.
    #[serde(default, with = "field::maybe")]
    pub round_trip_pairs: Option<u32>,
    /// How far apart the two processors were of the pairs that sent one way.
    #[serde(default, with = "field::maybe")]
    pub proximity: Option<Proximity>,
    /// The same of the pairs that played ping-pong.
    #[serde(default, with = "field::maybe")]
    pub round_trip_proximity: Option<Proximity>,
}

impl CostRow {
    /// A row of `cell` that has no figures yet.
    pub fn empty(cell: &Cell) -> Self {
        Self {
            workload: Workload::Cost,
            mechanism: cell.mechanism.to_owned(),
            size: cell.size,
            placement: cell.placement,
            wait: cell.wait,
            access: cell.access,
            pairs: 0,
            messages: 0,
            syscalls_send: None,
            syscalls_recv: None,
            voluntary_send: None,
            voluntary_recv: None,
            involuntary_send: None,
            involuntary_recv: None,
            minor_faults_send: None,
            minor_faults_recv: None,
            user_ns_send: None,
            user_ns_recv: None,
            system_ns_send: None,
            system_ns_recv: None,
            cpu_ns: None,
            utilisation: None,
            round_trip_ns: None,
            round_trip_cpu_ns: None,
            energy_nj: None,
            error: String::new(),
            cpu_lo_ns: None,
            cpu_hi_ns: None,
            round_trip_lo_ns: None,
            round_trip_hi_ns: None,
            round_trip_cpu_lo_ns: None,
            round_trip_cpu_hi_ns: None,
            flags: Flags::default(),
            round_trip_flags: Flags::default(),
            round_trip_pairs: None,
            proximity: None,
            round_trip_proximity: None,
        }
    }

    /// A row of `cell` that was not measured because of `error`.
    pub fn failed(cell: &Cell, error: impl Into<String>) -> Self {
        Self { error: error.into(), ..Self::empty(cell) }
    }

    /// Which cell the row is of.
    pub fn key(&self) -> Cell {
        Cell {
            workload: self.workload,
            mechanism: interned(&self.mechanism),
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
        "cpu_lo_ns",
        "cpu_hi_ns",
        "round_trip_lo_ns",
        "round_trip_hi_ns",
        "round_trip_cpu_lo_ns",
        "round_trip_cpu_hi_ns",
        "flags",
        "round_trip_flags",
        "round_trip_pairs",
        "proximity",
        "round_trip_proximity",
    ];
    const REQUIRED: usize = 26;

    fn name(&self) -> String {
        self.key().to_string()
    }

    fn check(&self) -> Result<(), String> {
        self.workload.must_be(Workload::Cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Error, Flag, read, write};
    use std::fs;

    fn row() -> CostRow {
        let (workload, placement) = (Workload::Cost, Placement::CrossCore);
        let cell =
            Cell { workload, mechanism: "memfd", size: 64, placement, wait: Wait::Spin, access: Access::InPlace };
        CostRow::empty(&cell)
    }

    #[test]
    fn rows_survive_the_file_with_their_decimals() {
        let dir = tempfile::tempdir().unwrap();
        let full = CostRow {
            pairs: 2,
            messages: 1_234_567,
            syscalls_send: Some(1.0),
            syscalls_recv: Some(2.25),
            voluntary_send: Some(0.5),
            voluntary_recv: Some(0.75),
            involuntary_send: Some(0.0),
            involuntary_recv: Some(0.01),
            minor_faults_send: Some(1.0),
            minor_faults_recv: Some(16.0),
            user_ns_send: Some(17.4),
            user_ns_recv: Some(15.5),
            system_ns_send: Some(0.0),
            system_ns_recv: Some(3.1),
            cpu_ns: Some(36.0),
            utilisation: Some(1.99),
            round_trip_ns: Some(178.9),
            round_trip_cpu_ns: Some(357.5),
            energy_nj: Some(1200.5),
            cpu_lo_ns: Some(-1.5),
            cpu_hi_ns: Some(40.0),
            round_trip_lo_ns: Some(170.1),
            round_trip_hi_ns: Some(190.2),
            round_trip_cpu_lo_ns: Some(350.0),
            round_trip_cpu_hi_ns: Some(360.9),
            flags: Flags::from_iter([Flag::Unsteady, Flag::Bimodal]),
            round_trip_flags: Flags::from_iter([Flag::Partial]),
            round_trip_pairs: Some(4),
            proximity: Some(Proximity::Near),
            round_trip_proximity: Some(Proximity::Far),
            ..row()
        };
        let failed = CostRow { wait: Wait::Block, error: "no result, \"yet\"".into(), ..row() };
        let rows = vec![full, failed];
        write(dir.path(), &rows).unwrap();
        assert_eq!(read::<CostRow>(dir.path()).unwrap(), rows);
        let text = fs::read_to_string(dir.path().join(CostRow::FILE)).unwrap();
        assert!(text.lines().next() == Some(&CostRow::COLUMNS.join(",")), "{text}");
        assert!(text.contains("cost,memfd,64,cross-core,spin,in-place,2,1234567,1.00,2.25,"), "{text}");
    }

    #[test]
    fn an_older_file_has_no_intervals() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[CostRow { cpu_ns: Some(36.0), ..row() }]).unwrap();
        let path = dir.path().join(CostRow::FILE);
        let text = fs::read_to_string(&path).unwrap();
        let older = |line: &str| line.split(',').take(CostRow::REQUIRED).collect::<Vec<_>>().join(",") + "\n";
        fs::write(&path, text.lines().map(older).collect::<String>()).unwrap();
        assert_eq!(read::<CostRow>(dir.path()).unwrap(), [CostRow { cpu_ns: Some(36.0), ..row() }]);
    }

    #[test]
    fn what_does_not_belong_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[row()]).unwrap();
        let path = dir.path().join(CostRow::FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for (from, to) in [("\ncost,", "\nlatency,"), (",0,0,", ",0,0,-1"), ("utilisation", "busy")] {
            fs::write(&path, whole.replacen(from, to, 1)).unwrap();
            let error = read::<CostRow>(dir.path()).unwrap_err();
            assert!(matches!(error, Error::Row { .. } | Error::Header { .. }), "{from}: {error}");
        }
    }
}
