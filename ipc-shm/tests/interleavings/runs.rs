//! The runs, each as small as what it is to show allows.

use crate::{
    protocol::{Alarm, Consumer, Producer},
    ring::Area,
};
use loom::{sync::atomic::AtomicBool, thread};
use std::sync::{Arc, atomic::Ordering};

/// The smallest ring that takes a message of 8 bytes.
const CAPACITY: u64 = 32;
/// Records of 8, 16 and 16 bytes: the last finds 8 bytes before the end, skips them, and has to wait until both others are
/// received, for it takes up their room.
const LENGTHS: [usize; 3] = [0, 8, 8];

/// How a side waits.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Spin,
    Sleep,
}

fn ring(wait: Wait) -> (Producer, Consumer) {
    ring_of(CAPACITY, wait)
}

fn ring_of(capacity: u64, wait: Wait) -> (Producer, Consumer) {
    let area = Area::new(capacity);
    (Producer::new(area.clone(), wait == Wait::Sleep), Consumer::new(area, wait == Wait::Sleep))
}

fn send(producer: &mut Producer, wait: Wait, len: usize, byte: u8) {
    while producer.try_send(len, |slot| slot.fill(|bytes| bytes.fill(byte))).unwrap().is_err() {
        match wait {
            Wait::Spin => thread::yield_now(),
            Wait::Sleep => producer.sleep(None).unwrap(),
        }
    }
}

fn receive(consumer: &mut Consumer, wait: Wait, len: usize, byte: u8) {
    while !consumer.look().unwrap() {
        match wait {
            Wait::Spin => thread::yield_now(),
            Wait::Sleep => consumer.sleep(None).unwrap(),
        }
    }
    consumer.read(|message| assert_eq!(message, vec![byte; len]));
    consumer.release().unwrap();
}

/// Every interleaving.
fn all(run: impl Fn() + Send + Sync + 'static) {
    loom::model(run);
}

/// Every interleaving in which at most four times a thread is interrupted that could have gone on: for runs of which all
/// are too many. Waiting is no interruption.
fn most(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(run);
}

/// Moves messages of `lengths`. The first `ahead` are sent before both sides run, the last `behind` received after that.
fn one_way(wait: Wait, lengths: &[usize], ahead: usize, behind: usize) {
    let (mut producer, mut consumer) = ring(wait);
    let messages: Vec<_> = lengths.iter().copied().zip(1..).collect();
    let (early, late) = messages.split_at(ahead);
    for &(len, byte) in early {
        send(&mut producer, wait, len, byte);
    }
    let late = late.to_vec();
    let sender = thread::spawn(move || {
        for (len, byte) in late {
            send(&mut producer, wait, len, byte);
        }
    });
    let (now, then) = messages.split_at(messages.len() - behind);
    for &(len, byte) in now {
        receive(&mut consumer, wait, len, byte);
    }
    sender.join().unwrap();
    for &(len, byte) in then {
        receive(&mut consumer, wait, len, byte);
    }
}

#[test]
fn spinning() {
    all(|| one_way(Wait::Spin, &LENGTHS, 0, 0));
}

#[test]
fn the_receiver_sleeps() {
    all(|| one_way(Wait::Sleep, &[8], 0, 0));
}

#[test]
fn the_sender_sleeps() {
    all(|| one_way(Wait::Sleep, &[8, 8, 8], 2, 2));
}

#[test]
fn both_sleep() {
    most(|| one_way(Wait::Sleep, &LENGTHS, 0, 0));
}

/// Both rings of a link: each side sleeps as a consumer, twice, while the other works.
#[test]
fn there_and_back() {
    most(|| {
        let (mut out, mut served) = ring(Wait::Sleep);
        let (mut reply, mut back) = ring(Wait::Sleep);
        let server = thread::spawn(move || {
            for byte in 1..=2 {
                receive(&mut served, Wait::Sleep, 8, byte);
                send(&mut reply, Wait::Sleep, 8, byte + 10);
            }
        });
        for byte in 1..=2 {
            send(&mut out, Wait::Sleep, 8, byte);
            receive(&mut back, Wait::Sleep, 8, byte + 10);
        }
        server.join().unwrap();
    });
}

/// A sender writes the rest of a message that its receiver may be looking at, and says so: the receiver leaves the rest alone
/// until then (`process_vm.rs` does so when it closes).
#[test]
fn the_rest_of_a_message_comes_later() {
    all(|| {
        // Room for a message in two parts.
        let (mut producer, mut consumer) = ring_of(2 * CAPACITY, Wait::Spin);
        let written = Arc::new(AtomicBool::new(false));
        let sender = {
            let written = Arc::clone(&written);
            thread::spawn(move || {
                let front = |bytes: &mut [u8]| bytes[..8].fill(1);
                assert!(producer.try_send(16, |slot| slot.fill(front)).unwrap().is_ok());
                producer.unread(8, |slot| slot.fill(|bytes| bytes.fill(2)).unwrap()).unwrap();
                written.store(true, Ordering::Release);
            })
        };
        while !consumer.look().unwrap() {
            thread::yield_now();
        }
        consumer.part(0..8, |front| assert_eq!(front, [1; 8]));
        while !written.load(Ordering::Acquire) {
            thread::yield_now();
        }
        consumer.part(8..16, |rest| assert_eq!(rest, [2; 8]));
        consumer.release().unwrap();
        sender.join().unwrap();
    });
}

/// The peer is gone and a watch says so, as `end.rs` does it: over and over, until the sleeper has seen it.
#[test]
fn an_alarm_ends_a_sleep() {
    all(|| {
        let (producer, _there) = ring(Wait::Sleep);
        let (_peer, mut consumer) = ring(Wait::Sleep);
        let alarm = Alarm::of(&producer, &consumer);
        let (gone, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let watch = {
            let (gone, seen) = (Arc::clone(&gone), Arc::clone(&seen));
            thread::spawn(move || {
                gone.store(true, Ordering::SeqCst);
                while !seen.load(Ordering::SeqCst) {
                    alarm.ring();
                    thread::yield_now();
                }
            })
        };
        while !gone.load(Ordering::SeqCst) {
            assert!(!consumer.look().unwrap());
            consumer.sleep(None).unwrap();
        }
        seen.store(true, Ordering::SeqCst);
        watch.join().unwrap();
    });
}
