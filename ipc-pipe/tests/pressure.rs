//! Where the system's pipes run out: each gives the error of its limit and leaves nothing.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{become_ordinary, root},
};
use ipc_core::{Channel, Endpoint, Error, Options, spec::kernel_limit};
use ipc_pipe::{Pipe, Splice, Vmsplice};
use nix::errno::Errno;
use std::time::Duration;

fn main() {
    run_all([
        Suite::pressure::<Pipe>()
            // Root may pass both limits.
            .prepared("over_pipe_max_size", become_ordinary, over_pipe_max_size)
            // As a separate user: the limit counts the pipes of all processes of a user.
            .prepared(
                "over_the_users_pages",
                || is_limited().and_then(|()| root()).and_then(|()| become_ordinary()),
                over_the_users_pages,
            ),
        Suite::pressure::<Vmsplice>(),
        Suite::pressure::<Splice>(),
    ]);
}

const USERS_PAGES: &str = "/proc/sys/fs/pipe-user-pages-soft";

/// Whether the limit can be reached with the descriptors that a process has by default; 0 is none (pipe(7)).
fn is_limited() -> ipc_core::Result<()> {
    match kernel_limit(USERS_PAGES, 0) {
        1..=32_768 => Ok(()),
        pages => Err(Error::Unsupported { what: "limit", why: format!("{USERS_PAGES} is {pages}") }),
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn with_capacity(bytes: usize) -> ipc_core::Result<(<Pipe as Channel>::Endpoint, <Pipe as Channel>::Endpoint)> {
    Pipe::pair(&Options { capacity: Some(bytes), ..Options::default() })
}

fn over_pipe_max_size() -> Verdict {
    let max = kernel_limit("/proc/sys/fs/pipe-max-size", 1 << 20);
    with_capacity(max).map_err(|error| format!("{max} bytes: {error}"))?;
    for len in [max + 1, 1 << 31, (1 << 31) + 1, usize::MAX] {
        match with_capacity(len).map(drop) {
            Err(error) if error == (Error::TooLarge { len, max }) => {}
            other => return Err(format!("{len} bytes: {other:?}")),
        }
    }
    Ok(())
}

/// All pipes of a user together may take so many pages (pipe(7)). Beyond that the kernel makes new ones with two pages, which
/// must not pass for the pipes that were asked for.
fn over_the_users_pages() -> Verdict {
    let max = kernel_limit("/proc/sys/fs/pipe-max-size", 1 << 20);
    let mut ends = Vec::new();
    for capacity in [Some(max), None] {
        loop {
            match Pipe::pair(&Options { capacity, timeout: Some(Duration::ZERO), ..Options::default() }) {
                Ok(pair) => ends.push((pair, capacity.unwrap_or(64 << 10))),
                Err(Error::Os { call: "fcntl", source: Errno::EPERM }) => break,
                Err(error) => return Err(format!("{capacity:?} after {} pairs: {error}", ends.len())),
            }
            if ends.len() * 4 > 800 {
                return Err("the user has no limit".into());
            }
        }
    }
    for ((end, _), capacity) in &mut ends {
        let page = [0; 4096];
        let sent = (0..).take_while(|_| end.send(&page).is_ok()).count() * page.len();
        if sent < *capacity {
            return Err(format!("a pipe of {capacity} bytes was full after {sent}"));
        }
    }
    drop(ends);
    with_capacity(max).map(drop).map_err(words)
}
