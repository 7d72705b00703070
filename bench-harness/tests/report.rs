//! From result files to report: what is written is read back, what is broken is said, and the same results always make
//! the same report. The figures are synthetic, in the proportions of a two-core virtual machine.

use bench_harness::STANDARD;
use bench_record::{
    cell::{Access, Cell, Placement, Workload},
    fault::Fault,
    host::Host,
    rows::{
        self, CopiesRow, CostRow, Distribution, Error, FaultRow, Flag, LatencyRow, Proximity, Row, Rows, ThroughputRow,
        histograms,
    },
};
use bench_report::{self, matrix, tables};
use hdrhistogram::Histogram;
use ipc_core::Wait;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

const VIEWS: [(Placement, Wait); 3] =
    [(Placement::SameCore, Wait::Block), (Placement::CrossCore, Wait::Block), (Placement::CrossCore, Wait::Spin)];

fn mechanisms() -> impl Iterator<Item = &'static str> {
    STANDARD.iter().map(|mechanism| mechanism.spec.name)
}

/// The copies of a message in place, if there is that.
fn copies_in_place(mechanism: &str) -> Option<u32> {
    STANDARD.named(mechanism).unwrap().spec.declared_copies.in_place
}

/// Mechanisms of which both processes reach the payload where it lies.
fn is_memory(mechanism: &str) -> bool {
    copies_in_place(mechanism) == Some(0)
}

/// Mechanisms of which a process takes the payload from where the other produced it.
fn lends(mechanism: &str) -> bool {
    copies_in_place(mechanism).is_some_and(|copies| copies > 0)
}

/// Every cell of a plan with these sizes.
fn cells(workload: Workload, sizes: &[usize]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for mechanism in mechanisms() {
        for &access in Access::ALL {
            for &size in sizes.iter().filter(|_| access == Access::Copy || is_memory(mechanism) || lends(mechanism)) {
                let cell = |(placement, wait)| Cell { workload, mechanism, size, placement, wait, access };
                cells.extend(VIEWS.map(cell));
            }
        }
    }
    cells
}

/// Why a cell cannot be measured.
fn refusal(cell: &Cell) -> Option<String> {
    let max = match cell.mechanism {
        "sysv-msgq" | "posix-mq" => 8192,
        "udp" => 65_507,
        _ => usize::MAX,
    };
    (cell.size > max).then(|| format!("a message of {} bytes cannot pass: the limit is {max} bytes", cell.size))
}

/// A plausible median round trip.
fn median_ns(cell: &Cell) -> f64 {
    let rank = mechanisms().position(|m| m == cell.mechanism).unwrap() as f64;
    let memory = is_memory(cell.mechanism);
    let network = if ["tcp", "udp"].contains(&cell.mechanism) { 1.7 } else { 1.0 };
    let base = match (cell.placement, cell.wait) {
        (Placement::SameCore, _) => 3_200.0 + 90.0 * rank,
        (_, Wait::Block) => 28_000.0 + 600.0 * rank,
        _ if memory => 84.0 + 2.0 * rank,
        _ => 1_050.0 + 60.0 * rank,
    };
    let copies = match (memory, cell.access) {
        (true, Access::InPlace) => 0.4,
        (true, Access::Copy) => 1.0,
        _ => 2.2,
    };
    base * network + cell.size as f64 * 2.0 / 25.0 * copies
}

fn histogram(cell: &Cell, samples: u64) -> Histogram<u64> {
    let mut random = fastrand::Rng::with_seed(cell.size as u64 * 31 + median_ns(cell) as u64);
    let mut histogram = Histogram::new_with_bounds(1, 10_000_000_000, 3).unwrap();
    for _ in 0..samples {
        let body = 1.0 + 0.06 * (random.f64() + random.f64() + random.f64() - 1.5);
        let tail = if random.u32(..60) == 0 { 2.0 + 40.0 * random.f64().powi(8) } else { 1.0 };
        histogram.record((median_ns(cell) * body * tail) as u64).unwrap();
    }
    histogram
}

/// As the CSV files hold it.
fn tenth(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

fn latency_row(cell: &Cell, histogram: &Histogram<u64>) -> LatencyRow {
    let at = |quantile| Some(histogram.value_at_quantile(quantile) as f64);
    let p50 = histogram.value_at_quantile(0.5) as f64;
    let mut row = LatencyRow::empty(cell);
    (row.pairs, row.samples) = (5, histogram.len());
    (row.min_ns, row.max_ns) = (Some(histogram.min() as f64), Some(histogram.max() as f64));
    (row.p50_ns, row.p50_lo_ns, row.p50_hi_ns) = (Some(p50), Some(tenth(p50 * 0.98)), Some(tenth(p50 * 1.02)));
    (row.p90_ns, row.p99_ns, row.p999_ns) = (at(0.9), at(0.99), at(0.999));
    row.mean_ns = Some(histogram.mean());
    if cell.placement == Placement::CrossCore {
        (row.proximity, row.probe_ns) = (Some(Proximity::Near), Some(62.25));
    }
    if p50 < 400.0 {
        row.flags.insert(Flag::ClockBound);
        (row.batch_mean_ns, row.batch_mean_lo_ns, row.batch_mean_hi_ns) =
            (Some(p50 - 9.0), Some(p50 - 10.0), Some(p50 - 8.0));
    }
    match (cell.mechanism, cell.placement) {
        ("memfd", Placement::CrossCore) => row.proximity = Some(Proximity::Far),
        ("tcp", Placement::SameCore) => row.flags.extend([Flag::Unsteady, Flag::Bimodal]),
        ("udp", _) => row.lost = Some(0),
        _ => {}
    }
    row
}

fn throughput_row(cell: &Cell) -> ThroughputRow {
    let mut row = ThroughputRow::empty(cell);
    if let Some(error) = refusal(cell) {
        row.error = error;
        return row;
    }
    let memory = is_memory(cell.mechanism);
    let message_ns = match (memory, cell.access) {
        (true, Access::InPlace) => 9.0 + cell.size as f64 / 30.0,
        (true, Access::Copy) => 12.0 + cell.size as f64 / 14.0,
        _ => median_ns(cell).min(2_500.0) / 4.0 + cell.size as f64 / 3.5,
    };
    let rate = 1e9 / message_ns;
    let bytes = rate * cell.size as f64;
    (row.pairs, row.messages) = (5, 1_000_000);
    (row.msgs_per_s, row.bytes_per_s) = (Some(rate.round()), Some(bytes.round()));
    (row.bytes_per_s_lo, row.bytes_per_s_hi) = (Some((bytes * 0.97).round()), Some((bytes * 1.03).round()));
    row
}

fn copies_row(cell: &Cell) -> CopiesRow {
    let mut row = CopiesRow::empty(cell.mechanism.to_owned(), cell.size, cell.access);
    if let Some(error) = refusal(cell) {
        row.error = error;
        return row;
    }
    let (kernel, user) = match (cell.mechanism, cell.access) {
        (mechanism, access) if is_memory(mechanism) => (0.0, if access == Access::Copy { 2.0 } else { 0.0 }),
        ("tcp-zerocopy", access) => (2.0, if access == Access::Copy { 1.0 } else { 0.0 }),
        (mechanism, access) if lends(mechanism) => (1.0, if access == Access::Copy { 1.0 } else { 0.0 }),
        _ => (2.0, 0.0),
    };
    (row.kernel_copies, row.user_copies, row.total_copies) = (Some(kernel), Some(user), Some(kernel + user));
    (row.moved, row.by_reference, row.declared) =
        (Some(kernel), Some(kernel + user < 2.0), Some((kernel + user) as u32));
    let calls = if is_memory(cell.mechanism) { 0.0 } else { 1.0 };
    (row.syscalls_send, row.syscalls_recv) = (Some(calls), Some(calls));
    row.evidence = "system calls traced; payload byte watched".into();
    row
}

fn cost_row(cell: &Cell) -> CostRow {
    let round_trip = median_ns(cell);
    let busy = match (cell.wait, cell.placement) {
        (Wait::Spin, _) => 2.0,
        (_, Placement::SameCore) => 0.98,
        _ => 0.4,
    };
    let calls = Some(if is_memory(cell.mechanism) { 0.25 } else { 1.0 });
    CostRow {
        workload: Workload::Cost,
        mechanism: cell.mechanism.into(),
        size: cell.size,
        placement: cell.placement,
        wait: cell.wait,
        access: cell.access,
        pairs: 5,
        messages: 100_000,
        syscalls_send: calls,
        syscalls_recv: calls,
        voluntary_send: Some(0.12),
        voluntary_recv: Some(0.34),
        involuntary_send: Some(0.0),
        involuntary_recv: Some(0.01),
        minor_faults_send: Some(0.0),
        minor_faults_recv: Some(0.0),
        user_ns_send: Some(120.0),
        user_ns_recv: Some(130.0),
        system_ns_send: Some(500.0),
        system_ns_recv: Some(600.0),
        cpu_ns: Some(tenth(round_trip * busy / 4.0)),
        utilisation: Some(busy),
        round_trip_ns: Some(tenth(round_trip)),
        round_trip_cpu_ns: Some(tenth(round_trip * busy)),
        cpu_lo_ns: Some(tenth(0.9 * round_trip * busy / 4.0)),
        cpu_hi_ns: Some(tenth(1.1 * round_trip * busy / 4.0)),
        round_trip_lo_ns: Some(tenth(0.97 * round_trip)),
        round_trip_hi_ns: Some(tenth(1.03 * round_trip)),
        round_trip_cpu_lo_ns: Some(tenth(0.95 * round_trip * busy)),
        round_trip_cpu_hi_ns: Some(tenth(1.05 * round_trip * busy)),
        round_trip_flags: [Flag::Preempted].into_iter().collect(),
        round_trip_pairs: Some(5),
        ..CostRow::empty(cell)
    }
}

/// What [`write_full`] leaves out: rows of what messages cost.
fn write_costs(dir: &Path) {
    let here = |cell: &&Cell| (cell.placement, cell.wait) == VIEWS[0];
    let copies: Vec<_> = cells(Workload::Copies, &[4096, 65_536]).iter().filter(here).map(copies_row).collect();
    rows::write(dir, &copies).unwrap();
    let cost: Vec<_> =
        cells(Workload::Cost, &[64, 65_536]).iter().filter(|c| refusal(c).is_none()).map(cost_row).collect();
    rows::write(dir, &cost).unwrap();
    assert_eq!(rows::read::<CopiesRow>(dir).unwrap(), copies);
    assert_eq!(rows::read::<CostRow>(dir).unwrap(), cost);
}

fn synthetic_host() -> Host {
    let mut host = Host::default();
    host.cpu.model = Some("Example CPU <7> & Sons".into());
    (host.cpu.sockets, host.cpu.cores, host.cpu.threads) = (Some(1), Some(2), Some(2));
    host.kernel.release = Some("6.12.0-example".into());
    host.virtualisation.virtual_machine = Some(true);
    host.limits = BTreeMap::from([("kernel.msgmax".to_owned(), Some(8192)), ("fs.pipe-max-size".to_owned(), None)]);
    host.run.command = Some("ipc-bench run --out results".into());
    host.run.started = Some("2026-03-01T12:30:05Z".into());
    (host.run.duration_s, host.run.pairs, host.run.clock_read_ns) = (Some(171.3), Some(5), Some(20.1));
    host.run.notes = vec!["spin on same-core is left out: one core cannot both spin and answer".into()];
    host
}

/// Writes the results of `latency` and `throughput` cells to `dir`.
fn write_results(dir: &Path, latency: &[Cell], throughput: &[Cell], samples: u64) {
    let mut rows = Vec::new();
    let mut listed = Vec::new();
    for cell in latency {
        if let Some(error) = refusal(cell) {
            rows.push(LatencyRow::failed(cell, error));
            continue;
        }
        let histogram = histogram(cell, samples);
        rows.push(latency_row(cell, &histogram));
        listed.push((cell.to_string(), histogram));
    }
    if !rows.is_empty() {
        rows::write(dir, &rows).unwrap();
        histograms::write(dir, UNIX_EPOCH + Duration::from_secs(1_772_368_205), &listed).unwrap();
    }
    if !throughput.is_empty() {
        rows::write(dir, &throughput.iter().map(throughput_row).collect::<Vec<_>>()).unwrap();
    }
    synthetic_host().write(dir).unwrap();
}

fn write_full(dir: &Path, samples: u64) {
    let latency = cells(Workload::Latency, &[64, 4096, 65_536]);
    let throughput = cells(Workload::Throughput, &[64, 4096, 65_536, 1 << 20]);
    write_results(dir, &latency, &throughput, samples);
}

/// Every file under `dir` with its content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn rows_survive_the_csv_files() {
    let dir = tempfile::tempdir().unwrap();
    let cell = cells(Workload::Latency, &[64])[0];
    let mut full = latency_row(&cell, &histogram(&cell, 1000));
    full.mean_ns = Some(1234.5);
    full.flags.extend([Flag::Preempted, Flag::Lossy]);
    full.lost = Some(3);
    full.p50_lo_ns = Some(-12.5);
    let failed = LatencyRow::failed(&Cell { size: 65_536, ..cell }, "no, \"really\"\nnot");
    rows::write(dir.path(), &[full.clone(), failed.clone()]).unwrap();

    let text = fs::read_to_string(dir.path().join("latency.csv")).unwrap();
    assert!(text.starts_with(
        "workload,mechanism,size,placement,wait,access,pairs,samples,min_ns,p50_ns,p50_lo_ns,p50_hi_ns,p90_ns,p99_ns,\
         p999_ns,max_ns,mean_ns,flags,error,batch_mean_ns,batch_mean_lo_ns,batch_mean_hi_ns,proximity,probe_ns,lost\n"
    ));
    assert!(text.contains(",1234.5,preempted;lossy,,"), "{text}");
    assert_eq!(text.lines().count(), 3, "an error is one line: {text}");
    let read: Vec<LatencyRow> = rows::read(dir.path()).unwrap();
    assert_eq!(read, [full, LatencyRow { error: "no, \"really\"; not".into(), ..failed }]);

    let rows: Vec<_> = cells(Workload::Throughput, &[64, 65_536]).iter().map(throughput_row).collect();
    rows::write(dir.path(), &rows).unwrap();
    let rounded: Vec<ThroughputRow> = rows::read(dir.path()).unwrap();
    assert_eq!(rounded, rows);
    assert!(fs::read_to_string(dir.path().join("throughput.csv")).unwrap().starts_with(
        "workload,mechanism,size,placement,wait,access,pairs,messages,msgs_per_s,bytes_per_s,bytes_per_s_lo,\
         bytes_per_s_hi,flags,error,lost,proximity,probe_ns\n"
    ));
}

#[test]
fn the_header_is_the_struct() {
    let cell = cells(Workload::Latency, &[64])[0];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(LatencyRow::empty(&cell)).unwrap();
    let header = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    assert_eq!(header.lines().next(), Some(&*LatencyRow::COLUMNS.join(",")));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(ThroughputRow::empty(&cell)).unwrap();
    let header = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    assert_eq!(header.lines().next(), Some(&*ThroughputRow::COLUMNS.join(",")));
}

#[test]
fn a_run_without_rows_has_a_header() {
    let dir = tempfile::tempdir().unwrap();
    rows::write::<LatencyRow>(dir.path(), &[]).unwrap();
    assert_eq!(rows::read::<LatencyRow>(dir.path()).unwrap(), []);
}

/// The message of the error that reading `text` as latency.csv gives; always one line that names the file.
fn broken(text: &str) -> (Error, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("latency.csv"), text).unwrap();
    let error = rows::read::<LatencyRow>(dir.path()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("latency.csv: line ") && message.lines().count() == 1, "{message}");
    (error, message)
}

#[test]
fn broken_csv_is_named_by_line_and_expectation() {
    let dir = tempfile::tempdir().unwrap();
    let cell = cells(Workload::Latency, &[64])[0];
    let row = latency_row(&cell, &histogram(&cell, 100));
    rows::write(dir.path(), &[row, LatencyRow::failed(&Cell { size: 65_536, ..cell }, "x")]).unwrap();
    let good = fs::read_to_string(dir.path().join("latency.csv")).unwrap();

    let (error, message) = broken("city,country\nParis,France\n");
    assert!(matches!(error, Error::Header { column: "workload", .. }), "{message}");
    let (error, message) = broken("");
    assert!(matches!(error, Error::Header { .. }), "{message}");
    let (error, message) = broken(&good[..good.len() - 9]);
    assert!(matches!(error, Error::Row { line: 3, .. }), "{message}");
    let (error, message) = broken(&good.replace(",65536,", ",65536,oops,"));
    assert!(matches!(error, Error::Row { line: 3, .. }) && message.contains("26 fields: expected 25"), "{message}");
    let (_, message) = broken(&good.replace("same-core", "moon"));
    assert!(
        message.contains("line 2: column 'placement': unknown placement 'moon': use one of same-core"),
        "{message}"
    );
    let (_, message) = broken(&good.replace(",65536,", ",-1,"));
    assert!(message.contains("line 3: column 'size'") && message.contains("whole number"), "{message}");
    let (_, message) = broken(&good.replace("latency,pipe,64,", "latency,../pipe,64,"));
    assert!(message.contains("column 'mechanism'"), "{message}");
    let (_, message) = broken(&good.replace("latency,pipe,64,", "throughput,pipe,64,"));
    assert!(message.contains("expected 'latency'"), "{message}");
    let (_, message) = broken(&good.replace(",65536,", ",64,"));
    assert!(message.contains("line 3: latency/pipe/64/same-core/block/copy occurs twice"), "{message}");
    for figure in ["NaN", "-3", "fast"] {
        let (_, message) = broken(&good.replacen(",100,", &format!(",100,{figure}"), 1));
        assert!(message.contains("column 'min_ns'") && message.contains("expected a number"), "{message}");
    }
}

#[test]
fn columns_of_other_versions_are_tolerated() {
    let dir = tempfile::tempdir().unwrap();
    let cell = cells(Workload::Latency, &[64])[0];
    let row = LatencyRow::failed(&cell, "x");
    rows::write(dir.path(), std::slice::from_ref(&row)).unwrap();
    let path = dir.path().join("latency.csv");
    let text = fs::read_to_string(&path).unwrap();
    let (header, line) = text.trim_end().split_once('\n').unwrap();
    fs::write(&path, format!("{header},newer\n{line},7\n")).unwrap();
    assert_eq!(rows::read::<LatencyRow>(dir.path()).unwrap(), std::slice::from_ref(&row));
    // An older file ends with the column error.
    let older = header.split_once(",batch_mean_ns").unwrap().0;
    fs::write(&path, format!("{older}\n{}\n", line.trim_end_matches(','))).unwrap();
    assert_eq!(rows::read::<LatencyRow>(dir.path()).unwrap(), [row]);
}

/// The lines of a percentile listing: value, quantile, count.
fn listing(path: &Path) -> Vec<(f64, f64, u64)> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n") && text.contains("#[Max"));
    let lines = text.lines().skip(2).filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields.map(|f| (f[0].parse().unwrap(), f[1].parse().unwrap(), f[2].parse().unwrap())).collect()
}

#[test]
fn percentile_listings_agree_with_the_histogram() {
    let dir = tempfile::tempdir().unwrap();
    let cell = cells(Workload::Latency, &[64])[0];
    let histogram = histogram(&cell, 20_000);
    histograms::write(dir.path(), UNIX_EPOCH, &[(cell.to_string(), histogram.clone())]).unwrap();
    let listed = listing(&dir.path().join("histograms").join(histograms::file_name(&cell.to_string())));
    for &(value, quantile, count) in &listed {
        let expected = histogram.value_at_quantile(quantile);
        assert!(histogram.equivalent(value as u64, expected), "{value} {quantile}: {expected}");
        assert_eq!(count, histogram.count_between(0, value as u64), "{value} {quantile}");
    }
    let &(last, _, count) = listed.last().unwrap();
    assert!(count == 20_000 && histogram.equivalent(last as u64, histogram.max()));
    // The log has the same steps.
    let read = &Distribution::read_all(dir.path()).unwrap()[&cell.to_string()];
    assert_eq!((read.count(), read.steps.len()), (20_000, listed.len()));
    assert!(read.steps.iter().zip(&listed).all(|(step, line)| (step.value_ns, step.count) == (line.0, line.2)));
}

#[test]
fn the_log_holds_every_histogram_by_name() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use hdrhistogram::serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    };
    let dir = tempfile::tempdir().unwrap();
    let written: Vec<_> =
        cells(Workload::Latency, &[64])[..3].iter().map(|c| (c.to_string(), histogram(c, 500))).collect();
    histograms::write(dir.path(), UNIX_EPOCH, &written).unwrap();
    let log = fs::read(dir.path().join("all.hlog")).unwrap();
    let intervals: Vec<_> = IntervalLogIterator::new(&log)
        .filter_map(|entry| match entry.unwrap() {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        })
        .collect();
    assert_eq!(intervals.len(), written.len());
    for (interval, (cell, histogram)) in intervals.iter().zip(&written) {
        assert_eq!(interval.tag().unwrap().as_str(), cell);
        let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read, *histogram);
    }
}

#[test]
fn a_broken_log_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Distribution::read_all(dir.path()).unwrap().is_empty());
    let two: Vec<_> = cells(Workload::Latency, &[64])[..2].iter().map(|c| (c.to_string(), histogram(c, 50))).collect();
    histograms::write(dir.path(), UNIX_EPOCH, &two).unwrap();
    let names = || Distribution::read_all(dir.path()).unwrap().into_keys().collect::<Vec<_>>();
    let mut expected: Vec<_> = two.iter().map(|(name, _)| name.clone()).collect();
    expected.sort();
    assert_eq!(names(), expected);

    let path = dir.path().join("all.hlog");
    let text = fs::read_to_string(&path).unwrap();
    let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
    let line = text.lines().count();
    let cut = &last[..last.len() / 2];
    for (broken, line) in [
        ("hello\n".to_owned(), 1),
        (format!("{head}\n{cut}"), line),
        (format!("{head}\n{cut}\n"), line),
        (text.replace("Tag=", "Tug="), line - 1),
    ] {
        fs::write(&path, broken).unwrap();
        let error = Distribution::read_all(dir.path()).unwrap_err();
        let named = format!("all.hlog: line {line}: ");
        assert!(matches!(error, Error::Row { .. }) && error.to_string().contains(&named), "{error}");
    }

    // Runs of earlier versions have it beside the listings.
    fs::rename(&path, dir.path().join("histograms/all.hlog")).unwrap();
    fs::write(dir.path().join("histograms/all.hlog"), &text).unwrap();
    assert_eq!(names(), expected);
}

#[test]
fn a_report_is_the_same_every_time() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 2_000);
    let written = bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert!(written.iter().all(|path| path.exists()));
    assert_eq!(written.len(), 6, "{written:?}");
    let first = snapshot(dir.path());
    assert_eq!(bench_report::build(dir.path(), &STANDARD.specs()).unwrap(), written);
    assert_eq!(snapshot(dir.path()), first);

    let listings: usize =
        first.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "hgrm")).map(|f| f.1.len()).sum();
    assert!(listings < 1_500_000, "{listings} bytes of listings");
    let page = String::from_utf8(first[&dir.path().join("report.html")].clone()).unwrap();
    assert!(page.contains("Example CPU &lt;7&gt; &amp; Sons") && !page.contains("CPU <7>"));
    for foreign in ["http://", "https://", "src=", "@import"] {
        let rest = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!rest.contains(foreign), "the page refers to something outside: {foreign}");
    }
    let readme = String::from_utf8(first[&dir.path().join("README.md")].clone()).unwrap();
    assert!(readme.contains("ipc-bench run --out results") && readme.contains("spin on same-core is left out"));
    for mechanism in mechanisms() {
        assert!(readme.contains(&format!("| {mechanism} |")), "{mechanism} is not in the README");
    }
}

#[test]
fn what_messages_cost_is_shown_where_it_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 100);
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert!(!fs::read_to_string(dir.path().join("README.md")).unwrap().contains("At a glance"));
    write_costs(dir.path());
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    let readme = fs::read_to_string(dir.path().join("README.md")).unwrap();
    // Round trip, throughput, copies, system calls, processor time one way and there and back; ranks before, doubts behind.
    let line = "| vmsplice in place | **1** · 28.6 ± 0.6 µs | **11** · 3.39 ± 0.10 GB/s | 1 | 1/1 | **1** · 2.9 ± 0.3 \
                µs | **1** · 11.4 ± 0.6 µs p |";
    assert!(readme.contains(line), "{readme}");
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("id=\"glance\""));
    // Every table can be sorted, figures by what they are and not by how they read; the script is in the page.
    assert_eq!(page.matches("<table").count(), page.matches("<table class=\"sortable\">").count());
    let cell = Cell {
        workload: Workload::Throughput,
        mechanism: "pipe",
        size: 65_536,
        ..cells(Workload::Throughput, &[64])[0]
    };
    let key = format!("data-v=\"{}\"", throughput_row(&cell).bytes_per_s.unwrap());
    assert!(page.contains(&key) && page.contains("aria-sort=\"ascending\"") && page.contains("head.tabIndex = 0"));
    for chart in ["copies-throughput.svg", "cpu-latency.svg"] {
        assert!(dir.path().join("charts").join(chart).exists(), "{chart}");
    }
    // One file of a run is enough for a report.
    for file in ["latency.csv", "throughput.csv", "cost.csv"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert!(!dir.path().join("charts/cpu-latency.svg").exists());
}

#[test]
fn charts_are_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 500);
    write_costs(dir.path());
    for path in bench_report::build(dir.path(), &STANDARD.specs())
        .unwrap()
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "svg"))
    {
        let svg = fs::read_to_string(path).unwrap();
        well_formed(&svg).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(svg.contains("viewBox=") && svg.contains("<title>") && svg.len() < 400_000);
        assert!(!svg.contains("NaN") && !svg.contains("inf\""));
    }
}

/// A small check of XML: tags nest, attributes are quoted, no stray `<` or `&`.
fn well_formed(xml: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        entities(&rest[..start])?;
        let end = rest[start..].find('>').ok_or("a tag does not end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
            continue;
        }
        if tag.contains('<') || !tag.matches('"').count().is_multiple_of(2) {
            return Err(format!("<{tag}>"));
        }
        entities(tag)?;
        if !tag.ends_with('/') {
            open.push(tag.split_ascii_whitespace().next().ok_or("an empty tag")?);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("not closed: {open:?}")) }
}

fn entities(text: &str) -> Result<(), String> {
    let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#39;"];
    let stray = text.match_indices('&').find(|(at, _)| !known.iter().any(|entity| text[*at..].starts_with(entity)));
    stray.map_or(Ok(()), |(at, _)| Err(format!("a stray & at '{}'", &text[at..].chars().take(12).collect::<String>())))
}

#[test]
fn one_cell_makes_a_report_and_stale_charts_go() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 200);
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert!(dir.path().join("charts/throughput-by-size.svg").exists());

    fs::remove_file(dir.path().join("throughput.csv")).unwrap();
    write_results(dir.path(), &cells(Workload::Latency, &[64])[..1], &[], 200);
    let names: Vec<_> = bench_report::build(dir.path(), &STANDARD.specs())
        .unwrap()
        .iter()
        .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(
        names,
        ["report.html", "README.md", "charts/latency-by-mechanism.svg", "charts/latency-distribution.svg"]
    );
    assert!(!dir.path().join("charts/throughput-by-size.svg").exists());
    let readme = fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(readme.contains("only one message size was measured"), "{readme}");
}

#[test]
fn a_report_of_failures_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let failed: Vec<_> =
        cells(Workload::Latency, &[64]).iter().map(|c| LatencyRow::failed(c, "<no> & never")).collect();
    rows::write(dir.path(), &failed).unwrap();
    let written = bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert_eq!(written.len(), 2, "no chart can be drawn: {written:?}");
    let page = fs::read_to_string(&written[0]).unwrap();
    assert!(page.contains("&lt;no&gt; &amp; never") && !page.contains("<no>"));
    let printed = bench_report::terminal(&Rows { latency: failed.to_vec(), ..Rows::default() }, 100);
    assert!(printed.answer.contains("<no> & never"));
}

fn fault_row(mechanism: &str, fault: Fault) -> FaultRow {
    FaultRow {
        trials: 36,
        learned: "EPIPE 30; ECONNRESET 6".into(),
        p50_ns: Some(151_000.0),
        p99_ns: Some(2_400_000.5),
        max_ns: Some(2_400_000.5),
        lost_messages: 16,
        lost_bytes: 65536,
        torn: 2,
        rebinds: 12,
        rebound: 12,
        measured: "2026-03-01T12:30:05Z".into(),
        machine: "a machine · Linux".into(),
        ..FaultRow::empty(mechanism.into(), fault)
    }
}

#[test]
fn faults_are_read_back_and_stand_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 100);
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    assert!(!fs::read_to_string(dir.path().join("README.md")).unwrap().contains("## Faults"));
    let rows: Vec<FaultRow> =
        ["pipe", "fifo"].iter().flat_map(|m| Fault::ALL.iter().map(|&fault| fault_row(m, fault))).collect();
    rows::write(dir.path(), &rows).unwrap();
    assert_eq!(rows::read::<FaultRow>(dir.path()).unwrap(), rows);
    let header = fs::read_to_string(dir.path().join("faults.csv")).unwrap();
    let fields = serde_json::to_value(&rows[0]).unwrap();
    for column in header.lines().next().unwrap().split(',') {
        assert!(fields.get(column).is_some(), "{column}");
    }
    bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
    for file in ["README.md", "report.html"] {
        let text = fs::read_to_string(dir.path().join(file)).unwrap();
        for part in [
            "EPIPE, ECONNRESET",
            "150 µs",
            "64 KiB",
            "2/36",
            "24/24",
            "12/12",
            "a machine",
            "144 SIGKILLs in 504 trials",
        ] {
            assert!(text.contains(part), "{file} lacks '{part}'");
        }
    }
    let csv = fs::read_to_string(dir.path().join("faults.csv")).unwrap();
    fs::write(dir.path().join("faults.csv"), csv.replacen("kill-receiver", "kill-time", 1)).unwrap();
    let error = bench_report::build(dir.path(), &STANDARD.specs()).unwrap_err().to_string();
    assert!(error.contains("faults.csv: line 3: column 'fault'") && error.contains("close-sender"), "{error}");
}

#[test]
fn only_a_breach_is_bad() {
    let sound = fault_row("fifo", Fault::KillReceiver);
    assert!(!sound.is_bad());
    // What a killed binder alone knew of has to wait for a sweep.
    let binder = FaultRow { left: 3, rebound: 0, ..fault_row("fifo", Fault::KillBinder) };
    assert!(!binder.is_bad() && FaultRow { left_after_sweep: 1, ..binder }.is_bad());
    for bad in [
        FaultRow { hung: 1, ..sound.clone() },
        FaultRow { corrupted: 1, ..sound.clone() },
        FaultRow { left: 1, ..sound.clone() },
        FaultRow { zombies: 1, ..sound.clone() },
        FaultRow { error: "3 messages lost".into(), ..sound },
    ] {
        assert!(bad.is_bad(), "{bad:?}");
        assert!(bench_report::faults::verdict(&bad).starts_with("of 36 trials: "));
    }
}

#[test]
fn nothing_to_report_on_is_an_error_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let error = bench_report::build(dir.path(), &STANDARD.specs()).unwrap_err();
    assert!(matches!(error, Error::NoResults { .. }) && error.to_string().lines().count() == 1, "{error}");
    fs::write(dir.path().join("latency.csv"), "foreign\n").unwrap();
    assert!(bench_report::build(dir.path(), &STANDARD.specs()).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_terminal_tables_fit_and_rank() {
    let latency = cells(Workload::Latency, &[64, 65_536]);
    let rows: Vec<_> = latency
        .iter()
        .map(|cell| match refusal(cell) {
            Some(error) => LatencyRow::failed(cell, error),
            None => latency_row(cell, &histogram(cell, 100)),
        })
        .collect();
    let throughput: Vec<_> = cells(Workload::Throughput, &[64, 4096]).iter().map(throughput_row).collect();
    for width in [60, 80, 100] {
        for table in
            tables::brief(&matrix::of_latency(&rows)).iter().chain(&tables::brief(&matrix::of_throughput(&throughput)))
        {
            fits(&table.terminal(width), width);
        }
    }
    let rankings = Rows { latency: rows.clone(), throughput: throughput.clone(), ..Rows::default() };
    let bench_report::Printed { tables, answer } = bench_report::terminal(&rankings, 100);
    assert!(tables.lines().count() < 120, "{tables}");
    assert!(tables.contains("posix-mq, sysv-msgq: a message of 65536 bytes cannot pass"), "{tables}");
    // Without copies and costs the ranking of small messages answers.
    assert!(answer.starts_with("Round trip, 64 B"), "{answer}");
    assert!(mechanisms().all(|mechanism| answer.contains(mechanism)));
    assert_eq!(bench_report::terminal(&Rows::default(), 100), bench_report::Printed::default());
}

fn fits(text: &str, width: usize) {
    let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
    assert!(widest.chars().count() <= width, "{width}: {widest}\n{text}");
}

/// The answer stands last, with its doubts; what cannot be told apart shares a rank, and everything fits the terminal.
#[test]
fn the_answer_is_printed_last_with_its_doubts() {
    let dir = tempfile::tempdir().unwrap();
    write_full(dir.path(), 100);
    write_costs(dir.path());
    let results = bench_report::Results::read(dir.path(), &STANDARD.specs()).unwrap();
    for width in [80, 100, 120] {
        let bench_report::Printed { tables, answer } = bench_report::terminal(&results.rows, width);
        fits(&tables, width);
        fits(&answer, width);
        assert!(!tables.contains("At a glance") && answer.starts_with("At a glance"), "{answer}");
    }
    let answer = bench_report::terminal(&results.rows, 120).answer;
    let line = |name: &str| {
        let line = answer.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {answer}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("pipe"), "pipe 1 28.0 ±0.6 µs 11 3.39 ±0.10 GB/s 2 1/1 1 2.8 ±0.3 µs 1 11.2 ±0.6 µs p", "{answer}");
    assert!(line("vmsplice*").starts_with("vmsplice* 1 28.6 ±0.6"), "{answer}");
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.ends_with("marks, explained above: p preempted, f far."), "{answer}");

    // The program prints it behind everything else as well.
    let report =
        std::process::Command::new(env!("CARGO_BIN_EXE_ipc-bench")).arg("report").arg(dir.path()).output().unwrap();
    let printed = String::from_utf8(report.stdout).unwrap();
    assert!(
        report.status.success() && printed.ends_with(&bench_report::terminal(&results.rows, 100).answer),
        "{printed}"
    );
}

/// One pair of a cell has no interval, so nothing is better beyond doubt: no ranks, and no word about them.
#[test]
fn rank_notes_stand_only_where_ranks_are() {
    let dir = tempfile::tempdir().unwrap();
    let cells = cells(Workload::Latency, &[64]);
    let mut rows: Vec<_> = cells.iter().map(|cell| latency_row(cell, &histogram(cell, 100))).collect();
    rows::write(dir.path(), &rows).unwrap();
    let texts = |rows: &[LatencyRow]| {
        rows::write(dir.path(), rows).unwrap();
        bench_report::build(dir.path(), &STANDARD.specs()).unwrap();
        let files = ["README.md", "report.html"].map(|file| fs::read_to_string(dir.path().join(file)).unwrap());
        let printed = bench_report::terminal(&Rows { latency: rows.to_vec(), ..Rows::default() }, 100);
        [&files[..], &[printed.tables + &printed.answer]].concat()
    };
    assert!(texts(&rows).iter().all(|text| text.contains("equal ranks")));
    for row in &mut rows {
        (row.p50_lo_ns, row.p50_hi_ns) = (None, None);
    }
    for text in texts(&rows) {
        assert!(!text.contains("rank in") && !text.contains("equal ranks"), "{text}");
    }
}

/// No figure of README is older than the CSV files that it is said to be from, and no conclusion is left over.
#[test]
fn the_measured_parts_of_readme_are_those_of_their_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("README.md")).unwrap();
    let folders = bench_report::blocks::folders(&page).unwrap();
    let [folder] = &folders[..] else { panic!("README mixes the figures of {folders:?}") };
    let results = bench_report::Results::read(&root.join(folder), &STANDARD.specs()).unwrap();
    let made = bench_report::blocks::rewritten(&page, &results, folder).unwrap();
    let stale = page.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(made == page, "run `ipc-bench report {folder} --blocks README.md`; the first difference: {stale:#?}");
}

/// What is committed of each reference run is what `ipc-bench report` makes of its CSV files today.
#[test]
fn the_pages_and_charts_of_the_references_are_those_of_their_figures() {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("results/machines");
    for stored in fs::read_dir(&machines).unwrap().map(|entry| entry.unwrap().path()) {
        let made = tempfile::tempdir().unwrap();
        let files = fs::read_dir(&stored).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        for path in files {
            fs::copy(&path, made.path().join(path.file_name().unwrap())).unwrap();
        }
        let written = bench_report::build(made.path(), &STANDARD.specs()).unwrap();
        for path in written.iter().filter(|path| path.extension().is_none_or(|kind| kind != "html")) {
            let old = stored.join(path.strip_prefix(made.path()).unwrap());
            let same = fs::read(&old).is_ok_and(|text| text == fs::read(path).unwrap());
            assert!(same, "{} is stale: run `ipc-bench report {}`", old.display(), stored.display());
        }
    }
}

/// The command rewrites a page in place, and refuses one whose links would lead nowhere.
#[test]
fn report_rewrites_the_measured_parts_of_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results/machines/one");
    fs::create_dir_all(&results).unwrap();
    write_full(&results, 100);
    write_costs(&results);
    let page = dir.path().join("PAGE.md");
    fs::write(&page, "# Title\n<!-- mechanisms of elsewhere -->\n<!-- /mechanisms -->\nend\n").unwrap();
    let report = |page: &Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ipc-bench"));
        command.arg("report").arg(&results).arg("--blocks").arg(page).output().unwrap()
    };
    assert!(report(&page).status.success());
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("# Title\n<!-- mechanisms of results/machines/one -->\n| mechanism |"), "{text}");
    assert!(text.ends_with("\n<!-- /mechanisms -->\nend\n"), "{text}");
    // One way and there and back are named for what they are, with doubts.
    assert!(
        text.contains("| CPU, one way | CPU, round trip |")
            && text.contains("| pipe | 2 |  | 1/1 | **1** · 2.8 ± 0.3 µs |"),
        "{text}"
    );
    assert!(
        text.contains("Example CPU <7> & Sons, 2 cores (virtual machine) · Linux 6.12.0-example, 2026-03-01"),
        "{text}"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let page = elsewhere.path().join("PAGE.md");
    fs::write(&page, &text).unwrap();
    let refused = report(&page);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && why.contains("does not lie below the folder of"), "{why}");
    assert_eq!(fs::read_to_string(&page).unwrap(), text);
}

/// Leaves reports in the folder that `REPORT_DIR` names, to be looked at in a browser.
#[test]
#[ignore = "writes to $REPORT_DIR"]
fn sample() {
    let dir = PathBuf::from(std::env::var_os("REPORT_DIR").expect("REPORT_DIR names a folder"));
    for name in ["full", "single", "sizes", "wide"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    write_full(&dir.join("full"), 20_000);
    write_costs(&dir.join("full"));
    write_results(&dir.join("single"), &cells(Workload::Latency, &[64])[1..2], &[], 20_000);
    let pipe: Vec<_> = cells(Workload::Latency, &[64, 4096]).into_iter().filter(|c| c.mechanism == "pipe").collect();
    write_results(&dir.join("sizes"), &pipe, &[], 20_000);
    let mut wide = Vec::new();
    for &placement in Placement::ALL {
        for cell in cells(Workload::Latency, &[64, 1500, 1 << 20]).into_iter().filter(|c| c.placement == VIEWS[0].0) {
            wide.extend([Wait::Block, Wait::Spin].map(|wait| Cell { placement, wait, ..cell }));
        }
    }
    write_results(&dir.join("wide"), &wide, &[], 2_000);
    let mut host = synthetic_host();
    host.cpu.model = Some("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz, an OEM part with a long name".into());
    host.write(&dir.join("wide")).unwrap();
    for name in ["full", "single", "sizes", "wide"] {
        bench_report::build(&dir.join(name), &STANDARD.specs()).unwrap();
        let results = bench_report::Results::read(&dir.join(name), &STANDARD.specs()).unwrap();
        let bench_report::Printed { tables, answer } = bench_report::terminal(&results.rows, 100);
        println!("{tables}\n{answer}");
    }
}
