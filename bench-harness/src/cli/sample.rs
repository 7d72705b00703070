//! `ipc-bench sample CELL`: one pair, one line of JSON. What the regression gate is made of.

use super::Verdict;
use crate::{
    cell::Cell,
    gate::reading::{self, Identity, Stretch},
    inject::Injection,
    interrupt,
    topology::Topology,
};
use anyhow::{Context, anyhow};
use std::time::Duration;

/// Options of `sample`.
#[derive(clap::Args)]
pub struct Args {
    /// The cell: WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS, with latency or throughput
    #[arg(required_unless_present = "identify")]
    cell: Option<Cell>,
    /// The shortest warm-up, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    warm_up: u64,
    /// The measured stretch, in milliseconds, about
    #[arg(long, value_name = "MS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1000))]
    measure: u64,
    /// Only say which program this is, and which version its lines have
    #[arg(long)]
    identify: bool,
}

/// Measures and prints.
///
/// # Errors
/// A cell that cannot be measured here.
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let Some(cell) = args.cell.as_ref().filter(|_| !args.identify) else {
        println!("{}", serde_json::to_string(&Identity::current())?);
        return Ok(Verdict::Done);
    };
    let injection = Injection::from_environment().map_err(|why| anyhow!(why))?;
    let slow_by = injection.and_then(|injection| injection.part(&cell.to_string()));
    interrupt::install().context("cannot handle Ctrl-C")?;
    let stretch =
        Stretch { warm_up: Duration::from_millis(args.warm_up), measure: Duration::from_millis(args.measure) };
    let reading = reading::measure(cell, stretch, slow_by, &Topology::here()?).map_err(|why| anyhow!(why))?;
    println!("{}", serde_json::to_string(&reading)?);
    Ok(if interrupt::requested() {
        Verdict::Interrupted
    } else if reading.wrong_payload {
        Verdict::Negative
    } else {
        Verdict::Done
    })
}
