//! What a program was built by and from.

use serde::{Deserialize, Serialize};

/// Compiler, optimisation, target and revision of the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// As `rustc -V` prints it.
    pub rustc: Option<String>,
    /// The optimisation level.
    pub opt_level: Option<String>,
    /// Whether debug assertions are compiled in.
    pub debug_assertions: Option<bool>,
    /// The flags given to the compiler beside cargo's own (`RUSTFLAGS`), separated by spaces; empty where there were none.
    pub rustflags: Option<String>,
    /// What is set for cargo's profile, `lto = thin; panic = abort`; empty where nothing is. What cargo's own command line set is
    /// not among it.
    pub settings: Option<String>,
    /// The target triple.
    pub target: Option<String>,
    /// What the compiler takes the processor to have, separated by commas.
    pub target_features: Option<String>,
    /// The git revision.
    pub revision: Option<String>,
    /// Whether files differed from that revision, results aside.
    pub dirty: Option<bool>,
}

impl Build {
    /// What decides how the same source is compiled, by name. Debug assertions are "on" or "off".
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

    /// Revision and dirtiness in one short text.
    pub fn revision_text(&self) -> Option<String> {
        let revision = self.revision.as_deref()?;
        let short = revision.get(..12).unwrap_or(revision);
        Some(if self.dirty == Some(true) { format!("{short}, with local changes") } else { short.to_owned() })
    }
}
