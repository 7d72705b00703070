//! Faults inflicted on channels that are broken on purpose: each breach of the contract must show in its own figure, and a
//! sound channel in none.

use bench_lab::{
    faults::{self, Outcome, Peer, Trial},
    workload::driver::Copying,
};
use bench_record::fault::Fault;
use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::{
    Channel, Endpoint, Error, Name, Options, Result, Spec, Wait,
    objects::{self, Journaled, Object},
    stream::StreamEnd,
};
use ipc_fifo::Fifo;
use ipc_msgq::{PosixMq, SysvMsgq};
use ipc_pipe::Pipe;
use ipc_shm::{Memfd, ProcessVm};
use ipc_socket::UnixDgram;
use std::{fs, time::Duration};

/// What a channel does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    None,
    /// The end is not noticed.
    Sleeps,
    /// The last byte of a message is wrong.
    Flips,
    /// A message is taken and never sent.
    Swallows,
    /// After the end there is another message.
    Revives,
    /// The end is another error.
    Misnames,
    /// A file is left.
    Litters,
}

const BREACHES: [Breach; 7] =
    [Breach::None, Breach::Sleeps, Breach::Flips, Breach::Swallows, Breach::Revives, Breach::Misnames, Breach::Litters];

/// A pipe with breach number `B`.
struct Broken<const B: usize>;

struct BrokenEnd<const B: usize> {
    end: StreamEnd,
    sent: u64,
    ended: bool,
}

impl<const B: usize> Channel for Broken<B> {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = BrokenEnd<B>;

    fn pair(options: &Options) -> Result<(BrokenEnd<B>, BrokenEnd<B>)> {
        if BREACHES[B] == Breach::Litters {
            let path = objects::path(&Name::unique(), "litter")?;
            let _ = Journaled::write(Object::Path(path.clone()))?;
            fs::write(path, "").map_err(|e| Error::io("open", &e))?;
        }
        let wrap = |end| BrokenEnd { end, sent: 0, ended: false };
        Pipe::pair(options).map(|(a, b)| (wrap(a), wrap(b)))
    }
}

impl<const B: usize> Endpoint for BrokenEnd<B> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sent += 1;
        let mut message = message.to_vec();
        match BREACHES[B] {
            Breach::Flips => *message.last_mut().expect("not empty") ^= 1,
            Breach::Swallows if self.sent > 3 => return Ok(()),
            _ => {}
        }
        self.end.send(&message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.ended && BREACHES[B] == Breach::Revives {
            return Ok(buffer.len());
        }
        let received = self.end.recv(buffer);
        self.ended = received.is_err();
        match BREACHES[B] {
            Breach::Sleeps if self.ended => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Breach::Misnames if self.ended => Err(Error::TimedOut),
            _ => received,
        }
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.set_timeout(timeout)
    }
}

fn trial(fault: Fault) -> Trial {
    // Long enough for some messages on a busy machine, too.
    let (delay, pause) = (Duration::from_millis(30), Duration::from_millis(10));
    Trial { fault, size: 256, wait: Wait::Block, cpus: None, delay, peer: Peer::Waiting, pause }
}

/// Inflicts `fault` and judges the outcome.
fn expect<const B: usize>(fault: Fault, judge: fn(&Outcome) -> bool) -> impl FnOnce() -> Verdict + Send + 'static {
    move || {
        let outcome = faults::forked::<Broken<B>, Copying<BrokenEnd<B>>>(&trial(fault));
        for left in outcome.iter().flat_map(|outcome| &outcome.left) {
            let _ = fs::remove_file(left);
        }
        match outcome {
            Ok(outcome) if judge(&outcome) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// [`expect`], for a breach that only a message can show. On a busy machine a trial may move none, so one of ten trials counts.
fn tells<const B: usize>(fault: Fault, judge: fn(&Outcome) -> bool) -> impl FnOnce() -> Verdict + Send + 'static {
    move || (0..9).find_map(|_| expect::<B>(fault, judge)().ok()).map_or_else(expect::<B>(fault, judge), Ok)
}

fn sound(outcome: &Outcome) -> bool {
    let Outcome { sign: _, reaction_ns, hung, corrupted, lost, torn, left, left_after_sweep, zombies, rebound, error } =
        outcome;
    reaction_ns.is_some_and(|ns| ns > 0)
        && !(*hung || *corrupted || *torn)
        && (*lost, *zombies, *rebound) == (0, 0, None)
        && (left.is_empty() && left_after_sweep.is_empty() && error.is_none())
}

fn named(fault: Fault, peer: Peer, judge: impl Fn(&Outcome) -> bool) -> Verdict {
    let trial = Trial { peer, ..trial(fault) };
    match faults::named::<Fifo, Copying<<Fifo as Channel>::Endpoint>>(&trial) {
        Ok(outcome) if judge(&outcome) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Where the kernel does not tell, an end notices within a tenth of a second that its peer was killed, however it waits. The best
/// of some trials counts: a machine can be busy, a detection that is late always is.
fn noticed_in_time<C: Channel>() -> Verdict {
    const LIMIT_NS: u64 = 100_000_000;
    for wait in Wait::ALL {
        for fault in [Fault::KillSender, Fault::KillReceiver] {
            let reaction = |_| {
                let trial = Trial { wait, ..trial(fault) };
                faults::forked::<C, Copying<C::Endpoint>>(&trial).ok()?.reaction_ns
            };
            let reactions: Vec<_> = (0..20).map(reaction).take_while(|ns| ns.is_none_or(|ns| ns > LIMIT_NS)).collect();
            if reactions.len() == 20 {
                return Err(format!("{fault}, {wait}: after {reactions:?} ns"));
            }
        }
    }
    Ok(())
}

fn main() {
    run_all([Suite::new("faults")
        .within(Duration::from_secs(60))
        .test("a_killed_sender_is_noticed", expect::<0>(Fault::KillSender, sound))
        .test("a_closed_sender_is_noticed", expect::<0>(Fault::CloseSender, sound))
        .test("a_stopped_pair_resumes", expect::<0>(Fault::StopReceiver, sound))
        .test("a_killed_receiver_is_noticed", || {
            let of_the_end = |o: &Outcome| o.sign.as_deref() == Some("EPIPE") && !o.hung && o.error.is_none();
            expect::<0>(Fault::KillReceiver, of_the_end)()
        })
        .test("noticed_in_time_sysv_msgq", noticed_in_time::<SysvMsgq>)
        .test("noticed_in_time_posix_mq", noticed_in_time::<PosixMq>)
        .test("noticed_in_time_memfd", noticed_in_time::<Memfd>)
        .test("noticed_in_time_process_vm", noticed_in_time::<ProcessVm>)
        .test("noticed_in_time_unix_dgram", noticed_in_time::<UnixDgram>)
        .test("a_hang_is_told", expect::<1>(Fault::KillSender, |outcome| outcome.hung))
        .test("a_wrong_message_is_told", tells::<2>(Fault::KillSender, |outcome| outcome.corrupted))
        .test("a_lost_message_is_counted", tells::<3>(Fault::CloseSender, |outcome| outcome.lost > 0))
        .test("a_message_after_the_end_is_told", tells::<4>(Fault::KillSender, |outcome| outcome.error.is_some()))
        .test("another_error_is_told", expect::<5>(Fault::KillSender, |outcome| outcome.error.is_some()))
        .test("litter_is_found", expect::<6>(Fault::KillSender, |outcome| outcome.left.len() == 2))
        .test("a_name_is_free_after_a_kill", || named(Fault::KillSender, Peer::Waiting, |o| o.rebound == Some(true)))
        .test("a_killed_binder_leaves_its_name_to_the_next", || {
            let taken_over =
                |o: &Outcome| o.rebound == Some(true) && o.left.is_empty() && o.left_after_sweep.is_empty();
            named(Fault::KillBinder, Peer::Absent, taken_over)
        })])
}
