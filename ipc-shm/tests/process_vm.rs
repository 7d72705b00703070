//! What `process-vm` guarantees beyond the contract: when a buffer is used again, and that only the sender's memory is
//! read, however the sender ends.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{become_ordinary, root},
};
use ipc_core::{
    Channel, Endpoint, Error, InPlace, Options, Result, SendInPlace,
    process::{fork, fork_peer},
};
use ipc_shm::{ProcessVm, ProcessVmEnd};
use nix::sys::{
    prctl,
    signal::{Signal, raise},
};
use std::{
    io::{Read, Write},
    mem,
    os::unix::{net::UnixStream, process::CommandExt},
    process::Command,
    thread::sleep,
    time::Duration,
};

fn main() {
    run_all([Suite::new("process-vm")
        .test("a_buffer_is_used_again_once_it_was_received", a_buffer_is_used_again_once_it_was_received)
        .test("what_a_closed_end_leaves_is_whole", what_a_closed_end_leaves_is_whole)
        .test("what_a_killed_sender_leaves_is_nothing", || left_by(|_| raise(Signal::SIGKILL).expect("killed")))
        .test("what_an_exec_leaves_is_nothing", || left_by(|_| panic!("{}", Command::new("sleep").arg("60").exec())))
        .test("what_an_exit_leaves_is_nothing", || left_by(mem::forget))
        .test("another_process_than_the_sender_is_not_read", another_process_than_the_sender_is_not_read)
        .test("a_message_can_wait", a_message_can_wait)
        .prepared("a_sender_that_may_not_be_read", root, a_sender_that_may_not_be_read)])
}

const SHORT: Duration = Duration::from_millis(5);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn options() -> Options {
    Options { capacity: Some(64 << 10), timeout: Some(SHORT), ..Options::default() }
}

/// The length of message `n`: of some lengths many fit into the pool, of others two.
fn len(n: u64, max: usize) -> usize {
    match n % 7 {
        0 => 0,
        1 => max,
        2 => max / 2 + 1,
        3 => 4096,
        _ => (n * 97 % 3000) as usize,
    }
}

fn send(end: &mut ProcessVmEnd, n: u64) -> Result<()> {
    let len = len(n, end.max_message());
    if n.is_multiple_of(2) { end.send(&vec![n as u8; len]) } else { end.send_with(len, |slot| slot.fill(n as u8)) }
}

fn receive(end: &mut ProcessVmEnd, n: u64) -> Verdict {
    let max = end.max_message();
    let mut buffer = vec![0; max];
    let received = if n.is_multiple_of(3) {
        end.recv(&mut buffer)
    } else {
        end.recv_with(|message| {
            buffer[..message.len()].copy_from_slice(message);
            message.len()
        })
    };
    let received = received.map_err(|error| format!("message {n}: {error}"))?;
    if received == len(n, max) && buffer[..received].iter().all(|&byte| byte == n as u8) {
        Ok(())
    } else {
        Err(format!("message {n} of {} bytes came as {received}: {:?}", len(n, max), buffer.first_chunk::<8>()))
    }
}

/// Sends messages from `n` on until there is no room. Returns the number of the next one.
fn fill(end: &mut ProcessVmEnd, mut n: u64) -> std::result::Result<u64, String> {
    loop {
        match send(end, n) {
            Ok(()) => n += 1,
            Err(Error::TimedOut) => return Ok(n),
            Err(error) => return Err(format!("message {n}: {error}")),
        }
    }
}

/// The pool is always full. Messages are received only once the next one does not fit.
fn a_buffer_is_used_again_once_it_was_received() -> Verdict {
    let (mut a, mut b) = ProcessVm::pair(&options()).map_err(text)?;
    let (mut sent, mut received) = (0, 0);
    while received < 500 {
        sent = fill(&mut a, sent)?;
        let some = 1 + received % 5;
        for _ in 0..some.min(sent - received) {
            receive(&mut b, received)?;
            received += 1;
        }
    }
    Ok(())
}

fn is_gone<T: std::fmt::Debug>(received: Result<T>) -> Verdict {
    match received {
        Err(Error::PeerGone { .. }) => Ok(()),
        other => Err(format!("after the end: {other:?}")),
    }
}

/// The sender closes a full channel, with its positions anywhere in the ring. Then it lives on or ends.
fn what_a_closed_end_leaves_is_whole() -> Verdict {
    for (ahead, lives) in (0..12).flat_map(|ahead| [(ahead, false), (ahead, true)]) {
        let ends = ProcessVm::pair(&options()).map_err(text)?;
        let (line, peer_line) = UnixStream::pair().map_err(text)?;
        let ends = ((ends.0, line), (ends.1, peer_line));
        let (mut child, (mut end, mut line)) = fork_peer(ends, |(mut end, mut line)| {
            let told = (|| {
                // Moves the positions on.
                for n in 0..ahead {
                    send(&mut end, n).map_err(text)?;
                    line.read_exact(&mut [0]).map_err(text)?;
                }
                let sent = fill(&mut end, ahead)?;
                drop(end);
                line.write_all(&sent.to_ne_bytes()).map_err(text)?;
                if lives {
                    let _ = line.read(&mut [0]);
                }
                Ok::<_, String>(())
            })();
            i32::from(told.is_err())
        })
        .map_err(text)?;
        end.set_timeout(None).map_err(text)?;
        for n in 0..ahead {
            receive(&mut end, n)?;
            line.write_all(&[0]).map_err(text)?;
        }
        let mut sent = [0; 8];
        line.read_exact(&mut sent).map_err(text)?;
        if !lives {
            child.wait(Duration::from_secs(10)).map_err(text)?;
        }
        let sent = u64::from_ne_bytes(sent);
        for n in ahead..sent {
            receive(&mut end, n).map_err(|why| format!("of {sent}, {ahead} ahead, lives on: {lives}: {why}"))?;
        }
        is_gone(end.recv(&mut [0; 8]))?;
        is_gone(end.recv_with(<[u8]>::len))?;
    }
    Ok(())
}

/// A sender that ends without closing leaves nothing, and no other process is mistaken for it.
fn left_by(end: impl FnOnce(ProcessVmEnd) + Copy) -> Verdict {
    for policy in [Duration::ZERO, Duration::from_millis(60)] {
        let ends = ProcessVm::pair(&Options::default()).map_err(text)?;
        let (child, mut here) = fork_peer(ends, |mut there| {
            for n in 0..3 {
                send(&mut there, n).expect("sent");
            }
            end(there);
            0
        })
        .map_err(text)?;
        // The first may be received before the sender ends.
        let mut buffer = vec![0; here.max_message()];
        let first = here.recv(&mut buffer);
        sleep(policy.max(Duration::from_millis(20)));
        for _ in 0..3 {
            let next = here.recv(&mut buffer);
            if first.is_err() || next.is_err() {
                break;
            }
        }
        is_gone(here.recv(&mut buffer))?;
        is_gone(here.recv_with(<[u8]>::len))?;
        drop(child);
        is_gone(here.recv(&mut buffer))?;
    }
    Ok(())
}

/// A child that uses its parent's end has other memory at the same address.
fn another_process_than_the_sender_is_not_read() -> Verdict {
    let (mut here, mut there) = ProcessVm::pair(&Options::default()).map_err(text)?;
    send(&mut here, 4).map_err(text)?;
    receive(&mut there, 4)?;
    let mut child = fork(|| i32::from(send(&mut here, 5).is_err())).map_err(text)?;
    child.wait(Duration::from_secs(10)).map_err(text)?;
    match there.recv(&mut [0; 4096]) {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => Err(format!("a message of another process: {other:?}")),
    }
}

/// A message waits for longer than a process id is trusted.
fn a_message_can_wait() -> Verdict {
    let ends = ProcessVm::pair(&Options::default()).map_err(text)?;
    let (mut child, mut here) = fork_peer(ends, |mut there| {
        let sent = (0..4).try_for_each(|n| send(&mut there, n));
        i32::from(sent.is_err() || there.recv(&mut [0; 8]).is_err())
    })
    .map_err(text)?;
    for n in 0..4 {
        sleep(Duration::from_millis(40));
        receive(&mut here, n)?;
    }
    here.send(b"").map_err(text)?;
    child.wait(Duration::from_secs(10)).map_err(text).map(drop)
}

/// A sender without privileges is not dumpable after a change of user. The error says so. Once the sender permits it,
/// the message is still there.
fn a_sender_that_may_not_be_read() -> Verdict {
    become_ordinary().map_err(text)?;
    let ends = ProcessVm::pair(&Options::default()).map_err(text)?;
    let (mut child, mut here) = fork_peer(ends, |mut there| {
        let played = send(&mut there, 5).is_ok()
            && there.recv(&mut [0; 8]).is_ok()
            && prctl::set_dumpable(true).is_ok()
            && send(&mut there, 6).is_ok()
            && there.recv(&mut [0; 8]).is_ok();
        i32::from(!played)
    })
    .map_err(text)?;
    let refused = here.recv(&mut [0; 4096]);
    // So that the child can read this process.
    prctl::set_dumpable(true).map_err(text)?;
    here.send(b"go on").map_err(text)?;
    match refused {
        Err(Error::Unsupported { what: "process-vm", why }) if why.contains("dumpable") => {}
        other => return Err(format!("of a process that may not be read: {other:?}")),
    }
    // The child becomes dumpable some time after that has arrived.
    loop {
        match receive(&mut here, 5) {
            Err(why) if why.contains("dumpable") => sleep(SHORT),
            received => break received?,
        }
    }
    receive(&mut here, 6)?;
    here.send(b"").map_err(text)?;
    child.wait(Duration::from_secs(10)).map_err(text).map(drop)
}
