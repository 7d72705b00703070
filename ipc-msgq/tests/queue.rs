//! What is particular to queues: they outlive their processes unless somebody removes them, and their limits are few and
//! small.

use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Attested, Channel, Endpoint, Error, Name, Options, Rendezvous, Wait,
    leftovers::sysv_table,
    objects::{self, Fate, Object},
    process::{self, Exit},
};
use ipc_msgq::{PosixMq, SysvMsgq};
use std::{
    fs,
    io::{Read, Write, pipe},
    time::Duration,
};

fn main() {
    // After each test the suite looks for queues and journal entries that it left.
    run_all([Suite::new("queue")
        .test("copies_dropped_at_once", copies_dropped_at_once)
        .test("copies_kept_by_the_supervisor", copies_kept_by_the_supervisor)
        .test("killed_owner_is_swept", killed_owner_is_swept)
        .test("unread_messages_outlive_their_sender", unread_messages_outlive_their_sender)
        .test("long_message_stays", long_message_stays)
        .test("the_last_sender_is_attested", the_last_sender_is_attested)
        .test("limits_of_sysv", limits_of_sysv)
        .test("limits_of_posix", limits_of_posix)]);
}

const SOON: Duration = Duration::from_secs(10);

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn must(condition: bool, what: &str) -> Verdict {
    if condition { Ok(()) } else { Err(what.to_owned()) }
}

fn limit(path: &str) -> Result<usize, String> {
    fs::read_to_string(path).map_err(words)?.trim().parse().map_err(words)
}

/// Two processes drop both copies at the same time, unused: the queues go with the last of them.
fn copies_dropped_at_once() -> Verdict {
    for _ in 0..300 {
        let mut ends = Some(SysvMsgq::pair(&Options::default()).map_err(words)?);
        let mut child = process::fork(|| {
            let (a, b) = ends.take().expect("the child runs once");
            drop(b);
            drop(a);
            0
        })
        .map_err(words)?;
        let (a, b) = ends.take().expect("taken in the child only");
        drop(a);
        drop(b);
        must(child.wait(SOON).map_err(words)? == Some(Exit::Code(0)), "the child failed")?;
    }
    Ok(())
}

/// The kernel keeps the process id of the last sender with the queue, whoever made it.
fn the_last_sender_is_attested() -> Verdict {
    must(matches!(SysvMsgq::SPEC.attested_sender, Attested::Pid(source) if source.contains("msg_lspid")), "SPEC")?;
    let (sender, mut here) = process::fork_peer(SysvMsgq::pair(&Options::default()).map_err(words)?, |mut there| {
        // It stays: the queue goes once it is empty and its sender is gone.
        i32::from(there.send(b"from me").and_then(|()| there.recv(&mut [0; 8192])).is_err())
    })
    .map_err(words)?;
    here.recv(&mut [0; 8192]).map_err(words)?;
    let pid = i64::from(sender.pid().as_raw());
    let senders: Vec<_> = sysv_table("msg").into_iter().map(|queue| queue["lspid"]).collect();
    // Killed before this end closes, which then removes both queues.
    drop(sender);
    must(senders.contains(&pid), &format!("the sender is {pid}, and the queues know {senders:?}"))
}

/// A supervisor that keeps its copies until its children have been killed removes their queues.
fn copies_kept_by_the_supervisor() -> Verdict {
    let mut ends = Some(SysvMsgq::pair(&Options::default()).map_err(words)?);
    let mut child = process::fork(|| {
        let (mut a, b) = ends.take().expect("the child runs once");
        drop(b);
        let _ = a.send(b"unread");
        let _ = a.recv(&mut [0; 8192]);
        0
    })
    .map_err(words)?;
    must(child.wait(Duration::from_millis(50)).map_err(words)?.is_none(), "the child did not wait for a message")?;
    child.kill().map_err(words)?;
    drop(ends);
    Ok(())
}

/// What a process leaves that is killed is in the journal, and `sweep` removes it.
fn killed_owner_is_swept() -> Verdict {
    let (mut stands, made) = pipe().map_err(words)?;
    let mut child = process::fork(|| {
        let _ends = (SysvMsgq::pair(&Options::default()), PosixMq::pair(&Options::default()));
        let _ = (&made).write_all(&[1]);
        std::thread::sleep(SOON);
        0
    })
    .map_err(words)?;
    drop(made);
    stands.read_exact(&mut [0]).map_err(words)?;
    let pid = child.pid().as_raw().cast_unsigned();
    child.kill().map_err(words)?;
    let left = objects::sweep(false).map_err(words)?;
    let fates: Vec<_> = left.into_iter().filter(|left| left.pid == pid).map(|left| (left.object, left.fate)).collect();
    let queue = |(object, fate): &(Option<Object>, Fate)| {
        matches!(object, Some(Object::SysvQueue(_))) && *fate == Fate::Removed
    };
    // A POSIX queue has no name any more when it is opened, and goes with its last descriptor.
    must(fates.len() == 2 && fates.iter().all(queue), &format!("swept: {fates:?}"))
}

/// What was sent before a clean end arrives, even where the sender's process has ended and everything has been swept.
fn unread_messages_outlive_their_sender() -> Verdict {
    let (name, options) = (Name::unique(), Options::default());
    let mut binder = process::fork(|| {
        let say = |mut end: <SysvMsgq as Channel>::Endpoint| (0..3).try_for_each(|i| end.send(&[i; 100]));
        i32::from(SysvMsgq::bind(&name, &options).and_then(say).is_err())
    })
    .map_err(words)?;
    let mut end = SysvMsgq::connect(&name, &options).map_err(words)?;
    must(binder.wait(SOON).map_err(words)? == Some(Exit::Code(0)), "the binder failed")?;
    objects::sweep(false).map_err(words)?;
    let mut buffer = [0; 200];
    for i in 0..3 {
        must(end.recv(&mut buffer) == Ok(100) && buffer[..100] == [i; 100], &format!("message {i} was lost"))?;
    }
    must(end.recv(&mut buffer).is_err_and(|error| error.is_peer_gone()), "the end was not seen")
}

/// A message that is longer than the buffer stays in the queue, and its length is told.
fn long_message_stays() -> Verdict {
    for wait in Wait::ALL {
        let (mut a, mut b) = SysvMsgq::pair(&Options { wait, ..Options::default() }).map_err(words)?;
        a.send(&[7; 100]).map_err(words)?;
        let short = b.recv(&mut [0; 10]);
        must(short == Err(Error::TooLarge { len: 100, max: 10 }), &format!("{wait}: recv into 10 bytes: {short:?}"))?;
        let mut buffer = [0; 100];
        must(b.recv(&mut buffer) == Ok(100) && buffer == [7; 100], "the message was lost")?;
    }
    Ok(())
}

fn limits_of_sysv() -> Verdict {
    let most = limit("/proc/sys/kernel/msgmnb")?;
    let longest = limit("/proc/sys/kernel/msgmax")?.min(most);
    let with = |options| SysvMsgq::pair(&options).map(|(end, _)| end.max_message());
    let capacity = |bytes| with(Options { capacity: Some(bytes), ..Options::default() });
    let message = |bytes| with(Options { max_message: Some(bytes), ..Options::default() });
    must(capacity(most) == Ok(longest), "the system's capacity was not granted")?;
    must(capacity(100) == Ok(100), "a message cannot be longer than the queue")?;
    must(capacity(most + 1) == Err(Error::TooLarge { len: most + 1, max: most }), "a larger capacity was granted")?;
    must(message(longest) == Ok(longest), "the longest message was not granted")?;
    must(message(longest + 1) == Err(Error::TooLarge { len: longest + 1, max: longest }), "a longer one was granted")
}

fn limits_of_posix() -> Verdict {
    let longest = limit("/proc/sys/fs/mqueue/msgsize_max")?;
    let most = longest * limit("/proc/sys/fs/mqueue/msg_max")?;
    let with = |options| PosixMq::pair(&options).map(|(end, _)| end.max_message());
    let capacity = |bytes| with(Options { capacity: Some(bytes), ..Options::default() });
    let message = |bytes| with(Options { max_message: Some(bytes), ..Options::default() });
    must(capacity(most) == Ok(longest), "the system's capacity was not granted")?;
    must(capacity(most + 1) == Err(Error::TooLarge { len: most + 1, max: most }), "a larger capacity was granted")?;
    must(message(64) == Ok(64), "a queue of short messages was not granted")?;
    must(message(longest + 1) == Err(Error::TooLarge { len: longest + 1, max: longest }), "a longer one was granted")
}
