//! Throughput: ranking tables of messages that are moved one way, and their chart.

use crate::{
    Results,
    charts::{Chart, sizes},
    matrix::{self, Matrix},
    shown::Shown,
    table::Table,
    tables,
};
use bench_record::rows::ThroughputRow;

impl Shown for ThroughputRow {
    const HEADING: &'static str = "Throughput";
    const LEAD: &'static str = matrix::LEAD;

    fn tables(rows: &[Self]) -> Vec<Table> {
        matrix::of_throughput(rows).iter().map(Matrix::table).collect()
    }

    fn brief(rows: &[Self]) -> Vec<Table> {
        tables::brief(&matrix::of_throughput(rows))
    }

    fn charts(results: &Results) -> Vec<Chart> {
        vec![sizes::throughput(results)]
    }
}
