//! Runs commands as children in process groups of their own. A signal reaches this process first. It passes the signal
//! on and waits for the child, so that it can clean up afterwards.

use super::Stop;
use bench_lab::{interrupt, say};
use bench_record::rows::reason;
use ipc_core::{
    deadline::{Deadline, SLICE},
    process::{self, Child, Exit},
};
use nix::sys::signal::{Signal, kill, killpg};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

/// How long a child may take to end after it was asked to. A gate that is counting needs half of it.
const GRACE: Duration = Duration::from_secs(60);
/// The exit code of a child that could not be started.
const NOT_STARTED: i32 = 127;

/// The exit code and the output of a command.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `command` until it ends.
///
/// # Errors
/// [`Stop`] if the command takes longer than `limit`, or if this process was asked to stop meanwhile.
pub(super) fn run(mut command: Command, limit: Duration) -> Result<Exit, Stop> {
    command.stdin(Stdio::null()).process_group(0);
    let name = command.get_program().display().to_string();
    let failed = |error: ipc_core::Error| Stop::new(2, format!("{name}: {error}"));
    let mut child = process::fork(|| {
        let error = command.exec();
        say!("{}: {}", command.get_program().display(), reason(&error));
        NOT_STARTED
    })
    .map_err(failed)?;
    let mut deadline = Deadline::after(limit);
    let mut asked = false;
    loop {
        if let Some(exit) = child.wait(SLICE).map_err(failed)? {
            return if asked || interrupt::requested() {
                Err(Stop::new(3, "interrupted: inconclusive"))
            } else {
                Ok(exit)
            };
        }
        if interrupt::requested() && !asked {
            // SIGINT is not used: children of a script in the background ignore it.
            signal(&child, Signal::SIGTERM);
            (asked, deadline) = (true, Deadline::after(GRACE));
        }
        if deadline.has_passed() {
            signal(&child, Signal::SIGKILL);
            let how = if asked { format!("{GRACE:?} after a signal") } else { format!("{limit:?}") };
            return Err(Stop::new(if asked { 3 } else { 2 }, format!("{name} had no end within {how}")));
        }
    }
}

/// Sends `signal` to the process group of `child`, or to the child if it has not made the group yet.
fn signal(child: &Child, signal: Signal) {
    let _ = killpg(child.pid(), signal).or_else(|_| kill(child.pid(), signal));
}

/// Runs `command` until it ends, and returns its output.
///
/// # Errors
/// The errors of [`run`].
pub(super) fn ask(mut command: Command, limit: Duration) -> Result<Said, Stop> {
    let failed = |error: io::Error| Stop::new(2, format!("a temporary file: {error}"));
    let [mut out, mut err] = [tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?];
    command.stdout(out.try_clone().map_err(failed)?).stderr(err.try_clone().map_err(failed)?);
    let exit = run(command, limit)?;
    let text = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let code = if let Exit::Code(code) = exit { Some(code) } else { None };
    Ok(Said { code, out: text(&mut out)?, err: text(&mut err)? })
}
