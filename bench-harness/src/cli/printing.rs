//! Options by which `run` and `report` print: tables, one table as CSV, or one JSON document.

use super::Format;
use anyhow::bail;
use bench_record::rows::Kind;

/// Options of a verb that has several tables.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Printing {
    /// How to print the tables
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Which table to print as CSV, where there are several
    #[arg(long, value_name = "NAME")]
    table: Option<Kind>,
}

impl Printing {
    /// The table to print as CSV, one of `there`. `None` for other formats.
    ///
    /// # Errors
    /// A table that is not there, several tables without a choice, or a choice for another format.
    pub fn choose(self, there: &[Kind]) -> anyhow::Result<Option<Kind>> {
        let names = || there.iter().map(|table| table.name()).collect::<Vec<_>>().join(", ");
        match (self.format, self.table, there) {
            (Format::Csv, Some(table), _) if !there.contains(&table) => {
                bail!("no table '{table}' here: there is {}", names())
            }
            (Format::Csv, Some(table), _) | (Format::Csv, None, &[table]) => Ok(Some(table)),
            (Format::Csv, None, _) => bail!("CSV is one table: choose one with --table, of {}", names()),
            (_, Some(table), _) => bail!("--table {table} goes with --format csv"),
            (_, None, _) => Ok(None),
        }
    }
}
