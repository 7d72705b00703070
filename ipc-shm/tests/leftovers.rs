//! What counts as left of a System V segment that is removed while a process has it attached.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Options,
    leftovers::{self, Stray},
    process::{Child, fork},
};
use ipc_shm::SysvShm;
use std::{
    io::{Read, Write, pipe},
    thread::sleep,
    time::Duration,
};

fn main() {
    run_all([Suite::new("leftovers")
        .test("of_a_process_that_ends_nothing_is_left", of_a_process_that_ends_nothing_is_left)
        .test("what_stays_attached_is_left", what_stays_attached_is_left)]);
}

/// How long a process takes to end.
const SHORT: Duration = Duration::from_millis(100);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A process with a channel over a segment whose key is gone. It ends after `time`.
fn holder(time: Duration) -> Result<Child, String> {
    let (mut opened, writer) = pipe().map_err(text)?;
    let child = fork(|| {
        let ends = SysvShm::pair(&Options::default());
        let told = (&writer).write_all(&[0]);
        sleep(time);
        i32::from(ends.is_err() || told.is_err())
    });
    opened.read_exact(&mut [0]).map_err(text)?;
    child.map_err(text)
}

fn left_of(child: &Child) -> Result<Vec<String>, String> {
    leftovers::of(&[child.pid().as_raw().cast_unsigned()], Stray::Passes).map_err(text)
}

fn removed(left: &[String]) -> bool {
    left.iter().any(|what| what == "System V segment 0x0")
}

fn of_a_process_that_ends_nothing_is_left() -> Verdict {
    let child = holder(SHORT)?;
    let left = left_of(&child)?;
    if removed(&left) { Err(format!("{left:?}")) } else { Ok(()) }
}

fn what_stays_attached_is_left() -> Verdict {
    let mut child = holder(Duration::MAX)?;
    let left = left_of(&child)?;
    child.kill().map_err(text)?;
    if removed(&left) { Ok(()) } else { Err(format!("{left:?}")) }
}
