//! Where things are by default: relative to the folder that the program runs in, wherever it was compiled.

use anyhow::Context;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The last complete run.
pub const LATEST: &str = "results/latest";
/// The last run of a part.
pub const PARTIAL: &str = "results/partial";
/// The reference runs.
pub const MACHINES: &str = "results/machines";
/// What the gate found last.
pub const GATE: &str = "results/gate";
/// The history.
pub const HISTORY: &str = "results/history.csv";
/// Its charts.
pub const HISTORY_CHARTS: &str = "results/history";

/// Makes the workspace the current folder of a bench target, which cargo starts in the folder of its package.
///
/// # Errors
/// Why it cannot be entered.
pub fn enter_workspace() -> anyhow::Result<()> {
    // Set by cargo when it starts a program, so a copy of this one stays where it is.
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return Ok(()) };
    let workspace = workspace_of(&package);
    env::set_current_dir(workspace).with_context(|| format!("cannot enter '{}'", workspace.display()))
}

/// The nearest folder above that has the lock file of a workspace; `package` itself where there is none.
fn workspace_of(package: &Path) -> &Path {
    package.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_workspace_is_where_its_lock_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("workspace/package");
        fs::create_dir_all(&package).unwrap();
        assert_eq!(workspace_of(&package), package);
        fs::write(dir.path().join("workspace/Cargo.lock"), "").unwrap();
        assert_eq!(workspace_of(&package), dir.path().join("workspace"));
    }
}
