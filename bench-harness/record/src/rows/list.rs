//! The one list of row types, and what all of them have in common.

use super::{
    CopiesRow, CostRow, Error, FaultRow, LatencyRow, LifecycleRow, Outcome, RelayRow, Row, ThroughputRow,
    outcome::Outcomes, read_any, to_csv, write,
};
use crate::named;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Declares the kinds of rows. A kind has a name, which is that of its file and of its field, and a type.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $Kind:ident = $name:literal in $field:ident: $Row:ident,)+) => {
        named! {
            /// A kind of rows, named like its file.
            "table" Kind { $($(#[doc = $doc])* $Kind = $name,)+ }
        }

        impl Kind {
            /// The name of the kind's file in the results folder.
            pub const fn file(self) -> &'static str {
                match self { $(Kind::$Kind => $Row::FILE,)+ }
            }

            /// The columns of the kind's file.
            pub const fn columns(self) -> &'static [&'static str] {
                match self { $(Kind::$Kind => $Row::COLUMNS,)+ }
            }
        }

        /// The rows of a results folder.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Rows {
            $(#[doc = concat!("The rows of `", $name, ".csv`.")] pub $field: Vec<$Row>,)+
        }

        impl Rows {
            /// Reads the rows of `kinds` from the folder `dir`. A missing file gives no rows.
            ///
            /// # Errors
            /// The errors of [`read`](super::read), for the first file that cannot be read.
            pub fn read(dir: &Path, kinds: impl Fn(Kind) -> bool) -> Result<Self, Error> {
                Ok(Self { $($field: if kinds(Kind::$Kind) { read_any(dir)? } else { Vec::new() },)+ })
            }

            /// All kinds with their rows, in the order of [`Kind::ALL`].
            pub fn lists(&self) -> impl Iterator<Item = (Kind, &dyn List)> {
                [$((Kind::$Kind, &self.$field as &dyn List)),+].into_iter()
            }
        }

        $(impl Member for $Row {
            const KIND: Kind = Kind::$Kind;

            fn list(rows: &mut Rows) -> &mut Vec<Self> {
                &mut rows.$field
            }
        })+
    };
}

/// Passes the one list of kinds to the macro `then`, each as `NAME = "FILE" in FIELD: ROW,`. So other crates that do
/// something for every kind need no list of their own.
#[macro_export]
macro_rules! each_kind {
    ($then:ident) => {
        $then! {
            /// Round trips.
            Latency = "latency" in latency: LatencyRow,
            /// Messages one way.
            Throughput = "throughput" in throughput: ThroughputRow,
            /// What a message costs beside its time.
            Cost = "cost" in cost: CostRow,
            /// How often a payload is copied.
            Copies = "copies" in copies: CopiesRow,
            /// What a channel costs before and after its messages.
            Lifecycle = "lifecycle" in lifecycle: LifecycleRow,
            /// A file carried into another file.
            Relay = "relay" in relay: RelayRow,
            /// What becomes of a process whose peer dies.
            Faults = "faults" in faults: FaultRow,
        }
    };
}

each_kind!(kinds);

impl Kind {
    /// Whether `ipc-bench run` measures this kind. Faults are measured by a command of their own.
    pub fn is_of_a_run(self) -> bool {
        self != Kind::Faults
    }
}

/// A row of one of the [`Rows`].
pub trait Member: Outcome + Sized {
    /// The kind of the row.
    const KIND: Kind;

    /// The rows of this type.
    fn list(rows: &mut Rows) -> &mut Vec<Self>;
}

/// The rows of one kind, independent of their type.
pub trait List {
    /// The number of rows.
    fn count(&self) -> usize;

    /// The text of the CSV file.
    fn csv(&self) -> String;

    /// Each row as a JSON object whose values are the texts of the CSV file.
    ///
    /// # Errors
    /// The errors of the serializer.
    fn objects(&self) -> serde_json::Result<Vec<Value>>;

    /// Writes the kind's file to the folder `dir`, and returns its path.
    ///
    /// # Errors
    /// The errors of [`write()`].
    fn write(&self, dir: &Path) -> Result<PathBuf, Error>;

    /// Adds the rows to `outcomes`.
    fn outcomes<'a>(&'a self, outcomes: Outcomes<'a>) -> Outcomes<'a>;
}

impl<R: Outcome> List for Vec<R> {
    fn count(&self) -> usize {
        self.len()
    }

    fn csv(&self) -> String {
        to_csv(self)
    }

    fn objects(&self) -> serde_json::Result<Vec<Value>> {
        self.iter().map(serde_json::to_value).collect()
    }

    fn write(&self, dir: &Path) -> Result<PathBuf, Error> {
        write(dir, self).map(|()| dir.join(R::FILE))
    }

    fn outcomes<'a>(&'a self, outcomes: Outcomes<'a>) -> Outcomes<'a> {
        outcomes.with(self)
    }
}

impl Rows {
    /// The kinds that have rows.
    pub fn kinds(&self) -> Vec<Kind> {
        self.lists().filter(|(_, list)| list.count() > 0).map(|(kind, _)| kind).collect()
    }

    /// The rows of one kind.
    pub fn of(&self, kind: Kind) -> &dyn List {
        self.lists().find(|(known, _)| *known == kind).expect("every kind has a list").1
    }

    /// Why a run measured nothing. `None` if one of its rows has a figure. Faults do not count.
    pub fn why_nothing(&self) -> Option<String> {
        let of_a_run = self.lists().filter(|(kind, _)| kind.is_of_a_run());
        of_a_run.fold(Outcomes::default(), |outcomes, (_, list)| list.outcomes(outcomes)).why_nothing()
    }

    /// Writes the files of all kinds that have rows to the folder `dir`, and returns their paths.
    ///
    /// # Errors
    /// The errors of [`write()`], for the first file that cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        self.lists().filter(|(_, list)| list.count() > 0).map(|(_, list)| list.write(dir)).collect()
    }
}
