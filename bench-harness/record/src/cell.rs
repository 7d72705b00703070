//! Names of measurements: `WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS`.
//!
//! The name is the key of every result file and of the command line's filter. Its parts are enums, parsed once, at the
//! edge of the program.

use ipc_core::Wait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

/// Declares an enum whose variants have one name each. The command line, the CSV files and the tables use that name.
#[macro_export]
macro_rules! named {
    ($(#[$meta:meta])* $what:literal $type:ident { $($(#[doc = $doc:literal])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type { $($(#[doc = $doc])* $variant,)+ }

        impl $type {
            /// All variants, in the order in which tables show them.
            pub const ALL: &[$type] = &[$($type::$variant,)+];

            /// The name on the command line and in result files.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $type::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| {
                    let names: Vec<_> = $type::ALL.iter().map(|v| v.name()).collect();
                    format!("unknown {} '{text}': use one of {}", $what, names.join(", "))
                })
            }
        }

        impl $crate::clap::ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<$crate::clap::builder::PossibleValue> {
                let help = match self { $($type::$variant => concat!($($doc),*),)+ };
                Some($crate::clap::builder::PossibleValue::new(self.name()).help(help.trim()))
            }
        }

        impl $crate::serde::Serialize for $type {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as $crate::serde::Deserialize>::deserialize(deserializer)?.parse().map_err($crate::serde::de::Error::custom)
            }
        }
    };
}

named! {
    /// What is measured.
    "workload" Workload {
        /// Time of a round trip.
        Latency = "latency",
        /// Messages moved one way in a time.
        Throughput = "throughput",
        /// How often a payload is copied, and the system calls of a message that need not wait.
        Copies = "copies",
        /// What a message costs beside its time.
        Cost = "cost",
        /// What a channel costs before and after its messages.
        Lifecycle = "lifecycle",
        /// A file carried into another file.
        Relay = "relay",
    }
}

impl Workload {
    /// The workloads whose cells are timed.
    pub const TIMED: [Workload; 2] = [Workload::Latency, Workload::Throughput];

    /// The message patterns of this workload. Each pattern is measured with pairs of its own.
    pub const fn patterns(self) -> &'static [Pattern] {
        match self {
            Workload::Latency => &[Pattern::RoundTrip],
            Workload::Throughput => &[Pattern::OneWay],
            Workload::Cost => &[Pattern::OneWay, Pattern::RoundTrip],
            Workload::Copies | Workload::Lifecycle | Workload::Relay => &[],
        }
    }

    /// Checks that a row of this workload belongs into the file of `workload`.
    ///
    /// # Errors
    /// A text that names both workloads.
    pub fn must_be(self, workload: Self) -> Result<(), String> {
        if self == workload {
            return Ok(());
        }
        Err(format!("workload '{self}' does not belong here: expected '{workload}'"))
    }
}

named! {
    /// How the messages of a pair follow each other.
    "pattern" Pattern {
        /// One there, one back.
        RoundTrip = "round-trip",
        /// One way, as fast as they go.
        OneWay = "one-way",
    }
}

named! {
    /// On which hardware threads the two processes run.
    "placement" Placement {
        /// Both on one hardware thread, taking turns.
        SameCore = "same-core",
        /// On two hardware threads of one core.
        Smt = "smt",
        /// On two cores of one socket.
        CrossCore = "cross-core",
        /// On two sockets.
        CrossSocket = "cross-socket",
        /// Wherever the scheduler puts them; reported, never ranked.
        Unpinned = "unpinned",
    }
}

named! {
    /// How the payload gets into and out of the channel.
    "access" Access {
        /// Through the caller's own buffer: `send(&[u8])`, `recv(&mut [u8])`.
        Copy = "copy",
        /// Produced, and where the mechanism allows it consumed, where it lies: `send_with`, `recv_with`.
        InPlace = "in-place",
    }
}

/// One thing measured: the six columns that name it in a result file. It is printed as, and parsed from,
/// `WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// What is measured.
    pub workload: Workload,
    /// The mechanism's name. Any name is allowed: result files may come from programs with other mechanisms.
    pub mechanism: &'static str,
    /// Message length in bytes.
    pub size: usize,
    /// Where the two processes run.
    pub placement: Placement,
    /// How they wait.
    pub wait: Wait,
    /// How they reach the payload.
    pub access: Access,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, mechanism, size, placement, wait, access } = self;
        write!(f, "{workload}/{mechanism}/{size}/{placement}/{wait}/{access}")
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("'{text}' is no cell: {why}");
        let parts: Vec<&str> = text.split('/').collect();
        let [workload, mechanism, size, placement, wait, access] = parts[..] else {
            let example = "latency/pipe/64/same-core/block/copy";
            return Err(wrong(format!("use WORKLOAD/MECHANISM/SIZE/PLACEMENT/WAIT/ACCESS, such as {example}")));
        };
        Ok(Self {
            workload: workload.parse().map_err(wrong)?,
            size: size.parse().map_err(|_| wrong(format!("'{size}' is no number of bytes")))?,
            placement: placement.parse().map_err(wrong)?,
            wait: wait.parse().map_err(wrong)?,
            access: access.parse().map_err(wrong)?,
            mechanism: interned(mechanism),
        })
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One thing whose copies are counted. It is printed as, and parsed from, `copies/MECHANISM/SIZE/ACCESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CopyCell {
    /// The mechanism's name. Any name is allowed, as in a [`Cell`].
    pub mechanism: &'static str,
    /// Message length in bytes.
    pub size: usize,
    /// How the processes reach the payload.
    pub access: Access,
}

impl fmt::Display for CopyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, size, access } = self;
        write!(f, "{}/{mechanism}/{size}/{access}", Workload::Copies)
    }
}

impl FromStr for CopyCell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("'{text}' names nothing to count: {why}");
        let parts: Vec<&str> = text.split('/').collect();
        let ["copies", mechanism, size, access] = parts[..] else {
            return Err(wrong("use copies/MECHANISM/SIZE/ACCESS, such as copies/pipe/4096/copy".into()));
        };
        Ok(Self {
            size: match size.parse() {
                Ok(0) | Err(_) => return Err(wrong(format!("'{size}' is no number of bytes from 1 on"))),
                Ok(size) => size,
            },
            access: access.parse().map_err(wrong)?,
            mechanism: interned(mechanism),
        })
    }
}

/// Interns `name`: returns one copy of it that lives as long as the program. Names of mechanisms are few and short.
pub fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = names.get(name) {
        return kept;
    }
    let kept: &'static str = String::leak(name.to_owned());
    names.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_from_its_name() {
        let name = "throughput/posix-shm/4096/cross-core/spin/in-place";
        let cell: Cell = name.parse().unwrap();
        assert_eq!((cell.to_string().as_str(), cell.size), (name, 4096));
        assert_eq!(serde_json::from_str::<Cell>(&serde_json::to_string(&cell).unwrap()).unwrap(), cell);
    }

    #[test]
    fn what_is_no_cell_says_which_part_is_wrong() {
        for (wrong, part) in [
            ("latency/pipe", "WORKLOAD/MECHANISM"),
            ("speed/pipe/64/same-core/block/copy", "'speed'"),
            ("latency/pipe/-1/same-core/block/copy", "'-1'"),
            ("latency/pipe/64/same/block/copy", "'same'"),
            ("latency/pipe/64/same-core/nap/copy", "nap"),
            ("latency/pipe/64/same-core/block/steal", "'steal'"),
        ] {
            let error = wrong.parse::<Cell>().unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn any_mechanism_has_cells_and_its_name_is_kept_once() {
        let name = "latency/tube/64/same-core/block/copy";
        let [one, other] = [name, name].map(|name| name.parse::<Cell>().unwrap());
        assert_eq!((one, one.mechanism), (other, "tube"));
        assert!(std::ptr::eq(one.mechanism, other.mechanism));
    }

    #[test]
    fn a_cell_of_copies_is_read_from_its_name() {
        let cell = CopyCell { mechanism: "memfd", size: 4096, access: Access::InPlace };
        assert_eq!((cell.to_string().as_str(), cell.to_string().parse()), ("copies/memfd/4096/in-place", Ok(cell)));
    }

    #[test]
    fn what_names_nothing_to_count_says_which_part_is_wrong() {
        for (wrong, part) in [
            ("copies/pipe", "copies/MECHANISM/SIZE/ACCESS"),
            ("latency/pipe/64/copy", "copies/MECHANISM/SIZE/ACCESS"),
            ("copies/pipe/0/copy", "'0'"),
            ("copies/pipe/4K/copy", "'4K'"),
            ("copies/pipe/64/steal", "'steal'"),
        ] {
            let error = wrong.parse::<CopyCell>().unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")) && error.contains(part), "{error}");
        }
    }
}
