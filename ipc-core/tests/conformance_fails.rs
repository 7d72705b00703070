//! The conformance suite finds what is wrong: channels over a Unix socket, each broken in one way, and one that is not.

use ipc_core::{
    Channel, Endpoint, Error, Framing, Options, Reach, Reliability, Result, Sign, Spec,
    conformance::{Outcome, Suite, Verdict, run},
    objects::{self, Object, Owned},
    sysv,
    transfer::{check_len, whole},
    wait::{Patience, Turn},
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::PollFlags,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    thread::sleep,
    time::Duration,
};

fn main() {
    run([
        Suite::of::<Broken<NOWHERE>>(),
        Suite::new("broken")
            .test("drops_a_message", || {
                reports::<DROPS>("order_and_content", "message 999 (")?;
                reports::<DROPS>("order_and_content", "and message 1000 came")
            })
            .test("flips_a_byte", || reports::<FLIPS>("order_and_content", "message 999 ("))
            .test("sends_twice", || reports::<TWICE>("order_and_content", "message 1000 ("))
            .test("hears_itself", || reports::<ECHOES>("duplex", "this side's own message"))
            .test("hangs_when_the_peer_is_closed", || reports::<HANGS>("closed_while_receiving", "hung"))
            .test("hangs_when_the_peer_is_killed", || {
                reports::<HANGS>("killed_while_receiving", "hung")?;
                reports::<HANGS>("killed_while_sending", "hung")
            })
            .test("ends_before_the_last_message", || reports::<FORGETS>("closed_after_sending", "the peer is gone"))
            .test("claims_a_limit_it_has_not", || {
                reports::<CLAIMS>("sizes_up_to_the_limit", "16385 bytes were expected")
            })
            .test("cuts_what_is_too_large", || reports::<CUTS>("over_the_limit", "Ok(())"))
            .test("grants_any_size", || reports::<GRANTS>("asked_for_sizes", "the limit is 16384"))
            .test("has_no_deadline", || reports::<PATIENT>("deadline_of_recv", "hung"))
            .test("gives_up_early", || reports::<HASTY>("deadline_of_recv", "with a deadline of 80ms returned after"))
            .test("loses_what_timed_out", || reports::<LOSSY>("back_pressure", " was expected and "))
            .test("passes_interruptions_on", || reports::<INTERRUPTED>("interrupted", "EINTR"))
            .test("leaves_a_file", || reports::<LEAVES_FILE>("echo", ".broken"))
            .test("leaves_a_segment", || reports::<LEAVES_SEGMENT>("echo", "System V segment"))
            .test("leaves_a_queue", || {
                let verdict = reports::<LEAVES_QUEUE>("echo", "System V queue");
                sysv::find_queue(QUEUE).and_then(sysv::remove_queue).map_err(|error| error.to_string())?;
                verdict
            })
            .test("survives_an_exec", || reports::<SURVIVES_EXEC>("closed_on_exec", "not close-on-exec"))
            .test("panics", || {
                std::panic::set_hook(Box::new(|_| {}));
                reports::<PANICS>("echo", "exited with 101")
            })
            .within(Duration::from_secs(30)),
    ]);
}

/// The clause named `clause` must say that the channel is broken, with `fact` among the facts.
fn reports<const FAULT: u8>(clause: &str, fact: &str) -> Verdict {
    let name = format!("broken::block::{clause}");
    let mut outcomes = Suite::of::<Broken<FAULT>>().within(Duration::from_secs(2)).outcomes(&name);
    outcomes.retain(|(other, _)| *other == name);
    objects::sweep(false).map_err(|error| error.to_string())?;
    match outcomes.pop() {
        Some((_, Outcome::Broken(why))) if why.contains(fact) => Ok(()),
        Some((_, outcome)) => Err(format!("{name}: {outcome:?}, which does not tell '{fact}'")),
        None => Err(format!("there is no clause {name}")),
    }
}

const NOWHERE: u8 = 0;
const DROPS: u8 = 1;
const FLIPS: u8 = 2;
const TWICE: u8 = 3;
const ECHOES: u8 = 4;
const HANGS: u8 = 5;
const FORGETS: u8 = 6;
const CLAIMS: u8 = 7;
const CUTS: u8 = 8;
const GRANTS: u8 = 9;
const PATIENT: u8 = 10;
const HASTY: u8 = 11;
const LOSSY: u8 = 12;
const INTERRUPTED: u8 = 13;
const LEAVES_FILE: u8 = 14;
const LEAVES_SEGMENT: u8 = 15;
const LEAVES_QUEUE: u8 = 16;
const SURVIVES_EXEC: u8 = 17;
const PANICS: u8 = 18;

/// The key of the queue that is left, in no journal.
const QUEUE: sysv::Key = 0x1bad_cafe;

/// The longest message, in bytes. On the socket each has one byte more, so that an empty one is told from the end.
const MAX: usize = 16 << 10;

/// A pair of sequenced-packet sockets with a `FAULT`.
struct Broken<const FAULT: u8>;

struct End<const FAULT: u8> {
    socket: OwnedFd,
    patience: Patience,
    sent: u64,
    lost: bool,
    own: Option<Vec<u8>>,
    packet: Vec<u8>,
}

impl<const FAULT: u8> Channel for Broken<FAULT> {
    const SPEC: Spec = Spec {
        name: if FAULT == NOWHERE { "sound" } else { "broken" },
        summary: "sequenced packets with a fault",
        framing: Framing::Message,
        reliability: Reliability::Reliable,
        reach: Reach::Inherited,
        objects: "1 socket pair",
        limit: "16 KiB",
        declared_copies: 2,
        peer_death: "end of file",
        trust: "no name to open",
        good_for: "nothing",
        bad_for: "everything",
        manual: "unix(7)",
    };
    type Endpoint = End<FAULT>;

    fn pair(options: &Options) -> Result<(End<FAULT>, End<FAULT>)> {
        if FAULT != GRANTS {
            check_len(options.max_message.unwrap_or(0), MAX)?;
            check_len(options.capacity.unwrap_or(0), 100 * MAX)?;
        }
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (a, b) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).map_err(|e| Error::os("socketpair", e))?;
        match FAULT {
            LEAVES_FILE => {
                let path = objects::path(&ipc_core::Name::unique(), "broken")?;
                let owned = Owned::journal(Object::Path(path.clone()))?;
                fs::write(path, "").map_err(|e| Error::io("open", &e))?;
                std::mem::forget(owned);
            }
            LEAVES_SEGMENT => {
                let key = sysv::fresh_key();
                std::mem::forget(Owned::journal(Object::SysvSegment(key))?);
                sysv::create_segment(key, 1)?;
            }
            LEAVES_QUEUE => {
                sysv::create_queue(QUEUE)?;
            }
            SURVIVES_EXEC => {
                fcntl(&a, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|e| Error::os("fcntl", e))?;
            }
            _ => {}
        }
        let patience = Patience::of(options);
        let end = |socket| End { socket, patience, sent: 0, lost: false, own: None, packet: vec![0; MAX + 1] };
        Ok((end(a), end(b)))
    }
}

impl<const FAULT: u8> End<FAULT> {
    fn wait(&self) -> Turn<'static> {
        let mut patience = self.patience;
        match FAULT {
            PATIENT => patience.timeout = None,
            HASTY => patience.timeout = patience.timeout.map(|timeout| timeout / 2),
            _ => {}
        }
        Turn::new(&patience, None)
    }

    fn outcome<T>(&self, result: Result<T>) -> Result<T> {
        if FAULT == HANGS && matches!(result, Err(Error::PeerGone { .. })) {
            sleep(Duration::from_secs(3600));
        }
        result
    }
}

impl<const FAULT: u8> Endpoint for End<FAULT> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let message = if FAULT == CUTS { &message[..message.len().min(MAX)] } else { message };
        check_len(message.len(), self.max_message())?;
        let mut packet = vec![0];
        packet.extend_from_slice(message);
        let faulty = self.sent == 999;
        match FAULT {
            DROPS if faulty => {
                self.sent += 1;
                return Ok(());
            }
            FLIPS if faulty => packet[message.len()] ^= 4,
            ECHOES => self.own = Some(message.to_vec()),
            PANICS => panic!("as it should"),
            _ => {}
        }
        let (fd, raw) = (self.socket.as_fd(), self.socket.as_raw_fd());
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if std::mem::take(&mut self.lost) {
            return Ok(());
        }
        for _ in 0..if FAULT == TWICE && faulty { 2 } else { 1 } {
            let result = whole("send", fd, PollFlags::POLLOUT, self.wait(), || send(raw, &packet, flags));
            if FAULT == LOSSY && result == Err(Error::TimedOut) {
                self.lost = true;
            }
            self.outcome(result)?;
        }
        self.sent += 1;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if let Some(own) = self.own.take() {
            buffer[..own.len()].copy_from_slice(&own);
            return Ok(own.len());
        }
        let (fd, raw) = (self.socket.as_fd(), self.socket.as_raw_fd());
        let (turn, flags) = (self.wait(), MsgFlags::MSG_DONTWAIT);
        if FAULT == INTERRUPTED && self.patience.timeout.is_none() {
            match recv(raw, &mut self.packet, MsgFlags::empty()) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(END),
                Ok(len) => {
                    buffer[..len - 1].copy_from_slice(&self.packet[1..len]);
                    return Ok(len - 1);
                }
                Err(errno) => return Err(Error::os("recv", errno)),
            }
        }
        let packet = &mut self.packet;
        let result = whole("recv", fd, PollFlags::POLLIN, turn, || match recv(raw, packet, flags) {
            // The peer has closed with unread messages: what it sent is still there.
            Err(Errno::ECONNRESET) if FAULT != FORGETS => recv(raw, packet, flags),
            other => other,
        });
        match self.outcome(result.and_then(|len| if len == 0 { Err(END) } else { Ok(len - 1) }))? {
            _ if FAULT == FORGETS && hung_up(&self.socket) => Err(END),
            len if len > buffer.len() => Err(Error::TooLarge { len, max: buffer.len() }),
            len => {
                buffer[..len].copy_from_slice(&self.packet[1..=len]);
                Ok(len)
            }
        }
    }

    fn max_message(&self) -> usize {
        if FAULT == CLAIMS { MAX + 1 } else { MAX }
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.patience.timeout = timeout;
        Ok(())
    }
}

const END: Error = Error::PeerGone { sign: Sign::EndOfFile };

fn hung_up(socket: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollTimeout, poll};
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}
