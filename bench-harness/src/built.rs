//! Facts of this program's build, found out by the package's build script, and the facts of its host.

use bench_lab::gather;
use bench_record::host::{Build, Host};

/// How the running program was built: compiler, flags and source revision.
pub fn current() -> Build {
    let known = |text: &str| (text != "unknown").then(|| text.to_owned());
    Build {
        rustc: known(env!("IPC_BENCH_RUSTC")),
        opt_level: known(env!("IPC_BENCH_OPT_LEVEL")),
        debug_assertions: Some(cfg!(debug_assertions)),
        rustflags: known(env!("IPC_BENCH_RUSTFLAGS")),
        settings: known(env!("IPC_BENCH_SETTINGS")),
        target: known(env!("IPC_BENCH_TARGET")),
        target_features: known(env!("IPC_BENCH_TARGET_FEATURES")),
        revision: known(env!("IPC_BENCH_REVISION")),
        dirty: env!("IPC_BENCH_DIRTY").parse().ok(),
    }
}

/// The facts of this machine and this program.
pub fn host() -> Host {
    gather::host(current())
}
