//! Where queues run out: each gives the error of its limit and leaves nothing. The limits are those of namespaces of the
//! trial's own.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{become_ordinary, isolate, set_kernel_limit, set_soft_limit},
};
use ipc_core::{Channel, Endpoint, Error, Name, Options, Rendezvous, sysv};
use ipc_msgq::{PosixMq, SysvMsgq};
use nix::{
    errno::Errno,
    mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink},
    sys::{resource::Resource, stat::Mode},
};
use std::{env::temp_dir, fs};

fn main() {
    run_all([
        Suite::pressure::<SysvMsgq>()
            .pressure_by_name::<SysvMsgq>()
            .prepared("at_msgmni", limited("/proc/sys/kernel/msgmni", 1), at_msgmni)
            .prepared("over_msgmax", limited("/proc/sys/kernel/msgmax", 100), over_msgmax)
            .prepared("over_msgmnb", limited("/proc/sys/kernel/msgmnb", 1000), over_msgmnb),
        Suite::pressure::<PosixMq>()
            .pressure_by_name::<PosixMq>()
            .prepared("at_queues_max", limited("/proc/sys/fs/mqueue/queues_max", 1), at_queues_max)
            .prepared("over_msg_max", limited("/proc/sys/fs/mqueue/msg_max", 4), over_msg_max)
            .prepared(
                "over_the_users_bytes",
                || isolate(1 << 20).and_then(|()| become_ordinary()),
                over_the_users_bytes,
            ),
    ]);
}

/// Namespaces with that limit, for a user that must keep to it.
fn limited(path: &'static str, limit: usize) -> impl FnOnce() -> ipc_core::Result<()> {
    move || isolate(1 << 20).and_then(|()| set_kernel_limit(path, limit)).and_then(|()| become_ordinary())
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn refused<T>(what: &str, outcome: ipc_core::Result<T>, expected: &Error) -> Verdict {
    match outcome.map(drop) {
        Err(error) if error == *expected => Ok(()),
        other => Err(format!("{what}: {other:?}, not {expected:?}")),
    }
}

fn nothing_left(queues: usize) -> Verdict {
    let left: Vec<_> = fs::read_dir(temp_dir()).map_err(words)?.flatten().map(|file| file.file_name()).collect();
    let table = fs::read_to_string("/proc/sysvipc/msg").map_err(words)?;
    let found = table.lines().count() - 1;
    if left.is_empty() && found == queues { Ok(()) } else { Err(format!("left: {left:?} and {found} queues")) }
}

fn pair<C: Channel>(
    max_message: Option<usize>,
    capacity: Option<usize>,
) -> ipc_core::Result<(C::Endpoint, C::Endpoint)> {
    C::pair(&Options { max_message, capacity, ..Options::default() })
}

fn at_msgmni() -> Verdict {
    let full = Error::Os { call: "msgget", source: Errno::ENOSPC };
    refused("pair, at the second queue", pair::<SysvMsgq>(None, None), &full)?;
    refused("bind, at the second queue", SysvMsgq::bind(&Name::unique(), &Options::default()), &full)?;
    nothing_left(0)?;
    let id = sysv::create_queue(sysv::fresh_key()).map_err(words)?;
    refused("pair, at the first queue", pair::<SysvMsgq>(None, None), &full)?;
    nothing_left(1)?;
    sysv::remove_queue(id).map_err(words)?;
    nothing_left(0)
}

fn over_msgmax() -> Verdict {
    refused("101 bytes", pair::<SysvMsgq>(Some(101), None), &Error::TooLarge { len: 101, max: 100 })?;
    nothing_left(0)?;
    let (mut a, mut b) = pair::<SysvMsgq>(Some(100), None).map_err(words)?;
    a.send(&[7; 100]).map_err(words)?;
    refused("a message of 101 bytes", a.send(&[7; 101]), &Error::TooLarge { len: 101, max: 100 })?;
    let len = b.recv(&mut [0; 100]).map_err(words)?;
    if len == 100 { Ok(()) } else { Err(format!("{len} bytes came")) }
}

fn over_msgmnb() -> Verdict {
    refused("1001 bytes in flight", pair::<SysvMsgq>(None, Some(1001)), &Error::TooLarge { len: 1001, max: 1000 })?;
    refused("a message of 1001 bytes", pair::<SysvMsgq>(Some(1001), None), &Error::TooLarge { len: 1001, max: 1000 })?;
    nothing_left(0)?;
    pair::<SysvMsgq>(Some(1000), Some(1000)).map(drop).map_err(words)
}

/// A queue of the smallest size; `None` where the kernel refuses.
fn one_queue() -> nix::Result<()> {
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
    let name = format!("/{}", Name::unique());
    let queue = mq_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&MqAttr::new(0, 1, 8, 0)));
    queue.and_then(mq_close).and_then(|()| mq_unlink(name.as_str()))
}

fn at_queues_max() -> Verdict {
    let full = Error::Os { call: "mq_open", source: Errno::ENOSPC };
    refused("pair, at the second queue", pair::<PosixMq>(None, None), &full)?;
    refused("bind, at the second queue", PosixMq::bind(&Name::unique(), &Options::default()), &full)?;
    nothing_left(0)?;
    // There is room for one queue, so none is left.
    one_queue().map_err(|errno| format!("a queue is left: {errno}"))
}

fn over_msg_max() -> Verdict {
    let expected = Error::TooLarge { len: 5 * 64, max: 4 * 64 };
    refused("5 messages of 64 bytes in flight", pair::<PosixMq>(Some(64), Some(5 * 64)), &expected)?;
    nothing_left(0)?;
    pair::<PosixMq>(Some(64), Some(4 * 64)).map(drop).map_err(words)
}

/// `RLIMIT_MSGQUEUE` bounds the bytes of all queues of a user; over it mq_open(3) says EMFILE.
fn over_the_users_bytes() -> Verdict {
    set_soft_limit(Resource::RLIMIT_MSGQUEUE, 100_000).map_err(words)?;
    let full = Error::Os { call: "mq_open", source: Errno::EMFILE };
    // Of two queues of ten messages of 8 KiB one fits.
    refused("pair", pair::<PosixMq>(None, None), &full)?;
    refused("bind", PosixMq::bind(&Name::unique(), &Options::default()), &full)?;
    nothing_left(0)?;
    let one = || pair::<PosixMq>(Some(64), Some(64)).map(drop).map_err(words);
    (0..200).try_for_each(|_| one())
}
