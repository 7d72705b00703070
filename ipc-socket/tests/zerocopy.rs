//! What is particular to `tcp-zerocopy`: memory that the kernel may still read, its notifications, and its limits.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{become_ordinary, set_soft_limit},
};
use ipc_core::{
    Channel, Endpoint, Error, Options, SendInPlace, Wait, ledger,
    process::{self, Exit},
};
use ipc_socket::{TcpZerocopy, ZerocopyEnd};
use nix::sys::resource::Resource;
use std::{thread::sleep, time::Duration};

fn main() {
    run_all([Suite::new("zerocopy")
        .test("loopback_copies", loopback_copies)
        .test("what_is_on_its_way_is_not_written_to", what_is_on_its_way_is_not_written_to)
        .test("what_is_on_its_way_outlives_a_close", what_is_on_its_way_outlives_a_close)
        .test("a_close_with_unread_notifications_is_none", a_close_with_unread_notifications)
        .test("longer_messages_than_the_pool_is_made_for", longer_messages_than_the_pool_is_made_for)
        .test("a_message_that_timed_out_goes_on", a_message_that_timed_out_goes_on)
        .test("unread_notifications_do_not_wake_a_receiver", unread_notifications_do_not_wake_a_receiver)
        .test("one_call_a_message", one_call_a_message)
        .prepared("little_locked_memory", become_ordinary, little_locked_memory)
        .prepared("no_locked_memory", become_ordinary, no_locked_memory)])
}

const SOON: Duration = Duration::from_secs(10);
const MEANWHILE: Duration = Duration::from_millis(20);
const KIB: usize = 1 << 10;

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn within(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

/// Message `number` of `len` bytes: each cache line of it is of a byte of its own.
fn compose(number: usize, message: &mut [u8]) {
    for (at, line) in message.chunks_mut(64).enumerate() {
        line.fill((number * 31 + at) as u8);
    }
}

fn write(end: &mut ZerocopyEnd, number: usize, len: usize) -> ipc_core::Result<()> {
    end.send_with(len, |slot| compose(number, slot))
}

fn read(end: &mut ZerocopyEnd, number: usize, len: usize) -> Verdict {
    let (mut expected, mut buffer) = (vec![0; len], vec![0; len]);
    compose(number, &mut expected);
    end.recv(&mut buffer).map_err(|error| format!("message {number}: {error}"))?;
    if buffer == expected {
        return Ok(());
    }
    let at = buffer.iter().zip(&expected).position(|(a, b)| a != b);
    Err(format!("message {number} of {len} bytes is another one from byte {} on", at.unwrap_or(len)))
}

fn read_the_end(end: &mut ZerocopyEnd) -> Verdict {
    match end.recv(&mut [0]) {
        Err(Error::PeerGone { sign: ipc_core::Sign::EndOfFile }) => Ok(()),
        other => Err(format!("{other:?}, not the end of file")),
    }
}

/// Sends until nothing fits any more; returns how many messages have been sent whole.
fn fill(end: &mut ZerocopyEnd, len: usize) -> Result<usize, String> {
    end.set_timeout(Some(MEANWHILE)).map_err(words)?;
    for number in 0.. {
        match write(end, number, len) {
            Ok(()) => {}
            Err(Error::TimedOut) => return Ok(number),
            Err(error) => return Err(format!("message {number}: {error}")),
        }
    }
    unreachable!("nobody counts that far")
}

/// Sends `count` messages of `len` bytes to a process that reads and checks them, and hands over the sender's end.
fn to_a_reader(
    options: &Options,
    [count, len]: [usize; 2],
    send: impl FnOnce(&mut ZerocopyEnd) -> Verdict,
) -> Result<ZerocopyEnd, String> {
    let ends = TcpZerocopy::pair(options).map_err(words)?;
    let (mut reader, mut end) = process::fork_peer(ends, |mut there| {
        let all = (0..count).try_for_each(|number| read(&mut there, number, len));
        all.inspect_err(|why| eprintln!("{why}")).is_err().into()
    })
    .map_err(words)?;
    send(&mut end)?;
    match reader.wait(SOON).map_err(words)? {
        Some(Exit::Code(0)) => Ok(end),
        other => Err(format!("the reader ended with {other:?}")),
    }
}

/// Nothing is saved: what reaches a receiver on this host has been copied on its way, and the kernel says so.
fn loopback_copies() -> Verdict {
    let end = to_a_reader(&within(SOON), [400, 64 * KIB], |end| {
        (0..400).try_for_each(|number| write(end, number, 64 * KIB)).map_err(words)
    })?;
    let done = end.completions();
    if done.sends >= 400 - 128 && done.copied == done.sends { Ok(()) } else { Err(format!("{done:?}")) }
}

/// The receiver's buffer is full, then the sender's, whose content still lies in the slots; the messages come as they were
/// written.
fn what_is_on_its_way_is_not_written_to() -> Verdict {
    for len in [4 * KIB, 64 * KIB, 256 * KIB] {
        let (mut here, mut there) = TcpZerocopy::pair(&within(SOON)).map_err(words)?;
        let sent = fill(&mut here, len)?;
        // The one that did not fit, and a few that need its slot.
        let (mut reader, mut here) = process::fork_peer((here, &mut there), |there| {
            let all = (0..sent + 5).try_for_each(|number| read(there, number, len));
            all.inspect_err(|why| eprintln!("{len} bytes: {why}")).is_err().into()
        })
        .map_err(words)?;
        here.set_timeout(Some(SOON)).map_err(words)?;
        for number in sent..sent + 5 {
            write(&mut here, number, len).map_err(|error| format!("message {number}: {error}"))?;
        }
        if reader.wait(SOON).map_err(words)? != Some(Exit::Code(0)) {
            return Err(format!("not all of {sent} messages of {len} bytes came as they were sent"));
        }
    }
    Ok(())
}

/// The sender has closed its end, and used its memory for something else, before the kernel has sent all of it.
fn what_is_on_its_way_outlives_a_close() -> Verdict {
    let len = 64 * KIB;
    let (mut here, mut there) = TcpZerocopy::pair(&within(SOON)).map_err(words)?;
    let sent = fill(&mut here, len)?;
    // The last one goes as soon as there is room for all of it, and for no more.
    let mut taken = 0;
    while write(&mut here, sent, len).is_err_and(|error| error == Error::TimedOut) {
        read(&mut there, taken, len)?;
        taken += 1;
    }
    drop(here);
    let junk: Vec<Vec<u8>> = (0..64).map(|_| vec![0xee; 256 * KIB]).collect();
    (taken..=sent).try_for_each(|number| read(&mut there, number, len))?;
    drop(junk);
    read_the_end(&mut there)
}

/// Nothing is lost, and the connection is closed, not reset.
fn a_close_with_unread_notifications() -> Verdict {
    for count in [1, 50, 127] {
        let (mut here, mut there) = TcpZerocopy::pair(&within(SOON)).map_err(words)?;
        for number in 0..count {
            write(&mut here, number, 100).map_err(words)?;
        }
        if here.completions() != Default::default() {
            return Err("the notifications have been read".into());
        }
        drop(here);
        (0..count).try_for_each(|number| read(&mut there, number, 100))?;
        read_the_end(&mut there)?;
    }
    Ok(())
}

/// Longer ones, shorter ones and longer ones, while notifications of each other are out.
fn longer_messages_than_the_pool_is_made_for() -> Verdict {
    let lens = [100, 20 * KIB, 64 * KIB, 5000, 1 << 20, 10, 3 << 20, (3 << 20) + 1, 20 << 20, 64, 20 << 20, 1];
    for wait in Wait::ALL {
        let options = Options { wait, max_message: Some(100), ..within(SOON) };
        let ends = TcpZerocopy::pair(&options).map_err(words)?;
        let (mut reader, mut here) = process::fork_peer(ends, |mut there| {
            let all = (0..).zip(lens).try_for_each(|(number, len)| read(&mut there, number, len));
            all.inspect_err(|why| eprintln!("{wait}: {why}")).is_err().into()
        })
        .map_err(words)?;
        for (number, len) in (0..).zip(lens) {
            write(&mut here, number, len).map_err(|error| format!("{wait}, message {number}: {error}"))?;
        }
        if reader.wait(SOON).map_err(words)? != Some(Exit::Code(0)) {
            return Err(format!("{wait}: not all came as they were sent"));
        }
    }
    Ok(())
}

/// A call with the same length goes on; one with another is told, and moves nothing.
fn a_message_that_timed_out_goes_on() -> Verdict {
    let len = 20 << 20;
    let (mut here, mut there) = TcpZerocopy::pair(&within(MEANWHILE)).map_err(words)?;
    let mut message = vec![0; len];
    compose(7, &mut message);
    let first = here.send(&message);
    let other = here.send(&message[1..]);
    let mut filled = false;
    let again = here.send_with(len, |_| filled = true);
    match (first, other, again) {
        (Err(Error::TimedOut), Err(Error::Unsupported { what: "send", .. }), Err(Error::TimedOut)) if !filled => {}
        other => return Err(format!("{other:?}, filled again: {filled}")),
    }
    there.set_timeout(Some(SOON)).map_err(words)?;
    let (mut reader, mut here) = process::fork_peer((here, there), |mut there| {
        let both = read(&mut there, 7, len).and_then(|()| read(&mut there, 8, 100));
        both.inspect_err(|why| eprintln!("{why}")).is_err().into()
    })
    .map_err(words)?;
    here.set_timeout(Some(SOON)).map_err(words)?;
    here.send(&message).and_then(|()| write(&mut here, 8, 100)).map_err(words)?;
    if reader.wait(SOON).map_err(words)? == Some(Exit::Code(0)) { Ok(()) } else { Err("it came otherwise".into()) }
}

/// poll(2) reports an unread notification each time it is called. A receiver that waits for something else still sleeps.
fn unread_notifications_do_not_wake_a_receiver() -> Verdict {
    for wait in [Wait::Block, Wait::Hybrid] {
        let spin = Duration::from_micros(1);
        let options = Options { wait, spin, ..within(Duration::from_millis(100)) };
        let (mut here, mut there) = TcpZerocopy::pair(&options).map_err(words)?;
        for number in 0..20 {
            write(&mut here, number, 100).map_err(words)?;
            read(&mut there, number, 100)?;
        }
        sleep(MEANWHILE);
        let before = ledger::entries();
        match here.recv(&mut [0]) {
            Err(Error::TimedOut) => {}
            other => return Err(format!("{wait}: recv of nothing: {other:?}")),
        }
        let calls = ledger::entries().since(before).calls;
        // A recv, its repetition after the sleep, the sleep, notifications, and polls for a microsecond.
        if calls > 70 {
            return Err(format!("{wait}: {calls} system calls while nothing happened"));
        }
    }
    Ok(())
}

/// Notifications are read in batches: one more call for each 128 messages. The best of some tries counts, since who shares the
/// machine can delay an acknowledgement beyond the answer that it should come with.
fn one_call_a_message() -> Verdict {
    let lens = [64, 4 * KIB, 64 * KIB];
    for (wait, len) in Wait::ALL.into_iter().flat_map(|wait| lens.map(|len| (wait, len))) {
        let options = Options { wait, ..within(SOON) };
        let (count, mut best) = (640, f64::MAX);
        for _ in 0..20 {
            let ends = TcpZerocopy::pair(&options).map_err(words)?;
            let (mut reader, mut here) = process::fork_peer(ends, |mut there| {
                let answered = (0..count).try_for_each(|number| {
                    read(&mut there, number, len)?;
                    there.send(&[1]).map_err(words)
                });
                answered.inspect_err(|why| eprintln!("{why}")).is_err().into()
            })
            .map_err(words)?;
            let mut calls = 0;
            for number in 0..count {
                let before = ledger::entries();
                write(&mut here, number, len).map_err(words)?;
                calls += ledger::entries().since(before).calls;
                here.recv(&mut [0]).map_err(words)?;
            }
            best = best.min(calls as f64 / count as f64);
            reader.wait(SOON).map_err(words)?;
            if best <= 1.01 {
                break;
            }
        }
        if best > 1.01 {
            return Err(format!("{wait}, {len} bytes: {best} system calls a message"));
        }
    }
    Ok(())
}

fn lock_at_most(bytes: usize) -> Verdict {
    set_soft_limit(Resource::RLIMIT_MEMLOCK, bytes as u64).map(drop).map_err(words)
}

/// Messages beyond the limit go in pieces, and wait for what others on their way hold of it.
fn little_locked_memory() -> Verdict {
    lock_at_most(64 * KIB)?;
    for [count, len] in [[3000, 64], [500, 16 * KIB], [50, 64 * KIB], [10, 1 << 20]] {
        let sent = to_a_reader(&within(SOON), [count, len], |end| {
            (0..count).try_for_each(|number| write(end, number, len)).map_err(words)
        });
        sent.map_err(|why| format!("{count} messages of {len} bytes: {why}"))?;
    }
    Ok(())
}

/// The error says which limit it was, and the end goes on when there is room.
fn no_locked_memory() -> Verdict {
    let (mut here, mut there) = TcpZerocopy::pair(&within(SOON)).map_err(words)?;
    lock_at_most(0)?;
    match write(&mut here, 0, 64 * KIB) {
        Err(Error::Unsupported { what: "send", why }) if why.contains("RLIMIT_MEMLOCK, 0 bytes") => {}
        other => return Err(format!("{other:?}")),
    }
    lock_at_most(1 << 20)?;
    write(&mut here, 0, 64 * KIB).map_err(words)?;
    read(&mut there, 0, 64 * KIB)
}
