//! What is particular to sockets that keep messages apart: empty messages look like the end, and the send buffer bounds a
//! message.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{Channel, Endpoint, Error, Options, Wait, process};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};
use nix::errno::Errno;
use std::{
    fs,
    hint::spin_loop,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{sleep, spawn, yield_now},
    time::{Duration, Instant},
};

fn main() {
    run_all([Suite::new("datagram")
        .test("empty_messages_before_the_end_unix_dgram", empty_messages_before_the_end::<UnixDgram>)
        .test("empty_messages_before_the_end_unix_seqpacket", empty_messages_before_the_end::<UnixSeqpacket>)
        .test("the_last_message_unix_seqpacket", the_last_message)
        .test("limit_follows_the_buffer_unix_dgram", limit_follows_the_buffer::<UnixDgram>)
        .test("limit_follows_the_buffer_unix_seqpacket", limit_follows_the_buffer::<UnixSeqpacket>)
        .test("limit_of_udp", limit_of_udp)
        .test("more_than_the_system_grants", more_than_the_system_grants)])
}

/// A message that is sent just before the end arrives, also where the receiver is in the middle of finding nothing: the kernel
/// then says that this was the end (`unix_dgram_recvmsg`, net/unix/af_unix.c: it looks for a message and for the end one
/// after the other).
fn the_last_message() -> Verdict {
    let (mailbox, heard) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
    let receiver = {
        let (mailbox, heard) = (Arc::clone(&mailbox), Arc::clone(&heard));
        move || loop {
            let Some(mut end): Option<<UnixSeqpacket as Channel>::Endpoint> =
                mailbox.lock().ok().and_then(|mut post| post.take())
            else {
                yield_now();
                continue;
            };
            let received = (0..).map(|_| end.recv(&mut [0; 8])).take_while(Result::is_ok).count();
            heard.fetch_add(FINISHED + received as u64, Ordering::Release);
        }
    };
    // It ends with the process.
    spawn(receiver);
    let began = Instant::now();
    for round in 1..=ROUNDS {
        // Where every yield costs a time slice.
        if began.elapsed() > AT_MOST {
            break;
        }
        let (mut here, there) =
            UnixSeqpacket::pair(&Options { wait: Wait::Spin, ..Options::default() }).map_err(words)?;
        *mailbox.lock().map_err(words)? = Some(there);
        // Sooner or later, so that the receiver is at any point of its call.
        (0..round % 400).for_each(|_| spin_loop());
        here.send(&[1; 8]).map_err(words)?;
        drop(here);
        while heard.load(Ordering::Acquire) / FINISHED < round {
            yield_now();
        }
    }
    let heard = heard.load(Ordering::Acquire);
    match (heard % FINISHED, heard / FINISHED) {
        (received, rounds) if received == rounds => Ok(()),
        (received, rounds) => Err(format!("of {rounds} messages before the end {received} arrived")),
    }
}

const ROUNDS: u64 = 40_000;
const AT_MOST: Duration = Duration::from_secs(20);
/// What the end of a round counts, beside the messages in it.
const FINISHED: u64 = 1 << 32;

const MEANWHILE: Duration = Duration::from_millis(30);

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// As many empty messages arrive as were sent before the end, and no more: whether the receiver waits for them or finds
/// them all, however many there are, and whether the sender closes or is killed.
fn empty_messages_before_the_end<C: Channel>() -> Verdict {
    for wait in Wait::ALL {
        for (messages, waits, dies) in
            [(0, true, false), (1, false, true), (1, true, false), (5, false, false), (300, false, true)]
        {
            let ends = C::pair(&Options { wait, ..Options::default() }).map_err(words)?;
            let (mut child, mut end) = process::fork_peer(ends, |mut there: C::Endpoint| {
                if waits {
                    sleep(MEANWHILE);
                }
                let sent = (0..messages).try_for_each(|_| there.send(&[]));
                if dies {
                    // Not even the end's own clean-up.
                    std::mem::forget(there);
                }
                i32::from(sent.is_err())
            })
            .map_err(words)?;
            if !waits {
                sleep(MEANWHILE);
            }
            let heard = (0..).map(|_| end.recv(&mut [0; 8])).take_while(|got| *got == Ok(0)).count();
            let last = end.recv(&mut [0; 8]);
            if heard != messages || !last.as_ref().is_err_and(Error::is_peer_gone) {
                return Err(format!("{wait}: {messages} were sent, {heard} came, and then {last:?}"));
            }
            child.wait(Duration::from_secs(5)).map_err(words)?;
        }
    }
    Ok(())
}

fn limit(path: &str) -> Result<usize, String> {
    fs::read_to_string(path).map_err(words)?.trim().parse().map_err(words)
}

/// Messages up to the limit pass, whatever the size of the buffer; one byte more does not.
fn limit_follows_the_buffer<C: Channel>() -> Verdict {
    let most = limit("/proc/sys/net/core/wmem_max")?.min(limit("/proc/sys/net/core/rmem_max")?);
    for capacity in [None, Some(4096), Some(100_000), Some(1 << 20), Some(most)] {
        if capacity.is_some_and(|capacity| capacity > most) {
            continue;
        }
        let (a, b) = C::pair(&Options { capacity, ..Options::default() }).map_err(words)?;
        pass_limit(a, b).map_err(|why| format!("capacity {capacity:?}: {why}"))?;
    }
    Ok(())
}

fn limit_of_udp() -> Verdict {
    let (a, b) = Udp::pair(&Options::default()).map_err(words)?;
    if a.max_message() != 65_507 {
        return Err(format!("the limit is {}", a.max_message()));
    }
    pass_limit(a, b)
}

fn pass_limit<E: Endpoint>(mut a: E, mut b: E) -> Verdict {
    let max = a.max_message();
    let message = vec![0x5a; max + 1];
    let mut buffer = vec![0; max + 1];
    match a.send(&message[..max]) {
        // A long message needs memory in one piece, which a busy system may not have.
        Err(Error::Os { source: Errno::ENOBUFS, .. }) if max > 1 << 20 => return Ok(()),
        sent => sent.map_err(|error| format!("send of {max} bytes: {error}"))?,
    }
    match b.recv(&mut buffer) {
        Ok(len) if len == max && buffer[..max] == message[..max] => {}
        other => return Err(format!("recv of {max} bytes: {other:?}")),
    }
    match a.send(&message) {
        Err(Error::TooLarge { len, max: limit }) if (len, limit) == (max + 1, max) => Ok(()),
        other => Err(format!("send of {} bytes: {other:?}", max + 1)),
    }
}

/// A buffer that the kernel would silently make smaller is refused, and the error says what it would have been.
fn more_than_the_system_grants() -> Verdict {
    let most = limit("/proc/sys/net/core/wmem_max")?.min(limit("/proc/sys/net/core/rmem_max")?);
    let options = Options { capacity: Some(most + 1), ..Options::default() };
    let refusals = [
        UnixStream::pair(&options).err(),
        UnixDgram::pair(&options).err(),
        UnixSeqpacket::pair(&options).err(),
        Tcp::pair(&options).err(),
        TcpZerocopy::pair(&options).err(),
        Udp::pair(&options).err(),
    ];
    let expected = Error::TooLarge { len: most + 1, max: most };
    if refusals.iter().all(|refusal| refusal.as_ref() == Some(&expected)) {
        Ok(())
    } else {
        Err(format!("{most} bytes and one more: {refusals:?}"))
    }
}
