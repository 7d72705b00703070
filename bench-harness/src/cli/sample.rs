//! `ipc-bench sample NAME`: one pair, timed or counted, as one line of JSON. The regression gate is built on it.

use super::{Verdict, output};
use crate::{
    readings,
    registry::{Mechanism, Registry},
};
use anyhow::{Context, anyhow, bail};
use bench_gate::reading::Stretch;
use bench_lab::{inject::Injection, interrupt, topology::Topology};
use bench_record::cell::{Cell, CopyCell, Workload};
use std::{fmt::Display, str::FromStr, time::Duration};

/// Options of `sample`.
#[derive(clap::Args)]
pub struct Args {
    /// What is timed: WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS, with latency or throughput; or what is counted:
    /// copies/MECHANISM/SIZE/ACCESS
    #[arg(required_unless_present = "identify", value_name = "NAME")]
    wanted: Option<Wanted>,
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

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// A timed pair.
    Cell(Cell),
    /// A counted pair.
    Copies(CopyCell),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let counted = text.split('/').next() == Some(Workload::Copies.name());
        match (counted, text.split('/').count()) {
            (true, 4) => text.parse().map(Self::Copies),
            (false, 6) => text.parse().map(Self::Cell),
            _ => Err(format!(
                "'{text}' is no name of a sample: use WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS with latency or throughput, such as \
                 latency/pipe/64/same-core/block/copy, or copies/MECHANISM/SIZE/ACCESS, such as copies/pipe/64/copy"
            )),
        }
    }
}

/// Measures and prints. The line is also printed if something cannot be counted.
///
/// # Errors
/// A pair that cannot be measured or counted here.
pub fn main(args: &Args, registry: &Registry) -> anyhow::Result<Verdict> {
    let Some(wanted) = args.wanted.as_ref().filter(|_| !args.identify) else {
        output::print(&format!("{}\n", serde_json::to_string(&readings::identity(registry))?))?;
        return Ok(Verdict::Done);
    };
    interrupt::install().context("sigaction")?;
    let (line, wrong_payload, error) = match wanted {
        Wanted::Cell(cell) => {
            let injection = Injection::from_environment().map_err(|why| anyhow!(why))?;
            let slow_by = injection.and_then(|injection| injection.part(&cell.to_string()));
            let stretch =
                Stretch { warm_up: Duration::from_millis(args.warm_up), measure: Duration::from_millis(args.measure) };
            let mechanism = known(registry, cell, cell.mechanism)?;
            let reading =
                readings::time(mechanism, cell, stretch, slow_by, &Topology::here()?).map_err(|why| anyhow!(why))?;
            (serde_json::to_string(&reading)?, reading.wrong_payload, None)
        }
        Wanted::Copies(cell) => {
            let reading = readings::count(known(registry, cell, cell.mechanism)?, cell);
            (serde_json::to_string(&reading)?, reading.wrong_payload, reading.error)
        }
    };
    output::print(&format!("{line}\n"))?;
    if let Some(why) = error.filter(|_| !wrong_payload && !interrupt::requested()) {
        bail!("nothing was counted: {why}")
    }
    Ok(if interrupt::requested() {
        Verdict::Interrupted
    } else if wrong_payload {
        Verdict::Negative
    } else {
        Verdict::Done
    })
}

/// The mechanism of the cell `name`.
fn known(registry: &Registry, name: &dyn Display, mechanism: &str) -> anyhow::Result<&'static Mechanism> {
    registry.known(mechanism).map_err(|why| anyhow!("'{name}' cannot be measured: {why}"))
}
