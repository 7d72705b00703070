//! Pages that a pipe refers to: whose they are, how long they keep what was sent, and what an unused pool costs.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Endpoint, Error, Options, SendInPlace, ledger,
    process::{fork, fork_peer},
};
use ipc_pipe::{Splice, Vmsplice};
use std::{fs, hint::black_box, thread::sleep, time::Duration};

fn main() {
    run_all([suite::<Vmsplice>(), suite::<Splice>()]);
}

fn suite<C: Channel<Endpoint: SendInPlace> + 'static>() -> Suite {
    Suite::new(C::SPEC.name)
        .test("pages_outlive_their_memory", pages_outlive_their_memory::<C>)
        .test("forks_between_messages", forks_between_messages::<C>)
        .test("lends_by_reference", lends_by_reference::<C>)
        .test("an_unused_pool_takes_no_memory", an_unused_pool_takes_no_memory::<C>)
        .test("the_message_under_way_goes_first", the_message_under_way_goes_first::<C>)
        .test("one_call_a_message", one_call_a_message::<C>)
}

const PAGE: usize = 4096;

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn options(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

/// A message of `len` bytes that no other number has.
fn message(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (number.wrapping_mul(31) ^ i ^ (i >> 8)) as u8).collect()
}

fn must_hear(end: &mut impl Endpoint, expected: &[u8]) -> Verdict {
    let mut buffer = vec![0; expected.len()];
    end.recv(&mut buffer).map_err(words)?;
    match buffer.iter().zip(expected).position(|(a, b)| a != b) {
        Some(at) => {
            Err(format!("of {} bytes, byte {at} is {:#04x}, not {:#04x}", buffer.len(), buffer[at], expected[at]))
        }
        None => Ok(()),
    }
}

/// The sender's memory is gone, and other memory has been written since: what was sent is as it was. Then the same with the
/// process itself gone.
fn pages_outlive_their_memory<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    let len = 16 * PAGE;
    let (mut sender, mut receiver) = C::pair(&Options::default()).map_err(words)?;
    sender.send(&message(1, len)).map_err(words)?;
    drop(sender);
    black_box(vec![0xff_u8; 64 << 20]);
    must_hear(&mut receiver, &message(1, len))?;

    let ends = C::pair(&Options::default()).map_err(words)?;
    let (mut child, mut receiver) =
        fork_peer(ends, |mut sender| i32::from(sender.send(&message(2, len)).is_err())).map_err(words)?;
    child.wait(Duration::from_secs(10)).map_err(words)?;
    black_box(vec![0xff_u8; 64 << 20]);
    must_hear(&mut receiver, &message(2, len))
}

/// The sender forks while the pipe refers to most of its pages, and fills the others at once, of which the child now has a
/// copy: while the child lives, and when it has gone.
fn forks_between_messages<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    // A pool of 17 pages, of which the pipe refers to 12 or 13.
    let options = Options { max_message: Some(PAGE), ..Options::default() };
    let mut ends = C::pair(&options).map_err(words)?;
    let (mut sent, mut heard) = (0, 0);
    let len = |number: usize| 1 + number * 97 % PAGE;
    for round in 0..40 {
        while sent - heard < 12 {
            ends.0.send(&message(sent, len(sent))).map_err(words)?;
            sent += 1;
        }
        let child = fork(|| {
            sleep(Duration::from_millis(round % 3));
            0
        });
        let mut child = child.map_err(words)?;
        for _ in 0..2 {
            for _ in 0..10 {
                let next = message(sent, len(sent));
                ends.0.send_with(next.len(), |slot| slot.copy_from_slice(&next)).map_err(words)?;
                sent += 1;
                must_hear(&mut ends.1, &message(heard, len(heard)))?;
                heard += 1;
            }
            child.wait(Duration::from_secs(10)).map_err(words)?;
        }
    }
    (heard..sent).try_for_each(|number| must_hear(&mut ends.1, &message(number, len(number))))
}

/// What is written to a lent page after it was sent is what the receiver sees: that is what the pool is for.
fn lends_by_reference<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    let (mut sender, mut receiver) = C::pair(&Options::default()).map_err(words)?;
    let mut slot = 0..0;
    let fill = |bytes: &mut [u8]| {
        slot = bytes.as_ptr().addr()..bytes.as_ptr().addr() + bytes.len();
        bytes.fill(1);
    };
    sender.send_with(PAGE, fill).map_err(words)?;
    poke(slot.start, 2)?;
    must_hear(&mut receiver, &[&[2; 8], &[1; PAGE - 8][..]].concat())
}

/// Writes eight bytes to an address of this process.
fn poke(address: usize, byte: u8) -> Verdict {
    use std::os::unix::fs::FileExt;
    let memory = fs::OpenOptions::new().write(true).open("/proc/self/mem").map_err(words)?;
    memory.write_all_at(&[byte; 8], address as u64).map_err(words)
}

/// Pages of this process that are in memory, in KiB (proc_pid_status(5)).
fn resident_kib() -> Result<usize, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(words)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().map_err(words)
}

/// A pool takes memory when it is written to, or prefaulted, and not when it is made.
fn an_unused_pool_takes_no_memory<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    let before = resident_kib()?;
    let (mut used, _unused) = C::pair(&Options { max_message: Some(16 << 20), ..Options::default() }).map_err(words)?;
    let made = resident_kib()?.saturating_sub(before);
    used.prefault();
    let touched = resident_kib()?.saturating_sub(before);
    if made < 1 << 10 && (32 << 10..40 << 10).contains(&touched) {
        return Ok(());
    }
    Err(format!("{made} KiB when it was made, {touched} KiB when one end was prefaulted"))
}

/// While nothing of a message has gone that timed out, `send` may put another in its place. Once a part has gone it has to be
/// finished, and another length is an error that says so and harms nothing.
fn the_message_under_way_goes_first<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    let (mut sender, mut receiver) = C::pair(&options(Duration::from_millis(1))).map_err(words)?;
    sender.send(&message(0, 10 * PAGE)).map_err(words)?;
    // Six pages fit.
    match sender.send(&message(1, 10 * PAGE)) {
        Err(Error::TimedOut) => {}
        other => return Err(format!("10 pages where 6 are free: {other:?}")),
    }
    for len in [1, 10 * PAGE - 1, 10 * PAGE + 1] {
        match sender.send(&message(2, len)) {
            Err(Error::Unsupported { what: "send", .. }) => {}
            other => return Err(format!("{len} bytes while others are under way: {other:?}")),
        }
    }
    must_hear(&mut receiver, &message(0, 10 * PAGE))?;
    sender.send(&message(1, 10 * PAGE)).map_err(words)?;
    must_hear(&mut receiver, &message(1, 10 * PAGE))?;

    sender.send(&message(3, 16 * PAGE)).map_err(words)?;
    for (number, len) in [(4, 100), (5, 7), (6, 7)] {
        match sender.send(&message(number, len)) {
            Err(Error::TimedOut) => {}
            other => return Err(format!("{len} bytes where no page is free: {other:?}")),
        }
    }
    // An empty one passes by.
    sender.send(&[]).map_err(words)?;
    must_hear(&mut receiver, &message(3, 16 * PAGE))?;
    sender.send_with(7, |slot| slot.fill(0)).map_err(words)?;
    must_hear(&mut receiver, &message(6, 7))
}

/// One call a message at each end, and no copy here but the one that `send` asks for.
fn one_call_a_message<C: Channel<Endpoint: SendInPlace>>() -> Verdict {
    let (mut sender, mut receiver) = C::pair(&Options::default()).map_err(words)?;
    let mut buffer = vec![0; 16 * PAGE];
    for len in [1, PAGE, 16 * PAGE] {
        for (in_place, copies) in [(true, 0), (false, 1)] {
            let before = ledger::entries();
            match in_place {
                true => sender.send_with(len, |slot| slot.fill(7)).map_err(words)?,
                false => sender.send(&vec![7; len]).map_err(words)?,
            }
            receiver.recv(&mut buffer[..len]).map_err(words)?;
            let entries = ledger::entries().since(before);
            if (entries.calls, entries.copies, entries.copied_bytes) != (2, copies, copies * len as u64) {
                return Err(format!("{len} bytes, in place: {in_place}: {entries:?}"));
            }
        }
    }
    Ok(())
}
