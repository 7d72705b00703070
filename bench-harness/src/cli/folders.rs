//! Default folders, relative to the folder that the program runs in, wherever it was compiled.

use anyhow::Context;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The results of the last complete run.
pub const LATEST: &str = "results/latest";
/// The results of the last partial run.
pub const PARTIAL: &str = "results/partial";
/// The reference runs.
pub const MACHINES: &str = "results/machines";
/// The last reports of the gate.
pub const GATE: &str = "results/gate";
/// The history.
pub const HISTORY: &str = "results/history.csv";
/// The charts of the history.
pub const HISTORY_CHARTS: &str = "results/history";

/// Makes the workspace the current folder of a bench target. Cargo starts bench targets in the folder of their package.
///
/// # Errors
/// The reason why the folder cannot be entered.
pub fn enter_workspace() -> anyhow::Result<()> {
    // Cargo sets this variable when it starts a program. So a copy of the program stays where it is.
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return Ok(()) };
    let workspace = workspace_of(&package);
    env::set_current_dir(workspace).with_context(|| format!("cannot enter '{}'", workspace.display()))
}

/// The nearest folder upwards with the lock file of a workspace. `package` itself if there is none.
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
