//! Where the system's pipes and files run out: each gives the error of its limit and leaves nothing.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{become_ordinary, isolate},
};
use ipc_core::{Channel, Error, Options, spec::kernel_limit};
use ipc_fifo::Fifo;
use nix::errno::Errno;
use std::{env::temp_dir, fs};

fn main() {
    run_all([Suite::pressure::<Fifo>()
        .pressure_by_name::<Fifo>()
        .prepared("over_pipe_max_size", || isolate(1 << 20).and_then(|()| become_ordinary()), over_pipe_max_size)
        .prepared("full_file_system", || isolate(64 << 10), full_file_system)]);
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn nothing_left() -> Verdict {
    let left: Vec<_> = fs::read_dir(temp_dir()).map_err(words)?.flatten().map(|file| file.file_name()).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left: {left:?}")) }
}

fn over_pipe_max_size() -> Verdict {
    let max = kernel_limit("/proc/sys/fs/pipe-max-size", 1 << 20);
    let len = max + 1;
    match Fifo::pair(&Options { capacity: Some(len), ..Options::default() }).map(drop) {
        Err(error) if error == (Error::TooLarge { len, max }) => nothing_left(),
        other => Err(format!("{len} bytes: {other:?}")),
    }
}

/// FIFOs take no blocks, but what the journal says of them does.
fn full_file_system() -> Verdict {
    let ballast = temp_dir().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).err().ok_or("the file system is not full")?;
    match Fifo::pair(&Options::default()).map(drop) {
        Err(Error::Os { source: Errno::ENOSPC, .. }) => {}
        other => return Err(format!("on a full file system: {other:?}")),
    }
    fs::remove_file(ballast).map_err(words)?;
    nothing_left()?;
    Fifo::pair(&Options::default()).map(drop).map_err(words)?;
    nothing_left()
}
