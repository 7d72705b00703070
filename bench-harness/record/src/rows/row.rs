//! Declaration of row types: the fields are listed once, in the order of the columns.

/// Declares a row type of a CSV file: the struct, [`Row`](super::Row) with its columns, and the row without figures.
///
/// ```text
/// row! {
///     /// What the row tells.
///     NAME of WORKLOAD in "FILE.csv";      // `of WORKLOAD` adds that column, and each line is checked for it
///     name(row) = format!("{}", row.KEY);  // what the row is of
///     key { FIELD: TYPE as "field::KIND", }
///     figures { FIELD: TYPE as "field::KIND", }
///     later { FIELD: TYPE as "field::KIND", }
/// }
/// ```
///
/// The fields under `key` are the arguments of `empty`. Every other field starts as the default of its type. Columns
/// under `later` may be missing in older files. A field without `as` is written as serde does. `cell` replaces `name`
/// and `key`: it stands for the parts of a [`Cell`](crate::cell::Cell).
macro_rules! row {
    (
        $(#[$meta:meta])*
        $Row:ident of $workload:ident in $file:literal;
        cell
        figures $figures:tt
        $(later $later:tt)?
    ) => {
        row! {
            @new blank
            $(#[$meta])*
            $Row of $workload in $file;
            name(row) = row.key().to_string();
            key {
                /// The mechanism's name.
                mechanism: String as "field::mechanism",
                /// Message length in bytes.
                size: usize,
                /// Where the two processes ran.
                placement: crate::cell::Placement as "field::name",
                /// How they waited.
                wait: ipc_core::Wait as "field::name",
                /// How they reached the payload.
                access: crate::cell::Access as "field::name",
            }
            figures $figures
            $(later $later)?
        }

        impl $Row {
            /// A row of `cell` without figures.
            pub fn empty(cell: &crate::cell::Cell) -> Self {
                Self::blank(cell.mechanism.to_owned(), cell.size, cell.placement, cell.wait, cell.access)
            }

            /// A row of `cell` that was not measured because of `error`.
            pub fn failed(cell: &crate::cell::Cell, error: impl Into<String>) -> Self {
                Self { error: error.into(), ..Self::empty(cell) }
            }

            /// The cell that the row describes.
            pub fn key(&self) -> crate::cell::Cell {
                crate::cell::Cell {
                    workload: self.workload,
                    mechanism: crate::cell::interned(&self.mechanism),
                    size: self.size,
                    placement: self.placement,
                    wait: self.wait,
                    access: self.access,
                }
            }
        }
    };
    (
        @new $new:ident
        $(#[$meta:meta])*
        $Row:ident $(of $workload:ident)? in $file:literal;
        name($row:ident) = $name:expr;
        key { $($(#[$kmeta:meta])* $key:ident: $ktype:ty $(as $kwith:literal)?,)* }
        figures { $($(#[$fmeta:meta])* $figure:ident: $ftype:ty $(as $fwith:literal)?,)* }
        $(later { $($(#[$lmeta:meta])* $later:ident: $ltype:ty $(as $lwith:literal)?,)* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $Row {
            $(
                #[doc = concat!("Always [`Workload::", stringify!($workload), "`](crate::cell::Workload).")]
                #[serde(with = "field::name")]
                pub workload: crate::cell::Workload,
            )?
            $($(#[$kmeta])* $(#[serde(with = $kwith)])? pub $key: $ktype,)*
            $($(#[$fmeta])* $(#[serde(with = $fwith)])? pub $figure: $ftype,)*
            $($($(#[$lmeta])* #[serde(default $(, with = $lwith)?)] pub $later: $ltype,)*)?
        }

        impl $Row {
            /// A row without figures.
            pub fn $new($($key: $ktype),*) -> Self {
                Self {
                    $(workload: crate::cell::Workload::$workload,)?
                    $($key,)*
                    $($figure: Default::default(),)*
                    $($($later: Default::default(),)*)?
                }
            }
        }

        impl $crate::rows::Row for $Row {
            const FILE: &'static str = $file;
            const COLUMNS: &'static [&'static str] = &[
                $({ stringify!($workload); "workload" },)?
                $(stringify!($key),)*
                $(stringify!($figure),)*
                $($(stringify!($later),)*)?
            ];
            const REQUIRED: usize = Self::COLUMNS.len() - { let later: &[&str] = &[$($(stringify!($later),)*)?]; later.len() };

            fn name(&self) -> String {
                let $row = self;
                $name
            }

            fn check(&self) -> Result<(), String> {
                $(self.workload.must_be(crate::cell::Workload::$workload)?;)?
                Ok(())
            }
        }
    };
    ($($row:tt)+) => { row! { @new empty $($row)+ } };
}
