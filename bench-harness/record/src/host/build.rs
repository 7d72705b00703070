//! How a program was built: compiler, flags and source revision.

use serde::{Deserialize, Serialize};

/// Compiler, optimisation, target and revision of the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// The compiler's version, as `rustc -V` prints it.
    pub rustc: Option<String>,
    /// The optimisation level.
    pub opt_level: Option<String>,
    /// Whether debug assertions are compiled in.
    pub debug_assertions: Option<bool>,
    /// The flags given to the compiler beside cargo's own (`RUSTFLAGS`), separated by spaces. Empty if there were none.
    pub rustflags: Option<String>,
    /// Settings of cargo's profile, such as `lto = thin; panic = abort`. Empty if nothing is set. Settings from cargo's
    /// own command line are not included.
    pub settings: Option<String>,
    /// The target triple.
    pub target: Option<String>,
    /// The target features that the compiler assumes, separated by commas.
    pub target_features: Option<String>,
    /// The git revision.
    pub revision: Option<String>,
    /// Whether files differed from that revision. Results do not count.
    pub dirty: Option<bool>,
}

impl Build {
    /// Names and values of everything that decides how the same source is compiled. Debug assertions are "on" or "off".
    pub fn flags(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("target", self.target.as_deref()),
            ("opt-level", self.opt_level.as_deref()),
            ("debug assertions", self.debug_assertions.map(|on| if on { "on" } else { "off" })),
            ("RUSTFLAGS", self.rustflags.as_deref()),
            ("target features", self.target_features.as_deref()),
            ("profile settings", self.settings.as_deref()),
        ]
    }

    /// The revision in one short text, which says whether there were local changes.
    pub fn revision_text(&self) -> Option<String> {
        let revision = self.revision.as_deref()?;
        let short = revision.get(..12).unwrap_or(revision);
        Some(if self.dirty == Some(true) { format!("{short}, with local changes") } else { short.to_owned() })
    }
}
