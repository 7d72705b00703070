//! Reference runs, to which a finished run is compared in three lines.
//!
//! A reference is a folder of results in `results/machines`. The nearest one is that of the most similar machine. Two
//! figures of a cell differ if their intervals do not overlap. The intervals cover the pairs of one run only. So a
//! difference may also be one between two days.

use crate::Results;
use bench_record::{
    cell::{Cell, Placement, Workload},
    host::Host,
    rows::{LatencyRow, ThroughputRow},
    stats,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A reference run.
pub struct Reference {
    /// The name of the reference's folder.
    pub name: String,
    /// How its machine differs from this one, in words.
    pub differs: Vec<&'static str>,
    results: Results,
}

/// The properties in which two machines differ, the most important first.
fn differences(here: &Host, there: &Host) -> Vec<&'static str> {
    let facts = [
        (here.build.target == there.build.target, "architecture"),
        (here.cpu.vendor == there.cpu.vendor, "processor vendor"),
        (here.virtualisation.virtual_machine == there.virtualisation.virtual_machine, "virtual or not"),
        (here.cpu.model == there.cpu.model, "processor model"),
        (here.cpu.threads == there.cpu.threads, "number of CPUs"),
    ];
    facts.into_iter().filter(|(same, _)| !same).map(|(_, what)| what).collect()
}

/// The distance between two machines. The most important difference decides, then the next one.
fn distance(here: &Host, there: &Host) -> u32 {
    let weight = |what: &&str| match *what {
        "architecture" => 16,
        "processor vendor" => 8,
        "virtual or not" => 4,
        "processor model" => 2,
        _ => 1,
    };
    differences(here, there).iter().map(weight).sum()
}

/// The reference in the folder `machines` whose machine is most like that of `host`. Of equal ones, it is the first by
/// name. The folder `except` is the run's own and is skipped. `None` if no reference can be read.
pub fn nearest(machines: &Path, host: &Host, except: &Path) -> Option<Reference> {
    let own = except.canonicalize().ok();
    let entries = fs::read_dir(machines).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    folders.retain(|folder| folder.canonicalize().ok() != own);
    let hosts = folders.into_iter().filter_map(|folder| Some((Host::read(&folder).ok()??, folder)));
    let mut hosts: Vec<(Host, PathBuf)> = hosts.collect();
    hosts.sort_by_key(|(there, _)| distance(host, there));
    hosts.into_iter().find_map(|(there, folder)| {
        let name = folder.file_name()?.to_string_lossy().into_owned();
        Some(Reference { name, differs: differences(host, &there), results: Results::read(&folder, &[]).ok()? })
    })
}

/// A figure with its confidence interval.
#[derive(Clone, Copy)]
struct Figure {
    value: f64,
    lo: f64,
    hi: f64,
}

/// A cell's time relative to the reference: 2 is twice as slow.
struct Ratio {
    cell: Cell,
    by: f64,
    /// Whether the two intervals are disjoint.
    apart: bool,
}

/// Time of a round trip.
fn of_latency(row: &LatencyRow) -> Option<(Cell, Figure)> {
    Some((row.key(), Figure { value: row.p50_ns?, lo: row.p50_lo_ns?, hi: row.p50_hi_ns? }))
}

/// Time of a byte.
fn of_throughput(row: &ThroughputRow) -> Option<(Cell, Figure)> {
    let time = |rate: Option<f64>| rate.filter(|rate| *rate > 0.0).map(|rate| 1.0 / rate);
    let (value, lo, hi) = (time(row.bytes_per_s)?, time(row.bytes_per_s_hi)?, time(row.bytes_per_s_lo)?);
    Some((row.key(), Figure { value, lo, hi }))
}

fn ratios<R>(here: &[R], there: &[R], of: fn(&R) -> Option<(Cell, Figure)>) -> Vec<Ratio> {
    let known: BTreeMap<Cell, Figure> = there.iter().filter_map(of).collect();
    let common = here.iter().filter_map(of).filter_map(|(cell, here)| Some((cell, here, *known.get(&cell)?)));
    let ratio = |(cell, here, there): (Cell, Figure, Figure)| {
        let apart = here.hi < there.lo || there.hi < here.lo;
        (there.value > 0.0 && here.value > 0.0).then_some(Ratio { cell, by: here.value / there.value, apart })
    };
    common.filter_map(ratio).collect()
}

fn is_round_trip(cell: &Cell, on_one_core: bool) -> bool {
    cell.workload == Workload::Latency && (cell.placement == Placement::SameCore) == on_one_core
}

impl Reference {
    /// Compares a run with this reference, in three lines. Empty if they have no cell in common.
    pub fn compare(&self, latency: &[LatencyRow], throughput: &[ThroughputRow]) -> Vec<String> {
        let mut all = ratios(latency, &self.results.rows.latency, of_latency);
        all.extend(ratios(throughput, &self.results.rows.throughput, of_throughput));
        if all.is_empty() {
            return Vec::new();
        }
        let apart = || all.iter().filter(|ratio| ratio.apart);
        let (faster, slower) = (apart().filter(|r| r.by < 1.0).count(), apart().filter(|r| r.by > 1.0).count());
        let machine =
            if self.differs.is_empty() { String::new() } else { format!(" (differs by {})", self.differs.join(", ")) };
        let median = |name: &str, belongs: fn(&Cell) -> bool| {
            let mut by: Vec<f64> = all.iter().filter(|ratio| belongs(&ratio.cell)).map(|ratio| ratio.by).collect();
            Some(format!("{name} {:.2}", stats::median(&mut by)?))
        };
        let medians = [
            median("round trip on one core", |cell| is_round_trip(cell, true)),
            median("across cores", |cell| is_round_trip(cell, false)),
            median("a byte one way", |cell| cell.workload == Workload::Throughput),
        ];
        let furthest = apart().max_by(|a, b| a.by.ln().abs().total_cmp(&b.by.ln().abs()));
        vec![
            format!(
                "Compared with {}, the nearest reference{machine}: of {} cells {faster} are faster and {slower} slower",
                self.name,
                all.len()
            ),
            format!(
                "  beyond both intervals. Time here / there, median over cells: {}.",
                medians.into_iter().flatten().collect::<Vec<_>>().join(", ")
            ),
            furthest.map_or_else(
                || "  No cell differs beyond both intervals.".to_owned(),
                |ratio| format!("  Furthest apart: {}, {:.2} × its time there.", ratio.cell, ratio.by),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_record::{cell::Cell, rows};

    fn host(model: &str, threads: u32) -> Host {
        let mut host = Host::default();
        host.cpu.vendor = Some(if model.starts_with("AMD") { "AuthenticAMD" } else { "GenuineIntel" }.into());
        host.cpu.model = Some(model.into());
        host.cpu.threads = Some(threads);
        host
    }

    fn latency(cell: &str, p50: f64, half: f64) -> LatencyRow {
        let cell: Cell = cell.parse().unwrap();
        let (p50_ns, p50_lo_ns, p50_hi_ns) = (Some(p50), Some(p50 - half), Some(p50 + half));
        LatencyRow { p50_ns, p50_lo_ns, p50_hi_ns, ..LatencyRow::empty(&cell) }
    }

    fn throughput(cell: &str, rate: f64, half: f64) -> ThroughputRow {
        let (bytes_per_s, bytes_per_s_lo, bytes_per_s_hi) = (Some(rate), Some(rate - half), Some(rate + half));
        ThroughputRow { bytes_per_s, bytes_per_s_lo, bytes_per_s_hi, ..ThroughputRow::empty(&cell.parse().unwrap()) }
    }

    const CELLS: [&str; 3] = [
        "latency/pipe/64/same-core/block/copy",
        "latency/pipe/64/cross-core/block/copy",
        "latency/fifo/64/cross-core/block/copy",
    ];

    fn reference(machines: &Path, name: &str, host: &Host) {
        let dir = machines.join(name);
        fs::create_dir_all(&dir).unwrap();
        let rows = [latency(CELLS[0], 100.0, 5.0), latency(CELLS[1], 1000.0, 50.0), latency(CELLS[2], 1000.0, 50.0)];
        rows::write(&dir, &rows).unwrap();
        rows::write(&dir, &[throughput("throughput/pipe/64/same-core/block/copy", 1e6, 1e4)]).unwrap();
        host.write(&dir).unwrap();
    }

    #[test]
    fn the_nearest_machine_is_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let here = host("AMD EPYC 9", 4);
        let name = |except: &Path| nearest(dir.path(), &here, except).map(|found| found.name);
        let nowhere = Path::new("/nonexistent");
        assert_eq!(name(nowhere), None);
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("a file"), "").unwrap();
        assert_eq!(name(nowhere), None);
        reference(dir.path(), "intel-4", &host("Intel Xeon", 4));
        assert_eq!(name(nowhere).unwrap(), "intel-4");
        reference(dir.path(), "other-amd-4", &host("AMD Ryzen", 4));
        reference(dir.path(), "same-amd-64", &host("AMD EPYC 9", 64));
        assert_eq!(name(nowhere).unwrap(), "same-amd-64");
        // A reference that is being made is not compared with itself.
        assert_eq!(name(&dir.path().join("same-amd-64")).unwrap(), "other-amd-4");
        assert_eq!(nearest(dir.path(), &here, nowhere).unwrap().differs, ["number of CPUs"]);
    }

    #[test]
    fn three_lines_say_what_the_intervals_allow() {
        let dir = tempfile::tempdir().unwrap();
        reference(dir.path(), "twin", &host("AMD EPYC 9", 4));
        let twin = nearest(dir.path(), &host("AMD EPYC 9", 4), Path::new("/nonexistent")).unwrap();
        assert!(twin.compare(&[], &[]).is_empty());
        // One cell is faster, one is within the intervals, one is slower. The rate is lower.
        let rows = [latency(CELLS[0], 50.0, 5.0), latency(CELLS[1], 1080.0, 50.0), latency(CELLS[2], 1500.0, 50.0)];
        let rates = [throughput("throughput/pipe/64/same-core/block/copy", 0.8e6, 1e4)];
        let lines = twin.compare(&rows, &rates);
        let [counts, medians, furthest] = &lines[..] else { panic!("{lines:?}") };
        assert!(counts.contains("twin, the nearest reference: of 4 cells 1 are faster and 2 slower"), "{counts}");
        for median in ["round trip on one core 0.50", "across cores 1.29", "a byte one way 1.25"] {
            assert!(medians.contains(median), "{medians}");
        }
        assert!(furthest.contains("latency/pipe/64/same-core/block/copy, 0.50 ×"), "{furthest}");
        let same = twin.compare(&[latency(CELLS[1], 1020.0, 50.0)], &[]);
        assert!(same[0].contains("0 are faster and 0 slower") && same[2].contains("No cell differs"), "{same:?}");
    }
}
