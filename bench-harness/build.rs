//! Tells the program what it was built by and from: compiler, optimisation, profile, target and git revision.
//!
//! What cannot be found out is "unknown". The script runs again when a source file or git's own state changes, and
//! not otherwise: cargo rebuilds this package in the first case anyway.

#[path = "src/profile.rs"]
mod profile;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = package.parent().unwrap_or(&package).to_path_buf();
    let rustc = env::var_os("RUSTC").and_then(|rustc| output(Command::new(rustc).arg("-V")));
    let revision = own_tree(&workspace).then(|| git(&workspace, &["rev-parse", "HEAD"])).flatten();
    // The results are rewritten by every run; they do not make the program another one.
    let changes = || git(&workspace, &["status", "--porcelain", "--", ".", ":(exclude)results"]);
    let dirty = revision.as_ref().and_then(|_| changes()).map(|changes| (!changes.is_empty()).to_string());

    let unknown = || "unknown".to_owned();
    let set = |name: &str, value: Option<String>| {
        println!("cargo::rustc-env=IPC_BENCH_{name}={}", value.unwrap_or_else(unknown));
    };
    set("RUSTC", rustc);
    set("OPT_LEVEL", env::var("OPT_LEVEL").ok());
    // Cargo sets it for build scripts, empty where there are no flags; they are separated by 0x1f.
    set("RUSTFLAGS", env::var("CARGO_ENCODED_RUSTFLAGS").ok().map(|flags| flags.replace('\u{1f}', " ")));
    let building = building_workspace().unwrap_or_else(|| workspace.clone());
    set("SETTINGS", settings(&building));
    set("TARGET", env::var("TARGET").ok());
    set("TARGET_FEATURES", env::var("CARGO_CFG_TARGET_FEATURE").ok());
    set("REVISION", revision);
    set("DIRTY", dirty);
    watch(&workspace);
    watch_settings(&building);
}

/// The workspace that is built: another one than this package's where a program with channels of its own depends on it. It has the
/// lock file that is nearest above the target folder. `None` where that lies elsewhere.
fn building_workspace() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    out.ancestors().find(|folder| folder.join("Cargo.lock").exists()).map(Path::to_path_buf)
}

/// Settings of a profile by whose variables alone cargo does not run this script again.
const SETTINGS: [&str; 8] =
    ["CODEGEN_UNITS", "DEBUG_ASSERTIONS", "INCREMENTAL", "LTO", "OPT_LEVEL", "OVERFLOW_CHECKS", "PANIC", "RPATH"];

/// What is set for the profile that this build is of, by the manifest, the files of cargo's configuration and the environment.
fn settings(workspace: &Path) -> Option<String> {
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).ok()?;
    let documents: Vec<String> = std::iter::once(manifest)
        .chain(configuration(workspace).iter().filter_map(|path| fs::read_to_string(path).ok()))
        .collect();
    // TARGET/PROFILE/build/PACKAGE/out: cargo says no more than whether it is like `release` or like `debug`.
    let folder = env::var_os("OUT_DIR").map(PathBuf::from);
    let folder = folder.as_deref().and_then(|out| out.ancestors().nth(3)?.file_name()?.to_str());
    let name = match folder? {
        "debug" => "dev",
        name => name,
    };
    for setting in SETTINGS {
        println!("cargo::rerun-if-env-changed=CARGO_PROFILE_{}_{setting}", name.to_uppercase().replace('-', "_"));
    }
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    profile::settings(name, &documents, &variables.collect::<Vec<_>>()).ok()
}

/// The files of cargo's configuration that hold for `workspace`, the nearest last.
fn configuration(workspace: &Path) -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let above: Vec<PathBuf> = workspace.ancestors().map(|folder| folder.join(".cargo")).collect();
    home.into_iter().chain(above.into_iter().rev()).map(|folder| folder.join("config.toml")).collect()
}

/// Names what the figures above depend on. A path that does not exist would make cargo run the script every time.
fn watch(workspace: &Path) {
    let mut paths = vec![workspace.join("Cargo.lock")];
    // Nothing of this package is made of workspaces that depend on it.
    let is_part = |entry: &fs::DirEntry| entry.file_name() != "peers" && entry.file_name() != "fuzz";
    for entry in fs::read_dir(workspace).into_iter().flatten().flatten().filter(is_part) {
        paths.push(entry.path().join("Cargo.toml"));
        paths.push(entry.path().join("src"));
    }
    if let Some(folder) = git(workspace, &["rev-parse", "--absolute-git-dir"]).filter(|_| own_tree(workspace)) {
        let folder = PathBuf::from(folder);
        paths.push(folder.join("HEAD"));
        paths.push(folder.join("index"));
        paths.push(folder.join("packed-refs"));
        if let Some(branch) = git(workspace, &["symbolic-ref", "-q", "HEAD"]) {
            paths.push(folder.join(branch));
        }
    }
    paths.extend(["build.rs", "src/profile.rs"].map(PathBuf::from));
    rerun_if_changed(paths);
}

/// Names what sets the profile of the workspace that is built.
fn watch_settings(workspace: &Path) {
    rerun_if_changed(configuration(workspace).into_iter().chain([workspace.join("Cargo.toml")]));
}

fn rerun_if_changed(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths.into_iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Whether `workspace` is the top of a git tree, and not merely unpacked inside somebody else's.
fn own_tree(workspace: &Path) -> bool {
    let top = git(workspace, &["rev-parse", "--show-toplevel"]).and_then(|top| fs::canonicalize(top).ok());
    top.is_some() && top == fs::canonicalize(workspace).ok()
}

fn git(workspace: &Path, arguments: &[&str]) -> Option<String> {
    // Optional locks would rewrite the index, which is watched.
    output(Command::new("git").arg("--no-optional-locks").arg("-C").arg(workspace).args(arguments))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
