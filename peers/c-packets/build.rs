//! Compiles the library of C. Without a C compiler the crate builds without it, and its channel says why it cannot be had.

fn main() {
    for file in ["src/packets.c", "src/packets.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rustc-check-cfg=cfg(no_compiler)");
    if let Err(why) = compiler() {
        println!("cargo::warning=c-packets is left out: {why}");
        println!("cargo::rustc-cfg=no_compiler");
        println!("cargo::rustc-env=C_PACKETS_LEFT_OUT={why}");
        return;
    }
    cc::Build::new().file("src/packets.c").warnings_into_errors(true).compile("packets");
}

/// Whether there is a C compiler.
fn compiler() -> Result<(), String> {
    let tool = cc::Build::new().try_get_compiler().map_err(|error| format!("no C compiler: {error}"))?;
    let answer = tool.to_command().arg("--version").output();
    answer.map(drop).map_err(|error| format!("no C compiler: {}: {error}", tool.path().display()))
}
