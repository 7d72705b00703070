//! The conformance suite finds what is wrong: for each clause a channel that breaks it, and one that breaks none.

mod lent;
mod packets;
mod streams;

use ipc_conformance::{Outcome, Suite, Verdict, run_all};
use ipc_core::{Channel, objects, sysv};
use lent::Lent;
use packets::{End, Packets, queue_left_by};
use std::{fs, time::Duration};
use streams::Streams;

/// Numbers the faults, of which a channel's type carries one, and names them: a name is also the channel's.
macro_rules! faults {
    ($($fault:ident $name:literal,)*) => {
        #[expect(clippy::upper_case_acronyms, non_camel_case_types)]
        enum Number { $($fault,)* }
        $(const $fault: u8 = Number::$fault as u8;)*
        const NAMES: &[&str] = &[$($name,)*];
    };
}

faults! {
    SOUND "sound",
    BLIND "has-no-descriptor",
    BUFFERS "misuses-buffers",
    CLAIMS "claims-a-limit-it-has-not",
    COMMITS "commits-before-it-is-filled",
    CUTS "cuts-what-is-too-large",
    CUTS_SHORT "cuts-what-the-buffer-cannot-hold",
    DROPS "drops-a-message",
    ECHOES "hears-itself",
    FILLS "fills-what-is-too-large",
    FLIPS "flips-a-byte",
    FLIPS_AND_LOSES "is-lossy-and-flips-a-byte",
    FORGETS "ends-before-the-last-message",
    FORGETS_PART "forgets-a-part",
    FORGIVES "forgives-corruption",
    GHOSTS "meets-ghosts",
    GIVES_UP "gives-up-when-interrupted",
    GRANTS "grants-any-size",
    HANGS "hangs-when-the-peer-is-gone",
    HASTY "gives-up-early",
    IMPATIENT "does-not-wait-for-the-binder",
    INTERRUPTED "passes-interruptions-on",
    KEEPS_OUT "keeps-the-successor-out",
    LACKING "lacks-the-mechanism",
    LATE "gives-up-late",
    LEAVES_FILE "leaves-a-file",
    LEAVES_QUEUE "leaves-a-queue",
    LEAVES_SEGMENT "leaves-a-segment",
    LINGERS "keeps-the-last-messages-back",
    LOSES "loses-what-timed-out",
    MIXES "mixes-channels",
    NAME_STAYS "keeps-its-name",
    PANICS "panics",
    PATIENT "has-no-deadline",
    REFILLS "fills-again-what-timed-out",
    REFUSES "refuses-a-wait-strategy",
    RESTARTS "waits-anew-when-interrupted",
    REUSES "has-one-slot-too-few",
    SECRETIVE "keeps-silent-about-its-descriptor",
    SHOWS_ROOM "shows-room-and-no-messages",
    SHUTS "shuts-down-when-a-copy-is-dropped",
    SOUND_LENT "sound-lent",
    STAYS "stays-on-its-thread",
    SURVIVES "survives-an-exec",
    SWALLOWS "swallows-empty-messages",
    TAKES "takes-the-name-of-another",
    TEARS "delivers-a-torn-tail",
    TEARS_ITS_OWN "delivers-a-torn-tail-of-a-dead-sender",
    TWICE "sends-twice",
    UNALIGNED "has-unaligned-slots",
    UNJOURNALED "is-not-in-the-journal",
    WELCOMES "lets-two-connect",
}

/// A clause, a channel that breaks it, and what must be said of that.
struct Row {
    clause: &'static str,
    fault: u8,
    fact: &'static str,
    suite: fn() -> Suite,
    meeting: fn() -> Suite,
}

fn packets<const FAULT: u8>(clause: &'static str, fact: &'static str) -> Row {
    let suite = || {
        Suite::of::<Packets<FAULT>>()
            .corrupted_by::<Packets<FAULT>>(End::spoil, End::mend)
            .in_place::<Packets<FAULT>>()
            .rendezvous::<Packets<FAULT>>()
    };
    let meeting = || Suite::new(NAMES[FAULT as usize]).meeting::<Packets<FAULT>>();
    Row { clause, fault: FAULT, fact, suite, meeting }
}

fn streams<const FAULT: u8>(clause: &'static str, fact: &'static str) -> Row {
    let suite = || Suite::of::<Streams<FAULT>>();
    Row { clause, fault: FAULT, fact, suite, meeting: || Suite::new(NAMES[FAULT as usize]) }
}

fn lent<const FAULT: u8>(clause: &'static str, fact: &'static str) -> Row {
    let suite = || Suite::new(NAMES[FAULT as usize]).send_in_place::<Lent<FAULT>>();
    Row { clause, fault: FAULT, fact, suite, meeting: || Suite::new(NAMES[FAULT as usize]) }
}

fn rows() -> Vec<Row> {
    const GONE: &str = "the peer is gone";
    const HUNG: &str = "hung";
    vec![
        // What arrives.
        packets::<DROPS>("order_and_content", "message 999 ("),
        packets::<DROPS>("order_and_content", "and message 1000 came"),
        packets::<FLIPS>("order_and_content", "message 999 ("),
        packets::<TWICE>("order_and_content", "message 1000 ("),
        packets::<FLIPS>("echo", "message 999 ("),
        packets::<LEAVES_FILE>("echo", ".leaves-a-file"),
        packets::<LEAVES_SEGMENT>("echo", "System V segment"),
        packets::<LEAVES_QUEUE>("echo", "System V queue"),
        packets::<PANICS>("echo", "exited with 101"),
        packets::<ECHOES>("duplex", "this side's own message"),
        packets::<SWALLOWS>("empty_message", "0 bytes were expected and 1 came"),
        packets::<CLAIMS>("sizes_up_to_the_limit", "16385 bytes were expected"),
        packets::<CUTS>("over_the_limit", "Ok(())"),
        packets::<CUTS_SHORT>("short_buffer", "recv of 100 bytes into 10: Ok(10)"),
        packets::<GRANTS>("asked_for_sizes", "the limit is 16384"),
        packets::<BUFFERS>("buffers", "byte 0 is"),
        packets::<MIXES>("two_channels", "message 0 ("),
        // What a call does while it cannot proceed.
        packets::<PATIENT>("deadline_of_recv", HUNG),
        packets::<HASTY>("deadline_of_recv", ": early"),
        packets::<LATE>("deadline_of_recv", ": late"),
        packets::<PATIENT>("deadline_of_send", HUNG),
        packets::<HASTY>("deadline_of_send", ": early"),
        packets::<LATE>("deadline_of_send", ": late"),
        streams::<FORGETS_PART>("deadline_in_mid_message", HUNG),
        packets::<LOSES>("back_pressure", " was expected and "),
        packets::<INTERRUPTED>("interrupted_while_opening", "EINTR"),
        packets::<INTERRUPTED>("interrupted", "EINTR"),
        packets::<INTERRUPTED>("interrupted_while_full", "EINTR"),
        packets::<GIVES_UP>("interrupted_before_the_deadline", ": early"),
        packets::<FORGIVES>("corrupt_for_good", "recv: Err(TimedOut), not Corrupt"),
        // What epoll shows.
        streams::<BLIND>("pollable", "the end has no descriptor"),
        streams::<SHOWS_ROOM>("pollable", "does not show a message that was sent"),
        streams::<SECRETIVE>("pollable", "SPEC.pollable is false, and epoll shows a message"),
        // How links end.
        packets::<HANGS>("closed_while_receiving", HUNG),
        packets::<FORGETS>("closed_after_sending", GONE),
        packets::<FORGETS>("closed_with_unread_messages", GONE),
        packets::<HANGS>("closed_while_sending", HUNG),
        streams::<TEARS>("closed_in_mid_message", "of which 40 came: Ok(100)"),
        packets::<FORGETS>("dropped_in_one_process", GONE),
        packets::<SHUTS>("dropped_in_any_order", GONE),
        packets::<SHUTS>("passed_on", GONE),
        packets::<SHUTS>("passed_on_and_kept", GONE),
        packets::<STAYS>("sent_to_a_thread", "another thread"),
        packets::<SURVIVES>("closed_on_exec", "survived an exec"),
        packets::<HANGS>("killed_while_receiving", HUNG),
        packets::<LINGERS>("killed_after_sending", GONE),
        packets::<TEARS_ITS_OWN>("killed_with_its_messages", "recv brought 12345 bytes"),
        packets::<HANGS>("killed_while_sending", HUNG),
        packets::<LINGERS>("killed_sender", "had been sent when the sender was killed"),
        packets::<FLIPS_AND_LOSES>("killed_sender", "message 1 ("),
        packets::<TEARS>("killed_sender", "was expected and 12345 bytes came"),
        packets::<TEARS_ITS_OWN>("killed_sender", "was expected and 12345 bytes came"),
        packets::<HANGS>("killed_receiver", HUNG),
        packets::<UNJOURNALED>("killed_pair_is_swept", "left behind"),
        // In place.
        packets::<FLIPS>("in_place_order_and_content", "message 999 ("),
        packets::<UNALIGNED>("in_place_order_and_content", "101"),
        packets::<FLIPS>("in_place_mixed_with_copying", "message 999 ("),
        lent::<REUSES>("in_place_reuse", ": byte 0 is "),
        packets::<FILLS>("in_place_limits", "was filled"),
        packets::<TWICE>("in_place_early_return", " was seen as "),
        packets::<HASTY>("in_place_deadlines", ": early"),
        packets::<LATE>("in_place_deadlines", ": late"),
        lent::<REFILLS>("in_place_deadline_in_mid_message", "were filled 4 times"),
        packets::<INTERRUPTED>("in_place_interrupted", "EINTR"),
        packets::<HANGS>("in_place_peer_gone", HUNG),
        packets::<LINGERS>("in_place_killed_sender", "had been sent when the sender was killed"),
        packets::<HANGS>("in_place_killed_receiver", HUNG),
        packets::<COMMITS>("in_place_killed_while_writing", "recv_with after the end: Ok(1000)"),
        packets::<HANGS>("in_place_killed_while_reading", HUNG),
        // By name.
        packets::<FLIPS>("bind_then_connect", "message 999 ("),
        packets::<IMPATIENT>("connect_then_bind", "connector: connect: "),
        packets::<NAME_STAYS>("name_is_gone", "the name is still there"),
        packets::<TAKES>("name_is_taken", "TimedOut, not Taken"),
        packets::<WELCOMES>("two_connectors", "[Done, Done]"),
        packets::<PATIENT>("nobody_there", HUNG),
        packets::<LATE>("nobody_there", ": late"),
        packets::<INTERRUPTED>("interrupted_while_meeting", "EINTR"),
        packets::<RESTARTS>("interrupted_while_meeting", HUNG),
        packets::<GHOSTS>("killed_before_the_peer_came", "Done, not TimedOut"),
        packets::<KEEPS_OUT>("killed_before_the_peer_came", "Taken, not Done"),
        packets::<HANGS>("killed_while_meeting", HUNG),
        packets::<HANGS>("killed_unrelated", HUNG),
        packets::<NAME_STAYS>("killed_unrelated", "left behind"),
        packets::<NAME_STAYS>("unrelated_exec", "left behind"),
        packets::<SURVIVES>("unrelated_exec", "survived an exec"),
    ]
}

fn main() {
    let sound = [packets::<SOUND>("", ""), lent::<SOUND_LENT>("", "")];
    let broken = rows().into_iter().enumerate().fold(Suite::new("broken"), |suite, (i, row)| {
        let name = format!("{}::{}::{i}", row.clause, NAMES[row.fault as usize]);
        suite.test(&name, move || reports(&row))
    });
    let broken = broken
        .test("every_clause_can_fail", every_clause_can_fail)
        .test("what_this_kernel_lacks_is_told", what_this_kernel_lacks_is_told)
        .test("what_is_refused_is_not_lacking", what_is_refused_is_not_lacking);
    let meeting = rows().into_iter().map(|row| (row.meeting)());
    let sound = sound.into_iter().map(|sound| (sound.suite)());
    run_all(sound.chain([broken]).chain(meeting));
}

/// How often a channel may seem sound.
const TRIES: usize = 20;

/// The row's clause must say that the row's channel is broken, with its fact among the facts.
fn reports(row: &Row) -> Verdict {
    if row.fault == PANICS || row.fault == UNALIGNED {
        std::panic::set_hook(Box::new(|_| {}));
    }
    // What hangs does so for good, however short the wait; two ends that are mixed up wait for each other.
    let hangs = row.fact == "hung" || row.fault == MIXES;
    let forked = Suite::of::<Packets<SOUND>>().in_place::<Packets<SOUND>>();
    let limit = match forked.clauses().contains(row.clause) {
        _ if !hangs => Duration::from_secs(20),
        true => Duration::from_millis(300),
        // Those by name start processes anew, for which even a sound channel needs more than half of that.
        false => Duration::from_secs(2),
    };
    // A busy machine can hide a fault, such as that one process does not wait for another.
    let mut last = Outcome::Kept;
    for _ in 0..TRIES {
        let outcome = outcome((row.suite)().within(limit), NAMES[row.fault as usize], row.clause);
        clean_up(NAMES[row.fault as usize])?;
        last = outcome?;
        if last != Outcome::Kept {
            break;
        }
    }
    match last {
        Outcome::Broken(why) if why.contains(row.fact) => Ok(()),
        outcome => Err(format!("{outcome:?}, which does not tell '{}'", row.fact)),
    }
}

fn outcome(suite: Suite, channel: &str, clause: &str) -> Result<Outcome, String> {
    let name = format!("{channel}::block::{clause}");
    let mut outcomes = suite.outcomes(&name);
    outcomes.retain(|(other, _)| *other == name);
    outcomes.pop().map(|(_, outcome)| outcome).ok_or_else(|| format!("there is no clause {name}"))
}

/// Removes what a channel leaves that is broken in this.
fn clean_up(channel: &str) -> Verdict {
    objects::sweep(false).map_err(|error| error.to_string())?;
    let folder = objects::directory().map_err(|error| error.to_string())?;
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == channel) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
    if channel == NAMES[LEAVES_QUEUE as usize] {
        let key = queue_left_by(std::process::id());
        sysv::find_queue(key).and_then(sysv::remove_queue).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// No clause is without a channel that breaks it, and no row without a clause.
fn every_clause_can_fail() -> Verdict {
    let suite = (packets::<SOUND>("", "").suite)();
    let (clauses, rows) = (suite.clauses(), rows().iter().map(|row| row.clause).collect());
    let odd: Vec<_> = clauses.symmetric_difference(&rows).collect();
    if odd.is_empty() { Ok(()) } else { Err(format!("clauses or rows that stand alone: {odd:?}")) }
}

/// A mechanism that this kernel lacks is not broken; it is said to be lacking, in the words of `pair`.
fn what_this_kernel_lacks_is_told() -> Verdict {
    match outcome((packets::<LACKING>("", "").suite)(), Packets::<LACKING>::SPEC.name, "echo")? {
        Outcome::Unsupported(why) if why.contains("a kernel of its own") => Ok(()),
        outcome => Err(format!("{outcome:?}")),
    }
}

/// What a mechanism refuses for any other reason is no excuse.
fn what_is_refused_is_not_lacking() -> Verdict {
    match outcome((packets::<REFUSES>("", "").suite)(), Packets::<REFUSES>::SPEC.name, "echo")? {
        Outcome::Broken(why) if why.contains("wait strategy") => Ok(()),
        outcome => Err(format!("{outcome:?}")),
    }
}
