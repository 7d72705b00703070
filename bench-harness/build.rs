//! Tells the program what it was built by and from: compiler, optimisation, target and git revision.
//!
//! What cannot be found out is "unknown". The script runs again when a source file or git's own state changes, and
//! not otherwise: cargo rebuilds this package in the first case anyway.

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
    set("TARGET", env::var("TARGET").ok());
    set("REVISION", revision);
    set("DIRTY", dirty);
    watch(&workspace);
}

/// Names what the figures above depend on. A path that does not exist would make cargo run the script every time.
fn watch(workspace: &Path) {
    let mut paths = vec![workspace.join("Cargo.toml"), workspace.join("Cargo.lock")];
    for entry in fs::read_dir(workspace).into_iter().flatten().flatten() {
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
    println!("cargo::rerun-if-changed=build.rs");
    for path in paths.iter().filter(|path| path.exists()) {
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
