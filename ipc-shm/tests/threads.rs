//! Both ends in two threads of one process, where the thread sanitizer sees both sides (`scripts/sanitize.sh thread`).
//! Nothing forks. Between start and end only the ring orders what the two threads do.

use ipc_core::{Channel, Endpoint, InPlace, Options, SendInPlace, Wait};
use ipc_shm::{MmapAnon, RingEnd};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

const MESSAGES: usize = 3000;
/// The smallest ring. It is always full, and every second message goes over its end.
const CAPACITY: usize = 4096;
const HUNG: Duration = Duration::from_secs(300);
/// Held by the test that runs. More spinning threads than processors would wait for each other's time slices.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `there` and `here` with the ends of a link in two threads. There is no deadline, so a lost wake-up hangs.
fn between(wait: Wait, there: fn(RingEnd), here: fn(RingEnd)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let options = Options { wait, capacity: Some(CAPACITY), ..Options::default() };
    let (a, b) = MmapAnon::pair(&options).unwrap();
    let (done, ended) = mpsc::channel();
    let sides: Vec<_> = [(a, here), (b, there)]
        .into_iter()
        .map(|(end, side)| {
            let done = done.clone();
            thread::spawn(move || {
                side(end);
                let _ = done.send(());
            })
        })
        .collect();
    drop(done);
    for _ in 0..sides.len() {
        // A side that panics hangs up.
        if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(HUNG) {
            panic!("{wait}: hung");
        }
    }
    for side in sides {
        side.join().unwrap();
    }
}

fn len(n: usize) -> usize {
    n * 97 % 2041
}

fn byte(n: usize) -> u8 {
    n as u8
}

fn check(n: usize, message: &[u8]) {
    assert_eq!(message.len(), len(n));
    assert!(message.iter().all(|&found| found == byte(n)), "message {n} is torn");
}

#[test]
fn copies_arrive_whole_and_in_order() {
    for wait in Wait::ALL {
        between(
            wait,
            |mut end| {
                for n in 0..MESSAGES {
                    end.send(&vec![byte(n); len(n)]).unwrap();
                }
            },
            |mut end| {
                let mut buffer = vec![0; end.max_message()];
                for n in 0..MESSAGES {
                    let len = end.recv(&mut buffer).unwrap();
                    check(n, &buffer[..len]);
                }
            },
        );
    }
}

#[test]
fn in_place_arrives_whole_and_in_order() {
    for wait in Wait::ALL {
        between(
            wait,
            |mut end| (0..MESSAGES).for_each(|n| end.send_with(len(n), |slot| slot.fill(byte(n))).unwrap()),
            |mut end| (0..MESSAGES).for_each(|n| end.recv_with(|message| check(n, message)).unwrap()),
        );
    }
}

#[test]
fn there_and_back() {
    for wait in Wait::ALL {
        between(
            wait,
            |mut end| {
                for n in 0..MESSAGES {
                    end.recv_with(|message| check(n, message)).unwrap();
                    end.send_with(len(n), |slot| slot.fill(byte(n))).unwrap();
                }
            },
            |mut end| {
                for n in 0..MESSAGES {
                    end.send_with(len(n), |slot| slot.fill(byte(n))).unwrap();
                    end.recv_with(|message| check(n, message)).unwrap();
                }
            },
        );
    }
}
