//! `ipc-bench completions SHELL` and `ipc-bench man`: what clap generates from the description of the command line.

use super::{Verdict, output};
use bench_record::rows::Error;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Options of `completions`.
#[derive(clap::Args)]
pub struct Completions {
    /// The shell that is to complete
    shell: Shell,
}

/// Options of `man`.
#[derive(clap::Args)]
pub struct Manual {
    /// Write a page of the program and one of each verb into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the completion script for a shell.
///
/// # Errors
/// Stdout cannot be written.
pub fn completions(args: &Completions, mut program: Command) -> anyhow::Result<Verdict> {
    let mut script = Vec::new();
    // The name is the one under which the program was called: a program with its own channels has another name.
    let called = env::args().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(OsStr::to_str).unwrap_or(program.get_name()).to_owned();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    output::print(&String::from_utf8(script)?)?;
    Ok(Verdict::Done)
}

/// Prints the manual page of the program, or writes the pages of all verbs.
///
/// # Errors
/// Stdout or the folder cannot be written.
pub fn manual(args: &Manual, program: Command) -> anyhow::Result<Verdict> {
    let Some(out) = &args.out else {
        let mut page = Vec::new();
        Man::new(program).render(&mut page)?;
        output::print(&String::from_utf8(page)?)?;
        return Ok(Verdict::Done);
    };
    fs::create_dir_all(out).and_then(|()| clap_mangen::generate_to(program, out)).map_err(|e| Error::io(out, e))?;
    output::print(&format!("manual pages written to {}: read them with man -l FILE\n", out.display()))?;
    Ok(Verdict::Done)
}
