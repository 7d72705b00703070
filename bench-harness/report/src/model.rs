//! The vocabulary of tables and charts. A subject is what is compared: a mechanism and its access. A view has the
//! circumstances: a placement and a wait policy. A figure has its spread.

use crate::{table::Beside, units::Quantity};
use bench_record::{
    cell::{Access, Cell, Placement, Workload},
    rows::{CostRow, Flags, LatencyRow, Proximity, ThroughputRow},
};
use ipc_core::Wait;

/// The subject of a figure: one line of a table, one curve of a chart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The mechanism's name.
    pub mechanism: String,
    /// How the processes reach the payload.
    pub access: Access,
}

impl Subject {
    /// The name in charts. Copying access is not mentioned.
    pub fn label(&self) -> String {
        match self.access {
            Access::Copy => self.mechanism.clone(),
            Access::InPlace => format!("{} in place", self.mechanism),
        }
    }
}

/// Circumstances under which figures can be compared: one column of a table, one panel of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    /// Where the two processes ran.
    pub placement: Placement,
    /// How they waited.
    pub wait: Wait,
}

impl View {
    /// The name in tables and charts, such as `cross-core spin`.
    pub fn label(self) -> String {
        format!("{} {}", self.placement, self.wait)
    }

    /// The view in words that need no glossary.
    pub fn caption(self) -> String {
        let place = match self.placement {
            Placement::SameCore => "both processes on one CPU",
            Placement::Smt => "two threads of one core",
            Placement::CrossCore => "two cores of one socket",
            Placement::CrossSocket => "two sockets",
            Placement::Unpinned => "placed by the scheduler, not ranked",
        };
        let wait = match self.wait {
            Wait::Block => "asleep while waiting",
            Wait::Spin => "polling, never asleep",
            Wait::Hybrid => "polling, then asleep",
        };
        format!("{place}, {wait}")
    }

    /// Whether figures of this view may be ranked. Unpinned figures depend on the scheduler as much as on the
    /// mechanism.
    pub fn is_ranked(self) -> bool {
        self.placement != Placement::Unpinned
    }
}

/// A figure, and what a reader needs to judge it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The median over the pairs.
    pub value: f64,
    /// The 95 % confidence interval over the pairs. `None` if there was one pair.
    pub interval: Option<(f64, f64)>,
    /// The 99th percentile, for latency.
    pub p99: Option<f64>,
    /// The mean and interval from batches without clock readings. It is for round trips that the clock's own cost
    /// distorts.
    pub batch_mean: Option<(f64, Option<(f64, f64)>)>,
}

impl Figure {
    /// The figures that are shown beside this one: name, value, and interval if there is one.
    pub fn beside(&self) -> impl Iterator<Item = Beside> {
        let p99 = self.p99.map(|value| Beside { name: "p99", value, interval: None });
        let batch_mean = self.batch_mean.map(|(value, interval)| Beside { name: "batch mean", value, interval });
        p99.into_iter().chain(batch_mean)
    }
}

/// One cell as seen by tables and charts.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What was measured.
    pub subject: Subject,
    /// Message length in bytes.
    pub size: usize,
    /// The view in which it was measured.
    pub view: View,
    /// The figure, in the quantity of [`quantity`]. `None` if it was not measured.
    pub figure: Option<Figure>,
    /// Doubts about the figure.
    pub flags: Flags,
    /// How far apart the two processors were.
    pub proximity: Option<Proximity>,
    /// Why there is no figure.
    pub error: String,
}

/// The quantity that is shown for a workload and size. For throughput it depends on the size: messages or bytes.
pub fn quantity(workload: Workload, size: usize) -> Quantity {
    match workload {
        Workload::Throughput if size < 1024 => Quantity::Messages,
        Workload::Throughput => Quantity::Bytes,
        _ => Quantity::Time,
    }
}

fn split(key: Cell) -> (Subject, View) {
    let subject = Subject { mechanism: key.mechanism.to_owned(), access: key.access };
    (subject, View { placement: key.placement, wait: key.wait })
}

impl From<&LatencyRow> for Point {
    fn from(row: &LatencyRow) -> Self {
        let (subject, view) = split(row.key());
        let figure = row.p50_ns.map(|value| Figure {
            value,
            interval: row.p50_lo_ns.zip(row.p50_hi_ns),
            p99: row.p99_ns.map(|p99| p99.max(value)),
            batch_mean: row.batch_mean_ns.map(|mean| (mean, row.batch_mean_lo_ns.zip(row.batch_mean_hi_ns))),
        });
        let (flags, error) = (row.flags.clone(), row.error.clone());
        Self { subject, size: row.size, view, figure, flags, proximity: row.proximity, error }
    }
}

impl Point {
    /// The cell of a throughput row, in messages or bytes per second as `quantity` says.
    pub fn of_throughput(row: &ThroughputRow, quantity: Quantity) -> Self {
        let (subject, view) = split(row.key());
        let (value, scale) = match quantity {
            Quantity::Messages => (row.msgs_per_s, 1.0 / row.size.max(1) as f64),
            _ => (row.bytes_per_s, 1.0),
        };
        let interval = row.bytes_per_s_lo.zip(row.bytes_per_s_hi).map(|(lo, hi)| (lo * scale, hi * scale));
        let figure = value.map(|value| Figure { value, interval, p99: None, batch_mean: None });
        let (flags, error) = (row.flags.clone(), row.error.clone());
        Self { subject, size: row.size, view, figure, flags, proximity: row.proximity, error }
    }
}

/// A figure of a cost row that can be compared between mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Processor time of a message that is sent one way, as fast as possible.
    OneWay,
    /// The mean round trip.
    RoundTrip,
    /// Processor time of a round trip.
    RoundTripCpu,
}

impl Point {
    /// The figure `which` of a cost row.
    pub fn of_cost(row: &CostRow, which: Cost) -> Self {
        let (subject, view) = split(row.key());
        let (value, lo, hi) = match which {
            Cost::OneWay => (row.cpu_ns, row.cpu_lo_ns, row.cpu_hi_ns),
            Cost::RoundTrip => (row.round_trip_ns, row.round_trip_lo_ns, row.round_trip_hi_ns),
            Cost::RoundTripCpu => (row.round_trip_cpu_ns, row.round_trip_cpu_lo_ns, row.round_trip_cpu_hi_ns),
        };
        let (flags, proximity) = match which {
            Cost::OneWay => (&row.flags, row.proximity),
            Cost::RoundTrip | Cost::RoundTripCpu => (&row.round_trip_flags, row.round_trip_proximity),
        };
        let figure = value.map(|value| Figure { value, interval: lo.zip(hi), p99: None, batch_mean: None });
        Self { subject, size: row.size, view, figure, flags: flags.clone(), proximity, error: row.error.clone() }
    }
}

/// The distinct views of `points`, in the order in which tables show them.
pub fn views<'a>(points: impl IntoIterator<Item = &'a Point>) -> Vec<View> {
    let mut views: Vec<View> = points.into_iter().map(|point| point.view).collect();
    views.sort();
    views.dedup();
    views
}
