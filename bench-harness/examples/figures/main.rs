//! The figures that this suite is held to, each a ratio taken in one interleaved run:
//!
//! - what the `Channel` trait costs, the watch for a dead peer included: round trips of 64 bytes through it against a bare
//!   libc loop of the same calls, which would hang; a ring that blocks against a word and a futex;
//! - how near the ring comes to the hardware: spinning round trips of 64 bytes in place against the fastest bare
//!   ping-pong of two cache lines.
//!
//! Call it through `scripts/figures.sh`. Every measurement is a fresh forked pair; a round measures both sides of each
//! comparison, in random order, and the ratio is the median over the rounds of the two sides' ratio within a round.

mod bare;

use bench_lab::{probe, topology::Topology};
use bench_record::{
    cell::Placement,
    stats::{Figure, median},
};
use ipc_core::{
    Buffer, Channel, Endpoint, InPlace, Options, Wait, process,
    shared::{Barrier, SharedPage},
};
use std::{
    hint,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const SIZE: usize = 64;
const DEADLINE: Duration = Duration::from_secs(20);

/// One side of a ping-pong: moves 64 bytes either way.
pub trait Ping {
    /// Sends.
    fn ping(&mut self);
    /// Receives.
    fn pong(&mut self);
}

/// Through the trait.
struct Through<E> {
    end: E,
    out: Buffer,
    into: Buffer,
}

impl<E: Endpoint> Ping for Through<E> {
    #[inline]
    fn ping(&mut self) {
        self.end.send_buffer(&mut self.out).expect("sent");
    }

    #[inline]
    fn pong(&mut self) {
        assert_eq!(self.end.recv_buffer(&mut self.into).expect("received"), SIZE);
    }
}

/// Through the ring, in place: writes and reads every byte of the slot.
struct Slot<E>(E);

impl<E: InPlace> Ping for Slot<E> {
    #[inline]
    fn ping(&mut self) {
        self.0.send_with(SIZE, |slot| slot.fill(1)).expect("sent");
    }

    #[inline]
    fn pong(&mut self) {
        let sum = self.0.recv_with(|slot| slot.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        assert_eq!(sum.expect("received"), SIZE as u64);
    }
}

/// Mean round trip in nanoseconds over `count`, in a fresh pair on `cpus`; the clock is read twice in all.
fn measure<A: Ping, B: Ping>(cpus: [usize; 2], count: u64, ends: (A, B)) -> f64 {
    in_pair(
        cpus,
        ends,
        |mut here, ready| {
            let mut trip = || {
                here.ping();
                here.pong();
            };
            (0..count / 10 + 10).for_each(|_| trip());
            ready();
            let start = Instant::now();
            (0..count).for_each(|_| trip());
            start.elapsed().as_nanos() as f64 / count as f64
        },
        |mut there, ready| {
            let mut trip = || {
                there.pong();
                there.ping();
            };
            (0..count / 10 + 10).for_each(|_| trip());
            ready();
            (0..count).for_each(|_| trip());
        },
    )
}

/// Runs `lead` in one forked child and `follow` in another, each pinned; returns what `lead` did, in nanoseconds.
fn in_pair<A, B>(
    cpus: [usize; 2],
    ends: (A, B),
    lead: impl FnOnce(A, &dyn Fn()) -> f64,
    follow: impl FnOnce(B, &dyn Fn()),
) -> f64 {
    let page = SharedPage::new().expect("a page");
    let (mut lead, mut follow, mut ends) = (Some(lead), Some(follow), Some(ends));
    let mut leader = process::fork(|| {
        process::pin(cpus[0]).expect("pinned");
        let (here, _) = ends.take().expect("once");
        let barrier = Barrier::new(&page[..2], 0);
        let ns = (lead.take().expect("once"))(here, &|| barrier.meet().expect("met"));
        page[2].word.store(ns.to_bits(), Ordering::Release);
        0
    })
    .expect("forked");
    let mut follower = process::fork(|| {
        process::pin(cpus[1]).expect("pinned");
        let (_, there) = ends.take().expect("once");
        let barrier = Barrier::new(&page[..2], 1);
        (follow.take().expect("once"))(there, &|| barrier.meet().expect("met"));
        0
    })
    .expect("forked");
    for child in [&mut leader, &mut follower] {
        assert_eq!(child.wait(DEADLINE).expect("waited"), Some(process::Exit::Code(0)), "a child failed or hung");
    }
    f64::from_bits(page[2].word.load(Ordering::Acquire))
}

fn through<C: Channel>(wait: Wait) -> (Through<C::Endpoint>, Through<C::Endpoint>) {
    let options = Options { wait, max_message: Some(SIZE), ..Options::default() };
    let (a, b) = C::pair(&options).expect("a channel");
    let wrap = |end| Through { end, out: Buffer::new(SIZE), into: Buffer::new(SIZE) };
    (wrap(a), wrap(b))
}

fn slots(wait: Wait) -> (impl Ping, impl Ping) {
    let options = Options { wait, max_message: Some(SIZE), ..Options::default() };
    let (a, b) = ipc_shm::Memfd::pair(&options).expect("a channel");
    (Slot(a), Slot(b))
}

/// One comparison of the wrapper: a name and both sides, each of which measures one fresh pair.
struct Comparison {
    name: &'static str,
    wrapped: fn([usize; 2], u64) -> f64,
    bare: fn([usize; 2], u64) -> f64,
}

macro_rules! comparison {
    ($channel:ty, $bare:expr) => {
        Comparison {
            name: <$channel as Channel>::SPEC.name,
            wrapped: |cpus, count| measure(cpus, count, through::<$channel>(Wait::Block)),
            bare: |cpus, count| measure(cpus, count, $bare),
        }
    };
}

const COMPARISONS: [Comparison; 8] = [
    comparison!(ipc_pipe::Pipe, bare::pipe()),
    comparison!(ipc_socket::UnixStream, bare::unix_stream()),
    comparison!(ipc_msgq::SysvMsgq, bare::sysv_msgq()),
    comparison!(ipc_msgq::PosixMq, bare::posix_mq()),
    comparison!(ipc_socket::Tcp, bare::tcp()),
    comparison!(ipc_socket::UnixDgram, bare::unix_dgram()),
    comparison!(ipc_socket::Udp, bare::udp()),
    Comparison {
        name: ipc_shm::Memfd::SPEC.name,
        wrapped: |cpus, count| measure(cpus, count, slots(Wait::Block)),
        bare: |cpus, count| measure(cpus, count, bare::words()),
    },
];

fn main() {
    let rounds: u32 = std::env::args().nth(1).map_or(60, |text| text.parse().expect("the number of rounds"));
    let topology = Topology::here().expect("a topology");
    println!("{rounds} rounds, 64 bytes; ratio = median over rounds of (this / bare), with its 95 % interval\n");
    println!("{:<14} {:<11} {:>10} {:>10}  ratio", "mechanism", "placement", "Channel", "bare");
    for placement in [Placement::SameCore, Placement::CrossCore] {
        let Some(Some(cpus)) = topology.cpus(placement) else {
            println!("{placement}: not on this machine");
            continue;
        };
        for comparison in COMPARISONS {
            let count = if placement == Placement::SameCore { 4000 } else { 500 };
            wrapper(&comparison, placement, cpus, count, rounds);
        }
    }
    println!();
    match topology.cpus(Placement::CrossCore) {
        Some(Some(cpus)) => ring(cpus, rounds),
        _ => println!("ring against bare cache lines: no second core on this machine"),
    }
}

fn wrapper(comparison: &Comparison, placement: Placement, cpus: [usize; 2], count: u64, rounds: u32) {
    let (mut wrapped, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (a, b) = if fastrand::bool() {
            let a = (comparison.wrapped)(cpus, count);
            (a, (comparison.bare)(cpus, count))
        } else {
            let b = (comparison.bare)(cpus, count);
            ((comparison.wrapped)(cpus, count), b)
        };
        wrapped.push(a);
        bare.push(b);
        ratios.push(a / b);
    }
    let (a, b) = (median(&mut wrapped).expect("rounds"), median(&mut bare).expect("rounds"));
    let (name, placement) = (comparison.name, placement.name());
    println!("{name:<14} {placement:<11} {:>7.2} µs {:>7.2} µs  {}", a / 1e3, b / 1e3, show(&ratios));
}

fn show(ratios: &[f64]) -> String {
    let figure = Figure::of(ratios).expect("rounds");
    let interval = figure.lo.zip(figure.hi).map_or(String::new(), |(lo, hi)| format!(" [{lo:.3}, {hi:.3}]"));
    format!("{:.3}{interval}", figure.value)
}

/// Bare ping-pong of two cache lines, with or without `pause` in the loop.
struct CacheLine<'a> {
    mine: &'a AtomicU64,
    other: &'a AtomicU64,
    turn: u64,
    seen: u64,
    pause: bool,
}

impl Ping for CacheLine<'_> {
    #[inline]
    fn ping(&mut self) {
        self.turn += 1;
        self.mine.store(self.turn, Ordering::Release);
    }

    #[inline]
    fn pong(&mut self) {
        // Both sides count the turns: whoever waits has the other's line at the number it saw last.
        while self.other.load(Ordering::Acquire) == self.seen {
            if self.pause {
                hint::spin_loop();
            }
        }
        self.seen += 1;
    }
}

fn cache_lines(cpus: [usize; 2], count: u64, pause: bool) -> f64 {
    let page = SharedPage::new().expect("a page");
    let [first, second] = [&page[0].word, &page[1].word];
    let line = |mine, other| CacheLine { mine, other, turn: 0, seen: 0, pause };
    measure(cpus, count, (line(first, second), line(second, first)))
}

fn ring(cpus: [usize; 2], rounds: u32) {
    const COUNT: u64 = 50_000;
    let in_place = || measure(cpus, COUNT, slots(Wait::Spin));
    let mut figures = [const { Vec::new() }; 3];
    let mut far = 0;
    while figures[0].len() < rounds as usize && far < 10 * rounds {
        let before = cache_lines(cpus, 2000, true);
        let mut order = [0, 1, 2];
        fastrand::shuffle(&mut order);
        let mut round = [0.0; 3];
        for side in order {
            round[side] = if side == 0 { in_place() } else { cache_lines(cpus, COUNT, side == 2) };
        }
        // The hypervisor moved the two virtual CPUs apart during the round: nothing in it can be compared.
        if before.max(cache_lines(cpus, 2000, true)) >= probe::NEAR_NS {
            far += 1;
            continue;
        }
        figures.iter_mut().zip(round).for_each(|(all, ns)| all.push(ns));
    }
    let [Some(ring), Some(plain), Some(paused)] = figures.each_ref().map(|all| median(&mut all.clone())) else {
        println!("ring against bare cache lines: the two cores were never near each other ({far} rounds)");
        return;
    };
    // The faster of the two bare loops over all rounds, not the luckier one of each round.
    let bare = if plain < paused { &figures[1] } else { &figures[2] };
    let ratios: Vec<f64> = figures[0].iter().zip(bare).map(|(ring, bare)| ring / bare).collect();
    println!(
        "ring, in place, spin, cross-core: mean round trip {ring:.1} ns ({} rounds, {far} left out as far)",
        ratios.len()
    );
    println!("bare two cache lines: {plain:.1} ns without pause, {paused:.1} ns with; ratio {}", show(&ratios));
}
