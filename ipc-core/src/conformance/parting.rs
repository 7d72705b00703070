//! How links end: closed, killed, passed on; and what must not be left of them.

use super::{
    Clause, Verdict,
    link::{GONE, Side},
    stage::{Stage, finish, join, line},
};
use crate::{
    Channel, Endpoint, Framing, Reliability,
    objects::{self, Fate},
};
use std::{collections::BTreeMap, fs, io::Read, thread::sleep, time::Duration};

pub(super) fn clauses<C: Channel + 'static>() -> Vec<Clause> {
    let message = C::SPEC.framing == Framing::Message;
    vec![
        Clause::new("closed_while_receiving", closed_while_receiving::<C>),
        Clause::new("closed_after_sending", closed_after_sending::<C>),
        Clause::new("closed_with_unread_messages", closed_with_unread_messages::<C>),
        Clause::new("closed_while_sending", closed_while_sending::<C>),
        Clause::new("closed_in_mid_message", closed_in_mid_message::<C>)
            .unless(message, "a message arrives whole or not at all"),
        Clause::new("killed_while_receiving", killed_while_receiving::<C>),
        Clause::new("killed_after_sending", killed_after_sending::<C>),
        Clause::new("killed_while_sending", killed_while_sending::<C>),
        Clause::new("dropped_in_either_order", dropped_in_either_order::<C>),
        Clause::new("passed_on", passed_on::<C>),
        Clause::new("passed_on_and_kept", passed_on_and_kept::<C>),
        Clause::new("killed_pair_is_swept", killed_pair_is_swept::<C>),
        Clause::new("closed_on_exec", closed_on_exec::<C>),
    ]
}

/// Long enough for the other side to be asleep in its call.
const MEANWHILE: Duration = Duration::from_millis(50);

/// Receives the end, and again the end.
pub(super) fn hear_the_end<E: Endpoint>(side: &mut Side<E>) -> Verdict {
    side.hear_error(&GONE)?;
    side.hear_error(&GONE)
}

/// Sends until the end of the peer shows. A lossy mechanism need not tell the sender, it only may not hang.
fn say_until_the_end<C: Channel>(side: &mut Side<C::Endpoint>) -> Verdict {
    if C::SPEC.reliability == Reliability::Lossy {
        for _ in 0..200 {
            match side.end().send(&[0; 100]) {
                Ok(()) => sleep(MEANWHILE / 100),
                Err(error) if error.is_peer_gone() => return Ok(()),
                Err(error) => return Err(format!("send failed with '{error}'")),
            }
        }
        return Ok(());
    }
    for _ in 0..2 {
        match side.fill()? {
            (error, _) if error.is_peer_gone() => {}
            (error, _) => return Err(format!("send failed with '{error}', not because the peer is gone")),
        }
    }
    Ok(())
}

/// A clean close wakes a receiver that is asleep.
fn closed_while_receiving<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(hear_the_end, |here| {
        sleep(MEANWHILE);
        here.close();
        Ok(())
    })
}

/// What was sent before a clean close arrives, then the end.
fn closed_after_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).learn()?;
            peer.hear(5)?;
            hear_the_end(peer)
        },
        |here| {
            here.at_most(256).say(5)?;
            here.close();
            here.tell(0)
        },
    )
}

/// The same where the one who closes has not read what had been sent to it.
fn closed_with_unread_messages<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say(5)?;
            peer.tell(0)?;
            peer.learn()?;
            peer.hear(5)?;
            hear_the_end(peer)
        },
        |here| {
            here.at_most(256).learn()?;
            here.say(5)?;
            here.close();
            here.tell(0)
        },
    )
}

/// A clean close wakes a sender that a full channel holds back.
fn closed_while_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            sleep(MEANWHILE);
            peer.close();
            // The process lives on: it is the close that has to show.
            let _ = peer.learn();
            Ok(())
        },
        |here| say_until_the_end::<C>(here),
    )
}

/// A stream that ends within a message has no message.
fn closed_in_mid_message<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| match peer.end().recv(&mut [0; 100]) {
            Err(error) if error.is_peer_gone() => Ok(()),
            other => Err(format!("recv of 100 bytes, of which 40 came: {other:?}")),
        },
        |here| {
            here.say_bytes(40)?;
            here.close();
            Ok(())
        },
    )
}

/// `SIGKILL` of the peer wakes a receiver that is asleep.
fn killed_while_receiving<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            sleep(MEANWHILE);
            peer.die()
        },
        hear_the_end,
    )
}

/// What was sent before a `SIGKILL` arrives, then the end.
fn killed_after_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            peer.at_most(256).say(5)?;
            peer.die()
        },
        |here| {
            // The control line ends with the peer.
            let _ = here.at_most(256).learn();
            here.hear(5)?;
            hear_the_end(here)
        },
    )
}

/// `SIGKILL` of the peer wakes a sender that a full channel holds back.
fn killed_while_sending<C: Channel>(stage: &Stage) -> Verdict {
    stage.between::<C>(
        |peer| {
            sleep(MEANWHILE);
            peer.die()
        },
        |here| say_until_the_end::<C>(here),
    )
}

/// Both ends in one process, used or not, dropped in either order.
fn dropped_in_either_order<C: Channel>(stage: &Stage) -> Verdict {
    for used in [false, true] {
        for swapped in [false, true] {
            let (a, b) = stage.sides::<C>(&stage.options())?;
            let (mut first, mut second) = if swapped { (b, a) } else { (a, b) };
            if used {
                first.at_most(256).say(3)?;
                second.at_most(256).say(1)?;
                first.hear(1)?;
            }
            first.close();
            if used {
                second.hear(3)?;
                hear_the_end(&mut second)?;
            }
            second.close();
        }
    }
    Ok(())
}

/// A supervisor opens the channel for two children and drops its own copies at once: the children can talk, and each
/// sees the end of the other.
fn passed_on<C: Channel>(stage: &Stage) -> Verdict {
    supervise::<C>(stage, false)
}

/// The same with a supervisor that keeps its copies until the children have ended.
fn passed_on_and_kept<C: Channel>(stage: &Stage) -> Verdict {
    supervise::<C>(stage, true)
}

fn supervise<C: Channel>(stage: &Stage, keep: bool) -> Verdict {
    let (a, b) = stage.sides::<C>(&stage.options())?;
    let (mut a, mut b) = (Some(a), Some(b));
    let n = stage.rounds(500);
    let first = stage.fork("first child", || {
        drop(b.take());
        let mut side = a.take().ok_or("the end was taken")?;
        (0..n).try_for_each(|_| side.say(1).and_then(|()| side.hear(1)))
    })?;
    let second = stage.fork("second child", || {
        drop(a.take());
        let mut side = b.take().ok_or("the end was taken")?;
        // By now the supervisor has dropped its copies.
        sleep(MEANWHILE);
        (0..n).try_for_each(|_| side.hear(1).and_then(|()| side.say(1)))?;
        if keep { Ok(()) } else { hear_the_end(&mut side) }
    })?;
    if !keep {
        drop((a.take(), b.take()));
    }
    finish(Ok(()), [first, second])
}

/// What both processes leave when they are killed, `sweep` removes. (The judge looks after that, as after every test.)
fn killed_pair_is_swept<C: Channel>(stage: &Stage) -> Verdict {
    let (mut mine, theirs) = line()?;
    let victim = stage.fork("victim", || {
        let _until_death = &theirs;
        stage.between::<C>(
            |peer| {
                peer.hear(1)?;
                peer.say(1)?;
                // Dies with its parent.
                peer.learn().map(drop)
            },
            |here| {
                here.say(1)?;
                here.hear(1)?;
                here.die()
            },
        )
    })?;
    let pid = victim.pid().as_raw().cast_unsigned();
    drop(theirs);
    join(victim)?;
    // The line ends when the last process that holds it has gone.
    let _ = mine.read(&mut [0]);
    let left = objects::sweep(false).map_err(|error| error.to_string())?;
    match left.into_iter().find(|left| left.pid == pid && matches!(left.fate, Fate::Failed(_))) {
        Some(left) => Err(format!("could not be swept: {left:?}")),
        None => Ok(()),
    }
}

/// No descriptor survives an `exec`.
fn closed_on_exec<C: Channel>(stage: &Stage) -> Verdict {
    let before = descriptors()?;
    let _pair = stage.pair::<C>(&stage.options())?;
    inherited_by_exec(&before)
}

/// Fails where a descriptor that is not in `before` lacks close-on-exec.
pub(super) fn inherited_by_exec(before: &BTreeMap<u32, bool>) -> Verdict {
    let kept: Vec<_> = descriptors()?.into_iter().filter(|(fd, closes)| !closes && !before.contains_key(fd)).collect();
    if kept.is_empty() { Ok(()) } else { Err(format!("not close-on-exec: {kept:?}")) }
}

/// This process's descriptors, and whether each is close-on-exec (proc_pid_fdinfo(5)).
pub(super) fn descriptors() -> Result<BTreeMap<u32, bool>, String> {
    let folder = fs::read_dir("/proc/self/fdinfo").map_err(|error| format!("/proc/self/fdinfo: {error}"))?;
    let closes = |info: String| {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        Some(i32::from_str_radix(flags.trim(), 8).ok()? & libc::O_CLOEXEC != 0)
    };
    let all: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    // The folder's own descriptor is closed by now, so its entry is not found.
    let found = all.into_iter().filter_map(|path| {
        let fd = path.file_name()?.to_str()?.parse().ok()?;
        Some((fd, closes(fs::read_to_string(path).ok()?)?))
    });
    Ok(found.collect())
}
