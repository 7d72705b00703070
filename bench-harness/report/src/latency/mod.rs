//! Latency: ranking tables of the round trips, and their charts.

mod by_mechanism;
mod distribution;

use crate::{
    Results,
    charts::{Chart, sizes},
    matrix::{self, Matrix},
    shown::Shown,
    table::Table,
    tables,
};
use bench_record::rows::LatencyRow;

impl Shown for LatencyRow {
    const HEADING: &'static str = "Round trips";
    const LEAD: &'static str = matrix::LEAD;

    fn tables(rows: &[Self]) -> Vec<Table> {
        matrix::of_latency(rows).iter().map(Matrix::table).collect()
    }

    fn brief(rows: &[Self]) -> Vec<Table> {
        tables::brief(&matrix::of_latency(rows))
    }

    fn charts(results: &Results) -> Vec<Chart> {
        vec![by_mechanism::latency(results), sizes::latency(results), distribution::latency(results)]
    }
}
