//! Rows of `cost.csv`: what a message of one cell costs besides its time.

use super::{Flags, Proximity, field};

row! {
    /// Cost of a message. A figure that was not measured is `None`, and [`error`](Self::error) has the reason. Energy
    /// is missing if the host does not offer it; `host.json` says so.
    CostRow of Cost in "cost.csv";
    cell
    figures {
        /// Forked pairs that were measured.
        pairs: u32,
        /// Messages of all pairs together, sent one way as fast as possible.
        messages: u64,
        /// System calls of the sender per message, from the ledger.
        syscalls_send: Option<f64> as "field::hundredths",
        /// System calls of the receiver per message, from the ledger.
        syscalls_recv: Option<f64> as "field::hundredths",
        /// Voluntary context switches of the sender per message.
        voluntary_send: Option<f64> as "field::hundredths",
        /// Voluntary context switches of the receiver per message.
        voluntary_recv: Option<f64> as "field::hundredths",
        /// Involuntary context switches of the sender per message.
        involuntary_send: Option<f64> as "field::hundredths",
        /// Involuntary context switches of the receiver per message.
        involuntary_recv: Option<f64> as "field::hundredths",
        /// Page faults of the sender per message that needed no input or output.
        minor_faults_send: Option<f64> as "field::hundredths",
        /// Page faults of the receiver per message that needed no input or output.
        minor_faults_recv: Option<f64> as "field::hundredths",
        /// Processor time of the sender in user mode per message, as the kernel samples it.
        user_ns_send: Option<f64> as "field::tenths",
        /// Processor time of the receiver in user mode per message, as the kernel samples it.
        user_ns_recv: Option<f64> as "field::tenths",
        /// Processor time of the sender in the kernel per message, as the kernel samples it.
        system_ns_send: Option<f64> as "field::tenths",
        /// Processor time of the receiver in the kernel per message, as the kernel samples it.
        system_ns_recv: Option<f64> as "field::tenths",
        /// Exact processor time of both sides per message.
        cpu_ns: Option<f64> as "field::tenths",
        /// Number of processors that the pair kept busy: 0 to 2.
        utilisation: Option<f64> as "field::hundredths",
        /// Mean time of a round trip, from pairs that play ping-pong.
        round_trip_ns: Option<f64> as "field::tenths",
        /// Processor time of both sides per round trip, from pairs that play ping-pong.
        round_trip_cpu_ns: Option<f64> as "field::tenths",
        /// Energy of the processor package per message. It includes the idle parts of the package.
        energy_nj: Option<f64> as "field::tenths",
        /// Why there are no figures. Empty if there are.
        error: String as "field::line",
    }
    later {
        /// Lower end of the 95 % Student-t interval of the pairs' processor time per message.
        cpu_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % Student-t interval of the pairs' processor time per message.
        cpu_hi_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % Student-t interval of the pairs' mean round trips.
        round_trip_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % Student-t interval of the pairs' mean round trips.
        round_trip_hi_ns: Option<f64> as "field::tenths",
        /// Lower end of the 95 % Student-t interval of the pairs' processor time per round trip.
        round_trip_cpu_lo_ns: Option<f64> as "field::tenths_low",
        /// Upper end of the 95 % Student-t interval of the pairs' processor time per round trip.
        round_trip_cpu_hi_ns: Option<f64> as "field::tenths",
        /// Doubts about the figures of pairs that sent one way.
        flags: Flags as "field::name",
        /// Doubts about the figures of pairs that played ping-pong.
        round_trip_flags: Flags as "field::name",
        /// Number of counted pairs that played ping-pong.
        round_trip_pairs: Option<u32> as "field::maybe",
        /// Proximity of the two processors in pairs that sent one way.
        proximity: Option<Proximity> as "field::maybe",
        /// Proximity of the two processors in pairs that played ping-pong.
        round_trip_proximity: Option<Proximity> as "field::maybe",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cell::{Access, Cell, Placement, Workload},
        rows::{Error, Flag, Row as _, read, write},
    };
    use ipc_core::Wait;
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
