//! The runs, each as small as what it shows allows.

use crate::{
    protocol::{Consumer, Producer, Waker},
    ring::Area,
};
use loom::{sync::atomic::AtomicBool, thread};
use std::sync::{Arc, atomic::Ordering};

/// The smallest ring that takes a message of 8 bytes.
const CAPACITY: u64 = 32;
/// Records of 8, 16 and 16 bytes. The last finds 8 bytes before the end and skips them. It has to wait until both
/// others are received, because it takes up their room.
const LENGTHS: [usize; 3] = [0, 8, 8];

/// How a side waits.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    Spin,
    Sleep,
}

fn ring(wait: Waiting) -> (Producer, Consumer) {
    ring_of(CAPACITY, wait)
}

fn ring_of(capacity: u64, wait: Waiting) -> (Producer, Consumer) {
    let area = Area::new(capacity);
    (Producer::new(area.clone(), wait == Waiting::Sleep), Consumer::new(area, wait == Waiting::Sleep))
}

fn send(producer: &mut Producer, wait: Waiting, len: usize, byte: u8) {
    while producer.try_send(len, |slot| slot.fill(|bytes| bytes.fill(byte))).unwrap().is_err() {
        match wait {
            Waiting::Spin => thread::yield_now(),
            Waiting::Sleep => producer.sleep(None).unwrap(),
        }
    }
}

fn receive(consumer: &mut Consumer, wait: Waiting, len: usize, byte: u8) {
    while !consumer.look().unwrap() {
        match wait {
            Waiting::Spin => thread::yield_now(),
            Waiting::Sleep => consumer.sleep(None).unwrap(),
        }
    }
    consumer.read(|message| assert_eq!(message, vec![byte; len]));
    consumer.release().unwrap();
}

/// Every interleaving.
fn all(run: impl Fn() + Send + Sync + 'static) {
    loom::model(run);
}

/// Every interleaving with at most four preemptions: threads that are interrupted and could have gone on. For runs that
/// have too many interleavings.
fn most(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(run);
}

/// Moves messages of `lengths`. The first `ahead` are sent before both sides run. The last `behind` are received
/// afterwards.
fn one_way(wait: Waiting, lengths: &[usize], ahead: usize, behind: usize) {
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
    all(|| one_way(Waiting::Spin, &LENGTHS, 0, 0));
}

#[test]
fn the_receiver_sleeps() {
    all(|| one_way(Waiting::Sleep, &[8], 0, 0));
}

#[test]
fn the_sender_sleeps() {
    all(|| one_way(Waiting::Sleep, &[8, 8, 8], 2, 2));
}

#[test]
fn both_sleep() {
    most(|| one_way(Waiting::Sleep, &LENGTHS, 0, 0));
}

/// Both rings of a link: each side sleeps as a consumer, twice, while the other works.
#[test]
fn there_and_back() {
    most(|| {
        let (mut out, mut served) = ring(Waiting::Sleep);
        let (mut reply, mut back) = ring(Waiting::Sleep);
        let server = thread::spawn(move || {
            for byte in 1..=2 {
                receive(&mut served, Waiting::Sleep, 8, byte);
                send(&mut reply, Waiting::Sleep, 8, byte + 10);
            }
        });
        for byte in 1..=2 {
            send(&mut out, Waiting::Sleep, 8, byte);
            receive(&mut back, Waiting::Sleep, 8, byte + 10);
        }
        server.join().unwrap();
    });
}

/// A sender writes the rest of a message whose front its receiver may be reading, then says so. The receiver leaves the
/// rest alone until then. `process_vm.rs` does this when it closes.
#[test]
fn the_rest_of_a_message_comes_later() {
    all(|| {
        // Room for a message in two parts.
        let (mut producer, mut consumer) = ring_of(2 * CAPACITY, Waiting::Spin);
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

/// The peer is gone, and a watch wakes the end again and again until it has seen that, as in `end.rs`.
#[test]
fn a_waker_ends_a_sleep() {
    all(|| {
        let (producer, _there) = ring(Waiting::Sleep);
        let (_peer, mut consumer) = ring(Waiting::Sleep);
        let waker = Waker::of(&producer, &consumer);
        let (gone, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let watch = {
            let (gone, seen) = (Arc::clone(&gone), Arc::clone(&seen));
            thread::spawn(move || {
                gone.store(true, Ordering::SeqCst);
                while !seen.load(Ordering::SeqCst) {
                    waker.wake();
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
