//! `ipc-bench list`: the mechanisms and their facts, with the limits of this kernel.

use super::{Format, Verdict, output};
use crate::registry::{MECHANISMS, Mechanism};
use serde::Serialize;

/// Options of `list`.
#[derive(clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One mechanism, as CSV and JSON show it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    summary: &'static str,
    framing: &'static str,
    reliability: &'static str,
    reach: &'static str,
    in_place: bool,
    objects: &'static str,
    limit: &'static str,
    /// On this kernel with default options; absent where there is no limit, or where it cannot be opened.
    max_message_bytes: Option<usize>,
    declared_copies: u32,
    declared_copies_in_place: Option<u32>,
    peer_death: &'static str,
    good_for: &'static str,
    bad_for: &'static str,
    manual: &'static str,
    error: Option<String>,
    trust: &'static str,
    custody: &'static str,
}

impl Row {
    fn of(mechanism: &Mechanism) -> Self {
        let spec = mechanism.spec;
        let max = mechanism.max_message();
        Self {
            name: spec.name,
            summary: spec.summary,
            framing: spec.framing.name(),
            reliability: spec.reliability.name(),
            reach: spec.reach.name(),
            in_place: mechanism.accesses().count() > 1,
            objects: spec.objects,
            limit: spec.limit,
            max_message_bytes: max.as_ref().ok().copied().filter(|&max| max != usize::MAX),
            declared_copies: spec.declared_copies.copying,
            declared_copies_in_place: spec.declared_copies.in_place,
            peer_death: spec.peer_death,
            good_for: spec.good_for,
            bad_for: spec.bad_for,
            manual: spec.manual,
            error: max.err().map(|error| error.to_string()),
            trust: spec.trust,
            custody: spec.custody.name(),
        }
    }
}

/// Prints the list.
///
/// # Errors
/// Where stdout cannot be written.
pub fn main(args: &Args) -> anyhow::Result<Verdict> {
    let rows: Vec<Row> = MECHANISMS.iter().map(Row::of).collect();
    match args.format {
        Format::Json => output::print(&output::json(&rows)?)?,
        Format::Csv => output::print(&output::csv(&rows)?)?,
        Format::Table => {
            println!("{:<15} {:<8} {:<9} {:>11}  GOOD FOR", "MECHANISM", "FRAMING", "REACH", "MAX MESSAGE");
            for row in rows {
                let max = match (&row.error, row.max_message_bytes) {
                    (Some(_), _) => "unavailable".into(),
                    (None, None) => "any".into(),
                    (None, Some(max)) => format!("{max} B"),
                };
                println!("{:<15} {:<8} {:<9} {max:>11}  {}", row.name, row.framing, row.reach, row.good_for);
                if let Some(error) = row.error {
                    println!("{:15} {error}", "");
                }
            }
        }
    }
    Ok(Verdict::Done)
}
